//! Which job is for which device, what it was sent, and what became of it as far as the server has heard.

use super::{Db, StoreError, Tx, query, row};

row! {
    /// A job on a device.
    pub struct JobDeviceRow {
        /// The device.
        pub device: String,
        /// `waiting`, `sent`, or the newest receipt's.
        pub verdict: String,
        /// The newest receipt's reason.
        pub because: String,
        /// The newest receipt's number.
        pub receipt: Option<i64>,
        /// The newest receipt.
        pub note: Option<String>,
    }
}

row! {
    /// What a device was sent.
    pub struct EvidenceRow {
        /// The challenge that the Clears answer, in hexadecimal.
        pub challenge: String,
        /// The challenges of its round, 32 bytes each.
        pub challenges: Option<Vec<u8>>,
        /// The Clears of its round, a JSON array of notes.
        pub notes: Option<String>,
        /// Of what was sent before there were rounds: a JSON array of [`countersign_wire::http::ClearEvidence`].
        pub clears: Option<String>,
        /// When, milliseconds since 1970.
        pub sent_ms: i64,
    }
}

row! {
    /// A job that may be due on a device.
    pub struct Waiting {
        /// The job.
        pub job: String,
        /// The device.
        pub device: String,
        /// `waiting`, `sent` or `refused`.
        pub verdict: String,
        /// The newest receipt.
        pub note: Option<String>,
        /// How often it was sent again after a refusal.
        pub attempts: i64,
        /// The round in which it was sent the last time.
        pub round: Option<i64>,
        /// When, milliseconds since 1970.
        pub sent_ms: Option<i64>,
    }
}

/// What is sent with a job to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The job.
    pub job: String,
    /// The device.
    pub device: String,
    /// The challenge that the Clears answer, in hexadecimal.
    pub challenge: String,
    /// When, milliseconds since 1970.
    pub sent_ms: i64,
}

/// Lets a job wait for these devices, which may bring so many receipts about it. Where it does already, or has gone
/// further, nothing changes.
pub async fn insert_waiting(
    tx: &mut Tx,
    org: &str,
    job: &str,
    devices: &[String],
    receipts: i64,
) -> Result<(), StoreError> {
    query!(
        tx: execute_each tx,
        "INSERT INTO job_device (org, job, device, verdict, because, receipts_left)
         VALUES {rows TEXT, TEXT, TEXT, TEXT, TEXT, BIGINT}
         ON CONFLICT (org, job, device) DO NOTHING";
        devices, |device| org, job, device, "waiting", "", receipts
    );
    Ok(())
}

/// What became of a job on each device, by device.
pub async fn of_job(db: &Db, org: &str, job: &str) -> Result<Vec<JobDeviceRow>, StoreError> {
    query!(
        db: fetch_all JobDeviceRow, db,
        "SELECT at.device, at.verdict, at.because, at.receipt, receipt.note
         FROM job_device AS at
         LEFT JOIN receipt ON receipt.org = at.org AND receipt.device = at.device AND receipt.number = at.receipt
         WHERE at.org = $1 AND at.job = $2 ORDER BY at.device",
        org,
        job,
    )
}

/// How many devices stand at each verdict.
pub async fn counts(db: &Db, org: &str, job: &str) -> Result<Vec<(String, i64)>, StoreError> {
    query!(
        db: fetch_all (String, i64), db,
        "SELECT verdict, COUNT(*) FROM job_device WHERE org = $1 AND job = $2 GROUP BY verdict ORDER BY verdict",
        org,
        job,
    )
}

/// Where a job did not go well: the device and its newest receipt about it.
pub async fn unwell(db: &Db, org: &str, job: &str) -> Result<Vec<(String, String)>, StoreError> {
    query!(
        db: fetch_all (String, String), db,
        "SELECT at.device, receipt.note FROM job_device AS at
         JOIN receipt ON receipt.org = at.org AND receipt.device = at.device AND receipt.number = at.receipt
         WHERE at.org = $1 AND at.job = $2
             AND (at.verdict IN ('refused', 'interrupted') OR (at.verdict = 'ended' AND at.because <> 'exit 0'))
         ORDER BY at.device",
        org,
        job,
    )
}

/// The devices that a job is for, as far as the server knows.
pub async fn devices(db: &Db, org: &str, job: &str) -> Result<Vec<(String,)>, StoreError> {
    query!(
        db: fetch_all (String,), db,
        "SELECT device FROM job_device WHERE org = $1 AND job = $2 ORDER BY device",
        org,
        job,
    )
}

/// What was sent to a device for a job, the last time.
pub async fn evidence(
    db: &Db,
    org: &str,
    job: &str,
    device: &str,
) -> Result<Option<EvidenceRow>, StoreError> {
    query!(
        db: fetch_optional EvidenceRow, db,
        "SELECT at.challenge, round.challenges, round.notes, at.clears, at.sent_ms FROM job_device AS at
         LEFT JOIN round ON round.org = at.org AND round.number = at.round
         WHERE at.org = $1 AND at.job = $2 AND at.device = $3 AND at.challenge IS NOT NULL",
        org,
        job,
        device,
    )
}

