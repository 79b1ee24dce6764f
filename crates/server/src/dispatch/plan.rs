//! When a job is due on which device, and the device's place among its targets: the acceptance rule read from the other side.
//!
//! A mistake here makes a device refuse or a job wait; it can make nothing run.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use countersign_trust::chain::Chain;
use countersign_trust::checkpoint::Proof;
use countersign_trust::envelope::Logged;
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::join::Labels;
use countersign_trust::merkle::{MerkleError, Tree, leaf_hash};
use countersign_trust::statement;
use countersign_trust::statement::job::{Job, Targets};
use countersign_trust::time::Time;
use countersign_trust::verify::needs_people;
use countersign_wire::message::Target;

use crate::app::{App, Org};
use crate::log::{self, AppendError};
use crate::statements::intake;
use crate::store::statement::StatementRow;
use crate::store::{self, StoreError};

/// How long a round waits for a new proof.
const LOG_TIME: Duration = Duration::from_secs(5);

/// A job as it goes out.
#[derive(Debug)]
pub struct Plan {
    /// Its hash.
    pub hash: Sha256,
    /// Its envelope with a proof that convinces who holds the newest policy.
    pub envelope: String,
    job: Job,
    /// The later of its begin and the time by which enough witnesses had seen it.
    begins: Time,
    /// The tree of its targets and their places; none for targets by label.
    targets: Option<(Tree, HashMap<DeviceId, u64>)>,
    /// Devices' labels: which wave takes a device may depend on them.
    labels: HashMap<DeviceId, Labels>,
    /// Its advances, as they go out.
    pub advances: Vec<String>,
    /// Waves that an advance sets free, counted from 1.
    advanced: BTreeSet<u64>,
    waves_wait_for_people: bool,
}

/// Why a job that is in the records cannot go out.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The records cannot be reached.
    #[error("the records cannot be reached: {0}")]
    Store(#[from] StoreError),
    /// It is not logged.
    #[error("job {0} is not logged")]
    NotLogged(Sha256),
    /// What the records hold is no logged job.
    #[error("job {job} in the records: {why}")]
    Unreadable {
        /// The job.
        job: Sha256,
        /// What is wrong with it.
        why: String,
    },
    /// What the log shows convinces nobody who holds the newest policy, which came into force meanwhile.
    #[error("job {job}: {why}")]
    Unproved {
        /// The job.
        job: Sha256,
        /// What is wrong with the proof.
        why: String,
    },
    /// It has expired.
    #[error("job {0} is over")]
    Over(Sha256),
    /// The log makes no proof.
    #[error(transparent)]
    Log(#[from] AppendError),
    /// The log is waiting for its witnesses.
    #[error("the log waits for its witnesses")]
    LogTime,
}

impl PlanError {
    /// Whether it may go out later.
    pub fn passes(&self) -> bool {
        match self {
            Self::Store(_) | Self::Unproved { .. } | Self::Log(_) | Self::LogTime => true,
            Self::NotLogged(_) | Self::Unreadable { .. } | Self::Over(_) => false,
        }
    }
}

/// When a job is due on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// At this time.
    At(Time),
    /// Once a person starts the wave.
    WhenPromoted,
    /// No more.
    Over,
}

impl Plan {
    /// Reads a job from the records; makes a new proof if the one there convinces no more.
    pub async fn load(app: &Arc<App>, org: &Arc<Org>, hash: Sha256) -> Result<Self, PlanError> {
        let row = store::statement::get(&app.db, &org.id.to_string(), &hash.to_string()).await?;
        let row = row.ok_or(PlanError::NotLogged(hash))?;
        let text = row.logged().ok_or(PlanError::NotLogged(hash))?;
        let unreadable =
            |why: &dyn std::fmt::Display| PlanError::Unreadable { job: hash, why: why.to_string() };
        let mut logged = Logged::from_text(&text).map_err(|error| unreadable(&error))?;
        // What somebody changed in the records would be logged as a job of its own where a new proof is needed.
        let found = logged.signed.hash();
        if found != hash {
            return Err(unreadable(&format_args!("its text is that of {found}")));
        }
        let leaf = logged.signed.leaf(&org.id).map_err(|error| unreadable(&error))?;
        let job: Job = statement::read(logged.signed.statement()).map_err(|error| unreadable(&error))?;
        // Before anything is asked of the log for it.
        if app.now() >= job.not_after {
            return Err(PlanError::Over(hash));
        }
        if !holds(&org.chain(), &leaf, &logged.proof) {
            logged.proof = prove(app, org, leaf.clone()).await?;
        }
        let (witnessed, waves_wait_for_people) = {
            let chain = org.chain();
            let unproved = |why| PlanError::Unproved { job: hash, why };
            let witnessed =
                chain.logged(&leaf, &logged.proof).map_err(|error| unproved(error.to_string()))?;
            (witnessed, needs_people(&chain.policy().body, &job))
        };
        let begins = job.not_before.max(witnessed.time());
        let targets = match &job.targets {
            Targets::List(_) => Some(target_tree(row.devices())),
            Targets::Labels(_) => None,
        };
        let envelope = logged.to_string();
        let mut plan = Self {
            hash,
            envelope,
            job,
            begins,
            targets,
            labels: HashMap::new(),
            advances: Vec::new(),
            advanced: BTreeSet::new(),
            waves_wait_for_people,
        };
        plan.load_waves(app, org).await?;
        Ok(plan)
    }

