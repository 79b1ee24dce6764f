//! Which jobs a resume lets run again: what the halts stop that it lifts, and that nothing else stops. And which it cuts off.

use std::collections::BTreeSet;

use countersign_trust::chain::HeldHalt;
use countersign_trust::ids::Sha256;
use countersign_trust::signers::{Signers, signers};
use countersign_trust::statement::Kind;
use countersign_trust::statement::halt::Scope;
use countersign_trust::statement::job::Job;
use countersign_trust::statement::resume::{Cuts, Lifts, Resume};
use countersign_trust::verify::covers;
use countersign_wire::http::{JobView, StatementView, paths};
use serde_json::{Value, json};

use crate::cmd::job::ReadJob;
use crate::context::{Context, Session};
use crate::output::{count, short, span, time};
use crate::prose::brief;
use crate::receipts::{Outcome, outcome, verified};

/// What may run again, and what never will.
#[derive(Debug, Default)]
pub struct Freed {
    jobs: Vec<(Sha256, Job)>,
    /// Jobs that are open and that this refuses for ever.
    cut: Vec<(Sha256, Job)>,
    /// How many jobs stand in the log that the server does not show: they may run again too.
    unseen: usize,
}

/// Every job in the log that can still start somewhere as far as this computer's clock and what its devices signed tell, and that no
/// resume has cut off; and how many jobs stand in the log that the server does not show.
///
/// # Errors
/// The server does not answer.
pub fn open_jobs(context: &Context, session: &Session) -> anyhow::Result<(Vec<ReadJob>, usize)> {
    let path = format!("{}?kind=job", session.path(paths::STATEMENTS, &[]));
    let shown: Vec<StatementView> = session.server.pages(&path, usize::MAX)?;
    let logged: Vec<ReadJob> = shown
        .into_iter()
        .filter_map(|view| ReadJob::read(session, view).ok())
        .filter(|read| read.governing(session).is_some())
        .collect();
    let known: BTreeSet<String> = logged.iter().map(|read| read.hash.to_string()).collect();
    let leaves = session.checked.log.firsts();
    let unseen = leaves.keys().filter(|(kind, hash)| *kind == "job" && !known.contains(*hash)).count();
    let mut open = Vec::new();
    for read in logged.into_iter().filter(|read| read.job.not_after > context.now) {
        if !read.is_cut(session) && !is_over(session, &read)? {
            open.push(read);
        }
    }
    Ok((open, unseen))
}

impl Freed {
    /// Reads every job that is open and finds those that `resume` lets run again, and those that it cuts.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn by(resume: &Resume, context: &Context, session: &Session) -> anyhow::Result<Self> {
        let (open, unseen) = open_jobs(context, session)?;
        let (mut jobs, mut cut) = (Vec::new(), Vec::new());
        for read in open {
            let by = signers(&session.checked.chain.policy().body, Kind::Job, &read.signed);
            if is_cut(resume, &read.hash, &by) {
                cut.push((read.hash, read.job));
            } else if runs_again(resume, session, &read, &by) {
                jobs.push((read.hash, read.job));
            }
        }
        let unseen = if cuts_all(resume) { 0 } else { unseen };
        Ok(Self { jobs, cut, unseen })
    }

    /// How many there are.
    pub fn number(&self) -> usize {
        self.jobs.len() + self.unseen
    }

    /// What must be signed anew, if it is still wanted.
    fn cut_words(&self) -> Vec<String> {
        if self.cut.is_empty() {
            return Vec::new();
        }
        let jobs = count(self.cut.len(), "open job is", "open jobs are");
        let mut lines =
            vec![format!("  {jobs} REFUSED FOR EVER by this; whoever still wants one signs it anew:")];
        lines.extend(self.cut.iter().map(|(hash, job)| format!("    {}", line(hash, job))));
        lines.push("    as it was: countersign job rerun HASH; to spare one instead: --keep HASH".to_owned());
        lines
    }

    /// For programs: the open jobs that may run again, and those that are cut.
    pub fn json(&self) -> Value {
        let hashes =
            |jobs: &[(Sha256, Job)]| jobs.iter().map(|(hash, _)| hash.to_string()).collect::<Vec<_>>();
        json!({"run_again": hashes(&self.jobs), "cut": hashes(&self.cut), "not_shown": self.unseen})
    }

    /// A line for each.
    pub fn words(&self) -> Vec<String> {
        let mut lines = self.cut_words();
        if self.number() == 0 {
            lines.push("  no open job waits for this".to_owned());
            return lines;
        }
        let jobs = count(self.number(), "job", "jobs");
        lines.push(format!("  LOOK: {jobs} that these halts stop may RUN AGAIN by this:"));
        lines.extend(self.jobs.iter().map(|(hash, job)| format!("    {}", line(hash, job))));
        if self.unseen > 0 {
            let number = count(self.unseen, "job that stands", "jobs that stand");
            lines.push(format!("    {number} in the log and that the server does not show"));
        }
        lines
    }
}

