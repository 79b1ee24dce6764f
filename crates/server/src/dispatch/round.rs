//! One round: what goes out, one question to each beacon, the same Clears to all.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use countersign_trust::chain::Chain;
use countersign_trust::clear::{Clear, MAX_SPREAD_S};
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::merkle::{MerkleError, Tree, leaf_hash};
use countersign_trust::note::Note;
use countersign_trust::time::Time;
use countersign_wire::http::JobEvent;
use countersign_wire::message::{self, Delivery, from_server};

use super::again::{When, when};
use super::plan::{Due, Plan, PlanError};
use super::{Later, Work, recovery};
use crate::app::{App, Org};
use crate::gate::connection::{Connection, frame, frames_before};
use crate::store::job_device::{self, Sent, Waiting};
use crate::store::{StoreError, round, stored};

/// How many deliveries are noted in one transaction before they leave.
const MOST_IN_A_TRANSACTION: usize = 256;
/// To how many devices in a second what was decided makes jobs due: what they refused is read from the records.
const MOST_IN_A_SECOND: usize = 1_024;

/// Why a round came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    /// The records cannot be reached.
    #[error("the records cannot be reached: {0}")]
    Store(#[from] StoreError),
    /// A tree has no such leaf.
    #[error(transparent)]
    Tree(#[from] MerkleError),
    /// What the beacons said cannot be written down.
    #[error("evidence: {0}")]
    Evidence(#[from] serde_json::Error),
}

/// A job for a device that is connected.
struct Errand {
    plan: Arc<Plan>,
    connection: Arc<Connection>,
    due: Time,
    before: Before,
}

/// What the records say of a job on a device.
#[derive(Clone, Copy)]
struct Before {
    /// What made it due, and does again if it is put off.
    by: Work,
    /// The device was never sent it.
    is_new: bool,
    /// The round in which it was sent the last time.
    round: Option<i64>,
}

/// The challenges of a round, in one tree.
struct Challenges {
    tree: Tree,
    places: HashMap<DeviceId, (u64, [u8; 32])>,
}

/// Brings what is due; puts off what is due later.
pub async fn round(
    app: &Arc<App>,
    org: &Arc<Org>,
    todo: &[Work],
    later: &mut Later,
) -> Result<(), RoundError> {
    spread(app, org, todo, later);
    let wanted = wanted(app, org, todo, later).await?;
    let (plans, failed) = plans(app, org, &wanted).await;
    if failed.is_empty() {
        later.failed.end();
    } else {
        let due_ms = (app.now_ms)() + later.failed.next_ms();
        let put_off = wanted.iter().filter(|((job, _), _)| failed.contains(job));
        put_off.for_each(|(_, before)| later.put(due_ms, before.by));
    }
    let now = Time((app.now_ms)() / 1_000);
    let mut errands = Vec::new();
    for ((job, device), before) in wanted {
        let Some(plan) = plans.get(&job) else { continue };
        match plan.due(&device, now) {
            Due::At(due) if due > now => later.put(due.0.saturating_mul(1_000), before.by),
            Due::At(due) => {
                let connection = app.gate.connection(&org.id, &device);
                let errand = |connection| Errand { plan: plan.clone(), connection, due, before };
                errands.extend(connection.map(errand));
            }
            Due::WhenPromoted | Due::Over => {}
        }
    }
    let challenges = Challenges::of(&errands);
    if challenges.places.is_empty() {
        return Ok(());
    }
    let (clears, enough) = clears(app, org, &challenges).await?;
    if enough {
        later.few.end();
    } else if !later.few.is_longest() {
        // Not for ever: a device that reaches beacons itself gathers what is missing.
        let pause_ms = later.few.next_ms();
        tracing::warn!(org.id = %org.id, clears = clears.len(), pause_ms, "too few Clears; jobs are put off");
        errands.iter().for_each(|errand| later.put((app.now_ms)() + pause_ms, errand.before.by));
        return Ok(());
    }
    // Devices go by the beacons' clocks: what these do not call due would be refused.
    let passed = certainly_passed(&clears).unwrap_or(now);
    errands.retain(|errand| {
        let due = errand.due <= passed;
        if !due {
            later.put((app.now_ms)() + 1_000, errand.before.by);
        }
        due
    });
    deliver(app, org, &errands, &challenges, &clears).await
}

/// Which jobs are for which devices.
type Wanted = BTreeMap<(Sha256, DeviceId), Before>;

/// What was decided makes jobs due on all devices that are connected, and not on all at once.
fn spread(app: &App, org: &Org, todo: &[Work], later: &mut Later) {
    if !todo.contains(&Work::Decided) {
        return;
    }
    let mut due_ms = (app.now_ms)();
    let connected: Vec<DeviceId> = app.gate.who_is_connected(&org.id).into_iter().collect();
    for devices in connected.chunks(MOST_IN_A_SECOND) {
        devices.iter().for_each(|device| later.put(due_ms, Work::Anew(*device)));
        due_ms += 1_000;
    }
}

/// What stands in the records of jobs and devices. What a device refused is put off until its pause is over.
async fn wanted(app: &App, org: &Org, todo: &[Work], later: &mut Later) -> Result<Wanted, RoundError> {
    let (id, mut wanted) = (org.id.to_string(), Wanted::new());
    let (now_ms, halted) = ((app.now_ms)(), { org.chain().active_halts().next().is_some() });
    let mut works: BTreeMap<String, Vec<&Work>> = BTreeMap::new();
    for work in todo {
        match work {
            Work::Job(job) => {
                let rows = job_device::waiting_for(&app.db, &id, &job.to_string()).await?;
                wanted.extend(rows.iter().filter_map(|row| parsed(row, *work)));
            }
            Work::Device(device) | Work::Unheard(device) | Work::Refused(device) | Work::Anew(device) => {
                works.entry(device.to_string()).or_default().push(work);
            }
            Work::Decided => {}
        }
    }
    let devices: Vec<String> = works.keys().cloned().collect();
    let rows = job_device::open_on(&app.db, &id, &devices).await?;
    for row in &rows {
        for work in works.get(&row.device).into_iter().flatten() {
            match when(work, row, now_ms, halted) {
                When::Now => wanted.extend(parsed(row, **work)),
                When::At(due_ms) => {
                    let again = row.device.parse().ok().map(Work::Refused);
                    again.into_iter().for_each(|again| later.put(due_ms, again));
                }
                When::Never => {}
            }
        }
    }
    Ok(wanted)
}

fn parsed(row: &Waiting, by: Work) -> Option<((Sha256, DeviceId), Before)> {
    let before = Before { by, is_new: row.verdict == "waiting", round: row.round };
    Some(((row.job.parse().ok()?, row.device.parse().ok()?), before))
}

/// The jobs as they go out, and those that cannot for now.
async fn plans(
    app: &Arc<App>,
    org: &Arc<Org>,
    wanted: &Wanted,
) -> (HashMap<Sha256, Arc<Plan>>, BTreeSet<Sha256>) {
    let (mut plans, mut failed) = (HashMap::new(), BTreeSet::new());
    for job in wanted.keys().map(|(job, _)| *job).collect::<BTreeSet<_>>() {
        match Plan::load(app, org, job).await {
            Ok(plan) => drop(plans.insert(job, Arc::new(plan))),
            Err(PlanError::NotLogged(_) | PlanError::Over(_)) => {}
            Err(error) => {
                tracing::error!(job.id = %job, %error, again = error.passes(), "job cannot go out");
                if error.passes() {
                    failed.insert(job);
                }
            }
        }
    }
    (plans, failed)
}

impl Challenges {
    fn of(errands: &[Errand]) -> Self {
        let there = errands.iter().map(|errand| &errand.connection);
        let challenges: BTreeMap<DeviceId, [u8; 32]> =
            there.filter_map(|connection| Some((connection.device, connection.challenge()?))).collect();
        let tree = challenges.values().map(|challenge| leaf_hash(challenge)).collect();
        let places =
            challenges.into_iter().zip(0..).map(|((device, challenge), place)| (device, (place, challenge)));
        Self { tree, places: places.collect() }
    }

    /// All of them in their order.
    fn bytes(&self) -> Vec<u8> {
        let mut placed: Vec<_> = self.places.values().collect();
        placed.sort_unstable();
        placed.into_iter().flat_map(|(_, challenge)| *challenge).collect()
    }

    /// The Clears as they go to the device whose challenge stands at `index`.
    fn carried(&self, notes: &[String], index: u64) -> Result<Vec<message::Clear>, MerkleError> {
        let size = self.tree.size();
        let path = self.tree.inclusion(index, size)?;
        let path: Vec<Vec<u8>> = path.iter().map(|hash| hash.0.to_vec()).collect();
        let clear = |note: &String| message::Clear { note: note.clone(), index, size, path: path.clone() };
        Ok(notes.iter().map(clear).collect())
    }
}

/// Clears of the policy in force, and whether they are enough; if not, that may be because one of the recovery set has come into
/// force.
async fn clears(
    app: &Arc<App>,
    org: &Arc<Org>,
    challenges: &Challenges,
) -> Result<(Vec<Note>, bool), StoreError> {
    let (mut chain, root) = (org.chain_now(), challenges.tree.root());
    let mut clears = app.peers.clears(&chain, &root).await;
    if !are_enough(&chain, &clears) && recovery::look(app, org).await? {
        chain = org.chain_now();
        clears = app.peers.clears(&chain, &root).await;
    }
    let enough = are_enough(&chain, &clears);
    Ok((clears, enough))
}

fn are_enough(chain: &Chain, clears: &[Note]) -> bool {
    clears.len() >= usize::from(chain.policy().body.beacons.need.get())
}

/// The earliest time the beacons of a device's choice can call it: of those within the allowed spread of the latest.
fn certainly_passed(clears: &[Note]) -> Option<Time> {
    let times: Vec<Time> =
        clears.iter().filter_map(|note| Some(note.text().parse::<Clear>().ok()?.time)).collect();
    let latest = times.iter().max().copied()?;
    times.into_iter().filter(|time| time.plus(MAX_SPREAD_S) >= latest).min()
}

async fn deliver(
    app: &App,
    org: &Org,
    errands: &[Errand],
    challenges: &Challenges,
    clears: &[Note],
) -> Result<(), RoundError> {
    let (id, notes) = (org.id.to_string(), clears.iter().map(ToString::to_string).collect::<Vec<_>>());
    let mut number = None;
    for errands in errands.chunks(MOST_IN_A_TRANSACTION) {
        let mut tx = app.db.begin().await?;
        let this = match number {
            Some(number) => number,
            None => round::insert(&mut tx, &id, &challenges.bytes(), &serde_json::to_string(&notes)?).await?,
        };
        let (mut going, mut frames, mut left_behind) = (Vec::new(), Vec::new(), BTreeSet::new());
        for Errand { plan, connection, before, .. } in errands {
            let Some((index, challenge)) = challenges.places.get(&connection.device) else { continue };
            going.push(Sent {
                job: plan.hash.to_string(),
                device: connection.device.to_string(),
                challenge: Sha256(*challenge).to_string(),
                sent_ms: stored((app.now_ms)()),
            });
            left_behind.extend(before.round);
            frames.push((plan, connection, before.is_new, challenges.carried(&notes, *index)?));
        }
        job_device::sent(&mut tx, &id, this, &going).await?;
        round::forget_unused(&mut tx, &id, &left_behind.into_iter().collect::<Vec<_>>()).await?;
        tx.commit().await?;
        number = Some(this);
        for (plan, connection, is_new, clears) in frames {
            if is_new {
                connection.gets_new(plan.hash);
            }
            send(app, org, plan, connection, clears)?;
        }
    }
    Ok(())
}

fn send(
    app: &App,
    org: &Org,
    plan: &Plan,
    connection: &Connection,
    clears: Vec<message::Clear>,
) -> Result<(), RoundError> {
    let news = { connection.lacks(&org.chain()) };
    let mut news: Vec<String> = news.iter().map(ToString::to_string).collect();
    frames_before(&mut news, 0).iter().for_each(|frame| connection.send(frame));
    let delivery = Delivery {
        job: plan.envelope.clone(),
        news,
        clears,
        target: plan.target(&connection.device)?,
        advances: plan.advances.clone(),
    };
    connection.send(&frame(from_server::What::Delivery(delivery)));
    app.events.publish(&org.id, &plan.hash, JobEvent::Sent { device: connection.device.to_string() });
    Ok(())
}
