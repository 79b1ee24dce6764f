//! Keeps what devices tell as it comes, many in one transaction.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_trust::ids::DeviceId;
use countersign_trust::receipt::{Receipt, Verdict};
use countersign_trust::statement::policy::Watched;
use countersign_wire::http::JobEvent;
use tokio::sync::mpsc;

use super::chain::{Fits, Newest, fits};
use super::pending::Pending;
use super::{Heard, Piece, Report, batch, log_soon};
use crate::app::{App, Org};
use crate::dispatch;
use crate::facts::{self, Fact, Kind};
use crate::queue::gather;
use crate::store::receipt::NewReceipt;
use crate::store::{StoreError, counted, stored};
use crate::tripwires::{self, counting::is_refusal};

/// How many reports go into one transaction.
const MOST_AT_ONCE: usize = 1_024;

/// What became of a report.
enum Kept {
    /// It is new.
    New,
    /// It was there before.
    Known {
        /// Whether it stands in the log.
        logged: bool,
    },
    /// It is not kept.
    Not,
}

/// Works off the queue until it is closed.
pub async fn run(app: Weak<App>, org: Arc<Org>, mut reports: mpsc::Receiver<Report>) {
    let (mut heard, mut newest) = (Vec::new(), Newest::default());
    loop {
        let count = reports.recv_many(&mut heard, MOST_AT_ONCE).await;
        if count == 0 {
            return;
        }
        let Some(app) = app.upgrade() else { return };
        match keep(&app, &org, &heard, &mut newest).await {
            Ok(kept) => tell(&app, &org, heard.drain(..).zip(kept)).await,
            Err(error) => {
                // What is remembered may not be in the records.
                newest = Newest::default();
                tracing::error!(org.id = %org.id, reports = heard.len(), %error, "what devices told is not kept");
                heard.drain(..).for_each(|report| bring_again(&app, &org, &report));
            }
        }
        drop(app);
        gather(count).await;
    }
}

/// A device that is dismissed connects again and brings its receipts again.
fn bring_again(app: &App, org: &Org, report: &Report) {
    let device = match report {
        Report::Receipt(heard) => heard.receipt.device,
        Report::Output(piece) => piece.device,
    };
    app.gate.dismiss(&org.id, &device, "the server cannot reach its records; try again later");
}

async fn keep(
    app: &App,
    org: &Org,
    heard: &[Report],
    newest: &mut Newest,
) -> Result<Vec<(Kept, Option<Fact>)>, StoreError> {
    let (id, now_ms) = (org.id.to_string(), stored((app.now_ms)()));
    let mut kept = Vec::with_capacity(heard.len());
    let counts =
        { tripwires::watches(&org.chain().policy().body, |what| matches!(what, Watched::Refusals(_))) };
    let mut tx = app.db.begin().await?;
    let mut pending = Pending::of(&mut tx, &id, heard, newest).await?;
    for report in heard {
        kept.push(match report {
            Report::Receipt(heard) => keep_receipt(&mut pending, heard, newest, (now_ms, counts)).await?,
            Report::Output(piece) => {
                pending.output(piece).await?;
                (Kept::Known { logged: false }, None)
            }
        });
    }
    let mut new_outputs = pending.write(now_ms).await?;
    for (report, (kept, _)) in heard.iter().zip(&mut kept) {
        if let Report::Output(Piece { device, job, row }) = report
            && new_outputs.remove(&(job.to_string(), device.to_string(), row.step, row.place))
        {
            *kept = Kept::New;
        }
    }
    for fact in kept.iter().filter_map(|(_, fact)| fact.as_ref()) {
        fact.put(&mut tx, &id, now_ms).await?;
    }
    tx.commit().await?;
    Ok(kept)
}