/// One job, by hash, person and reason.
pub fn line(hash: &Sha256, job: &Job) -> String {
    let again = if job.repeat > 0 { format!(", again every {}", span(job.repeat)) } else { String::new() };
    let (who, until) = (&job.requester, time(job.not_after.0));
    format!("{} asked by {who}, until {until}{again}: {}", short(hash), brief(job.why.as_str()))
}

/// Whether halts that `resume` lifts stop a job that it does not cut, and no other halts do.
fn runs_again(resume: &Resume, session: &Session, read: &ReadJob, by: &Signers) -> bool {
    let chain = &session.checked.chain;
    let (lifted, left): (Vec<&HeldHalt>, Vec<&HeldHalt>) =
        chain.active_halts().partition(|halt| match &resume.lifts {
            Lifts::Halts(halts) => halts.contains(&halt.hash),
            // Such a resume cuts all: what is left is what it keeps, whoever halted that.
            Lifts::Keys(_) => true,
        });
    // Which version a device has is its own word: a halt of some versions stops none for certain, and may stop any.
    let certain = |halt: &&HeldHalt| !matches!(halt.body.scope, Scope::Component(_)) && stops(halt, read, by);
    lifted.iter().any(|halt| stops(halt, read, by)) && !left.iter().any(certain)
}

/// Whether a halt stops a job somewhere: by its scope, or by making a signature count for nothing.
pub fn stops(halt: &HeldHalt, read: &ReadJob, by: &Signers) -> bool {
    let person = matches!(&halt.body.scope, Scope::Person(person) if by.contains(person));
    person || covers(halt, "", &read.hash, &read.job)
}

fn cuts_all(resume: &Resume) -> bool {
    matches!(resume.cuts, Cuts::All(_)) || matches!(resume.lifts, Lifts::Keys(_))
}

fn is_cut(resume: &Resume, job: &Sha256, by: &Signers) -> bool {
    let named = match &resume.cuts {
        Cuts::People(people) => people.iter().any(|person| by.contains(person)),
        _ => false,
    };
    (cuts_all(resume) || named) && !resume.keeps.contains(job)
}

/// Whether every device has signed that it is done with a job that does not repeat.
fn is_over(session: &Session, read: &ReadJob) -> anyhow::Result<bool> {
    if read.job.repeat > 0 || read.targets.is_empty() {
        return Ok(false);
    }
    let view: JobView = session.server.get(&session.path(paths::JOB, &[("hash", &read.hash.to_string())]))?;
    let done = |id: &countersign_trust::ids::DeviceId| {
        let told = view.devices.iter().filter(|told| told.device == id.to_string());
        let notes = told.filter_map(|told| told.receipt.as_deref());
        let receipts = notes.filter_map(|note| verified(&session.checked, id, &read.hash, note).ok());
        let mut outcomes = receipts.map(|receipt| outcome(&receipt, read.job.steps.len()));
        outcomes.any(|how| matches!(how, Outcome::Well | Outcome::Failed))
    };
    Ok(read.targets.iter().all(done))
}
