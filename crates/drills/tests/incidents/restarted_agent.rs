//! An agent is cut off between taking up a job and its end, as by a power cut.

use countersign_drills::part::until;
use countersign_drills::world::World;
use countersign_trust::receipt::Verdict;

#[test]
fn a_job_that_was_cut_off_is_told_of_and_never_runs_again() {
    let mut world = World::new(1);
    let nonce = world.nonce();
    let job = world.order(&world.job(&world.all(), &[&nonce.line(), "sleep 500"]), &world.all());
    until("it runs", || (nonce.lines().len() == 1).then_some(()));

    world.machines[0].agent.kill();
    world.machines[0].agent.start();
    let receipt = world.says(Verdict::Interrupted, &job, &world.machines[0]);
    assert_eq!(receipt.step, 0);

    // The server lost its memory of what it brought, and brings all of it again.
    world.server.stop();
    world.server.start();
    let next = world.order(&world.job(&world.all(), &["true"]), &world.all());
    world.says(Verdict::Ended, &next, &world.machines[0]);
    assert_eq!(nonce.lines().len(), 1, "it ran once");
}
