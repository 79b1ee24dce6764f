//! What is killed while it runs, and what may finish.

use std::collections::BTreeSet;

use countersign_trust::delivery::Delivery;
use countersign_trust::device::Input;
use countersign_trust::ids::Sha256;
use countersign_trust::ledger::StepKey;
use countersign_trust::statement::halt::Scope;
use countersign_trust::statement::job::OnHalt;
use countersign_trust::statement::resume::{Cuts, Lifts};
use countersign_trust::text::Nothing;
use countersign_trust::verify::Refusal;

use crate::life::{Life, noon_and};
use crate::organization::{everything, names, person, script, script_hash, word};

#[test]
fn any_halt_that_covers_it_kills_what_runs() {
    type Of = fn(&StepKey) -> Scope;
    let scopes: [(&str, Of); 4] = [
        ("the organization", |_| everything()),
        ("the job", |key| Scope::Job(key.job)),
        ("the script", |_| Scope::Script(script_hash(&script(&["systemctl restart till"])))),
        ("who asked", |_| Scope::Person(word("anna"))),
    ];
    for (what, scope) in scopes {
        let mut life = Life::new();
        let key = life.run(|_| ());
        let halt = life.org.halt(scope(&key), "cia");
        life.tell(halt.clone());
        let killed = life.killed.first().cloned();
        assert!(
            matches!(killed, Some((k, Refusal::Halted { halt: h, .. })) if k == key && h == halt.hash()),
            "{what}"
        );
        life.pass(3);
        assert_eq!(life.killed.len(), 1, "killed once, {what}");
    }
}

#[test]
fn a_halt_of_who_approved_kills_what_runs() {
    let mut life = Life::new();
    life.run(|_| ());
    let halt = life.org.halt(Scope::Person(word("bo")), "cia");
    life.tell(halt);
    let roles = vec![word("operator")];
    assert_eq!(life.killed[0].1, Refusal::Approvals { got: 0, need: 1, roles });
}

#[test]
fn what_may_finish_finishes() {
    let mut life = Life::where_jobs_may_finish();
    life.run(|job| job.on_halt = OnHalt::Finish);
    let halt = life.org.halt(everything(), "cia");
    life.tell(halt);
    assert_eq!(life.killed, []);
}

#[test]
fn where_no_rule_says_so_nothing_may_finish() {
    let mut life = Life::new();
    let mut job = life.org.job();
    job.on_halt = OnHalt::Finish;
    life.bring(&job);
    assert_eq!(
        (life.ran.len(), life.last().1.as_str()),
        (0, "no rule of policy 1 fits kind finish on this device")
    );
}

#[test]
fn a_halt_of_something_else_kills_nothing() {
    let mut life = Life::new();
    life.run(|_| ());
    let halt = life.org.halt(Scope::Job(Sha256([9; 32])), "cia");
    life.tell(halt);
    assert_eq!(life.killed, []);
}

#[test]
fn a_policy_without_a_needed_signer_kills_what_runs() {
    let mut life = Life::new();
    let mut job = life.org.job();
    job.requester = word("cia");
    let delivery = life.org.deliver(&job, &["cia", "bo"], crate::organization::TILLS[0]);
    let delivery = Delivery { clears: life.clears(), ..delivery };
    life.hear(Input::Delivered(Box::new(delivery)));
    let policy = life.org.decide(|policy| {
        policy.people.remove(&word("cia"));
        policy.roles.values_mut().for_each(|people| *people = names(&["anna", "bo"]));
    });
    life.tell(policy);
    let (roles, requester) = (vec![word("operator")], word("cia"));
    assert_eq!(life.killed[0].1, Refusal::NotARequester { requester, roles, rule: 1, policy: 2 });
}

#[test]
fn a_policy_without_a_needed_signers_key_kills_what_runs() {
    let mut life = Life::new();
    let job = life.org.job();
    let delivery = life.org.deliver(&job, &["anna", "cia"], crate::organization::TILLS[0]);
    let delivery = Delivery { clears: life.clears(), ..delivery };
    life.hear(Input::Delivered(Box::new(delivery)));
    assert_eq!(life.ran.len(), 1);
    let policy = life.org.decide(|policy| {
        policy.people.insert(word("cia"), person(&["cia new"]));
    });
    life.tell(policy);
    let roles = vec![word("operator")];
    assert_eq!(life.killed[0].1, Refusal::Approvals { got: 0, need: 1, roles });
}

#[test]
fn a_policy_that_keeps_the_signers_kills_nothing() {
    let mut life = Life::new();
    life.run(|_| ());
    let policy = life.org.decide(|policy| policy.limits.life = 86_400);
    life.tell(policy);
    assert_eq!(life.killed, []);
}

#[test]
fn a_resume_that_cuts_it_kills_what_runs() {
    let mut life = Life::new();
    life.run(|_| ());
    let resume = life.org.resume(Lifts::Halts(BTreeSet::new()), Cuts::All(Nothing), |_| ());
    life.tell(resume.clone());
    assert_eq!(life.killed[0].1, Refusal::Cut(resume.hash()));
}

#[test]
fn its_end_kills_what_runs() {
    let mut life = Life::new();
    life.run(|job| job.not_after = noon_and(100));
    life.pass(99);
    assert_eq!(life.killed, []);
    life.pass(1);
    assert_eq!(life.killed[0].1, Refusal::Expired { not_after: noon_and(100), hi: noon_and(100) });
}

#[test]
fn its_end_kills_what_runs_though_the_server_brings_worthless_clears() {
    let mut life = Life::new();
    life.run(|job| job.not_after = noon_and(400));
    life.pass(200);
    let worthless = life.org.three_clears([9; 32]);
    life.hear(Input::Clears(worthless));
    life.pass(199);
    assert_eq!(life.killed, []);
    life.pass(1);
    assert_eq!(life.killed[0].1, Refusal::Expired { not_after: noon_and(400), hi: noon_and(400) });
}

#[test]
fn its_end_kills_what_runs_though_the_wall_clock_was_set_back() {
    let mut life = Life::new();
    life.run(|job| job.not_after = noon_and(100));
    life.now.wall_ms -= 86_400_000;
    life.pass(100);
    assert_eq!(life.killed.len(), 1);
}
