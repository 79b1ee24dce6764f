//! An organization with four beacons, four witnesses, a server and agents, and what its people do.

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroU8;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use countersign_agent::disk::Folder;
use countersign_agent::enroll::{device_signer, enroll};
use countersign_trust::chain::{Chain, Inclusion};
use countersign_trust::delivery::{News, read_sequence};
use countersign_trust::envelope::Signed;
use countersign_trust::ids::{DeviceId, OrgId, Sha256, StatementId};
use countersign_trust::merkle::{Tree, leaf_hash};
use countersign_trust::note::{KeyKind, Note, NoteSigner, VerifierKey};
use countersign_trust::receipt::{Receipt, Verdict};
use countersign_trust::statement::enroll::{Batch, Enroll, What};
use countersign_trust::statement::halt::{Halt, Scope};
use countersign_trust::statement::job::{Job, OnHalt, Step, TargetList, Targets};
use countersign_trust::statement::policy::Policy;
use countersign_trust::statement::resume::{Cuts, Lifts, Resume};
use countersign_trust::text::Nothing;
use countersign_wire::http::{
    BeginOrg, JobDevice, JobView, OrgView, PostStatement, PrepareOrg, PreparedOrg, Problem, StatementView,
};
use countersign_wire::token::{TOKEN_KEY_NAME, Token};
use tokio::runtime::Runtime;

use crate::http::Http;
use crate::organization::{everything, genesis_policy, labels, names, script, sign, word};
use crate::part::{Kind, Part, Shift, Stage, now, until};

/// How many beacons and witnesses there are; three of each are needed.
const INDEPENDENT: usize = 4;

/// A machine with an agent.
#[derive(Debug)]
pub struct Machine {
    /// Its agent.
    pub agent: Part,
    /// Its id.
    pub id: DeviceId,
    /// The key its receipts are signed with.
    pub key: VerifierKey,
}

/// Everything, running.
#[derive(Debug)]
pub struct World {
    /// Machines, in the order in which they joined.
    pub machines: Vec<Machine>,
    /// The server.
    pub server: Part,
    /// Beacons.
    pub beacons: Vec<Part>,
    /// Witnesses.
    pub witnesses: Vec<Part>,
    /// The organization.
    pub org: OrgId,
    /// An operator's access to the server.
    pub http: Http,
    pin: Sha256,
    stage: Stage,
    serial: AtomicU16,
    runtime: Runtime,
    /// Where everything lies.
    pub folder: tempfile::TempDir,
}

/// A file whose name nobody else has, and what scripts write into it.
#[derive(Debug)]
pub struct Nonce(PathBuf);

impl World {
    /// Anna, Bo and Cia's organization, in threads, with so many machines.
    pub fn new(machines: usize) -> Self {
        let mut world = Self::set_up(Stage::Threads, |_| ());
        world.join(machines);
        world
    }

    /// The same, without machines; `prepare` is given the server before it starts and before anything is in its folder.
    ///
    /// # Panics
    /// Something does not come up.
    pub fn set_up(stage: Stage, prepare: impl FnOnce(&mut Part)) -> Self {
        Self::set_up_with(stage, prepare, |_| ())
    }

