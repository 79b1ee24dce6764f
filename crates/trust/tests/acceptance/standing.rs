//! What goes on by itself: jobs that repeat. And what changes while a device is at work: its enrollment, and lost keys.

use std::collections::BTreeSet;

use countersign_trust::chain::{Chain, Inclusion, Recovered};
use countersign_trust::delivery::News;
use countersign_trust::device::{Input, Output};
use countersign_trust::ledger::{Record, StepKey};
use countersign_trust::receipt::Verdict;
use countersign_trust::statement::enroll::{Device, Enroll, Retire, What};
use countersign_trust::statement::halt::Scope;
use countersign_trust::statement::job::Job;
use countersign_trust::statement::policy::Recovery;
use countersign_trust::statement::resume::{Cuts, Lifts};
use countersign_trust::text::Nothing;
use countersign_trust::time::Time;
use countersign_trust::verify::MAX_STANDING;

use crate::life::Life;
use crate::organization::{
    BEACONS, NOON, Organization, TILLS, answer, device_id, device_signer, everything, labels, names,
    note_key, person, sign, ssh_key, word,
};

/// Each quarter of an hour, for a day; at noon occurrence 4 begins.
fn every_quarter(job: &mut Job) {
    job.repeat = 900;
}

/// Lets time pass; honest beacons answer whenever they are asked.
fn pass(life: &mut Life, seconds: u64) {
    for _ in 0..seconds {
        let wanted = life.pass(1);
        if wanted.iter().any(|output| matches!(output, Output::AskBeacons(_))) {
            let clears = life.clears();
            life.hear(Input::Clears(clears));
        }
    }
}

fn occurrences(life: &Life) -> Vec<u64> {
    life.ran.iter().map(|key| key.occurrence).collect()
}

#[test]
fn a_job_that_repeats_runs_once_each_time_with_clears_of_its_own() {
    let mut life = Life::new();
    let mut key = life.run(every_quarter);
    for occurrence in 5..8 {
        life.end(key, true);
        pass(&mut life, 900);
        assert_eq!(occurrences(&life), (4..=occurrence).collect::<Vec<_>>());
        key = *life.ran.last().unwrap();
    }
}

#[test]
fn an_occurrence_is_not_started_without_beacons_and_is_refused_once() {
    let mut life = Life::new();
    let key = life.run(every_quarter);
    life.end(key, true);
    life.pass(1_700);
    assert_eq!(occurrences(&life), [4]);
    let refused = life.receipts().iter().filter(|receipt| receipt.verdict == Verdict::Refused).count();
    assert_eq!(
        (refused, life.last().1.as_str()),
        (1, "the Clears no longer hold: the challenge is 1080000 ms old, it is good for 180000 ms")
    );
}

#[test]
fn it_stands_on_disk_and_what_was_missed_is_skipped() {
    let mut life = Life::new();
    let key = life.run(every_quarter);
    life.end(key, true);
    life.rewrite();
    life.now.wall_ms += 3_600_000;
    life.org.time = life.org.time.plus(3_600);
    life.restart();
    pass(&mut life, 61);
    assert_eq!(occurrences(&life), [4, 8]);
    life.restart();
    pass(&mut life, 61);
    assert_eq!(occurrences(&life), [4, 8], "the same again after a restart");
}

#[test]
fn none_begins_while_an_earlier_one_runs() {
    let mut life = Life::new();
    let key = life.run(every_quarter);
    pass(&mut life, 1_100);
    assert_eq!(occurrences(&life), [4]);
    assert_eq!(life.last().1, "occurrence 5 has to wait, 4 is still running");
    life.end(key, true);
    assert_eq!(occurrences(&life), [4, 5], "late in its quarter rather than not at all");
}

#[test]
fn a_halt_stops_the_next_occurrence_and_what_a_resume_cuts_is_over() {
    let mut life = Life::new();
    let key = life.run(every_quarter);
    life.end(key, true);
    let halt = life.org.halt(everything(), "cia");
    pass(&mut life, 1_000);
    assert_eq!(occurrences(&life), [4], "the server kept the halt to itself, but the beacons name it");
    life.tell(halt);
    let keys = Lifts::Keys([ssh_key("cia").public_key().clone()].into());
    let resume = life.org.resume(keys, Cuts::All(Nothing), |_| ());
    life.tell(resume);
    assert!(life.device.ledger().stands(&key.job));
    pass(&mut life, 1_000);
    assert_eq!(occurrences(&life), [4]);
    assert!(life.last().1.starts_with("signed before the resume"), "{}", life.last().1);
    assert!(!life.device.ledger().stands(&key.job), "it will never run again, so it is not kept");
}

#[test]
fn it_ends_with_its_life_and_leaves_nothing() {
    let mut life = Life::new();
    let key = life.run(|job| {
        every_quarter(job);
        job.not_after = Time(NOON + 600);
    });
    life.end(key, true);
    life.pass(700);
    assert_eq!(life.device.ledger().standing().count(), 0);
    life.restart();
    assert_eq!(life.device.ledger().standing().count(), 0);
}

