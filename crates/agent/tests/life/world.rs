//! A till of an organization on this machine, its server and its beacons.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};

use countersign_agent::config::Config;
use countersign_agent::disk::Folder;
use countersign_agent::disk::ledger::read_ledger;
use countersign_agent::drive::DriveError;
use countersign_agent::os::OsConfig;
use countersign_agent::os::linux::Roots;
use countersign_trust::delivery::Delivery;
use countersign_trust::ids::Sha256;
use countersign_trust::ledger::{Ledger, Record};
use countersign_trust::statement::job::{Job, Step};
use countersign_trust::statement::policy::Policy;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::organization::{BEACONS, Enrollment, Organization, TILLS, script, word};
use crate::server::{Beacons, PATIENCE, Server};

/// The till in question.
pub const TILL: &str = TILLS[0];

pub struct World {
    org: Arc<Mutex<Option<Organization>>>,
    pub enrollment: Enrollment,
    pub server: Server,
    pub beacons: Beacons,
    temporary: tempfile::TempDir,
    /// Where the agent keeps its things.
    pub data: PathBuf,
}

/// An agent in this process.
pub struct Agent {
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), DriveError>>,
}

impl World {
    /// A till that is enrolled, in a folder of its own.
    pub async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// The same, with another genesis policy.
    pub async fn with(edit: impl FnOnce(&mut Policy)) -> Self {
        let server = Server::listen().await;
        let org = Arc::new(Mutex::new(None));
        let beacons = Beacons::listen(org.clone()).await;
        let mut founded = Organization::found_with(|policy| {
            policy.addresses.servers = [(word(&server.address), Some(server.pin))].into();
            let address =
                |name: &&str| (word(name), word(&format!("https://127.0.0.1:{}/{name}", beacons.port)));
            policy.addresses.beacons = BEACONS.iter().map(address).collect();
            edit(policy);
        });
        let enrollment = founded.enroll(TILL);
        *org.lock().unwrap() = Some(founded);
        let temporary = tempfile::tempdir().unwrap();
        let data = temporary.path().join("data");
        let world = Self { org, enrollment, server, beacons, temporary, data };
        world.write_folder();
        world
    }

    /// Puts the till's key and its first records into `data`.
    pub fn write_folder(&self) {
        std::fs::create_dir_all(&self.data).unwrap();
        std::fs::write(self.data.join("device-key"), Sha256::of(TILL.as_bytes()).0).unwrap();
        Folder::open(&self.data).unwrap().begin_ledger(&self.records()).unwrap();
    }

    pub fn records(&self) -> Vec<Record> {
        self.org().as_ref().unwrap().records(&self.enrollment)
    }

    fn org(&self) -> MutexGuard<'_, Option<Organization>> {
        self.org.lock().unwrap()
    }

    /// Does something with the organization.
    pub fn organization<T>(&self, what: impl FnOnce(&mut Organization) -> T) -> T {
        what(self.org().as_mut().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.temporary.path().join(name)
    }

    /// A job of these lines for a shell, run by whoever runs the tests.
    pub fn job(&self, lines: &[&str]) -> Job {
        let mut job = self.organization(Organization::job);
        job.steps = vec![shell(lines)];
        job
    }

    /// Signed, logged, and with fresh Clears for `challenge`.
    pub fn delivery(&self, job: &Job, challenge: [u8; 32]) -> Delivery {
        self.organization(|org| {
            let mut delivery = org.deliver(job, &["anna", "bo"], TILL);
            delivery.clears = org.three_clears(challenge);
            delivery
        })
    }

    /// Starts the agent in this process.
    pub fn start(&self) -> Agent {
        let _ = tracing_subscriber::fmt().with_test_writer().try_init();
        let (stop, stopped) = oneshot::channel::<()>();
        let config = Config { data: self.data.clone(), ..Config::default() };
        let shutdown = async {
            let _ = stopped.await;
        };
        let running = tokio::spawn(async move { countersign_agent::run(&config, shutdown).await });
        Agent { stop, running }
    }

    /// Starts the program.
    pub fn start_program(&self) -> Program {
        let mut command = self.program(&["run"]);
        Program(command.stderr(Stdio::inherit()).spawn().unwrap())
    }

    /// The program with these arguments.
    pub fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign-agent"));
        command.arg("--data").arg(&self.data).args(arguments);
        command
    }

    /// What the disk holds.
    pub fn ledger(&self) -> Ledger {
        read_ledger(&self.data).unwrap()
    }
}

impl Agent {
    pub async fn stop(self) {
        let _ = self.stop.send(());
        timeout(PATIENCE, self.running).await.expect("it stops in time").unwrap().unwrap();
    }
}

impl Drop for World {
    /// Takes away the control groups of an agent that worked here, once nothing is in them.
    fn drop(&mut self) {
        let Ok(place) = self.data.canonicalize() else { return };
        let realm =
            format!("countersign-{}", &Sha256::of(place.as_os_str().as_encoded_bytes()).to_string()[..12]);
        countersign_agent::os::sweep(&OsConfig::detect_for(&realm));
        let Roots { unified, v1 } = Roots::detect();
        for root in unified.into_iter().chain(v1.into_iter().map(|(_, root)| root)) {
            let _ = std::fs::remove_dir(root.join(&realm));
        }
    }
}

/// The agent as a program of its own; killed when it is dropped.
pub struct Program(pub Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A step that gives these lines to a shell, as whoever runs the tests.
pub fn shell(lines: &[&str]) -> Step {
    let Step::Script(mut script) = script(lines) else { panic!("no script") };
    let output = Command::new("id").arg("-un").output().unwrap();
    script.user = word(str::from_utf8(&output.stdout).unwrap().trim());
    Step::Script(script)
}

/// Waits until `seen` gives something.
pub async fn until<T>(what: &str, mut seen: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = seen() {
            return seen;
        }
        assert!(Instant::now() < deadline, "{what}: not in time");
        sleep(std::time::Duration::from_millis(10)).await;
    }
}
