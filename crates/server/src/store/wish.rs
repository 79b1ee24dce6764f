//! Joins that made no device: they wait for the log, or it took them too late. Whoever reads the log asks for them.

use super::{Db, StoreError, Tx, query, row};

row! {
    /// A join.
    pub struct WishRow {
        /// The hash of its text, printed.
        pub hash: String,
        /// The device that wishes.
        pub device: String,
        /// The hash of the batch's enrollment.
        pub batch: String,
        /// The note.
        pub note: String,
        /// Its `tlog-proof`, once it has one.
        pub proof: Option<String>,
    }
}

/// Notes a join before the log can have it. Answers 0 if it is noted.
pub async fn insert(db: &Db, org: &str, row: &WishRow) -> Result<u64, StoreError> {
    query!(
        db: execute db,
        "INSERT INTO wish (org, hash, device, batch, note, proof) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (org, hash) DO NOTHING",
        org,
        &row.hash,
        &row.device,
        &row.batch,
        &row.note,
        &row.proof,
    )
}

/// How many joins of a device are noted, without the one with this hash.
pub async fn count_of_device(db: &Db, org: &str, device: &str, without: &str) -> Result<i64, StoreError> {
    let row = query!(
        db: fetch_one (i64,), db,
        "SELECT COUNT(*) FROM wish WHERE org = $1 AND device = $2 AND hash <> $3",
        org,
        device,
        without,
    )?;
    Ok(row.0)
}

/// How many other devices wait for the log with a join of this batch, and are not enrolled yet.
pub async fn count_of_others(db: &Db, org: &str, batch: &str, device: &str) -> Result<i64, StoreError> {
    let row = query!(
        db: fetch_one (i64,), db,
        "SELECT COUNT(DISTINCT device) FROM wish
         WHERE org = $1 AND batch = $2 AND device <> $3 AND proof IS NULL
           AND NOT EXISTS (SELECT 1 FROM device AS there WHERE there.org = wish.org AND there.id = wish.device)",
        org,
        batch,
        device,
    )?;
    Ok(row.0)
}

/// Stores where a join stands that made no device.
pub async fn proved(tx: &mut Tx, org: &str, hash: &str, proof: &str) -> Result<u64, StoreError> {
    query!(tx: execute tx, "UPDATE wish SET proof = $1 WHERE org = $2 AND hash = $3", proof, org, hash)
}

/// Forgets a join that made a device.
pub async fn delete(tx: &mut Tx, org: &str, hash: &str) -> Result<u64, StoreError> {
    query!(tx: execute tx, "DELETE FROM wish WHERE org = $1 AND hash = $2", org, hash)
}

/// Joins that wait for the log.
pub async fn open(db: &Db, org: &str) -> Result<Vec<WishRow>, StoreError> {
    query!(
        db: fetch_all WishRow, db,
        "SELECT hash, device, batch, note, proof FROM wish WHERE org = $1 AND proof IS NULL ORDER BY hash",
        org,
    )
}

/// A page of joins that stand in the log and made no device, by hash; `after` is the last of the page before.
pub async fn page(db: &Db, org: &str, after: &str, limit: i64) -> Result<Vec<WishRow>, StoreError> {
    query!(
        db: fetch_all WishRow, db,
        "SELECT hash, device, batch, note, proof
         FROM wish WHERE org = $1 AND hash > $2 AND proof IS NOT NULL ORDER BY hash LIMIT $3",
        org,
        after,
        limit,
    )
}
