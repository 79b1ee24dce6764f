//! `countersign job`: what became of jobs.

pub mod advance;
mod output;
mod rerun;
mod show;
pub mod watch;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use countersign_trust::chain::{Chain, Place};
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::signers::signers;
use countersign_trust::statement::job::{Job, Step, TargetLabels, Targets};
use countersign_trust::statement::{self, Kind};
use countersign_trust::time::Time;
use countersign_wire::http::{JobDevice, JobSummary, JobView, StatementView, paths};
use serde_json::json;

use crate::checked::Device;
use crate::cmd::halt;
use crate::cmd::run::WatchArgs;
use crate::context::{Context, Session};
use crate::output::{Stop, plain, short, table, time};

/// What became of jobs. A job is named by its hash or the beginning of it.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// The newest jobs.
    List {
        /// How many.
        #[arg(long, default_value_t = 20)]
        most: usize,
    },
    /// One job: its text, who signed, and what each device says, with the rule of each refusal.
    Show {
        /// Which.
        job: String,
    },
    /// Watch one until every device has said its last word.
    Watch {
        /// Which.
        job: String,
        #[command(flatten)]
        /// How.
        how: WatchArgs,
    },
    /// What it wrote on a device.
    Output {
        /// Which.
        job: String,
        /// The device, by its id or the beginning of it; not needed if there is only one.
        device: Option<String>,
    },
    /// Stop one: a halt of this job, kept by beacons, that only a resume lifts.
    Cancel {
        /// Which.
        job: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Start the next wave, where the policy wants a person to have looked at the ones before.
    Advance(advance::AdvanceArgs),
    /// Run the same again, as a new job, on the same devices.
    Rerun(rerun::RerunArgs),
}

/// Runs it.
pub fn run(context: &Context, command: JobCommand) -> anyhow::Result<ExitCode> {
    match command {
        JobCommand::Cancel { job, reason } => return halt::cancel(context, &job, &reason),
        JobCommand::List { most } => list(context, most)?,
        JobCommand::Show { job } => show::show(context, &job)?,
        JobCommand::Output { job, device } => output::output(context, &job, device.as_deref())?,
        JobCommand::Watch { job, how } => {
            let session = context.open()?;
            let read = ReadJob::fetch(&session, &job)?;
            let watch =
                watch::Watch { hash: read.hash, steps: read.job.steps.len(), targets: read.targets, how };
            return watch::watch(context, &session, &watch);
        }
        JobCommand::Advance(args) => advance::advance(context, &args)?,
        JobCommand::Rerun(args) => return rerun::rerun(context, &args),
    }
    Ok(ExitCode::SUCCESS)
}

/// A job whose signatures hold and whose list of targets is the one that was signed.
pub struct ReadJob {
    /// Its hash.
    pub hash: Sha256,
    /// What it says.
    pub job: Job,
    /// Its signatures.
    pub signed: Signed,
    /// Its targets: for a list exactly those that were signed; for labels those enrolled devices that carry them.
    pub targets: Vec<DeviceId>,
    /// What the server says of it.
    pub view: StatementView,
    /// Envelopes of its advances that are in the log, as the server shows them.
    pub advances: Vec<String>,
}

impl ReadJob {
    /// Fetches the job that `wish` names and checks it.
    pub fn fetch(session: &Session, wish: &str) -> anyhow::Result<Self> {
        Ok(Self::fetch_with_devices(session, wish)?.0)
    }

    /// As [`ReadJob::fetch`], with what the server says of the job's devices.
    pub fn fetch_with_devices(session: &Session, wish: &str) -> anyhow::Result<(Self, Vec<JobDevice>)> {
        let hash = find(session, wish)?;
        let view: JobView = session.server.get(&session.path(paths::JOB, &[("hash", &hash)]))?;
        let mut read = Self::read(session, view.statement)?;
        let envelopes = view.advances.into_iter().map(|advance| advance.envelope);
        read.advances = envelopes.filter(|text| Logged::from_text(text).is_ok()).collect();
        // Another genuine job is not the one that was asked for.
        if !read.hash.to_string().starts_with(wish.strip_prefix("job-").unwrap_or(wish)) {
            let what = format!("the server shows the job {} under the name {}", read.hash, plain(wish));
            return Err(Stop::Alarm(what).into());
        }
        Ok((read, view.devices))
    }

