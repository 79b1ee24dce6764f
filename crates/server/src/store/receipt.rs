//! Receipts, each once by its number, and where they stand in the log.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_trust::ids::Sha256;
use countersign_trust::note::Note;
use countersign_trust::receipt::Receipt;
use countersign_wire::http::{ReceiptPlace, ReceiptView};

use super::{Db, StoreError, Tx, counted, query, row, stored};

/// A receipt on its way into the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewReceipt {
    /// The device, printed.
    pub device: String,
    /// Its number.
    pub number: i64,
    /// SHA-256 of its text.
    pub hash: String,
    /// The hash it names as the one before.
    pub previous: Option<String>,
    /// The job it speaks of.
    pub job: Option<String>,
    /// The note.
    pub note: String,
    /// When it came, milliseconds since 1970.
    pub received_ms: i64,
}

row! {
    /// A receipt beside one that came.
    pub struct Neighbour {
        /// Its number.
        pub number: i64,
        /// SHA-256 of its text.
        pub hash: String,
        /// The root of its batch, once it is logged.
        pub batch: Option<String>,
        /// The note.
        pub note: String,
    }
}

row! {
    /// The newest receipt of a device.
    pub struct NewestReceipt {
        /// The device.
        pub device: String,
        /// Its number.
        pub number: i64,
        /// SHA-256 of its text.
        pub hash: String,
    }
}

row! {
    /// A receipt that is not in the log yet.
    pub struct Unlogged {
        /// The device.
        pub device: String,
        /// Its number.
        pub number: i64,
        /// The note.
        pub note: String,
    }
}

row! {
    /// Where a receipt stands.
    pub struct LoggedReceipt {
        /// The device.
        pub device: String,
        /// Its number.
        pub number: i64,
        /// Which leaf of its batch.
        pub place: i64,
        /// From the leaf's sibling upwards: a JSON array of hashes in base64.
        pub path: String,
        /// The batch's root.
        pub root: String,
        /// How many receipts the batch has.
        pub size: i64,
        /// The batch's `tlog-proof`.
        pub proof: String,
    }
}

row! {
    /// A receipt in a list.
    pub struct ReceiptRow {
        /// The device.
        pub device: String,
        /// Its number.
        pub number: i64,
        /// The note.
        pub note: String,
        /// Which leaf of its batch, once it is logged.
        pub place: Option<i64>,
        /// As in [`LoggedReceipt`].
        pub path: Option<String>,
        /// The batch's root.
        pub root: Option<String>,
        /// How many receipts the batch has.
        pub size: Option<i64>,
        /// The batch's `tlog-proof`.
        pub proof: Option<String>,
    }
}

impl NewReceipt {
    /// The row of a receipt that was checked.
    pub fn of(receipt: &Receipt, note: &Note, now_ms: i64) -> Self {
        Self {
            device: receipt.device.to_string(),
            number: stored(receipt.number),
            hash: Sha256::of(note.text().as_bytes()).to_string(),
            previous: receipt.previous.map(|hash| hash.to_string()),
            job: receipt.job.map(|job| job.to_string()),
            note: note.to_string(),
            received_ms: now_ms,
        }
    }
}

impl LoggedReceipt {
    /// The path's hashes as bytes; none if the records hold something else.
    pub fn path(&self) -> Option<Vec<Vec<u8>>> {
        let path: Vec<String> = serde_json::from_str(&self.path).ok()?;
        path.iter().map(|hash| STANDARD.decode(hash).ok()).collect()
    }
}

impl ReceiptRow {
    /// As clients see it.
    pub fn view(self) -> ReceiptView {
        let place = self.place.zip(self.path).zip(self.root).zip(self.size).zip(self.proof);
        let place = place.map(|((((index, path), root), size), proof)| ReceiptPlace {
            index: counted(index),
            size: counted(size),
            path: serde_json::from_str(&path).unwrap_or_default(),
            root,
            proof,
        });
        ReceiptView { device: self.device, number: counted(self.number), note: self.note, place }
    }

    /// Names this row for [`page`] as the last one seen.
    pub fn cursor(&self) -> String {
        format!("{} {}", self.device, self.number)
    }
}

/// What is known from the number before `number` on: the first three, in the order of their numbers. So they are its
/// neighbours, and whether there is anything after it.
pub async fn around(tx: &mut Tx, org: &str, device: &str, number: i64) -> Result<Vec<Neighbour>, StoreError> {
    query!(
        tx: fetch_all Neighbour, tx,
        "SELECT number, hash, batch, note FROM receipt
         WHERE org = $1 AND device = $2 AND number >= $3 ORDER BY number LIMIT 3",
        org,
        device,
        number.saturating_sub(1),
    )
}

/// The newest receipt of each of these devices that has any.
pub async fn newest(tx: &mut Tx, org: &str, devices: &[String]) -> Result<Vec<NewestReceipt>, StoreError> {
    Ok(query!(
        tx: fetch_each NewestReceipt, tx,
        "SELECT receipt.device, receipt.number, receipt.hash FROM (VALUES {rows TEXT, TEXT}) AS named
         JOIN receipt ON receipt.org = named.column1 AND receipt.device = named.column2
             AND receipt.number = (SELECT MAX(last.number) FROM receipt AS last
                 WHERE last.org = named.column1 AND last.device = named.column2)";
        devices, |device| org, device
    ))
}

