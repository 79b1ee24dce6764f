//! What devices tell: receipts are checked, kept, told, and logged in batches, so that devices can let go of them; output is
//! kept and told.
//!
//! Two tasks an organization: one keeps what comes, one logs what is kept. So a slow witness delays only the
//! acknowledgement.
//!
//! Source: docs/spec/7-receipts.md.

pub mod batch;
mod chain;
mod keep;
mod pending;

use std::sync::Arc;

use countersign_trust::ids::{DeviceId, OrgId, Sha256};
use countersign_trust::join::device_key;
use countersign_trust::lines::LinesError;
use countersign_trust::note::{Note, NoteError, VerifierKeyError};
use countersign_trust::receipt::Receipt;
use countersign_trust::statement::job::Job;

use crate::app::{App, Org};
use crate::gate::connection::Connection;
use crate::store::output::OutputRow;

/// The longest note, in bytes: a receipt has 17 lines, of which one is a sentence of 500 characters.
const MOST_NOTE: usize = 4 * 1024;
/// How many receipts a device may bring about a job beside those of its steps: refusals, mostly.
const MOST_BESIDE: u64 = 64;
/// How many a step may have: it is accepted, and it ends or is interrupted; and as much again.
const MOST_OF_A_STEP: u64 = 4;

/// A receipt whose signature, organization and device have been checked.
#[derive(Debug)]
pub struct Heard {
    receipt: Receipt,
    note: Note,
}

/// A piece of output, bounded and of a job that the device was given.
#[derive(Debug)]
pub struct Piece {
    /// The device.
    pub device: DeviceId,
    /// The job.
    pub job: Sha256,
    /// What is kept.
    pub row: OutputRow,
}

/// What a device tells of a job, in the order in which it waits to be kept.
#[derive(Debug)]
pub enum Report {
    /// A receipt.
    Receipt(Box<Heard>),
    /// Output.
    Output(Piece),
}

/// The server is stopping.
#[derive(Debug, thiserror::Error)]
#[error("the server is stopping; try again later")]
pub struct Stopping;

/// Why a note is no receipt of the device that sent it.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// No receipt is as long.
    #[error("a receipt of {found} bytes, at most {MOST_NOTE} are read")]
    Long {
        /// Its bytes.
        found: usize,
    },
    /// Not a note.
    #[error("the receipt is no note: {0}")]
    Note(#[from] NoteError),
    /// Not a receipt.
    #[error("the receipt: {0}")]
    Text(#[from] LinesError),
    /// The device's key makes no note key.
    #[error(transparent)]
    Key(#[from] VerifierKeyError),
    /// Not signed by the device.
    #[error("the receipt is not signed by {0}")]
    Unsigned(DeviceId),
    /// It speaks for another device.
    #[error("the receipt is of {found}, the connection is of {expected}")]
    Device {
        /// The device of the connection.
        expected: DeviceId,
        /// The receipt's.
        found: DeviceId,
    },
    /// It speaks of another organization.
    #[error("the receipt is of {found}, the connection is of {expected}")]
    Organization {
        /// The connection's.
        expected: OrgId,
        /// The receipt's.
        found: OrgId,
    },
    /// Receipts are counted from 1, and up to what the records can hold.
    #[error("the receipt's number is {0}")]
    Number(u64),
    /// The work was not finished.
    #[error(transparent)]
    Stopping(#[from] Stopping),
}

/// Takes a receipt that came over `connection`; waits while too many wait before it.
pub async fn take(
    app: &Arc<App>,
    org: &Arc<Org>,
    connection: &Connection,
    note: &str,
) -> Result<(), ReceiptError> {
    let heard = check(org.id, connection, note)?;
    Ok(keep(app, org, Report::Receipt(Box::new(heard))).await?)
}

/// Has a report kept; waits while too many wait before it.
pub async fn keep(app: &Arc<App>, org: &Arc<Org>, report: Report) -> Result<(), Stopping> {
    let (weak, of) = (Arc::downgrade(app), org.clone());
    let queue = app.gate.reports.of(&org.id, |reports| drop(tokio::spawn(keep::run(weak, of, reports))));
    queue.send(report).await.map_err(|_| Stopping)
}

fn check(org: OrgId, connection: &Connection, note: &str) -> Result<Heard, ReceiptError> {
    if note.len() > MOST_NOTE {
        return Err(ReceiptError::Long { found: note.len() });
    }
    let note: Note = note.parse()?;
    let device = connection.device;
    if !note.signed_by(&device_key(connection.key)?) {
        return Err(ReceiptError::Unsigned(device));
    }
    let receipt: Receipt = note.text().parse()?;
    if receipt.device != device {
        return Err(ReceiptError::Device { expected: device, found: receipt.device });
    }
    if receipt.org != org {
        return Err(ReceiptError::Organization { expected: org, found: receipt.org });
    }
    if receipt.number == 0 || i64::try_from(receipt.number).is_err() {
        return Err(ReceiptError::Number(receipt.number));
    }
    Ok(Heard { receipt, note })
}

/// How many receipts about `job` are kept of each device it is sent to.
pub fn most_about(job: &Job) -> u64 {
    let steps = u64::try_from(job.steps.len()).unwrap_or(u64::MAX);
    let life = job.not_after.0.saturating_sub(job.not_before.0);
    let occurrences = life.checked_div(job.repeat).unwrap_or(0).saturating_add(1);
    steps.saturating_mul(MOST_OF_A_STEP).saturating_mul(occurrences).saturating_add(MOST_BESIDE)
}

/// Has the log take what is kept and not logged yet.
pub fn log_soon(app: &Arc<App>, org: &Arc<Org>) {
    let (weak, of) = (Arc::downgrade(app), org.clone());
    let queue = app.gate.batches.of(&org.id, |calls| drop(tokio::spawn(batch::run(weak, of, calls))));
    // A call that waits already says the same.
    let _ = queue.try_send(());
}