    /// Checks a statement that the server showed as a job.
    pub fn read(session: &Session, view: StatementView) -> anyhow::Result<Self> {
        let signed = signed_part(&view.envelope)?;
        let hash = signed.hash();
        if hash.to_string() != view.hash {
            return Err(Stop::Alarm(format!(
                "the server shows a statement {hash} under the name {}",
                plain(&view.hash)
            ))
            .into());
        }
        let chain = &session.checked.chain;
        if signed_by_nobody(chain, &signed) {
            return Err(Stop::Alarm(format!("nobody of any policy signed {}", short(&hash))).into());
        }
        let job: Job = statement::read(signed.statement())?;
        if job.org != chain.org() {
            return Err(Stop::Alarm(format!("the job is for {}", job.org)).into());
        }
        let targets = targets(session, &job, &view.targets)?;
        Ok(Self { hash, job, signed, targets, view, advances: Vec::new() })
    }

    /// Whether nothing can start by it any more, and what was started has come to its end: by this computer's clock, with room for
    /// beacons whose clocks are others.
    pub fn is_over(&self, now: Time) -> bool {
        let timeouts = self.job.steps.iter().map(|step| match step {
            Step::Script(script) => script.timeout,
            Step::Service(service) => service.timeout,
        });
        now > over_after(self.job.not_after, timeouts)
    }

    /// Whether a resume has cut it off: then no device that holds that starts it any more, and no beacon clears one that does not.
    pub fn is_cut(&self, session: &Session) -> bool {
        let chain = &session.checked.chain;
        let by = signers(&chain.policy().body, Kind::Job, &self.signed);
        matches!(chain.cut_by(&self.hash, self.job.resume, &by), Ok(Some(_)))
    }

    /// The targets as verified enrollments; of those that are not, an error.
    pub fn devices<'a>(&self, session: &'a Session) -> anyhow::Result<Vec<&'a Device>> {
        let enrolled = &session.checked.devices.enrolled;
        let device = |id: &DeviceId| {
            let found = enrolled.get(id);
            found.ok_or_else(|| {
                Stop::Refused(format!("target {id} is not enrolled by anything that was verified here"))
            })
        };
        Ok(self.targets.iter().map(device).collect::<Result<_, _>>()?)
    }
}

/// When a job with these steps has come to its end wherever it started, in seconds that they may last.
fn over_after(not_after: Time, timeouts: impl Iterator<Item = u64>) -> Time {
    const CLOCKS: u64 = 300;
    not_after.plus(timeouts.fold(CLOCKS, u64::saturating_add))
}

fn signed_by_nobody(chain: &Chain, signed: &Signed) -> bool {
    signed.kind() != Ok(Kind::Job)
        || chain.policies().iter().all(|held| signers(&held.body, Kind::Job, signed).is_empty())
}

/// The statement and signatures of an envelope, with or without a proof.
pub fn signed_part(envelope: &str) -> anyhow::Result<Signed> {
    match Logged::from_text(envelope) {
        Ok(logged) => Ok(logged.signed),
        Err(_) => Signed::from_text(envelope).context("the server shows something that is no envelope"),
    }
}

/// The targets of a job. A list must have the count and root that were signed.
fn targets(session: &Session, job: &Job, shown: &[String]) -> anyhow::Result<Vec<DeviceId>> {
    let list = match &job.targets {
        Targets::Labels(wanted) => {
            // `as_of` is a size of the log that the job's author knew: that of the policy it names.
            let named = session.checked.chain.policy_by_hash(&job.policy);
            let log = named.map(|policy| policy.place.log).unwrap_or_default();
            let enrolled = session.checked.devices.enrolled.values();
            return Ok(enrolled
                .filter(|device| is_wanted(wanted, log, device))
                .map(|device| device.device)
                .collect());
        }
        Targets::List(list) => list,
    };
    let ids: Vec<DeviceId> = shown
        .iter()
        .map(|id| id.parse())
        .collect::<Result<_, _>>()
        .context("the server's list of targets")?;
    let tree: countersign_trust::merkle::Tree =
        ids.iter().map(|id| countersign_trust::merkle::leaf_hash(&id.0)).collect();
    if tree.size() != list.count || tree.root() != list.root || !ids.is_sorted() {
        let what = format!(
            "the server shows {} targets with root {}; signed are {} with root {}",
            tree.size(),
            tree.root(),
            list.count,
            list.root
        );
        return Err(Stop::Alarm(what).into());
    }
    Ok(ids)
}

