//! Machines of a swarm are devices like any other.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use countersign_drills::part::until;
use countersign_drills::world::World;
use countersign_swarm::agent::device_of;
use countersign_swarm::cast;
use countersign_swarm::swarm::{Conduct, Plan, Swarm};
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::join::device_key;
use countersign_trust::note::Note;
use countersign_trust::receipt::Receipt;
use countersign_wire::http::{DeviceView, JobView, OrgView, Page};
use countersign_wire::token::Token;

/// How many machines: more than go by one token.
const MANY: u64 = 24;

fn tokens(world: &World) -> Vec<Token> {
    let token = |number| {
        let cast::Site { name, kind, size } = cast::site(1, number);
        world.token_for(&name, &[("kind", kind), ("size", size)], 8)
    };
    (0..3).map(token).collect()
}

fn grown(world: &World) -> Swarm {
    let conduct = Conduct { takes: Duration::ZERO, says: Some("hi\n".to_owned()), ..Conduct::default() };
    let mut swarm = Swarm::new(Plan { conduct, ..Plan::new(tokens(world)) }).unwrap();
    world.block_on(async { swarm.grow(MANY) });
    world.until_connected(MANY.try_into().unwrap());
    swarm
}

fn ids(swarm: &Swarm) -> Vec<DeviceId> {
    (0..MANY).map(|place| device_of(&swarm.machine(place)).unwrap()).collect()
}

fn get<T: serde::de::DeserializeOwned>(world: &World, rest: &str) -> T {
    world.block_on(world.http.get(&world.path(rest)))
}

fn reaches(count: &AtomicU64, number: u64) {
    until(&format!("{number} are counted"), || (count.load(Relaxed) == number).then_some(()));
}

#[test]
fn each_machine_is_a_device_of_its_own_and_says_something_else_of_itself() {
    let world = World::new(0);
    let swarm = grown(&world);
    let page: Page<DeviceView> = get(&world, "devices?limit=100");
    let distinct = |of: fn(&DeviceView) -> &String| page.items.iter().map(of).collect::<BTreeSet<_>>().len();
    assert_eq!(distinct(|device| &device.device), ids(&swarm).len());
    assert_eq!(distinct(|device| &device.hostname), ids(&swarm).len());
    assert!(distinct(|device| &device.system) > 15, "{:?}", page.items);
    for device in &page.items {
        let stands = (0..3).any(|number| device.hostname.starts_with(&cast::site(1, number).name));
        assert!(stands, "{device:?}");
        assert!(device.facts.is_empty() && !device.stopped, "{device:?}");
    }
}

#[test]
fn each_machine_judges_a_job_runs_it_once_and_signs_two_receipts() {
    let world = World::new(0);
    let swarm = grown(&world);
    let devices = ids(&swarm);
    let job = world.order(&world.job(&devices, &["echo hi"]), &devices);
    reaches(&swarm.counts().acknowledged, 2 * MANY);
    reaches(&swarm.counts().ran, MANY);
    let view: JobView = get(&world, &format!("jobs/{job}"));
    assert_eq!(view.devices.len(), devices.len());
    for row in view.devices {
        let device: DeviceId = row.device.parse().unwrap();
        let place = devices.iter().position(|id| *id == device).unwrap();
        let key = key_of(&swarm, place);
        let note: Note = row.receipt.unwrap().parse().unwrap();
        assert!(note.signed_by(&key), "{note}");
        let receipt: Receipt = note.text().parse().unwrap();
        assert_eq!((receipt.device, receipt.job, row.verdict.as_str()), (device, Some(job), "ended"));
        assert_eq!(receipt.output, Some(Sha256::of(b"hi\n")));
        assert!(receipt.previous.is_some(), "the one that accepted stands before it");
        assert!(world.output(&job, &device).contains("hi"));
    }
    assert_eq!(swarm.counts().failed.load(Relaxed), 0, "{:?}", swarm.take_failure());
}

fn key_of(swarm: &Swarm, place: usize) -> countersign_trust::note::VerifierKey {
    let machine = swarm.machine(place.try_into().unwrap());
    let signer = countersign_agent::enroll::device_signer(&machine.seed).unwrap();
    device_key(*signer.verifier().raw()).unwrap()
}

#[test]
fn a_halt_at_the_beacons_makes_every_machine_refuse() {
    let world = World::new(0);
    let swarm = grown(&world);
    let devices = ids(&swarm);
    world.halt_at_beacons();
    let job = world.order(&world.job(&devices, &["echo hi"]), &devices);
    until("all have refused", || {
        let view: JobView = get(&world, &format!("jobs/{job}"));
        let refused = |row: &countersign_wire::http::JobDevice| {
            row.verdict == "refused" && row.because.starts_with("halted: ")
        };
        view.devices.iter().all(refused).then_some(())
    });
    assert_eq!(swarm.counts().ran.load(Relaxed), 0);
}

#[test]
fn machines_go_when_they_are_not_wanted_and_come_back_as_the_same_ones() {
    let world = World::new(0);
    let swarm = grown(&world);
    swarm.want(5);
    world.until_connected(5);
    reaches(&swarm.counts().connected, 5);
    swarm.want(u64::MAX);
    world.until_connected(MANY.try_into().unwrap());
    assert_eq!(swarm.counts().joined.load(Relaxed), MANY, "nobody joins twice");
    let view: OrgView = world.block_on(world.http.get(&format!("/v1/orgs/{}", world.org)));
    assert_eq!((view.devices, view.connected), (MANY, MANY));
    let page: Page<DeviceView> = get(&world, "devices?limit=100");
    assert!(page.items.iter().all(|device| !device.stopped && device.facts.is_empty()), "{:?}", page.items);
}
