//! A vendor with its feed and its hosted server, and many who run a server of their own and follow that feed.
//!
//! All servers are real, each with a data folder, a database and a port of its own; they share one runtime, one witness and one beacon,
//! which is weak and enough here. A few organizations have a machine with a real agent that runs something long.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use countersign_agent::disk::Folder;
use countersign_agent::enroll::{device_signer, enroll};
use countersign_server::config::{Config, Feed, Vendor};
use countersign_trust::envelope::Signed;
use countersign_trust::feed::{Index, NAMESPACE};
use countersign_trust::ids::{DeviceId, OrgId, Sha256, StatementId};
use countersign_trust::merkle::{Tree, leaf_hash};
use countersign_trust::note::{KeyKind, NoteSigner, VerifierKey};
use countersign_trust::statement::enroll::{Batch, Enroll, What};
use countersign_trust::statement::halt::{Component, Halt, Scope};
use countersign_trust::statement::job::{Job, OnHalt, Step, TargetList, Targets};
use countersign_trust::statement::policy::{Policy, VendorHalts};
use countersign_trust::time::Time;
use countersign_wire::http::{BeginOrg, OrgView, PostStatement, PrepareOrg, PreparedOrg, StatementView};
use countersign_wire::token::{TOKEN_KEY_NAME, Token};
use tokio::runtime::Runtime;

use crate::http::Http;
use crate::organization::{genesis_policy, labels, script, sign, ssh_key, word};
use crate::part::{Kind, Part, Stage, now, now_ms, until};
use crate::static_files::StaticFiles;
use crate::world::me;

/// The name of the vendor's key.
pub const VENDOR: &str = "vendor";

/// How followers hear of the vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    /// From the vendor's hosted server, which holds their connections.
    Held,
    /// From a web server of static files, asked so often in seconds.
    Polled(u32),
}

/// A vendor's feed: the folder, and the static copy that a plain web server has.
#[derive(Debug)]
pub struct VendorFeed {
    folder: PathBuf,
    web: StaticFiles,
    last: Option<(u64, Sha256)>,
    halts: BTreeMap<Sha256, Signed>,
}

impl VendorFeed {
    fn new(folder: PathBuf, web: StaticFiles) -> Self {
        fs::create_dir_all(folder.join("halts")).unwrap();
        Self { folder, web, last: None, halts: BTreeMap::new() }
    }

    /// A vendor's halt of every agent below `below`.
    pub fn halt(number: u8, below: &str) -> Signed {
        let halt = Halt {
            org: None,
            id: StatementId([number; 16]),
            policy: None,
            scope: Scope::Component(Component { name: word("countersign-agent"), below: word(below) }),
            made: now(),
            reason: word("Anybody on the network can run code as the agent."),
            advisory: word("CS-2026-01"),
        };
        sign(&halt, &[VENDOR])
    }

    /// Publishes what there is and this halt besides; the moment at which the index was in its place.
    ///
    /// # Panics
    /// The disk.
    pub fn publish(&mut self, halt: Signed) -> Instant {
        let hash = halt.hash();
        fs::write(self.folder.join("halts").join(hash.to_string()), halt.to_string()).unwrap();
        self.web.file(&format!("/feed/halts/{hash}"), &halt);
        self.halts.insert(hash, halt);
        let (sequence, previous) = self.last.map_or((1, None), |(last, hash)| (last + 1, Some(hash)));
        let halts = self.halts.keys().copied().collect();
        let index = Index { sequence, previous, made: now(), halts, advisories: BTreeMap::new() };
        let text = index.text();
        self.last = Some((sequence, Sha256::of(text.as_bytes())));
        let text = text.clone() + &ssh_key(VENDOR).sign(NAMESPACE, text.as_bytes()).unwrap().to_armor();
        let beside = self.folder.join("index.new");
        fs::write(&beside, &text).unwrap();
        fs::rename(beside, self.folder.join("index")).unwrap();
        self.web.file("/feed/index", &text);
        Instant::now()
    }
}

