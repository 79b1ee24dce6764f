//! The job to compare a new one with: the newest in the log that was approved, whatever the server would rather show.

use countersign_trust::chain::Place;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::Sha256;
use countersign_trust::signers::signers;
use countersign_trust::statement::Kind;
use countersign_trust::statement::job::Job;
use countersign_trust::verify::rules_met;
use countersign_wire::http::{JobSummary, paths};

use crate::checked::log::Leaf;
use crate::cmd::job::ReadJob;
use crate::context::Session;

/// How many of the newest jobs in the log are looked at.
const MOST: usize = 50;

/// What was found.
#[derive(Debug, Default)]
pub struct Earlier {
    /// The newest job that was approved.
    pub job: Option<(Sha256, Job)>,
    /// How many jobs stand later in the log that the server does not show, or not as they were logged.
    pub hidden: usize,
}

/// Asks for the jobs in the log from the newest on, until one verifies as approved: the proof of its leaf holds, and the policy in
/// force there finds enough signatures for every target that is still enrolled. Where the newest log has none, those that the
/// server lists are looked through: they may stand in a log before.
///
/// # Errors
/// The server does not answer.
pub fn earlier(session: &Session, other_than: &Signed) -> anyhow::Result<Earlier> {
    let this = other_than.hash();
    let firsts = session.checked.log.firsts();
    let mut leaves: Vec<&Leaf> = firsts
        .into_values()
        .filter(|leaf| leaf.kind == "job" && leaf.statement != this.to_string())
        .collect();
    leaves.sort_by_key(|leaf| std::cmp::Reverse(leaf.place()));
    let mut hidden = 0;
    for leaf in leaves.into_iter().take(MOST) {
        match shown_at(session, leaf) {
            None => hidden += 1,
            Some(read) if approved_at(session, &read).is_some() => {
                return Ok(Earlier { job: Some((read.hash, read.job)), hidden });
            }
            Some(_) => {}
        }
    }
    Ok(Earlier { job: listed(session, this)?, hidden })
}

/// The job of a leaf, if the server shows it with a proof of that leaf.
fn shown_at(session: &Session, leaf: &Leaf) -> Option<ReadJob> {
    let read = ReadJob::read(session, session.statement(&leaf.statement).ok()?).ok()?;
    let (_, place) = read.governing(session)?;
    (place == leaf.place() && read.hash.to_string() == leaf.statement).then_some(read)
}

/// Of the jobs that the server lists, the one that stands last in a log. By its word it can hide a job, but not pass one off as
/// approved.
fn listed(session: &Session, this: Sha256) -> anyhow::Result<Option<(Sha256, Job)>> {
    let listed: Vec<JobSummary> = session.server.pages(&session.path(paths::JOBS, &[]), MOST)?;
    let approved = |summary: JobSummary| {
        let view = session.statement(&summary.hash).ok()?;
        let read = ReadJob::read(session, view).ok().filter(|read| read.hash != this)?;
        approved_at(session, &read).map(|place| (place, read))
    };
    let logged = listed.into_iter().filter(|job| job.state == "logged");
    let last = logged.filter_map(approved).max_by_key(|(place, _)| *place);
    Ok(last.map(|(_, read)| (read.hash, read.job)))
}

/// Where a job stands in the log, if it was approved there for every target that is still enrolled, and there is one.
fn approved_at(session: &Session, read: &ReadJob) -> Option<Place> {
    let (policy, place) = read.governing(session)?;
    let by = signers(policy, Kind::Job, &read.signed);
    let devices = read.enrolled(session);
    let met = devices.iter().all(|device| rules_met(policy, &device.labels, &read.job, &by).is_ok());
    (met && !devices.is_empty()).then_some(place)
}