/// Whether a job by labels, whose author knew the log numbered `log`, is for `device`: as the device itself judges.
fn is_wanted(wanted: &TargetLabels, log: usize, device: &Device) -> bool {
    let carries = wanted.labels.iter().all(|(key, value)| device.labels.get(key) == Some(value));
    carries && (wanted.joins || device.place < Place { log, index: wanted.as_of })
}

/// The whole hash of the statement that `wish` begins, found among those the server lists.
pub fn find(session: &Session, wish: &str) -> anyhow::Result<String> {
    let digits = wish.strip_prefix("job-").unwrap_or(wish);
    let hexadecimal = digits.len() >= 4 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !hexadecimal {
        return Err(
            Stop::Usage(format!("`{}` is no hash; write at least 4 of its digits", plain(wish))).into()
        );
    }
    if digits.len() == 64 {
        return Ok(digits.to_owned());
    }
    let all: Vec<StatementView> = session.server.pages(&session.path(paths::STATEMENTS, &[]), usize::MAX)?;
    let mut found: Vec<String> =
        all.into_iter().map(|view| view.hash).filter(|hash| hash.starts_with(digits)).collect();
    found.sort();
    found.dedup();
    match found.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Stop::Usage(format!("the server knows no statement that begins with {digits}")).into()),
        _ => Err(Stop::Usage(format!("several statements begin with {digits}; write more of it")).into()),
    }
}

fn list(context: &Context, most: usize) -> anyhow::Result<()> {
    let session = context.open()?;
    let jobs: Vec<JobSummary> = session.server.pages(&session.path(paths::JOBS, &[]), most)?;
    let row = |job: &JobSummary| {
        let counts: Vec<String> =
            job.counts.iter().map(|count| format!("{} {}", count.count, plain(&count.verdict))).collect();
        let missing =
            if job.missing.is_empty() { String::new() } else { format!("waits: {}", plain(&job.missing)) };
        let stands = if counts.is_empty() { missing } else { counts.join(", ") };
        vec![short(&plain(&job.hash)), time(job.received), plain(&job.state), stands]
    };
    let rows: Vec<Vec<String>> = jobs.iter().map(row).collect();
    context.ui.note("The server says (`countersign job show` verifies):");
    context
        .ui
        .answer(&json!({"the_server_says": jobs}), || table(&["JOB", "RECEIVED", "STATE", "DEVICES"], &rows));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use countersign_trust::join::device_key;

    fn enrolled_at(place: Place) -> Device {
        let key = device_key([7; 32]).unwrap();
        let labels = [("kind".parse().unwrap(), "register".parse().unwrap())].into();
        Device { device: DeviceId::of_key(key.raw()), key, labels, enroll: Sha256([1; 32]), place, seq: 0 }
    }

    #[test]
    fn a_job_is_over_when_what_started_at_its_last_second_has_ended() {
        assert_eq!(over_after(Time(1_000), [60, 600].into_iter()), Time(1_960));
        assert_eq!(over_after(Time(1_000), [u64::MAX].into_iter()), Time(u64::MAX), "never");
    }

    #[test]
    fn a_job_by_labels_is_for_devices_enrolled_before_its_author_looked() {
        let early = enrolled_at(Place { log: 1, index: 4 });
        let late = enrolled_at(Place { log: 1, index: 5 });
        let wanted = TargetLabels { labels: early.labels.clone(), as_of: 5, joins: false };
        assert!(is_wanted(&wanted, 1, &early));
        assert!(!is_wanted(&wanted, 1, &late), "at `as_of`");
        assert!(!is_wanted(&wanted, 0, &early), "in a log that came later");
        assert!(is_wanted(&wanted, 2, &late), "in a log before");
        let standing = TargetLabels { joins: true, ..wanted };
        assert!(is_wanted(&standing, 1, &late));
        let other = BTreeMap::from([("kind".parse().unwrap(), "server".parse().unwrap())]);
        assert!(!is_wanted(&TargetLabels { labels: other, ..standing }, 1, &late));
    }
}
