//! What starts, what follows it, what waits, and what the power cut leaves.

use countersign_trust::clear::{ClearFault, NotFresh};
use countersign_trust::delivery::Delivery;
use countersign_trust::device::{Input, Output};
use countersign_trust::ids::StatementId;
use countersign_trust::ledger::StepKey;
use countersign_trust::receipt::Verdict;
use countersign_trust::statement::job::OnHalt;
use countersign_trust::statement::resume::{Cuts, Lifts};
use countersign_trust::text::Nothing;
use countersign_trust::time::Time;
use countersign_trust::verify::Refusal;

use crate::life::{Life, noon_and};
use crate::organization::{NOON, everything, script};

fn kinds(outputs: &[Output]) -> Vec<String> {
    outputs.iter().map(crate::bundle::variant).collect()
}

#[test]
fn a_step_is_on_disk_before_its_receipt_leaves_and_before_it_starts() {
    let mut life = Life::new();
    let job = life.org.job();
    let outputs = life.bring(&job);
    assert_eq!(kinds(&outputs), ["Persist", "Persist", "SendReceipt", "Run", "Keep"]);
    assert_eq!(life.last().0, Verdict::Accepted);
}

#[test]
fn what_lacks_only_clears_waits_for_them() {
    let mut life = Life::new();
    let job = life.org.job();
    let delivery = life.delivery(&job);
    let outputs = life.hear(Input::Delivered(Box::new(delivery)));
    assert_eq!(kinds(&outputs), ["AskBeacons"]);
    let clears = life.clears();
    life.hear(Input::Clears(clears));
    assert_eq!(life.ran.len(), 1);
}

#[test]
fn clears_that_come_with_one_job_set_free_what_waited() {
    let mut life = Life::new();
    let job = life.org.job();
    let delivery = life.delivery(&job);
    life.hear(Input::Delivered(Box::new(delivery)));
    let other = life.org.job();
    life.bring(&other);
    assert_eq!(life.ran.len(), 2);
}

#[test]
fn what_waits_a_lifetime_in_vain_is_refused_with_what_was_asked_for() {
    let mut life = Life::new();
    let job = life.org.job();
    let delivery = life.delivery(&job);
    life.hear(Input::Delivered(Box::new(delivery)));
    life.pass(179);
    assert_eq!(life.sent.len(), 0);
    life.pass(1);
    assert_eq!(life.last(), (Verdict::Refused, "0 of 3 Clears".to_owned()));
}

#[test]
fn what_waited_and_was_brought_again_with_clears_runs_once_and_is_not_refused() {
    let mut life = Life::new();
    let job = life.org.job();
    let delivery = life.delivery(&job);
    life.hear(Input::Delivered(Box::new(delivery)));
    life.bring(&job);
    life.pass(400);
    assert_eq!(life.ran.len(), 1);
    assert_eq!(life.receipts().len(), 1);
}

#[test]
fn a_replay_is_refused_also_after_a_restart_and_after_the_ledger_was_rewritten() {
    let mut life = Life::new();
    let job = life.org.job();
    life.bring(&job);
    let again = (Verdict::Refused, "step 1 was accepted before".to_owned());
    life.bring(&job);
    assert_eq!(life.last(), again);
    let key = life.ran[0];
    life.end(key, true);
    life.bring(&job);
    assert_eq!(life.last(), again);
    life.restart();
    life.bring(&job);
    assert_eq!(life.last(), again);
    life.rewrite();
    life.restart();
    life.bring(&job);
    assert_eq!(life.last(), again);
    assert_eq!(life.ran.len(), 1);
}

#[test]
fn a_replay_with_both_clocks_set_back_and_a_reboot_is_refused() {
    let mut life = Life::new();
    let job = life.org.job();
    life.bring(&job);
    let key = life.ran[0];
    life.end(key, true);
    life.now.wall_ms -= 86_400_000;
    life.restart();
    life.bring(&job);
    assert_eq!(life.last(), (Verdict::Refused, "step 1 was accepted before".to_owned()));
}

