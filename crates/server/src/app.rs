//! What the server holds while it runs: one value, handed to whoever serves a request or a connection.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use countersign_trust::chain::Chain;
use countersign_trust::checkpoint::Proof;
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::sshsig::SshSigner;
use countersign_trust::time::Time;
use tokio::sync::watch;

use crate::config::Config;
use crate::events::Events;
use crate::feed::Served;
use crate::gate::Gate;
use crate::log::OrgLog;
use crate::logs::Logs;
use crate::peers::Peers;
use crate::store::{Db, stored};
use crate::tripwires::Tripwires;
use crate::turnstile::Turnstile;
use crate::vendor::Followed;

/// The server.
#[derive(Debug)]
pub struct App {
    /// What it was told at the start.
    pub config: Config,
    /// Its records.
    pub db: Db,
    /// The organizations that have begun.
    pub orgs: Orgs,
    /// Witnesses and beacons, and the connections to them.
    pub peers: Peers,
    /// Agents that are connected.
    pub gate: Gate,
    /// The vendor's feeds that are followed.
    pub vendor: Followed,
    /// The feed that is served, if any.
    pub feed: Option<Arc<Served>>,
    /// Who watches which job.
    pub events: Events,
    /// What wakes those who watch the organizations' tripwires.
    pub tripwires: Tripwires,
    /// Requests under way.
    pub turnstile: Turnstile,
    /// SHA-256 of the public key of the server's certificate.
    pub tls_pin: Sha256,
    /// SHA-256 of the setup token.
    pub setup_hash: Sha256,
    /// Milliseconds since 1970.
    pub now_ms: fn() -> u64,
    /// True once the server stops.
    pub stop: watch::Sender<bool>,
}

impl App {
    /// The time in seconds.
    pub fn now(&self) -> Time {
        Time((self.now_ms)() / 1_000)
    }

    /// Waits until the server stops.
    pub async fn stopping(&self) {
        // An error means that the sender is gone, which is this very value: the server has stopped.
        let _ = self.stop.subscribe().wait_for(|stopped| *stopped).await;
    }
}

/// An organization.
#[derive(Debug)]
pub struct Org {
    /// Its id.
    pub id: OrgId,
    /// What people call it.
    pub name: String,
    /// Held to read by whoever writes down where something stands in the log, and to write while another log takes its place.
    pub replacing: tokio::sync::RwLock<()>,
    /// The server's own halt key for it.
    pub halt_signer: SshSigner,
    /// Held while a statement's signatures are put together with those that are stored.
    pub intake: tokio::sync::Mutex<()>,
    /// Held while the chain is offered something: what is in memory is what the records have, in the same order.
    pub offering: tokio::sync::Mutex<()>,
    /// Held by whoever goes on bringing beacons what they lack.
    pub bringing: tokio::sync::Mutex<()>,
    chain: RwLock<Chain>,
    logs: RwLock<Logs>,
}

impl Org {
    /// An organization with what it has decided so far.
    pub fn new(name: String, chain: Chain, logs: Logs, halt_signer: SshSigner) -> Self {
        let [intake, offering, bringing] = std::array::from_fn(|_| tokio::sync::Mutex::default());
        let replacing = tokio::sync::RwLock::default();
        let (id, chain, logs) = (chain.org(), RwLock::new(chain), RwLock::new(logs));
        Self { id, name, replacing, halt_signer, intake, offering, bringing, chain, logs }
    }

    /// Its log.
    pub fn log(&self) -> Arc<OrgLog> {
        self.logs().current.clone()
    }

    /// Its logs.
    pub fn logs(&self) -> RwLockReadGuard<'_, Logs> {
        self.logs.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its logs, to begin or to replace one.
    pub fn logs_mut(&self) -> RwLockWriteGuard<'_, Logs> {
        self.logs.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what a proof shows counts in the log it is of: below the size at which another took its place.
    pub fn still_counts(&self, proof: &Proof) -> bool {
        let log = self.logs().of(proof);
        log.is_some_and(|log| log.end().is_none_or(|end| proof.index < end))
    }

    /// Where a proof shows its leaf to stand, as the records have it: in which of the logs that policies have named, and its index.
    pub fn place_of(&self, proof: &Proof) -> (i64, i64) {
        let nth = self.logs().of(proof).map_or(0, |log| log.which().nth);
        (i64::try_from(nth).unwrap_or(i64::MAX), stored(proof.index))
    }

    /// What it has decided so far. Never to be held over an await.
    pub fn chain(&self) -> RwLockReadGuard<'_, Chain> {
        self.chain.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts another chain in its place. For [`crate::held`] alone, which writes down before what makes it another.
    pub(crate) fn hold(&self, chain: Chain) {
        *self.chain.write().unwrap_or_else(PoisonError::into_inner) = chain;
    }

    /// A copy of what it has decided so far.
    pub fn chain_now(&self) -> Chain {
        self.chain().clone()
    }
}

/// The organizations that have begun.
#[derive(Debug, Default)]
pub struct Orgs(RwLock<BTreeMap<OrgId, Arc<Org>>>);

impl Orgs {
    /// The organization with this id.
    pub fn get(&self, id: &OrgId) -> Option<Arc<Org>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Org>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Adds one.
    pub fn insert(&self, org: Arc<Org>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(org.id, org);
    }
}
