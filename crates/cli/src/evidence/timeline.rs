//! The page for people: a line for each event, in the order of the log, which is the only order that is proved.
//!
//! Source: docs/spec/8-interfaces.md, "Evidence of a span". Whoever has the files comes to the same text, byte for byte.

use std::collections::BTreeSet;

use countersign_trust::chain::Place;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::Sha256;
use countersign_trust::join::Join;
use countersign_trust::signers::signers;
use countersign_trust::statement::advance::Advance;
use countersign_trust::statement::enroll::{Enroll, What};
use countersign_trust::statement::halt::{Halt, Scope};
use countersign_trust::statement::job::Job;
use countersign_trust::statement::policy::Policy;
use countersign_trust::statement::resume::{Cuts, Lifts, Resume};
use countersign_trust::statement::{self, Kind};
use countersign_trust::time::Time;

use super::leaves::Slot;
use super::marks::Times;
use super::read::{Evidence, ShownReceipt, Statement};
use crate::output::{short, time};

/// The most characters of a reason.
const MOST_SAID: usize = 120;

/// The whole page.
pub fn timeline(evidence: &Evidence) -> String {
    let span = &evidence.span;
    let mut text = format!(
        "Evidence of {} from {} until {}\n\
         In the order of the log. The time is when enough witnesses had seen it; of a receipt what the device says.\n\n",
        span.org,
        time(span.from.0),
        time(span.until.0)
    );
    let times = Times::of(&evidence.marks);
    for (place, slot) in evidence.within() {
        let when = times.of_leaf(place).map_or_else(|| "-".to_owned(), |seen| time(seen.0));
        let Some(said) = of_leaf(evidence, slot) else { continue };
        text.push_str(&format!("{when} {}:{} {said}\n", place.log, place.index));
        text.push_str(&of_batch(evidence, place, slot));
    }
    for (hash, shown) in evidence.statements.iter().filter(|(_, shown)| shown.proof.is_none()) {
        text.push_str(&format!("- - {}\n", of_statement(evidence, hash, shown)));
    }
    for shown in evidence.receipts.values().flatten().filter(|shown| shown.place.is_none()) {
        text.push_str(&format!("{} - {}\n", time(shown.receipt.time.0), of_receipt(shown)));
    }
    text
}

fn of_leaf(evidence: &Evidence, slot: &Slot) -> Option<String> {
    let Slot::Leaf { kind, statement, .. } = slot else {
        return matches!(slot, Slot::Other(_)).then(|| "NONE OF THIS ORGANIZATION".to_owned());
    };
    let hidden = || format!("{kind} {} NOT SHOWN", short(statement));
    let said = match kind.as_str() {
        "receipts" => evidence.batches.get(statement).map(|batch| {
            format!("receipts {}, {} of {} shown", short(statement), batch.receipts.len(), batch.size)
        }),
        "join" => evidence.joins.get(statement).and_then(|(note, _)| {
            let join: Join = note.text().parse().ok()?;
            Some(format!("join {} by {}", short(&join.device.name()), short(&join.batch)))
        }),
        _ => {
            let shown = evidence.statements.get(statement);
            let shown = shown
                .filter(|shown| Some(shown.entry.as_bytes()) == slot.entry(&evidence.span.org).as_deref());
            shown.map(|shown| of_statement(evidence, statement, shown))
        }
    };
    Some(said.unwrap_or_else(hidden))
}

fn of_statement(evidence: &Evidence, hash: &Sha256, shown: &Statement) -> String {
    let said = match shown.kind {
        Kind::Policy => read(&shown.signed).map(|policy: Policy| format!(", number {}", policy.number)),
        Kind::Job => read(&shown.signed)
            .map(|job: Job| format!(", asked for by {}: {}", job.requester, cut(job.why.as_str()))),
        Kind::Advance => read(&shown.signed).map(|advance: Advance| {
            let Advance { job, wave, well, failed, missing, .. } = advance;
            format!(", wave {wave} of {}, {well} well, {failed} failed, {missing} missing", short(&job))
        }),
        Kind::Halt => read(&shown.signed).map(|halt: Halt| of_halt(evidence, &shown.signed, &halt)),
        Kind::Resume => read(&shown.signed).map(|resume: Resume| of_resume(&resume)),
        Kind::Enroll => read(&shown.signed).map(|enroll: Enroll| of_enroll(&enroll)),
    };
    let kind = shown.kind;
    let said = said.unwrap_or_else(|| ", UNREADABLE".to_owned());
    format!("{kind} {}, signed by {}{said}", short(hash), who(evidence, kind, &shown.signed))
}

