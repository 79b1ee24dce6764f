//! Batches of receipts: the root of each is a leaf of the log.

use super::{StoreError, Tx, query, row};

row! {
    /// A batch.
    pub struct BatchRow {
        /// The root of the tree of its receipts.
        pub root: String,
        /// How many they are.
        pub size: i64,
        /// Where the root stands in the log.
        pub leaf: i64,
        /// The `tlog-proof` of that.
        pub proof: String,
    }
}

/// Stores a batch. The same batch again brings a newer proof.
pub async fn put(tx: &mut Tx, org: &str, row: &BatchRow) -> Result<u64, StoreError> {
    query!(
        tx: execute tx,
        "INSERT INTO batch (org, root, size, leaf, proof) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (org, root) DO UPDATE SET leaf = excluded.leaf, proof = excluded.proof",
        org,
        &row.root,
        row.size,
        row.leaf,
        &row.proof,
    )
}

/// Stores a newer proof.
pub async fn renew(tx: &mut Tx, org: &str, root: &str, proof: &str) -> Result<u64, StoreError> {
    query!(tx: execute tx, "UPDATE batch SET proof = $1 WHERE org = $2 AND root = $3", proof, org, root)
}
