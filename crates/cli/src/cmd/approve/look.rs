//! What an approver should see of a statement before signing it.

use countersign_trust::chain::Place;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::Sha256;
use countersign_trust::signers::signers;
use countersign_trust::statement::advance::Advance;
use countersign_trust::statement::enroll::{Enroll, What};
use countersign_trust::statement::halt::Halt;
use countersign_trust::statement::job::{Job, Targets};
use countersign_trust::statement::policy::Policy;
use countersign_trust::statement::resume::Resume;
use countersign_trust::statement::{self, Kind};
use countersign_trust::verify::rules_met;
use countersign_wire::http::{JobSummary, StatementView, paths};

use crate::approval::{approval, signed_by};
use crate::clones;
use crate::cmd::job::ReadJob;
use crate::cmd::job::advance::{seen, words};
use crate::cmd::policy::show_change;
use crate::cmd::run::describe;
use crate::context::{Context, Session};
use crate::difference;
use crate::output::{Stop, indent, plain_lines, short, time};
use crate::resemble;

/// Shows a statement and checks what can be checked of it.
pub fn look(context: &Context, session: &Session, signed: &Signed, targets: &[String]) -> anyhow::Result<()> {
    match signed.kind()? {
        Kind::Job => job(context, session, signed, targets)?,
        Kind::Policy => show_change(context, session, &statement::read::<Policy>(signed.statement())?)?,
        Kind::Enroll => enroll(context, session, signed)?,
        Kind::Resume => resume(context, session, signed)?,
        Kind::Advance => advance(context, session, signed)?,
        Kind::Halt => drop(statement::read::<Halt>(signed.statement())?),
    }
    context.ui.note("The exact text:");
    context.ui.note(plain_lines(signed.statement()).trim_end());
    Ok(())
}

fn job(context: &Context, session: &Session, signed: &Signed, targets: &[String]) -> anyhow::Result<()> {
    let view = StatementView {
        hash: signed.hash().to_string(),
        kind: Kind::Job.to_string(),
        state: String::new(),
        missing: String::new(),
        envelope: signed.to_string(),
        targets: targets.to_vec(),
        received: 0,
    };
    let read = ReadJob::read(session, view)?;
    let chain = &session.checked.chain;
    let devices = read.devices(session)?;
    read.job
        .check(chain.policy().body.limits.life)
        .map_err(|error| Stop::Refused(format!("no device would run this: {error}")))?;
    let by = signed_by(chain, signed);
    context.ui.note(&describe(session, &read.job, &read.hash, &devices, &by));
    clones::tell(context, session, &devices)?;
    let people: Vec<&str> = by.people().map(|name| name.as_str()).collect();
    context.ui.note(&format!("Signed so far by {} (verified)", people.join(", ")));
    let standing = approval(chain, &read.job, &by, &devices);
    standing.missing.iter().for_each(|what| context.ui.note(&format!("  missing: {what}")));
    for warning in doubts(context, session, &read.job) {
        context.ui.warn(&warning);
    }
    match last_job(session, signed)? {
        None => context.ui.note("There is no earlier job that verifies."),
        Some((hash, before)) => {
            let changed = difference::lines(&comparable(&before), &comparable(&read.job));
            let changed = if changed.is_empty() { "nothing but time and id\n".to_owned() } else { changed };
            context.ui.note(&format!(
                "Difference to the last job that verifies, {}:\n{}",
                short(&hash),
                indent(&changed).trim_end()
            ));
        }
    }
    Ok(())
}

