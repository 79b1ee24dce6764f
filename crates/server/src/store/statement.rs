//! What people signed, whether it waits for more signatures or stands in the log.

use countersign_trust::ids::DeviceId;

use super::{Db, StoreError, Tx, query, row};

row! {
    /// A statement with its signatures.
    pub struct StatementRow {
        /// Its hash, printed.
        pub hash: String,
        /// Its kind.
        pub kind: String,
        /// The envelope without a proof.
        pub envelope: String,
        /// For a job with a list of targets: the device ids, sorted, as a JSON array.
        pub targets: String,
        /// What it waits for, in words. Empty once it is decided: from then on its signatures stay as they are.
        pub missing: String,
        /// Its place in the log, once it has one.
        pub leaf: Option<i64>,
        /// In which of the logs that policies have named; 0 for the first.
        pub nth_log: i64,
        /// Its `tlog-proof`, once enough witnesses have seen it.
        pub proof: Option<String>,
        /// When it came, milliseconds since 1970.
        pub received_ms: i64,
    }
}

/// One statement.
pub async fn get(db: &Db, org: &str, hash: &str) -> Result<Option<StatementRow>, StoreError> {
    query!(
        db: fetch_optional StatementRow, db,
        "SELECT hash, kind, envelope, targets, missing, leaf, nth_log, proof, received_ms
         FROM statement WHERE org = $1 AND hash = $2",
        org,
        hash,
    )
}

/// Stores a statement, or more signatures under one that is not decided.
pub async fn put(tx: &mut Tx, org: &str, row: &StatementRow) -> Result<u64, StoreError> {
    query!(
        tx: execute tx,
        "INSERT INTO statement (org, hash, kind, envelope, targets, missing, leaf, nth_log, proof, received_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (org, hash) DO UPDATE SET
             envelope = excluded.envelope, targets = excluded.targets, missing = excluded.missing
         WHERE statement.missing <> ''",
        org,
        &row.hash,
        &row.kind,
        &row.envelope,
        &row.targets,
        &row.missing,
        row.leaf,
        row.nth_log,
        &row.proof,
        row.received_ms,
    )
}

/// Somebody else has called a halt too: it is to be logged with the signatures of all.
pub async fn called_again(tx: &mut Tx, org: &str, hash: &str, envelope: &str) -> Result<u64, StoreError> {
    query!(
        tx: execute tx,
        "UPDATE statement SET envelope = $3, leaf = NULL, proof = NULL WHERE org = $1 AND hash = $2 AND envelope <> $3",
        org,
        hash,
        envelope,
    )
}

/// Stores where a decided statement stands in the log. Answers 0 if that was known.
pub async fn logged(
    tx: &mut Tx,
    org: &str,
    hash: &str,
    (nth_log, leaf): (i64, i64),
    proof: &str,
) -> Result<u64, StoreError> {
    query!(
        tx: execute tx,
        "UPDATE statement SET nth_log = $1, leaf = $2, proof = $3, missing = ''
         WHERE org = $4 AND hash = $5 AND proof IS NULL",
        nth_log,
        leaf,
        proof,
        org,
        hash,
    )
}

/// A page of statements of one kind, newest first; `kind` empty means all. `before_ms` and `before_hash` are those of
/// the last row of the page before.
pub async fn page(
    db: &Db,
    org: &str,
    kind: &str,
    before_ms: i64,
    before_hash: &str,
    limit: i64,
) -> Result<Vec<StatementRow>, StoreError> {
    query!(
        db: fetch_all StatementRow, db,
        "SELECT hash, kind, envelope, targets, missing, leaf, nth_log, proof, received_ms
         FROM statement
         WHERE org = $1 AND ($2 = '' OR kind = $2)
           AND (received_ms < $3 OR (received_ms = $3 AND hash < $4))
         ORDER BY received_ms DESC, hash DESC LIMIT $5",
        org,
        kind,
        before_ms,
        before_hash,
        limit,
    )
}

/// Logged statements of one kind, in the log's order.
pub async fn standing(db: &Db, org: &str, kind: &str) -> Result<Vec<StatementRow>, StoreError> {
    query!(
        db: fetch_all StatementRow, db,
        "SELECT hash, kind, envelope, targets, missing, leaf, nth_log, proof, received_ms
         FROM statement WHERE org = $1 AND kind = $2 AND proof IS NOT NULL ORDER BY nth_log, leaf",
        org,
        kind,
    )
}

/// All statements of one kind, logged or not, in the order they came.
pub async fn of_kind(db: &Db, org: &str, kind: &str) -> Result<Vec<StatementRow>, StoreError> {
    query!(
        db: fetch_all StatementRow, db,
        "SELECT hash, kind, envelope, targets, missing, leaf, nth_log, proof, received_ms
         FROM statement WHERE org = $1 AND kind = $2 ORDER BY received_ms, hash",
        org,
        kind,
    )
}

/// What stands at or above `end` in a log that was replaced at that size stands in no log any more: decided, and to be logged again.
/// Policies and resumes that were taken stay taken. Answers the hashes.
pub async fn give_up(tx: &mut Tx, org: &str, nth_log: i64, end: i64) -> Result<Vec<String>, StoreError> {
    let given_up = query!(
        tx: fetch_all (String,), tx,
        "UPDATE statement SET leaf = NULL, proof = NULL
         WHERE org = $1 AND nth_log = $2 AND leaf >= $3 AND proof IS NOT NULL AND kind IN ('job', 'advance', 'enroll', 'halt')
         RETURNING hash",
        org,
        nth_log,
        end,
    )?;
    Ok(given_up.into_iter().map(|(hash,)| hash).collect())
}

/// Statements that stand in no log yet, whether they wait for people or for witnesses, in the order they came.
pub async fn open(db: &Db, org: &str) -> Result<Vec<StatementRow>, StoreError> {
    query!(
        db: fetch_all StatementRow, db,
        "SELECT hash, kind, envelope, targets, missing, leaf, nth_log, proof, received_ms
         FROM statement WHERE org = $1 AND proof IS NULL ORDER BY received_ms, hash",
        org,
    )
}

/// Statements that wait for people, in the order they came.
pub async fn waiting(db: &Db, org: &str) -> Result<Vec<StatementRow>, StoreError> {
    query!(
        db: fetch_all StatementRow, db,
        "SELECT hash, kind, envelope, targets, missing, leaf, nth_log, proof, received_ms
         FROM statement WHERE org = $1 AND proof IS NULL AND missing <> '' ORDER BY received_ms, hash",
        org,
    )
}

/// Forgets a statement that waits for people.
pub async fn forget(tx: &mut Tx, org: &str, hash: &str) -> Result<u64, StoreError> {
    query!(
        tx: execute tx,
        "DELETE FROM statement WHERE org = $1 AND hash = $2 AND proof IS NULL AND missing <> ''",
        org,
        hash,
    )
}

impl StatementRow {
    /// The envelope with its proof, once it has one.
    pub fn logged(&self) -> Option<String> {
        self.proof.as_ref().map(|proof| format!("{}{proof}", self.envelope))
    }

    /// For a job with a list of targets: the device ids, sorted.
    pub fn targets(&self) -> Vec<String> {
        serde_json::from_str(&self.targets).unwrap_or_default()
    }

    /// The same, read.
    pub fn devices(&self) -> Vec<DeviceId> {
        self.targets().iter().filter_map(|id| id.parse().ok()).collect()
    }

    /// `waiting` or `logged`.
    pub fn state(&self) -> &'static str {
        if self.proof.is_some() { "logged" } else { "waiting" }
    }
}
