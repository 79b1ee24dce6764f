//! The day the keys are lost: whose log a witness cosigns while a policy of the recovery set waits, and after.

use std::sync::atomic::Ordering;

use countersign_trust::chain::Recovered;
use countersign_trust::delivery::write_sequence;
use countersign_trust::envelope::Signed;
use countersign_trust::note::{KeyKind, NoteSigner};
use countersign_trust::statement::policy::{Log, Policy};

use crate::Test;
use crate::client::{Answer, post};
use crate::organization::{
    SAFE, TestLog, beacon_key, following, log_key, org_of, recovering, sign, signed, with_recovery, witnesses,
};

const ORIGIN: &str = "log.example/one";
const SUCCESSOR: &str = "log.example/one/2";

async fn tell(test: &Test, first: &Policy, envelopes: &[Signed]) -> Answer {
    let path = format!("/v1/orgs/{}/policies", org_of(first));
    post(test.at(), &path, write_sequence(envelopes)).await
}

/// An organization with a safe, whose recovery policy moves to another log; the witness holds it since its clock showed 5,000.
async fn waiting(test: &Test) -> (Policy, Signed) {
    let first = with_recovery(test.policy(ORIGIN));
    let (mut next, _) = recovering(&first);
    let mut old = TestLog::new(ORIGIN, Vec::new());
    old.grow(3);
    next.log = Log {
        key: log_key(SUCCESSOR).verifier().clone(),
        old_size: 3,
        old_root: Some(old.tree.root_at(3).unwrap()),
    };
    let recovery = sign(&next, &[60, 61, SAFE[0], SAFE[1]]);
    let answer = tell(test, &first, &[signed(&first), recovery.clone()]).await;
    let lines = format!("taken {}\nwaits {}\n", signed(&first).hash(), recovery.hash());
    assert_eq!((answer.status, answer.body), (200, lines));
    (first, recovery)
}

/// The log that the recovery policy names, which holds that policy alone.
fn new_log(first: &Policy, recovery: &Signed) -> TestLog {
    let mut log = TestLog::new(SUCCESSOR, Vec::new());
    log.add(org_of(first), recovery);
    log
}

/// Beacons' word that it has waited its time; one beacon is needed.
fn word(first: &Policy, recovery: &Signed, beacon: u8) -> String {
    let said = Recovered { org: org_of(first), policy: recovery.hash(), after: signed(first).hash() };
    beacon_key(beacon).note(said.to_string()).unwrap().to_string()
}

async fn tell_word(test: &Test, first: &Policy, word: &str) -> Answer {
    let path = format!("/v1/orgs/{}/policies", org_of(first));
    post(test.at(), &path, write_sequence(&[word])).await
}

#[tokio::test]
async fn while_it_waits_its_log_is_cosigned_with_that_policy_in_it_and_nothing_else() {
    let mut test = Test::new().await;
    let (first, recovery) = waiting(&test).await;
    let mut other = TestLog::new(SUCCESSOR, Vec::new());
    other.grow(1);
    assert_eq!(test.add(other.request(0, 1)).await.status, 403, "another leaf");
    let mut log = new_log(&first, &recovery);
    assert_eq!(test.add(log.request(0, 1)).await.status, 200);
    log.grow(2);
    // Time alone changes nothing: who shows it to witnesses alone has shown it to nobody.
    test.clock.store(5_000 + 20 * 86_400, Ordering::SeqCst);
    test.restart().await;
    let refused = test.add(log.request(1, 2)).await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("waits for the word of enough beacons"), "{refused:?}");
    assert_eq!(tell_word(&test, &first, &word(&first, &recovery, 1)).await.status, 200);
    assert_eq!(test.add(log.request(1, 2)).await.status, 200);
    test.restart().await;
    log.grow(3);
    assert_eq!(test.add(log.request(2, 3)).await.status, 200, "also after a restart");
}

#[tokio::test]
async fn the_log_that_it_is_to_replace_goes_on_until_it_is_in_force() {
    let test = Test::new().await;
    let (first, recovery) = waiting(&test).await;
    let mut old = TestLog::new(ORIGIN, Vec::new());
    old.grow(5);
    assert_eq!(test.add(old.request(0, 4)).await.status, 200, "above where the waiting policy ends it");
    assert_eq!(tell_word(&test, &first, &word(&first, &recovery, 1)).await.status, 200);
    let ended = test.add(old.request(4, 5)).await;
    assert_eq!(ended.status, 403, "{ended:?}");
}

#[tokio::test]
async fn the_quorum_has_the_last_word_until_the_beacons_have_given_theirs() {
    let mut test = Test::new().await;
    let (first, recovery) = waiting(&test).await;
    let objection = signed(&following(&first));
    test.clock.store(5_000 + 20 * 86_400, Ordering::SeqCst);
    assert_eq!(tell(&test, &first, &[objection]).await.status, 200);
    let log = new_log(&first, &recovery);
    for _ in 0..2 {
        assert_eq!(test.add(log.request(0, 1)).await.status, 404, "nobody's log any more");
        assert_eq!(tell_word(&test, &first, &word(&first, &recovery, 1)).await.status, 422);
        assert_ne!(tell(&test, &first, std::slice::from_ref(&recovery)).await.status, 200);
        test.restart().await;
    }
}

