//! No incident: the one way in which something runs.

use std::process::Command;

use countersign_drills::organization::sign;
use countersign_drills::part::until;
use countersign_drills::world::World;
use countersign_trust::receipt::Verdict;

#[test]
fn nothing_runs_after_the_first_signature_and_everywhere_after_the_second() {
    let world = World::new(3);
    let nonce = world.nonce();
    let job = world.job(&world.all(), &[&nonce.line(), "echo the output of a drill"]);

    let asked = world.post(&sign(&job, &["anna"]), &world.all()).unwrap();
    assert_eq!(asked.state, "waiting");
    // Another job passes it by: what the devices were to be brought, they have been brought.
    let other = world.order(&world.job(&world.all(), &["true"]), &world.all());
    for machine in &world.machines {
        world.says(Verdict::Ended, &other, machine);
    }
    assert_eq!(nonce.lines().len(), 0, "{asked:?}");

    let hash = world.log(&sign(&job, &["bo"]), &world.all());
    let expected = sha256sum(&world, "the output of a drill\n");
    for machine in &world.machines {
        let receipt = world.says(Verdict::Ended, &hash, machine);
        assert_eq!(receipt.because.as_str(), "exit 0");
        assert_eq!(receipt.output.unwrap().to_string(), expected);
    }
    until("each has run once", || (nonce.lines().len() == 3).then_some(()));
}

/// As anybody would count it, with another's program.
fn sha256sum(world: &World, text: &str) -> String {
    let file = world.folder.path().join("output");
    std::fs::write(&file, text).unwrap();
    let said = Command::new("sha256sum").arg(file).output().unwrap().stdout;
    String::from_utf8(said).unwrap().split(' ').next().unwrap().to_owned()
}