#[test]
fn so_many_and_no_more_are_kept() {
    let mut life = Life::new();
    for _ in 0..MAX_STANDING {
        let key = life.run(every_quarter);
        life.end(key, true);
    }
    let mut job = life.org.job();
    every_quarter(&mut job);
    life.bring(&job);
    assert_eq!(life.last().1, "64 jobs that repeat are held, 64 is the most");
    life.run(|_| ());
}

#[test]
fn only_the_last_occurrence_is_remembered() {
    let mut life = Life::new();
    let key = life.run(every_quarter);
    life.end(key, true);
    pass(&mut life, 900);
    let steps = |record: &Record| matches!(record, Record::Step { .. });
    assert_eq!(life.device.ledger().rewritten().iter().filter(|record| steps(record)).count(), 1);
    assert_eq!(life.device.ledger().last_occurrence(&key.job), Some(5));
}

fn enroll(life: &mut Life, what: What) -> News {
    let enroll = Enroll { org: life.org.org, id: life.org.id(), what };
    News::Enroll(life.org.log(sign(&enroll, &["anna", "bo"])))
}

fn moved(life: &Life, seq: u64, previous: countersign_trust::ids::Sha256) -> What {
    let key = device_signer(TILLS[0]).verifier().clone();
    let _ = life;
    What::Device(Device {
        key,
        host_key: word(""),
        site: word("Katterjokk"),
        labels: labels(&[("class", "till"), ("region", "north")]),
        seq,
        previous: Some(previous),
    })
}

#[test]
fn a_device_takes_its_next_enrollment_at_work_and_never_an_older_one() {
    let mut life = Life::new();
    let first = life.device.ledger().enrolled().unwrap().enroll;
    let what = moved(&life, 1, first);
    let second = enroll(&mut life, what);
    life.tell(second.clone());
    let held = |life: &Life| life.device.ledger().enrolled().unwrap().enroll;
    assert_eq!(held(&life), second.hash());
    let what = moved(&life, 2, second.hash());
    let third = enroll(&mut life, what);
    life.hear(Input::News(vec![third.clone(), third.clone(), second]));
    assert_eq!(held(&life), third.hash());
    life.rewrite();
    life.restart();
    assert_eq!(held(&life), third.hash());
    life.run(|_| ());
    assert_eq!(life.receipts().last().unwrap().enroll, third.hash());
}

#[test]
fn whoever_is_halted_moves_no_device_and_can_still_end_it() {
    let mut life = Life::new();
    let first = life.device.ledger().enrolled().unwrap().enroll;
    let what = moved(&life, 1, first);
    let second = enroll(&mut life, what);
    let halt = life.org.halt(Scope::Person(word("bo")), "cia");
    life.tell(halt.clone());
    life.tell(second.clone());
    assert_eq!(life.device.ledger().enrolled().unwrap().enroll, first, "Bo's key is stolen");
    let resume = life.org.resume(Lifts::Halts([halt.hash()].into()), Cuts::None(Nothing), |_| ());
    life.tell(resume);
    life.tell(second.clone());
    assert_eq!(life.device.ledger().enrolled().unwrap().enroll, second.hash());
    let halt = life.org.halt(Scope::Person(word("anna")), "cia");
    life.tell(halt);
    let end = enroll(&mut life, What::Retire(Retire { device: device_id(TILLS[0]) }));
    life.tell(end.clone());
    assert_eq!(life.device.ledger().retired(), Some(end.hash()), "an end is a stop");
    life.rewrite();
    life.restart();
    assert_eq!(life.device.ledger().retired(), Some(end.hash()));
}

#[test]
fn no_device_is_moved_by_the_rules_of_a_policy_that_is_over() {
    let mut life = Life::new();
    let first = life.device.ledger().enrolled().unwrap().enroll;
    let what = moved(&life, 1, first);
    let second = enroll(&mut life, what);
    let policy = life.org.decide(|policy| {
        policy.roles.insert(word("chief"), names(&["cia"]));
        policy.rules[0].labels = labels(&[("region", "south")]);
        policy.rules[0].approvers = names(&["chief"]);
    });
    life.tell(policy);
    life.tell(second);
    assert_eq!(
        life.device.ledger().enrolled().unwrap().enroll,
        first,
        "signed by Anna and Bo, and not by Cia"
    );
}

#[test]
fn a_retired_device_stops_what_runs_and_runs_nothing_more() {
    let mut life = Life::new();
    let key = life.run(|_| ());
    let news = enroll(&mut life, What::Retire(Retire { device: device_id(TILLS[0]) }));
    life.tell(news.clone());
    assert_eq!(life.killed.iter().map(|(key, _)| *key).collect::<Vec<StepKey>>(), [key]);
    life.end(key, false);
    let job = life.org.job();
    life.bring(&job);
    assert_eq!(life.ran.len(), 1);
    assert!(life.last().1.starts_with("this device was retired by"), "{}", life.last().1);
    let what = moved(&life, 9, life.device.ledger().enrolled().unwrap().enroll);
    let back = enroll(&mut life, what);
    life.tell(back);
    life.restart();
    assert_eq!(life.device.ledger().retired(), Some(news.hash()), "for ever");
}

