//! The acceptance rule: when a device runs a step of a job.
//!
//! A pure function of the delivery, the ledger, the clocks and a few local facts, asked before every step. Its checks stand in
//! the order of docs/spec/6-acceptance.md, and each has one way to refuse.

mod code;
mod kept;
mod refusal;
mod wave;

use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::chain::{Chain, Held, HeldHalt, Place, read};
use crate::checkpoint::Witnessed;
use crate::clear::{Freshness, NotFresh};
use crate::delivery::{Delivery, TargetProof};
use crate::envelope::{Logged, Signed};
use crate::ids::{Name, Sha256};
use crate::join::{Enrolled, Labels};
use crate::ledger::{Ledger, StepKey, StepState};
use crate::merkle::{leaf_hash, verify_inclusion};
use crate::signers::{Signers, signers};
use crate::statement::Kind;
use crate::statement::halt::{Component, Scope};
use crate::statement::job::{Job, Step, Targets};
use crate::statement::policy::{Hours, Policy, Rule, WEEK_MINUTES};
use crate::statement::service::guard;
use crate::time::{Reading, Time, Window};

use wave::{Turn, my_wave};

pub use code::{Code, CodeError};
pub(crate) use kept::cancelled;
pub use kept::shows;
pub use refusal::Refusal;
pub use wave::{AdvanceFault, needs_people, promoted};

/// How many receipts may wait for acknowledgement before no new job is taken.
pub const MAX_SPOOL: usize = 4_096;
/// How many jobs that repeat a device keeps.
pub const MAX_STANDING: usize = 64;

/// A step that this device has agreed to run. Only [`judge`] makes one.
#[derive(Clone, Debug)]
pub struct VerifiedJob {
    job: Job,
    key: StepKey,
    step: Step,
    signed: Signed,
    signed_by: SignedBy,
    advance: Option<Logged>,
}

impl VerifiedJob {
    /// The job.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// Which step of it.
    pub fn key(&self) -> StepKey {
        self.key
    }

    /// What to do.
    pub fn step(&self) -> &Step {
        &self.step
    }

    /// The advance that set this device's wave free, if one was asked for.
    pub fn advance(&self) -> Option<&Logged> {
        self.advance.as_ref()
    }
}

/// What the device knows besides its ledger.
#[derive(Clone, Debug)]
pub struct Local<'a> {
    /// This program's version.
    pub version: &'a str,
    /// How many steps are running.
    pub running: usize,
    /// Whether the disk has room for a receipt and the output.
    pub disk_full: bool,
}

/// What the rule is asked with.
pub struct Facts<'a> {
    /// What the device remembers.
    pub ledger: &'a Ledger,
    /// Who the device is, if it is enrolled under its own key.
    pub me: Option<&'a Enrolled>,
    /// The Clears it holds, or why it holds too few.
    pub freshness: Result<&'a Freshness, &'a NotFresh>,
    /// The clocks.
    pub now: Reading,
    /// The rest.
    pub local: Local<'a>,
}

/// Decides whether this device runs the next step of the job that was delivered. Its news and Clears have been taken.
pub fn judge(facts: &Facts<'_>, delivery: &Delivery) -> Result<VerifiedJob, Refusal> {
    let Delivery { job: logged, target, advances, .. } = delivery;
    let chain = facts.ledger.chain().ok_or(Refusal::NotEnrolled)?;
    let me = enrolled(facts)?;
    let job = read_job(chain, logged)?;
    let hash = logged.signed.hash();
    let (freshness, window) = fresh(facts, chain)?;
    let signed_by = SignedBy::count(chain, &job, &logged.signed)?;
    let halts: Vec<&HeldHalt> = chain.active_halts_with(freshness.halts()).collect();
    may_run(chain, &halts, facts.local.version, &hash, &job, &signed_by)?;
    in_time(chain, me, &job, window)?;
    allowed_by_rules(chain, &me.labels, &halts, &job, &signed_by)?;
    let witnessed = in_log(chain, logged)?;
    let (key, step) = next_step(facts.ledger, hash, &job, window.lo)?;
    is_target(chain, me, &job, target.as_ref())?;
    let begins = job.not_before.max(witnessed.time());
    let turn = Turn { chain, me, halts: &halts, hash: &hash, job: &job, begins };
    let advance = my_wave(&turn, advances, window.lo)?.cloned();
    within_budget(facts, chain, &halts, &key, &job)?;
    Ok(VerifiedJob { job, key, step, signed: logged.signed.clone(), signed_by, advance })
}

