//! Keys that were drawn for logs that replace, or may replace, an organization's first. The first log's key is kept with the
//! organization's others.

use super::{Db, StoreError, Tx, query, row};

row! {
    /// A log's key.
    pub struct NewLogRow {
        /// The log's number: above that of each log before it.
        pub log: i64,
        /// The origin: the name of the key.
        pub origin: String,
        /// The seed of the key: 32 bytes. Secret.
        pub seed: Vec<u8>,
    }
}

/// Keeps a key.
pub async fn insert(tx: &mut Tx, org: &str, row: &NewLogRow, now_ms: i64) -> Result<u64, StoreError> {
    query!(
        tx: execute tx,
        "INSERT INTO new_log (org, log, origin, seed, created_ms) VALUES ($1, $2, $3, $4, $5)",
        org,
        row.log,
        &row.origin,
        &row.seed,
        now_ms,
    )
}

/// All of an organization, in the order in which they were drawn.
pub async fn all(db: &Db, org: &str) -> Result<Vec<NewLogRow>, StoreError> {
    query!(
        db: fetch_all NewLogRow, db,
        "SELECT log, origin, seed FROM new_log WHERE org = $1 ORDER BY log",
        org,
    )
}
