//! Taking logs on, and letting go of them, by an organization's policies.

use std::collections::BTreeSet;

use countersign_trust::delivery::write_sequence;
use countersign_trust::ids::Sha256;
use countersign_trust::note::{KeyKind, VerifierKey};
use countersign_trust::statement::policy::{Log, Policy};
use countersign_witness::config::Organizations;

use crate::client::post;
use crate::organization::{
    ANNA, TestLog, beacon_key, beacons, following, genesis, log_key, org_of, sign, signed, witness_key,
    witnesses,
};
use crate::{Test, checkpoint_path};

const ORIGIN: &str = "log.example/one";
const SUCCESSOR: &str = "log.example/one/2";

/// `policy` with the log of this name in place of its own, which ended with `size` leaves of `old`.
fn with_new_log(policy: &Policy, old: &TestLog, size: u64) -> Policy {
    let key = log_key(SUCCESSOR).verifier().clone();
    let log = Log { key, old_size: size, old_root: Some(old.tree.root_at(size).unwrap()) };
    Policy { log, ..following(policy) }
}

fn without_this_witness(policy: &Policy) -> Policy {
    Policy { witnesses: witnesses(&[witness_key(1).verifier()]), ..following(policy) }
}

#[tokio::test]
async fn a_log_is_taken_on_by_the_chain_that_names_it_and_this_witness() {
    let mut test = Test::new().await;
    let first = test.policy(ORIGIN);
    let second = following(&first);
    let third = following(&second);
    let hash = |policy: &Policy| signed(policy).hash();
    let answer = test.show(&[&first, &second]).await;
    let lines = format!("taken {}\ntaken {}\n", hash(&first), hash(&second));
    assert_eq!((answer.status, answer.body), (200, lines));
    test.restart().await;
    let answer = test.show(&[&second, &third]).await;
    assert_eq!(
        (answer.status, answer.body),
        (200, format!("known {}\ntaken {}\n", hash(&second), hash(&third)))
    );
    test.restart().await;
    let mut log = TestLog::new(ORIGIN, Vec::new());
    log.grow(3);
    assert_eq!(test.add(log.request(0, 3)).await.status, 200);
}

#[tokio::test]
async fn policies_may_come_with_their_proofs() {
    let test = Test::new().await;
    let policy = test.policy(ORIGIN);
    let logged = TestLog::new(ORIGIN, vec![test.signer()]).add(org_of(&policy), &signed(&policy));
    let path = format!("/v1/orgs/{}/policies", org_of(&policy));
    assert_eq!(post(test.at(), &path, write_sequence(&[logged])).await.status, 200);
}

#[tokio::test]
async fn other_policies_are_refused_with_the_reason_and_change_nothing() {
    let test = Test::new().await;
    let first = test.policy(ORIGIN);
    let org = org_of(&first);
    let elsewhere = genesis(
        log_key("log.example/else").verifier(),
        witnesses(&[witness_key(1).verifier()]),
        beacons(1, &[beacon_key(1).verifier()]),
    );
    let path = |org| format!("/v1/orgs/{org}/policies");
    let sequence =
        |policies: &[&Policy]| write_sequence(&policies.iter().map(|p| signed(p)).collect::<Vec<_>>());
    let alone = |policy: &Policy| write_sequence(&[sign(policy, &[ANNA])]);
    let skipped = following(&following(&first));
    let unusable = Policy { people: Default::default(), ..following(&first) };
    let cases = [
        (
            "no organization",
            404,
            "/v1/orgs/acme/policies".to_owned(),
            sequence(&[&first]),
            "starts with `org-`",
        ),
        ("nothing", 400, path(org), String::new(), "no sequence of envelopes"),
        ("no sequence", 400, path(org), signed(&first).to_string(), "no sequence of envelopes"),
        ("no envelope", 400, path(org), "envelope 2\nhi".to_owned(), "envelope 1: no line"),
        ("too few signatures", 422, path(org), alone(&first), "1 of 2 signatures"),
        ("not from the beginning", 422, path(org), sequence(&[&following(&first)]), "of organization"),
        ("a gap", 422, path(org), sequence(&[&first, &skipped]), "it follows"),
        ("an unusable one", 422, path(org), sequence(&[&first, &unusable]), "cannot be used"),
        ("another organization's", 422, path(org), sequence(&[&elsewhere]), "of organization"),
        (
            "not for this witness",
            403,
            path(org_of(&elsewhere)),
            sequence(&[&elsewhere]),
            "names this witness",
        ),
    ];
    for (what, status, path, body, words) in cases {
        let answer = post(test.at(), &path, body).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert!(answer.body.contains(words), "{what}: {answer:?}");
    }
    let mut log = TestLog::new(ORIGIN, Vec::new());
    log.grow(1);
    assert_eq!(test.add(log.request(0, 1)).await.status, 404, "no row has taken the log on");
}

