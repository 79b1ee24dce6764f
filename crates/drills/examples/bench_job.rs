//! How long a job takes from its last approval until the last of twelve machines has begun it.
//!
//! With everything on: a log, four witnesses and four beacons of which three each are needed, all on this machine and
//! each a process of its own. The clock starts before Bo's signature is posted; it stops at the latest time that a
//! script, by its first act, wrote down. Prints a figure for `cargo xtask bench job`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench that meets the unexpected should stop there"
)]

use std::time::{SystemTime, UNIX_EPOCH};

use countersign_drills::organization::sign;
use countersign_drills::part::{Stage, act, until};
use countersign_drills::world::World;
use countersign_trust::receipt::Verdict;

const MACHINES: usize = 12;
/// How often it is done in one run: the first time is for warming up, and of the others the median counts.
const TIMES: usize = 10;

fn main() {
    act();
    let mut world = World::set_up(Stage::Processes, |_| ());
    world.join(MACHINES);
    once(&world);
    let mut seen: Vec<f64> = (0..TIMES).map(|_| once(&world)).collect();
    seen.sort_by(f64::total_cmp);
    eprintln!("{seen:.1?} ms");
    let median = seen.get((TIMES - 1) / 2).unwrap();
    println!("{{\"figure\": \"last_start_ms\", \"value\": {median:.3}}}");
}

/// One job of two people, in milliseconds.
fn once(world: &World) -> f64 {
    let (devices, nonce) = (world.all(), world.nonce());
    let job = world.job(&devices, &[&format!("date +%s%N >> {}", nonce.path().display())]);
    world.post(&sign(&job, &["anna"]), &devices).unwrap();
    let approval = sign(&job, &["bo"]);
    let approved = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    world.post(&approval, &devices).unwrap();
    let times = until("every machine has begun", || {
        let lines = nonce.lines();
        (lines.len() == MACHINES).then_some(lines)
    });
    let last = times.iter().map(|time| time.parse::<u128>().unwrap()).max().unwrap();
    for machine in &world.machines {
        world.says(Verdict::Ended, &approval.hash(), machine);
    }
    let took = u64::try_from(last - approved.as_nanos()).unwrap();
    std::time::Duration::from_nanos(took).as_secs_f64() * 1_000.0
}