/// A server with organizations on it.
#[derive(Debug)]
pub struct Site {
    /// The server.
    pub server: countersign_server::Running,
    /// Its organizations.
    pub orgs: Vec<Member>,
}

/// An organization on a server.
#[derive(Debug)]
pub struct Member {
    /// Its id.
    pub id: OrgId,
    /// An operator's access to it.
    pub http: Http,
    pin: Sha256,
}

/// A machine with a real agent, which runs something that would go on for minutes.
#[derive(Debug)]
pub struct Busy {
    /// Its agent.
    pub agent: Part,
    /// The process that it runs.
    pub pid: u32,
}

impl Busy {
    /// Whether the process is there.
    pub fn runs(&self) -> bool {
        Path::new(&format!("/proc/{}", self.pid)).exists()
    }
}

/// A vendor and its followers, running.
pub struct Followers {
    /// The vendor's feed.
    pub feed: VendorFeed,
    /// The vendor's hosted server first, then those of others.
    pub sites: Vec<Site>,
    /// The beacon that all share; it follows the feed too.
    pub beacon: countersign_beacon::serve::Running,
    _witness: countersign_witness::serve::Running,
    runtime: Runtime,
    folder: tempfile::TempDir,
}

/// Who is independent of all servers here.
struct Independent {
    beacon: (VerifierKey, String),
    witness: (VerifierKey, String),
}

impl Followers {
    /// A hosted server with so many organizations, and so many servers of others with one each. `edit` is given each genesis policy
    /// and its number, counted over all.
    ///
    /// # Panics
    /// Something does not come up.
    pub fn new(hosted: usize, others: usize, road: Road, edit: impl Fn(usize, &mut Policy)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (feed, sites, beacon, witness) =
            runtime.block_on(set_up(folder.path(), hosted, others, road, edit));
        Self { feed, sites, beacon, _witness: witness, runtime, folder }
    }

    /// How many organizations have an active halt with this hash, and how many there are.
    pub fn stopped(&self, halt: &Sha256) -> (usize, usize) {
        let mut count = (0, 0);
        for site in &self.sites {
            for org in site.orgs.iter().filter_map(|org| site.server.app.orgs.get(&org.id)) {
                count.0 += usize::from(org.chain().active_halts().any(|active| active.hash == *halt));
                count.1 += 1;
            }
        }
        count
    }

