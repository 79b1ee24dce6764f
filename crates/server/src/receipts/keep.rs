//! Keeps what devices tell as it comes, many in one transaction.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_trust::ids::DeviceId;
use countersign_trust::receipt::{Receipt, Verdict};
use countersign_wire::http::JobEvent;
use tokio::sync::mpsc;

use super::{Heard, Letter, Piece, batch, log_soon};
use crate::app::{App, Org};
use crate::dispatch;
use crate::store::receipt::{Kept, NewReceipt};
use crate::store::{StoreError, Tx, counted, job_device, output, receipt, stored};

/// How many letters go into one transaction.
const MOST_AT_ONCE: usize = 256;

/// Works off the inbox until it is closed.
pub async fn run(app: Weak<App>, org: Arc<Org>, mut letters: mpsc::Receiver<Letter>) {
    let mut heard = Vec::with_capacity(MOST_AT_ONCE);
    while letters.recv_many(&mut heard, MOST_AT_ONCE).await > 0 {
        let Some(app) = app.upgrade() else { return };
        match keep(&app, &org, &heard).await {
            Ok(kept) => tell(&app, &org, heard.drain(..).zip(kept)).await,
            Err(error) => {
                tracing::error!(org.id = %org.id, letters = heard.len(), %error, "what devices told is not kept");
                heard.drain(..).for_each(|letter| bring_again(&app, &org, &letter));
            }
        }
    }
}

/// A device that is dismissed connects again and brings its receipts again.
fn bring_again(app: &App, org: &Org, letter: &Letter) {
    let device = match letter {
        Letter::Receipt(heard) => heard.receipt.device,
        Letter::Output(piece) => piece.device,
    };
    app.gate.dismiss(&org.id, &device, "the server cannot reach its records; try again later");
}

async fn keep(app: &App, org: &Org, heard: &[Letter]) -> Result<Vec<Kept>, StoreError> {
    let (id, now_ms) = (org.id.to_string(), stored((app.now_ms)()));
    let mut kept = Vec::with_capacity(heard.len());
    let mut tx = app.db.begin().await?;
    for letter in heard {
        kept.push(match letter {
            Letter::Receipt(heard) => keep_receipt(&mut tx, &id, heard, now_ms).await?,
            Letter::Output(piece) => keep_output(&mut tx, &id, piece).await?,
        });
    }
    tx.commit().await?;
    Ok(kept)
}

async fn keep_receipt(tx: &mut Tx, org: &str, heard: &Heard, now_ms: i64) -> Result<Kept, StoreError> {
    let Heard { receipt, note } = heard;
    let row = NewReceipt::of(receipt, note, now_ms);
    let became = receipt::insert(tx, org, &row).await?;
    // The newest receipt says how a job stands, but for one: that a step was brought again and did not run again.
    if matches!(became, Kept::New { .. })
        && !dispatch::says_again(receipt)
        && let Some(job) = &row.job
    {
        let (verdict, because) = (receipt.verdict.to_string(), receipt.because.as_str());
        job_device::receipt_came(tx, org, job, &row.device, &verdict, because, row.number).await?;
    }
    Ok(became)
}

async fn keep_output(tx: &mut Tx, org: &str, piece: &Piece) -> Result<Kept, StoreError> {
    let (job, device) = (piece.job.to_string(), piece.device.to_string());
    match output::insert(tx, org, &job, &device, &piece.row).await? {
        0 => Ok(Kept::Known { logged: false }),
        _ => Ok(Kept::New { follows: true }),
    }
}

/// What is to be done about letters that are kept.
#[derive(Default)]
struct Duties {
    log: bool,
    acknowledge: BTreeMap<DeviceId, u64>,
    free: Vec<DeviceId>,
}

async fn tell(app: &Arc<App>, org: &Arc<Org>, heard: impl Iterator<Item = (Letter, Kept)>) {
    let mut duties = Duties::default();
    for (letter, kept) in heard {
        match letter {
            Letter::Receipt(heard) => tell_receipt(app, org, *heard, kept, &mut duties),
            Letter::Output(piece) => tell_output(app, org, piece, kept),
        }
    }
    if duties.log {
        log_soon(app, org);
    }
    for (device, least) in duties.acknowledge {
        batch::acknowledge(app, org, &device, least, batch::Proofs::MayBeOld).await;
    }
    for device in duties.free {
        dispatch::device_free(app, org, &device).await;
    }
}

fn tell_receipt(app: &App, org: &Org, heard: Heard, kept: Kept, duties: &mut Duties) {
    let Heard { receipt, note } = heard;
    let Receipt { device, number, job, verdict, .. } = receipt;
    match kept {
        Kept::New { follows } => {
            if !follows {
                tracing::warn!(device.id = %device, receipt.number = number, "a receipt does not name the one before it");
            }
            duties.log = true;
            if verdict == Verdict::Ended {
                duties.free.push(device);
            }
            if let Some(job) = job {
                let (device, note) = (device.to_string(), note.to_string());
                app.events.publish(&org.id, &job, JobEvent::Receipt { device, note });
            }
        }
        Kept::Known { logged: true } => {
            duties
                .acknowledge
                .entry(device)
                .and_modify(|least| *least = number.min(*least))
                .or_insert(number);
        }
        Kept::Known { logged: false } => duties.log = true,
        Kept::Another => {
            tracing::warn!(device.id = %device, receipt.number = number, "a device signed two receipts of one number; the second is not kept");
        }
    }
}

fn tell_output(app: &App, org: &Org, piece: Piece, kept: Kept) {
    let Piece { device, job, row } = piece;
    if !matches!(kept, Kept::New { .. }) || !app.events.is_watched(&org.id, &job) {
        return;
    }
    let event = JobEvent::Output {
        device: device.to_string(),
        step: counted(row.step),
        stream: u32::try_from(row.stream).unwrap_or_default(),
        offset: counted(row.place),
        bytes: STANDARD.encode(&row.bytes),
    };
    app.events.publish(&org.id, &job, event);
}
