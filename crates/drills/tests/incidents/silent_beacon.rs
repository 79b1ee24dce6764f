//! Beacons fall silent. One of four holds up nobody; two of four stop the fleet, and it says why.

use std::time::{Duration, Instant};

use countersign_drills::part::{until, until_within};
use countersign_drills::world::{Machine, World};
use countersign_trust::ids::Sha256;
use countersign_trust::receipt::{Receipt, Verdict};

/// How long what beacons said is good for, and a second.
const LIFETIME: Duration = Duration::from_secs(181);

#[test]
fn one_silent_beacon_holds_up_nobody_and_two_stop_everything_until_one_is_back() {
    let mut world = World::new(2);
    let (first, second, third) = (world.nonce(), world.nonce(), world.nonce());
    let order = |world: &World, line: String| world.order(&world.job(&world.all(), &[&line]), &world.all());

    world.beacons[0].kill();
    let job = order(&world, first.line());
    for machine in &world.machines {
        world.says(Verdict::Ended, &job, machine);
    }
    assert_eq!(first.lines().len(), 2);

    world.beacons[1].kill();
    // What three beacons said before is good for three minutes. They pass, and the machines are switched on again.
    world.pass(LIFETIME);
    world.restart_agents();
    let given_up = order(&world, second.line());
    for machine in &world.machines {
        let because = refusal(&world, &given_up, machine).because;
        assert!(because.as_str().starts_with("2 of 3 Clears"), "{}", because.as_str());
    }
    let waits = order(&world, third.line());
    until("it is sent to both", || {
        world.all().iter().all(|device| world.on(&waits, device).verdict == "sent").then_some(())
    });
    assert_eq!((second.lines().len(), third.lines().len()), (0, 0), "nothing starts without three beacons");

    world.beacons[1].start();
    for machine in &world.machines {
        world.says(Verdict::Ended, &waits, machine);
    }
    assert_eq!(third.lines().len(), 2, "what waited goes on by itself");
    for machine in &world.machines {
        until_within(
            Duration::from_secs(75),
            Duration::from_millis(50),
            "what was given up ends well",
            || world.receipt(&given_up, machine).filter(|receipt| receipt.verdict == Verdict::Ended),
        );
    }
    assert_eq!(second.lines().len(), 2, "what was given up is brought again by itself");
}

/// A device waits a lifetime for Clears before it refuses. It passes in thirds, a new challenge and answer each.
fn refusal(world: &World, job: &Sha256, machine: &Machine) -> Receipt {
    let mut passed = Instant::now();
    until("a refusal", || {
        if passed.elapsed() > Duration::from_secs(1) {
            world.pass(LIFETIME / 3);
            passed = Instant::now();
        }
        world.receipt(job, machine).filter(|receipt| receipt.verdict == Verdict::Refused)
    })
}
