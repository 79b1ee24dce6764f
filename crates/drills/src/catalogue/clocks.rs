//! Nobody attacks here: a time server is wrong, and as many clocks as count believe it.

use super::play::{bent, ran_once};
use super::{Attack, How, Promise};
use crate::organization::sign;
use crate::rehearsal::World;
use crate::rehearsal::story::Story;

const YEAR_S: u64 = 365 * 86_400;

/// Bad days.
pub fn attacks() -> Vec<Attack> {
    vec![
        Attack {
            name: "clocks-a-year-ahead",
            says: "A wrong time server puts three beacons, three witnesses and a machine a year ahead for a minute.",
            promise: Promise::Timely,
            how: vec![How::Virtual(a_bad_minute)],
        },
        Attack {
            name: "clocks-ahead-and-confirmed",
            says: "The same, and the beacons' operators, who all rely on it, say that their clocks are right.",
            promise: Promise::Timely,
            how: vec![
                How::Virtual(confirmed),
                How::Vectors(&[
                    "clears-leap",
                    "clears-leap-beyond-the-wall-clock",
                    "clears-no-leap",
                    "clears-no-leap-by-the-wall-clock",
                ]),
            ],
        },
    ]
}

/// Three beacons, three witnesses and the first machine are this far ahead.
fn set_ahead(world: &mut World, seconds: u64) {
    let skew_s = i64::try_from(seconds).unwrap();
    world.beacons.iter_mut().take(3).for_each(|beacon| beacon.skew_s = skew_s);
    world.witnesses.iter_mut().take(3).for_each(|witness| witness.skew_s = skew_s);
    world.machines[0].wall_ahead_ms = skew_s * 1_000;
}

/// A new job of everybody's runs on both machines, and no floor has left the true time.
fn all_goes_on(world: &mut World) {
    let hash = world.ordinary(&[0, 1], "the job after it");
    world.pass(10);
    for machine in [0, 1] {
        ran_once(world, machine, &hash);
        let floor = world.machines[machine].device().ledger().floor();
        assert!(floor <= world.now(), "{floor}:\n{}", world.story);
    }
}

fn a_bad_minute() -> Story {
    let mut world = World::new(2);
    world.ordinary(&[0, 1], "the job before it");
    world.pass(10);
    world.tell("a time server", "says that it is next year, and most who ask it believe it");
    set_ahead(&mut world, YEAR_S);
    let meanwhile = world.ordinary(&[0, 1], "the job in that minute");
    world.pass(60);
    assert!(
        world.started(0, &meanwhile).is_empty() && world.started(1, &meanwhile).is_empty(),
        "{}",
        world.story
    );
    for beacon in world.beacons.iter().take(3) {
        assert!(beacon.silence.contains("a clock 365 days ahead may be wrong"), "{}", beacon.silence);
    }
    for witness in world.witnesses.iter().take(3) {
        assert!(witness.refusal.contains("a clock 365 days ahead may be wrong"), "{}", witness.refusal);
    }
    world.tell("the time server", "is right again");
    set_ahead(&mut world, 0);
    // What the machine's own clock said then has made its challenges look old.
    world.pass(130);
    all_goes_on(&mut world);
    world.story
}

fn confirmed() -> Story {
    let mut world = World::new(2);
    world.ordinary(&[0, 1], "the job before it");
    world.pass(10);
    world.tell("a time server", "says that it is next year");
    set_ahead(&mut world, YEAR_S);
    confirm_all(&mut world);
    world.switch_off(1);
    world.switch_on(1);
    let job = bent(&mut world, |job| {
        (job.not_before, job.not_after) = (job.not_before.plus(YEAR_S), job.not_after.plus(YEAR_S));
    });
    let hash = world.order(&job, &[0, 1]);
    world.story.call(hash, "a job for next year");
    world.pass(60);
    assert!(world.started(0, &hash).is_empty() && world.started(1, &hash).is_empty(), "{}", world.story);
    world.tell("the time server", "is right again");
    set_ahead(&mut world, 0);
    world.pass(10);
    assert!(world.beacons[0].silence.contains("nothing is signed for"), "{}", world.beacons[0].silence);
    confirm_all(&mut world);
    world.pass(130);
    all_goes_on(&mut world);
    let signed = sign(&job, &["anna", "bo"]);
    let logged = world.logged(signed);
    let delivery = world.good_delivery(logged, Some(&job), 0);
    world.bring(0, &delivery);
    super::play::refused(&world, 0, &hash, "not before");
    world.story
}

fn confirm_all(world: &mut World) {
    let now_ms = world.now_ms;
    for beacon in world.beacons.iter_mut().take(3) {
        beacon.confirm_clock(now_ms);
    }
    world.tell("three operators", "look at their clocks and say: they are right");
}
