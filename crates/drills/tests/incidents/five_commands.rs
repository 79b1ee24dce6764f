//! No incident: one person, one machine, and the five commands that the README shows, as it shows them.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use countersign_drills::part::programs;

/// The lines between the fences after the README's marker.
fn commands_of_the_readme() -> Vec<String> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")).unwrap();
    let (_, after) =
        readme.split_once("<!-- five commands, run by a drill -->\n```sh\n").expect("the README's marker");
    let (block, _) = after.split_once("\n```").unwrap();
    block.replace(" \\\n", " ").lines().map(str::to_owned).collect()
}

/// Ends whatever was started from the home folder, by the folder in its command line or its parent in this test.
struct Home(tempfile::TempDir);

impl Drop for Home {
    fn drop(&mut self) {
        let home = self.0.path().to_str().unwrap().to_owned();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&home) {
                let pid = entry.file_name().into_string().unwrap();
                let _ = Command::new("kill").arg(pid).stderr(Stdio::null()).status();
            }
        }
    }
}

#[test]
fn five_commands_take_one_person_from_installed_programs_to_a_job_that_ran() {
    let programs = programs();
    let home = Home(tempfile::tempdir().unwrap());
    fs::create_dir(home.0.path().join(".ssh")).unwrap();
    let key = home.0.path().join(".ssh/id_ed25519");
    assert!(
        Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key)
            .status()
            .unwrap()
            .success()
    );
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let lines = commands_of_the_readme();
    assert!(lines.len() <= 5, "{} commands", lines.len());
    let mut said = String::new();
    for line in lines {
        // Another port than the reader's, and yes to every question a terminal would be asked.
        let line = line
            .replace("127.0.0.1:8443", &address.to_string())
            .replace("countersign-server run", &format!("countersign-server run --listen {address}"));
        let script = format!("exec 2>&1\ncountersign() {{ command countersign --yes \"$@\"; }}\n{line}");
        let output = Command::new("sh")
            .args(["-ec", &script])
            .env_clear()
            .env("HOME", home.0.path())
            .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
            .stdin(Stdio::null())
            .stdout(if line.ends_with('&') { Stdio::null() } else { Stdio::piped() })
            .stderr(if line.ends_with('&') { Stdio::null() } else { Stdio::inherit() })
            .output()
            .unwrap();
        assert!(output.status.success(), "{line}");
        said = String::from_utf8_lossy(&output.stdout).into_owned();
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "no server at {address}");
            std::thread::yield_now();
        }
    }
    let uname = Command::new("uname").arg("-sr").output().unwrap();
    let expected = String::from_utf8_lossy(&uname.stdout).trim().to_owned();
    assert!(said.contains(&expected), "`{expected}` is not in\n{said}");
    assert!(said.contains("1 ended well") && said.contains("(verified"), "{said}");
    let drafts = home.0.path().join(".config/countersign/drafts");
    assert_eq!(fs::read_dir(drafts).unwrap().count(), 0, "a draft with the setup token was left");
}
