//! Brings a database to the newest version, a step at a time; each step happens wholly or not at all.

use super::{Db, OpenError, StoreError, query};

/// The steps, oldest first. One that was released never changes again.
const STEPS: [&str; 5] = [
    include_str!("../../migrations/0001_records.sql"),
    include_str!("../../migrations/0002_facts.sql"),
    include_str!("../../migrations/0003_occurrences.sql"),
    include_str!("../../migrations/0005_recovered.sql"),
    include_str!("../../migrations/0006_wishes.sql"),
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
