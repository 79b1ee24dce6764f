//! The world itself: with everybody honest a job runs once on each machine, and the same seed gives the same story.

use countersign_drills::rehearsal::World;
use countersign_trust::receipt::Verdict;

#[test]
fn with_everybody_honest_a_job_runs_once_on_each_machine() {
    let mut world = World::new(3);
    let job = world.ordinary(&[0, 1, 2], "the restart");
    world.pass(400);
    for machine in 0..3 {
        assert_eq!(world.started(machine, &job).len(), 1, "{}", world.story);
        assert_eq!(world.said(machine, &job), Some((Verdict::Ended, "exit 0".to_owned())));
        assert_eq!(world.machines[machine].device().ledger().spooled(), 0, "all receipts are acknowledged");
    }
}

#[test]
fn the_same_seed_gives_the_same_story() {
    let play = || {
        let mut world = World::new(2);
        world.ordinary(&[0, 1], "the restart");
        world.pass(100);
        world.story.to_string()
    };
    assert_eq!(play(), play());
    assert!(play().contains("12:00:00  till-01 runs step 1 of the restart"), "{}", play());
}
