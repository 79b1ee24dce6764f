//! Devices: how each was enrolled, and what it says of itself.

use std::collections::BTreeMap;

use countersign_trust::join::Enrolled;

use super::{Db, StoreError, Tx, query, row, stored};

const DAY_MS: i64 = 86_400_000;

row! {
    /// An enrolled device.
    pub struct DeviceRow {
        /// Its id, printed.
        pub id: String,
        /// The hash of the enrollment statement.
        pub enroll: String,
        /// Its join's note, for a device of a batch.
        pub join_note: Option<String>,
        /// The join's `tlog-proof`.
        pub join_proof: Option<String>,
        /// The leaf by which it is enrolled.
        pub leaf: i64,
        /// In which of the logs that policies have named; 0 for the first.
        pub nth_log: i64,
        /// Its labels, the site among them under `site`, as a JSON object.
        pub labels: String,
        /// The agent's version, as it says.
        pub version: String,
        /// What the machine calls itself.
        pub hostname: String,
        /// Its operating system, as it says.
        pub system: String,
        /// The number of the newest policy it holds, as it says.
        pub policy_number: i64,
        /// When it was last heard, milliseconds since 1970; 0 if never.
        pub last_seen_ms: i64,
        /// Whether it was retired.
        pub retired: bool,
        /// The batch by which it joined, for a device that did; stays when it is enrolled anew.
        pub batch: Option<String>,
        /// Which enrollment of the device it is; 0 for one that joined.
        pub seq: i64,
    }
}

/// What an agent says of itself: shown, never believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Its version.
    pub version: String,
    /// What the machine calls itself.
    pub hostname: String,
    /// Its operating system.
    pub system: String,
    /// The number of the newest policy it holds.
    pub policy_number: i64,
}

impl DeviceRow {
    /// A device that nothing was heard of yet; with its join's note and proof, if it joined a batch.
    pub fn enrolled(enrolled: &Enrolled, join: Option<(String, String)>) -> Self {
        let labels: BTreeMap<&str, &str> =
            enrolled.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let batch = join.as_ref().map(|_| enrolled.enroll.to_string());
        let (join_note, join_proof) = join.unzip();
        Self {
            id: enrolled.device.to_string(),
            enroll: enrolled.enroll.to_string(),
            join_note,
            join_proof,
            leaf: stored(enrolled.place.index),
            nth_log: i64::try_from(enrolled.place.log).unwrap_or(i64::MAX),
            // A map of strings always prints.
            labels: serde_json::to_string(&labels).unwrap_or_default(),
            version: String::new(),
            hostname: String::new(),
            system: String::new(),
            policy_number: 0,
            last_seen_ms: 0,
            retired: false,
            batch,
            seq: stored(enrolled.seq),
        }
    }

    /// Its labels.
    pub fn labels(&self) -> BTreeMap<String, String> {
        serde_json::from_str(&self.labels).unwrap_or_default()
    }
}

/// Stores an enrollment; a later one of the same device takes its place. What the device said of itself stays, and so does
/// the join by which it came.
pub async fn insert(tx: &mut Tx, org: &str, row: &DeviceRow) -> Result<u64, StoreError> {
    query!(
        tx: execute tx,
        "INSERT INTO device (org, id, enroll, join_note, join_proof, leaf, labels, version, hostname, system,
             policy_number, last_seen_ms, retired, batch, seq, nth_log)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
         ON CONFLICT (org, id) DO UPDATE SET
             enroll = excluded.enroll, leaf = excluded.leaf, nth_log = excluded.nth_log, labels = excluded.labels,
             seq = excluded.seq",
        org,
        &row.id,
        &row.enroll,
        &row.join_note,
        &row.join_proof,
        row.leaf,
        &row.labels,
        &row.version,
        &row.hostname,
        &row.system,
        row.policy_number,
        row.last_seen_ms,
        row.retired,
        &row.batch,
        row.seq,
        row.nth_log,
    )
}

