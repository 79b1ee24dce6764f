//! The day the keys are lost: a policy by the recovery set waits 72 hours, in which the quorum can still object.

use std::sync::atomic::Ordering;

use countersign_trust::chain::RECOVERY_WAIT_S;
use countersign_trust::delivery::News;
use countersign_trust::ids::Sha256;

use crate::organization::{beacon_key, following, recovering, with_recovery};
use crate::{Known, Test};

/// An organization with a safe, and its recovery policy, which a beacon holds since its clock showed 5,000.
async fn waiting(test: &Test) -> (Known, News) {
    let (one, two) = (beacon_key(1), beacon_key(2));
    let mut known = Known::of(&[&test.key(), one.verifier(), two.verifier()]);
    known.policy = with_recovery(known.policy.clone());
    known.org = crate::organization::org_of(&known.policy);
    let genesis = known.genesis();
    assert_eq!(test.tell(known.org, &[genesis]).await.status, 200);
    let (_, signed) = recovering(&known.policy);
    let news = News::Policy(known.log.add(known.org, &signed));
    let answer = test.tell(known.org, std::slice::from_ref(&news)).await;
    assert_eq!(answer.body, format!("waits {}\n", news.hash()));
    (known, news)
}

async fn named(test: &Test, known: &Known) -> Sha256 {
    test.clear(known.org).await.policy
}

fn set_clock(test: &Test, time: u64) {
    test.clock.store(time, Ordering::SeqCst);
}

#[tokio::test]
async fn a_recovery_policy_is_named_after_72_hours_and_not_a_second_before() {
    let mut test = Test::new().await;
    let (known, news) = waiting(&test).await;
    let before = named(&test, &known).await;
    set_clock(&test, 5_000 + RECOVERY_WAIT_S - 1);
    test.restart().await;
    assert_eq!(named(&test, &known).await, before);
    set_clock(&test, 5_000 + RECOVERY_WAIT_S);
    assert_eq!(named(&test, &known).await, news.hash());
    test.restart().await;
    assert_eq!(named(&test, &known).await, news.hash(), "a policy once applied is never left");
}

#[tokio::test]
async fn people_can_see_what_waits_and_until_when() {
    let test = Test::new().await;
    let (known, news) = waiting(&test).await;
    let state: serde_json::Value = serde_json::from_str(&test.get(known.org, "state").await.body).unwrap();
    let expected = serde_json::json!([{
        "policy": news.hash().to_string(), "since": 5_000, "in_force_from": 5_000 + RECOVERY_WAIT_S,
    }]);
    assert_eq!(state["waiting"], expected);
}

#[tokio::test]
async fn within_72_hours_the_quorum_has_the_last_word() {
    let mut test = Test::new().await;
    let (mut known, news) = waiting(&test).await;
    let objection = known.next(following(&known.policy));
    test.tell(known.org, std::slice::from_ref(&objection)).await;
    set_clock(&test, 5_000 + 2 * RECOVERY_WAIT_S);
    assert_eq!(named(&test, &known).await, objection.hash());
    test.restart().await;
    assert_eq!(named(&test, &known).await, objection.hash());
    let again = test.tell(known.org, &[news]).await;
    assert!(again.body.starts_with("refused"), "{}", again.body);
}

#[tokio::test]
async fn without_its_note_of_when_the_waiting_begins_anew() {
    let mut test = Test::new().await;
    let (known, news) = waiting(&test).await;
    let before = named(&test, &known).await;
    test.stop().await;
    let note = test.folder.path().join(format!("data/organizations/{}/waiting", known.org));
    std::fs::remove_file(note).unwrap();
    set_clock(&test, 5_000 + RECOVERY_WAIT_S);
    test.start().await;
    assert_eq!(named(&test, &known).await, before);
    set_clock(&test, 5_000 + 2 * RECOVERY_WAIT_S);
    assert_eq!(named(&test, &known).await, news.hash());
}
