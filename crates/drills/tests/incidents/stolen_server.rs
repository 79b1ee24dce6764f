//! The server is stolen: its database, its keys, its certificate, its port. The thief may ask the honest beacons and
//! witnesses, and has no person's key.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use countersign_drills::organization::sign;
use countersign_drills::part::until;
use countersign_drills::world::{Machine, World};
use countersign_thief::Thief;
use countersign_trust::ids::Sha256;
use countersign_trust::note::Note;
use countersign_trust::receipt::{Receipt, Verdict};

/// What the thief's scripts would make.
const LOOT_MARK: &str = "/tmp/countersign-thief-was-here";

#[test]
fn every_machine_refuses_whatever_the_thief_of_the_server_tries() {
    assert!(!Path::new(LOOT_MARK).exists(), "{LOOT_MARK} is there before the drill");
    let mut world = World::new(3);
    let (ran, waits) = (world.nonce(), world.nonce());
    let done = world.order(&world.job(&world.all(), &[&ran.line()]), &world.all());
    for machine in &world.machines {
        world.says(Verdict::Ended, &done, machine);
    }
    world.post(&sign(&world.job(&world.all(), &[&waits.line()]), &["anna"]), &world.all()).unwrap();

    world.server.stop();
    let (loot, letters) = (world.folder.path().join("loot"), world.folder.path().join("letters"));
    fs::create_dir(&loot).unwrap();
    // SQLite's threads close the file by themselves, and take what stands beside it away at the end.
    let beside = world.server.folder.join("countersign.db-wal");
    until("the database is closed", || (!beside.exists()).then_some(()));
    for entry in fs::read_dir(&world.server.folder).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), loot.join(entry.file_name())).unwrap();
    }
    let prepared = Thief::prepare(loot, letters.clone(), world.server.address);
    let thief = world.block_on(prepared).unwrap();
    let attempts: BTreeMap<String, &str> = thief.attempts().into_iter().collect();
    assert_eq!(attempts.len(), 4, "{attempts:?}");
    let work = world.spawn(async move { thief.work().await.unwrap() });

    until("every machine has answered every attempt", || {
        (refusals(&letters, &world.machines).len() == 3 * attempts.len()).then_some(())
    });
    work.abort();
    let mut counts: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for ((job, _), because) in refusals(&letters, &world.machines) {
        *counts.entry((attempts[&job.to_string()], because)).or_default() += 1;
    }
    let told: Vec<(&str, usize)> = counts.iter().map(|((what, _), count)| (*what, *count)).collect();
    let expected = [
        ("a job of its own, signed with the server's key", 3),
        ("a job that people signed, once more", 3),
        ("a job that people signed, with another script", 3),
        ("a job that waits for its approval", 3),
    ];
    assert_eq!(told, expected, "{counts:#?}");
    for (what, because) in counts.keys() {
        assert!(because.contains(reason(what)), "{what}: {because}");
    }
    assert!(!Path::new(LOOT_MARK).exists(), "the thief ran something");
    assert_eq!((ran.lines().len(), waits.lines().len()), (3, 0));
}

/// The rule that each attempt must break on.
fn reason(what: &str) -> &'static str {
    match what {
        "a job that people signed, once more" => "was accepted before",
        "a job that waits for its approval" => "approval",
        _ => "sign",
    }
}

/// What the machines' own receipts say, by job and machine.
fn refusals(letters: &Path, machines: &[Machine]) -> BTreeMap<(Sha256, String), String> {
    let mut refusals = BTreeMap::new();
    for file in fs::read_dir(letters).unwrap() {
        // A letter may be half written: it is read again.
        let Ok(note) = fs::read_to_string(file.unwrap().path()).unwrap().parse::<Note>() else { continue };
        let receipt: Receipt = note.text().parse().unwrap();
        let machine = machines.iter().find(|machine| machine.id == receipt.device).unwrap();
        assert!(note.signed_by(&machine.key));
        if let (Verdict::Refused, Some(job)) = (receipt.verdict, receipt.job) {
            refusals.insert((job, machine.id.to_string()), receipt.because.as_str().to_owned());
        }
    }
    refusals
}