    /// The same, with another genesis policy.
    ///
    /// # Panics
    /// Something does not come up.
    pub fn set_up_with(
        stage: Stage,
        prepare: impl FnOnce(&mut Part),
        edit: impl FnOnce(&mut Policy),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut policy = genesis_policy();
        policy.rules[0].kinds = names(&["script", "service"]);
        policy.guarded = names(&["agent", "antivirus"]);
        let place = |name: String| folder.path().join(name);
        let mut beacons = Vec::new();
        let mut witnesses = Vec::new();
        (policy.beacons.keys, policy.witnesses.keys) = (BTreeSet::new(), BTreeSet::new());
        for number in 1..=INDEPENDENT {
            let part = Part::new(Kind::Beacon, place(format!("beacon-{number}")), stage);
            policy.beacons.keys.insert(beacon_key(&part));
            let (name, url) = named(&part);
            policy.addresses.beacons.insert(word(&name), word(&url));
            beacons.push(part);
            let part = Part::new(Kind::Witness, place(format!("witness-{number}")), stage);
            policy.witnesses.keys.insert(witness_key(&part));
            let (name, url) = named(&part);
            policy.addresses.witnesses.insert(word(&name), word(&url));
            witnesses.push(part);
        }
        edit(&mut policy);
        let mut server = Part::new(Kind::Server, place("server".to_owned()), stage);
        prepare(&mut server);
        beacons.iter_mut().chain(&mut witnesses).chain([&mut server]).for_each(Part::start);
        let (org, pin, http) = runtime.block_on(found(&server, policy));
        let (serial, machines) = (AtomicU16::new(0), Vec::new());
        Self { machines, server, beacons, witnesses, org, http, pin, stage, serial, runtime, folder }
    }

    /// So many machines join by one token, and are connected.
    ///
    /// # Panics
    /// They do not come up.
    pub fn join(&mut self, count: usize) {
        self.join_as(count, "till");
    }

    /// The same, with another word under the label `class`.
    ///
    /// # Panics
    /// They do not come up.
    pub fn join_as(&mut self, count: usize, class: &str) {
        let token = self.token(count, class);
        for _ in 0..count {
            let place = self.folder.path().join(format!("agent-{}", self.machines.len()));
            let mut machine = self.enroll(place, &token);
            machine.agent.start();
            self.machines.push(machine);
        }
        self.until_connected(self.machines.len());
    }

    /// A machine joins by this token, and its agent is started.
    ///
    /// # Panics
    /// It cannot join.
    pub fn join_by(&mut self, token: &Token) {
        let place = self.folder.path().join(format!("agent-{}", self.machines.len()));
        let mut machine = self.enroll(place, token);
        machine.agent.start();
        self.machines.push(machine);
    }

    /// A machine joins, whose agent somebody else starts, elsewhere, on what is in the folder `place`.
    ///
    /// # Panics
    /// It cannot join.
    pub fn join_apart(&mut self, place: PathBuf) {
        let token = self.token(1, "till");
        let machine = self.enroll(place, &token);
        self.machines.push(machine);
    }

    fn enroll(&self, place: PathBuf, token: &Token) -> Machine {
        let folder = Folder::open(&place).unwrap();
        self.runtime.block_on(enroll(&folder, token)).unwrap();
        let key = device_signer(&folder.seed().unwrap()).unwrap().verifier().clone();
        drop(folder);
        Machine { agent: Part::new(Kind::Agent, place, self.stage), id: DeviceId::of_key(key.raw()), key }
    }

    /// A token by which so many machines of this class may join, logged.
    ///
    /// # Panics
    /// The server does not log it.
    pub fn token(&self, count: usize, class: &str) -> Token {
        self.token_for("Smygehamn", &[("class", class)], count)
    }

    /// A token by which so many machines at `site` join, with these labels.
    ///
    /// # Panics
    /// The server does not log its batch.
    pub fn token_for(&self, site: &str, pairs: &[(&str, &str)], count: usize) -> Token {
        let (batch, token) = self.batch_for(site, pairs, count);
        self.log(&batch, &[]);
        token
    }

    /// What two people sign for such a token, and the token; it is good once that is logged.
    pub fn batch_for(&self, site: &str, pairs: &[(&str, &str)], count: usize) -> (Signed, Token) {
        let id = self.id();
        let seed = Sha256::of(&id.0).0;
        let batch = Batch {
            token: NoteSigner::new(TOKEN_KEY_NAME, KeyKind::Ed25519, &seed).unwrap().verifier().clone(),
            site: word(site),
            labels: labels(pairs),
            count: count.try_into().unwrap(),
            until: now().plus(3_600),
        };
        let enroll = Enroll { org: self.org, id, what: What::Batch(batch) };
        let signed = sign(&enroll, &["anna", "bo"]);
        let (server, batch) = (self.server.address.to_string(), signed.hash());
        (signed, Token { org: self.org, server, pin: Some(self.pin), batch, seed })
    }

