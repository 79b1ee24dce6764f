//! Brings a database to the newest version, a step at a time; each step happens wholly or not at all.

use super::{Db, OpenError, StoreError, query};

/// The steps, oldest first. One that was released never changes again.
const STEPS: [&str; 11] = [
    include_str!("../../migrations/0001_records.sql"),
    include_str!("../../migrations/0002_facts.sql"),
    include_str!("../../migrations/0003_occurrences.sql"),
    include_str!("../../migrations/0004_moves.sql"),
    include_str!("../../migrations/0005_recovered.sql"),
    include_str!("../../migrations/0006_wishes.sql"),
    include_str!("../../migrations/0007_rounds.sql"),
    include_str!("../../migrations/0008_offered.sql"),
    include_str!("../../migrations/0009_logs.sql"),
    include_str!("../../migrations/0010_refill.sql"),
    include_str!("../../migrations/0011_tripwires.sql"),
];

pub async fn run(db: &Db) -> Result<(), OpenError> {
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let found = version(db).await.map_err(|error| OpenError::Migrate { version: 0, error })?;
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    for (version, step) in (1..).zip(STEPS).filter(|(version, _)| *version > found) {
        apply(db, version, step).await.map_err(|error| OpenError::Migrate { version, error })?;
    }
    Ok(())
}

/// The database's version; 0 for an empty one.
async fn version(db: &Db) -> Result<i64, StoreError> {
    query!(db: execute db, "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY)")?;
    let row = query!(db: fetch_one (i64,), db, "SELECT COALESCE(MAX(version), 0) FROM schema_version")?;
    Ok(row.0)
}

async fn apply(db: &Db, version: i64, step: &'static str) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    match &mut tx {
        super::Tx::Lite(tx) => sqlx::raw_sql(step).execute(&mut **tx).await.map(|_| ())?,
        super::Tx::Pg(tx) => sqlx::raw_sql(step).execute(&mut **tx).await.map(|_| ())?,
    }
    query!(tx: execute &mut tx, "INSERT INTO schema_version (version) VALUES ($1)", version)?;
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use sqlx::postgres::PgPool;
    use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

    use super::*;
    use crate::store::testing::Postgres;
    use crate::store::{device, org};

    /// Brings an empty database to an older version.
    async fn bring_to(db: &Db, wanted: usize) {
        version(db).await.unwrap();
        for (version, step) in (1..).zip(STEPS).take(wanted) {
            apply(db, version, step).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_device_that_had_joined_before_keeps_the_batch_whose_place_it_took() {
        let (folder, postgres) = (tempfile::tempdir().unwrap(), Postgres::start());
        let options =
            SqliteConnectOptions::new().filename(folder.path().join("old.db")).create_if_missing(true);
        let lite = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        let pg = PgPool::connect(&postgres.database()).await.unwrap();
        for db in [Db::Lite { read: lite.clone(), write: lite }, Db::Pg(pg)] {
            bring_to(&db, 3).await;
            let draft = org::DraftRow {
                draft: "draft".to_owned(),
                org: None,
                name: "Example Tills".to_owned(),
                log_origin: "log.example".to_owned(),
                log_seed: vec![1; 32],
                halt_seed: vec![2; 32],
            };
            let mut tx = db.begin().await.unwrap();
            org::prepare(&mut tx, &draft, 1).await.unwrap();
            org::begin(&mut tx, "org-1", &draft, 1).await.unwrap();
            for (id, join) in [("dev-1", Some("note")), ("dev-2", None)] {
                query!(
                    tx: execute &mut tx,
                    "INSERT INTO device (org, id, enroll, join_note, leaf, labels, version, hostname, system, policy_number, last_seen_ms)
                     VALUES ('org-1', $1, 'enroll-1', $2, 3, '{}', '', '', '', 0, 0)",
                    id,
                    join,
                )
                .unwrap();
            }
            tx.commit().await.unwrap();
            run(&db).await.unwrap();
            for (id, batch) in [("dev-1", Some("enroll-1")), ("dev-2", None)] {
                let row = device::get(&db, "org-1", id).await.unwrap().unwrap();
                assert_eq!(
                    (row.batch.as_deref(), row.seq, row.enroll.as_str()),
                    (batch, 0, "enroll-1"),
                    "{id}"
                );
            }
            let mut tx = db.begin().await.unwrap();
            assert_eq!(device::count_of_enroll(&mut tx, "org-1", "enroll-1").await.unwrap(), 1);
            drop(tx);
            db.close().await;
        }
    }
}