/// What becomes of a receipt that came at this time; and whether refusals count.
async fn keep_receipt(
    pending: &mut Pending<'_>,
    heard: &Heard,
    newest: &mut Newest,
    (now_ms, counts): (i64, bool),
) -> Result<(Kept, Option<Fact>), StoreError> {
    let receipt = &heard.receipt;
    let row = NewReceipt::of(receipt, &heard.note, now_ms);
    let (fit, is_newest) = if newest.is_before(&row) {
        (Fits::next(), true)
    } else {
        let around = pending.around(&row.device, row.number).await?;
        let is_newest = around.iter().all(|known| known.number < row.number);
        (fits(&row, around), is_newest)
    };
    let (against, gap) = match fit {
        Fits::Known { logged } => return Ok((Kept::Known { logged }, None)),
        Fits::Another { against } => {
            return Ok((Kept::Not, Some(contradiction(receipt, against, &row.note))));
        }
        Fits::New { against, gap } => (against, gap),
    };
    if !pending.takes(receipt, &row).await? {
        let words = "it brings more receipts than it was asked for; what is beyond is not kept";
        return Ok((Kept::Not, Some(Fact::new(receipt.device, Kind::Receipts, words))));
    }
    let fact = match against {
        Some(against) => Some(contradiction(receipt, against, &row.note)),
        None if gap => {
            let words = format!("its receipt {} came and the one before it is not here", receipt.number);
            Some(Fact::new(receipt.device, Kind::Gaps, words))
        }
        None => None,
    };
    if is_newest {
        newest.remember(&row);
    }
    if counts && is_refusal(receipt) {
        pending.refusal(receipt, &row);
    }
    pending.receipt(row);
    Ok((Kept::New, fact))
}

/// Two receipts of one device that cannot both be of one chain.
fn contradiction(receipt: &Receipt, against: String, note: &str) -> Fact {
    let words = format!("its receipt {} contradicts another that it signed", receipt.number);
    let evidence = vec![against, note.to_owned()];
    Fact { evidence, ..Fact::new(receipt.device, Kind::Clone, words) }
}

/// What is to be done about reports that are kept.
#[derive(Default)]
struct Duties {
    log: bool,
    acknowledge: BTreeMap<DeviceId, u64>,
    free: Vec<DeviceId>,
    refused: Vec<DeviceId>,
}

async fn tell(app: &Arc<App>, org: &Arc<Org>, heard: impl Iterator<Item = (Report, (Kept, Option<Fact>))>) {
    let mut duties = Duties::default();
    for (report, (kept, fact)) in heard {
        if let Some(fact) = fact {
            facts::follow(app, org, &fact).await;
            if matches!(kept, Kept::Not) {
                app.gate.dismiss(&org.id, &fact.device, &fact.words);
            }
        }
        match report {
            Report::Receipt(heard) => tell_receipt(app, org, *heard, kept, &mut duties),
            Report::Output(piece) => tell_output(app, org, piece, kept),
        }
    }
    if duties.log {
        log_soon(app, org);
    }
    if !duties.acknowledge.is_empty() {
        // Not awaited: a proof may have to be renewed, and what others tell is kept meanwhile.
        let (app, org) = (app.clone(), org.clone());
        tokio::spawn(async move { batch::acknowledge(&app, &org, duties.acknowledge).await });
    }
    for device in duties.free {
        dispatch::device_free(app, org, &device).await;
    }
    for device in duties.refused {
        dispatch::device_refused(app, org, &device).await;
    }
}

fn tell_receipt(app: &App, org: &Org, heard: Heard, kept: Kept, duties: &mut Duties) {
    let Heard { receipt, note } = heard;
    let wants_a_proof = dispatch::wants_a_proof(&receipt);
    let went_well = receipt.verdict == Verdict::Accepted || receipt.ended_well();
    let may_pass = dispatch::may_pass(&receipt);
    let Receipt { device, number, job, verdict, .. } = receipt;
    match kept {
        Kept::New => {
            duties.log = true;
            match job {
                Some(job) if !went_well => app.tripwires.ring_for(&org.id, job),
                None if !went_well => app.tripwires.ring(&org.id),
                _ => {}
            }
            if verdict == Verdict::Ended || wants_a_proof {
                duties.free.push(device);
            }
            if may_pass {
                duties.refused.push(device);
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
        Kept::Not => {}
    }
}

fn tell_output(app: &App, org: &Org, piece: Piece, kept: Kept) {
    let Piece { device, job, row } = piece;
    if !matches!(kept, Kept::New) || !app.events.is_watched(&org.id, &job) {
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