    /// SHA-256 of the public key of the server's certificate.
    pub fn pin(&self) -> Sha256 {
        self.pin
    }

    /// Waits until so many devices are connected.
    pub fn until_connected(&self, count: usize) {
        until("the devices are connected", || {
            let view: OrgView = self.runtime.block_on(self.http.get(&format!("/v1/orgs/{}", self.org)));
            (usize::try_from(view.connected) == Ok(count)).then_some(())
        });
    }

    /// An id that no other statement has.
    pub(crate) fn id(&self) -> StatementId {
        let mut id = [7; 16];
        id[..2].copy_from_slice(&(self.serial.fetch_add(1, Ordering::Relaxed) + 1).to_be_bytes());
        StatementId(id)
    }

    /// All devices.
    pub fn all(&self) -> Vec<DeviceId> {
        self.machines.iter().map(|machine| machine.id).collect()
    }

    /// A file that is not there yet.
    pub fn nonce(&self) -> Nonce {
        Nonce(self.folder.path().join(format!("nonce-{}", self.id())))
    }

    /// A job of Anna's: these lines, on these devices, run by whoever runs the drills.
    ///
    /// # Panics
    /// The lines make no script.
    pub fn job(&self, devices: &[DeviceId], lines: &[&str]) -> Job {
        let root = sorted(devices).iter().map(|id| leaf_hash(&id.0)).collect::<Tree>().root();
        let Step::Script(mut script) = script(lines) else { panic!("no script") };
        script.user = word(&me());
        script.timeout = 600;
        Job {
            org: self.org,
            id: self.id(),
            requester: word("anna"),
            policy: Sha256(self.org.0),
            resume: None,
            not_before: countersign_trust::time::Time(now().0 - 60),
            not_after: now().plus(3_600),
            why: word("A drill."),
            steps: vec![Step::Script(script)],
            targets: Targets::List(TargetList { count: devices.len().try_into().unwrap(), root }),
            waves: Vec::new(),
            on_halt: OnHalt::Kill,
            repeat: 0,
            halt_above: 10_000,
        }
    }

    /// A path below the organization's.
    pub fn path(&self, rest: &str) -> String {
        format!("/v1/orgs/{}/{rest}", self.org)
    }

    /// Posts a signed statement.
    ///
    /// # Errors
    /// The server refuses it.
    pub fn post(&self, signed: &Signed, devices: &[DeviceId]) -> Result<StatementView, Problem> {
        let targets = sorted(devices).iter().map(ToString::to_string).collect();
        let body = PostStatement { signed: signed.to_string(), targets };
        self.runtime.block_on(self.http.post(&self.path("statements"), &body))
    }

    /// A statement as the server shows it.
    pub fn statement(&self, hash: &Sha256) -> StatementView {
        self.runtime.block_on(self.http.get(&self.path(&format!("statements/{hash}"))))
    }

    /// Posts a statement that enough people have signed, and waits until it is logged.
    ///
    /// # Panics
    /// The server does not log it.
    pub fn log(&self, signed: &Signed, devices: &[DeviceId]) -> Sha256 {
        let view = self.post(signed, devices).unwrap();
        assert_eq!(view.missing, "");
        until("it is logged", || (self.statement(&signed.hash()).state == "logged").then_some(()));
        signed.hash()
    }

    /// The chain as the server shows it, judged from its beginning.
    ///
    /// # Panics
    /// It is none.
    pub fn chain(&self) -> Chain {
        let (_, text) = self.runtime.block_on(self.http.ask("GET", &self.path("news"), String::new()));
        let news = read_sequence(&text).unwrap().into_iter().map(|item| News::from_text(item).unwrap());
        let mut news = news.collect::<Vec<_>>().into_iter();
        let Some(News::Policy(genesis)) = news.next() else { panic!("no genesis policy") };
        let mut chain = Chain::begin(self.org, &genesis.signed, Inclusion::Proved(&genesis.proof)).unwrap();
        for news in news {
            news.offer(&mut chain).unwrap();
        }
        chain
    }

