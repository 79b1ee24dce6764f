//! Something to run, on which devices, when, and why. Each kind of step has a file of its own in `job/`.
//!
//! Source: docs/spec/3-statements.md, "job".

pub mod script;
pub mod service;
mod waves;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::ids::{Name, OrgId, Sha256, StatementId};
use crate::statement::{Kind, Statement};
use crate::text::{alternative, keyword, record};
use crate::time::Time;
use crate::words::Prose;
pub use script::{Lines, Program, Run, Script};
use service::Service;
pub use waves::{ALL, Wave, Who};

record! {
    /// A job: what its requester and approvers sign, and what an agent runs.
    pub struct Job {
        /// The organization.
        org: OrgId,
        /// Random, so that two equal wishes are two jobs.
        id: StatementId,
        /// Who asks.
        requester: Name,
        /// The policy its author knew.
        policy: Sha256,
        /// The newest resume its author knew.
        resume: Option<Sha256>,
        /// Not before this.
        not_before: Time,
        /// Not at or after this.
        not_after: Time,
        /// Why.
        why: Prose,
        /// What to do, one after the other; each only if the one before ended well.
        steps: Vec<Step>,
        /// On which devices.
        targets: Targets,
        /// In which waves; none means all at once.
        waves: Vec<Wave>,
        /// What a halt does to it while it runs.
        on_halt: OnHalt,
        /// Seconds between occurrences, at least 10; 0 means once.
        repeat: u64,
        /// The server halts it when more than this part of its devices has failed, in hundredths of a percent of those whose waves
        /// have begun; 10,000 means never. No device obeys it: a server in the wrong hands can leave it out.
        halt_above: u64,
    }
}

impl Statement for Job {
    const KIND: Kind = Kind::Job;
}

alternative! {
    /// One step of a job. A new kind of work is a new alternative here.
    pub enum Step {
        /// Run a script or a program.
        Script(Script) = "script",
        /// Ask something of a service.
        Service(Service) = "service",
    }
}

impl Step {
    /// The word by which rules speak of this kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Script(_) => "script",
            Self::Service(_) => "service",
        }
    }

    /// Seconds after which it is over, one way or the other.
    pub fn timeout(&self) -> u64 {
        match self {
            Self::Script(script) => script.timeout,
            Self::Service(service) => service.timeout,
        }
    }

    /// The hash by which a halt can name its script, if it gives lines to an interpreter.
    pub fn script_hash(&self) -> Option<Sha256> {
        match self {
            Self::Script(Script { run: Run::Lines(lines), .. }) => Some(lines.hash()),
            Self::Script(Script { run: Run::Program(_), .. }) | Self::Service(_) => None,
        }
    }
}

alternative! {
    /// On which devices.
    pub enum Targets {
        /// Exactly these.
        List(TargetList) = "list",
        /// Every device that carries these labels.
        Labels(TargetLabels) = "labels",
    }
}

record! {
    /// A list of devices by the root of their sorted ids; the ids themselves travel beside the statement.
    pub struct TargetList {
        /// How many.
        count: u64,
        /// RFC 6962 root of the ids' bytes, ascending.
        root: Sha256,
    }
}

record! {
    /// Standing work for every device that carries all of these labels.
    pub struct TargetLabels {
        /// All of these must hold.
        labels: BTreeMap<Name, Name>,
        /// The log size its author saw: devices enrolled later stay out.
        as_of: u64,
        /// Unless this is true.
        joins: bool,
    }
}

keyword! {
    /// What a halt does to a step while it runs.
    pub enum OnHalt {
        /// Kill the whole process tree.
        Kill = "kill",
        /// Let it finish.
        Finish = "finish",
    }
}

/// Why a job cannot be run, whoever signed it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// It ends before it begins.
    #[error("it ends at {not_after}, before it begins at {not_before}")]
    Backwards {
        /// Its begin.
        not_before: Time,
        /// Its end.
        not_after: Time,
    },
    /// It lives longer than the policy allows.
    #[error("it lives {life} s, the policy allows {most} s")]
    Life {
        /// Its life.
        life: u64,
        /// The policy's limit.
        most: u64,
    },
    /// A number of steps that is not 1 to 16.
    #[error("{0} steps, 1 to 16 are allowed")]
    Steps(usize),
    /// A step without a timeout.
    #[error("step {0} has no timeout")]
    Timeout(usize),
    /// Waves whose shares do not climb to 10,000, that are of nobody in particular, or whose soak times fall.
    #[error(
        "wave {0} does not follow the ones before: shares climb to 10000, labels are named, soak times do not fall"
    )]
    Waves(usize),
    /// It repeats too often.
    #[error("it repeats every {repeat} s, {least} s is the least")]
    Repeat {
        /// Its interval.
        repeat: u64,
        /// The shortest there is.
        least: u64,
    },
    /// A part that is more than the whole.
    #[error("it is halted when more than {0} hundredths of a percent failed, 10000 is all")]
    HaltAbove(u64),
}

/// The word by which rules speak of jobs that a halt does not stop once they run.
pub const FINISH: &str = "finish";
/// How many steps a job may have.
pub const MAX_STEPS: usize = 16;
/// The shortest interval at which a job may repeat, in seconds.
pub const LEAST_REPEAT_S: u64 = 10;

impl Job {
    /// Checks what no signature can make good. `life_most` is the policy's limit in seconds.
    pub fn check(&self, life_most: u64) -> Result<(), JobError> {
        let Job { not_before, not_after, .. } = *self;
        if not_before >= not_after {
            return Err(JobError::Backwards { not_before, not_after });
        }
        let life = not_after.0 - not_before.0;
        if life > life_most {
            return Err(JobError::Life { life, most: life_most });
        }
        if self.steps.is_empty() || self.steps.len() > MAX_STEPS {
            return Err(JobError::Steps(self.steps.len()));
        }
        if let Some(endless) = self.steps.iter().position(|step| step.timeout() == 0) {
            return Err(JobError::Timeout(endless + 1));
        }
        if (1..LEAST_REPEAT_S).contains(&self.repeat) {
            return Err(JobError::Repeat { repeat: self.repeat, least: LEAST_REPEAT_S });
        }
        if self.halt_above > ALL {
            return Err(JobError::HaltAbove(self.halt_above));
        }
        self.check_waves()
    }

    /// Which occurrence is due at `lo`, counted from 0.
    pub fn occurrence(&self, lo: Time) -> u64 {
        lo.0.saturating_sub(self.not_before.0).checked_div(self.repeat).unwrap_or(0)
    }

    /// The kinds its steps are of; and that it goes on through a halt, which rules must allow as if it were one more.
    pub fn kinds(&self) -> BTreeSet<&'static str> {
        let finishes = (self.on_halt == OnHalt::Finish).then_some(FINISH);
        self.steps.iter().map(Step::kind).chain(finishes).collect()
    }

    /// When an occurrence begins.
    pub fn begins(&self, occurrence: u64) -> Time {
        self.not_before.plus(occurrence.saturating_mul(self.repeat))
    }
}
