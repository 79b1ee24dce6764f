//! Attacks by the clocks.

use countersign_trust::statement::policy::{Hours, Policy};
use countersign_trust::time::Time;

use super::play::{bent, ran_once, refused, stolen, tries, twin_runs};
use super::{Attack, How, Promise};
use crate::organization::sign;
use crate::rehearsal::story::Story;
use crate::rehearsal::{Setup, World};

/// When a job may run.
pub fn first() -> Vec<Attack> {
    vec![
        Attack {
            name: "expired",
            says: "The thief keeps a good job until its end has passed, and brings it then.",
            promise: Promise::Timely,
            how: vec![
                How::Virtual(expired),
                How::Vectors(&[
                    "time-expired-this-second",
                    "time-about-to-expire",
                    "time-expired-before-the-floor",
                ]),
            ],
        },
        Attack {
            name: "not-yet",
            says: "The thief brings tonight's job at noon.",
            promise: Promise::Timely,
            how: vec![How::Virtual(not_yet), How::Vectors(&["time-not-yet", "time-just-begun"])],
        },
        Attack {
            name: "outside-hours",
            says: "The thief brings a job outside the hours in which the policy lets it run.",
            promise: Promise::Timely,
            how: vec![
                How::Virtual(outside_hours),
                How::Vectors(&["time-before-hours", "time-perhaps-after-hours", "accepted-within-hours"]),
            ],
        },
    ]
}

/// The machine's own clock.
pub fn second() -> Vec<Attack> {
    vec![
        Attack {
            name: "wall-clock-pushed-forward",
            says: "A time server of the thief's pushes a machine's wall clock a day ahead, to make tomorrow's job due.",
            promise: Promise::Timely,
            how: vec![
                How::Virtual(pushed_forward),
                How::Vectors(&[
                    "time-not-yet-whatever-the-wall-clock-says",
                    "clears-wall-clock-ages-the-challenge",
                    "time-expired-by-the-wall-clock",
                ]),
            ],
        },
        Attack {
            name: "wall-clock-pushed-back",
            says: "A time server of the thief's sets a machine's wall clock back, to keep an old job or old Clears alive.",
            promise: Promise::Timely,
            how: vec![
                How::Virtual(pushed_back),
                How::Vectors(&[
                    "time-expired-though-the-wall-clock-was-set-back",
                    "clears-wall-clock-cannot-freshen",
                    "time-wall-clock-set-back-after-arrival",
                ]),
            ],
        },
    ]
}

fn expired() -> Story {
    let mut world = stolen(1);
    let end = world.now().plus(300);
    let job = bent(&mut world, |job| job.not_after = end);
    let signed = sign(&job, &["anna", "bo"]);
    let logged = world.logged(signed.clone());
    world.story.call(signed.hash(), "the five-minute job");
    world.tell("a thief", "keeps a good job for six minutes");
    world.pass(360);
    let delivery = world.good_delivery(logged, Some(&job), 0);
    world.bring(0, &delivery);
    refused(&world, 0, &signed.hash(), "it ended at");
    twin_runs(&mut world);
    world.story
}

fn not_yet() -> Story {
    let mut world = stolen(1);
    let (begin, end) = (world.now().plus(36_000), world.now().plus(40_000));
    let job = bent(&mut world, |job| (job.not_before, job.not_after) = (begin, end));
    let hash = tries(&mut world, sign(&job, &["anna", "bo"]), "that is for tonight");
    refused(&world, 0, &hash, "not before");
    twin_runs(&mut world);
    world.story
}

fn outside_hours() -> Story {
    let monday = |policy: &mut Policy| policy.rules[0].hours = vec![Hours { from: 0, until: 240 }];
    let mut world = World::found(Setup { machines: 1, policy: monday, ..Setup::default() });
    world.steal_server();
    let job = bent(&mut world, |job| job.not_after = Time(job.not_after.0 + 5 * 86_400));
    let signed = sign(&job, &["anna", "bo"]);
    let logged = world.logged(signed.clone());
    world.story.call(signed.hash(), "the night job");
    world.tell("a thief", "brings on Wednesday noon what the policy lets run on Mondays from 0 to 4 o'clock");
    let delivery = world.good_delivery(logged.clone(), Some(&job), 0);
    world.bring(0, &delivery);
    refused(&world, 0, &signed.hash(), "outside the hours of rule 1");
    world.tick_ms = 30_000;
    let monday_one = (4 * 24 + 13) * 3_600;
    world.pass(monday_one);
    world.tell("the server", "brings it on Monday, at one o'clock in the night");
    let delivery = world.good_delivery(logged, Some(&job), 0);
    world.bring(0, &delivery);
    ran_once(&world, 0, &signed.hash());
    world.story
}

fn pushed_forward() -> Story {
    let mut world = stolen(1);
    let (begin, end) = (world.now().plus(36_000), world.now().plus(40_000));
    let job = bent(&mut world, |job| (job.not_before, job.not_after) = (begin, end));
    world.machines[0].wall_ahead_ms = 36_060_000;
    world.tell("a thief", "pushes the machine's wall clock ten hours ahead");
    world.pass(61);
    let hash = tries(&mut world, sign(&job, &["anna", "bo"]), "that is for tonight");
    refused(&world, 0, &hash, "not before");
    twin_runs(&mut world);
    world.tell("a thief", "pushes it another day ahead, right after Clears have come");
    let end = world.now().plus(3_600);
    let short = bent(&mut world, |job| job.not_after = end);
    let clears = world.clears_for(0, &[0, 1, 2]);
    world.hear(0, countersign_trust::device::Input::Clears(clears));
    world.machines[0].wall_ahead_ms += 86_400_000;
    let signed = sign(&short, &["anna", "bo"]);
    let logged = world.logged(signed.clone());
    let held = countersign_trust::delivery::Delivery {
        clears: Vec::new(),
        ..world.good_delivery(logged, Some(&short), 0)
    };
    super::play::keep_beacons_from(&mut world, 0);
    world.bring(0, &held);
    world.pass(200);
    world.story.call(signed.hash(), "an hour's job");
    refused(&world, 0, &signed.hash(), "the Clears no longer hold: the challenge is 86");
    world.story
}

fn pushed_back() -> Story {
    let mut world = stolen(1);
    let end = world.now().plus(300);
    let job = bent(&mut world, |job| job.not_after = end);
    let signed = sign(&job, &["anna", "bo"]);
    let logged = world.logged(signed.clone());
    world.story.call(signed.hash(), "the five-minute job");
    super::play::keep_beacons_from(&mut world, 0);
    let early = world.clears_for(0, &[0, 1, 2]);
    world.pass(360);
    world.machines[0].wall_ahead_ms = -600_000;
    world.tell(
        "a thief",
        "sets the wall clock ten minutes back and brings the job with six minutes old Clears",
    );
    let delivery = countersign_trust::delivery::Delivery {
        clears: early,
        ..world.good_delivery(logged.clone(), Some(&job), 0)
    };
    world.bring(0, &delivery);
    assert_eq!(world.started(0, &signed.hash()).len(), 0);
    world.tell("a thief", "brings it with fresh Clears");
    let delivery = world.good_delivery(logged, Some(&job), 0);
    world.bring(0, &delivery);
    refused(&world, 0, &signed.hash(), "it ended at");
    twin_runs(&mut world);
    world.story
}