    /// Anna and Bo decide the next policy, which is logged.
    ///
    /// # Panics
    /// It is not.
    pub fn decide(&self, edit: impl FnOnce(&mut Policy)) -> Sha256 {
        let mut next = self.chain().next_policy();
        edit(&mut next);
        self.log(&sign(&next, &["anna", "bo"]), &[])
    }

    /// Posts a job that Anna and Bo have signed, and waits until it is logged.
    pub fn order(&self, job: &Job, devices: &[DeviceId]) -> Sha256 {
        self.log(&sign(job, &["anna", "bo"]), devices)
    }

    /// What the server says of a job on a device.
    ///
    /// # Panics
    /// The job is not for the device.
    pub fn on(&self, job: &Sha256, device: &DeviceId) -> JobDevice {
        let view: JobView = self.runtime.block_on(self.http.get(&self.path(&format!("jobs/{job}"))));
        view.devices.into_iter().find(|row| row.device == device.to_string()).unwrap()
    }

    /// What the server has of a job's output on a device.
    pub fn output(&self, job: &Sha256, device: &DeviceId) -> String {
        let path = self.path(&format!("jobs/{job}/output/{device}"));
        self.runtime.block_on(self.http.ask("GET", &path, String::new())).1
    }

    /// The newest receipt of a device for a job, checked by the device's key.
    ///
    /// # Panics
    /// It is no receipt of this device.
    pub fn receipt(&self, job: &Sha256, machine: &Machine) -> Option<Receipt> {
        let note: Note = self.on(job, &machine.id).receipt?.parse().unwrap();
        assert!(note.signed_by(&machine.key), "not signed by {}: {note}", machine.id);
        let receipt: Receipt = note.text().parse().unwrap();
        assert_eq!((receipt.device, receipt.job), (machine.id, Some(*job)));
        Some(receipt)
    }

    /// Waits until a device's own receipt says this of a job.
    pub fn says(&self, verdict: Verdict, job: &Sha256, machine: &Machine) -> Receipt {
        until(&format!("{} says {verdict} of {job}", machine.id), || {
            self.receipt(job, machine).filter(|receipt| receipt.verdict == verdict)
        })
    }

    /// A halt by one key, which nobody has yet.
    pub fn halt(&self, scope: Scope, key: &str) -> Signed {
        let halt = Halt {
            org: Some(self.org),
            id: self.id(),
            policy: Some(Sha256(self.org.0)),
            scope,
            made: now(),
            reason: word("The server is in the wrong hands."),
            advisory: word(""),
        };
        sign(&halt, &[key])
    }

    /// Bo halts everything, and hands it to the beacons only.
    ///
    /// # Panics
    /// A beacon does not take it.
    pub fn halt_at_beacons(&self) -> Sha256 {
        let halt = self.halt(everything(), "bo");
        self.beacons.iter().for_each(|beacon| self.halt_at(&halt, beacon));
        halt.hash()
    }

    /// Hands a halt to one beacon.
    ///
    /// # Panics
    /// It does not take it.
    pub fn halt_at(&self, halt: &Signed, beacon: &Part) {
        let http = Http { address: beacon.address, token: String::new() };
        let (status, answer) = self.runtime.block_on(http.ask("POST", &self.path("halts"), halt.to_string()));
        assert_eq!(status, 200, "{answer}");
    }

    /// Anna and Bo lift halts, after the newest resume; what was signed before runs no more.
    pub fn resume(&self, previous: Option<Sha256>, lifts: Lifts) -> Signed {
        let resume = Resume {
            org: self.org,
            policy: self.chain().policy().hash,
            previous: previous.into_iter().collect(),
            lifts,
            cuts: Cuts::All(Nothing),
            keeps: BTreeSet::new(),
            why: word("It is over."),
        };
        sign(&resume, &["anna", "bo"])
    }

