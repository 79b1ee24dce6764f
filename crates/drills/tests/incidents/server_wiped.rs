//! The server's folder is gone: its records, its log, its keys. What happened is put together again from what machines kept, beacons
//! hold and witnesses cosigned, and judged by the auditor's program; what nobody can show is named.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use countersign_agent::evidence;
use countersign_drills::part::{Stage, programs, until};
use countersign_drills::world::World;
use countersign_trust::receipt::Verdict;

/// Whether every receipt that a machine signed is shown in the log by what it kept.
fn all_are_logged(folder: &Path) -> bool {
    let receipts = fs::read_dir(folder.join("device/receipts")).into_iter().flatten().flatten();
    let mut notes =
        receipts.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "note"));
    notes.all(|note| note.with_extension("place").exists())
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn what_happened_is_proved_without_the_server_and_what_nobody_can_show_is_named() {
    let mut world = World::set_up(Stage::Threads, |server| server.stage = Stage::Programs);
    world.join(3);
    let (ran, stopped) = (world.nonce(), world.nonce());
    let done = world.order(&world.job(&world.all(), &[&ran.line()]), &world.all());
    for machine in &world.machines {
        world.says(Verdict::Ended, &done, machine);
    }
    let halt = world.halt_at_beacons();
    let refused = world.order(&world.job(&world.all(), &[&stopped.line()]), &world.all());
    for machine in &world.machines {
        world.says(Verdict::Refused, &refused, machine);
    }

    // Two of three machines are visited, with a stick; the third is not.
    let stick = world.folder.path().join("stick");
    until("two machines hold what stands in the log", || {
        let _absent = fs::remove_dir_all(&stick);
        let visited = world.machines.iter().take(2);
        let mut written = visited.map(|machine| evidence::write(&machine.agent.folder, &stick).unwrap());
        written.all(|one| one.jobs == 2 && all_are_logged(&one.folder)).then_some(())
    });
    world.server.kill();
    fs::remove_dir_all(&world.server.folder).unwrap();

    let profile = world.folder.path().join("home/orgs/drill");
    fs::create_dir_all(&profile).unwrap();
    let (org, server) = (world.org, world.server.address);
    let told = format!(
        "server = \"https://{server}\"\npin = \"\"\norg = \"{org}\"\nme = \"anna\"\nkey = \"none\"\n"
    );
    fs::write(profile.join("profile.toml"), told).unwrap();
    let rebuilt = world.folder.path().join("rebuilt");
    let made = Command::new(programs().join("countersign"))
        .env("COUNTERSIGN_HOME", world.folder.path().join("home"))
        .args(["evidence", "rebuild", "--agents"])
        .arg(&stick)
        .arg("--to")
        .arg(&rebuilt)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made));

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let audit = |command: &str, folder: &Path| {
        let mut python = Command::new(root.join("target/venv/bin/python3"));
        python.arg(root.join("audit/audit.py")).arg(command).arg(folder).output().unwrap()
    };
    let bundles = audit("bundle", &stick);
    assert!(text(&bundles).contains("4 of 4 bundles hold"), "{}", text(&bundles));
    let judged = audit("span", &rebuilt);
    let said = text(&judged);
    assert_eq!(judged.status.code(), Some(3), "{said}");
    assert!(said.contains("holds as far as it goes"), "{said}");
    let page = fs::read_to_string(rebuilt.join("timeline.txt")).unwrap();
    let digits = |hash: &dyn ToString| hash.to_string().chars().take(12).collect::<String>();
    for (what, told) in [
        ("who asked and approved", format!("job {}, signed by anna, bo, asked for by anna", digits(&done))),
        ("who stopped it", format!("halt {}, signed by bo, called by bo", digits(&halt))),
        ("that it ran", format!("ended job {}", digits(&done))),
        ("that it was refused", format!("refused job {}", digits(&refused))),
    ] {
        assert!(page.contains(&told), "{what}: {told}\n{page}");
    }
    // The third machine was not visited: nobody can show its join, nor what it said.
    let third: String = world.machines.last().unwrap().id.to_string().chars().take(16).collect();
    assert!(said.contains("MISSING: leaves 0:"), "{said}");
    assert!(!page.contains(&third), "{page}");
    assert_eq!((ran.lines().len(), stopped.lines().len()), (3, 0));
}
