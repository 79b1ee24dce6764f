//! Four beacons, four witnesses, a server and agents on this machine, and people who type commands.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use countersign_agent::disk::Folder;
use countersign_agent::enroll::enroll;
use countersign_agent::os::BootReading;
use countersign_server::config::{Config, Database, Feed, Vendor};
use countersign_trust::key::PublicKey;
use countersign_trust::time::{Reading, Time};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// What a command did.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// The answer, of a command that must have ended well.
    pub fn well(self) -> String {
        assert_eq!(self.code, 0, "{}\n{}", self.out, self.err);
        self.out
    }

    /// The answer as JSON.
    pub fn json(self) -> serde_json::Value {
        let out = self.well();
        serde_json::from_str(out.trim()).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// What was said beside, of a command that must have ended with `code`.
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self.err
    }
}

struct Agent {
    thread: JoinHandle<()>,
    shutdown: oneshot::Sender<()>,
}

pub struct World {
    agents: Vec<Agent>,
    server: Option<countersign_server::Running>,
    beacons: Vec<countersign_beacon::serve::Running>,
    witnesses: Vec<countersign_witness::serve::Running>,
    vendor: Option<Vendor>,
    beacon_urls: Vec<String>,
    witness_urls: Vec<String>,
    address: SocketAddr,
    /// How many seconds the clocks of beacons, witnesses and agents are ahead.
    pub ahead: Arc<AtomicU64>,
    pub runtime: Runtime,
    pub folder: tempfile::TempDir,
}

/// A clock that is so many seconds ahead.
fn later(ahead: &Arc<AtomicU64>) -> impl Fn() -> Time + Send + Sync + 'static {
    let ahead = ahead.clone();
    move || {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        Time(seconds + ahead.load(Ordering::SeqCst))
    }
}

fn milliseconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

/// Any port of an address of this process, one for the server and one for the others: nobody else takes a port there that was free, or
/// that somebody will come back to.
fn any_port(whose: u8) -> SocketAddr {
    let [_, _, middle, low] = std::process::id().to_be_bytes();
    ([127, whose, middle, low.clamp(1, 254)], 0).into()
}

