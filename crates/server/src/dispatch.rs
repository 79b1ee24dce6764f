//! Brings jobs to devices. One task an organization works in rounds: what is due for devices that are connected goes out
//! with one question to each beacon, however many devices and jobs it is for. What comes meanwhile waits for the next round,
//! and what is not due yet waits for its time.

mod again;
mod evidence;
mod later;
mod plan;
mod recovery;
mod round;

use std::sync::{Arc, Weak};
use std::time::Duration;

use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::receipt::{Receipt, Verdict};
use countersign_trust::verify::Code;
use tokio::sync::mpsc;

use crate::app::{App, Org};
use crate::queue::gather;
use crate::receipts;
use crate::statements::decide::{self, Device};
use crate::statements::intake;
use crate::store::device::DeviceRow;
use crate::store::{self, StoreError};
use crate::vendor;
use later::Later;

pub use evidence::{EvidenceError, clears as clears_sent};
pub use plan::{Plan, PlanError};
pub use recovery::look as look_for_recovery;

/// How much work is looked at in one round.
const MOST_AT_ONCE: usize = 4_096;
/// The longest sleep, in milliseconds: a clock may be set.
const LONGEST_SLEEP_MS: u64 = 60_000;
/// How long a device that connected again has to tell what became of what it was sent before, in milliseconds.
const GRACE_MS: u64 = 2_000;

/// How long a server that is stopped itself puts off what is due, in milliseconds.
const STOPPED_MS: u64 = 1_000;

/// Something that may make a delivery due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// A job was logged, or a wave of it is due: for all devices that wait for it.
    Job(Sha256),
    /// A device is there: for all jobs that wait for it.
    Device(DeviceId),
    /// A device has been there for a while: also for jobs it was sent and never said a word of.
    Unheard(DeviceId),
    /// A device has refused what it may accept later: for those jobs, once their pauses are over.
    Refused(DeviceId),
    /// A resume or a policy is in force: for all devices that are connected.
    Decided,
    /// The same for one of them: for all jobs that wait for it, or that it may accept now.
    Anew(DeviceId),
}

/// A job stands in the log and its rows in `job_device`: brings it to all its devices that are connected.
pub async fn job_logged(app: &Arc<App>, org: &Arc<Org>, job: &Sha256) {
    bring(app, org, Work::Job(*job)).await;
}

/// A device connected and left its first challenge.
pub async fn device_ready(app: &Arc<App>, org: &Arc<Org>, device: &DeviceId) {
    bring(app, org, Work::Device(*device)).await;
    bring(app, org, Work::Unheard(*device)).await;
}

/// A device came to the end of a step and may have room for what it was too busy for.
pub async fn device_free(app: &Arc<App>, org: &Arc<Org>, device: &DeviceId) {
    bring(app, org, Work::Device(*device)).await;
}

/// A device has refused what it may accept later.
pub async fn device_refused(app: &Arc<App>, org: &Arc<Org>, device: &DeviceId) {
    bring(app, org, Work::Refused(*device)).await;
}

/// A resume or a policy is in force: what devices refused before it they may accept now.
///
/// Waits for nothing: the very task that brings jobs may find out.
pub fn decided(app: &Arc<App>, org: &Arc<Org>) {
    let (app, org) = (app.clone(), org.clone());
    tokio::spawn(async move { bring(&app, &org, Work::Decided).await });
}

/// A device was enrolled, as [`devices_enrolled`].
pub async fn device_enrolled(app: &Arc<App>, org: &Arc<Org>, device: &DeviceId) {
    match store::device::get(&app.db, &org.id.to_string(), &device.to_string()).await {
        Ok(row) => devices_enrolled(app, org, row.as_slice()).await,
        Err(error) => tracing::error!(device.id = %device, %error, "standing jobs not given to a new device"),
    }
}

/// Devices were enrolled: standing jobs for their labels are for them too.
pub async fn devices_enrolled(app: &Arc<App>, org: &Arc<Org>, devices: &[DeviceRow]) {
    if let Err(error) = add_standing(app, org, devices).await {
        tracing::error!(devices = devices.len(), %error, "standing jobs not given to new devices");
    }
    for device in devices.iter().filter_map(|row| row.id.parse().ok()) {
        bring(app, org, Work::Device(device)).await;
    }
}

