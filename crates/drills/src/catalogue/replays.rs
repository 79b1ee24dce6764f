//! Attacks by what was before: the same job again, and a power cut at the worst moment.

use countersign_trust::receipt::Verdict;

use super::play::{bent, ran_once, refused, stolen};
use super::{Attack, How, Promise, policies};
use crate::rehearsal::World;
use crate::rehearsal::machine::Power;
use crate::rehearsal::story::Story;

/// Replays.
pub fn first() -> Vec<Attack> {
    vec![
        Attack {
            name: "replay",
            says: "The thief brings a job that has run once more, and once more with another signature and a new leaf.",
            promise: Promise::Once,
            how: vec![
                How::Virtual(replay),
                How::Vectors(&[
                    "once-replayed",
                    "once-replayed-while-it-runs",
                    "once-replayed-with-more-signatures",
                ]),
            ],
        },
        Attack {
            name: "replay-after-clocks-set-back-and-reboot",
            says: "The thief sets a machine's clock back, cuts its power, and brings a job that has run.",
            promise: Promise::Once,
            how: vec![
                How::Virtual(after_reboot),
                How::Vectors(&["once-second-step-twice", "clears-from-before-the-restart"]),
            ],
        },
    ]
}

/// The power.
pub fn second() -> Vec<Attack> {
    vec![
        Attack {
            name: "power-cut-between-accept-and-run",
            says: "Somebody cuts a machine's power after it accepted a job and before the job began, and brings the job again.",
            promise: Promise::Once,
            how: vec![
                How::Virtual(power_cut),
                How::Real(&[(
                    "countersign-drills",
                    "restarted_agent::a_job_that_was_cut_off_is_told_of_and_never_runs_again",
                )]),
            ],
        },
        Attack {
            name: "policy-change-in-mid-job",
            says: "A job runs on that a person approved who has been dismissed meanwhile.",
            promise: Promise::Forward,
            how: vec![How::Virtual(policies::in_mid_job)],
        },
    ]
}

fn replay() -> Story {
    let mut world = stolen(1);
    let job = bent(&mut world, |_| ());
    let hash = world.try_job(&job, &["anna", "bo"], 0);
    world.story.call(hash, "a job");
    ran_once(&world, 0, &hash);
    world.tell("a thief", "brings it again while it runs");
    world.try_job(&job, &["anna", "bo"], 0);
    world.pass(5);
    world.tell("a thief", "brings it again, and with a third signature");
    world.try_job(&job, &["anna", "bo"], 0);
    world.try_job(&job, &["anna", "bo", "cia"], 0);
    ran_once(&world, 0, &hash);
    assert_eq!(world.refusals(0, &hash), ["step 1 was accepted before"; 3]);
    world.machines[0].rewrite();
    world.switch_off(0);
    world.switch_on(0);
    world.pass(2);
    world.try_job(&job, &["anna", "bo"], 0);
    ran_once(&world, 0, &hash);
    world.story
}

fn after_reboot() -> Story {
    let mut world = stolen(1);
    let job = bent(&mut world, |_| ());
    let hash = world.try_job(&job, &["anna", "bo"], 0);
    world.story.call(hash, "a job");
    world.pass(5);
    ran_once(&world, 0, &hash);
    world.switch_off(0);
    world.machines[0].wall_ahead_ms = -86_400_000;
    world.tell("a thief", "sets its wall clock a day back");
    world.switch_on(0);
    world.pass(2);
    world.try_job(&job, &["anna", "bo"], 0);
    ran_once(&world, 0, &hash);
    assert_eq!(world.said(0, &hash), Some((Verdict::Refused, "step 1 was accepted before".to_owned())));
    world.story
}

/// Each occurrence of a job that repeats runs once, whatever is brought.
pub fn occurrences() -> Story {
    let mut world = stolen(1);
    let mut job = bent(&mut world, |_| ());
    (job.not_before, job.repeat) = (world.now(), 600);
    let hash = world.try_job(&job, &["anna", "bo"], 0);
    world.story.call(hash, "a job every ten minutes");
    world.pass(5);
    world.tell("a thief", "brings it again in the same ten minutes");
    world.try_job(&job, &["anna", "bo"], 0);
    world.pass(5);
    assert_eq!(world.started(0, &hash).len(), 1, "{}", world.story);
    world.pass(600);
    assert_eq!(world.started(0, &hash).len(), 2, "{}", world.story);
    world.switch_off(0);
    world.machines[0].wall_ahead_ms = -1_200_000;
    world.tell("a thief", "sets the clock twenty minutes back, and cuts the power");
    world.switch_on(0);
    world.pass(5);
    world.try_job(&job, &["anna", "bo", "cia"], 0);
    world.pass(30);
    assert_eq!(world.started(0, &hash).len(), 2, "{}", world.story);
    world.pass(700);
    let occurrences: Vec<u64> = world.started(0, &hash).iter().map(|start| start.key.occurrence).collect();
    assert_eq!(occurrences, [0, 1, 2], "{}", world.story);
    world.story
}

fn power_cut() -> Story {
    let mut world = World::new(2);
    world.machines[0].power = Power::GoesAfterWriting;
    world.machines[1].power = Power::GoesBeforeWriting;
    let hash = world.ordinary(&[0, 1], "a job");
    world.pass(5);
    assert_eq!(world.starts.len(), 0, "{}", world.story);
    for machine in [0, 1] {
        world.switch_on(machine);
    }
    world.tell("the power", "is back");
    world.pass(130);
    let verdicts: Vec<Verdict> = world.machines[0].sent.iter().map(|receipt| receipt.verdict).collect();
    assert!(verdicts.contains(&Verdict::Interrupted), "{verdicts:?}");
    assert_eq!(world.started(0, &hash).len(), 0, "it ran although it stood on the disk as begun");
    ran_once(&world, 1, &hash);
    world.steal_server();
    let posted = world.mailman.delivery(&hash, &world.machines[0].id.clone());
    let delivery =
        countersign_trust::delivery::Delivery { clears: world.clears_for(0, &[0, 1, 2]), ..posted };
    world.tell("a thief", "brings it to till-01 once more");
    world.bring(0, &delivery);
    refused(&world, 0, &hash, "step 1 was accepted before and did not end well");
    world.story
}
