//! What devices did that a person should know of: a row a kind, however often it happens.

use super::{Db, StoreError, Tx, query, row};

row! {
    /// A fact about a device.
    pub struct FactRow {
        /// The device.
        pub device: String,
        /// Its kind, as [`crate::facts::Kind`] prints.
        pub kind: String,
        /// What happened, the last time.
        pub words: String,
        /// Notes that the device signed and that show it, of the first time, as a JSON array.
        pub evidence: String,
        /// How often it happened.
        pub times: i64,
        /// The first time, milliseconds since 1970.
        pub first_ms: i64,
        /// The last time.
        pub last_ms: i64,
    }
}

/// Notes a fact: once more, if it is known. `evidence` is kept of the first time that has any.
pub async fn put(
    tx: &mut Tx,
    org: &str,
    device: &str,
    kind: &str,
    words: &str,
    evidence: &str,
    now_ms: i64,
) -> Result<u64, StoreError> {
    query!(
        tx: execute tx,
        "INSERT INTO fact (org, device, kind, words, evidence, times, first_ms, last_ms)
         VALUES ($1, $2, $3, $4, $5, 1, $6, $6)
         ON CONFLICT (org, device, kind) DO UPDATE SET
             words = excluded.words, times = fact.times + 1, last_ms = excluded.last_ms,
             evidence = CASE WHEN fact.evidence = '[]' THEN excluded.evidence ELSE fact.evidence END",
        org,
        device,
        kind,
        words,
        evidence,
        now_ms,
    )
}

/// The facts about the devices from `first` to `last`, both included, by device and kind.
pub async fn between(db: &Db, org: &str, first: &str, last: &str) -> Result<Vec<FactRow>, StoreError> {
    query!(
        db: fetch_all FactRow, db,
        "SELECT device, kind, words, evidence, times, first_ms, last_ms
         FROM fact WHERE org = $1 AND device >= $2 AND device <= $3 ORDER BY device, kind",
        org,
        first,
        last,
    )
}

/// All devices of an organization with a fact of this kind.
pub async fn devices(db: &Db, org: &str, kind: &str) -> Result<Vec<(String,)>, StoreError> {
    query!(
        db: fetch_all (String,), db,
        "SELECT device FROM fact WHERE org = $1 AND kind = $2 ORDER BY device",
        org,
        kind,
    )
}