fn read<S: statement::Statement>(signed: &Signed) -> Option<S> {
    statement::read(signed.statement()).ok()
}

/// Whose signatures verify by a key of any policy held.
fn who(evidence: &Evidence, kind: Kind, signed: &Signed) -> String {
    let mut people = BTreeSet::new();
    for held in evidence.chain.policies() {
        people.extend(signers(&held.body, kind, signed).people().map(ToString::to_string));
    }
    if people.is_empty() {
        "nobody known".to_owned()
    } else {
        people.into_iter().collect::<Vec<_>>().join(", ")
    }
}

fn of_halt(evidence: &Evidence, signed: &Signed, halt: &Halt) -> String {
    let by =
        evidence.chain.called_by(signed).map_or_else(|_| "nobody who may".to_owned(), |by| by.to_string());
    let scope = match &halt.scope {
        Scope::Organization(_) => "the organization".to_owned(),
        Scope::Job(job) => format!("job {}", short(job)),
        Scope::Script(script) => format!("script {}", short(script)),
        Scope::Person(person) => format!("person {person}"),
        Scope::Component(component) => format!("{} below {}", component.name, component.below),
    };
    format!(", called by {by}, stops {scope}, made {}: {}", at(halt.made), cut(halt.reason.as_str()))
}

fn of_resume(resume: &Resume) -> String {
    let lifts = match &resume.lifts {
        Lifts::Halts(halts) => format!("{} halts", halts.len()),
        Lifts::Keys(keys) => format!("all of {} keys", keys.len()),
    };
    let cuts = match &resume.cuts {
        Cuts::None(_) => "nothing".to_owned(),
        Cuts::People(people) => people.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        Cuts::All(_) => "all".to_owned(),
    };
    format!(", lifts {lifts}, cuts {cuts}, keeps {}: {}", resume.keeps.len(), cut(resume.why.as_str()))
}

fn of_enroll(enroll: &Enroll) -> String {
    match &enroll.what {
        What::Device(device) => format!(", of {} at {}", short(&device.key.name()), device.site),
        What::Batch(batch) => format!(", of {} at {} until {}", batch.count, batch.site, at(batch.until)),
        What::Retire(retire) => format!(", retires {}", short(&retire.device)),
    }
}

fn of_batch(evidence: &Evidence, place: Place, slot: &Slot) -> String {
    let Slot::Leaf { kind, statement, .. } = slot else { return String::new() };
    let Some(batch) = evidence.batches.get(statement).filter(|_| kind == "receipts") else {
        return String::new();
    };
    let mut text = String::new();
    for (index, (device, at)) in &batch.receipts {
        if let Some(shown) = evidence.receipts.get(device).and_then(|all| all.get(*at)) {
            let Place { log, index: leaf } = place;
            text.push_str(&format!(
                "{} {log}:{leaf}.{index} {}\n",
                time(shown.receipt.time.0),
                of_receipt(shown)
            ));
        }
    }
    text
}

fn of_receipt(ShownReceipt { receipt, .. }: &ShownReceipt) -> String {
    let job = receipt.job.map_or_else(|| "none".to_owned(), |job| short(&job));
    let step = format!("occurrence {}, step {}", receipt.occurrence, receipt.step.saturating_add(1));
    let times = if receipt.count == 1 { String::new() } else { format!(", {} times", receipt.count) };
    let because = match receipt.because.as_str() {
        "" => String::new(),
        because => format!(": {}", cut(because)),
    };
    let (device, number, verdict) = (short(&receipt.device), receipt.number, receipt.verdict);
    format!("{device} {number} {verdict} job {job}, {step}{times}{because}")
}

fn at(Time(seconds): Time) -> String {
    time(seconds)
}

/// The beginning of what somebody wrote, in one line.
fn cut(text: &str) -> String {
    let blank = |c: char| if matches!(c, '\n' | '\t') { ' ' } else { c };
    text.chars().take(MOST_SAID).map(blank).collect()
}