    /// What only a job in waves needs.
    async fn load_waves(&mut self, app: &Arc<App>, org: &Arc<Org>) -> Result<(), StoreError> {
        if self.job.waves.is_empty() {
            return Ok(());
        }
        let devices = intake::devices(&app.db, org).await?;
        self.labels = devices.into_iter().map(|device| (device.id, device.labels)).collect();
        for (advance, row) in intake::advances(&app.db, &org.id.to_string(), &self.hash).await? {
            let Some(text) = row.logged() else { continue };
            self.advanced.insert(advance.wave);
            self.advances.push(newer(app, org, &text).await.unwrap_or(text));
        }
        Ok(())
    }

    /// When it is due on `device`, given that it is `now`.
    pub fn due(&self, device: &DeviceId, now: Time) -> Due {
        if now >= self.job.not_after {
            return Due::Over;
        }
        if self.job.waves.is_empty() {
            return Due::At(self.job.not_before);
        }
        let nothing = Labels::new();
        let labels = self.labels.get(device).unwrap_or(&nothing);
        let wave = self.job.wave_of(&self.hash, device, labels);
        let advanced = u64::try_from(wave + 1).is_ok_and(|number| self.advanced.contains(&number));
        if wave > 0 && self.waves_wait_for_people && !advanced {
            return Due::WhenPromoted;
        }
        let soak = self.job.waves.get(wave).map(|wave| wave.soak).unwrap_or_default();
        Due::At(self.begins.plus(soak))
    }

    /// Whether the wave of `device` has begun.
    pub fn has_begun(&self, device: &DeviceId, now: Time) -> bool {
        match self.due(device, now) {
            Due::At(due) => due <= now,
            Due::Over => true,
            Due::WhenPromoted => false,
        }
    }

    /// The place of `device` among the targets; none for targets by label, or if it is no target.
    pub fn target(&self, device: &DeviceId) -> Result<Option<Target>, MerkleError> {
        let Some((tree, places)) = &self.targets else { return Ok(None) };
        let Some(index) = places.get(device) else { return Ok(None) };
        let path = tree.inclusion(*index, tree.size())?;
        Ok(Some(Target { index: *index, path: path.iter().map(|hash| hash.0.to_vec()).collect() }))
    }
}

/// A proof for a leaf that convinces who holds the newest policy. Where another log has taken the place of the one in which it
/// stands, it is logged there.
async fn prove(app: &Arc<App>, org: &Arc<Org>, leaf: String) -> Result<Proof, PlanError> {
    let proofs = tokio::time::timeout(LOG_TIME, log::append(app, org, vec![leaf]));
    let proofs = proofs.await.map_err(|_| PlanError::LogTime)??;
    proofs.into_iter().next().ok_or(PlanError::Log(AppendError::Stopping))
}

/// The same statement with a newer proof, if the one it has convinces no more and there is a better one.
async fn newer(app: &Arc<App>, org: &Arc<Org>, text: &str) -> Option<String> {
    let mut logged = Logged::from_text(text).ok()?;
    let leaf = logged.signed.leaf(&org.id).ok()?;
    if !holds(&org.chain(), &leaf, &logged.proof) {
        logged.proof = prove(app, org, leaf).await.ok()?;
    }
    Some(logged.to_string())
}

fn holds(chain: &Chain, leaf: &str, proof: &Proof) -> bool {
    chain.logged(leaf, proof).is_ok()
}

fn target_tree(mut devices: Vec<DeviceId>) -> (Tree, HashMap<DeviceId, u64>) {
    devices.sort_unstable();
    let tree = devices.iter().map(|id| leaf_hash(&id.0)).collect();
    (tree, devices.into_iter().zip(0..).collect())
}

/// The job of a row, if it is one by label that is logged and not over: it may be for devices that are enrolled after it.
pub fn standing(row: &StatementRow, chain: &Chain, now: u64) -> Option<Job> {
    let logged = Logged::from_text(&row.logged()?).ok()?;
    let job: Job = statement::read(logged.signed.statement()).ok()?;
    let stands = matches!(job.targets, Targets::Labels(_)) && chain.policy_by_hash(&job.policy).is_some();
    (stands && now < job.not_after.0).then_some(job)
}
