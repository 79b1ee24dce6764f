//! Somebody halts everything while the server is in the wrong hands and tells nobody.

use std::path::Path;
use std::time::Duration;

use countersign_drills::part::until;
use countersign_drills::world::World;
use countersign_trust::receipt::Verdict;

#[test]
fn a_halt_that_only_beacons_have_kills_what_runs_and_nothing_starts_any_more() {
    let mut world = World::new(2);
    let (nonce, pids) = (world.nonce(), world.nonce());
    let pid = format!("echo $$ >> {}", pids.path().display());
    let running = world.order(&world.job(&world.all(), &[&pid, "sleep 500"]), &world.all());
    until("it runs on both", || (pids.lines().len() == 2).then_some(()));

    // The server withholds everything: the same as if it were not there.
    world.server.stop();
    let halt = world.halt_at_beacons();
    // A third of the lifetime later each machine asks the beacons by itself.
    world.pass(Duration::from_secs(61));
    until("both are killed", || {
        pids.lines().iter().all(|pid| !Path::new("/proc").join(pid).exists()).then_some(())
    });

    world.server.start();
    world.until_connected(2);
    for machine in &world.machines {
        let because = world.says(Verdict::Ended, &running, machine).because;
        assert!(because.as_str().contains(&halt.to_string()), "{}", because.as_str());
    }
    let next = world.order(&world.job(&world.all(), &[&nonce.line()]), &world.all());
    for machine in &world.machines {
        let because = world.says(Verdict::Refused, &next, machine).because;
        assert!(because.as_str().starts_with("halted: "), "{}", because.as_str());
        assert!(because.as_str().contains(&halt.to_string()), "{}", because.as_str());
    }
    assert_eq!(nonce.lines().len(), 0);
}