/// Whether a step that runs may go on: the same rule, as far as it can change while something runs.
pub fn may_go_on(facts: &Facts<'_>, running: &VerifiedJob) -> Result<(), Refusal> {
    let chain = facts.ledger.chain().ok_or(Refusal::NotEnrolled)?;
    let me = enrolled(facts)?;
    let VerifiedJob { job, key, signed, signed_by, .. } = running;
    // A newer policy may have dropped a signer, or the key by which somebody signed.
    let recounted = match signed_by.newest == chain.policy().hash {
        true => None,
        false => Some(SignedBy::count(chain, job, signed)?),
    };
    let signed_by = recounted.as_ref().unwrap_or(signed_by);
    let none = BTreeSet::new();
    let theirs = facts.freshness.map_or(&none, Freshness::halts);
    let halts: Vec<&HeldHalt> = chain.active_halts_with(theirs).collect();
    may_run(chain, &halts, facts.local.version, &key.job, job, signed_by)?;
    if let Ok(freshness) = facts.freshness {
        let hi = freshness.window(facts.now, facts.ledger.floor()).hi;
        if hi >= job.not_after {
            return Err(Refusal::Expired { not_after: job.not_after, hi });
        }
    }
    allowed_by_rules(chain, &me.labels, &halts, job, signed_by)
}

/// Before all else: whether the device is the organization's.
fn enrolled<'a>(facts: &Facts<'a>) -> Result<&'a Enrolled, Refusal> {
    match facts.ledger.retired() {
        Some(enroll) => Err(Refusal::Retired(enroll)),
        None => facts.me.ok_or(Refusal::NotEnrolled),
    }
}

/// Steps 0 and 1: somebody known signed it, then it is read, then it is ours.
fn read_job(chain: &Chain, logged: &Logged) -> Result<Job, Refusal> {
    let known = |policy: &Policy| !signers(policy, Kind::Job, &logged.signed).is_empty();
    if !chain.policies().iter().rev().any(|held| known(&held.body)) {
        return Err(Refusal::UnknownSigners);
    }
    let job: Job = read(&logged.signed).map_err(Refusal::Statement)?;
    if job.org != chain.org() {
        return Err(Refusal::OtherOrganization { found: job.org, mine: chain.org() });
    }
    Ok(job)
}

/// Step 3. Step 2, taking the news, has been done by whoever asks.
fn fresh<'a>(facts: &Facts<'a>, chain: &Chain) -> Result<(&'a Freshness, Window), Refusal> {
    let freshness = facts.freshness.map_err(|error| Refusal::NotFresh(error.clone()))?;
    freshness.still_good(chain, facts.now).map_err(Refusal::Aged)?;
    Ok((freshness, freshness.window(facts.now, facts.ledger.floor())))
}

/// Who signed a job or an advance, halted or not: under the policy it names, and under the newest.
#[derive(Clone, Debug)]
pub struct SignedBy {
    named: Signers,
    current: Signers,
    /// The newest policy when this was counted.
    newest: Sha256,
}

impl SignedBy {
    fn count(chain: &Chain, job: &Job, signed: &Signed) -> Result<Self, Refusal> {
        let policy = chain.policy_by_hash(&job.policy).ok_or(Refusal::UnknownPolicy(job.policy))?;
        Ok(Self::under(chain, policy, Kind::Job, signed))
    }

    /// Counts under `policy`, which it names, and under the newest of `chain`.
    pub fn under(chain: &Chain, policy: &Held<Policy>, kind: Kind, signed: &Signed) -> Self {
        let newest = chain.policy();
        let named = signers(&policy.body, kind, signed);
        let current =
            if policy.hash == newest.hash { named.clone() } else { signers(&newest.body, kind, signed) };
        Self { named, current, newest: newest.hash }
    }

