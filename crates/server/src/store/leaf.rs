//! The entries of each log, in their order.

use super::{Db, StoreError, Tx, query};

/// Where the entry with this leaf hash stands.
pub async fn place(tx: &mut Tx, org: &str, log: i64, hash: &str) -> Result<Option<i64>, StoreError> {
    let row = query!(
        tx: fetch_optional (i64,), tx,
        "SELECT place FROM leaf WHERE org = $1 AND log = $2 AND hash = $3",
        org,
        log,
        hash,
    )?;
    Ok(row.map(|(place,)| place))
}

/// The same, outside of a transaction.
pub async fn find(db: &Db, org: &str, log: i64, hash: &str) -> Result<Option<i64>, StoreError> {
    let row = query!(
        db: fetch_optional (i64,), db,
        "SELECT place FROM leaf WHERE org = $1 AND log = $2 AND hash = $3",
        org,
        log,
        hash,
    )?;
    Ok(row.map(|(place,)| place))
}

/// Puts an entry at the end of the log.
pub async fn insert(
    tx: &mut Tx,
    org: &str,
    log: i64,
    place: i64,
    hash: &str,
    entry: &str,
) -> Result<u64, StoreError> {
    query!(
        tx: execute tx,
        "INSERT INTO leaf (org, log, place, hash, entry) VALUES ($1, $2, $3, $4, $5)",
        org,
        log,
        place,
        hash,
        entry,
    )
}

/// The entries from `first` up to but without `end`.
pub async fn entries(db: &Db, org: &str, log: i64, first: i64, end: i64) -> Result<Vec<String>, StoreError> {
    let rows = query!(
        db: fetch_all (String,), db,
        "SELECT entry FROM leaf WHERE org = $1 AND log = $2 AND place >= $3 AND place < $4 ORDER BY place",
        org,
        log,
        first,
        end,
    )?;
    Ok(rows.into_iter().map(|(entry,)| entry).collect())
}
