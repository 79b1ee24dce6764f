//! The beacon over HTTPS, with real policies, logs and signatures.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

mod clears;
#[path = "../../../witness/tests/all/client.rs"]
mod client;
mod halts;
mod handover;
mod lasting;
mod news;
#[path = "../../../witness/tests/all/organization.rs"]
#[allow(dead_code, reason = "shared with the witness's tests, which ask its log for more")]
mod organization;
#[path = "../../../witness/tests/all/program.rs"]
mod program;
mod recovery;
#[path = "../../../drills/src/static_files.rs"]
mod static_files;
mod stops;
mod strangers;
#[path = "../../../drills/src/unrehearsed.rs"]
mod unrehearsed;
mod vendor;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use countersign_beacon::config::{Config, Organizations, init};
use countersign_beacon::serve::{Running, start};
use countersign_trust::clear::{Acknowledgement, Clear};
use countersign_trust::delivery::{News, write_sequence};
use countersign_trust::envelope::Signed;
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::note::{Note, NoteSigner, VerifierKey};
use countersign_trust::statement::policy::Policy;
use countersign_trust::time::Time;
use tempfile::TempDir;

use client::{Answer, get, post};
use organization::{TestLog, beacon_key, beacons, genesis, org_of, signed, witness_key, witnesses};

const ORIGIN: &str = "log.example/one";
const ROOT: Sha256 = Sha256([0xab; 32]);

/// A beacon in this process, with a clock that the test sets.
struct Test {
    folder: TempDir,
    config: Config,
    clock: Arc<AtomicU64>,
    running: Option<Running>,
}

impl Test {
    async fn new() -> Self {
        Self::with(Organizations::Any).await
    }

    async fn with(organizations: Organizations) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = config_in(folder.path(), organizations);
        let mut test = Self { folder, config, clock: Arc::new(AtomicU64::new(5_000)), running: None };
        test.start().await;
        test
    }

    async fn start(&mut self) {
        let clock = Arc::clone(&self.clock);
        let now = move || Time(clock.load(Ordering::SeqCst));
        self.running = Some(start(&self.config, now).await.unwrap());
    }

    async fn stop(&mut self) {
        self.running.take().unwrap().stop().await.unwrap();
    }

    async fn restart(&mut self) {
        self.stop().await;
        self.start().await;
    }

    fn at(&self) -> SocketAddr {
        self.running.as_ref().unwrap().address
    }

    fn signer(&self) -> NoteSigner {
        self.config.signer().unwrap()
    }

    fn key(&self) -> VerifierKey {
        self.signer().verifier().clone()
    }

    async fn post(&self, org: OrgId, noun: &str, body: impl ToString) -> Answer {
        post(self.at(), &format!("/v1/orgs/{org}/{noun}"), body).await
    }

    async fn get(&self, org: OrgId, noun: &str) -> Answer {
        get(self.at(), &format!("/v1/orgs/{org}/{noun}")).await
    }

    async fn tell(&self, org: OrgId, news: &[News]) -> Answer {
        self.post(org, "news", write_sequence(news)).await
    }

    async fn ask_clear(&self, org: OrgId) -> Answer {
        self.post(org, "clear", format!("{ROOT}\n")).await
    }

    async fn clear(&self, org: OrgId) -> Clear {
        let answer = self.ask_clear(org).await;
        let note = self.note(&answer);
        note.text().parse().unwrap()
    }

    async fn acknowledged(&self, org: OrgId, halt: &Signed) -> Acknowledgement {
        let answer = self.post(org, "halts", halt).await;
        self.note(&answer).text().parse().unwrap()
    }

    /// The note in a good answer, signed by this beacon.
    fn note(&self, answer: &Answer) -> Note {
        assert_eq!((answer.status, answer.kind.as_str()), (200, "text/plain; charset=utf-8"), "{answer:?}");
        let note: Note = answer.body.parse().unwrap();
        assert!(note.signed_by(&self.key()));
        note
    }
}

/// An organization with its log, known to a beacon by its first policy.
struct Known {
    org: OrgId,
    policy: Policy,
    log: TestLog,
}

impl Known {
    /// With this beacon and beacons 1 and 2, of which two are needed; not known to any beacon yet.
    fn of(beacons_of: &[&VerifierKey]) -> Self {
        let log = TestLog::new(ORIGIN, vec![witness_key(1)]);
        let cosigning = witnesses(&[witness_key(1).verifier()]);
        let policy = genesis(log.signer.verifier(), cosigning, beacons(2, beacons_of));
        Self { org: org_of(&policy), policy, log }
    }

    async fn to(test: &Test) -> Self {
        let (one, two) = (beacon_key(1), beacon_key(2));
        let mut known = Self::of(&[&test.key(), one.verifier(), two.verifier()]);
        let genesis = known.genesis();
        assert_eq!(test.tell(known.org, &[genesis]).await.status, 200);
        known
    }

    fn genesis(&mut self) -> News {
        let policy = signed(&self.policy);
        News::Policy(self.log.add(self.org, &policy))
    }

    /// Logs and takes the next policy.
    fn next(&mut self, policy: Policy) -> News {
        let news = News::Policy(self.log.add(self.org, &signed(&policy)));
        self.policy = policy;
        news
    }
}

fn config_in(folder: &Path, organizations: Organizations) -> Config {
    let listen = "127.0.0.1:0".parse().unwrap();
    let config = init(&folder.join("beacon.toml"), &folder.join("data"), "beacon-0.example", listen).unwrap();
    Config { organizations, ..config }
}
