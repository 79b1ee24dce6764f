//! Every way in which the acceptance rule says no.

use alloc::string::String;
use alloc::vec::Vec;

use super::{AdvanceFault, MAX_SPOOL};
use crate::chain::ChainError;
use crate::clear::{ClearFault, NotFresh};
use crate::ids::{DeviceId, Name, OrgId, Sha256};
use crate::statement::job::JobError;
use crate::statement::service::{Action, Unit};
use crate::time::Time;

/// Why a device does not run what it was brought. Each says what was found and what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// What came is no delivery: there is nothing to judge.
    #[error("what came cannot be read: {0}")]
    Unreadable(String),
    /// Step 0: nobody known signed it, so its text was not even read.
    #[error("no signature by a key of a policy this device holds")]
    UnknownSigners,
    /// Step 0: not a canonical job.
    #[error(transparent)]
    Statement(ChainError),
    /// Step 1.
    #[error("it is for {found}, this device belongs to {mine}")]
    OtherOrganization {
        /// Its.
        found: OrgId,
        /// Mine.
        mine: OrgId,
    },
    /// The device is in no enrollment.
    #[error("this device is not enrolled")]
    NotEnrolled,
    /// The device has left the organization, for ever.
    #[error("this device was retired by {0}: it needs a new key and a new enrollment")]
    Retired(Sha256),
    /// Step 3: too few fresh Clears.
    #[error(transparent)]
    NotFresh(#[from] NotFresh),
    /// Step 3: there were enough once, but they have aged, or what is held has changed since.
    #[error("the Clears no longer hold: {0}")]
    Aged(ClearFault),
    /// Step 4.
    #[error("halted: {scope} by {by} ({halt}): {reason}")]
    Halted {
        /// The halt.
        halt: Sha256,
        /// What it stops, in words.
        scope: String,
        /// Who called it.
        by: String,
        /// Why.
        reason: String,
    },
    /// Step 5: it cannot be run, whoever signed it.
    #[error(transparent)]
    Job(#[from] JobError),
    /// Step 5.
    #[error("not before {not_before}, it may still be {lo}")]
    NotYet {
        /// Its begin.
        not_before: Time,
        /// The earliest it can be.
        lo: Time,
    },
    /// Step 5.
    #[error("it ended at {not_after}, it may be {hi} already")]
    Expired {
        /// Its end.
        not_after: Time,
        /// The latest it can be.
        hi: Time,
    },
    /// Step 5.
    #[error("outside the hours of rule {rule}: it is between minute {lo} and {hi} of the week")]
    OutsideHours {
        /// Which row, counted from 1.
        rule: usize,
        /// Minute of the week, earliest.
        lo: u64,
        /// Minute of the week, latest.
        hi: u64,
    },
    /// Step 5.
    #[error("signed before the resume {0}, which cuts it off")]
    Cut(Sha256),
    /// Step 5: it names a resume that is not held.
    #[error("it names the resume {0}, which this device does not hold")]
    UnknownResume(Sha256),
    /// Step 6.
    #[error("it names policy {0}, which this device does not hold")]
    UnknownPolicy(Sha256),
    /// Step 6: a typed step would take away what the policy guards.
    #[error("{action} of {unit}: policy {policy} guards `{guarded}`")]
    Guarded {
        /// What it asks.
        action: Action,
        /// Of what.
        unit: Unit,
        /// The policy's number.
        policy: u64,
        /// The word in the policy that covers the unit.
        guarded: Name,
    },
    /// Step 6: no row, no run.
    #[error("no rule of policy {policy} fits kind {kind} on this device")]
    NoRule {
        /// The policy's number.
        policy: u64,
        /// The kind of step.
        kind: &'static str,
    },
    /// Step 6.
    #[error("not signed by its requester {requester} as policy {policy} asks")]
    NotSignedByRequester {
        /// Who asks.
        requester: Name,
        /// The policy's number.
        policy: u64,
    },
    /// Step 6.
    #[error("{requester} is not of role {}, rule {rule} of policy {policy}", list(roles))]
    NotARequester {
        /// Who asks.
        requester: Name,
        /// Roles that may.
        roles: Vec<Name>,
        /// Which row, counted from 1.
        rule: usize,
        /// The policy's number.
        policy: u64,
    },
    /// Step 6.
    #[error("{}", too_few_approvals(*got, *need, roles))]
    Approvals {
        /// People who approved and count.
        got: usize,
        /// How many the rule asks for.
        need: usize,
        /// Roles whose people may.
        roles: Vec<Name>,
    },
    /// Step 6: every counted signature is a passkey of the server's own pages.
    #[error("every signature that counts is a passkey of the server's own origin; one must be another key")]
    SameOrigin,
    /// Step 6.
    #[error("{got} waves, rule {rule} asks for at least {need}")]
    TooFewWaves {
        /// The job's.
        got: usize,
        /// The rule's.
        need: u64,
        /// Which row, counted from 1.
        rule: usize,
    },
    /// Step 7.
    #[error(transparent)]
    Log(ChainError),
    /// Step 8.
    #[error("step {step} was accepted before")]
    Again {
        /// Which step, counted from 1.
        step: u64,
    },
    /// Step 8.
    #[error("step {step} was accepted before and did not end well: nothing follows it")]
    EarlierFailed {
        /// Which step, counted from 1.
        step: u64,
    },
    /// Step 8: of a job that repeats, a later occurrence was accepted before.
    #[error("occurrence {occurrence} has passed, {last} was accepted before")]
    Passed {
        /// The one that would be due, counted from 0.
        occurrence: u64,
        /// The last one that was accepted.
        last: u64,
    },
    /// Step 8: of a job that repeats, an earlier occurrence is still running.
    #[error("occurrence {occurrence} has to wait, {last} is still running")]
    EarlierRuns {
        /// The one that is due, counted from 0.
        occurrence: u64,
        /// The one that runs.
        last: u64,
    },
    /// Step 9.
    #[error("{device} is not among its {count} targets")]
    NotATarget {
        /// This device.
        device: DeviceId,
        /// How many targets it has.
        count: u64,
    },
    /// Step 9: targets by label.
    #[error("this device does not carry the label {0}")]
    NotLabelled(String),
    /// Step 9: targets by label.
    #[error("this device was enrolled at leaf {mine}, the job is for those before {as_of}")]
    EnrolledLater {
        /// My enrollment's leaf.
        mine: u64,
        /// The log size its author saw.
        as_of: u64,
    },
    /// Step 10.
    #[error("wave {wave} starts at {starts}, it may still be {lo}")]
    WaveNotYet {
        /// Which wave, counted from 1.
        wave: usize,
        /// When it starts.
        starts: Time,
        /// The earliest it can be.
        lo: Time,
    },
    /// Step 10.
    #[error("wave {wave} waits for a person to start it")]
    WaveNeedsAdvance {
        /// Which wave, counted from 1.
        wave: usize,
    },
    /// Step 10.
    #[error("wave {wave} waits for an advance that holds: {fault}")]
    Advance {
        /// Which wave, counted from 1.
        wave: usize,
        /// What is wrong with the one that came.
        fault: AdvanceFault,
    },
    /// Step 11.
    #[error("{held} jobs that repeat are held, {most} is the most")]
    StandingFull {
        /// Held now.
        held: usize,
        /// The limit.
        most: usize,
    },
    /// Step 11.
    #[error("{running} steps are running, the policy allows {most}")]
    Busy {
        /// Running now.
        running: usize,
        /// The policy's limit.
        most: usize,
    },
    /// Step 11.
    #[error("{spooled} receipts wait for acknowledgement, no new job above {MAX_SPOOL}")]
    SpoolFull {
        /// Receipts waiting.
        spooled: usize,
    },
    /// Step 11.
    #[error("the disk is full")]
    DiskFull,
}

impl Refusal {
    /// Which check said no, in one word that stays the same when sentences are worded anew.
    ///
    /// Source: docs/spec/7-receipts.md, "Codes".
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::UnknownSigners => "unknown_signers",
            Self::Statement(_) => "statement",
            Self::OtherOrganization { .. } => "other_organization",
            Self::NotEnrolled => "not_enrolled",
            Self::Retired(_) => "retired",
            Self::NotFresh(_) => "not_fresh",
            Self::Aged(_) => "aged",
            Self::Halted { .. } => "halted",
            Self::Job(_) => "job",
            Self::NotYet { .. } => "not_yet",
            Self::Expired { .. } => "expired",
            Self::OutsideHours { .. } => "outside_hours",
            Self::Cut(_) => "cut",
            Self::UnknownResume(_) => "unknown_resume",
            Self::UnknownPolicy(_) => "unknown_policy",
            Self::Guarded { .. } => "guarded",
            Self::NoRule { .. } => "no_rule",
            Self::NotSignedByRequester { .. } => "not_signed_by_requester",
            Self::NotARequester { .. } => "not_a_requester",
            Self::Approvals { .. } => "approvals",
            Self::SameOrigin => "same_origin",
            Self::TooFewWaves { .. } => "too_few_waves",
            Self::Log(_) => "log",
            Self::Passed { .. } => "passed",
            Self::EarlierRuns { .. } => "earlier_runs",
            Self::Again { .. } => "again",
            Self::EarlierFailed { .. } => "earlier_failed",
            Self::NotATarget { .. } => "not_a_target",
            Self::NotLabelled(_) => "not_labelled",
            Self::EnrolledLater { .. } => "enrolled_later",
            Self::WaveNotYet { .. } => "wave_not_yet",
            Self::WaveNeedsAdvance { .. } => "wave_needs_advance",
            Self::Advance { .. } => "advance",
            Self::StandingFull { .. } => "standing_full",
            Self::Busy { .. } => "busy",
            Self::SpoolFull { .. } => "spool_full",
            Self::DiskFull => "disk_full",
        }
    }
}

fn list(names: &[Name]) -> String {
    names.iter().map(Name::as_str).collect::<Vec<_>>().join(" or ")
}

fn too_few_approvals(got: usize, need: usize, roles: &[Name]) -> String {
    let roles = list(roles);
    match got {
        0 => alloc::format!("0 of {need} approvals, none by a person of role {roles}"),
        _ => alloc::format!("{got} of {need} approvals by people of role {roles}"),
    }
}
