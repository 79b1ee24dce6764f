//! A server with an organization on it, four real witnesses and four real beacons, all in this process.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use countersign_server::config::{Config, Database, Feed, Vendor};
use countersign_trust::envelope::Signed;
use countersign_trust::ids::{DeviceId, Name, OrgId, Sha256, StatementId};
use countersign_trust::merkle::{Tree, leaf_hash};
use countersign_trust::note::{NoteSigner, VerifierKey};
use countersign_trust::statement::enroll::{Batch, Enroll, What};
use countersign_trust::statement::halt::{Halt, Scope};
use countersign_trust::statement::job::{Job, OnHalt, TargetList, Targets};
use countersign_trust::statement::policy::Policy;
use countersign_trust::time::Time;
use countersign_wire::http::{
    BeginOrg, JobDevice, JobView, OrgView, PostStatement, PrepareOrg, PreparedOrg, StatementView,
};

use crate::agent::Agent;
use crate::http::{Events, Http};
use crate::organization::{genesis_policy, labels, note_key, script, sign, word};
use crate::wire::PATIENCE;
use countersign_trust::words::{Address, Line};

/// Everything a test needs, running.
pub struct World {
    /// The server.
    pub server: Served,
    /// An operator's access to it.
    pub http: Http,
    /// The organization.
    pub org: OrgId,
    /// Its policy.
    pub policy: Policy,
    witnesses: Vec<countersign_witness::serve::Running>,
    beacons: Vec<countersign_beacon::serve::Running>,
    folder: tempfile::TempDir,
    serial: AtomicU8,
}

/// The server, in this process or as the real program.
pub struct Served {
    /// Where it listens.
    pub address: SocketAddr,
    running: Option<countersign_server::Running>,
    program: Option<Child>,
}

impl Deref for Served {
    type Target = countersign_server::Running;
    fn deref(&self) -> &Self::Target {
        self.running.as_ref().expect("the server is a program of its own")
    }
}

