//! A machine that a policy puts out, or whose log was replaced: it goes on saying what became of what ran, and people can take it in
//! again without a visit.

use countersign_trust::delivery::News;
use countersign_trust::envelope::Logged;
use countersign_trust::join::{enrolled_by_join, join_leaf};
use countersign_trust::statement::policy::{Log as LogEntry, Policy};

use crate::life::Life;
use crate::organization::{
    Log, Organization, TILLS, WITNESSES, device_id, names, note_key, person, sign, word,
};

fn without_bo(policy: &mut Policy) {
    policy.people = ["anna", "cia", "dan"].map(|name| (word(name), person(&[name]))).into();
    policy.roles = ["operator", "owner"].map(|role| (word(role), names(&["anna", "cia", "dan"]))).into();
}

/// Policy 2, which lets Bo go, signed by enough; a thief of the server logs it, then a resume that Bo signed, then policy 2 again.

#[test]
fn a_machine_that_a_policy_puts_out_while_a_step_runs_comes_up_again() {
    let mut org = Organization::found();
    let mut policy = org.next_policy();
    without_bo(&mut policy);
    let policy = News::Policy(org.log(sign(&policy, &["anna", "bo", "cia"])));
    // Anna and Bo enroll it, behind policy 2 in the log and before anybody was shown that.
    let enrolled = org.enroll(TILLS[0]);
    let mut life = Life::of(org, enrolled);
    let key = life.run(|_| ());
    life.tell(policy);
    assert!(life.device.ledger().enrolled().is_none());
    assert_eq!(life.killed.len(), 1);
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| life.end(key, false))).is_ok();
    let up = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| life.restart())).is_ok();
    assert!(ended && up, "hears of the step's end: {ended}; comes up again: {up}");
}

/// Policy 2 names another log, and was signed before the machine joined in the old one: the honest server logs the batch and the
/// join there again, in time, and brings what it has. Decision 0012: "agents without a visit".
fn joined_before_the_log_moved() -> (Life, News, Logged) {
    let mut org = Organization::found();
    let (old_size, old_root) = (org.log.tree.size(), Some(org.log.tree.root()));
    let mut policy = org.next_policy();
    policy.log = LogEntry { key: note_key("log.example/new").verifier().clone(), old_size, old_root };
    let policy = sign(&policy, &["anna", "bo"]);
    let enrolled = org.enroll(TILLS[0]);
    let mut life = Life::of(org, enrolled);
    life.run(|_| ());
    life.org.log = Log::new("log.example/new");
    let policy = News::Policy(life.org.log(policy));
    life.org.take(policy.clone());
    let again = life.org.log(life.enrolled.enroll.signed.clone());
    let index = life.org.log.append(&join_leaf(&life.org.org, &life.enrolled.join));
    let proof = life.org.log.proof(index, &WITNESSES);
    // Whoever reads the log counts the machine.
    let read = enrolled_by_join(&life.org.chain, &again, &life.enrolled.join, &proof).unwrap();
    assert_eq!(read.device, device_id(TILLS[0]));
    (life, policy, again)
}

#[test]
fn a_machine_that_joined_while_people_signed_another_log_is_still_enrolled() {
    let (mut life, policy, again) = joined_before_the_log_moved();
    life.tell(policy);
    life.tell(News::Enroll(again));
    assert!(life.device.ledger().enrolled().is_some(), "it would run nothing until somebody came by");
}

#[test]
fn a_machine_that_joined_while_people_signed_another_log_comes_up_again() {
    let (mut life, policy, _) = joined_before_the_log_moved();
    life.tell(policy);
    let up = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| life.restart())).is_ok();
    assert!(up, "its step was running, and whoever closes it signs as nobody");
}
