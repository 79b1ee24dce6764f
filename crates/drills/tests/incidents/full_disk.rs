//! The server's disk is full. It says so, loses nothing, and goes on once there is room.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign_drills::organization::sign;
use countersign_drills::part::Stage;
use countersign_drills::unrehearsed::not_rehearsed;
use countersign_drills::world::{World, me};
use countersign_trust::receipt::Verdict;

/// A small disk of the drill's own; only root may make one.
struct Disk(PathBuf);

impl Disk {
    fn new(place: &Path) -> Self {
        fs::create_dir_all(place).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs"])
            .arg(place)
            .status();
        assert!(mounted.unwrap().success(), "root can mount a disk in memory");
        Self(place.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ended = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_with_a_sentence_loses_nothing_and_goes_on() {
    if me() != "root" {
        return not_rehearsed("only root can make a disk to fill");
    }
    let mut disk = None;
    let mut world = World::set_up(Stage::Threads, |server| disk = Some(Disk::new(&server.folder)));
    world.join(1);
    let before = world.order(&world.job(&world.all(), &["echo before"]), &world.all());
    world.says(Verdict::Ended, &before, &world.machines[0]);

    let ballast = fill(&world.server.folder);
    let mut taken = Vec::new();
    let problem = loop {
        let job = world.job(&world.all(), &["echo full"]);
        let signed = sign(&job, &["anna"]);
        match world.post(&signed, &world.all()) {
            Ok(view) => taken.push(view.hash),
            Err(problem) => break problem,
        }
        assert!(taken.len() < 200, "the disk never got full");
    };
    assert_eq!(problem.status, 507, "{problem:?}");
    let said = "the server's disk is full: nothing was changed; free some space and try again";
    assert_eq!(problem.detail, said);

    fs::remove_file(ballast).unwrap();
    let after = world.order(&world.job(&world.all(), &["echo after"]), &world.all());
    world.says(Verdict::Ended, &after, &world.machines[0]);
    world.server.stop();
    world.server.start();
    world.until_connected(1);
    for hash in taken {
        assert_eq!(world.statement(&hash.parse().unwrap()).state, "waiting", "what it took is there");
    }
    for job in [before, after] {
        world.says(Verdict::Ended, &job, &world.machines[0]);
    }
    let last = world.order(&world.job(&world.all(), &["echo last"]), &world.all());
    world.says(Verdict::Ended, &last, &world.machines[0]);
    world.server.stop();
    drop(disk);
}

/// Writes until nothing more goes in.
fn fill(folder: &Path) -> PathBuf {
    let path = folder.join("ballast");
    let mut file = fs::File::create(&path).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    path
}