/// A recovery policy that names the same log under a key of the thief's own, who has the keys of the safe.
fn thiefs(first: &Policy, recovery: &Signed) -> (Signed, TestLog) {
    let mut policy: Policy = countersign_trust::statement::read(recovery.statement()).unwrap();
    let signer = NoteSigner::new(SUCCESSOR, KeyKind::Ed25519, &[66; 32]).unwrap();
    policy.log.key = signer.verifier().clone();
    let policy = sign(&policy, &[60, 61, SAFE[0], SAFE[1]]);
    let mut log = TestLog { signer, ..TestLog::new(SUCCESSOR, Vec::new()) };
    log.add(org_of(first), &policy);
    (policy, log)
}

#[tokio::test]
async fn the_thief_of_the_safe_cannot_spoil_the_name_of_the_log_that_another_recovery_names() {
    let mut test = Test::new().await;
    let (first, recovery) = waiting(&test).await;
    let (theirs, their_log) = thiefs(&first, &recovery);
    assert_eq!(tell(&test, &first, &[theirs]).await.status, 200);
    assert_eq!(test.add(their_log.request(0, 1)).await.status, 200, "its own leaf, and nothing else");
    let mut log = new_log(&first, &recovery);
    test.restart().await;
    let answer = test.add(log.request(0, 1)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(tell_word(&test, &first, &word(&first, &recovery, 1)).await.status, 200);
    log.grow(3);
    assert_eq!(test.add(log.request(0, 3)).await.status, 409, "it goes on from what was cosigned");
    assert_eq!(test.add(log.request(1, 3)).await.status, 200);
    test.restart().await;
    log.grow(4);
    assert_eq!(test.add(log.request(3, 4)).await.status, 200);
}

#[tokio::test]
async fn of_one_key_only_one_history_is_cosigned_whoever_waits() {
    let mut test = Test::new().await;
    let (first, recovery) = waiting(&test).await;
    let mut policy: Policy = countersign_trust::statement::read(recovery.statement()).unwrap();
    policy.limits.output += 1;
    let rival = sign(&policy, &[60, 61, SAFE[0], SAFE[1]]);
    assert_eq!(tell(&test, &first, std::slice::from_ref(&rival)).await.status, 200);
    assert_eq!(test.add(new_log(&first, &recovery).request(0, 1)).await.status, 200);
    for _ in 0..2 {
        assert_eq!(test.add(new_log(&first, &rival).request(0, 1)).await.status, 409);
        test.restart().await;
    }
}

#[tokio::test]
async fn nor_the_name_of_the_log_that_the_quorum_moves_to() {
    let mut test = Test::new().await;
    let (first, recovery) = waiting(&test).await;
    let (theirs, their_log) = thiefs(&first, &recovery);
    assert_eq!(tell(&test, &first, &[theirs]).await.status, 200);
    assert_eq!(test.add(their_log.request(0, 1)).await.status, 200);
    let mut next = following(&first);
    next.log = Log { key: log_key(SUCCESSOR).verifier().clone(), old_size: 0, old_root: None };
    assert_eq!(tell(&test, &first, &[signed(&next)]).await.status, 200);
    test.restart().await;
    let mut log = TestLog::new(SUCCESSOR, Vec::new());
    log.grow(2);
    let answer = test.add(log.request(0, 2)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(test.add(their_log.request(0, 1)).await.status, 403, "nobody's key any more");
}

#[tokio::test]
async fn nobody_but_beacons_can_say_that_a_policy_has_waited() {
    let test = Test::new().await;
    let (first, recovery) = waiting(&test).await;
    let stranger = word(&first, &recovery, 2);
    let unsigned = stranger.split("\n\n").next().unwrap();
    for (forged, status) in [(stranger.as_str(), 422), (unsigned, 400), ("countersign-recovered/v1\n", 400)] {
        let answer = tell_word(&test, &first, forged).await;
        assert_eq!(answer.status, status, "{forged}: {answer:?}");
    }
    let mut log = new_log(&first, &recovery);
    log.grow(2);
    assert_eq!(test.add(log.request(0, 2)).await.status, 403);
}

#[tokio::test]
async fn a_witness_that_only_the_waiting_policy_names_is_taken_on_and_cosigns_nothing_yet() {
    let (old, new) = (Test::new().await, Test::new().await);
    let first = with_recovery(old.policy(ORIGIN));
    let (mut next, _) = recovering(&first);
    next.witnesses = witnesses(&[new.signer().verifier()]);
    let recovery = sign(&next, &[60, 61, SAFE[0], SAFE[1]]);
    assert_eq!(tell(&new, &first, &[signed(&first), recovery.clone()]).await.status, 200);
    let mut log = TestLog::new(ORIGIN, Vec::new());
    log.grow(3);
    assert_eq!(new.add(log.request(0, 3)).await.status, 404);
    assert_eq!(tell_word(&new, &first, &word(&first, &recovery, 1)).await.status, 200);
    assert_eq!(new.add(log.request(0, 3)).await.status, 200);
}
