//! Which job is for which device, what it was sent, and what became of it as far as the server has heard.

use super::{Db, ROWS, StoreError, Tx, query, row};

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
        /// The Clears, a JSON array of [`countersign_wire::http::ClearEvidence`].
        pub clears: String,
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
    /// The Clears, as in [`EvidenceRow`].
    pub clears: String,
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
    for device in devices {
        query!(
            tx: execute &mut *tx,
            "INSERT INTO job_device (org, job, device, verdict, because, receipts_left) VALUES ($1, $2, $3, 'waiting', '', $4)
             ON CONFLICT (org, job, device) DO NOTHING",
            org,
            job,
            device,
            receipts,
        )?;
    }
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

/// What was sent to a device for a job, the last time.
pub async fn evidence(
    db: &Db,
    org: &str,
    job: &str,
    device: &str,
) -> Result<Option<EvidenceRow>, StoreError> {
    query!(
        db: fetch_optional EvidenceRow, db,
        "SELECT challenge, clears, sent_ms FROM job_device
         WHERE org = $1 AND job = $2 AND device = $3 AND challenge IS NOT NULL",
        org,
        job,
        device,
    )
}

/// All devices that a job waits for.
pub async fn waiting_for(db: &Db, org: &str, job: &str) -> Result<Vec<Waiting>, StoreError> {
    query!(
        db: fetch_all Waiting, db,
        "SELECT at.job, at.device, at.verdict, receipt.note, at.attempts
         FROM job_device AS at
         LEFT JOIN receipt ON receipt.org = at.org AND receipt.device = at.device AND receipt.number = at.receipt
         WHERE at.org = $1 AND at.job = $2 AND at.verdict = 'waiting'",
        org,
        job,
    )
}

/// How many devices [`open_on`] looks for in one statement.
pub const AT_ONCE: usize = 16;

/// All jobs that may be due on the first [`AT_ONCE`] of `devices`: waiting, sent without a word since, or refused.
pub async fn open_on(db: &Db, org: &str, devices: &[String]) -> Result<Vec<Waiting>, StoreError> {
    // Where there are fewer, the last is looked for again.
    let at = |place| devices.get(place).or(devices.last());
    query!(
        db: fetch_all Waiting, db,
        "SELECT at.job, at.device, at.verdict, receipt.note, at.attempts
         FROM job_device AS at
         LEFT JOIN receipt ON receipt.org = at.org AND receipt.device = at.device AND receipt.number = at.receipt
         WHERE at.org = $1 AND at.verdict IN ('waiting', 'sent', 'refused')
             AND at.device IN ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        org,
        at(0),
        at(1),
        at(2),
        at(3),
        at(4),
        at(5),
        at(6),
        at(7),
        at(8),
        at(9),
        at(10),
        at(11),
        at(12),
        at(13),
        at(14),
        at(15),
    )
}

/// Notes what is about to be sent. What the devices have said since stays, unless one refused and is asked again.
pub async fn sent(tx: &mut Tx, org: &str, rows: &[Sent]) -> Result<(), StoreError> {
    let (eights, rest) = rows.as_chunks::<ROWS>();
    for rows in eights {
        query!(
            tx: execute_each &mut *tx,
            "UPDATE job_device SET
                 challenge = going.column4, clears = going.column5, sent_ms = going.column6,
                 attempts = attempts + CASE WHEN verdict = 'refused' THEN 1 ELSE 0 END,
                 verdict = CASE WHEN verdict IN ('waiting', 'refused') THEN 'sent' ELSE verdict END
             FROM (VALUES
                 (CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT), CAST($6 AS BIGINT)),
                 ($7, $8, $9, $10, $11, $12),
                 ($13, $14, $15, $16, $17, $18),
                 ($19, $20, $21, $22, $23, $24),
                 ($25, $26, $27, $28, $29, $30),
                 ($31, $32, $33, $34, $35, $36),
                 ($37, $38, $39, $40, $41, $42),
                 ($43, $44, $45, $46, $47, $48)) AS going
             WHERE org = going.column1 AND job = going.column2 AND device = going.column3";
            rows, |row| org, &row.job, &row.device, &row.challenge, &row.clears, row.sent_ms
        )?;
    }
    for row in rest {
        query!(
            tx: execute &mut *tx,
            "UPDATE job_device SET
                 challenge = $1, clears = $2, sent_ms = $3,
                 attempts = attempts + CASE WHEN verdict = 'refused' THEN 1 ELSE 0 END,
                 verdict = CASE WHEN verdict IN ('waiting', 'refused') THEN 'sent' ELSE verdict END
             WHERE org = $4 AND job = $5 AND device = $6",
            &row.challenge,
            &row.clears,
            row.sent_ms,
            org,
            &row.job,
            &row.device,
        )?;
    }
    Ok(())
}

/// A receipt about a job that a device was sent.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// What it says.
    pub verdict: &'a str,
    /// Why.
    pub because: &'a str,
    /// Its number.
    pub number: i64,
    /// Whether it may say how the job stands; a newer one that was noted goes first.
    pub stands: bool,
}

/// Takes one from the receipts that the device may still bring about the job, and notes what it says; once it has accepted, a later
/// refusal of a job that repeats begins the count of attempts anew. Answers 0, and changes nothing, if none is left or the device was never sent the job.
pub async fn receipt_came(
    tx: &mut Tx,
    org: &str,
    job: &str,
    device: &str,
    told: Told<'_>,
) -> Result<u64, StoreError> {
    query!(
        tx: execute tx,
        "UPDATE job_device SET
             receipts_left = receipts_left - 1,
             attempts = CASE WHEN $1 AND $3 = 'accepted' THEN 0 ELSE attempts END,
             verdict = CASE WHEN $1 AND (receipt IS NULL OR receipt < $2) THEN $3 ELSE verdict END,
             because = CASE WHEN $1 AND (receipt IS NULL OR receipt < $2) THEN $4 ELSE because END,
             receipt = CASE WHEN $1 AND (receipt IS NULL OR receipt < $2) THEN $2 ELSE receipt END
         WHERE org = $5 AND job = $6 AND device = $7 AND sent_ms IS NOT NULL AND receipts_left > 0",
        told.stands,
        told.number,
        told.verdict,
        told.because,
        org,
        job,
        device,
    )
}

#[cfg(test)]
mod tests;
