//! What is missing from a folder of evidence, a line each, so that whoever reads it knows what it does not show.
//!
//! Source: docs/spec/8-interfaces.md, "Evidence of a span", where every form of line stands.

use std::collections::BTreeSet;

use countersign_trust::chain::Place;
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::statement;
use countersign_trust::statement::job::{Job, Targets};

use super::leaves::Slot;
use super::read::Evidence;
use super::span::Source;

/// Every line, without repeats, in their order.
pub fn missing(evidence: &Evidence) -> Vec<String> {
    let mut lines = Vec::new();
    for (log, shown) in (0..).zip(&evidence.logs) {
        let end = shown.within.end;
        let mut unknown: Option<(u64, u64)> = None;
        for (index, slot) in (0..).zip(&shown.slots) {
            let place = Place { log, index };
            match (slot, &mut unknown) {
                (Slot::Unknown, Some((_, last))) => *last = index,
                (Slot::Unknown, none) => *none = Some((index, index)),
                (_, run) => lines.extend(run.take().map(|run| leaves(log, run))),
            }
            let within = shown.within.contains(&index);
            lines.extend(of_slot(evidence, place, slot, within, index < end));
        }
        lines.extend(unknown.map(|run| leaves(log, run)));
        if evidence.span.source == Source::Records && !shown.slots.is_empty() {
            lines.extend(no_mark(evidence, log, shown.slots.len()));
        }
    }
    lines.extend(of_receipts(evidence));
    lines.extend(of_jobs(evidence));
    lines.extend(of_devices(evidence));
    lines
}

fn leaves(log: usize, (first, last): (u64, u64)) -> String {
    format!("leaves {log}:{first}-{last}")
}

/// A rebuilt log whose whole size no quorum of witnesses vouches for.
fn no_mark(evidence: &Evidence, log: usize, size: usize) -> Option<String> {
    let size = u64::try_from(size).ok()?;
    let vouched = evidence.marks.iter().any(|mark| mark.log == log && mark.size == size);
    (!vouched).then(|| format!("quorum {log}:{size}"))
}

/// What a leaf stands for and nobody shows. Within the span everything is asked for; before it only who is whose device.
fn of_slot(evidence: &Evidence, place: Place, slot: &Slot, within: bool, before_end: bool) -> Option<String> {
    let Place { log, index } = place;
    match slot {
        Slot::Unknown => None,
        Slot::Other(_) => within.then(|| format!("other {log}:{index}")),
        Slot::Leaf { kind, statement, .. } => match kind.as_str() {
            "receipts" => {
                let batch = evidence.batches.get(statement);
                let (shown, size) = batch.map_or((0, 0), |batch| (batch.receipts.len(), batch.size));
                let whole = size > 0 && u64::try_from(shown) == Ok(size);
                (within && !whole)
                    .then(|| format!("batch {log}:{index} {statement} {shown} of {}", or_unknown(size)))
            }
            "join" => {
                let hidden = !evidence.joins.contains_key(statement);
                (before_end && hidden).then(|| format!("join {log}:{index} {statement}"))
            }
            kind => {
                let asked = if kind == "enroll" { before_end } else { within };
                let entry = evidence.statements.get(statement).map(|shown| shown.entry.as_bytes().to_vec());
                let hidden = entry.is_none() || entry != slot.entry(&evidence.span.org);
                (asked && hidden).then(|| format!("{kind} {log}:{index} {statement}"))
            }
        },
    }
}

fn or_unknown(size: u64) -> String {
    if size == 0 { "?".to_owned() } else { size.to_string() }
}

/// Numbers that are missing between the receipts of a device, and receipts that stand in no log.
fn of_receipts(evidence: &Evidence) -> Vec<String> {
    let mut lines = Vec::new();
    for (device, receipts) in &evidence.receipts {
        let mut next: Option<u64> = None;
        for shown in receipts {
            let number = shown.receipt.number;
            if let Some(next) = next.filter(|next| number > *next) {
                lines.push(format!("receipts {device} {next}-{}", number - 1));
            }
            if shown.place.is_none() {
                lines.push(format!("unlogged {device} {number}"));
            }
            next = Some(number.saturating_add(1));
        }
    }
    lines
}

/// Jobs that receipts name and nobody shows; lists of targets that are not shown; targets of which nothing is heard.
fn of_jobs(evidence: &Evidence) -> Vec<String> {
    let named: BTreeSet<Sha256> =
        evidence.receipts.values().flatten().filter_map(|shown| shown.receipt.job).collect();
    let hidden = named.iter().filter(|job| !evidence.statements.contains_key(*job));
    let mut lines: Vec<String> = hidden.map(|job| format!("job - {job}")).collect();
    let heard: BTreeSet<(Sha256, DeviceId)> = evidence
        .receipts
        .values()
        .flatten()
        .filter_map(|shown| Some((shown.receipt.job?, shown.receipt.device)))
        .collect();
    for (_, slot) in evidence.within() {
        let Slot::Leaf { kind, statement, .. } = slot else { continue };
        let Some(shown) = evidence.statements.get(statement).filter(|_| kind == "job") else { continue };
        let Ok(Job { targets: Targets::List(_), .. }) = statement::read::<Job>(shown.signed.statement())
        else {
            continue;
        };
        match evidence.targets.get(statement) {
            None => lines.push(format!("targets {statement}")),
            Some(ids) => {
                let silent = ids.iter().filter(|id| !heard.contains(&(*statement, **id)));
                lines.extend(silent.map(|id| format!("silent {statement} {id}")));
            }
        }
    }
    let mut seen = BTreeSet::new();
    lines.retain(|line| seen.insert(line.clone()));
    lines
}

/// Where there is no server any more: devices of which nothing is shown.
fn of_devices(evidence: &Evidence) -> Vec<String> {
    if evidence.span.source == Source::Server {
        return Vec::new();
    }
    let quiet = evidence.devices.keys().filter(|device| !evidence.receipts.contains_key(device));
    quiet.map(|device| format!("device {device}")).collect()
}
