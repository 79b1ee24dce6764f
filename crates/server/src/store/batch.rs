//! Batches of receipts: the root of each is a leaf of the log.

use super::{Db, StoreError, Tx, query, row};

row! {
    /// A batch.
    pub struct BatchRow {
        /// The root of the tree of its receipts.
        pub root: String,
        /// How many they are.
        pub size: i64,
        /// Where the root stands in the log.
        pub leaf: i64,
        /// In which of the logs that policies have named; 0 for the first.
        pub nth_log: i64,
        /// The `tlog-proof` of that.
        pub proof: String,
    }
}

/// Stores a batch. The same batch again brings a newer proof.
pub async fn put(tx: &mut Tx, org: &str, row: &BatchRow) -> Result<u64, StoreError> {
    query!(
        tx: execute tx,
        "INSERT INTO batch (org, root, size, leaf, nth_log, proof) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (org, root) DO UPDATE SET leaf = excluded.leaf, nth_log = excluded.nth_log, proof = excluded.proof",
        org,
        &row.root,
        row.size,
        row.leaf,
        row.nth_log,
        &row.proof,
    )
}

/// Stores a newer proof, and where it shows the root to stand.
pub async fn renew(
    tx: &mut Tx,
    org: &str,
    root: &str,
    (nth_log, leaf): (i64, i64),
    proof: &str,
) -> Result<u64, StoreError> {
    query!(
        tx: execute tx,
        "UPDATE batch SET nth_log = $1, leaf = $2, proof = $3 WHERE org = $4 AND root = $5",
        nth_log,
        leaf,
        proof,
        org,
        root,
    )
}

/// The roots that stand at or above `end` in a log that was replaced at that size, in the log's order.
pub async fn given_up(db: &Db, org: &str, nth_log: i64, end: i64) -> Result<Vec<String>, StoreError> {
    let roots = query!(
        db: fetch_all (String,), db,
        "SELECT root FROM batch WHERE org = $1 AND nth_log = $2 AND leaf >= $3 ORDER BY leaf",
        org,
        nth_log,
        end,
    )?;
    Ok(roots.into_iter().map(|(root,)| root).collect())
}
