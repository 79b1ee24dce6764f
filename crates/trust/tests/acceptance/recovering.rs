//! What a chain keeps of a policy of the recovery set, and what a beacon owes it. What a device makes of one: `cases/recovery.rs`.

use countersign_trust::chain::{RECOVERY_WAIT_S, Recovered};
use countersign_trust::delivery::News;
use countersign_trust::ids::Sha256;
use countersign_trust::statement::policy::Recovery;

use crate::organization::{BEACONS, Organization, note_key, person, sign, ssh_key, word};

/// An organization with one key in a safe, and what that key and new people signed.
fn with_a_waiting_policy() -> (Organization, Sha256) {
    let mut org = Organization::found_with(|policy| {
        policy.recovery = Recovery { need: 1, keys: [ssh_key("safe").public_key().clone()].into() };
    });
    let mut next = org.next_policy();
    next.people = ["anna", "bo", "cia"].map(|name| (word(name), person(&[&format!("{name} new")]))).into();
    let policy = News::Policy(org.log(sign(&next, &["anna new", "bo new", "safe"])));
    let hash = org.take(policy).hash();
    (org, hash)
}

fn recovered(org: &Organization, policy: Sha256) -> Recovered {
    Recovered { org: org.org, policy, after: org.genesis.signed.hash() }
}

fn give_words(org: &mut Organization, policy: Sha256, beacons: &[&str]) {
    let text = recovered(org, policy).to_string();
    for beacon in beacons {
        let word = note_key(beacon).note(text.clone()).unwrap();
        org.take(News::Recovered(word));
    }
}

#[test]
fn it_waits_as_long_as_the_specification_says() {
    assert_eq!(RECOVERY_WAIT_S, 259_200);
}

#[test]
fn a_beacon_owes_its_word_for_what_came_into_force_without_it() {
    let (mut org, policy) = with_a_waiting_policy();
    let owed = |org: &Organization, beacon: &str| org.chain.owed_by(note_key(beacon).verifier());
    assert_eq!(owed(&org, BEACONS[3]), [], "not while it waits");
    give_words(&mut org, policy, &BEACONS[..3]);
    assert_eq!(owed(&org, BEACONS[0]), [], "it has given it");
    assert_eq!(owed(&org, "beacon-5"), [], "whom the policy before does not name");
    assert_eq!(owed(&org, BEACONS[3]), [recovered(&org, policy)]);
    give_words(&mut org, policy, &BEACONS[3..]);
    assert_eq!(owed(&org, BEACONS[3]), [], "it has given it late");
}

#[test]
fn words_are_kept_for_what_is_in_force_and_forgotten_for_what_was_overtaken() {
    let (mut org, policy) = with_a_waiting_policy();
    give_words(&mut org, policy, &BEACONS[..2]);
    assert_eq!(org.chain.words(&policy).count(), 2);
    give_words(&mut org, policy, &BEACONS[2..]);
    assert_eq!(org.chain.words(&policy).count(), 4, "in force");
    assert!(org.chain.was_recovered(&policy));

    let (mut org, policy) = with_a_waiting_policy();
    give_words(&mut org, policy, &BEACONS[..2]);
    org.decide(|policy| policy.recovery.need = 0);
    assert_eq!(org.chain.words(&policy).count(), 0, "overtaken");
    assert!(!org.chain.was_recovered(&policy));
}
