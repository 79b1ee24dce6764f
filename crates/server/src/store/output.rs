//! Output of steps, piece by piece as it came.

use super::{Db, StoreError, Tx, query, row};

row! {
    /// A piece.
    pub struct OutputRow {
        /// Which occurrence of the job, counted from 0.
        pub occurrence: i64,
        /// Which step, counted from 0.
        pub step: i64,
        /// The place of its first byte in the output of both streams.
        pub place: i64,
        /// 1 standard output, 2 standard error.
        pub stream: i64,
        /// The bytes.
        pub bytes: Vec<u8>,
    }
}

/// Keeps a piece and lets go of what earlier occurrences wrote; answers 0 if one with this place is known.
pub async fn insert(
    tx: &mut Tx,
    org: &str,
    job: &str,
    device: &str,
    row: &OutputRow,
) -> Result<u64, StoreError> {
    query!(
        tx: execute tx,
        "DELETE FROM output WHERE org = $1 AND job = $2 AND device = $3 AND occurrence < $4",
        org,
        job,
        device,
        row.occurrence,
    )?;
    query!(
        tx: execute tx,
        "INSERT INTO output (org, job, device, step, place, stream, bytes, occurrence)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (org, job, device, step, place) DO NOTHING",
        org,
        job,
        device,
        row.step,
        row.place,
        row.stream,
        &row.bytes,
        row.occurrence,
    )
}

/// The last occurrence of a job of which output is kept; 0 if there is none.
pub async fn newest(db: &Db, org: &str, job: &str, device: &str) -> Result<i64, StoreError> {
    let row = query!(
        db: fetch_one (i64,), db,
        "SELECT COALESCE(MAX(occurrence), 0) FROM output WHERE org = $1 AND job = $2 AND device = $3",
        org,
        job,
        device,
    )?;
    Ok(row.0)
}

/// How many bytes of a step of an occurrence are kept, and in how many pieces.
pub async fn kept(
    db: &Db,
    org: &str,
    job: &str,
    device: &str,
    (occurrence, step): (i64, i64),
) -> Result<(i64, i64), StoreError> {
    query!(
        db: fetch_one (i64, i64), db,
        "SELECT CAST(COALESCE(SUM(LENGTH(bytes)), 0) AS BIGINT), COUNT(*) FROM output
         WHERE org = $1 AND job = $2 AND device = $3 AND occurrence = $4 AND step = $5",
        org,
        job,
        device,
        occurrence,
        step,
    )
}

/// The output of a job on a device, in its order.
pub async fn of(db: &Db, org: &str, job: &str, device: &str) -> Result<Vec<OutputRow>, StoreError> {
    query!(
        db: fetch_all OutputRow, db,
        "SELECT occurrence, step, place, stream, bytes FROM output
         WHERE org = $1 AND job = $2 AND device = $3 ORDER BY step, place",
        org,
        job,
        device,
    )
}
