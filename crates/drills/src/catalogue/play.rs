//! What most attacks share: a stolen server, a forged delivery, the refusal, and the honest twin that runs.

use countersign_trust::envelope::Signed;
use countersign_trust::ids::Sha256;
use countersign_trust::receipt::Verdict;
use countersign_trust::statement::job::Job;
use countersign_wire::message::{self, from_server};

use crate::organization::sign;
use crate::rehearsal::World;
use crate::rehearsal::wire::{Letter, Parcel, Who};

/// What attackers want to run.
pub const EVIL: &str = "the ransom job";

/// A world whose server is the thief's.
pub fn stolen(machines: usize) -> World {
    let mut world = World::new(machines);
    world.steal_server();
    world.tell("a thief", "has the server, with all its keys");
    world
}

/// Brings a job of the thief's to the first machine, logged, cosigned and with honest Clears; its hash.
pub fn tries(world: &mut World, signed: Signed, how: &str) -> Sha256 {
    let hash = signed.hash();
    world.story.call(hash, EVIL);
    world.tell("a thief", format!("brings {EVIL} {how}"));
    let delivery = world.forged(signed, 0);
    world.bring(0, &delivery);
    hash
}

/// A job of Anna's on the first machine, bent in one place.
pub fn bent(world: &mut World, bend: impl FnOnce(&mut Job)) -> Job {
    let everybody: Vec<usize> = (0..world.machines.len()).collect();
    let mut job = world.job(&everybody);
    bend(&mut job);
    job
}

/// The machine has not run it, and its last receipt says why.
pub fn refused(world: &World, machine: usize, job: &Sha256, because: &str) {
    assert_eq!(world.started(machine, job).len(), 0, "it ran:\n{}", world.story);
    let said = world.said(machine, job);
    let said = said.unwrap_or_else(|| panic!("no receipt about it:\n{}", world.story));
    assert_eq!(said.0, Verdict::Refused, "{}", world.story);
    assert!(said.1.contains(because), "expected `{because}`, it says `{}`:\n{}", said.1, world.story);
}

/// The machine has not run it, and says that what came could not be read; it names no job.
pub fn unreadable(world: &World, machine: usize, job: &Sha256, because: &str) {
    assert_eq!(world.started(machine, job).len(), 0, "it ran:\n{}", world.story);
    assert_eq!(world.said(machine, job), None, "{}", world.story);
    let (name, said) = (&world.machines[machine].name, "refuses what came: what came cannot be read: ");
    let mut lines = world.story.lines.iter().filter(|line| line.who == *name && line.what.starts_with(said));
    assert!(lines.any(|line| line.what.contains(because)), "expected `{because}`:\n{}", world.story);
}

/// It ran exactly once.
pub fn ran_once(world: &World, machine: usize, job: &Sha256) {
    assert_eq!(world.started(machine, job).len(), 1, "{}", world.story);
}

/// The unbent twin, brought in the same way, runs: it was the bend that was refused.
pub fn twin_runs(world: &mut World) {
    let job = bent(world, |_| ());
    let signed = sign(&job, &["anna", "bo"]);
    let hash = signed.hash();
    world.story.call(hash, "the honest twin");
    let delivery = world.forged(signed, 0);
    world.bring(0, &delivery);
    world.pass(5);
    ran_once(world, 0, &hash);
}

/// Lets a machine hear a message that no encoder of ours would write.
pub fn bring_raw(world: &mut World, machine: usize, what: from_server::What) {
    let letter = Letter { from: Who::Server, to: Who::Machine(machine), parcel: Parcel::of_server(what) };
    world.put(world.now_ms, letter);
    world.pass_ms(1);
}

/// A delivery whose job's envelope is another text.
pub fn bring_text(world: &mut World, signed: Signed, bend: impl FnOnce(String) -> String) -> Sha256 {
    let hash = signed.hash();
    world.story.call(hash, EVIL);
    let mut message = message::Delivery::from(&world.forged(signed, 0));
    message.job = bend(message.job);
    bring_raw(world, 0, from_server::What::Delivery(message));
    hash
}

/// From here on the thief keeps all letters between a machine and the beacons.
pub fn keep_beacons_from(world: &mut World, machine: usize) {
    let me = Who::Machine(machine);
    world.hand = crate::rehearsal::wire::keeping(move |Letter { from, to, .. }| {
        (*from == me && matches!(to, Who::Beacon(_))) || (*to == me && matches!(from, Who::Beacon(_)))
    });
}