/// What the waves before have come to, as this program sees it, beside what its author saw.
fn advance(context: &Context, session: &Session, signed: &Signed) -> anyhow::Result<()> {
    let advance: Advance = statement::read(signed.statement())?;
    let (read, said) = ReadJob::fetch_with_devices(session, &advance.job.to_string())?;
    let wave = usize::try_from(advance.wave)?;
    let seen = seen(session, &read, &said, wave);
    context.ui.note(&format!("Wave {wave} of the job {} may start: {}", short(&read.hash), advance.why));
    words(&read.job, wave, &seen).iter().for_each(|line| context.ui.note(line));
    if seen.root != advance.root {
        let Advance { well, failed, missing, .. } = advance;
        context.ui.warn(&format!(
            "its author saw other receipts: {well} well, {failed} failed, {missing} not heard of; look again"
        ));
    }
    Ok(())
}

/// What should make an approver look twice.
fn doubts(context: &Context, session: &Session, job: &Job) -> Vec<String> {
    let chain = &session.checked.chain;
    let mut found = Vec::new();
    if job.policy != chain.policy().hash {
        found.push("it was made under an older policy; both its rules and the newest must be met".to_owned());
    }
    if job.resume != chain.resume() {
        found.push("it was made before the newest resume, which may cut it off for ever".to_owned());
    }
    if job.not_after <= context.now {
        found.push(format!("its time is over since {}", time(job.not_after.0)));
    }
    if let Targets::Labels(wanted) = &job.targets
        && wanted.joins
    {
        found.push("it also runs on devices that join later".to_owned());
    }
    found
}

/// Of the jobs that the server lists, the one that stands last in the log, other than this one. It was approved: the proof of its
/// leaf holds, and the policy in force there finds enough signatures for every target that is still enrolled.
fn last_job(session: &Session, other_than: &Signed) -> anyhow::Result<Option<(Sha256, Job)>> {
    let listed: Vec<JobSummary> = session.server.pages(&session.path(paths::JOBS, &[]), 50)?;
    let this = other_than.hash();
    let approved = |summary: JobSummary| {
        let view = session.statement(&summary.hash).ok()?;
        let read = ReadJob::read(session, view).ok().filter(|read| read.hash != this)?;
        approved_at(session, &read).map(|place| (place, read))
    };
    // The server's word saves questions only: by a lie it can hide a job, as by not listing it, but not pass one off as approved.
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

/// A job's text without what differs between any two.
fn comparable(job: &Job) -> String {
    let (not_before, not_after) = (
        countersign_trust::time::Time(0),
        countersign_trust::time::Time(job.not_after.0.saturating_sub(job.not_before.0)),
    );
    let same = Job { id: countersign_trust::ids::StatementId([0; 16]), not_before, not_after, ..job.clone() };
    statement::write(&same).0
}

fn enroll(context: &Context, session: &Session, signed: &Signed) -> anyhow::Result<()> {
    let enroll: Enroll = statement::read(signed.statement())?;
    let known: Vec<&str> = session
        .checked
        .devices
        .enrolled
        .values()
        .flat_map(|device| device.labels.values())
        .map(|value| value.as_str())
        .collect();
    let (words, labels) = match &enroll.what {
        What::Batch(batch) => (
            format!(
                "takes in the first {} devices that join with a token, at {}, until {}",
                batch.count,
                batch.site,
                time(batch.until.0)
            ),
            Some((&batch.site, &batch.labels)),
        ),
        What::Device(device) => (
            format!("takes in one device at {}, or changes its labels", device.site),
            Some((&device.site, &device.labels)),
        ),
        What::Retire(retire) => (format!("lets {} go", short(&retire.device)), None),
    };
    context.ui.note(&format!("An enrollment: {words}"));
    if let Some((site, labels)) = labels {
        let used = std::iter::once(site).chain(labels.values()).map(|value| value.as_str());
        resemble::warnings("label", used, known).iter().for_each(|warning| context.ui.warn(warning));
    }
    Ok(())
}

fn resume(context: &Context, session: &Session, signed: &Signed) -> anyhow::Result<()> {
    let resume: Resume = statement::read(signed.statement())?;
    for line in super::super::resume::words(&session.checked.chain, &resume) {
        context.ui.note(&line);
    }
    Ok(())
}
