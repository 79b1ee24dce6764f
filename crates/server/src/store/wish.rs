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

/// Notes joins before the log can have them; one that is noted stays as it is.
pub async fn insert(tx: &mut Tx, org: &str, rows: &[WishRow]) -> Result<u64, StoreError> {
    Ok(query!(
        tx: execute_each tx,
        "INSERT INTO wish (org, hash, device, batch, note, proof) VALUES {rows TEXT, TEXT, TEXT, TEXT, TEXT, TEXT}
         ON CONFLICT (org, hash) DO NOTHING";
        rows, |row| org, &row.hash, &row.device, &row.batch, &row.note, &row.proof
    ))
}

/// The joins of these devices that are noted: device and hash of each.
pub async fn of_devices(
    tx: &mut Tx,
    org: &str,
    devices: &[String],
) -> Result<Vec<(String, String)>, StoreError> {
    Ok(query!(
        tx: fetch_each (String, String), tx,
        "SELECT device, hash FROM wish WHERE org = $1 AND device IN ({rows TEXT})",
        org;
        devices, |device| device
    ))
}

/// The devices that wait for the log with a join of this batch, and are not enrolled yet.
pub async fn waiting(tx: &mut Tx, org: &str, batch: &str) -> Result<Vec<(String,)>, StoreError> {
    query!(
        tx: fetch_all (String,), tx,
        "SELECT DISTINCT device FROM wish
         WHERE org = $1 AND batch = $2 AND proof IS NULL
           AND NOT EXISTS (SELECT 1 FROM device AS there WHERE there.org = wish.org AND there.id = wish.device)",
        org,
        batch,
    )
}

/// Stores where a join stands that made no device.
pub async fn proved(tx: &mut Tx, org: &str, hash: &str, proof: &str) -> Result<u64, StoreError> {
    query!(tx: execute tx, "UPDATE wish SET proof = $1 WHERE org = $2 AND hash = $3", proof, org, hash)
}

/// Forgets joins that made devices.
pub async fn delete(tx: &mut Tx, org: &str, hashes: &[String]) -> Result<u64, StoreError> {
    Ok(query!(
        tx: execute_each tx,
        "DELETE FROM wish WHERE org = $1 AND hash IN ({rows TEXT})",
        org;
        hashes, |hash| hash
    ))
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
