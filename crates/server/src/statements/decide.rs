//! Whether enough people have signed a statement for the server to log it.
//!
//! This is the server's own opinion, so that nonsense is refused early and with a reason. Nothing depends on it: every
//! agent, beacon and witness judges for itself by what `trust` says.

use std::collections::{BTreeMap, BTreeSet};

use countersign_trust::chain::{Chain, ChainError, Held, Inclusion, MAX_HALTS_OF_A_KEY, Place};
use countersign_trust::envelope::Signed;
use countersign_trust::ids::{DeviceId, Name, Sha256};
use countersign_trust::join::{EnrollError, Labels};
use countersign_trust::merkle::{Tree, leaf_hash};
use countersign_trust::signers::{Signers, keys_signed, signers};
use countersign_trust::statement::advance::Advance;
use countersign_trust::statement::enroll::{Enroll, What};
use countersign_trust::statement::job::{Job, JobError, TargetLabels, Targets};
use countersign_trust::statement::policy::{Policy, Quorum};
use countersign_trust::statement::{self, Kind, Statement, StatementError};
use countersign_trust::time::Time;
use countersign_trust::verify::{Refusal, SignedBy, promoted, rules_met};

use crate::statements::anew;

/// A device as the rules see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Its labels, the site among them under `site`.
    pub labels: Labels,
    /// The leaf by which it is enrolled.
    pub place: Place,
    /// The statement by which it is enrolled.
    pub enroll: Sha256,
    /// Which enrollment of it that is; 0 if it joined.
    pub seq: u64,
}

/// What the server thinks of a statement that can be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Enough people have signed.
    Enough,
    /// More must sign: what is missing, in words.
    Waiting(String),
}

/// Why no signature can make a statement good.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unfit {
    /// Nobody of the policy has signed it.
    #[error("no signature by a key of the policy in force")]
    UnknownSigners,
    /// Not canonical, or of another kind than its signatures say.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The chain does not take it.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A job that cannot be run.
    #[error(transparent)]
    Job(#[from] JobError),
    /// A job that the rules never allow, whoever signs.
    #[error(transparent)]
    Rules(#[from] Refusal),
    /// Another organization's.
    #[error("it is of organization {0}")]
    Organization(String),
    /// It names a policy that is not held here.
    #[error("it names the policy {0}, which is not held here")]
    NoSuchPolicy(Sha256),
    /// An advance of a job that is not logged here.
    #[error("there is no job {0} in the log")]
    NoSuchJob(Sha256),
    /// A halt that nobody would obey.
    #[error(
        "the halt {0} stops nothing: a resume has lifted it, or its key has \
         {MAX_HALTS_OF_A_KEY} active halts already; a halt of scope organization is always taken"
    )]
    StopsNothing(Sha256),
    /// Too much waits for signatures.
    #[error(
        "{who} {most} statements that wait for signatures: let them be signed, or wait until they are over"
    )]
    TooManyWait {
        /// Who, with the verb.
        who: String,
        /// The limit.
        most: usize,
    },
    /// A resume says that it must be signed anew.
    #[error("the resume {0} cuts off what was signed before it: sign it anew")]
    Cut(Sha256),
    /// A job that is over.
    #[error("it expired at {not_after}, it is {now}")]
    Expired {
        /// Its end.
        not_after: Time,
        /// The server's time.
        now: Time,
    },
    /// The list beside a job is not the one it was signed for.
    #[error(
        "the {count} device ids beside it have root {root}, it was signed for {signed_count} with root {signed_root}"
    )]
    Targets {
        /// Ids beside it.
        count: u64,
        /// Their root.
        root: Sha256,
        /// Ids it was signed for.
        signed_count: u64,
        /// Their root.
        signed_root: Sha256,
    },
    /// The list beside a job is not sorted.
    #[error("the device ids beside it must ascend, each once")]
    TargetsOrder,
    /// A policy for another log.
    #[error(
        "it names a log whose key this server does not hold; ask it for one: countersign policy propose --new-log"
    )]
    OtherLog,
    /// A policy by which more of the old log counts than there is.
    #[error("it lets {size} leaves of the old log count, of which {most} are here and cosigned")]
    OldSize {
        /// As the policy has it.
        size: u64,
        /// What was cosigned here.
        most: u64,
    },
    /// A policy that does not name the old log's root.
    #[error("of its first {size} leaves the old log has the root {found}, which the policy must name")]
    OldRoot {
        /// As the policy has it.
        size: u64,
        /// The root here.
        found: Sha256,
    },
    /// A policy that would take back a resume.
    #[error(
        "a resume that was taken stands at leaf {index}, and only {size} leaves of the old log are to count: let more of it count"
    )]
    Resumed {
        /// The resume's leaf.
        index: u64,
        /// As the policy has it.
        size: u64,
    },
    /// An enrollment under a name that is not the key's.
    #[error("the device's key is named `{found}`, it must be named {expected}")]
    KeyName {
        /// The device of the key.
        expected: DeviceId,
        /// The key's name.
        found: String,
    },
    /// An enrollment that no device would take.
    #[error(transparent)]
    Enroll(#[from] EnrollError),
    /// It follows an enrollment of a device that is not enrolled here.
    #[error("it replaces the enrollment {0}, and no such device is enrolled here")]
    Replaces(Sha256),
    /// A device that has left.
    #[error("{0} was retired, which is for ever; with a new key it is another device")]
    Retired(DeviceId),
    /// A device that is not enrolled cannot be retired.
    #[error("{0} is not enrolled")]
    NotEnrolled(DeviceId),
}

