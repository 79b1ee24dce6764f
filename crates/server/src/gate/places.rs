//! Places of tokens: who takes one is written down before the log has it, and what became of it after. Many in one transaction, since
//! each waits for the disk and machines join by the thousand; one task an organization, so that nobody else counts meanwhile.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};

use countersign_trust::join::{EnrollError, Enrolled};
use tokio::sync::{mpsc, oneshot};

use super::join::JoinError;
use crate::app::{App, Org};
use crate::dispatch;
use crate::queue::gather;
use crate::store::device::{self, DeviceRow};
use crate::store::wish::{self, WishRow};
use crate::store::{StoreError, Tx, counted};

/// How many steps go into one transaction.
const MOST_AT_ONCE: usize = 256;
/// How many joins of one device are noted that made none of it.
const MOST_WISHES: usize = 8;

/// A place that a device takes by a join.
#[derive(Debug)]
pub struct Take {
    /// The join.
    pub wish: WishRow,
    /// How many devices may join by its batch.
    pub count: u64,
}

/// What the log made of a join.
#[derive(Debug)]
pub struct Settle {
    /// The join.
    pub wish: WishRow,
    /// Where it stands.
    pub proof: String,
    /// What `enrolled_by_join` says of it.
    pub enrolled: Result<Enrolled, EnrollError>,
}

/// A step of a join, and who waits for its end.
#[derive(Debug)]
pub enum Step {
    /// Before the log.
    Take(Box<Take>, oneshot::Sender<Result<(), JoinError>>),
    /// After it.
    Settle(Box<Settle>, oneshot::Sender<Result<Option<DeviceRow>, JoinError>>),
}

/// Notes a join before the log can have it, if its batch has a place left.
pub async fn take(app: &Arc<App>, org: &Arc<Org>, take: Take) -> Result<(), JoinError> {
    ask(app, org, |answer| Step::Take(Box::new(take), answer)).await
}

/// Stores what became of a join: none if a device came of it now, the device's row if it had come of it before.
pub async fn settle(app: &Arc<App>, org: &Arc<Org>, settle: Settle) -> Result<Option<DeviceRow>, JoinError> {
    ask(app, org, |answer| Step::Settle(Box::new(settle), answer)).await
}

async fn ask<T>(
    app: &Arc<App>,
    org: &Arc<Org>,
    step: impl FnOnce(oneshot::Sender<Result<T, JoinError>>) -> Step,
) -> Result<T, JoinError> {
    let (answer, answered) = oneshot::channel();
    let (weak, of) = (Arc::downgrade(app), org.clone());
    let queue = app.gate.places.of(&org.id, |steps| drop(tokio::spawn(run(weak, of, steps))));
    queue.send(step(answer)).await.map_err(|_| JoinError::Stopping)?;
    answered.await.map_err(|_| JoinError::NotStored)?
}

/// Works off the queue until it is closed.
async fn run(app: Weak<App>, org: Arc<Org>, mut steps: mpsc::Receiver<Step>) {
    let mut these = Vec::new();
    loop {
        let count = steps.recv_many(&mut these, MOST_AT_ONCE).await;
        if count == 0 {
            return;
        }
        let Some(app) = app.upgrade() else { return };
        // Who waits for an answer that is dropped hears that nothing was stored.
        if let Err(error) = work_off(&app, &org, these.drain(..)).await {
            tracing::error!(org.id = %org.id, %error, "joins not stored");
        }
        drop(app);
        gather(count).await;
    }
}

async fn work_off(
    app: &Arc<App>,
    org: &Arc<Org>,
    steps: impl Iterator<Item = Step>,
) -> Result<(), StoreError> {
    let id = org.id.to_string();
    let (mut takes, mut settles) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    for step in steps {
        match step {
            Step::Take(take, answer) => {
                takes.0.push(*take);
                takes.1.push(answer);
            }
            Step::Settle(settle, answer) => {
                settles.0.push(*settle);
                settles.1.push(answer);
            }
        }
    }
    let mut tx = app.db.begin().await?;
    let (settled, new) = settle_all(&mut tx, &id, settles.0).await?;
    let taken = take_all(&mut tx, &id, takes.0).await?;
    tx.commit().await?;
    // Who no longer waits asks again, and is answered as the first time.
    settles.1.into_iter().zip(settled).for_each(|(answer, settled)| drop(answer.send(settled)));
    takes.1.into_iter().zip(taken).for_each(|(answer, taken)| drop(answer.send(taken)));
    // Not awaited: who waits for an answer keeps another log from taking this one's place, and the task that brings jobs may be
    // waiting for just that.
    let (app, org) = (app.clone(), org.clone());
    tokio::spawn(async move { dispatch::devices_enrolled(&app, &org, &new).await });
    Ok(())
}

