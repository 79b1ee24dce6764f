//! Nobody is at a desk: files that nobody should touch are encrypted, and a job fails in its first wave. The server halts by itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use countersign_drills::organization::word;
use countersign_drills::part::{Stage, until};
use countersign_drills::world::World;
use countersign_trust::canary::{CanaryNote, Sight};
use countersign_trust::chain::Halter;
use countersign_trust::ids::Sha256;
use countersign_trust::note::Note;
use countersign_trust::receipt::Verdict;
use countersign_trust::statement::job::{Wave, Who};
use countersign_trust::statement::policy::{Canary, Then, Tripwire, Watched};
use countersign_trust::statement::write;
use countersign_wire::http::{Page, TouchView};

fn touches(world: &World) -> Vec<TouchView> {
    world.block_on(world.http.get::<Page<TouchView>>(&world.path("tripwires"))).items
}

/// The halt that the server made of what touched it, once a machine has it on its own disk.
fn halted(world: &World, touch: &TouchView) -> Sha256 {
    let hash: Sha256 = touch.halt.as_ref().unwrap_or_else(|| panic!("{touch:?}")).parse().unwrap();
    for machine in &world.machines {
        until("the machine holds the halt", || {
            let ledger = countersign_agent::disk::ledger::read_ledger(&machine.agent.folder).unwrap();
            let halt = ledger.chain().unwrap().active_halts().find(|halt| halt.hash == hash).cloned()?;
            assert!(halt.by.iter().any(|by| *by == Halter::Machine(word("server"))), "{}", halt.by);
            Some(())
        });
    }
    hash
}

/// All machines of this drill stand on this one, so that one file is the canary of both.
#[test]
fn canaries_that_are_touched_halt_everything_by_night_and_what_shows_it_is_signed_by_the_devices() {
    let folder = tempfile::tempdir().unwrap();
    let bait: PathBuf = folder.path().canonicalize().unwrap().join("AAA invoices 2026.xlsx");
    let paths: BTreeSet<_> = [word(bait.to_str().unwrap())].into();
    let canary = |count, then| Tripwire {
        what: Watched::Canary(Canary { paths: paths.clone() }),
        count,
        within: 60,
        then,
    };
    let mut world = World::set_up_with(
        Stage::Threads,
        |_| (),
        |policy| {
            policy.tripwires = vec![canary(2, Then::Halt), canary(3, Then::Tell)];
        },
    );
    world.join(2);
    // People plant it by a job, like anything else that is done to a machine: no agent writes one.
    let line = format!("test -e '{0}' || echo 'salaries of everybody' > '{0}'", bait.display());
    let planted = world.order(&world.job(&world.all(), &[&line]), &world.all());
    for machine in &world.machines {
        world.says(Verdict::Ended, &planted, machine);
        until("it is seen", || {
            let seen = countersign_agent::disk::canaries::read_canaries(&machine.agent.folder).unwrap()?;
            seen.seen.values().any(|seen| matches!(seen.sight, Sight::File { .. })).then_some(())
        });
    }
    assert_eq!(touches(&world), [], "planting one is no touch");

    fs::write(&bait, "\u{fffd}\u{fffd} all your files are encrypted").unwrap();
    let touch = until("the tripwire is touched", || touches(&world).into_iter().next());
    assert_eq!(touch.count, 2);
    let hash = halted(&world, &touch);
    for note in touch.evidence.iter().map(|note| note.parse::<Note>().unwrap()) {
        let read: CanaryNote = note.text().parse().unwrap();
        let machine = world.machines.iter().find(|machine| machine.id == read.device).unwrap();
        assert!(note.signed_by(&machine.key) && read.is_touch(), "{note}");
    }
    let nonce = world.nonce();
    let next = world.order(&world.job(&world.all(), &[&nonce.line()]), &world.all());
    for machine in &world.machines {
        let because = world.says(Verdict::Refused, &next, machine).because;
        assert!(because.as_str().contains(&hash.to_string()), "{}", because.as_str());
    }
    assert_eq!((nonce.lines().len(), touches(&world).len()), (0, 1));
}

#[test]
fn a_job_that_fails_in_its_first_wave_is_halted_before_the_second() {
    let world = World::new(4);
    let (first, nonce) = (world.nonce(), world.nonce());
    let lines = [first.line(), "exit 1".to_owned(), nonce.line()];
    let mut job = world.job(&world.all(), &lines.each_ref().map(String::as_str));
    job.waves = vec![Wave { who: Who::Share(5_000), soak: 0 }, Wave { who: Who::Share(10_000), soak: 5 }];
    job.halt_above = 1_000;
    let no_labels = Default::default();
    let wave = |job: &countersign_trust::statement::job::Job, id| job.wave_of(&write(job).1, id, &no_labels);
    while world.machines.iter().filter(|machine| wave(&job, &machine.id) == 0).count() != 2 {
        job.id = world.job(&world.all(), &["true"]).id;
    }
    let hash = world.order(&job, &world.all());
    let touch = until("too much has failed", || touches(&world).into_iter().next());
    assert_eq!(touch.tripwire, format!("job {hash}"));
    let halt = halted(&world, &touch);
    for machine in world.machines.iter().filter(|machine| wave(&job, &machine.id) == 1) {
        let because = world.says(Verdict::Refused, &hash, machine).because;
        assert!(because.as_str().contains(&halt.to_string()), "{}", because.as_str());
    }
    let ran = first.lines().len();
    assert!((1..=2).contains(&ran), "{ran} machines ran it, of two in the first wave");
    assert_eq!(nonce.lines().len(), 0);
    // Another job goes on: this one was halted, and nothing else.
    let other = world.order(&world.job(&world.all(), &[&nonce.line()]), &world.all());
    for machine in &world.machines {
        world.says(Verdict::Ended, &other, machine);
    }
    assert_eq!((nonce.lines().len(), touches(&world).len()), (4, 1));
}
