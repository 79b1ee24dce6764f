//! Tripwires that were touched, and jobs of which too much failed.

use super::{Db, StoreError, Tx, query, row};

row! {
    /// Something that was touched.
    pub struct TouchRow {
        /// The organization's first is 1.
        pub number: i64,
        /// The tripwire, as the command line has it; or `job` and the job's hash.
        pub tripwire: String,
        /// Since when, milliseconds since 1970.
        pub since_ms: i64,
        /// When there was more of it for the last time.
        pub last_ms: i64,
        /// How much was counted.
        pub count: i64,
        /// What it was.
        pub words: String,
        /// Notes that devices signed and that show it: a JSON array, not all where there are many.
        pub evidence: String,
        /// The server's halt.
        pub halt: Option<String>,
        /// Why it did not halt, though it was to; else empty.
        pub unhalted: String,
        /// When it is over whatever comes, such as the job's end.
        pub until_ms: Option<i64>,
        /// When it was over.
        pub over_ms: Option<i64>,
    }
}

/// Keeps a touch, or what has become of it; of those that are over no more than the newest `most` numbers.
pub async fn put(tx: &mut Tx, org: &str, row: &TouchRow, most: i64) -> Result<(), StoreError> {
    query!(
        tx: execute tx,
        "INSERT INTO touch (org, number, tripwire, since_ms, last_ms, count, words, evidence, halt, unhalted, until_ms, over_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         ON CONFLICT (org, number) DO UPDATE SET
             last_ms = excluded.last_ms, count = excluded.count, words = excluded.words, evidence = excluded.evidence,
             halt = excluded.halt, unhalted = excluded.unhalted, over_ms = excluded.over_ms",
        org,
        row.number,
        &row.tripwire,
        row.since_ms,
        row.last_ms,
        row.count,
        &row.words,
        &row.evidence,
        &row.halt,
        &row.unhalted,
        row.until_ms,
        row.over_ms,
    )?;
    query!(
        tx: execute tx,
        "DELETE FROM touch WHERE org = $1 AND over_ms IS NOT NULL AND number <= $2",
        org,
        row.number.saturating_sub(most),
    )?;
    Ok(())
}

/// What is touched and not over.
pub async fn open(db: &Db, org: &str) -> Result<Vec<TouchRow>, StoreError> {
    query!(
        db: fetch_all TouchRow, db,
        "SELECT number, tripwire, since_ms, last_ms, count, words, evidence, halt, unhalted, until_ms, over_ms
         FROM touch WHERE org = $1 AND over_ms IS NULL ORDER BY number",
        org,
    )
}

/// Of each tripwire, and each job, that was ever touched and is over: until when.
pub async fn over(db: &Db, org: &str) -> Result<Vec<(String, i64)>, StoreError> {
    query!(
        db: fetch_all (String, i64), db,
        "SELECT tripwire, MAX(over_ms) FROM touch WHERE org = $1 AND over_ms IS NOT NULL GROUP BY tripwire",
        org,
    )
}

/// The highest number there is; 0 for none.
pub async fn last(db: &Db, org: &str) -> Result<i64, StoreError> {
    query!(db: fetch_one (i64,), db, "SELECT COALESCE(MAX(number), 0) FROM touch WHERE org = $1", org)
        .map(|row| row.0)
}

/// A page of touches, newest first, with numbers below `before`.
pub async fn page(db: &Db, org: &str, before: i64, limit: i64) -> Result<Vec<TouchRow>, StoreError> {
    query!(
        db: fetch_all TouchRow, db,
        "SELECT number, tripwire, since_ms, last_ms, count, words, evidence, halt, unhalted, until_ms, over_ms
         FROM touch WHERE org = $1 AND number < $2 ORDER BY number DESC LIMIT $3",
        org,
        before,
        limit,
    )
}