/// Stores devices that joined; one that is there stays as it is.
pub async fn join(tx: &mut Tx, org: &str, rows: &[DeviceRow]) -> Result<u64, StoreError> {
    Ok(query!(
        tx: execute_each tx,
        "INSERT INTO device (org, id, enroll, join_note, join_proof, leaf, labels, version, hostname, system,
             policy_number, last_seen_ms, retired, batch, seq, nth_log)
         VALUES {rows TEXT, TEXT, TEXT, TEXT, TEXT, BIGINT, TEXT, TEXT, TEXT, TEXT, BIGINT, BIGINT, BOOLEAN, TEXT, BIGINT, BIGINT}
         ON CONFLICT (org, id) DO NOTHING";
        rows, |row| org, &row.id, &row.enroll, &row.join_note, &row.join_proof, row.leaf, &row.labels, &row.version, &row.hostname,
            &row.system, row.policy_number, row.last_seen_ms, row.retired, &row.batch, row.seq, row.nth_log
    ))
}

/// Those of these devices that are enrolled.
pub async fn named(tx: &mut Tx, org: &str, ids: &[String]) -> Result<Vec<DeviceRow>, StoreError> {
    Ok(query!(
        tx: fetch_each DeviceRow, tx,
        "SELECT id, enroll, join_note, join_proof, leaf, labels, version, hostname, system, policy_number,
             last_seen_ms, retired, batch, seq, nth_log
         FROM device WHERE org = $1 AND id IN ({rows TEXT})",
        org;
        ids, |id| id
    ))
}

/// Labels of these devices, as a JSON object each, and whether each was retired.
pub async fn labels_of(
    db: &Db,
    org: &str,
    ids: &[String],
) -> Result<Vec<(String, String, bool)>, StoreError> {
    Ok(query!(
        db: fetch_each (String, String, bool), db,
        "SELECT id, labels, retired FROM device WHERE org = $1 AND id IN ({rows TEXT})",
        org;
        ids, |id| id
    ))
}

/// One device.
pub async fn get(db: &Db, org: &str, id: &str) -> Result<Option<DeviceRow>, StoreError> {
    query!(
        db: fetch_optional DeviceRow, db,
        "SELECT id, enroll, join_note, join_proof, leaf, labels, version, hostname, system, policy_number,
             last_seen_ms, retired, batch, seq, nth_log
         FROM device WHERE org = $1 AND id = $2",
        org,
        id,
    )
}

/// A page of devices by id, retired ones included; `after` is the last id of the page before, empty at the start.
pub async fn page(db: &Db, org: &str, after: &str, limit: i64) -> Result<Vec<DeviceRow>, StoreError> {
    query!(
        db: fetch_all DeviceRow, db,
        "SELECT id, enroll, join_note, join_proof, leaf, labels, version, hostname, system, policy_number,
             last_seen_ms, retired, batch, seq, nth_log
         FROM device WHERE org = $1 AND id > $2 ORDER BY id LIMIT $3",
        org,
        after,
        limit,
    )
}

/// All devices that are not retired, by id.
pub async fn all(db: &Db, org: &str) -> Result<Vec<DeviceRow>, StoreError> {
    query!(
        db: fetch_all DeviceRow, db,
        "SELECT id, enroll, join_note, join_proof, leaf, labels, version, hostname, system, policy_number,
             last_seen_ms, retired, batch, seq, nth_log
         FROM device WHERE org = $1 AND NOT retired ORDER BY id",
        org,
    )
}

/// Devices that joined at or above `end` in a log that was replaced at that size, and hold that enrollment still, in the log's order.
pub async fn given_up(db: &Db, org: &str, nth_log: i64, end: i64) -> Result<Vec<DeviceRow>, StoreError> {
    query!(
        db: fetch_all DeviceRow, db,
        "SELECT id, enroll, join_note, join_proof, leaf, labels, version, hostname, system, policy_number,
             last_seen_ms, retired, batch, seq, nth_log
         FROM device
         WHERE org = $1 AND nth_log = $2 AND leaf >= $3 AND join_note IS NOT NULL AND enroll = batch ORDER BY leaf",
        org,
        nth_log,
        end,
    )
}

/// Stores where a device's join stands since it was logged again.
pub async fn joined_again(
    tx: &mut Tx,
    org: &str,
    id: &str,
    (nth_log, leaf): (i64, i64),
    proof: &str,
) -> Result<u64, StoreError> {
    query!(
        tx: execute tx,
        "UPDATE device SET nth_log = $1, leaf = $2, join_proof = $3 WHERE org = $4 AND id = $5 AND enroll = batch",
        nth_log,
        leaf,
        proof,
        org,
        id,
    )
}

