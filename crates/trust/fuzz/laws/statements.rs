//! The canonical texts of what people sign.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::statement::advance::Advance;
use countersign_trust::statement::enroll::Enroll;
use countersign_trust::statement::halt::Halt;
use countersign_trust::statement::job::{Job, MAX_STEPS};
use countersign_trust::statement::policy::Policy;
use countersign_trust::statement::resume::Resume;
use countersign_trust::statement::{Statement, read, write};

/// What reads is within its bound, prints as what was read, and is JSON to others too.
fn one_text<S: Statement + PartialEq + Debug>(data: &[u8]) -> Option<S> {
    let text = super::text(data);
    match read::<S>(text) {
        Ok(statement) => {
            assert!(text.len() <= S::KIND.most_bytes());
            let (printed, hash) = write(&statement);
            assert_eq!((printed.as_str(), hash), (text, Sha256::of(data)), "two texts for one value");
            let json = serde_json::from_str::<serde_json::Value>(text);
            assert!(json.is_ok_and(|value| value.is_object()), "{text}");
            Some(statement)
        }
        Err(error) => {
            super::says_little(&error);
            None
        }
    }
}

/// A policy that can be used has no key twice, and asks of nobody what is not there.
pub fn policy(data: &[u8]) {
    let Some(policy) = one_text::<Policy>(data) else { return };
    if let Err(error) = policy.check() {
        return super::says_little(&error);
    }
    let people = policy.people.values().flat_map(|person| &person.keys).map(|held| held.key.numbers());
    let others = policy.halt.machines.values().chain(&policy.vendor.keys).chain(&policy.recovery.keys);
    let notes = policy.witnesses.keys.iter().chain(&policy.beacons.keys).chain([&policy.log.key]);
    let raw = notes.map(|key| key.raw().as_slice());
    let all: Vec<&[u8]> = people.chain(others.map(|key| key.numbers())).chain(raw).collect();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "a key stands twice");
    assert!(usize::from(policy.witnesses.need.get()) <= policy.witnesses.keys.len());
    assert!(usize::from(policy.beacons.need.get()) <= policy.beacons.keys.len());
    for quorum in [&policy.quorums.policy, &policy.quorums.enroll, &policy.quorums.resume] {
        assert!(usize::from(quorum.need.get()) <= policy.people_of([&quorum.role]).len());
    }
}

/// A job that can be run has steps, ends after it begins and reaches every device in some wave.
pub fn job(data: &[u8]) {
    let Some(job) = one_text::<Job>(data) else { return };
    match job.check(86_400) {
        Ok(()) => {
            assert!((1..=MAX_STEPS).contains(&job.steps.len()) && job.not_before < job.not_after);
            let wave = job.wave_of(&Sha256::of(data), &DeviceId(Sha256::of(b"till").0), &BTreeMap::new());
            assert!(wave < job.waves.len().max(1));
        }
        Err(error) => super::says_little(&error),
    }
}

/// A halt.
pub fn halt(data: &[u8]) {
    one_text::<Halt>(data);
}

/// A resume.
pub fn resume(data: &[u8]) {
    one_text::<Resume>(data);
}

/// An enrollment.
pub fn enroll(data: &[u8]) {
    one_text::<Enroll>(data);
}

/// An advance.
pub fn advance(data: &[u8]) {
    one_text::<Advance>(data);
}
