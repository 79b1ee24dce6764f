//! What is logged again once another log has taken the place of the one before: all that stood at or above the size at which that
//! one ended, so that it counts again; and then agents are brought their open jobs with proofs of the new log.
//!
//! What stands below that size counts as before and stays where it is. Only a job must stand in the newest log to run: it is logged
//! there when it goes out.

use std::sync::Arc;
use std::time::Duration;

use countersign_trust::checkpoint::Proof;
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::Sha256;
use countersign_trust::join::{enrolled_by_join, join_leaf};
use countersign_trust::note::Note;
use countersign_trust::statement as statements;
use countersign_trust::statement::Kind;
use countersign_trust::statement::job::Job;

use super::ends;
use crate::app::{App, Org};
use crate::dispatch;
use crate::log::{self, AppendError};
use crate::receipts::batch::batch_leaf;
use crate::statements::settle;
use crate::store::device::DeviceRow;
use crate::store::{StoreError, batch, device, statement};

/// How long to wait after a failure that may pass, such as a full disk.
const PAUSE: Duration = Duration::from_secs(5);

/// Notes in the records that what stood at or above the end of a replaced log stands in no log any more. Answers the statements that
/// are to be logged again.
///
/// # Errors
/// The records.
pub async fn give_up(app: &App, org: &Org) -> Result<Vec<String>, StoreError> {
    let mut given_up = Vec::new();
    let mut tx = app.db.begin().await?;
    let ended = ends(&org.chain());
    for (nth, end) in ended {
        given_up.extend(statement::give_up(&mut tx, &org.id.to_string(), nth, end).await?);
    }
    tx.commit().await?;
    Ok(given_up)
}

/// Logs again what was given up, in the background: first what people signed, then joins and batches of receipts; then brings jobs.
/// A start goes on where this stopped.
pub fn spawn(app: &Arc<App>, org: &Arc<Org>) {
    let (app, org) = (app.clone(), org.clone());
    tokio::spawn(async move {
        let all = async {
            let settling: Vec<_> =
                all_given_up(&app, &org).await.iter().map(|hash| settle::spawn(&app, &org, hash)).collect();
            for settled in settling {
                // One that cannot be settled has said so.
                let _ = settled.await;
            }
            if let Err(error) = rest(&app, &org).await {
                tracing::error!(org.id = %org.id, %error, "not all that counted in the log before is logged again; a start tries again");
            }
        };
        tokio::select! {
            () = all => {}
            () = app.stopping() => {}
        }
    });
}

/// However long the disk fails.
async fn all_given_up(app: &App, org: &Org) -> Vec<String> {
    loop {
        match give_up(app, org).await {
            Ok(given_up) => return given_up,
            Err(error) => {
                tracing::error!(org.id = %org.id, %error, "what the log before is to count no more for is not noted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn rest(app: &Arc<App>, org: &Arc<Org>) -> Result<(), AppendError> {
    let id = org.id.to_string();
    let ended = ends(&org.chain());
    for (nth, end) in ended {
        joins(app, org, device::given_up(&app.db, &id, nth, end).await?).await?;
        batches(app, org, batch::given_up(&app.db, &id, nth, end).await?).await?;
    }
    for row in statement::standing(&app.db, &id, &Kind::Job.to_string()).await? {
        let Ok(signed) = Signed::from_text(&row.envelope) else { continue };
        let job: Result<Job, _> = statements::read(signed.statement());
        if job.is_ok_and(|job| app.now() < job.not_after) {
            dispatch::job_logged(app, org, &signed.hash()).await;
        }
    }
    Ok(())
}

/// Logs joins again, in their order, and keeps where they stand now.
async fn joins(app: &Arc<App>, org: &Arc<Org>, rows: Vec<DeviceRow>) -> Result<(), AppendError> {
    let id = org.id.to_string();
    let note = |row: &DeviceRow| row.join_note.as_ref()?.parse::<Note>().ok();
    let joined: Vec<(DeviceRow, Note)> =
        rows.into_iter().filter_map(|row| note(&row).map(|note| (row, note))).collect();
    if joined.is_empty() {
        return Ok(());
    }
    let entries = joined.iter().map(|(_, note)| join_leaf(&org.id, note)).collect();
    let (proofs, _held) = log::append_held(app, org, entries).await?;
    let mut tx = app.db.begin().await?;
    for ((row, note), proof) in joined.iter().zip(&proofs) {
        say_if_late(app, org, row, note, proof).await?;
        device::joined_again(&mut tx, &id, &row.id, org.place_of(proof), &proof.to_string()).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// A join counts by the time at which witnesses saw it: logged again after its token has ended, it counts no more.
async fn say_if_late(
    app: &App,
    org: &Org,
    row: &DeviceRow,
    note: &Note,
    proof: &Proof,
) -> Result<(), AppendError> {
    let enroll = statement::get(&app.db, &org.id.to_string(), &row.enroll).await?;
    let Some(enroll) = enroll.and_then(|enroll| Logged::from_text(&enroll.logged()?).ok()) else {
        return Ok(());
    };
    if let Err(why) = { enrolled_by_join(&org.chain(), &enroll, note, proof) } {
        tracing::error!(device.id = row.id, %why, "a device's join counts for nothing since the log was replaced: enroll it anew");
    }
    Ok(())
}

/// Logs batches of receipts again.
async fn batches(app: &Arc<App>, org: &Arc<Org>, roots: Vec<String>) -> Result<(), AppendError> {
    let roots: Vec<Sha256> = roots.iter().filter_map(|root| root.parse().ok()).collect();
    if roots.is_empty() {
        return Ok(());
    }
    let entries = roots.iter().map(|root| batch_leaf(&org.id, root)).collect();
    let (proofs, _held) = log::append_held(app, org, entries).await?;
    let mut tx = app.db.begin().await?;
    for (root, proof) in roots.iter().zip(&proofs) {
        let (id, root) = (org.id.to_string(), root.to_string());
        batch::renew(&mut tx, &id, &root, org.place_of(proof), &proof.to_string()).await?;
    }
    tx.commit().await?;
    Ok(())
}