impl World {
    /// Beacons, witnesses and a server; no organization yet.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let any = any_port(2);
        let address = TcpListener::bind(any_port(3)).unwrap().local_addr().unwrap();
        let ahead = Arc::new(AtomicU64::new(0));
        let (mut beacons, mut witnesses) = (Vec::new(), Vec::new());
        for number in 1..=4 {
            let at = |kind: &str| {
                let name = format!("{kind}{number}");
                (folder.path().join(format!("{name}.toml")), folder.path().join(&name), name)
            };
            let (file, data, name) = at("beacon");
            let config = countersign_beacon::config::init(&file, &data, &name, any).unwrap();
            beacons.push(runtime.block_on(countersign_beacon::serve::start(&config, later(&ahead))).unwrap());
            let (file, data, name) = at("witness");
            let config = countersign_witness::config::init(&file, &data, &name, any).unwrap();
            witnesses
                .push(runtime.block_on(countersign_witness::serve::start(&config, later(&ahead))).unwrap());
        }
        let beacon_urls = beacons.iter().map(|beacon| format!("https://{}", beacon.address)).collect();
        let witness_urls = witnesses.iter().map(|witness| format!("https://{}", witness.address)).collect();
        let agents = Vec::new();
        let mut world = Self {
            agents,
            server: None,
            beacons,
            witnesses,
            vendor: None,
            beacon_urls,
            witness_urls,
            address,
            ahead,
            runtime,
            folder,
        };
        world.start_server();
        for person in ["anna", "bo"] {
            world.make_key(person);
        }
        world
    }

    /// An organization of anna and bo, both logged in.
    pub fn of_two() -> Self {
        let world = Self::new();
        let draft = world.path("genesis.txt");
        let people = ["--person", "anna=anna.pub", "--person", "bo=bo.pub", "--draft", &draft];
        world.init("anna", "Stores", &people).well();
        world.bo(&["approve", &draft]).well();
        world.anna(&["init", "--finish", &draft]).well();
        let status = world.anna(&["status", "--json"]).json();
        let token = world.anna(&["token", "create", "bo", "--json"]).json();
        std::fs::write(world.folder.path().join("bo.token"), token["token"].as_str().unwrap()).unwrap();
        let (server, org) = (world.server_url(), status["org"].as_str().unwrap().to_owned());
        world.bo(&["login", "--server", &server, "--org", &org, "--me", "bo", "--token", "bo.token"]).well();
        world
    }

    /// The server serves the feed in the folder `feed` from here on, and follows it itself.
    pub fn follow(&mut self, key: &str) {
        let feeds = vec![format!("{}/v1/feed", self.server_url())];
        let keys = [PublicKey::from_openssh(key.trim()).unwrap().0].into();
        self.vendor = Some(Vendor { keys, feeds, interval: 1.try_into().unwrap(), report: None });
        self.stop_server();
        self.start_server();
    }

    /// `countersign init` with all beacons and witnesses.
    pub fn init(&self, person: &str, name: &str, more: &[&str]) -> Said {
        let server = self.server_url();
        let mut words =
            vec!["init", "--name", name, "--server", &server, "--setup-token", "server/setup-token"];
        self.beacon_urls.iter().for_each(|url| words.extend(["--beacon", url]));
        self.witness_urls.iter().for_each(|url| words.extend(["--witness", url]));
        self.types(person, &[&words, more].concat())
    }

    pub fn make_key(&self, person: &str) {
        let path = self.folder.path().join(person);
        let made =
            Command::new("ssh-keygen").args(["-q", "-N", "", "-t", "ed25519", "-f"]).arg(path).status();
        assert!(made.unwrap().success());
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub fn server_url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub fn anna(&self, words: &[&str]) -> Said {
        self.types("anna", words)
    }

    pub fn bo(&self, words: &[&str]) -> Said {
        self.types("bo", words)
    }

    /// What `person` types, with the own key, and yes to every question.
    pub fn types(&self, person: &str, words: &[&str]) -> Said {
        let Output { status, stdout, stderr } =
            self.command(person).arg("--yes").args(words).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
    }

    pub fn command(&self, person: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.current_dir(&self.folder).env_remove("SSH_AUTH_SOCK");
        command.env("COUNTERSIGN_HOME", self.path(&format!("home-{person}"))).env("COUNTERSIGN_KEY", person);
        command
    }

    /// The only statement that waits for `person`.
    pub fn waiting(&self, person: &str) -> String {
        let inbox = self.types(person, &["inbox", "--json"]).json();
        let waiting = inbox["waiting"].as_array().unwrap();
        assert_eq!(waiting.len(), 1, "{inbox}");
        waiting[0]["hash"].as_str().unwrap().to_owned()
    }

    /// A token that anna asks for and bo approves.
    pub fn token(&self, count: u64) -> String {
        self.token_at("lund", count)
    }

    /// The same for another site.
    pub fn token_at(&self, site: &str, count: u64) -> String {
        let (count, labels) = (count.to_string(), ["--site", site, "--label", "kind=register"]);
        let words = [&["enroll", "token", "--json", "--count", &count][..], &labels].concat();
        let made = self.anna(&words).json();
        self.bo(&["approve", made["enroll"].as_str().unwrap()]).well();
        made["token"].as_str().unwrap().to_owned()
    }

    /// Machines that join with `token` and run until the world ends.
    pub fn join(&mut self, token: &str, count: usize) {
        for _ in 0..count {
            let data = self.folder.path().join(format!("agent{}", self.agents.len()));
            let folder = Folder::open(&data).unwrap();
            self.runtime.block_on(enroll(&folder, &token.parse().unwrap())).unwrap();
            drop(folder);
            self.agents.push(start_agent(&data, &self.ahead));
        }
        self.until_connected();
    }

    fn until_connected(&self) {
        let wanted = self.agents.len();
        self.until("all agents are connected", |world| {
            let list = world.anna(&["device", "list", "--json"]).json();
            let devices = list["devices"].as_array().unwrap();
            devices.iter().filter(|device| device["the_server_says"]["connected"] == true).count() == wanted
        });
    }

    /// Beacons, witnesses and machines are so many seconds ahead; the machines were off meanwhile.
    pub fn pass_off(&mut self, seconds: u64) {
        let machines = self.agents.len();
        self.stop_agents();
        self.ahead.fetch_add(seconds, Ordering::SeqCst);
        for number in 0..machines {
            let data = self.folder.path().join(format!("agent{number}"));
            self.agents.push(start_agent(&data, &self.ahead));
        }
        self.until_connected();
    }

    /// A machine that is a copy of the first one that joined, and runs until the world ends.
    pub fn copy_first_machine(&mut self) {
        self.copy("agent0", "copy");
        let copy = start_agent(&self.folder.path().join("copy"), &self.ahead);
        self.agents.push(copy);
    }

    /// Polls until `holds`, at most 30 seconds.
    pub fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !holds(self) {
            assert!(Instant::now() < deadline, "{what}: not within 30 s");
        }
    }

    /// The user that runs this test, as whom jobs can run.
    pub fn user(&self) -> String {
        let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
        user.trim().to_owned()
    }

    /// A job that anna asks for and bo approves; its hash.
    pub fn job(&self, program: &[&str]) -> String {
        let user = self.user();
        let start = ["run", "--all", "--why", "a test", "--detach", "--json", "--yes", "--user", &user, "--"];
        let asked = self.command("anna").args(start).args(program).output().unwrap();
        assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
        let asked: serde_json::Value = serde_json::from_slice(&asked.stdout).unwrap();
        assert_eq!(asked["state"], "waiting");
        let hash = asked["job"].as_str().unwrap().to_owned();
        self.bo(&["approve", &hash]).well();
        hash
    }

    pub fn start_server(&mut self) {
        let data = self.folder.path().join("server");
        let (listen, address) = (self.address, self.address.to_string());
        let (vendor, feed) = (
            self.vendor.clone(),
            self.vendor
                .is_some()
                .then(|| Feed { folder: self.folder.path().join("feed"), followers: Default::default() }),
        );
        let config = Config { data, listen, address, database: Database::Sqlite, vendor, feed };
        let running = self.runtime.block_on(countersign_server::start(config, milliseconds));
        self.server = Some(running.unwrap());
    }

    pub fn stop_server(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop());
        }
    }

    pub fn stop_beacons(&mut self, count: usize) {
        for beacon in self.beacons.drain(..count) {
            self.runtime.block_on(beacon.stop()).unwrap();
        }
    }

    /// Starts all beacons again where they were.
    pub fn start_beacons(&mut self) {
        for (number, url) in (1..).zip(self.beacon_urls.clone()) {
            let file = self.folder.path().join(format!("beacon{number}.toml"));
            let mut config = countersign_beacon::config::Config::read(&file).unwrap();
            config.listen = url.strip_prefix("https://").unwrap().parse().unwrap();
            let beacon = self.runtime.block_on(countersign_beacon::serve::start(&config, later(&self.ahead)));
            self.beacons.push(beacon.unwrap());
        }
    }

    /// One more beacon, with this name: its key and its URL.
    pub fn another_beacon(&mut self, name: &str) -> (String, String) {
        let (file, data) = (self.folder.path().join(format!("{name}.toml")), self.folder.path().join(name));
        let any = any_port(2);
        let config = countersign_beacon::config::init(&file, &data, name, any).unwrap();
        let key = config.signer().unwrap().verifier().to_string();
        let beacon = self.runtime.block_on(countersign_beacon::serve::start(&config, later(&self.ahead)));
        let beacon = beacon.unwrap();
        let url = format!("https://{}", beacon.address);
        self.beacon_urls.push(url.clone());
        self.beacons.push(beacon);
        (key, url)
    }

    /// What a beacon says of itself.
    pub fn beacon_state(&self, beacon: usize, org: &str) -> String {
        let url = format!("{}/v1/orgs/{org}/state", self.beacon_urls[beacon]);
        let (peers, _) = countersign_server::peers::Peers::new().unwrap();
        self.runtime.block_on(peers.get(&url)).unwrap().text
    }

    /// Changes the stopped server's database, as whoever owns the server can.
    pub fn tamper(&self, statement: &'static str) {
        let url = format!("sqlite://{}", self.path("server/countersign.db"));
        let changed = self.runtime.block_on(async {
            let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
            let changed = sqlx::query(statement).execute(&pool).await.unwrap().rows_affected();
            pool.close().await;
            changed
        });
        assert!(changed > 0, "{statement} changed nothing");
    }

    /// Puts the stopped server's data beside, or back.
    pub fn copy(&self, from: &str, to: &str) {
        let (from, to) = (PathBuf::from(self.path(from)), PathBuf::from(self.path(to)));
        let _absent = std::fs::remove_dir_all(&to);
        copy_folder(&from, &to);
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn start_agent(data: &Path, ahead: &Arc<AtomicU64>) -> Agent {
    let config = countersign_agent::config::Config { data: data.to_owned(), log: "info".to_owned() };
    let (shutdown, down) = oneshot::channel();
    let ahead = ahead.clone();
    let clock = Arc::new(move || {
        let BootReading { boot_ms, wall_ms } = countersign_agent::os::boot_reading();
        let ahead_ms = ahead.load(Ordering::SeqCst) * 1_000;
        Reading { boot_ms: boot_ms + ahead_ms, wall_ms: wall_ms + ahead_ms }
    });
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ended = async {
            let _gone = down.await;
        };
        runtime.block_on(countersign_agent::run_by(&config, clock, ended)).unwrap();
    });
    Agent { thread, shutdown }
}

impl World {
    /// Ends all agents.
    pub fn stop_agents(&mut self) {
        for Agent { thread, shutdown } in self.agents.drain(..) {
            let _gone = shutdown.send(());
            let _panicked = thread.join();
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop_agents();
        self.stop_server();
        for witness in self.witnesses.drain(..) {
            let _late = self.runtime.block_on(witness.stop());
        }
        let all = self.beacons.len();
        self.stop_beacons(all);
    }
}
