//! Something to run, on which devices, when, and why.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::ids::{DeviceId, Name, OrgId, Sha256, StatementId};
use crate::statement::service::Service;
use crate::statement::{Kind, Statement};
use crate::text::{alternative, keyword, record};
use crate::time::Time;
use crate::words::{AbsolutePath, Line, Prose, Variable};

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

record! {
    /// A script or a program, and everything it gets.
    pub struct Script {
        /// What to execute.
        run: Run,
        /// As whom: a user name of the device.
        user: Name,
        /// In which folder.
        folder: AbsolutePath,
        /// The whole environment: nothing else is inherited.
        environment: BTreeMap<Variable, Line>,
        /// Seconds after which it is killed, at least 1.
        timeout: u64,
        /// Bytes of output that are kept.
        output: u64,
        /// Memory in MiB; 0 means no limit.
        memory: u64,
        /// Processes at a time; 0 means no limit.
        processes: u64,
        /// Processor share in percent of one processor; 0 means no limit.
        processor: u64,
    }
}

alternative! {
    /// What to execute.
    pub enum Run {
        /// A program with its arguments; no shell.
        Program(Program) = "program",
        /// Lines for an interpreter.
        Lines(Lines) = "lines",
    }
}

record! {
    /// A program with its arguments.
    pub struct Program {
        /// The program.
        path: AbsolutePath,
        /// Its arguments.
        arguments: Vec<Line>,
    }
}

record! {
    /// Lines for an interpreter, which gets its arguments and then the script as a file.
    pub struct Lines {
        /// The interpreter.
        interpreter: AbsolutePath,
        /// Its arguments.
        arguments: Vec<Line>,
        /// The script.
        lines: Vec<Line>,
    }
}

impl Lines {
    /// The script's hash, by which a halt can name it: SHA-256 of each line and a line feed.
    pub fn hash(&self) -> Sha256 {
        let mut parts: Vec<&[u8]> = Vec::new();
        for line in &self.lines {
            parts.push(line.as_str().as_bytes());
            parts.push(b"\n");
        }
        Sha256::of_parts(&parts)
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

record! {
    /// A wave: whose turn it is, and how long after the job's start.
    pub struct Wave {
        /// Of those whom no earlier wave took.
        who: Who,
        /// Seconds after the job's start.
        soak: u64,
    }
}

alternative! {
    /// Whose turn it is.
    pub enum Who {
        /// A cumulative share in hundredths of a percent, drawn from the job's hash; the last wave's is 10,000.
        Share(u64) = "share",
        /// Devices that carry all of these labels.
        Labels(BTreeMap<Name, Name>) = "labels",
    }
}

/// All devices: the share of the last wave.
pub const ALL: u64 = 10_000;

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
        self.check_waves()
    }

    fn check_waves(&self) -> Result<(), JobError> {
        let (mut taken, mut soaked) = (0, 0);
        for (index, Wave { who, soak }) in self.waves.iter().enumerate() {
            let follows = match who {
                Who::Share(share) => core::mem::replace(&mut taken, *share) < *share && *share <= ALL,
                Who::Labels(labels) => !labels.is_empty(),
            };
            let is_last = index + 1 == self.waves.len();
            if !follows || *soak < soaked || is_last != (*who == Who::Share(ALL)) {
                return Err(JobError::Waves(index + 1));
            }
            soaked = *soak;
        }
        Ok(())
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

    /// In which wave the turn of a device with these labels comes, counted from 0. `hash` is the job's.
    ///
    /// Source: docs/spec/6-acceptance.md, "Waves".
    pub fn wave_of(&self, hash: &Sha256, device: &DeviceId, labels: &BTreeMap<Name, Name>) -> usize {
        let text = alloc::format!("countersign-wave/v1\n{hash}\n{device}\n");
        let digest = Sha256::of(text.as_bytes()).0;
        let b = digest.iter().take(8).fold(0_u128, |value, byte| value << 8 | u128::from(*byte));
        let place = (b * u128::from(ALL)) >> 64;
        let takes = |wave: &Wave| match &wave.who {
            Who::Share(share) => place < u128::from(*share),
            Who::Labels(wanted) => wanted.iter().all(|(key, value)| labels.get(key) == Some(value)),
        };
        self.waves.iter().position(takes).unwrap_or(0)
    }
}