    /// How long after `since` so many organizations had stopped: when the first and when the last.
    ///
    /// # Panics
    /// They have not within half a minute.
    pub fn until_stopped(&self, halt: &Sha256, wanted: usize, since: Instant) -> (Duration, Duration) {
        let mut first = None;
        loop {
            let (stopped, there) = self.stopped(halt);
            let passed = since.elapsed();
            if stopped > 0 {
                first.get_or_insert(passed);
            }
            if stopped >= wanted {
                return (first.unwrap_or(passed), passed);
            }
            assert!(passed < Duration::from_secs(30), "{stopped} of {there} have stopped, {wanted} should");
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// Waits until each server has heard of the index with this number.
    ///
    /// # Panics
    /// Some have not within half a minute.
    pub fn until_heard(&self, sequence: u64) {
        until("every server has heard the feed", || {
            let heard =
                |site: &Site| site.server.app.vendor.heard().values().any(|heard| heard.sequence == sequence);
            self.sites.iter().all(heard).then_some(())
        });
    }

    /// A machine of the first organization on a site, that runs a job of two people.
    ///
    /// # Panics
    /// It does not come up.
    pub fn busy(&self, site: usize) -> Busy {
        let member = &self.sites[site].orgs[0];
        let place = self.folder.path().join(format!("agent-{site}"));
        let token = self.token(site, member);
        let folder = Folder::open(&place).unwrap();
        self.block_on(enroll(&folder, &token)).unwrap();
        let key = device_signer(&folder.seed().unwrap()).unwrap().verifier().clone();
        drop(folder);
        let mut agent = Part::new(Kind::Agent, place.clone(), Stage::Threads);
        agent.start();
        let device = DeviceId::of_key(key.raw());
        let file = place.join("pid");
        let lines = [format!("echo $$ > {}", file.display()), "exec sleep 600".to_owned()];
        let Step::Script(mut script) = script(&[&lines[0], &lines[1]]) else { panic!("no script") };
        (script.user, script.timeout) = (word(&me()), 600);
        let job = Job {
            org: member.id,
            id: StatementId([150 + u8::try_from(site).unwrap(); 16]),
            requester: word("anna"),
            policy: Sha256(member.id.0),
            resume: None,
            not_before: Time(now().0 - 60),
            not_after: now().plus(3_600),
            why: word("A drill."),
            steps: vec![Step::Script(script)],
            targets: Targets::List(TargetList {
                count: 1,
                root: Tree::from_iter([leaf_hash(&device.0)]).root(),
            }),
            waves: Vec::new(),
            on_halt: OnHalt::Kill,
            repeat: 0,
            halt_above: 10_000,
        };
        self.log(member, &sign(&job, &["anna", "bo"]), &[device]);
        let pid = until("the job runs", || fs::read_to_string(&file).ok()?.trim().parse().ok());
        Busy { agent, pid }
    }

    fn token(&self, site: usize, member: &Member) -> Token {
        let id = StatementId([100 + u8::try_from(site).unwrap(); 16]);
        let seed = Sha256::of(&id.0).0;
        let batch = Batch {
            token: NoteSigner::new(TOKEN_KEY_NAME, KeyKind::Ed25519, &seed).unwrap().verifier().clone(),
            site: word("Smygehamn"),
            labels: labels(&[("class", "till")]),
            count: 1,
            until: now().plus(3_600),
        };
        let enroll = Enroll { org: member.id, id, what: What::Batch(batch) };
        let batch = self.log(member, &sign(&enroll, &["anna", "bo"]), &[]);
        let server = self.sites[site].server.address.to_string();
        Token { org: member.id, server, pin: Some(member.pin), batch, seed }
    }

    fn log(&self, member: &Member, signed: &Signed, devices: &[DeviceId]) -> Sha256 {
        let path = format!("/v1/orgs/{}/statements", member.id);
        let targets = devices.iter().map(ToString::to_string).collect();
        let body = PostStatement { signed: signed.to_string(), targets };
        let _view: StatementView = self.block_on(member.http.post(&path, &body)).unwrap();
        let path = format!("{path}/{}", signed.hash());
        let state = || self.block_on(member.http.get::<StatementView>(&path)).state;
        until("it is logged", || (state() == "logged").then_some(()));
        signed.hash()
    }

    /// Waits for something of tokio's.
    pub fn block_on<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(what)
    }

    /// The vendor's host is in the hands of somebody else, who has no key: what follows is served from the static copy.
    pub fn web(&self) -> &StaticFiles {
        &self.feed.web
    }
}

async fn set_up(
    folder: &Path,
    hosted: usize,
    others: usize,
    road: Road,
    edit: impl Fn(usize, &mut Policy),
) -> (VendorFeed, Vec<Site>, countersign_beacon::serve::Running, countersign_witness::serve::Running) {
    let web = StaticFiles::start(&countersign_server::tls::make("localhost").unwrap()).await;
    let mut feed = VendorFeed::new(folder.join("feed"), web.clone());
    // There is a feed before anything is wrong: a halt of a version that nobody has.
    feed.publish(VendorFeed::halt(1, "0.0.1"));
    let address = crate::part::free();
    let (url, interval) = match road {
        Road::Held => (format!("https://{address}/v1/feed"), 60),
        Road::Polled(interval) => (format!("{}/feed", web.url()), interval),
    };
    let (independent, beacon, witness) = independent(folder, &url, interval).await;
    let (mut sites, mut number) = (Vec::new(), 0);
    for site in 0..=others {
        let listen = if site == 0 { address } else { crate::part::free() };
        let mut config = Config::at_home(folder.join(format!("server-{site}")), listen);
        config.vendor = Some(follow(&url, interval));
        config.feed = (site == 0).then(|| Feed { folder: feed.folder.clone(), followers: BTreeMap::new() });
        let server = countersign_server::start(config, now_ms).await.unwrap();
        let mut orgs = Vec::new();
        for _ in 0..if site == 0 { hosted } else { 1 } {
            let mut policy = genesis_policy();
            independent.put(&mut policy);
            policy.vendor.halts = VendorHalts::Auto;
            edit(number, &mut policy);
            orgs.push(found(&server, policy).await);
            number += 1;
        }
        sites.push(Site { server, orgs });
    }
    (feed, sites, beacon, witness)
}

fn follow(url: &str, interval: u32) -> Vendor {
    Vendor {
        keys: [ssh_key(VENDOR).public_key().clone()].into(),
        feeds: vec![url.to_owned()],
        interval: interval.try_into().unwrap(),
        report: None,
    }
}

/// One beacon, which follows the feed, and one witness.
async fn independent(
    folder: &Path,
    url: &str,
    interval: u32,
) -> (Independent, countersign_beacon::serve::Running, countersign_witness::serve::Running) {
    let any = || "127.0.0.1:0".parse().unwrap();
    let at = |name: &str| (folder.join(format!("{name}.toml")), folder.join(name));
    let (file, data) = at("beacon");
    countersign_beacon::config::init(&file, &data, "beacon", any()).unwrap();
    let key = ssh_key(VENDOR).public_key().to_string();
    let vendor = format!("[vendor]\nkeys = [\"{key}\"]\nfeeds = [\"{url}\"]\ninterval = {interval}\n");
    let text = fs::read_to_string(&file).unwrap() + &vendor;
    fs::write(&file, text).unwrap();
    let config = countersign_beacon::config::Config::read(&file).unwrap();
    let beacon_key = config.signer().unwrap().verifier().clone();
    let beacon = countersign_beacon::serve::start(&config, now).await.unwrap();
    let (file, data) = at("witness");
    let config = countersign_witness::config::init(&file, &data, "witness", any()).unwrap();
    let witness_key = config.signer().unwrap().verifier().clone();
    let witness = countersign_witness::serve::start(&config, now).await.unwrap();
    let independent = Independent {
        beacon: (beacon_key, format!("https://{}", beacon.address)),
        witness: (witness_key, format!("https://{}", witness.address)),
    };
    (independent, beacon, witness)
}

impl Independent {
    fn put(&self, policy: &mut Policy) {
        (policy.beacons.need, policy.witnesses.need) = (NonZeroU8::MIN, NonZeroU8::MIN);
        policy.beacons.keys = [self.beacon.0.clone()].into();
        policy.witnesses.keys = [self.witness.0.clone()].into();
        policy.addresses.beacons = [(word("beacon"), word(&self.beacon.1))].into();
        policy.addresses.witnesses = [(word("witness"), word(&self.witness.1))].into();
    }
}

async fn found(server: &countersign_server::Running, mut policy: Policy) -> Member {
    let folder = &server.app.config.data;
    let token = fs::read_to_string(folder.join("setup-token")).unwrap();
    let setup = Http { address: server.address, token: token.trim().to_owned() };
    let wish = PrepareOrg { name: "Example Tills".to_owned() };
    let prepared: PreparedOrg = setup.post("/v1/orgs", &wish).await.unwrap();
    policy.log.key = word(&prepared.log_key);
    policy.halt.machines = [(word("server"), word(&prepared.halt_key))].into();
    policy.addresses.servers = [(word(&prepared.address), Some(word(&prepared.pin)))].into();
    let genesis = sign(&policy, &["anna", "bo"]);
    let begin = BeginOrg { draft: prepared.draft, genesis: genesis.to_string() };
    let _view: OrgView = setup.post("/v1/orgs/begin", &begin).await.unwrap();
    let (id, pin) = (OrgId(genesis.hash().0), word(&prepared.pin));
    Member { id, http: Http { address: server.address, token: prepared.token }, pin }
}