async fn take_all(
    tx: &mut Tx,
    org: &str,
    takes: Vec<Take>,
) -> Result<Vec<Result<(), JoinError>>, StoreError> {
    let mut batches = BTreeMap::new();
    for Take { wish, .. } in &takes {
        if !batches.contains_key(&wish.batch) {
            batches.insert(wish.batch.clone(), Taken::read(tx, org, &wish.batch).await?);
        }
    }
    let devices: BTreeSet<String> = takes.iter().map(|take| take.wish.device.clone()).collect();
    let mut noted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (device, hash) in wish::of_devices(tx, org, &devices.into_iter().collect::<Vec<_>>()).await? {
        noted.entry(device).or_default().insert(hash);
    }
    let (mut taken, mut new) = (Vec::with_capacity(takes.len()), Vec::new());
    for Take { wish, count } in takes {
        let (batch, of_device) =
            (batches.entry(wish.batch.clone()).or_default(), noted.entry(wish.device.clone()).or_default());
        taken.push(if batch.without(&wish.device) >= count {
            Err(JoinError::UsedUp { count })
        } else if of_device.iter().filter(|hash| **hash != wish.hash).count() >= MOST_WISHES {
            Err(JoinError::Wishes { most: MOST_WISHES })
        } else {
            batch.waiting.insert(wish.device.clone());
            of_device.insert(wish.hash.clone());
            new.push(wish);
            Ok(())
        });
    }
    wish::insert(tx, org, &new).await?;
    Ok(taken)
}

/// Who has the places of a batch.
#[derive(Default)]
struct Taken {
    /// How many devices joined by it.
    joined: u64,
    /// Who waits for the log.
    waiting: BTreeSet<String>,
}

impl Taken {
    async fn read(tx: &mut Tx, org: &str, batch: &str) -> Result<Self, StoreError> {
        let joined = counted(device::count_of_enroll(tx, org, batch).await?);
        let waiting = wish::waiting(tx, org, batch).await?;
        Ok(Self { joined, waiting: waiting.into_iter().map(|(device,)| device).collect() })
    }

    /// How many places others have.
    fn without(&self, device: &str) -> u64 {
        let waiting = self.waiting.iter().filter(|other| *other != device).count();
        self.joined.saturating_add(u64::try_from(waiting).unwrap_or(u64::MAX))
    }
}

/// What becomes of each, and the devices that are new.
async fn settle_all(
    tx: &mut Tx,
    org: &str,
    settles: Vec<Settle>,
) -> Result<(Vec<Result<Option<DeviceRow>, JoinError>>, Vec<DeviceRow>), StoreError> {
    let ids: BTreeSet<String> = settles.iter().map(|settle| settle.wish.device.clone()).collect();
    let there = device::named(tx, org, &ids.into_iter().collect::<Vec<_>>()).await?;
    let mut there: HashMap<String, DeviceRow> = there.into_iter().map(|row| (row.id.clone(), row)).collect();
    let (mut settled, mut new, mut done) = (Vec::with_capacity(settles.len()), Vec::new(), Vec::new());
    for Settle { wish, proof, enrolled } in settles {
        settled.push(match (enrolled, there.get(&wish.device)) {
            (Ok(enrolled), None) => {
                let row = DeviceRow::enrolled(&enrolled, Some((wish.note, proof)));
                there.insert(row.id.clone(), row.clone());
                new.push(row);
                done.push(wish.hash);
                Ok(None)
            }
            (Ok(_), Some(row)) if row.join_note.as_ref() == Some(&wish.note) => {
                done.push(wish.hash);
                Ok(Some(row.clone()))
            }
            (outcome, row) => {
                wish::proved(tx, org, &wish.hash, &proof).await?;
                let held = row.map(|row| row.enroll.clone()).unwrap_or_default();
                Err(outcome.err().map_or(JoinError::Elsewhere { held }, JoinError::from))
            }
        });
    }
    device::join(tx, org, &new).await?;
    wish::delete(tx, org, &done).await?;
    Ok((settled, new))
}