/// How many devices are not retired.
pub async fn count(db: &Db, org: &str) -> Result<i64, StoreError> {
    let row = query!(
        db: fetch_one (i64,), db,
        "SELECT COUNT(*) FROM device WHERE org = $1 AND NOT retired",
        org,
    )?;
    Ok(row.0)
}

/// How many devices ever joined by this batch, those that were retired or enrolled anew included: their places are taken.
pub async fn count_of_enroll(tx: &mut Tx, org: &str, enroll: &str) -> Result<i64, StoreError> {
    let row = query!(
        tx: fetch_one (i64,), tx,
        "SELECT COUNT(*) FROM device WHERE org = $1 AND batch = $2",
        org,
        enroll,
    )?;
    Ok(row.0)
}

/// Marks a device as retired.
pub async fn retire(tx: &mut Tx, org: &str, id: &str) -> Result<u64, StoreError> {
    query!(tx: execute tx, "UPDATE device SET retired = TRUE WHERE org = $1 AND id = $2", org, id)
}

/// How many receipts a device may bring about nothing it was given, and how many more each day until it may bring so many again:
/// what is kept of a hostile one grows by less than a MiB a day, and an honest one that thieves brought strange jobs comes back.
pub const UNASKED: (i64, i64) = (8_192, 256);

/// Takes one from the receipts that a device may still bring about nothing it was given. Answers 0 if none is left.
pub async fn take_receipt(tx: &mut Tx, org: &str, id: &str, now_ms: i64) -> Result<u64, StoreError> {
    let today = now_ms / DAY_MS;
    query!(
        tx: execute tx,
        "UPDATE device SET receipts_day = $3, receipts_left =
             CASE WHEN receipts_left + $5 * ($3 - receipts_day) > $4 THEN $4 ELSE receipts_left + $5 * ($3 - receipts_day) END
         WHERE org = $1 AND id = $2 AND receipts_day < $3",
        org,
        id,
        today,
        UNASKED.0,
        UNASKED.1,
    )?;
    query!(
        tx: execute tx,
        "UPDATE device SET receipts_left = receipts_left - 1 WHERE org = $1 AND id = $2 AND receipts_left > 0",
        org,
        id,
    )
}

/// Whether any organization has a device with this id that is not retired.
pub async fn is_known(db: &Db, id: &str) -> Result<bool, StoreError> {
    let row = query!(
        db: fetch_one (i64,), db,
        "SELECT COUNT(*) FROM device WHERE id = $1 AND NOT retired",
        id,
    )?;
    Ok(row.0 > 0)
}

/// Stores what devices said of themselves when they connected.
pub async fn said(tx: &mut Tx, org: &str, rows: &[(String, Said)], now_ms: i64) -> Result<(), StoreError> {
    query!(
        tx: execute_each tx,
        "UPDATE device SET
             version = says.column3, hostname = says.column4, system = says.column5, policy_number = says.column6,
             last_seen_ms = $1
         FROM (VALUES {rows TEXT, TEXT, TEXT, TEXT, TEXT, BIGINT}) AS says
         WHERE org = says.column1 AND id = says.column2",
        now_ms;
        rows, |(id, said)| org, id, &said.version, &said.hostname, &said.system, said.policy_number
    );
    Ok(())
}

/// Whether a device is enrolled, and if so, whether it was retired.
pub async fn retired(db: &Db, org: &str, id: &str) -> Result<Option<bool>, StoreError> {
    let row = query!(
        db: fetch_optional (bool,), db,
        "SELECT retired FROM device WHERE org = $1 AND id = $2",
        org,
        id,
    )?;
    Ok(row.map(|(retired,)| retired))
}

/// Stores when devices were last heard.
pub async fn seen(tx: &mut Tx, org: &str, ids: &[String], now_ms: i64) -> Result<u64, StoreError> {
    Ok(query!(
        tx: execute_each tx,
        "UPDATE device SET last_seen_ms = $1 WHERE org = $2 AND id IN ({rows TEXT})",
        now_ms,
        org;
        ids, |id| id
    ))
}
