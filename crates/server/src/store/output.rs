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

row! {
    /// How much output is kept.
    #[derive(Default)]
    pub struct Kept {
        /// The last occurrence of the job of which any is; 0 if there is none.
        pub newest: i64,
        /// How many bytes of the step of the occurrence that was asked for.
        pub bytes: i64,
        /// In how many pieces.
        pub pieces: i64,
    }
}

/// Lets go of what occurrences before `occurrence` of a job wrote on a device.
pub async fn forget_before(
    tx: &mut Tx,
    org: &str,
    job: &str,
    device: &str,
    occurrence: i64,
) -> Result<u64, StoreError> {
    query!(
        tx: execute tx,
        "DELETE FROM output WHERE org = $1 AND job = $2 AND device = $3 AND occurrence < $4",
        org,
        job,
        device,
        occurrence,
    )
}

/// Keeps pieces, each of a job and a device; of those whose place is known already nothing changes. Answers the job, device, step and
/// place of those that are new.
pub async fn insert(
    tx: &mut Tx,
    org: &str,
    rows: &[(String, String, &OutputRow)],
) -> Result<Vec<(String, String, i64, i64)>, StoreError> {
    Ok(query!(
        tx: fetch_each (String, String, i64, i64), tx,
        "INSERT INTO output (org, job, device, step, place, stream, bytes, occurrence)
         VALUES {rows TEXT, TEXT, TEXT, BIGINT, BIGINT, BIGINT, -, BIGINT}
         ON CONFLICT (org, job, device, step, place) DO NOTHING
         RETURNING job, device, step, place";
        rows, |(job, device, row)| org, job, device, row.step, row.place, row.stream, &row.bytes, row.occurrence
    ))
}

/// What is kept of a step of an occurrence of a job; none if the device was never sent the job.
pub async fn kept(
    db: &Db,
    org: &str,
    job: &str,
    device: &str,
    (occurrence, step): (i64, i64),
) -> Result<Option<Kept>, StoreError> {
    query!(
        db: fetch_optional Kept, db,
        "SELECT
             (SELECT COALESCE(MAX(occurrence), 0) FROM output
              WHERE org = $1 AND job = $2 AND device = $3) AS newest,
             CAST((SELECT COALESCE(SUM(LENGTH(bytes)), 0) FROM output
              WHERE org = $1 AND job = $2 AND device = $3 AND occurrence = $4 AND step = $5) AS BIGINT) AS bytes,
             (SELECT COUNT(*) FROM output
              WHERE org = $1 AND job = $2 AND device = $3 AND occurrence = $4 AND step = $5) AS pieces
         FROM job_device WHERE org = $1 AND job = $2 AND device = $3 AND sent_ms IS NOT NULL",
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
