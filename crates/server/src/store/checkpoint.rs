//! The newest checkpoint of each log, cosigned by at least the quorum.

use super::{Db, StoreError, query};

/// Stores it; an older one, which a slower task may bring, does not take its place.
pub async fn put(db: &Db, org: &str, log: i64, size: i64, note: &str) -> Result<u64, StoreError> {
    query!(
        db: execute db,
        "INSERT INTO checkpoint (org, log, size, note) VALUES ($1, $2, $3, $4)
         ON CONFLICT (org, log) DO UPDATE SET size = excluded.size, note = excluded.note
         WHERE checkpoint.size <= excluded.size",
        org,
        log,
        size,
        note,
    )
}

/// The newest: its size and its note.
pub async fn newest(db: &Db, org: &str, log: i64) -> Result<Option<(i64, String)>, StoreError> {
    query!(
        db: fetch_optional (i64, String), db,
        "SELECT size, note FROM checkpoint WHERE org = $1 AND log = $2",
        org,
        log,
    )
}
