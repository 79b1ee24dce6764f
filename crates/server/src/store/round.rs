//! What the beacons said in a round of deliveries, once for all that it was for.

use super::{StoreError, Tx, query};

/// Stores a round: the challenges, 32 bytes each, and the Clears that answer them, a JSON array of notes. Answers its number.
pub async fn insert(tx: &mut Tx, org: &str, challenges: &[u8], notes: &str) -> Result<i64, StoreError> {
    let (last,) = query!(
        tx: fetch_one (i64,), &mut *tx,
        "SELECT COALESCE(MAX(number), 0) FROM round WHERE org = $1",
        org,
    )?;
    let number = last.saturating_add(1);
    query!(
        tx: execute tx,
        "INSERT INTO round (org, number, challenges, notes) VALUES ($1, $2, $3, $4)",
        org,
        number,
        challenges,
        notes,
    )?;
    Ok(number)
}

/// Forgets those of the rounds `numbers` by which no device was sent anything the last time.
pub async fn forget_unused(tx: &mut Tx, org: &str, numbers: &[i64]) -> Result<u64, StoreError> {
    Ok(query!(
        tx: execute_each tx,
        "DELETE FROM round WHERE org = $1 AND number IN ({rows BIGINT}) AND NOT EXISTS
             (SELECT 1 FROM job_device WHERE job_device.org = round.org AND job_device.round = round.number)",
        org;
        numbers, |number| number
    ))
}
