//! The server's process is stopped, as by a thief who looks around in it. Somebody halts everything at the beacons. What the server had
//! queued by then is refused when it goes on.

use countersign_drills::part::{Stage, now, signal, until};
use countersign_drills::world::World;
use countersign_trust::receipt::Verdict;
use countersign_trust::statement::resume::Lifts;
use countersign_wire::http::{Page, StatementView};

/// How long the job still waits for its time when the server is stopped, in seconds.
const EARLY: u64 = 4;

#[test]
fn what_a_frozen_server_had_queued_is_refused_when_it_goes_on() {
    let mut world = World::set_up(Stage::Programs, |_| ());
    world.join(2);
    let (queued, after) = (world.nonce(), world.nonce());
    // One machine is away, and for the other it is too early: the server keeps the job for both.
    world.machines[1].agent.stop();
    world.until_connected(1);
    let mut job = world.job(&world.all(), &[&queued.line()]);
    job.not_before = now().plus(EARLY);
    let due = job.not_before;
    let job = world.order(&job, &world.all());

    let server = world.server.pid().unwrap();
    signal(server, "STOP");
    assert!(now() < due, "this machine is too slow for this drill");
    let halt = world.halt_at_beacons();
    world.machines[1].agent.start();
    until("the job is due", || (now() > due.plus(1)).then_some(()));
    assert_eq!(queued.lines().len(), 0);

    signal(server, "CONT");
    for machine in &world.machines {
        let because = world.says(Verdict::Refused, &job, machine).because;
        assert!(because.as_str().starts_with("halted: "), "{}", because.as_str());
        assert!(because.as_str().contains(&halt.to_string()), "{}", because.as_str());
    }
    until("the server has heard of the halt from the beacons", || {
        let halts: Page<StatementView> = world.block_on(world.http.get(&world.path("statements?kind=halt")));
        halts.items.iter().any(|view| view.hash == halt.to_string()).then_some(())
    });

    let resume = world.resume(None, Lifts::Halts([halt].into()));
    world.log(&resume, &[]);
    let mut job = world.job(&world.all(), &[&after.line()]);
    job.resume = Some(resume.hash());
    let job = world.order(&job, &world.all());
    for machine in &world.machines {
        world.says(Verdict::Ended, &job, machine);
    }
    assert_eq!((queued.lines().len(), after.lines().len()), (0, 2));
}
