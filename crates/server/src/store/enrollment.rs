//! Which logged statements speak of one device: its enrollments, and its end.

use super::{Db, StoreError, Tx, query, row};

/// The number of a device's end: behind every enrollment.
pub const END: i64 = i64::MAX;

row! {
    /// A statement about a device.
    pub struct EnrollmentRow {
        /// Its hash, printed.
        pub hash: String,
        /// The envelope without a proof.
        pub envelope: String,
        /// Its `tlog-proof`.
        pub proof: String,
    }
}

/// Notes that a logged statement speaks of a device. Where that is known, nothing changes.
pub async fn insert(
    tx: &mut Tx,
    org: &str,
    device: &str,
    seq: i64,
    statement: &str,
) -> Result<u64, StoreError> {
    query!(
        tx: execute tx,
        "INSERT INTO enrollment (org, device, seq, statement) VALUES ($1, $2, $3, $4)
         ON CONFLICT (org, device, statement) DO NOTHING",
        org,
        device,
        seq,
        statement,
    )
}

/// The statements about a device, in the order in which they follow each other.
pub async fn of_device(db: &Db, org: &str, device: &str) -> Result<Vec<EnrollmentRow>, StoreError> {
    query!(
        db: fetch_all EnrollmentRow, db,
        "SELECT statement.hash, statement.envelope, statement.proof
         FROM enrollment JOIN statement ON statement.org = enrollment.org AND statement.hash = enrollment.statement
         WHERE enrollment.org = $1 AND enrollment.device = $2 AND statement.proof IS NOT NULL
         ORDER BY enrollment.seq",
        org,
        device,
    )
}
