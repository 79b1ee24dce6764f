//! Jobs that repeat, as they are kept: what takes the place of what, what is tried again, and what gives up its place.

use std::collections::BTreeSet;

use countersign_trust::delivery::{Delivery, News};
use countersign_trust::device::{Input, Output};
use countersign_trust::ledger::StepKey;
use countersign_trust::receipt::Verdict;
use countersign_trust::statement::advance::Advance;
use countersign_trust::statement::halt::Scope;
use countersign_trust::statement::job::{ALL, Job, Wave, Who};
use countersign_trust::statement::policy::Policy;
use countersign_trust::statement::resume::{Cuts, Lifts};
use countersign_trust::time::Time;
use countersign_trust::verify::MAX_STANDING;

use crate::life::Life;
use crate::organization::{
    NOON, Organization, TILLS, WITNESSES, labels, names, script, sign, witness_key, word,
};

fn every_quarter(job: &mut Job) {
    job.repeat = 900;
}

/// Lets time pass second by second; honest beacons answer whenever they are asked.
fn pass(life: &mut Life, seconds: u64) {
    for _ in 0..seconds {
        let wanted = life.pass(1);
        answer(life, &wanted);
    }
}

fn answer(life: &mut Life, wanted: &[Output]) {
    if wanted.iter().any(|output| matches!(output, Output::AskBeacons(_))) {
        let clears = life.clears();
        life.hear(Input::Clears(clears));
    }
}

fn occurrences(life: &Life) -> Vec<u64> {
    life.ran.iter().map(|key| key.occurrence).collect()
}

fn bring(life: &mut Life, delivery: &Delivery) {
    life.hear(Input::Delivered(Box::new(delivery.clone())));
}

/// The same with Clears.
fn bring_fresh(life: &mut Life, delivery: &Delivery) {
    let fresh = Delivery { clears: life.clears(), ..delivery.clone() };
    bring(life, &fresh);
}

/// A job that repeats, was brought and has run once, and its delivery without Clears.
fn kept(life: &mut Life, bend: impl FnOnce(&mut Job)) -> (Delivery, StepKey) {
    let mut job = life.org.job();
    every_quarter(&mut job);
    bend(&mut job);
    let delivery = life.delivery(&job);
    let key = run(life, &delivery);
    life.end(key, true);
    (delivery, key)
}

fn run(life: &mut Life, delivery: &Delivery) -> StepKey {
    let before = life.ran.len();
    bring_fresh(life, delivery);
    assert_eq!(life.ran.len(), before + 1, "it did not run: {:?}", life.last());
    life.ran[before]
}

/// The first witness retires for a new one.
fn other_witnesses(policy: &mut Policy) {
    let names = ["witness-2", "witness-3", "witness-4", "witness-5"];
    policy.witnesses.keys = names.map(|name| witness_key(name).verifier().clone()).into();
}

/// A delivery whose proof only some witnesses cosigned.
fn seen_by(life: &Life, delivery: &Delivery, witnesses: &[&str]) -> Delivery {
    let mut delivery = delivery.clone();
    delivery.job.proof = life.org.log.proof(delivery.job.proof.index, witnesses);
    delivery
}

#[test]
fn a_proof_that_counts_takes_the_place_of_one_that_counts_no_more() {
    let mut life = Life::new();
    let mut job = life.org.job();
    every_quarter(&mut job);
    let delivery = life.delivery(&job);
    let old = seen_by(&life, &delivery, &WITNESSES[..3]);
    let key = run(&mut life, &old);
    life.end(key, true);
    let policy = life.org.decide(other_witnesses);
    life.tell(policy);
    pass(&mut life, 900);
    assert_eq!((occurrences(&life), life.last().0), (vec![4], Verdict::Refused));
    assert_eq!(life.last().1, "cosigned by 2 of 4 witnesses, needed are 3");
    // The server brings a proof that the new witnesses cosigned: within the occurrence, and for all that follow.
    let anew = seen_by(&life, &delivery, &WITNESSES);
    bring(&mut life, &anew);
    pass(&mut life, 10);
    let key = *life.ran.last().unwrap();
    life.end(key, true);
    life.rewrite();
    life.restart();
    pass(&mut life, 1_800);
    assert_eq!(occurrences(&life), [4, 5, 6], "6 has not ended, so 7 waits");
}

#[test]
fn a_proof_that_is_brought_when_nothing_is_due_is_kept_too() {
    let mut life = Life::new();
    let mut job = life.org.job();
    every_quarter(&mut job);
    let delivery = life.delivery(&job);
    let old = seen_by(&life, &delivery, &WITNESSES[..3]);
    let key = run(&mut life, &old);
    life.end(key, true);
    let policy = life.org.decide(other_witnesses);
    life.tell(policy);
    let anew = seen_by(&life, &delivery, &WITNESSES);
    bring(&mut life, &anew);
    bring(&mut life, &old);
    pass(&mut life, 900);
    assert_eq!(occurrences(&life), [4, 5]);
}

