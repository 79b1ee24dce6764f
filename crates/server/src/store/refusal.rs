//! Refusals that count for tripwires, of the last day.

use super::{Db, StoreError, Tx, query, row};

/// A refusal on its way into the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRefusal {
    /// The device, printed.
    pub device: String,
    /// Its receipt's number.
    pub number: i64,
    /// Why, for programs.
    pub code: String,
    /// For how many it stands.
    pub times: i64,
}

row! {
    /// What a device refused within some time.
    pub struct Refused {
        /// The device.
        pub device: String,
        /// Why.
        pub code: String,
        /// How often.
        pub times: i64,
    }
}

/// Keeps refusals that came at `now_ms`, whose receipts are new, and forgets those that came before `least_ms`.
pub async fn insert(
    tx: &mut Tx,
    org: &str,
    rows: &[NewRefusal],
    now_ms: i64,
    least_ms: i64,
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    query!(tx: execute tx, "DELETE FROM refusal WHERE org = $1 AND received_ms < $2", org, least_ms)?;
    query!(
        tx: execute_each tx,
        "INSERT INTO refusal (org, device, number, code, times, received_ms)
         VALUES {rows TEXT, TEXT, BIGINT, TEXT, BIGINT, BIGINT} ON CONFLICT (org, device, number) DO NOTHING";
        rows, |row| org, &row.device, row.number, &row.code, row.times, now_ms
    );
    Ok(())
}

/// What came after `after_ms`, by device and code.
pub async fn after(db: &Db, org: &str, after_ms: i64) -> Result<Vec<Refused>, StoreError> {
    // A device may claim any number: what it claims is cut before it is added up.
    query!(
        db: fetch_all Refused, db,
        "SELECT device, code, CAST(SUM(CASE WHEN times > 1000000 THEN 1000000 ELSE times END) AS BIGINT) AS times
         FROM refusal WHERE org = $1 AND received_ms > $2 GROUP BY device, code ORDER BY device, code",
        org,
        after_ms,
    )
}

/// The receipts that came last of those after `after_ms`.
pub async fn newest(db: &Db, org: &str, after_ms: i64, limit: i64) -> Result<Vec<(String,)>, StoreError> {
    query!(
        db: fetch_all (String,), db,
        "SELECT receipt.note FROM refusal
         JOIN receipt ON receipt.org = refusal.org AND receipt.device = refusal.device AND receipt.number = refusal.number
         WHERE refusal.org = $1 AND refusal.received_ms > $2
         ORDER BY refusal.received_ms DESC, refusal.device, refusal.number LIMIT $3",
        org,
        after_ms,
        limit,
    )
}
