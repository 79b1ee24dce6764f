//! The program, as people start it.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use countersign_drills::world::World;

/// The program while it runs; it ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

fn swarm() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign-swarm"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn it_fills_a_server_by_a_file_of_tokens_and_tells_how_it_goes() {
    let world = World::new(0);
    let mut lines = String::new();
    for site in ["lund-01", "umea-01"] {
        writeln!(lines, "{}", world.token_for(site, &[("kind", "till")], 6)).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    std::fs::write(&file, lines).unwrap();
    let mut command = swarm();
    command.arg("join").arg("--token-file").arg(&file).args(["--devices", "12"]);
    let mut running = Running(command.spawn().unwrap());
    world.until_connected(12);
    let said = BufReader::new(running.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let all = said.into_iter().find(|line| line.contains("12 connected")).unwrap();
    assert_eq!(
        all,
        "machines 0 to 12: 12 connected, 12 joined, 0 steps run, 0 receipts sent, 0 connections failed"
    );
}

#[test]
fn it_writes_down_how_tokens_are_made() {
    let output = swarm().args(["sites", "--sites", "3", "--devices", "100"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.lines().count(), 3);
    for line in said.lines() {
        assert!(line.starts_with("countersign enroll token --site "), "{line}");
        assert!(line.ends_with(" --count 34 --yes"), "{line}");
    }
}

#[test]
fn it_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let (none, empty) = (folder.path().join("none"), folder.path().join("empty"));
    std::fs::write(&empty, "\n").unwrap();
    for (file, why) in [(&none, "cannot be read"), (&empty, "holds no enrollment token")] {
        let mut command = swarm();
        command.arg("join").arg("--token-file").arg(file).args(["--devices", "1"]);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(why), "{said}");
    }
    let help = swarm().args(["join", "--help"]).output().unwrap();
    assert!(String::from_utf8(help.stdout).unwrap().contains("Example:"));
}