/// What a statement is decided with.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// What the organization has decided so far.
    pub chain: &'a Chain,
    /// Its devices.
    pub devices: &'a [Device],
    /// The server's time.
    pub now: Time,
}

/// The job that an advance is of.
#[derive(Clone, Debug)]
pub struct Advanced {
    /// What it says.
    pub job: Job,
    /// The ids beside it.
    pub targets: Vec<DeviceId>,
}

/// Whether enough people have signed. A halt is no matter of counting: `Chain::take_halt` judges it.
///
/// # Errors
/// No signature can make it good.
pub fn decide(
    known: Known<'_>,
    kind: Kind,
    signed: &Signed,
    targets: &[DeviceId],
    advanced: Option<&Advanced>,
) -> Result<Decision, Unfit> {
    let policy = &known.chain.policy().body;
    let recovering = kind == Kind::Policy && keys_signed(policy, &policy.recovery.keys, kind, signed) > 0;
    if signers(policy, kind, signed).is_empty() && !recovering {
        return Err(Unfit::UnknownSigners);
    }
    match kind {
        Kind::Policy => next_policy(known.chain, signed),
        Kind::Resume => resume(known.chain, signed),
        Kind::Enroll => enroll(known, signed),
        Kind::Job => job(known, signed, targets),
        Kind::Advance => advance(known, signed, advanced),
        Kind::Halt => Ok(Decision::Enough),
    }
}

fn read<S: Statement>(signed: &Signed) -> Result<S, Unfit> {
    Ok(statement::read(signed.statement())?)
}

