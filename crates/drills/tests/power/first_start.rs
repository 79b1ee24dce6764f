//! The power goes at a server's first start, and while an organization begins on it.
//!
//! Promised is the certificate that agents will ask for, once its pin was told; a draft, an organization, and what it was
//! brought, once the answer was 2xx.

use std::fs;
use std::net::TcpStream;
use std::num::NonZeroU8;
use std::path::Path;
use std::process::Child;

use countersign_drills::forgetful::Disk;
use countersign_drills::http::Http;
use countersign_drills::organization::{everything, genesis_policy, sign, word};
use countersign_drills::part::{Kind, Part, Stage, now, until};
use countersign_trust::ids::{OrgId, Sha256, StatementId};
use countersign_trust::note::VerifierKey;
use countersign_trust::statement::halt::Halt;
use countersign_trust::statement::policy::Witnesses;
use countersign_wire::http::{
    BeginOrg, NewToken, OrgView, PostStatement, PrepareOrg, PreparedOrg, StatementView,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::cuts::{self, Cut, while_there_is_power};

/// The server that runs; killed when it is dropped.
struct Server<'a> {
    disk: &'a Disk,
    child: Child,
    http: Http,
    runtime: Runtime,
}

#[derive(Default)]
struct Promised {
    prepared: Option<PreparedOrg>,
    org: Option<OrgId>,
    token: Option<String>,
    halt: Option<Sha256>,
}

impl<'a> Server<'a> {
    /// None if the power goes before it listens: on a dead disk it tries for a while, and ends.
    fn start(part: &Part, disk: &'a Disk) -> Option<Self> {
        let http = Http { address: part.address, token: String::new() };
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let server = Self { disk, child: part.program().spawn().unwrap(), http, runtime };
        let up = until("it listens", || {
            let up = TcpStream::connect(part.address).is_ok();
            (up || disk.is_dead()).then_some(up)
        });
        up.then_some(server)
    }

    /// What it answers to whoever has this token; none if it goes away or refuses.
    fn ask<T: DeserializeOwned>(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: &impl Serialize,
    ) -> Option<T> {
        let http = Http { token: token.to_owned(), ..self.http.clone() };
        let body = if method == "GET" { String::new() } else { serde_json::to_string(body).unwrap() };
        let (status, text) =
            self.runtime.block_on(while_there_is_power(self.disk, http.try_ask(method, path, body)))?.ok()?;
        (200..300).contains(&status).then(|| serde_json::from_str(&text).unwrap())
    }

    fn prepare(&self, data: &Path) -> Option<PreparedOrg> {
        let setup = fs::read_to_string(data.join("setup-token")).ok()?;
        self.ask(setup.trim(), "POST", "/v1/orgs", &PrepareOrg { name: "Example Tills".to_owned() })
    }

    /// Goes on from what was promised to the end, as far as it is granted.
    fn go_on(&self, data: &Path, witness: &Witness, promised: &mut Promised) -> Option<()> {
        if promised.prepared.is_none() {
            promised.prepared = Some(self.prepare(data)?);
        }
        let prepared = promised.prepared.as_ref()?;
        let mut policy = genesis_policy();
        policy.witnesses = Witnesses { need: NonZeroU8::MIN, keys: [witness.key.clone()].into() };
        let url = format!("https://{}", witness.part.address);
        policy.addresses.witnesses = [(word(witness.key.name()), word(&url))].into();
        policy.log.key = word(&prepared.log_key);
        policy.halt.machines = [(word("server"), word(&prepared.halt_key))].into();
        policy.addresses.servers = [(word(&prepared.address), Some(word(&prepared.pin)))].into();
        let genesis = sign(&policy, &["anna", "bo"]);
        let org = OrgId(genesis.hash().0);
        let begin = BeginOrg { draft: prepared.draft.clone(), genesis: genesis.to_string() };
        let setup = fs::read_to_string(data.join("setup-token")).ok()?;
        let _: OrgView = self.ask(setup.trim(), "POST", "/v1/orgs/begin", &begin)?;
        promised.org = Some(org);
        let wish = NewToken { name: "cia".to_owned(), token: String::new() };
        let made: NewToken = self.ask(&prepared.token, "POST", &format!("/v1/orgs/{org}/tokens"), &wish)?;
        promised.token = Some(made.token);
        let halt = Halt {
            org: Some(org),
            id: StatementId([1; 16]),
            policy: Some(Sha256(org.0)),
            scope: everything(),
            made: now(),
            reason: word("Before anything runs."),
            advisory: word(""),
        };
        let signed = sign(&halt, &["bo"]);
        let body = PostStatement { signed: signed.to_string(), targets: Vec::new() };
        let _: StatementView =
            self.ask(&prepared.token, "POST", &format!("/v1/orgs/{org}/statements"), &body)?;
        promised.halt = Some(signed.hash());
        Some(())
    }

    fn keeps(&self, data: &Path, promised: &Promised) {
        let Some(prepared) = &promised.prepared else { return };
        let again = self.prepare(data).expect("the setup token opens");
        assert_eq!(again.pin, prepared.pin, "the certificate is another");
        let Some(org) = promised.org else { return };
        for token in promised.token.iter().chain([&prepared.token]) {
            let view: Option<OrgView> = self.ask(token, "GET", &format!("/v1/orgs/{org}"), &());
            let view = view.expect("the organization is there, and the token opens");
            let halt = promised.halt.map(|halt| halt.to_string());
            assert!(halt.iter().all(|halt| view.halts.contains(halt)), "the halt is there");
        }
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        self.child.wait().unwrap();
    }
}

/// A witness, without which nothing is logged.
struct Witness {
    part: Part,
    key: VerifierKey,
    _folder: TempDir,
}

impl Witness {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut part = Part::new(Kind::Witness, folder.path().join("witness"), Stage::Threads);
        let file = part.folder.with_extension("toml");
        let config = countersign_witness::config::init(&file, &part.folder, "witness.example", part.address);
        let key = config.unwrap().signer().unwrap().verifier().clone();
        part.start();
        Self { part, key, _folder: folder }
    }
}

/// Tells the story with the power going at `cut`; returns how many operations there were.
fn tell(witness: &Witness, cut: Option<Cut>) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let mut disk = Disk::over(folder.path());
    let part = Part::new(Kind::Server, folder.path().join("lib/server"), Stage::Programs);
    if let Some(cut) = cut {
        disk.cut_at(cut.at);
    }
    let mut promised = Promised::default();
    if let Some(server) = Server::start(&part, &disk) {
        let _as_far_as_it_gets = server.go_on(&part.folder, witness, &mut promised);
    }
    let operations = disk.operations();
    if let Some(cut) = cut {
        disk.power_returns(cut.survives);
    }
    let server = Server::start(&part, &disk).expect("it starts");
    server.keeps(&part.folder, &promised);
    server.go_on(&part.folder, witness, &mut promised).expect("it goes on to the end");
    server.keeps(&part.folder, &promised);
    operations
}

/// Tells the story with the cuts of one that had so many operations.
fn tell_all<C: Iterator<Item = Cut>>(of: impl Fn(u64) -> C) {
    let witness = Witness::start();
    cuts::tell_all(of, |cut| tell(&witness, cut));
}

#[test]
fn a_server_begins_well_wherever_the_power_goes() {
    tell_all(|operations| cuts::some(6, operations));
}

mod long {
    use super::{cuts, tell_all};

    #[test]
    fn a_server_begins_well_at_every_operation() {
        tell_all(cuts::each);
    }
}