/// Keeps receipts, whose numbers must be new.
pub async fn insert(tx: &mut Tx, org: &str, rows: &[NewReceipt]) -> Result<(), StoreError> {
    query!(
        tx: execute_each tx,
        "INSERT INTO receipt (org, device, number, hash, job, note, received_ms)
         VALUES {rows TEXT, TEXT, BIGINT, TEXT, TEXT, TEXT, BIGINT}";
        rows, |row| org, &row.device, row.number, &row.hash, &row.job, &row.note, row.received_ms
    );
    Ok(())
}

/// The receipts that came first of those that are not in the log.
pub async fn unlogged(db: &Db, org: &str, limit: i64) -> Result<Vec<Unlogged>, StoreError> {
    query!(
        db: fetch_all Unlogged, db,
        "SELECT device, number, note FROM receipt WHERE org = $1 AND batch IS NULL
         ORDER BY received_ms, device, number LIMIT $2",
        org,
        limit,
    )
}

/// Notes where receipts stand: their batch's root, and of each its place there and the path as in [`LoggedReceipt`].
pub async fn logged(
    tx: &mut Tx,
    org: &str,
    root: &str,
    rows: &[(&Unlogged, i64, String)],
) -> Result<(), StoreError> {
    query!(
        tx: execute_each tx,
        "UPDATE receipt SET batch = $1, place = stands.column4, path = stands.column5
         FROM (VALUES {rows TEXT, TEXT, BIGINT, BIGINT, TEXT}) AS stands
         WHERE receipt.org = stands.column1 AND receipt.device = stands.column2 AND receipt.number = stands.column3",
        root;
        rows, |(row, place, path)| org, &row.device, row.number, *place, path
    );
    Ok(())
}

/// A device's receipts from number `from` on that stand in the log, in their order.
pub async fn logged_from(
    db: &Db,
    org: &str,
    device: &str,
    from: i64,
    limit: i64,
) -> Result<Vec<LoggedReceipt>, StoreError> {
    query!(
        db: fetch_all LoggedReceipt, db,
        "SELECT receipt.device, receipt.number, receipt.place, receipt.path, batch.root, batch.size, batch.proof
         FROM receipt JOIN batch ON batch.org = receipt.org AND batch.root = receipt.batch
         WHERE receipt.org = $1 AND receipt.device = $2 AND receipt.number >= $3
         ORDER BY receipt.number LIMIT $4",
        org,
        device,
        from,
        limit,
    )
}

/// Of each device with a receipt in the batch `root`: what stands in the log by other batches behind its first there, at most `most`
/// numbers.
pub async fn logged_behind(
    db: &Db,
    org: &str,
    root: &str,
    most: i64,
) -> Result<Vec<LoggedReceipt>, StoreError> {
    // The cast keeps SQLite from reading all receipts of the organization for the sake of their order.
    query!(
        db: fetch_all LoggedReceipt, db,
        "SELECT receipt.device, receipt.number, receipt.place, receipt.path, batch.root, batch.size, batch.proof
         FROM (SELECT org, CAST(device AS TEXT) AS device, MIN(number) AS number FROM receipt
               WHERE org = $1 AND batch = $2 GROUP BY org, CAST(device AS TEXT)) AS least
         JOIN receipt ON receipt.org = least.org AND receipt.device = least.device
             AND receipt.number > least.number AND receipt.number - least.number < $3 AND receipt.batch <> $2
         JOIN batch ON batch.org = receipt.org AND batch.root = receipt.batch
         ORDER BY receipt.device, receipt.number",
        org,
        root,
        most,
    )
}

/// A page of receipts by device and number; `after` is the [`ReceiptRow::cursor`] of the last row of the page before, empty
/// at the start, or a device alone: then its first receipt is the first.
pub async fn page(db: &Db, org: &str, after: &str, limit: i64) -> Result<Vec<ReceiptRow>, StoreError> {
    let (device, number) = after.split_once(' ').unwrap_or((after, "0"));
    let number: i64 = number.parse().unwrap_or(0);
    query!(
        db: fetch_all ReceiptRow, db,
        "SELECT receipt.device, receipt.number, receipt.note, receipt.place, receipt.path, batch.root, batch.size,
             batch.proof
         FROM receipt LEFT JOIN batch ON batch.org = receipt.org AND batch.root = receipt.batch
         WHERE receipt.org = $1 AND (receipt.device > $2 OR (receipt.device = $2 AND receipt.number > $3))
         ORDER BY receipt.device, receipt.number LIMIT $4",
        org,
        device,
        number,
        limit,
    )
}

/// All receipts that speak of one job, by device and number.
pub async fn of_job(db: &Db, org: &str, job: &str) -> Result<Vec<ReceiptRow>, StoreError> {
    query!(
        db: fetch_all ReceiptRow, db,
        "SELECT receipt.device, receipt.number, receipt.note, receipt.place, receipt.path, batch.root, batch.size,
             batch.proof
         FROM receipt LEFT JOIN batch ON batch.org = receipt.org AND batch.root = receipt.batch
         WHERE receipt.org = $1 AND receipt.job = $2
         ORDER BY receipt.device, receipt.number",
        org,
        job,
    )
}
