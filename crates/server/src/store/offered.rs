//! In which order an organization's chain was offered what it is made of.

use super::{Db, StoreError, Tx, query};

/// Puts a statement or a word after all that was offered before; a second time it changes nothing. Two at a time for one
/// organization would be given the same place, and one of them refused.
pub async fn append(tx: &mut Tx, org: &str, hash: &str) -> Result<u64, StoreError> {
    query!(
        tx: execute tx,
        "INSERT INTO offered (org, place, hash)
         SELECT $1, COALESCE(MAX(place), 0) + 1, $2 FROM offered WHERE org = $1
         ON CONFLICT (org, hash) DO NOTHING",
        org,
        hash,
    )
}

/// The hashes of all that was offered, the first first.
pub async fn all(db: &Db, org: &str) -> Result<Vec<(String,)>, StoreError> {
    query!(db: fetch_all (String,), db, "SELECT hash FROM offered WHERE org = $1 ORDER BY place", org)
}
