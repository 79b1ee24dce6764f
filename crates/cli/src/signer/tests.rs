//! Against the real ssh-agent, ssh-add and ssh-keygen.

use std::process::Child;
use std::time::{Duration, Instant};

use super::*;

struct Agent {
    child: Child,
    socket: PathBuf,
}

impl Agent {
    fn start(folder: &Path) -> Self {
        let socket = folder.join("agent");
        let child =
            Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while os_connects(&socket).is_err() {
            assert!(Instant::now() < deadline, "ssh-agent does not come up");
            std::thread::yield_now();
        }
        Self { child, socket }
    }

    fn add(&self, key: &Path) {
        let added =
            Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &self.socket).status().unwrap();
        assert!(added.success());
    }
}

fn os_connects(socket: &Path) -> std::io::Result<()> {
    crate::os::connect_agent(socket).map(|_| ())
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn make_key(folder: &Path, kind: &str) -> PathBuf {
    let path = folder.join(format!("id_{kind}"));
    let bits = if kind == "rsa" { "3072" } else { "256" };
    let made = Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-t", kind, "-b", bits, "-f"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    path
}

#[test]
fn a_key_in_the_agent_signs_there_even_when_its_private_file_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent::start(folder.path());
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let path = make_key(folder.path(), kind);
        agent.add(&path);
        std::fs::remove_file(&path).unwrap();
        let wish = format!("{}.pub", path.display());
        let signer = Signer::find(&wish, Some(agent.socket.clone())).unwrap();
        let signature = signer.sign(Kind::Job, "{\n}\n").unwrap();
        assert_eq!(signature.namespace(), "job.v1@countersign");
        let by_print = Signer::find(&signer.public_key().fingerprint(), Some(agent.socket.clone())).unwrap();
        assert_eq!(by_print.public_key(), signer.public_key());
    }
}

#[test]
fn a_key_file_signs_through_ssh_keygen_whichever_half_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let path = make_key(folder.path(), kind);
        for wish in [format!("{}", path.display()), format!("{}.pub", path.display())] {
            let signer = Signer::find(&wish, None).unwrap();
            assert!(signer.sign(Kind::Policy, "{\n}\n").is_ok(), "{kind} {wish}");
        }
    }
}

#[test]
fn a_key_that_is_nowhere_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = make_key(folder.path(), "ed25519");
    std::fs::remove_file(&path).unwrap();
    let error = Signer::find(&path.display().to_string(), None).unwrap_err().to_string();
    assert!(error.contains("neither in the ssh-agent nor in a file") && error.contains("ssh-add"), "{error}");
    let error = Signer::find("SHA256:x", None).unwrap_err().to_string();
    assert!(error.contains("SSH_AUTH_SOCK is not set"), "{error}");
}