#[test]
fn what_was_brought_with_less_takes_no_place() {
    let mut life = Life::new();
    let (delivery, _) = kept(&mut life, |_| ());
    let stripped = |delivery: &Delivery, org: &mut Organization| {
        let text = delivery.job.signed.statement().to_owned();
        let job: Job = countersign_trust::statement::read(&text).unwrap();
        Delivery { job: org.log(sign(&job, &["anna"])), ..delivery.clone() }
    };
    let worse = stripped(&delivery, &mut life.org);
    pass(&mut life, 895);
    bring(&mut life, &worse);
    let without_place = Delivery { target: None, ..delivery.clone() };
    bring(&mut life, &without_place);
    life.pass(200);
    bring(&mut life, &worse);
    bring_fresh(&mut life, &worse);
    pass(&mut life, 10);
    assert_eq!(occurrences(&life), [4, 5], "neither displaced nor skipped");
}

#[test]
fn what_waits_for_clears_gives_way_only_to_what_is_better() {
    let mut life = Life::new();
    let job = life.org.job();
    let good = life.delivery(&job);
    let worse = Delivery { job: life.org.log(sign(&job, &["anna"])), ..good.clone() };
    for order in [[&good, &worse], [&worse, &good]] {
        let mut life = Life::of(Organization::found(), life.enrolled.clone());
        order.into_iter().for_each(|delivery| bring(&mut life, delivery));
        // Brought once more with Clears and too few signatures.
        bring_fresh(&mut life, &worse);
        assert_eq!(life.ran.len(), 1, "{:?}", life.receipts());
    }
}

#[test]
fn what_lacks_clears_is_tried_until_the_next_occurrence() {
    let mut life = Life::new();
    kept(&mut life, |_| ());
    // The beacons are silent for ten minutes of the next quarter.
    life.pass(1_500);
    let refused = life.receipts().iter().filter(|receipt| receipt.verdict == Verdict::Refused).count();
    assert_eq!((occurrences(&life), refused), (vec![4], 1));
    pass(&mut life, 61);
    assert_eq!(occurrences(&life), [4, 5]);
}

#[test]
fn a_full_disk_and_a_full_spool_only_delay() {
    let mut life = Life::new();
    kept(&mut life, |_| ());
    life.device.set_disk_full(true);
    pass(&mut life, 1_000);
    assert_eq!(occurrences(&life), [4]);
    life.device.set_disk_full(false);
    pass(&mut life, 6);
    assert_eq!(occurrences(&life), [4, 5]);
}

#[test]
fn of_many_at_one_minute_none_always_comes_last() {
    let mut life = Life::new();
    let jobs = 9;
    for _ in 0..jobs {
        kept(&mut life, |job| job.repeat = 60);
    }
    life.ran.clear();
    // Two run at a time, each for thirty seconds: four a minute, of nine that are due each minute.
    for _ in 0..10 * 60 / 30 {
        let running: Vec<StepKey> = life.device.ledger().started().iter().map(|(key, _)| *key).collect();
        running.into_iter().for_each(|key| drop(life.end(key, true)));
        pass(&mut life, 30);
    }
    let times = |job| life.ran.iter().filter(|key| key.job == job).count();
    let ran: BTreeSet<_> = life.ran.iter().map(|key| key.job).collect();
    let times: BTreeSet<usize> = ran.iter().map(|job| times(*job)).collect();
    let (least, most) = (times.first().unwrap(), times.last().unwrap());
    assert!(ran.len() == jobs && most - least <= 2, "36 runs among nine jobs: {times:?}");
}

#[test]
fn beacons_are_asked_before_an_occurrence_and_not_all_at_it() {
    let mut life = Life::new();
    // Challenges are drawn at full minutes, and half a minute after one the next occurrence begins.
    kept(&mut life, |job| {
        job.repeat = 3_600;
        job.not_before = Time(NOON - 1_770);
    });
    let asked =
        |wanted: &[Output]| wanted.iter().filter(|output| matches!(output, Output::AskBeacons(_))).count();
    pass(&mut life, 1_710);
    let (mut before, mut at) = (0, 0);
    for second in 1_711..=1_832 {
        let wanted = life.pass(1);
        *(if second < 1_830 { &mut before } else { &mut at }) += asked(&wanted);
        answer(&mut life, &wanted);
    }
    assert_eq!((occurrences(&life), before, at), (vec![0, 1], 1, 0));
}

#[test]
fn only_the_kept_delivery_says_that_it_is_over() {
    let mut life = Life::new();
    let (delivery, key) = kept(&mut life, |_| ());
    let halt = life.org.halt(Scope::Person(word("cia")), "bo");
    life.tell(halt.clone());
    let resume = life.org.resume(Lifts::Halts([halt.hash()].into()), Cuts::People(names(&["cia"])), |_| ());
    life.tell(resume);
    // The thief of Cia's key adds her signature, which is cut: with it the job would be.
    let text = delivery.job.signed.statement().to_owned();
    let job: Job = countersign_trust::statement::read(&text).unwrap();
    let cut = Delivery { job: life.org.log(sign(&job, &["anna", "bo", "cia"])), ..delivery };
    bring_fresh(&mut life, &cut);
    assert!(life.device.ledger().stands(&key.job));
    pass(&mut life, 900);
    assert_eq!(occurrences(&life), [4, 5]);
}