    /// Whoever signed. A cut takes what somebody signed, whether or not the signature is needed or counts.
    pub fn everybody(&self) -> Signers {
        self.named.clone().and(&self.current)
    }

    /// Who counts when these are halted: under the policy it names, and under the newest.
    pub fn without(&self, halted: &BTreeSet<&Name>) -> [Signers; 2] {
        [&self.named, &self.current].map(|signers| signers.clone().without(halted))
    }
}

/// Step 4, and the cut of step 5: nothing that was called stops it.
fn may_run(
    chain: &Chain,
    halts: &[&HeldHalt],
    version: &str,
    hash: &Sha256,
    job: &Job,
    signed_by: &SignedBy,
) -> Result<(), Refusal> {
    match halts.iter().find(|halt| covers(halt, version, hash, job)) {
        Some(halt) => Err(halted(halt)),
        None => not_cut(chain, hash, job, signed_by),
    }
}

fn not_cut(chain: &Chain, hash: &Sha256, job: &Job, signed_by: &SignedBy) -> Result<(), Refusal> {
    match chain.cut_by(hash, job.resume, &signed_by.everybody()) {
        Ok(None) => Ok(()),
        Ok(Some(resume)) => Err(Refusal::Cut(resume)),
        Err(unknown) => Err(Refusal::UnknownResume(unknown)),
    }
}

/// Whether a halt's scope is this job's, on an agent of `version`.
pub fn covers(halt: &HeldHalt, version: &str, hash: &Sha256, job: &Job) -> bool {
    match &halt.body.scope {
        Scope::Organization(_) => true,
        Scope::Job(stopped) => stopped == hash,
        Scope::Script(stopped) => job.steps.iter().any(|step| step.script_hash() == Some(*stopped)),
        Scope::Person(person) => job.requester == *person,
        Scope::Component(component) => stops_component(component, "countersign-agent", version),
    }
}

/// Whether a halt of `component` means the program `name` of `version`.
pub fn stops_component(component: &Component, name: &str, version: &str) -> bool {
    component.name.as_str() == name && is_below(version, component.below.as_str())
}

/// Compares dotted versions number by number. What is no such version counts as below: a halt rather errs on that side.
fn is_below(version: &str, below: &str) -> bool {
    let numbers =
        |text: &str| text.split('.').map(|part| part.parse::<u64>().ok()).collect::<Option<Vec<_>>>();
    match (numbers(version), numbers(below)) {
        (Some(version), Some(below)) => version < below,
        _ => true,
    }
}

fn halted(halt: &HeldHalt) -> Refusal {
    let scope = match &halt.body.scope {
        Scope::Organization(_) => "the whole organization".to_string(),
        Scope::Job(_) => "this job".to_string(),
        Scope::Script(_) => "this script".to_string(),
        Scope::Person(person) => alloc::format!("what {person} asks for"),
        Scope::Component(component) => alloc::format!("{} below {}", component.name, component.below),
    };
    let (by, reason) = (halt.by.to_string(), halt.body.reason.to_string());
    Refusal::Halted { halt: halt.hash, scope, by, reason }
}

/// Step 5: within its life, and within the hours of every rule that fits.
fn in_time(chain: &Chain, me: &Enrolled, job: &Job, Window { lo, hi }: Window) -> Result<(), Refusal> {
    let policy = &chain.policy().body;
    job.check(policy.limits.life)?;
    if lo < job.not_before {
        return Err(Refusal::NotYet { not_before: job.not_before, lo });
    }
    if hi >= job.not_after {
        return Err(Refusal::Expired { not_after: job.not_after, hi });
    }
    for (index, rule) in fitting(policy, &me.labels, job) {
        let (lo, hi) = (minute_of_week(lo), minute_of_week(hi));
        let within = |hours: &Hours| hours.from <= lo && lo <= hi && hi < hours.until;
        if !rule.hours.is_empty() && !rule.hours.iter().any(within) {
            return Err(Refusal::OutsideHours { rule: index + 1, lo, hi });
        }
    }
    Ok(())
}

/// Minutes since Monday 00:00 UTC. 1970 began on a Thursday.
fn minute_of_week(time: Time) -> u64 {
    const THURSDAY: u64 = 3 * 24 * 60;
    (time.0 / 60 + THURSDAY) % WEEK_MINUTES
}

