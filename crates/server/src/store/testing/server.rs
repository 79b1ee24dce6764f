//! A PostgreSQL server for tests, from the machine's own package.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A PostgreSQL server of this test alone, in a folder that goes with it.
pub struct Postgres {
    folder: TempDir,
    programs: String,
    server: std::process::Child,
}

/// Who runs PostgreSQL: it refuses root.
const USER: [&str; 5] = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"];

impl Postgres {
    /// Starts one that listens on a Unix socket in its folder.
    pub fn start() -> Self {
        let programs = programs();
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::os::unix::fs::chown(folder.path(), Some(nobody()), None).unwrap();
        let made = as_user(&format!("{programs}/initdb"))
            .args([
                "--username=postgres",
                "--auth=trust",
                "--locale=C.UTF-8",
                "--encoding=UTF8",
                "--no-sync",
                "-D",
            ])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let server = as_user(&format!("{programs}/postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let postgres = Self { folder, programs, server };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !postgres.answers() {
            assert!(Instant::now() < deadline, "PostgreSQL does not answer");
            std::thread::yield_now();
        }
        postgres
    }

    fn answers(&self) -> bool {
        let ready = format!("{}/pg_isready", self.programs);
        Command::new(ready).arg("-q").arg("-h").arg(self.folder.path()).status().unwrap().success()
    }

    /// The URL of a new empty database.
    pub fn database(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let made = Command::new(format!("{}/createdb", self.programs))
            .args(["--username=postgres", "--template=template0", "--locale=C.UTF-8", "-h"])
            .arg(self.folder.path())
            .arg(&name)
            .status()
            .unwrap();
        assert!(made.success());
        let folder = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{folder}/{name}")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Its fast shutdown, which also ends the processes it has started.
        let _ = Command::new("kill").arg("-INT").arg(self.server.id().to_string()).status();
        let _ = self.server.wait();
    }
}

fn as_user(program: &str) -> Command {
    let [setpriv, arguments @ ..] = USER;
    let mut command = Command::new(setpriv);
    command.args(arguments).arg(program);
    command
}

fn nobody() -> u32 {
    let out = Command::new("id").args(["-u", "nobody"]).output().unwrap();
    String::from_utf8(out.stdout).unwrap().trim().parse().unwrap()
}

/// The folder of the newest PostgreSQL that is installed.
fn programs() -> String {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL: cargo xtask install");
    let mut versions: Vec<u32> =
        versions.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    versions.sort_unstable();
    format!("/usr/lib/postgresql/{}/bin", versions.last().expect("PostgreSQL: cargo xtask install"))
}