fn next_policy(chain: &Chain, signed: &Signed) -> Result<Decision, Unfit> {
    match chain.clone().take_policy(signed, Inclusion::WaivedForWitness) {
        Ok(_) => Ok(Decision::Enough),
        Err(error @ ChainError::Quorum { .. }) => Ok(Decision::Waiting(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

fn resume(chain: &Chain, signed: &Signed) -> Result<Decision, Unfit> {
    match chain.would_take_resume(signed) {
        Ok(()) => Ok(Decision::Enough),
        Err(error @ ChainError::Quorum { .. }) => Ok(Decision::Waiting(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

fn enroll(known: Known<'_>, signed: &Signed) -> Result<Decision, Unfit> {
    let enroll: Enroll = read(signed)?;
    same_org(known.chain, &enroll.org.to_string())?;
    let mut relabels = None;
    match &enroll.what {
        What::Device(device) => {
            let (expected, found) = (DeviceId::of_key(device.key.raw()), device.key.name());
            if found != expected.to_string() {
                return Err(Unfit::KeyName { expected, found: found.to_owned() });
            }
            relabels = anew::missing(known, device, signed)?;
        }
        What::Retire(retire) if known.devices.iter().all(|device| device.id != retire.device) => {
            return Err(Unfit::NotEnrolled(retire.device));
        }
        What::Batch(_) | What::Retire(_) => {}
    }
    Ok(match (quorum(known.chain, Kind::Enroll, signed, |policy| &policy.quorums.enroll), relabels) {
        (Decision::Enough, Some(missing)) => Decision::Waiting(missing),
        (decision, _) => decision,
    })
}

/// As every device that the job is for would judge it.
fn advance(known: Known<'_>, signed: &Signed, advanced: Option<&Advanced>) -> Result<Decision, Unfit> {
    let Known { chain, devices, .. } = known;
    let advance: Advance = read(signed)?;
    same_org(chain, &advance.org.to_string())?;
    let Advanced { job, targets } = advanced.ok_or(Unfit::NoSuchJob(advance.job))?;
    let named = chain.policy_by_hash(&advance.policy).ok_or(Unfit::NoSuchPolicy(advance.policy))?;
    let [by_named, by_newest] = who_counts(chain, named, Kind::Advance, signed, advance.resume)?;
    for labels in labels_of(chain, job, devices, targets)? {
        for (policy, by) in [(&named.body, &by_named), (&chain.policy().body, &by_newest)] {
            if let Err(fault) = promoted(policy, &labels, job, by.clone()) {
                return Ok(Decision::Waiting(fault.to_string()));
            }
        }
    }
    Ok(Decision::Enough)
}

/// Who of those that signed counts, by the policy that is named and by the newest; nobody, if a resume has cut it off since. Whoever is
/// halted counts for nothing.
fn who_counts(
    chain: &Chain,
    named: &Held<Policy>,
    kind: Kind,
    signed: &Signed,
    resume: Option<Sha256>,
) -> Result<[Signers; 2], Unfit> {
    let signed_by = SignedBy::under(chain, named, kind, signed);
    match chain.cut_by(&signed.hash(), resume, &signed_by.everybody()) {
        Ok(None) => {}
        Ok(Some(resume)) => return Err(Unfit::Cut(resume)),
        Err(unknown) => return Err(Refusal::UnknownResume(unknown).into()),
    }
    let halted = chain.active_halts().filter_map(|halt| halt.body.scope.person()).collect();
    Ok(signed_by.without(&halted))
}

fn quorum(chain: &Chain, kind: Kind, signed: &Signed, of: fn(&Policy) -> &Quorum) -> Decision {
    let policy = &chain.policy().body;
    let quorum = of(policy);
    match signers(policy, kind, signed).too_few_for(policy, quorum) {
        None => Decision::Enough,
        Some(got) => {
            let (need, role) = (usize::from(quorum.need.get()), quorum.role.clone());
            let error = ChainError::Quorum { got, need, role, policy: policy.number };
            Decision::Waiting(error.to_string())
        }
    }
}

fn job(known: Known<'_>, signed: &Signed, targets: &[DeviceId]) -> Result<Decision, Unfit> {
    let Known { chain, devices, now } = known;
    let job: Job = read(signed)?;
    same_org(chain, &job.org.to_string())?;
    let named = chain.policy_by_hash(&job.policy).ok_or(Unfit::NoSuchPolicy(job.policy))?;
    job.check(named.body.limits.life)?;
    if now >= job.not_after {
        return Err(Unfit::Expired { not_after: job.not_after, now });
    }
    let [by_named, by_newest] = who_counts(chain, named, Kind::Job, signed, job.resume)?;
    for labels in labels_of(chain, &job, devices, targets)? {
        let rules = [(&named.body, &by_named), (&chain.policy().body, &by_newest)];
        for (policy, signed_by) in rules {
            if let Some(missing) = missing(policy, &labels, &job, signed_by)? {
                return Ok(Decision::Waiting(missing));
            }
        }
    }
    Ok(Decision::Enough)
}

/// What the rules still ask for on a device with these labels.
fn missing(
    policy: &Policy,
    labels: &Labels,
    job: &Job,
    signed_by: &Signers,
) -> Result<Option<String>, Unfit> {
    match rules_met(policy, labels, job, signed_by) {
        Ok(()) => Ok(None),
        Err(
            more @ (Refusal::Approvals { .. } | Refusal::NotSignedByRequester { .. } | Refusal::SameOrigin),
        ) => Ok(Some(more.to_string())),
        Err(never) => Err(never.into()),
    }
}

/// The different labels of the devices a job is for. Where it is for none yet, those it asks for itself.
fn labels_of(
    chain: &Chain,
    job: &Job,
    devices: &[Device],
    targets: &[DeviceId],
) -> Result<BTreeSet<Labels>, Unfit> {
    check_targets(job, targets)?;
    let wanted = match &job.targets {
        Targets::List(_) => Labels::new(),
        Targets::Labels(wanted) => wanted.labels.clone(),
    };
    let mut labels: BTreeSet<Labels> =
        devices_of(chain, job, devices, targets).map(|device| device.labels.clone()).collect();
    if labels.is_empty() {
        labels.insert(wanted);
    }
    Ok(labels)
}

/// The devices that a job is for, of those that are enrolled.
pub fn devices_of<'a>(
    chain: &Chain,
    job: &'a Job,
    devices: &'a [Device],
    targets: &'a [DeviceId],
) -> impl Iterator<Item = &'a Device> + use<'a> {
    let log = chain.policy_by_hash(&job.policy).map(|policy| policy.place.log).unwrap_or_default();
    devices.iter().filter(move |device| match &job.targets {
        // Sorted: `check_targets` has seen to it.
        Targets::List(_) => targets.binary_search(&device.id).is_ok(),
        Targets::Labels(wanted) => is_wanted(wanted, log, &device.labels, device.place),
    })
}

/// As the device itself judges: `as_of` is a size of the `log` of the policy that the job names.
fn is_wanted(wanted: &TargetLabels, log: usize, labels: &BTreeMap<Name, Name>, place: Place) -> bool {
    let fits = wanted.labels.iter().all(|(key, value)| labels.get(key) == Some(value));
    fits && (wanted.joins || place < Place { log, index: wanted.as_of })
}

/// The list beside a job is the one that was signed for.
fn check_targets(job: &Job, targets: &[DeviceId]) -> Result<(), Unfit> {
    let Targets::List(list) = &job.targets else { return Ok(()) };
    if !targets.is_sorted_by(|one, next| one < next) {
        return Err(Unfit::TargetsOrder);
    }
    let tree: Tree = targets.iter().map(|device| leaf_hash(&device.0)).collect();
    let (count, root) = (tree.size(), tree.root());
    if (count, root) != (list.count, list.root) {
        return Err(Unfit::Targets { count, root, signed_count: list.count, signed_root: list.root });
    }
    Ok(())
}

fn same_org(chain: &Chain, found: &str) -> Result<(), Unfit> {
    if found == chain.org().to_string() { Ok(()) } else { Err(Unfit::Organization(found.to_owned())) }
}