    /// Moves the clocks of all that is a process of this program, and this program's.
    pub fn set_clock(&mut self, shift: Shift) {
        shift.set();
        let Self { server, beacons, witnesses, machines, .. } = self;
        let agents = machines.iter_mut().map(|machine| &mut machine.agent);
        beacons
            .iter_mut()
            .chain(witnesses)
            .chain([server])
            .chain(agents)
            .for_each(|part| part.hear_clock(shift));
    }

    /// Time passes by the clocks of all machines.
    pub fn pass(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        for machine in &self.machines {
            machine.agent.ahead_ms.fetch_add(ms, Ordering::Relaxed);
        }
    }

    /// Stops and starts every agent, and waits until they are connected.
    pub fn restart_agents(&mut self) {
        for machine in &mut self.machines {
            machine.agent.stop();
            machine.agent.start();
        }
        self.until_connected(self.machines.len());
    }

    /// Waits for something of tokio's.
    pub fn block_on<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(what)
    }

    /// Lets something go on beside.
    pub fn spawn(&self, what: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
        self.runtime.spawn(what)
    }
}

impl Nonce {
    /// A line for a shell that adds a line to the file.
    pub fn line(&self) -> String {
        format!("echo here >> {}", self.0.display())
    }

    /// What stands in it, a line each time a script came by; empty if none did.
    pub fn lines(&self) -> Vec<String> {
        fs::read_to_string(&self.0).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// The file.
    pub fn path(&self) -> &PathBuf {
        &self.0
    }
}

/// Device ids as a job's targets go.
pub fn sorted(devices: &[DeviceId]) -> Vec<DeviceId> {
    let mut sorted = devices.to_vec();
    sorted.sort();
    sorted
}

/// Who runs this.
///
/// # Panics
/// `id` does not say.
pub fn me() -> String {
    let said = Command::new("id").arg("-un").output().unwrap().stdout;
    String::from_utf8(said).unwrap().trim().to_owned()
}

/// The name of a beacon's or witness's key, and its address.
///
/// # Panics
/// Its folder has no name.
pub fn named(part: &Part) -> (String, String) {
    let name = part.folder.file_name().unwrap().to_string_lossy();
    (name.into_owned(), format!("https://{}", part.address))
}

/// Draws a beacon's key and writes its configuration; the key.
///
/// # Panics
/// One is there.
pub fn beacon_key(part: &Part) -> VerifierKey {
    use countersign_beacon::config::init;
    let file = part.folder.with_extension("toml");
    let config = init(&file, &part.folder, &named(part).0, part.address).unwrap();
    config.signer().unwrap().verifier().clone()
}

fn witness_key(part: &Part) -> VerifierKey {
    use countersign_witness::config::init;
    let file = part.folder.with_extension("toml");
    let config = init(&file, &part.folder, &named(part).0, part.address).unwrap();
    config.signer().unwrap().verifier().clone()
}

async fn found(server: &Part, mut policy: Policy) -> (OrgId, Sha256, Http) {
    let token = fs::read_to_string(server.folder.join("setup-token")).unwrap();
    let setup = Http { address: server.address, token: token.trim().to_owned() };
    let wish = PrepareOrg { name: "Example Tills".to_owned() };
    let prepared: PreparedOrg = setup.post("/v1/orgs", &wish).await.unwrap();
    let pin = word(&prepared.pin);
    policy.log.key = word(&prepared.log_key);
    policy.halt.machines = [(word("server"), word(&prepared.halt_key))].into();
    policy.witnesses.need = NonZeroU8::new(3).unwrap();
    policy.addresses.servers = [(word(&prepared.address), Some(pin))].into();
    let genesis = sign(&policy, &["anna", "bo"]);
    let begin = BeginOrg { draft: prepared.draft, genesis: genesis.to_string() };
    let _view: OrgView = setup.post("/v1/orgs/begin", &begin).await.unwrap();
    let http = Http { address: server.address, token: prepared.token };
    (OrgId(genesis.hash().0), pin, http)
}