/// Whether a receipt says only that a step was brought again and did not run again.
pub fn says_again(receipt: &Receipt) -> bool {
    receipt.verdict == Verdict::Refused && receipt.code.as_ref().is_some_and(Code::says_again)
}

/// Whether a receipt says that what was brought has to be brought again, with a newer proof.
pub fn wants_a_proof(receipt: &Receipt) -> bool {
    receipt.verdict == Verdict::Refused && receipt.code.as_ref().is_some_and(Code::lacks_a_proof)
}

/// Whether a receipt says that the device may accept what was brought at another time.
pub fn may_pass(receipt: &Receipt) -> bool {
    receipt.verdict == Verdict::Refused && receipt.code.as_ref().is_some_and(Code::may_pass)
}

async fn bring(app: &Arc<App>, org: &Arc<Org>, work: Work) {
    let (weak, of) = (Arc::downgrade(app), org.clone());
    let queue = app.gate.work.of(&org.id, |waiting| drop(tokio::spawn(run(weak, of, waiting))));
    if queue.send(work).await.is_err() {
        tracing::error!(org.id = %org.id, "the task that brings jobs has died");
    }
}

async fn add_standing(app: &App, org: &Org, devices: &[DeviceRow]) -> Result<(), StoreError> {
    if devices.is_empty() {
        return Ok(());
    }
    let (id, now, chain) = (org.id.to_string(), (app.now_ms)() / 1_000, org.chain_now());
    let devices: Vec<Device> = devices.iter().filter_map(intake::as_the_rules_see).collect();
    let mut tx = None;
    for row in store::statement::standing(&app.db, &id, "job").await? {
        let Some(job) = plan::standing(&row, &chain, now) else { continue };
        let fitting = decide::devices_of(&chain, &job, &devices, &[]);
        let fitting: Vec<String> = fitting.map(|device| device.id.to_string()).collect();
        if fitting.is_empty() {
            continue;
        }
        let tx = match &mut tx {
            Some(tx) => tx,
            none => none.insert(app.db.begin().await?),
        };
        let receipts = store::stored(receipts::most_about(&job));
        store::job_device::insert_waiting(tx, &id, &row.hash, &fitting, receipts).await?;
    }
    match tx {
        Some(tx) => tx.commit().await,
        None => Ok(()),
    }
}

/// Why this very program brings nothing to the organization's devices.
fn stopped(org: &Org) -> Option<String> {
    let chain = org.chain();
    let halt = vendor::stops_this_server(&chain)?;
    Some(format!("the halt {} by {} covers {}: {}", halt.hash, halt.by, vendor::VERSION, halt.body.reason))
}

/// Works until the queue is closed.
async fn run(app: Weak<App>, org: Arc<Org>, mut waiting: mpsc::Receiver<Work>) {
    let (mut later, mut todo, mut said) = (Later::default(), Vec::new(), None);
    let Some(now_ms) = app.upgrade().map(|app| app.now_ms) else { return };
    loop {
        let sleep_ms = later.next_ms().map_or(LONGEST_SLEEP_MS, |due| due.saturating_sub(now_ms()));
        tokio::select! {
            count = waiting.recv_many(&mut todo, MOST_AT_ONCE) => if count == 0 { return },
            () = tokio::time::sleep(Duration::from_millis(sleep_ms.min(LONGEST_SLEEP_MS))) => {}
        }
        later.put_off_unheard(&mut todo, now_ms() + GRACE_MS);
        todo.extend(later.take_due(now_ms()));
        if todo.is_empty() {
            continue;
        }
        let Some(app) = app.upgrade() else { return };
        todo.sort_unstable();
        todo.dedup();
        let stopped = stopped(&org);
        if stopped != said {
            match &stopped {
                Some(why) => tracing::error!(org.id = %org.id, why, "this server brings no jobs"),
                None => tracing::warn!(org.id = %org.id, "this server brings jobs again"),
            }
            said.clone_from(&stopped);
        }
        if stopped.is_some() {
            let again = now_ms() + STOPPED_MS;
            todo.drain(..).for_each(|work| later.put(again, work));
            continue;
        }
        if let Err(error) = round::round(&app, &org, &todo, &mut later).await {
            let pause_ms = later.failed.next_ms();
            tracing::error!(org.id = %org.id, %error, pause_ms, "jobs not delivered; it is tried again");
            todo.iter().for_each(|work| later.put(now_ms() + pause_ms, *work));
        }
        drop(app);
        gather(todo.len()).await;
        todo.clear();
    }
}