#[test]
fn an_occurrence_that_was_begun_goes_on_before_another_begins() {
    let mut life = Life::new();
    let first = life.run(|job| {
        every_quarter(job);
        job.steps.push(script(&["echo done"]));
    });
    pass(&mut life, 1_000);
    life.end(first, true);
    let steps = |life: &Life| life.ran.iter().map(|key| (key.occurrence, key.step)).collect::<Vec<_>>();
    assert_eq!(steps(&life), [(4, 0), (4, 1)], "the first step outlasted the quarter");
    let second = *life.ran.last().unwrap();
    life.end(second, true);
    assert_eq!(steps(&life), [(4, 0), (4, 1), (5, 0)], "and then the next begins");
    let third = *life.ran.last().unwrap();
    life.end(third, false);
    pass(&mut life, 900);
    assert_eq!(steps(&life).last(), Some(&(6, 0)), "one that failed is not gone on with");
}

#[test]
fn a_step_that_waited_through_a_restart_goes_on() {
    let mut life = Life::new();
    let first = life.run(|job| {
        every_quarter(job);
        job.steps.push(script(&["echo done"]));
    });
    life.device.set_disk_full(true);
    life.end(first, true);
    life.restart();
    pass(&mut life, 61);
    let steps: Vec<_> = life.ran.iter().map(|key| (key.occurrence, key.step)).collect();
    assert_eq!(steps, [(4, 0), (4, 1)]);
}

#[test]
fn only_the_advance_that_counted_is_kept() {
    let mut org = Organization::found_with(|policy| policy.limits.auto_waves_max = 0);
    let enrolled = org.enroll(TILLS[0]);
    let mut life = Life::of(org, enrolled);
    let mut job = life.org.job();
    every_quarter(&mut job);
    let who = Who::Labels(labels(&[("class", "nothing")]));
    job.waves = vec![Wave { who, soak: 0 }, Wave { who: Who::Share(ALL), soak: 0 }];
    let mut delivery = life.delivery(&job);
    let advance = |life: &mut Life, keys: &[&str]| {
        let advance = Advance {
            org: life.org.org,
            id: life.org.id(),
            policy: life.org.chain.policy().hash,
            resume: None,
            job: delivery.job.signed.hash(),
            wave: 2,
            root: countersign_trust::ids::Sha256::of(b""),
            well: 1,
            failed: 0,
            missing: 0,
            why: word("They print the right date."),
        };
        life.org.log(sign(&advance, keys))
    };
    let junk: Vec<_> = (0..20).map(|_| advance(&mut life, &["stranger"])).collect();
    let good = advance(&mut life, &["bo", "cia"]);
    let hash = good.signed.hash();
    delivery.advances = junk.into_iter().chain([good]).collect();
    delivery.job.proof.extra = Some(vec![0; 100_000]);
    let key = run(&mut life, &delivery);
    let kept = life.device.ledger().kept(&key.job).unwrap();
    assert_eq!(kept.advances.iter().map(|advance| advance.signed.hash()).collect::<Vec<_>>(), [hash]);
    assert_eq!(kept.job.proof.extra, None);
    life.end(key, true);
    pass(&mut life, 900);
    assert_eq!(occurrences(&life), [4, 5]);
}

#[test]
fn a_cancelled_job_gives_up_its_place_when_another_needs_it() {
    let mut life = Life::new();
    let keys: Vec<StepKey> = (0..MAX_STANDING).map(|_| kept(&mut life, |_| ()).1).collect();
    let full = life.org.job();
    let full = Job { repeat: 900, ..full };
    life.bring(&full);
    assert_eq!(life.last().1, "64 jobs that repeat are held, 64 is the most");
    let cancelled = keys[7].job;
    let halt: News = life.org.halt(Scope::Job(cancelled), "anna");
    life.tell(halt);
    assert!(life.device.ledger().stands(&cancelled), "a resume may still lift it");
    life.bring(&full);
    assert_eq!(life.last().0, Verdict::Accepted);
    let ledger = life.device.ledger();
    assert_eq!((ledger.standing().count(), ledger.stands(&cancelled)), (MAX_STANDING, false));
}

#[test]
fn news_beside_what_cannot_be_read_are_taken() {
    let mut life = Life::new();
    let halt = life.org.halt(Scope::Person(word("anna")), "bo");
    life.hear(Input::Unreadable("the job: 0 signatures".to_owned(), vec![halt]));
    assert_eq!(life.device.ledger().chain().unwrap().active_halts().count(), 1);
    assert_eq!(life.last().1, "what came cannot be read: the job: 0 signatures");
}
