//! A place to run scripts in: a realm and a folder of its own, and the three ways of confinement.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use countersign_agent::os::linux::{Controller, Roots};
use countersign_agent::os::{self, Limits, OsConfig};
use countersign_agent::run::script::{Body, Script, start};
use countersign_agent::run::{Ending, Event, Running, Stream};
use tokio::time::{Instant, sleep, timeout};

/// Longer than anything here may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How runs are confined; what this machine does not offer falls back to `Keeper`, as it does in earnest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Version1,
    Version2,
    Keeper,
}

impl Way {
    pub fn roots(self) -> Roots {
        let mount = Path::new("/sys/fs/cgroup");
        let v1 = [
            (Controller::Memory, mount.join("memory")),
            (Controller::Pids, mount.join("pids")),
            (Controller::Cpu, mount.join("cpu")),
            (Controller::Freezer, mount.join("freezer")),
        ];
        let has = |folder: &PathBuf| folder.join("cgroup.procs").is_file();
        match self {
            Self::Version1 => {
                Roots { unified: None, v1: v1.into_iter().filter(|(_, root)| has(root)).collect() }
            }
            Self::Version2 => Roots { unified: Roots::detect().unified, v1: Vec::new() },
            Self::Keeper => Roots::default(),
        }
    }
}

/// One test's world.
pub struct World {
    pub config: OsConfig,
    pub realm: String,
    pub folder: tempfile::TempDir,
    way: Way,
}

/// What came of a run.
pub struct Outcome {
    pub ending: Ending,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// Both, in order of arrival.
    pub all: Vec<u8>,
}

impl World {
    pub fn new(way: Way) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let realm = format!("countersign-test-{}-{number}", std::process::id());
        let folder = tempfile::tempdir().unwrap();
        // For programs that run as somebody else.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(folder.path(), open).unwrap();
        Self { config: OsConfig::at(&realm, &way.roots()), realm, folder, way }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A shell script run as the user who runs the tests, for at most ten seconds.
    pub fn script(&self, lines: &[&str]) -> Script {
        Script {
            body: Body::Lines {
                interpreter: "/bin/sh".to_owned(),
                arguments: Vec::new(),
                lines: lines.iter().map(|line| (*line).to_owned()).collect(),
            },
            user: me(),
            folder: self.folder.path().to_str().unwrap().to_owned(),
            environment: BTreeMap::new(),
            timeout_s: 10,
            output_cap: 1 << 20,
            limits: Limits::default(),
        }
    }

    pub fn start(&self, script: &Script) -> Running {
        start(script, "run-1", &self.config)
    }

    pub async fn run(&self, script: &Script) -> Outcome {
        outcome(self.start(script)).await
    }

    /// Everything alive that carries the realm's mark.
    pub fn alive(&self) -> Vec<PathBuf> {
        let mark = format!("{}={}/", os::RUN_MARK, self.realm);
        let marked = |folder: &PathBuf| {
            let environment = fs::read(folder.join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|value| value.starts_with(mark.as_bytes()))
        };
        let entries = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        entries.filter(marked).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        os::sweep(&self.config);
        let Roots { unified, v1 } = self.way.roots();
        for root in unified.into_iter().chain(v1.into_iter().map(|(_, root)| root)) {
            let _ = fs::remove_dir(root.join(&self.realm));
        }
    }
}

pub async fn outcome(mut running: Running) -> Outcome {
    let (mut stdout, mut stderr, mut all) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        match timeout(PATIENCE, running.events.recv()).await.expect("an event in time").expect("an ending") {
            Event::Output { stream, bytes } => {
                all.extend_from_slice(&bytes);
                match stream {
                    Stream::Stdout => stdout.extend(bytes),
                    Stream::Stderr => stderr.extend(bytes),
                }
            }
            Event::Ended(ending) => {
                assert_eq!(running.events.recv().await, None, "the ending is the last event");
                return Outcome { ending, stdout, stderr, all };
            }
        }
    }
}

/// Waits until `seen` gives something.
pub async fn until<T>(what: &str, mut seen: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = seen() {
            return seen;
        }
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// The user who runs the tests.
pub fn me() -> String {
    let id = std::process::Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(id.stdout).unwrap().trim().to_owned()
}
