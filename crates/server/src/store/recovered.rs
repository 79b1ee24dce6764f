//! Beacons' words that a policy of the recovery set has waited its time, by which it came into force.

use super::{Db, StoreError, query};

/// Stores one; a second time it changes nothing.
pub async fn put(db: &Db, org: &str, hash: &str, note: &str) -> Result<u64, StoreError> {
    query!(
        db: execute db,
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
