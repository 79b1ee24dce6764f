//! Beacons' words that a policy of the recovery set has waited its time, by which it came into force.

use super::{Db, StoreError, Tx, query};

/// Stores one; a second time it changes nothing.
pub async fn put(tx: &mut Tx, org: &str, hash: &str, note: &str) -> Result<u64, StoreError> {
    query!(
        tx: execute tx,
        "INSERT INTO recovered (org, hash, note) VALUES ($1, $2, $3) ON CONFLICT (org, hash) DO NOTHING",
        org,
        hash,
        note,
    )
}

/// All of an organization.
pub async fn all(db: &Db, org: &str) -> Result<Vec<(String,)>, StoreError> {
    query!(db: fetch_all (String,), db, "SELECT note FROM recovered WHERE org = $1 ORDER BY hash", org)
}