/// All devices that a job waits for.
pub async fn waiting_for(db: &Db, org: &str, job: &str) -> Result<Vec<Waiting>, StoreError> {
    query!(
        db: fetch_all Waiting, db,
        "SELECT at.job, at.device, at.verdict, receipt.note, at.attempts, at.round, at.sent_ms
         FROM job_device AS at
         LEFT JOIN receipt ON receipt.org = at.org AND receipt.device = at.device AND receipt.number = at.receipt
         WHERE at.org = $1 AND at.job = $2 AND at.verdict = 'waiting'",
        org,
        job,
    )
}

/// All jobs that may be due on these devices: waiting, sent without a word since, or refused.
pub async fn open_on(db: &Db, org: &str, devices: &[String]) -> Result<Vec<Waiting>, StoreError> {
    Ok(query!(
        db: fetch_each Waiting, db,
        "SELECT at.job, at.device, at.verdict, receipt.note, at.attempts, at.round, at.sent_ms
         FROM job_device AS at
         LEFT JOIN receipt ON receipt.org = at.org AND receipt.device = at.device AND receipt.number = at.receipt
         WHERE at.org = $1 AND at.verdict IN ('waiting', 'sent', 'refused') AND at.device IN ({rows TEXT})",
        org;
        devices, |device| device
    ))
}

/// Notes what is about to be sent in a round. What the devices have said since stays, unless one refused and is asked again: it may
/// refuse once more.
pub async fn sent(tx: &mut Tx, org: &str, round: i64, rows: &[Sent]) -> Result<(), StoreError> {
    query!(
        tx: execute_each tx,
        "UPDATE job_device SET
             challenge = going.column4, round = $1, clears = NULL, sent_ms = going.column5,
             attempts = attempts + CASE WHEN verdict = 'refused' THEN 1 ELSE 0 END,
             receipts_left = receipts_left + CASE WHEN verdict = 'refused' THEN 1 ELSE 0 END,
             verdict = CASE WHEN verdict IN ('waiting', 'refused') THEN 'sent' ELSE verdict END
         FROM (VALUES {rows TEXT, TEXT, TEXT, TEXT, BIGINT}) AS going
         WHERE org = going.column1 AND job = going.column2 AND device = going.column3",
        round;
        rows, |row| org, &row.job, &row.device, &row.challenge, row.sent_ms
    );
    Ok(())
}

/// How many more receipts each of these devices may bring about each of these jobs; a pair whose device was never sent the job is
/// not in the answer.
pub async fn receipts_left(
    tx: &mut Tx,
    org: &str,
    pairs: &[(String, String)],
) -> Result<Vec<(String, String, i64)>, StoreError> {
    Ok(query!(
        tx: fetch_each (String, String, i64), tx,
        "SELECT at.job, at.device, at.receipts_left FROM (VALUES {rows TEXT, TEXT, TEXT}) AS told
         JOIN job_device AS at ON at.org = told.column1 AND at.job = told.column2 AND at.device = told.column3
         WHERE at.sent_ms IS NOT NULL";
        pairs, |(job, device)| org, job, device
    ))
}

/// What a device told about a job it was sent, one receipt or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The job.
    pub job: String,
    /// The device.
    pub device: String,
    /// How many receipts.
    pub receipts: i64,
    /// Whether one says that it accepted.
    pub accepted: bool,
    /// The newest that may say how the job stands: its number, what it says, and why. A newer one that was noted goes first. Number
    /// 0 if there is none.
    pub newest: (i64, String, String),
}

impl Told {
    /// Nothing yet of a job and a device.
    pub fn nothing((job, device): (String, String)) -> Self {
        Self { job, device, receipts: 0, accepted: false, newest: (0, String::new(), String::new()) }
    }
}

/// Takes receipts from those that devices may still bring about jobs ([`receipts_left`]), and notes what they say; once a device has
/// accepted, a later refusal of a job that repeats begins the count of attempts anew. Each device and job stands in `rows` once.
pub async fn receipts_came(tx: &mut Tx, org: &str, rows: &[Told]) -> Result<(), StoreError> {
    query!(
        tx: execute_each tx,
        "UPDATE job_device SET
             receipts_left = receipts_left - told.column4,
             attempts = CASE WHEN told.column5 THEN 0 ELSE attempts END,
             verdict = CASE WHEN told.column6 > COALESCE(receipt, 0) THEN told.column7 ELSE verdict END,
             because = CASE WHEN told.column6 > COALESCE(receipt, 0) THEN told.column8 ELSE because END,
             receipt = CASE WHEN told.column6 > COALESCE(receipt, 0) THEN told.column6 ELSE receipt END
         FROM (VALUES {rows TEXT, TEXT, TEXT, BIGINT, BOOLEAN, BIGINT, TEXT, TEXT}) AS told
         WHERE org = told.column1 AND job = told.column2 AND device = told.column3";
        rows, |row| org, &row.job, &row.device, row.receipts, row.accepted, row.newest.0, &row.newest.1, &row.newest.2
    );
    Ok(())
}

#[cfg(test)]
mod tests;
