//! Somebody has one person's key, and with it halts by the dozen: known and secret ones, old ones again, each machine its own. Nothing
//! ever runs by it. The people end it by one resume, and nobody visits a machine.

use countersign_agent::disk::leave_letter;
use countersign_drills::http::Http;
use countersign_drills::organization::{everything, sign, ssh_key};
use countersign_drills::part::{Stage, until};
use countersign_drills::world::World;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::Sha256;
use countersign_trust::receipt::Verdict;
use countersign_trust::statement::halt::Scope;
use countersign_trust::statement::resume::Lifts;

/// More than a Clear may name.
const FLOOD: usize = 66;

#[test]
fn who_has_one_halt_key_makes_nothing_run_and_one_resume_ends_it_without_a_visit() {
    let mut world = World::set_up(Stage::Programs, |_| ());
    world.join(3);
    let [asked, during, after, again] = [0; 4].map(|_| world.nonce());
    world.post(&sign(&world.job(&world.all(), &[&asked.line()]), &["anna"]), &world.all()).unwrap();
    // Long ago she halted for a reason, and it was lifted.
    let old = world.halt(everything(), "cia");
    world.post(&old, &[]).unwrap();
    let lifted = world.resume(None, Lifts::Halts([old.hash()].into()));
    world.log(&lifted, &[]);

    // A few, known to all; and to each machine one of its own, which nobody else has ever seen.
    let few: Vec<Signed> = (0..4_u8)
        .map(|number| world.halt(Scope::Script(Sha256([number; 32])), "cia"))
        .chain([world.halt(everything(), "cia"), old])
        .collect();
    bring(&world, &few);
    let secret: Vec<Signed> = world.machines.iter().map(|_| world.halt(everything(), "cia")).collect();
    leave(&world, &secret);
    let mut job = world.job(&world.all(), &[&during.line()]);
    job.resume = Some(lifted.hash());
    let job = world.order(&job, &world.all());
    for machine in &world.machines {
        let because = world.says(Verdict::Refused, &job, machine).because;
        assert!(
            because.as_str().starts_with("halted: the whole organization by cia"),
            "{}",
            because.as_str()
        );
    }
    // So many that no beacon says anything any more.
    let flood: Vec<Signed> = (0..FLOOD).map(|_| world.halt(everything(), "cia")).collect();
    bring(&world, &flood);
    let clear = |beacon: usize| {
        let http = Http { address: world.beacons[beacon].address, token: String::new() };
        let root = format!("{}\n", Sha256([5; 32]));
        world.block_on(http.ask("POST", &world.path("clear"), root))
    };
    let (status, said) = clear(0);
    assert!(status != 200 && said.contains("halts"), "{status}: {said}");

    let key = ssh_key("cia").public_key().clone();
    let resume = world.resume(Some(lifted.hash()), Lifts::Keys([key].into()));
    world.log(&resume, &[]);
    until("the beacons speak again", || (0..4).all(|beacon| clear(beacon).0 == 200).then_some(()));
    let order = |line: String| {
        let mut job = world.job(&world.all(), &[&line]);
        job.resume = Some(resume.hash());
        world.order(&job, &world.all())
    };
    let job = order(after.line());
    for machine in &world.machines {
        world.says(Verdict::Ended, &job, machine);
    }

    // All of it again, and new ones by the same key: none of them stops anything any more.
    let new: Vec<Signed> = world.machines.iter().map(|_| world.halt(everything(), "cia")).collect();
    bring(&world, &[few, flood, new.clone()].concat());
    leave(&world, &[secret, new].concat());
    let job = order(again.line());
    for machine in &world.machines {
        world.says(Verdict::Ended, &job, machine);
    }
    let ran = [&asked, &during, &after, &again].map(|nonce| nonce.lines().len());
    assert_eq!(ran, [0, 0, 3, 3]);
}

/// Brings halts to the server and to every beacon, whatever they answer.
fn bring(world: &World, halts: &[Signed]) {
    for halt in halts {
        let _refused = world.post(halt, &[]);
        for beacon in &world.beacons {
            let http = Http { address: beacon.address, token: String::new() };
            world.block_on(http.ask("POST", &world.path("halts"), halt.to_string()));
        }
    }
}

/// Brings halts to machines by hand, one after the other.
fn leave(world: &World, halts: &[Signed]) {
    for (halt, machine) in halts.iter().zip(world.machines.iter().cycle()) {
        leave_letter(&machine.agent.folder, &halt.to_string()).unwrap();
    }
}