#[test]
fn another_devices_end_is_not_mine() {
    let mut life = Life::new();
    let news = enroll(&mut life, What::Retire(Retire { device: device_id(TILLS[1]) }));
    life.tell(news);
    life.run(|_| ());
}

/// An organization with two keys in a safe, and the policy that they would sign.
fn with_a_safe() -> (Life, News) {
    let mut org = Organization::found_with(|policy| {
        let keys: BTreeSet<_> = ["safe 1", "safe 2"].map(|name| ssh_key(name).public_key().clone()).into();
        policy.recovery = Recovery { need: 2, keys };
    });
    let mut next = org.next_policy();
    next.people = ["anna", "bo", "cia"].map(|name| (word(name), person(&[&format!("{name} new")]))).into();
    let signed = sign(&next, &["anna new", "bo new", "safe 1", "safe 2"]);
    let policy = News::Policy(org.log(signed));
    let enrolled = org.enroll(TILLS[0]);
    (Life::of(org, enrolled), policy)
}

fn number(life: &Life) -> u64 {
    life.device.ledger().chain().unwrap().policy().body.number
}

/// What this beacon signs once the policy has waited its time.
fn waited(life: &Life, policy: &News, beacon: &str) -> News {
    let (org, after) = (life.org.org, life.org.genesis.signed.hash());
    let said = Recovered { org, policy: policy.hash(), after };
    News::Recovered(note_key(beacon).note(said.to_string()).unwrap())
}

#[test]
fn a_recovery_policy_waits_on_disk_for_the_word_of_enough_beacons() {
    let (mut life, policy) = with_a_safe();
    life.tell(policy.clone());
    life.run(|_| ());
    assert_eq!(number(&life), 1);
    life.rewrite();
    life.restart();
    assert_eq!(life.device.ledger().chain().unwrap().waiting().len(), 1);
    for beacon in [BEACONS[0], BEACONS[1], BEACONS[1]] {
        life.tell(waited(&life, &policy, beacon));
        assert_eq!(number(&life), 1, "two beacons of three");
    }
    life.rewrite();
    life.restart();
    life.tell(waited(&life, &policy, BEACONS[3]));
    assert_eq!(number(&life), 2);
    life.rewrite();
    life.restart();
    assert_eq!(number(&life), 2, "a policy once applied is never left");
}

#[test]
fn what_the_old_people_decided_after_the_safes_policy_is_over_once_that_is_in_force() {
    let (mut life, policy) = with_a_safe();
    life.tell(policy.clone());
    // Logged after the safe's policy, and signed by those whom it replaces: they may, as long as it waits.
    let halt = life.org.halt(everything(), "cia");
    let lifts = Lifts::Halts([halt.hash()].into());
    let resume = life.org.resume(lifts, Cuts::None(Nothing), |_| ());
    let end = enroll(&mut life, What::Retire(Retire { device: device_id(TILLS[0]) }));
    for news in [halt, resume, end.clone()] {
        life.tell(news);
    }
    let decided = |life: &Life| {
        let chain = life.device.ledger().chain().unwrap();
        (chain.policies().len(), chain.resumes().len(), chain.active_halts().count())
    };
    assert_eq!((decided(&life), life.device.ledger().retired()), ((1, 1, 0), Some(end.hash())));
    for beacon in &BEACONS[..3] {
        life.tell(waited(&life, &policy, beacon));
    }
    assert_eq!((decided(&life), life.device.ledger().retired()), ((2, 0, 1), None));
    life.rewrite();
    life.restart();
    assert_eq!((decided(&life), life.device.ledger().retired()), ((2, 0, 1), None));
    let chain = life.device.ledger().chain().unwrap();
    let genesis = &life.org.genesis;
    let mut late = Chain::begin(life.org.org, &genesis.signed, Inclusion::Proved(&genesis.proof)).unwrap();
    for news in News::since(chain, 1) {
        news.offer(&mut late).unwrap();
    }
    let shown = |chain: &Chain| News::since(chain, 1).iter().map(News::hash).collect::<Vec<_>>();
    assert_eq!(shown(&late), shown(chain));
}

#[test]
fn no_clear_puts_a_recovery_policy_in_force() {
    let (mut life, policy) = with_a_safe();
    life.tell(policy.clone());
    let challenge = life.device.challenge().unwrap();
    let name = |beacon: &&str| {
        answer(beacon, challenge, |root| countersign_trust::clear::Clear {
            policy: policy.hash(),
            ..life.org.clear(root)
        })
    };
    let clears: Vec<_> = BEACONS.iter().map(name).collect();
    life.hear(Input::Clears(clears));
    assert_eq!(number(&life), 1);
}

#[test]
fn a_waiting_policy_is_gone_once_the_quorum_has_signed_another() {
    let (mut life, policy) = with_a_safe();
    life.tell(policy);
    let other = life.org.decide(|policy| policy.limits.life = 3 * 86_400);
    life.tell(other);
    assert_eq!((number(&life), life.device.ledger().chain().unwrap().waiting().len()), (2, 0));
    life.rewrite();
    life.restart();
    life.run(|_| ());
}
