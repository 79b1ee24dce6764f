//! The day the keys are lost: whose log a witness cosigns while a policy of the recovery set waits, and after.

use std::sync::atomic::Ordering;

use countersign_trust::chain::RECOVERY_WAIT_S;
use countersign_trust::delivery::write_sequence;
use countersign_trust::envelope::Signed;
use countersign_trust::statement::policy::{Log, Policy};

use crate::Test;
use crate::client::{Answer, post};
use crate::organization::{
    SAFE, TestLog, following, log_key, org_of, recovering, sign, signed, with_recovery,
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

/// Whether the witness cosigns the log that the recovery policy names.
async fn cosigns_the_new_log(test: &Test) -> bool {
    let mut log = TestLog::new(SUCCESSOR, Vec::new());
    log.grow(1);
    test.add(log.request(0, 1)).await.status == 200
}

#[tokio::test]
async fn the_log_of_a_recovery_policy_is_cosigned_after_72_hours_and_not_before() {
    let mut test = Test::new().await;
    waiting(&test).await;
    test.clock.store(5_000 + RECOVERY_WAIT_S - 1, Ordering::SeqCst);
    test.restart().await;
    assert!(!cosigns_the_new_log(&test).await);
    test.clock.store(5_000 + RECOVERY_WAIT_S, Ordering::SeqCst);
    assert!(cosigns_the_new_log(&test).await);
    test.restart().await;
    let mut log = TestLog::new(SUCCESSOR, Vec::new());
    log.grow(2);
    assert_eq!(test.add(log.request(1, 2)).await.status, 200, "also after a restart");
}

#[tokio::test]
async fn within_72_hours_the_quorum_has_the_last_word() {
    let mut test = Test::new().await;
    let (first, recovery) = waiting(&test).await;
    let objection = signed(&following(&first));
    assert_eq!(tell(&test, &first, &[objection]).await.status, 200);
    test.clock.store(5_000 + 2 * RECOVERY_WAIT_S, Ordering::SeqCst);
    assert!(!cosigns_the_new_log(&test).await);
    test.restart().await;
    assert!(!cosigns_the_new_log(&test).await);
    assert_ne!(tell(&test, &first, &[recovery]).await.status, 200);
}

#[tokio::test]
async fn nobody_can_say_over_the_wire_that_a_policy_has_waited() {
    let test = Test::new().await;
    let (first, recovery) = waiting(&test).await;
    let path = format!("/v1/orgs/{}/policies", org_of(&first));
    let forged = write_sequence(&[format!("recovered {}\n", recovery.hash())]);
    assert_eq!(post(test.at(), &path, forged).await.status, 400);
    assert!(!cosigns_the_new_log(&test).await);
}
