//! A server that is stopped by a signal in the middle of a long job, so that only beacons know of a halt: how long steps begin.

use std::time::{Duration, Instant};

use countersign_drills::organization::{everything, sign};
use countersign_drills::part::{Stage, signal, until};
use countersign_drills::world::World;
use countersign_swarm::agent::device_of;
use countersign_swarm::cast;
use countersign_swarm::swarm::{Conduct, Plan, Swarm};
use countersign_trust::ids::DeviceId;
use tokio::runtime::Runtime;

use crate::field;

/// How many machines may ask beacons, and how many hear nobody but the server.
const EACH: u64 = 100;
/// The shortest lifetime that a policy may name, in seconds.
const LIFETIME: u64 = 60;
const LIFETIME_TIME: Duration = Duration::from_secs(LIFETIME);
/// How long after the lifetime it is watched.
const LONGER: Duration = Duration::from_secs(25);
/// A job of many steps, each of which a device judges anew.
const STEPS: usize = 16;
const STEP: Duration = Duration::from_secs(10);

/// A job of many steps is brought to everybody, then the server is stopped, and somebody halts everything at the beacons. How many
/// steps began later than the lifetime after the halt was set.
pub fn starts_after_a_lifetime() -> u64 {
    let runtime = Runtime::new().unwrap();
    let world = World::set_up_with(
        Stage::Processes,
        |server| server.stage = Stage::Programs,
        |policy| policy.beacons.lifetime = LIFETIME,
    );
    let server = world.server.pid().unwrap();
    field::end_on_panic(server);
    let swarms = [(true, 0), (false, EACH)].map(|(asks_beacons, first)| {
        let _inside = runtime.enter();
        swarm(&world, asks_beacons, first)
    });
    world.until_connected((2 * EACH).try_into().unwrap());
    let device = |swarm: &Swarm, place| device_of(&swarm.machine(place)).unwrap();
    let devices: Vec<DeviceId> =
        swarms.iter().flat_map(|swarm| (0..EACH).map(|place| device(swarm, place))).collect();
    let mut job = world.job(&devices, &["sleep 10"]);
    job.steps = vec![job.steps[0].clone(); STEPS];
    world.post(&sign(&job, &["anna", "bo"]), &devices).unwrap();
    let begun = |swarm: &Swarm| swarm.counts().starts.count();
    until("all have begun", || swarms.iter().all(|swarm| begun(swarm) >= EACH).then_some(()));
    signal(server, "STOP");
    let halt = world.halt(everything(), "cia");
    // Three acknowledgements set it: one of the four may be gone.
    world.beacons[..3].iter().for_each(|beacon| world.halt_at(&halt, beacon));
    let set = Instant::now();
    std::thread::sleep(LIFETIME_TIME);
    let before = swarms.each_ref().map(begun);
    std::thread::sleep(LONGER);
    for (swarm, who) in swarms.iter().zip(["that ask beacons", "that hear nobody but the server"]) {
        let last = swarm.counts().starts.last().into_std().saturating_duration_since(set);
        eprintln!(
            "server stopped, halt at three beacons, lifetime {LIFETIME} s: {EACH} machines {who} began {} steps of a job of {STEPS}, the \
             last {last:.1?} after the halt was set",
            begun(swarm)
        );
    }
    swarms.iter().zip(before).map(|(swarm, before)| begun(swarm) - before).sum()
}

fn swarm(world: &World, asks_beacons: bool, first: u64) -> Swarm {
    let cast::Site { name, kind, size } = cast::site(1, first);
    let token = world.token_for(&name, &[("kind", kind), ("size", size)], EACH.try_into().unwrap());
    let conduct = Conduct { takes: STEP, asks_beacons, tick: Duration::from_secs(1), ..Conduct::default() };
    let mut swarm = Swarm::new(Plan { conduct, first, ..Plan::new(vec![token]) }).unwrap();
    swarm.grow(EACH);
    swarm
}
