//! Which devices the evidence enrolls: by statements and joins that hold at the first leaf where they stand, of a batch the first
//! so many.

use std::collections::{BTreeMap, BTreeSet};

use countersign_trust::chain::Place;
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::join::{Enrolled, Join, check_enroll, enrolled_by_join, enrolled_directly};
use countersign_trust::statement::Kind;
use countersign_trust::statement::enroll::What;

use super::Evidence;
use crate::evidence::leaves::Slot;

/// Every device with each enrollment that counts, in the order of the logs.
pub fn enrolled(evidence: &Evidence) -> BTreeMap<DeviceId, Vec<Enrolled>> {
    let firsts = firsts(evidence);
    let mut all: Vec<Enrolled> = Vec::new();
    for statement in evidence.statements.values().filter(|statement| statement.kind == Kind::Enroll) {
        let Some(logged) = statement.logged() else { continue };
        let Ok((body, place)) = check_enroll(&evidence.chain, &logged) else { continue };
        if firsts.get(&("enroll", logged.signed.hash())) != Some(&place) {
            continue;
        }
        match body.what {
            What::Device(_) => all.extend(enrolled_directly(&evidence.chain, &logged)),
            What::Batch(batch) => {
                let mut joined = of_batch(evidence, &logged, &firsts);
                let mut seen = BTreeSet::new();
                joined.retain(|device| seen.insert(device.device));
                joined.truncate(usize::try_from(batch.count).unwrap_or(usize::MAX));
                all.extend(joined);
            }
            What::Retire(_) => {}
        }
    }
    all.sort_by_key(|device| device.place);
    let mut devices: BTreeMap<DeviceId, Vec<Enrolled>> = BTreeMap::new();
    for device in all {
        devices.entry(device.device).or_default().push(device);
    }
    devices
}

/// The joins of a batch that hold, the earliest first.
fn of_batch(
    evidence: &Evidence,
    batch: &countersign_trust::envelope::Logged,
    firsts: &BTreeMap<(&str, Sha256), Place>,
) -> Vec<Enrolled> {
    let hash = batch.signed.hash();
    let mut joined = Vec::new();
    for (note, proof) in evidence.joins.values() {
        let names_it = note.text().parse::<Join>().is_ok_and(|join| join.batch == hash);
        let Some(proof) = proof.as_ref().filter(|_| names_it) else { continue };
        let Ok(device) = enrolled_by_join(&evidence.chain, batch, note, proof) else { continue };
        let first = firsts.get(&("join", Sha256::of(note.text().as_bytes())));
        if first == Some(&device.place) {
            joined.push(device);
        }
    }
    joined.sort_by_key(|device| device.place);
    joined
}

/// The first leaf of each statement and join.
pub fn firsts(evidence: &Evidence) -> BTreeMap<(&str, Sha256), Place> {
    let mut firsts = BTreeMap::new();
    for (log, shown) in (0..).zip(&evidence.logs) {
        for (index, slot) in (0..).zip(&shown.slots) {
            if let Slot::Leaf { kind, statement, .. } = slot {
                firsts.entry((kind.as_str(), *statement)).or_insert(Place { log, index });
            }
        }
    }
    firsts
}
