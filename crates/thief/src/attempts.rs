//! What the thief tries. Each is logged, witnessed and brought with honest Clears: as far as a thief can get.

use anyhow::Context;
use countersign_trust::delivery::TargetProof;
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::{DeviceId, StatementId};
use countersign_trust::merkle::{Tree, leaf_hash};
use countersign_trust::statement::job::{Job, Run, Script, Step, TargetList, Targets};
use countersign_trust::statement::{self, Kind};

use crate::forge::StolenLog;
use crate::loot::Loot;

/// One thing to try.
pub struct Attempt {
    /// In words.
    pub what: &'static str,
    /// The job as the thief had it logged.
    pub logged: Logged,
    /// The list of targets, sorted; empty for targets by label.
    pub targets: Vec<DeviceId>,
}

impl Attempt {
    /// The device's place in the list, if it stands there; another's if not.
    pub fn target_of(&self, device: &DeviceId) -> Option<TargetProof> {
        let tree: Tree = self.targets.iter().map(|id| leaf_hash(&id.0)).collect();
        let place = self.targets.iter().position(|id| id == device).unwrap_or(0);
        let index = u64::try_from(place).ok()?;
        Some(TargetProof { index, path: tree.inclusion(index, tree.size()).ok()? })
    }
}

/// Prepares everything that the loot allows.
pub async fn prepare(loot: &Loot) -> anyhow::Result<Vec<Attempt>> {
    let mut log = StolenLog::new(loot)?;
    let mut attempts = Vec::new();
    let model = loot.jobs.iter().find(|job| job.logged).context("the loot holds no job that ran")?;
    let body: Job = statement::read(model.signed.statement())?;

    let own = job_of_its_own(loot, &body)?;
    attempts.push(("a job of its own, signed with the server's key", own, loot.devices.clone()));
    attempts.push(("a job that people signed, once more", model.signed.clone(), model.targets.clone()));
    let bent = Signed::new(with_another_script(&body)?, model.signed.signatures().iter().cloned())?;
    attempts.push(("a job that people signed, with another script", bent, model.targets.clone()));
    if let Some(waiting) = loot.jobs.iter().find(|job| !job.logged) {
        attempts.push(("a job that waits for its approval", waiting.signed.clone(), waiting.targets.clone()));
    }
    let mut prepared = Vec::new();
    for (what, signed, targets) in attempts {
        prepared.push(Attempt { what, logged: log.log(signed).await?, targets });
    }
    Ok(prepared)
}

/// The model with an id and a script of the thief's, for every device, signed by the only SSH key a server has.
fn job_of_its_own(loot: &Loot, model: &Job) -> anyhow::Result<Signed> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    let tree: Tree = loot.devices.iter().map(|id| leaf_hash(&id.0)).collect();
    let list = TargetList { count: tree.size(), root: tree.root() };
    let job = Job { id: StatementId(random), targets: Targets::List(list), ..evil(model)? };
    let (text, _) = statement::write(&job);
    let signature = loot.halt_key()?.sign(&Kind::Job.namespace(), text.as_bytes())?;
    Ok(Signed::new(text, [signature])?)
}

fn with_another_script(model: &Job) -> anyhow::Result<String> {
    Ok(statement::write(&evil(model)?).0)
}

fn evil(model: &Job) -> anyhow::Result<Job> {
    let mut job = model.clone();
    for step in &mut job.steps {
        if let Step::Script(Script { run: Run::Lines(lines), .. }) = step {
            lines.lines = vec!["touch /tmp/countersign-thief-was-here".parse()?];
        }
    }
    Ok(job)
}
