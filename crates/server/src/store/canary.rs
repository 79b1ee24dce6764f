//! What devices told of files that nobody should touch: notes that they signed.

use super::{Db, StoreError, Tx, query, row};

row! {
    /// A note of a device.
    pub struct CanaryRow {
        /// The device.
        pub device: String,
        /// SHA-256 of its text.
        pub hash: String,
        /// Of which file.
        pub path: String,
        /// Whether it was there before, so that somebody has touched it.
        pub touched: bool,
        /// The note.
        pub note: String,
        /// When it came, milliseconds since 1970.
        pub received_ms: i64,
    }
}

/// How many notes of a device came after `after_ms`, and whether the one with `hash` is known.
pub async fn known(
    db: &Db,
    org: &str,
    device: &str,
    hash: &str,
    after_ms: i64,
) -> Result<(i64, i64), StoreError> {
    query!(
        db: fetch_one (i64, i64), db,
        "SELECT COALESCE(SUM(CASE WHEN received_ms > $4 THEN 1 ELSE 0 END), 0),
             COALESCE(SUM(CASE WHEN hash = $3 THEN 1 ELSE 0 END), 0)
         FROM canary WHERE org = $1 AND device = $2",
        org,
        device,
        hash,
        after_ms,
    )
}

/// Keeps a note, and of its device no more than the newest `most`.
pub async fn insert(tx: &mut Tx, org: &str, row: &CanaryRow, most: i64) -> Result<(), StoreError> {
    query!(
        tx: execute tx,
        "INSERT INTO canary (org, device, hash, path, touched, note, received_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (org, device, hash) DO NOTHING",
        org,
        &row.device,
        &row.hash,
        &row.path,
        row.touched,
        &row.note,
        row.received_ms,
    )?;
    query!(
        tx: execute tx,
        "DELETE FROM canary WHERE org = $1 AND device = $2 AND hash NOT IN (
             SELECT hash FROM canary WHERE org = $1 AND device = $2 ORDER BY received_ms DESC, hash LIMIT $3)",
        org,
        &row.device,
        most,
    )?;
    Ok(())
}

/// What was touched after `after_ms`, the oldest first, at most `limit`.
pub async fn touched(db: &Db, org: &str, after_ms: i64, limit: i64) -> Result<Vec<CanaryRow>, StoreError> {
    query!(
        db: fetch_all CanaryRow, db,
        "SELECT device, hash, path, touched, note, received_ms FROM canary
         WHERE org = $1 AND touched AND received_ms > $2 ORDER BY received_ms, device, hash LIMIT $3",
        org,
        after_ms,
        limit,
    )
}