/// The rows that fit any of the job's kinds and my labels, with their index.
pub fn fitting<'a>(
    policy: &'a Policy,
    labels: &'a Labels,
    job: &'a Job,
) -> impl Iterator<Item = (usize, &'a Rule)> + 'a {
    let kinds = job.kinds();
    policy.rules.iter().enumerate().filter(move |(_, rule)| {
        rule.kinds.iter().any(|kind| kinds.contains(kind.as_str()))
            && rule.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    })
}

/// Step 6: under the policy the job names and under the newest. Halted people count for nothing.
fn allowed_by_rules(
    chain: &Chain,
    labels: &Labels,
    halts: &[&HeldHalt],
    job: &Job,
    signed_by: &SignedBy,
) -> Result<(), Refusal> {
    let halted: BTreeSet<&Name> = halts.iter().filter_map(|halt| halt.body.scope.person()).collect();
    let named = chain.policy_by_hash(&job.policy).ok_or(Refusal::UnknownPolicy(job.policy))?;
    if named.hash != chain.policy().hash {
        rules_met(&named.body, labels, job, &signed_by.named.clone().without(&halted))?;
    }
    rules_met(&chain.policy().body, labels, job, &signed_by.current.clone().without(&halted))
}

/// Whether `signed_by` are enough for `job` on a device with these `labels`: it takes away nothing that `policy` guards, every
/// row that fits is met, and each of the job's kinds is fit by one.
pub fn rules_met(policy: &Policy, labels: &Labels, job: &Job, signed_by: &Signers) -> Result<(), Refusal> {
    job.steps.iter().try_for_each(|step| unguarded(policy, step))?;
    for kind in job.kinds() {
        if !fitting(policy, labels, job).any(|(_, rule)| rule.kinds.iter().any(|name| name.as_str() == kind))
        {
            return Err(Refusal::NoRule { policy: policy.number, kind });
        }
    }
    fitting(policy, labels, job).try_for_each(|(index, rule)| rule_met(policy, index, rule, job, signed_by))
}

/// A free script may do anything, whatever is guarded; a typed kind says what it does, and can be held to it.
fn unguarded(policy: &Policy, step: &Step) -> Result<(), Refusal> {
    match step {
        Step::Service(service) if service.action.takes_away() => {
            match guard(&policy.guarded, service.unit.as_str()) {
                None => Ok(()),
                Some(word) => Err(Refusal::Guarded {
                    action: service.action,
                    unit: service.unit.clone(),
                    policy: policy.number,
                    guarded: word.clone(),
                }),
            }
        }
        Step::Service(_) | Step::Script(_) => Ok(()),
    }
}

fn rule_met(
    policy: &Policy,
    index: usize,
    rule: &Rule,
    job: &Job,
    signed_by: &Signers,
) -> Result<(), Refusal> {
    let (rule_number, number, requester) = (index + 1, policy.number, &job.requester);
    if !policy.people_of(&rule.requesters).contains(requester) {
        let roles = rule.requesters.iter().cloned().collect();
        return Err(Refusal::NotARequester {
            requester: requester.clone(),
            roles,
            rule: rule_number,
            policy: number,
        });
    }
    let mut counted = signed_by.clone().showing(&rule.properties);
    if rule.approvals == 0 {
        counted = counted.independent();
    }
    if !counted.contains(requester) {
        return Err(Refusal::NotSignedByRequester { requester: requester.clone(), policy: number });
    }
    let mut approvers = policy.people_of(&rule.approvers);
    approvers.remove(requester);
    let (got, need) = (counted.count(&approvers), usize::from(rule.approvals));
    if got < need {
        return Err(Refusal::Approvals { got, need, roles: rule.approvers.iter().cloned().collect() });
    }
    approvers.insert(requester);
    if counted.independent().count(&approvers) == 0 {
        return Err(Refusal::SameOrigin);
    }
    let waves = job.waves.len().max(1);
    if u64::try_from(waves).unwrap_or(u64::MAX) < rule.waves {
        return Err(Refusal::TooFewWaves { got: waves, need: rule.waves, rule: rule_number });
    }
    Ok(())
}

/// Step 7.
fn in_log(chain: &Chain, logged: &Logged) -> Result<Witnessed, Refusal> {
    let leaf = logged.signed.leaf(&chain.org()).map_err(|error| Refusal::Statement(error.into()))?;
    chain.logged(&leaf, &logged.proof).map_err(Refusal::Log)
}

/// Step 8: the first step of the occurrence that is due which was never accepted, if the one before it ended well. Occurrences
/// that were missed are skipped, none begins while an earlier one runs, and one that was begun goes on before another begins.
fn next_step(ledger: &Ledger, job: Sha256, body: &Job, lo: Time) -> Result<(StepKey, Step), Refusal> {
    let mut occurrence = body.occurrence(lo);
    if let Some(last) = ledger.last_occurrence(&job).filter(|last| *last != occurrence) {
        if last > occurrence {
            return Err(Refusal::Passed { occurrence, last });
        }
        if ledger.runs(&job) {
            return Err(Refusal::EarlierRuns { occurrence, last });
        }
        if ledger.is_half_done(&job, body.steps.len()) {
            occurrence = last;
        }
    }
    let key = |step| StepKey { job, occurrence, step };
    for (step, work) in (0..).zip(&body.steps) {
        match ledger.step(&key(step)) {
            None => return Ok((key(step), work.clone())),
            Some(StepState::EndedWell) => {}
            Some(StepState::Started) => return Err(Refusal::Again { step: step + 1 }),
            Some(StepState::Failed) => return Err(Refusal::EarlierFailed { step: step + 1 }),
        }
    }
    Err(Refusal::Again { step: u64::try_from(body.steps.len()).unwrap_or(u64::MAX) })
}

/// Step 9.
fn is_target(chain: &Chain, me: &Enrolled, job: &Job, target: Option<&TargetProof>) -> Result<(), Refusal> {
    match &job.targets {
        Targets::List(list) => {
            let shown = target.is_some_and(|TargetProof { index, path }| {
                verify_inclusion(leaf_hash(&me.device.0), *index, list.count, path, list.root).is_ok()
            });
            if shown { Ok(()) } else { Err(Refusal::NotATarget { device: me.device, count: list.count }) }
        }
        Targets::Labels(wanted) => {
            let missing = wanted.labels.iter().find(|(key, value)| me.labels.get(*key) != Some(*value));
            if let Some((key, value)) = missing {
                return Err(Refusal::NotLabelled(alloc::format!("{key}={value}")));
            }
            // `as_of` is a size of the log that the job's author knew.
            let log = chain.policy_by_hash(&job.policy).map(|policy| policy.place.log).unwrap_or_default();
            let as_of = Place { log, index: wanted.as_of };
            if me.place >= as_of && !wanted.joins {
                return Err(Refusal::EnrolledLater { mine: me.place.index, as_of: wanted.as_of });
            }
            Ok(())
        }
    }
}

/// Step 11.
fn within_budget(
    facts: &Facts<'_>,
    chain: &Chain,
    halts: &[&HeldHalt],
    key: &StepKey,
    job: &Job,
) -> Result<(), Refusal> {
    let (running, most) = (facts.local.running, usize::from(chain.policy().body.limits.concurrent.get()));
    if running >= most {
        return Err(Refusal::Busy { running, most });
    }
    let spooled = facts.ledger.spooled();
    if spooled >= MAX_SPOOL {
        return Err(Refusal::SpoolFull { spooled });
    }
    if facts.local.disk_full {
        return Err(Refusal::DiskFull);
    }
    let stands = job.repeat > 0 && !facts.ledger.stands(&key.job);
    // What a halt of that very job stops gives up its place.
    match facts.ledger.standing().filter(|(kept, _)| !stops(halts, kept)).count() {
        held if stands && held >= MAX_STANDING => Err(Refusal::StandingFull { held, most: MAX_STANDING }),
        _ => Ok(()),
    }
}

/// Whether one of `halts` stops this one job: somebody has cancelled it.
fn stops(halts: &[&HeldHalt], job: &Sha256) -> bool {
    halts.iter().any(|halt| matches!(&halt.body.scope, Scope::Job(stopped) if stopped == job))
}