#[test]
fn what_was_forgotten_long_after_its_end_has_expired() {
    let mut life = Life::new();
    let job = life.org.job();
    life.bring(&job);
    let key = life.ran[0];
    life.end(key, true);
    life.now.boot_ms += 3 * 86_400_000;
    life.now.wall_ms += 3 * 86_400_000;
    life.org.time = noon_and(3 * 86_400);
    life.hear(Input::Tick);
    let clears = life.clears();
    life.hear(Input::Clears(clears));
    life.rewrite();
    life.restart();
    assert_eq!(life.device.ledger().step(&key), None);
    // Beacons that lie about the time, all of them: the device remembers how late it was.
    life.org.time = noon_and(60);
    life.bring(&job);
    assert!(life.last().1.starts_with("it ended at"), "{:?}", life.last());
}

#[test]
fn a_step_found_started_at_boot_never_runs_again() {
    let mut life = Life::new();
    let job = life.org.job();
    life.bring(&job);
    life.restart();
    assert_eq!(life.last().0, Verdict::Interrupted);
    life.bring(&job);
    let failed = "step 1 was accepted before and did not end well: nothing follows it".to_owned();
    assert_eq!(life.last(), (Verdict::Refused, failed));
    assert_eq!(life.ran.len(), 1);
}

#[test]
fn the_second_step_follows_only_the_first_that_ended_well() {
    for well in [true, false] {
        let mut life = Life::new();
        let first = life.run(|job| job.steps.push(script(&["echo second"])));
        life.end(first, well);
        let second = StepKey { step: 1, ..first };
        assert_eq!(life.ran, if well { vec![first, second] } else { vec![first] });
        assert_eq!(life.last().0, if well { Verdict::Accepted } else { Verdict::Ended });
    }
}

#[test]
fn the_second_step_asks_for_fresh_clears() {
    let mut life = Life::new();
    let first = life.run(|job| job.steps.push(script(&["echo second"])));
    life.pass(200);
    let outputs = life.end(first, true);
    assert_eq!(kinds(&outputs), ["Persist", "SendReceipt", "AskBeacons"]);
    let clears = life.clears();
    life.hear(Input::Clears(clears));
    assert_eq!(life.ran.len(), 2);
}

#[test]
fn a_halt_between_two_steps_lets_no_second_start() {
    let mut life = Life::where_jobs_may_finish();
    let first = life.run(|job| {
        job.steps.push(script(&["echo second"]));
        job.on_halt = OnHalt::Finish;
    });
    let halt = life.org.halt(everything(), "cia");
    life.tell(halt);
    life.end(first, true);
    assert_eq!(life.ran, [first]);
    assert!(life.last().1.starts_with("halted: the whole organization by cia"));
}

#[test]
fn the_end_of_a_step_that_nobody_runs_says_nothing() {
    let mut life = Life::new();
    let key = life.run(|_| ());
    life.end(key, true);
    assert_eq!(kinds(&life.end(key, false)), [""; 0]);
    life.restart();
    assert_eq!(kinds(&life.end(key, true)), [""; 0]);
}

#[test]
fn after_an_organization_halt_nothing_starts_until_a_resume() {
    let mut life = Life::new();
    let halt = life.org.halt(everything(), "server");
    life.tell(halt.clone());
    let job = life.org.job();
    life.bring(&job);
    life.restart();
    life.bring(&job);
    assert_eq!(life.ran, []);
    let resume = life.org.resume(Lifts::Halts([halt.hash()].into()), Cuts::None(Nothing), |_| ());
    life.tell(resume);
    life.bring(&job);
    assert_eq!(life.ran.len(), 1);
    life.tell(halt);
    assert_eq!(life.killed, [], "the same halt, sent again, stops nothing");
}

#[test]
fn a_halt_withheld_by_the_server_stops_the_device_within_a_lifetime() {
    let mut life = Life::new();
    life.run(|_| ());
    life.org.halt(everything(), "cia");
    life.pass(180);
    let mut job = life.org.job();
    job.id = StatementId([99; 16]);
    let silent = Delivery { news: Vec::new(), clears: life.clears(), ..life.delivery(&job) };
    life.hear(Input::Delivered(Box::new(silent)));
    assert_eq!(life.ran.len(), 1);
    life.pass(180);
    assert!(life.last().1.contains("whose text I do not hold"), "{:?}", life.last());
}

