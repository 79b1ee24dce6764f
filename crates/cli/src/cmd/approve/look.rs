//! What an approver should see of a statement before signing it.

use countersign_trust::chain::Chain;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::DeviceId;
use countersign_trust::join::Labels;
use countersign_trust::statement::advance::Advance;
use countersign_trust::statement::enroll::{self, Enroll, What};
use countersign_trust::statement::halt::Halt;
use countersign_trust::statement::job::{Job, Targets};
use countersign_trust::statement::policy::Policy;
use countersign_trust::statement::resume::Resume;
use countersign_trust::statement::{self, Kind};
use countersign_wire::http::StatementView;

use crate::approval::{approval, signed_by};
use crate::checked::Device;
use crate::clones;
use crate::cmd::device::moving;
use crate::cmd::job::ReadJob;
use crate::cmd::job::advance::{seen, words};
use crate::cmd::policy::show_change;
use crate::cmd::resume::wish::follows;
use crate::cmd::resume::{Freed, words as words_of_resume};
use crate::cmd::run::{describe, label_words};
use crate::context::{Context, Session};
use crate::difference;
use crate::output::{Stop, count, indent, short, time};
use crate::prose::{exact, prose};
use crate::resemble;

use super::earlier::earlier;

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
    context.ui.note(&exact(signed.statement()));
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
    let earlier = earlier(session, signed)?;
    if earlier.hidden > 0 {
        context.ui.warn(&format!(
            "{} not shown by the server",
            count(earlier.hidden, "later job was", "later jobs were")
        ));
    }
    match earlier.job {
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
    context.ui.note(&format!(
        "Wave {wave} of the job {} may start, because:\n{}",
        short(&read.hash),
        indent(&prose(advance.why.as_str(), "all of it: the exact text below")).trim_end()
    ));
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
    let labels = match &enroll.what {
        What::Batch(batch) => moving::with_site(&batch.labels, &batch.site)?,
        What::Device(device) => moving::with_site(&device.labels, &device.site)?,
        What::Retire(_) => Labels::new(),
    };
    let words = match &enroll.what {
        What::Batch(batch) => {
            format!(
                "takes in the first {} devices that join with a token, until {}, with {}",
                batch.count,
                time(batch.until.0),
                carried(&labels)
            )
        }
        What::Device(device) => one_device(context, session, device, &labels),
        What::Retire(retire) => leaves(session.checked.devices.enrolled.get(&retire.device), retire),
    };
    context.ui.note(&format!("An enrollment: {words}"));
    begin(context, session, &enroll.what, &labels);
    let used = labels.values().map(|value| value.as_str());
    resemble::warnings("label", used, known).iter().for_each(|warning| context.ui.warn(warning));
    Ok(())
}

/// The rules that hold for whoever comes with these labels and not for everybody.
fn begin(context: &Context, session: &Session, what: &What, labels: &Labels) {
    let moves = |device: &enroll::Device| {
        session.checked.devices.enrolled.contains_key(&DeviceId::of_key(device.key.raw()))
    };
    if matches!(what, What::Device(device) if moves(device)) {
        return;
    }
    let rules = moving::rules(&session.checked.chain.policy().body, &Labels::new(), labels);
    rules.iter().for_each(|line| context.ui.note(&format!("  {line}")));
}

/// Labels, the site among them, which decide which rules and which jobs a device falls under.
fn carried(labels: &Labels) -> String {
    let labels: Vec<String> = labels.iter().map(|(key, value)| label_words(key, value)).collect();
    format!("the labels {}", labels.join(" "))
}

/// What a retire ends.
fn leaves(held: Option<&Device>, retire: &enroll::Retire) -> String {
    let which = match held {
        Some(held) => format!("which has {}", carried(&held.labels)),
        None => "WHICH NOTHING THAT WAS VERIFIED HERE ENROLLS".to_owned(),
    };
    format!("lets {}, {which}, go FOR EVER: its key is never taken in again", retire.device)
}

/// A device that comes, or what changes about one that is there.
fn one_device(context: &Context, session: &Session, wish: &enroll::Device, after: &Labels) -> String {
    let id = DeviceId::of_key(wish.key.raw());
    let Some(held) = session.checked.devices.enrolled.get(&id) else {
        return format!("takes in {id} with {}", carried(after));
    };
    moving::changes(&held.labels, after).iter().for_each(|line| context.ui.note(&format!("  {line}")));
    let rules = moving::rules(&session.checked.chain.policy().body, &held.labels, after);
    rules.iter().for_each(|line| context.ui.note(line));
    if wish.previous != Some(held.enroll) {
        context.ui.warn("it does not follow the enrollment that this device holds, which will not take it");
    }
    format!("moves {id}, as above")
}

fn resume(context: &Context, session: &Session, signed: &Signed) -> anyhow::Result<()> {
    let resume: Resume = statement::read(signed.statement())?;
    still_follows(&session.checked.chain, signed, &resume)?;
    let freed = Freed::by(&resume, context, session)?;
    words_of_resume(session, &resume, &freed).iter().for_each(|line| context.ui.note(line));
    Ok(())
}

/// A signature under a resume that nobody can take any more would only be lost.
fn still_follows(chain: &Chain, signed: &Signed, resume: &Resume) -> Result<(), Stop> {
    let hash = signed.hash();
    if chain.resumes().iter().any(|held| held.hash == hash) {
        return Err(Stop::Usage(format!(
            "the resume {} is in force already: nobody need sign it",
            short(&hash)
        )));
    }
    match chain.resume() {
        Some(newest) if !follows(chain, resume) => Err(Stop::Refused(format!(
            "another resume, {}, is in force since: {} cannot be taken any more; see what is halted with `countersign halt list`, \
             and write a new one with `countersign resume`",
            short(&newest),
            short(&hash)
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_trust::chain::Place;
    use countersign_trust::ids::Sha256;
    use countersign_trust::join::device_key;

    #[test]
    fn a_retire_says_what_goes_and_that_it_is_for_ever() {
        let key = device_key([7; 32]).unwrap();
        let device = DeviceId::of_key(key.raw());
        let labels: Labels = [("kind", "register"), ("site", "old town")]
            .map(|(key, value)| (key.parse().unwrap(), value.parse().unwrap()))
            .into();
        let place = Place { log: 0, index: 4 };
        let held = Device { device, key, labels, enroll: Sha256([1; 32]), place, seq: 0 };
        let words = leaves(Some(&held), &enroll::Retire { device });
        assert_eq!(
            words,
            format!(
                "lets {device}, which has the labels kind=register 'site=old town', go FOR EVER: its key is never taken in again"
            )
        );
        assert!(
            leaves(None, &enroll::Retire { device }).contains("WHICH NOTHING THAT WAS VERIFIED HERE ENROLLS")
        );
    }
}
