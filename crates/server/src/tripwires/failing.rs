//! Of a job more has failed than its author lets fail.

use std::sync::Arc;

use countersign_trust::envelope::Signed;
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::note::Note;
use countersign_trust::receipt::{Receipt, Verdict};
use countersign_trust::statement::halt::Scope;
use countersign_trust::statement::job::{ALL, Job};
use countersign_trust::statement::policy::Then;
use countersign_trust::statement::{self as statements, Kind};

use super::counting::{MOST_EVIDENCE, how_many};
use super::touches::Found;
use crate::app::{App, Org};
use crate::dispatch::{Plan, PlanError};
use crate::store::{StoreError, job_device, statement, stored};

/// How many of the newest jobs are looked at after a start.
const MOST_OF_LATE: i64 = 200;

/// Why a job cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum FailingError {
    /// The records cannot be reached.
    #[error("the records cannot be reached: {0}")]
    Store(#[from] StoreError),
    /// Which waves have begun cannot be said.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// Looks at a job; more of it has failed than may, if something is found.
pub async fn look(app: &Arc<App>, org: &Arc<Org>, hash: Sha256) -> Result<Option<Found>, FailingError> {
    let (id, printed, now) = (org.id.to_string(), hash.to_string(), app.now());
    let Some(row) = statement::get(&app.db, &id, &printed).await? else { return Ok(None) };
    let Some(job) = watched(&row.kind, &row.envelope).filter(|job| now < job.not_after) else {
        return Ok(None);
    };
    if is_halted(org, &hash) {
        return Ok(None);
    }
    let unwell = job_device::unwell(&app.db, &id, &printed).await?;
    let failed: Vec<(DeviceId, String)> = unwell.into_iter().filter_map(failed).collect();
    if failed.is_empty() {
        return Ok(None);
    }
    let devices = job_device::devices(&app.db, &id, &printed).await?;
    let mut begun: Vec<DeviceId> = devices.iter().filter_map(|(device,)| device.parse().ok()).collect();
    if !job.waves.is_empty() {
        let plan = Plan::load(app, org, hash).await?;
        begun.retain(|device| plan.has_begun(device, now));
    }
    begun.sort_unstable();
    let failed: Vec<_> =
        failed.into_iter().filter(|(device, _)| begun.binary_search(device).is_ok()).collect();
    let (bad, all) = (failed.len(), begun.len());
    if !is_too_much(bad, all, job.halt_above) {
        return Ok(None);
    }
    let part = format!("{}.{:02} %", job.halt_above / 100, job.halt_above % 100);
    Ok(Some(Found {
        tripwire: name_of(&hash),
        then: Then::Halt,
        scope: Scope::Job(hash),
        count: u64::try_from(bad).unwrap_or(u64::MAX),
        words: format!(
            "{bad} of {} whose waves have begun failed or refused, more than the {part} that the job lets fail",
            how_many(all, "device", "devices")
        ),
        evidence: failed.into_iter().map(|(_, note)| note).take(MOST_EVIDENCE).collect(),
        until_ms: Some(stored(job.not_after.0.saturating_mul(1_000))),
    }))
}

/// How a job is called where tripwires are.
pub fn name_of(job: &Sha256) -> String {
    format!("job {job}")
}

/// The newest jobs that are to be looked at: what failed just before a start may have gone unseen.
pub async fn of_late(app: &App, org: &Org) -> Result<Vec<Sha256>, StoreError> {
    let rows =
        statement::page(&app.db, &org.id.to_string(), &Kind::Job.to_string(), i64::MAX, "", MOST_OF_LATE)
            .await?;
    let rows = rows.iter().filter(|row| watched(&row.kind, &row.envelope).is_some());
    Ok(rows.filter_map(|row| row.hash.parse().ok()).collect())
}

/// The job of a row, if it says how much may fail.
fn watched(kind: &str, envelope: &str) -> Option<Job> {
    let signed = Signed::from_text(envelope).ok().filter(|_| kind == Kind::Job.to_string())?;
    statements::read(signed.statement()).ok().filter(|job: &Job| job.halt_above < ALL)
}

/// Whether a halt stops it already: then nobody need stop it, and what the halt itself made fail does not count.
fn is_halted(org: &Org, job: &Sha256) -> bool {
    org.chain().active_halts().any(|halt| match &halt.body.scope {
        Scope::Organization(_) => true,
        Scope::Job(halted) => halted == job,
        Scope::Script(_) | Scope::Person(_) | Scope::Component(_) => false,
    })
}

/// The device and its receipt, if that says that the job failed there, and will not be tried again: not what passes, and not
/// what a halt did.
fn failed((device, note): (String, String)) -> Option<(DeviceId, String)> {
    let receipt: Receipt = note.parse::<Note>().ok()?.text().parse().ok()?;
    let passes = receipt.code.as_ref().is_some_and(|code| code.may_pass() || code.lacks_a_proof());
    let failed = match receipt.verdict {
        Verdict::Refused => !passes,
        Verdict::Ended => !receipt.ended_well() && !receipt.because.as_str().starts_with("halted"),
        Verdict::Interrupted => true,
        Verdict::Accepted => false,
    };
    if failed { Some((device.parse().ok()?, note)) } else { None }
}

/// Whether so many of all are more than this part, in hundredths of a percent.
fn is_too_much(bad: usize, all: usize, part: u64) -> bool {
    let [bad, all] = [bad, all].map(|count| u128::try_from(count).unwrap_or(u128::MAX));
    bad.saturating_mul(ALL.into()) > all.saturating_mul(part.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_too_much_above_the_part_and_not_at_it() {
        let cases = [
            (1, 10, 1_000, false),
            (2, 10, 1_000, true),
            (1, 9, 1_000, true),
            (0, 0, 0, false),
            (1, 1_000_000, 0, true),
            (10, 10, 10_000, false),
            (1, 1, 9_999, true),
        ];
        for (bad, all, part, expected) in cases {
            assert_eq!(is_too_much(bad, all, part), expected, "{bad} of {all}, {part}");
        }
    }
}