#[test]
fn clears_count_no_more_once_what_is_held_has_moved_on() {
    let mut life = Life::new();
    let clears = life.clears();
    let held = life.org.chain.policy().hash;
    life.hear(Input::Clears(clears));
    let policy = life.org.decide(|_| ());
    life.tell(policy.clone());
    let job = life.org.job();
    let delivery = life.delivery(&job);
    life.hear(Input::Delivered(Box::new(delivery)));
    life.pass(180);
    let aged = Refusal::Aged(ClearFault::Stale { age_ms: 180_000, lifetime_ms: 180_000 });
    assert_eq!(life.last(), (Verdict::Refused, aged.to_string()));
    assert_ne!(held, policy.hash());
    assert_eq!(life.ran, []);
}

#[test]
fn older_clears_do_not_replace_younger_ones() {
    let mut life = Life::new();
    let older = life.clears();
    life.pass(60);
    let younger = life.clears();
    life.hear(Input::Clears(younger));
    life.hear(Input::Clears(older));
    life.pass(125);
    let job = life.org.job();
    let delivery = life.delivery(&job);
    life.hear(Input::Delivered(Box::new(delivery)));
    assert_eq!(life.ran.len(), 1, "the younger are 125 s old, the older 185 s");
}

#[test]
fn of_clears_for_several_challenges_the_oldest_ages_first() {
    let mut life = Life::new();
    let older = life.org.clears(life.device.challenge().unwrap(), &["beacon-1"]);
    life.pass(60);
    let younger = life.org.clears(life.device.challenge().unwrap(), &["beacon-2", "beacon-3"]);
    life.hear(Input::Clears([older, younger].concat()));
    life.pass(120);
    let job = life.org.job();
    let delivery = life.delivery(&job);
    life.hear(Input::Delivered(Box::new(delivery)));
    assert_eq!(life.ran, [], "one of three answers a challenge that is 180 s old");
}

#[test]
fn the_lower_bound_of_the_time_never_falls() {
    let mut life = Life::new();
    life.run(|_| ());
    life.pass(100);
    let key = life.ran[0];
    life.end(key, true);
    // Beacons whose clocks are 50 s behind those of before, then a restart.
    life.org.time = Time(life.org.time.0 - 50);
    life.run(|_| ());
    life.restart();
    life.run(|_| ());
    let times: Vec<u64> = life.receipts().iter().map(|receipt| receipt.time.0 - NOON).collect();
    assert_eq!(times, [0, 100, 100, 100, 100]);
}

#[test]
fn slower_beacons_do_not_turn_the_time_back() {
    let mut life = Life::new();
    life.run(|_| ());
    life.pass(50);
    life.org.time = Time(life.org.time.0 - 40);
    life.run(|_| ());
    let times: Vec<u64> = life.receipts().iter().map(|receipt| receipt.time.0 - NOON).collect();
    assert_eq!(times, [0, 50]);
}

#[test]
fn a_full_house_runs_no_more_at_once_than_the_policy_says() {
    let mut life = Life::new();
    let first = life.run(|_| ());
    life.run(|_| ());
    let job = life.org.job();
    life.bring(&job);
    assert_eq!(life.last().1, "2 steps are running, the policy allows 2");
    life.end(first, true);
    life.bring(&job);
    assert_eq!(life.ran.len(), 3);
}

#[test]
fn a_device_without_clears_says_how_many_it_lacks() {
    let lack = NotFresh { got: 0, need: 3, faults: Vec::new() };
    assert_eq!(Refusal::NotFresh(lack).to_string(), "0 of 3 Clears");
}

/// Whether beacons are asked in the next minutes of a life whose server is there and brings nothing.
fn asks_within(life: &mut Life, minutes: u64) -> bool {
    kinds(&life.pass(minutes * 60)).contains(&"AskBeacons".to_owned())
}

#[test]
fn beacons_are_asked_over_the_head_of_a_server_that_is_there_and_mute() {
    let mut life = Life::new();
    life.hear(Input::Connected);
    life.hear(Input::Tick);
    assert!(!asks_within(&mut life, 4), "idle, not at each challenge");
    assert!(asks_within(&mut life, 8), "but now and then");
    let key = life.run(|job| job.not_after = noon_and(6 * 86_400));
    assert!(asks_within(&mut life, 2), "at each challenge while something runs");
    life.end(key, true);
}