impl Served {
    /// Ends it.
    pub async fn stop(mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    /// The program's most memory so far and its memory now, in MiB: VmHWM and VmRSS.
    pub fn memory(&self) -> (u64, u64) {
        let id = self.program.as_ref().expect("a program of its own").id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let kib = |name: &str| -> u64 {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        (kib("VmHWM") / 1_024, kib("VmRSS") / 1_024)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(mut program) = self.program.take() {
            program.kill().unwrap();
            program.wait().unwrap();
        }
    }
}

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// The time in seconds.
pub fn now() -> Time {
    Time(now_ms() / 1_000)
}

/// Waits until `true`, or ends the test.
pub async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl World {
    /// Anna, Bo and Cia's organization; three of four witnesses and beacons are needed.
    pub async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// The same with another policy.
    pub async fn with(edit: impl FnOnce(&mut Policy)) -> Self {
        Self::with_records(Database::Sqlite, edit).await
    }

    /// The same with its records in another database.
    pub async fn with_records(database: Database, edit: impl FnOnce(&mut Policy)) -> Self {
        Self::told(|config| config.database = database, edit).await
    }

    /// The same, whose server follows a vendor's feed.
    pub async fn following(vendor: Vendor, edit: impl FnOnce(&mut Policy)) -> Self {
        Self::told(|config| config.vendor = Some(vendor), edit).await
    }

    /// The same, whose server serves a feed.
    pub async fn serving(feed: &Path) -> Self {
        Self::serving_to(feed, BTreeMap::new()).await
    }

    /// The same, to followers that report under these tokens.
    pub async fn serving_to(feed: &Path, followers: BTreeMap<Name, Sha256>) -> Self {
        let feed = Feed { folder: feed.to_owned(), followers };
        Self::told(|config| config.feed = Some(feed), |_| ()).await
    }

    /// The server, asked with its setup token.
    pub fn setup_token(&self) -> Http {
        let setup = std::fs::read_to_string(self.folder.path().join("server/setup-token")).unwrap();
        Http { server: self.server.address, token: setup.trim().to_owned() }
    }

    async fn told(tell: impl FnOnce(&mut Config), edit: impl FnOnce(&mut Policy)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mut witnesses, mut beacons) = (Vec::new(), Vec::new());
        let mut policy = genesis_policy();
        let addresses = &mut policy.addresses;
        (policy.witnesses.keys, policy.beacons.keys) = (BTreeSet::new(), BTreeSet::new());
        for number in 1..=4 {
            let (key, running) = witness(folder.path(), number).await;
            add(&mut addresses.witnesses, &key, running.address);
            policy.witnesses.keys.insert(key);
            witnesses.push(running);
            let (key, running) = beacon(folder.path(), number).await;
            add(&mut addresses.beacons, &key, running.address);
            policy.beacons.keys.insert(key);
            beacons.push(running);
        }
        let mut config = Config::at_home(folder.path().join("server"), "127.0.0.1:0".parse().unwrap());
        config.address = "localhost:443".to_owned();
        tell(&mut config);
        let server = start(config).await;
        let setup = std::fs::read_to_string(folder.path().join("server/setup-token")).unwrap();
        let setup = Http { server: server.address, token: setup.trim().to_owned() };
        let (org, http) = found(&setup, &mut policy, edit).await;
        Self { server, http, org, policy, witnesses, beacons, folder, serial: AtomicU8::new(0) }
    }

    /// Stops the server and starts it again over the same data folder, at another port.
    pub async fn restart(self) -> Self {
        let Self { server, mut http, org, policy, witnesses, beacons, folder, serial } = self;
        let config = server.app.config.clone();
        server.stop().await;
        let server = start(config).await;
        http.server = server.address;
        Self { server, http, org, policy, witnesses, beacons, folder, serial }
    }

    /// Stops the server and starts the real program over the same data folder, at another port.
    pub async fn into_program(self) -> Self {
        let Self { server, mut http, org, policy, witnesses, beacons, folder, serial } = self;
        server.stop().await;
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let address = std::net::TcpListener::bind(any).unwrap().local_addr().unwrap();
        let mut program = Command::new(env!("CARGO_BIN_EXE_countersign-server"));
        program.arg("run").arg("--data").arg(folder.path().join("server"));
        program.arg("--listen").arg(address.to_string()).env("RUST_LOG", "error");
        let program = Some(program.spawn().unwrap());
        http.server = address;
        let up = async || tokio::net::TcpStream::connect(address).await.is_ok();
        until("the program listens", up).await;
        let server = Served { address, running: None, program };
        Self { server, http, org, policy, witnesses, beacons, folder, serial }
    }

    /// Stops the first so many witnesses.
    pub async fn stop_witnesses(&mut self, count: usize) {
        for witness in self.witnesses.drain(..count) {
            witness.stop().await.unwrap();
        }
    }

    /// Starts a witness again that was stopped, where it was.
    pub async fn revive_witness(&mut self, number: u8) {
        use countersign_witness::{config, serve};
        let name = format!("witness-{number}.example");
        let mut config = config::Config::read(&self.folder.path().join(format!("{name}.toml"))).unwrap();
        config.listen = self.witness_address(number);
        self.witnesses.push(serve::start(&config, now).await.unwrap());
    }

    /// Stops the first witness. As long as the listener is there it is connected to, and answers nobody.
    pub async fn silence_witness(&mut self) -> std::net::TcpListener {
        self.stop_witnesses(1).await;
        std::net::TcpListener::bind(self.witness_address(1)).unwrap()
    }

    fn witness_address(&self, number: u8) -> SocketAddr {
        let url = self.policy.addresses.witnesses.get(&word(&format!("witness-{number}.example"))).unwrap();
        url.as_str().strip_prefix("https://").unwrap().parse().unwrap()
    }

    /// Stops the first so many beacons.
    pub async fn stop_beacons(&mut self, count: usize) {
        for beacon in self.beacons.drain(..count) {
            beacon.stop().await.unwrap();
        }
    }

    /// Starts a beacon again that was stopped, where it was.
    pub async fn revive_beacon(&mut self, number: u8) {
        use countersign_beacon::{config, serve};
        let name = format!("beacon-{number}.example");
        let mut config = config::Config::read(&self.folder.path().join(format!("{name}.toml"))).unwrap();
        let url = self.policy.addresses.beacons.get(&word(&name)).unwrap();
        config.listen = url.as_str().strip_prefix("https://").unwrap().parse().unwrap();
        self.beacons.push(serve::start(&config, now).await.unwrap());
    }

    /// The key of the beacon with this number.
    pub fn beacon_key(&self, number: u8) -> NoteSigner {
        use countersign_beacon::config::Config;
        let file = self.folder.path().join(format!("beacon-{number}.example.toml"));
        Config::read(&file).unwrap().signer().unwrap()
    }

    /// An id that no other statement has.
    pub fn id(&self) -> StatementId {
        StatementId([self.serial.fetch_add(1, Ordering::Relaxed) + 1; 16])
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/orgs/{}/{rest}", self.org)
    }

    /// Posts a signed statement.
    pub async fn post(&self, signed: &Signed, targets: &[DeviceId]) -> StatementView {
        let targets = targets.iter().map(ToString::to_string).collect();
        let body = PostStatement { signed: signed.to_string(), targets };
        self.http.post(&self.path("statements"), &body).await
    }

    /// Posts a statement that enough people have signed, and waits until it is logged.
    pub async fn log(&self, signed: &Signed, targets: &[DeviceId]) -> Sha256 {
        let view = self.post(signed, targets).await;
        assert_eq!(view.missing, "");
        let path = self.path(&format!("statements/{}", signed.hash()));
        until("it is logged", async || self.http.get::<StatementView>(&path).await.state == "logged").await;
        signed.hash()
    }

    /// A batch for `count` devices, logged.
    pub async fn batch(&self, count: u64, until: Time) -> Sha256 {
        self.batch_by(&["anna", "bo"], count, until).await
    }

    /// The same, signed by these.
    pub async fn batch_by(&self, keys: &[&str], count: u64, until: Time) -> Sha256 {
        self.log(&sign(&self.batch_text(count, until), keys), &[]).await
    }

    /// The same, unsigned.
    pub fn batch_text(&self, count: u64, until: Time) -> Enroll {
        let batch = Batch {
            token: note_key("token").verifier().clone(),
            site: word("Smygehamn 12"),
            labels: labels(&[("class", "till")]),
            count,
            until,
        };
        Enroll { org: self.org, id: self.id(), what: What::Batch(batch) }
    }

    /// Devices that have joined one batch and are connected.
    pub async fn tills<const N: usize>(&self, names: [&str; N]) -> [Agent; N] {
        let batch = self.batch(N.try_into().unwrap(), now().plus(3_600)).await;
        let mut agents = Vec::new();
        for name in names {
            agents.push(Agent::join(self.server.address, self.org, batch, name).await);
        }
        agents.try_into().ok().unwrap()
    }

    /// A job of Anna's for these devices, for an hour.
    pub fn job(&self, devices: &[DeviceId]) -> Job {
        let root = sorted(devices).iter().map(|id| leaf_hash(&id.0)).collect::<Tree>().root();
        Job {
            org: self.org,
            id: self.id(),
            requester: word("anna"),
            policy: Sha256(self.org.0),
            resume: None,
            not_before: Time(now().0 - 60),
            not_after: now().plus(3_600),
            why: word("The tills print the wrong date."),
            steps: vec![script(&["systemctl restart till"])],
            targets: Targets::List(TargetList { count: devices.len().try_into().unwrap(), root }),
            waves: Vec::new(),
            on_halt: OnHalt::Kill,
            repeat: 0,
            halt_above: 10_000,
        }
    }

    /// Posts a job signed by Anna and Bo, and returns its hash.
    pub async fn order(&self, job: &Job, devices: &[DeviceId]) -> Sha256 {
        self.log(&sign(job, &["anna", "bo"]), &sorted(devices)).await
    }

    /// Anna and Bo make another policy, and it is logged.
    pub async fn decide(&self, edit: impl FnOnce(&mut Policy)) -> Sha256 {
        let mut next = self.policy.clone();
        next.org = Some(self.org);
        next.number = 2;
        next.previous = [Sha256(self.org.0)].into();
        edit(&mut next);
        self.log(&sign(&next, &["anna", "bo"]), &[]).await
    }

    /// Anna halts something.
    pub async fn halt(&self, scope: Scope) -> Sha256 {
        let signed = sign(&self.halt_of(scope), &["anna"]);
        self.post(&signed, &[]).await;
        signed.hash()
    }

    /// A halt that nobody has signed.
    pub fn halt_of(&self, scope: Scope) -> Halt {
        Halt {
            org: Some(self.org),
            id: self.id(),
            policy: Some(Sha256(self.org.0)),
            scope,
            made: now(),
            reason: word("Something is wrong."),
            advisory: word(""),
        }
    }

    /// What became of a job on a device.
    pub async fn on(&self, job: &Sha256, device: &DeviceId) -> JobDevice {
        let view: JobView = self.http.get(&self.path(&format!("jobs/{job}"))).await;
        view.devices.into_iter().find(|row| row.device == device.to_string()).unwrap()
    }

    /// What happens to a job from this moment on.
    pub async fn events(&self, job: &Sha256) -> Events {
        self.http.events(&self.path(&format!("jobs/{job}/events"))).await
    }

    /// GET below the organization.
    pub async fn get<T: serde::de::DeserializeOwned>(&self, rest: &str) -> T {
        self.http.get(&self.path(rest)).await
    }

    /// The organization as the server sees it.
    pub async fn view(&self) -> OrgView {
        self.http.get(&format!("/v1/orgs/{}", self.org)).await
    }

    /// Waits until so many devices are connected.
    pub async fn until_connected(&self, count: u64) {
        until("devices are connected", async || self.view().await.connected == count).await;
    }
}

/// Device ids as a job's targets go.
pub fn sorted(devices: &[DeviceId]) -> Vec<DeviceId> {
    let mut sorted = devices.to_vec();
    sorted.sort();
    sorted
}

fn add(addresses: &mut BTreeMap<Line, Address>, key: &VerifierKey, at: SocketAddr) {
    addresses.insert(word(key.name()), word(&format!("https://{at}")));
}

async fn witness(folder: &Path, number: u8) -> (VerifierKey, countersign_witness::serve::Running) {
    use countersign_witness::{config, serve};
    let name = format!("witness-{number}.example");
    let (file, data) = (folder.join(format!("{name}.toml")), folder.join(&name));
    let config = config::init(&file, &data, &name, "127.0.0.1:0".parse().unwrap()).unwrap();
    let key = config.signer().unwrap().verifier().clone();
    (key, serve::start(&config, now).await.unwrap())
}

async fn beacon(folder: &Path, number: u8) -> (VerifierKey, countersign_beacon::serve::Running) {
    use countersign_beacon::{config, serve};
    let name = format!("beacon-{number}.example");
    let (file, data) = (folder.join(format!("{name}.toml")), folder.join(&name));
    let config = config::init(&file, &data, &name, "127.0.0.1:0".parse().unwrap()).unwrap();
    let key = config.signer().unwrap().verifier().clone();
    (key, serve::start(&config, now).await.unwrap())
}

async fn start(config: Config) -> Served {
    let running = countersign_server::start(config, now_ms).await.unwrap();
    Served { address: running.address, running: Some(running), program: None }
}

async fn found(setup: &Http, policy: &mut Policy, edit: impl FnOnce(&mut Policy)) -> (OrgId, Http) {
    let prepared: PreparedOrg =
        setup.post("/v1/orgs", &PrepareOrg { name: "Example Tills".to_owned() }).await;
    policy.log.key = word(&prepared.log_key);
    policy.halt.machines = [(word("server"), word(&prepared.halt_key))].into();
    policy.witnesses.need = NonZeroU8::new(3).unwrap();
    edit(policy);
    let genesis = sign(policy, &["anna", "bo"]);
    let org = OrgId(genesis.hash().0);
    let http = Http { server: setup.server, token: prepared.token };
    let begin = BeginOrg { draft: prepared.draft, genesis: genesis.to_string() };
    let view: OrgView = setup.post("/v1/orgs/begin", &begin).await;
    assert_eq!(view.org, org.to_string());
    (org, http)
}
