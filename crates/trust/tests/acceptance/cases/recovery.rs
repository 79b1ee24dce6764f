//! The day the keys are lost: a policy by the recovery set, which waits until enough beacons name it.

use std::collections::BTreeSet;

use countersign_trust::chain::ChainError;
use countersign_trust::clear::{ClearFault, NotFresh};
use countersign_trust::ids::Sha256;
use countersign_trust::statement::policy::{Policy, Recovery};
use countersign_trust::verify::Refusal;

use crate::bundle::Bundle;
use crate::organization::{BEACONS, Organization, person, sign, ssh_key, word};
use crate::scene::{Case, Scene, accepted, refused};

/// Two of three keys in a safe.
const SAFE: [&str; 3] = ["safe 1", "safe 2", "safe 3"];

fn with_recovery(policy: &mut Policy) {
    let keys: BTreeSet<_> = SAFE.iter().map(|name| ssh_key(name).public_key().clone()).collect();
    policy.recovery = Recovery { need: 2, keys };
}

/// Everybody has new keys; the new people's quorum signs too, and so do these.
fn new_keys(scene: &mut Scene, by: &[&str]) -> String {
    let mut next = scene.org.next_policy();
    next.people = ["anna", "bo", "cia"].map(|name| (word(name), person(&[&format!("{name} new")]))).into();
    let signed = sign(&next, &[&["anna new", "bo new"], by].concat());
    scene.org.log(signed).to_string()
}

fn hash_of(envelope: &str) -> Sha256 {
    countersign_trust::envelope::Logged::from_text(envelope).unwrap().signed.hash()
}

/// The device is brought the policy, and Clears of these many beacons that name it.
fn recovered(scene: &mut Scene, by: &[&str], naming: usize, keys: Vec<&'static str>) -> Bundle {
    scene.found(with_recovery);
    let policy = new_keys(scene, by);
    let hash = hash_of(&policy);
    scene.keys = keys;
    if naming > 0 {
        scene.job.policy = hash;
    }
    let mut bundle = scene.bundle();
    bundle.chain.push(policy);
    bundle.clears = BEACONS[..3]
        .iter()
        .enumerate()
        .map(|(at, beacon)| {
            scene.clear(beacon, |clear| {
                if at < naming {
                    clear.policy = hash
                }
            })
        })
        .collect();
    bundle
}

fn names_another(org: &Organization, named: Sha256, got: usize) -> Refusal {
    let held = org.chain.policy().hash;
    let faults =
        BEACONS[..3 - got].iter().map(|beacon| ((*beacon).to_owned(), ClearFault::Policy { named, held }));
    Refusal::NotFresh(NotFresh { got, need: 3, faults: faults.collect() })
}

pub fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "recovery-in-force",
            says: "two of the safe's keys, the new people, and three beacons that have waited 72 hours",
            bend: |scene| recovered(scene, &SAFE[..2], 3, vec!["anna new", "bo new"]),
            expected: |_| accepted(),
        },
        Case {
            name: "recovery-waits",
            says: "no beacon names it yet: the old keys still count, the new ones do not",
            bend: |scene| recovered(scene, &SAFE[..2], 0, vec!["anna", "bo"]),
            expected: |_| accepted(),
        },
        Case {
            name: "recovery-waits-and-new-keys-count-for-nothing",
            says: "no beacon names it yet",
            bend: |scene| recovered(scene, &SAFE[..2], 0, vec!["anna new", "bo new"]),
            expected: |_| refused(Refusal::UnknownSigners),
        },
        Case {
            name: "recovery-named-by-one-beacon-too-few",
            says: "two of three name it: neither policy has enough Clears, and nothing starts",
            bend: |scene| recovered(scene, &SAFE[..2], 2, vec!["anna", "bo"]),
            expected: |scene| refused(names_another(&scene.org, scene.job.policy, 1)),
        },
        Case {
            name: "recovery-by-too-few-keys",
            says: "one of the two keys it takes",
            bend: |scene| recovered(scene, &SAFE[..1], 0, vec!["anna", "bo"]),
            expected: |_| {
                let error = ChainError::Quorum { got: 0, need: 2, role: word("owner"), policy: 1 };
                accepted().without(1, error)
            },
        },
        Case {
            name: "recovery-without-the-new-people",
            says: "the safe's keys alone, without those who are to decide from now on",
            bend: |scene| {
                scene.found(with_recovery);
                let mut next = scene.org.next_policy();
                next.people.insert(word("anna"), person(&["anna new"]));
                let policy = scene.org.log(sign(&next, &SAFE[..2]));
                let mut bundle = scene.bundle();
                bundle.chain.push(policy.to_string());
                bundle
            },
            expected: |_| {
                let error = ChainError::Quorum { got: 0, need: 2, role: word("owner"), policy: 2 };
                accepted().without(1, error)
            },
        },
        Case {
            name: "recovery-where-there-is-none",
            says: "the policy in force names no recovery set",
            bend: |scene| {
                let policy = new_keys(scene, &SAFE[..2]);
                let mut bundle = scene.bundle();
                bundle.chain.push(policy);
                bundle
            },
            expected: |_| accepted().without(1, ChainError::UnknownSigners),
        },
        Case {
            name: "recovery-overtaken",
            says: "the thief of the safe was seen: within 72 hours the quorum signed another policy, which counts at once",
            bend: |scene| {
                scene.found(with_recovery);
                let waiting = new_keys(scene, &SAFE[..2]);
                scene.org.decide(|policy| policy.recovery = Recovery { need: 0, keys: BTreeSet::new() });
                scene.job.policy = scene.org.chain.policy().hash;
                let mut bundle = scene.bundle();
                bundle.chain.insert(1, waiting);
                bundle
            },
            expected: |_| accepted(),
        },
        Case {
            name: "recovery-after-another-policy",
            says: "the quorum signed a policy, and then comes the safe's, which follows the one before",
            bend: |scene| {
                scene.found(with_recovery);
                let late = new_keys(scene, &SAFE[..2]);
                scene.org.decide(|policy| policy.limits.life = 3 * 86_400);
                let mut bundle = scene.bundle();
                bundle.chain.push(late);
                bundle
            },
            expected: |scene| {
                let (before, now) = (scene.org.chain.policies()[0].hash, scene.org.chain.policy().hash);
                // Nobody whom the newest policy knows has signed it.
                let _ = (before, now);
                accepted().without(2, ChainError::NotNext { expected: now.to_string(), found: vec![before] })
            },
        },
    ]
}
