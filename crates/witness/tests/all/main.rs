//! The witness over HTTPS, with real policies, logs and signatures.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests may take values apart by force"
)]

mod checkpoints;
mod client;
mod lasting;
mod organization;
mod policies;
mod program;
mod recovery;
mod strangers;
#[path = "../../../drills/src/unrehearsed.rs"]
mod unrehearsed;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use countersign_trust::delivery::write_sequence;
use countersign_trust::ids::Sha256;
use countersign_trust::note::NoteSigner;
use countersign_trust::statement::policy::Policy;
use countersign_trust::time::Time;
use countersign_witness::config::{Config, Organizations, init};
use countersign_witness::serve::{Running, start};
use tempfile::TempDir;

use client::{Answer, post};
use organization::{TestLog, beacon_key, beacons, genesis, org_of, signed, witness_key, witnesses};

/// A witness in this process, with a clock that the test sets.
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

    /// A first policy that names this witness and the log `origin`.
    fn policy(&self, origin: &str) -> Policy {
        let other = witness_key(1);
        let keys = [self.signer().verifier(), other.verifier()].map(Clone::clone);
        let log = organization::log_key(origin);
        genesis(log.verifier(), witnesses(&[&keys[0], &keys[1]]), beacons(1, &[beacon_key(1).verifier()]))
    }

    /// Shows the witness these policies.
    async fn show(&self, policies: &[&Policy]) -> Answer {
        let texts: Vec<_> = policies.iter().map(|policy| signed(policy)).collect();
        let path = format!("/v1/orgs/{}/policies", org_of(policies[0]));
        post(self.at(), &path, write_sequence(&texts)).await
    }

    /// A log of that name with `size` leaves, taken on.
    async fn log(&self, origin: &str, size: u64) -> TestLog {
        assert_eq!(self.show(&[&self.policy(origin)]).await.status, 200);
        let mut log = TestLog::new(origin, Vec::new());
        log.grow(size);
        log
    }

    async fn add(&self, request: impl ToString) -> Answer {
        post(self.at(), "/add-checkpoint", request).await
    }
}

fn config_in(folder: &Path, organizations: Organizations) -> Config {
    let listen = "127.0.0.1:0".parse().unwrap();
    let config =
        init(&folder.join("witness.toml"), &folder.join("data"), "witness-0.example", listen).unwrap();
    Config { organizations, ..config }
}

fn checkpoint_path(origin: &str) -> String {
    format!("/{}/checkpoint", Sha256::of(origin.as_bytes()))
}