#[tokio::test]
async fn a_replaced_log_is_cosigned_up_to_its_stated_end_only() {
    let test = Test::new().await;
    let first = test.policy(ORIGIN);
    let mut old = test.log(ORIGIN, 12).await;
    assert_eq!(test.add(old.request(0, 5)).await.status, 200);
    let second = with_new_log(&first, &old, 9);
    assert_eq!(test.show(&[&first, &second]).await.status, 200);

    let beyond = test.add(old.request(5, 10)).await;
    assert_eq!(beyond.status, 403);
    assert!(beyond.body.contains("policy 2 ended this log at 9 leaves; a checkpoint of 10"), "{beyond:?}");
    let mut other_end = TestLog::new(ORIGIN, Vec::new());
    other_end.grow(5);
    other_end.tree.push(Sha256([9; 32]));
    other_end.grow(9);
    let wrong_end = test.add(other_end.request(5, 9)).await;
    assert_eq!(wrong_end.status, 422, "{wrong_end:?}");
    assert_eq!(test.add(old.request(5, 9)).await.status, 200);
    old.grow(20);
    assert_eq!(test.add(old.request(9, 20)).await.status, 403);

    let mut new = TestLog::new(SUCCESSOR, Vec::new());
    new.grow(2);
    assert_eq!(test.add(new.request(0, 2)).await.status, 200);
}

#[tokio::test]
async fn a_witness_cosigns_the_policy_that_dismisses_it_and_stops_with_the_one_after() {
    let mut test = Test::new().await;
    let first = test.policy(ORIGIN);
    let log = test.log(ORIGIN, 30).await;
    let second = without_this_witness(&first);
    let third = following(&second);
    assert_eq!(test.show(&[&first, &second]).await.status, 200);
    assert_eq!(test.add(log.request(0, 2)).await.status, 200);
    assert_eq!(test.show(&[&first, &second, &third]).await.status, 200);
    assert_eq!(test.add(log.request(2, 3)).await.status, 404);
    test.restart().await;
    assert_eq!(test.add(log.request(2, 3)).await.status, 404);
    assert_eq!(crate::client::get(test.at(), &checkpoint_path(ORIGIN)).await.status, 200);
}

#[tokio::test]
async fn a_log_belongs_to_the_organization_that_came_first() {
    let mut test = Test::new().await;
    let first = test.policy(ORIGIN);
    assert_eq!(test.show(&[&first]).await.status, 200);
    let mut rival = test.policy(ORIGIN);
    rival.name = "Rival".parse().unwrap();
    rival.log.key = VerifierKey::new(ORIGIN, KeyKind::Ed25519, *log_key("x").verifier().raw()).unwrap();
    for _ in 0..2 {
        let answer = test.show(&[&rival]).await;
        assert_eq!(answer.status, 409, "{answer:?}");
        assert!(answer.body.contains(&format!("taken on for {} before", org_of(&first))), "{answer:?}");
        test.restart().await;
    }
}

#[tokio::test]
async fn a_false_claim_ends_once_the_operator_says_whose_logs_are_taken_on() {
    let mut test = Test::new().await;
    let mine = test.policy(ORIGIN);
    let mut thief = test.policy(ORIGIN);
    thief.name = "Thief".parse().unwrap();
    thief.log.key = VerifierKey::new(ORIGIN, KeyKind::Ed25519, *log_key("x").verifier().raw()).unwrap();
    assert_eq!(test.show(&[&thief]).await.status, 200);
    assert_eq!(test.show(&[&mine]).await.status, 409);
    test.config.organizations = Organizations::Only(BTreeSet::from([org_of(&mine)]));
    test.restart().await;
    assert_eq!(test.show(&[&mine]).await.status, 200);
    assert_eq!(test.show(&[&thief]).await.status, 403);
    let mut log = TestLog::new(ORIGIN, Vec::new());
    log.grow(3);
    assert_eq!(test.add(log.request(0, 3)).await.status, 200);
}

#[tokio::test]
async fn only_the_organizations_of_the_configuration_are_served() {
    let other = Test::with(Organizations::Only(BTreeSet::new())).await;
    let policy = other.policy(ORIGIN);
    let answer = other.show(&[&policy]).await;
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("ask its operator"), "{answer:?}");
}
