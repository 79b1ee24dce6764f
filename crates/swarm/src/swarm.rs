//! Many machines at once: a task each, and what they count together.

use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use countersign_agent::os::{BootReading, boot_reading};
use countersign_agent::tls::{TlsError, to_beacon};
use countersign_wire::message::from_server;
use countersign_wire::token::Token;
use prost::Message as _;
use rustls::ClientConfig;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cast::Machine;
use crate::join::Beginnings;
use crate::link;

/// How the machines behave.
#[derive(Clone, Debug)]
pub struct Conduct {
    /// How long a step takes at most; each machine takes between half of it and all of it. A script that begins with
    /// `sleep SECONDS` takes so long.
    pub takes: Duration,
    /// What a step prints; if nothing is said, each machine prints what it runs on.
    pub says: Option<String>,
    /// Whether beacons are asked directly when a device wants it: a TLS connection to each beacon, each time.
    pub asks_beacons: bool,
    /// How often a device is told that time passes.
    pub tick: Duration,
    /// What its clocks say; steps take as long as they take by this machine's.
    pub clock: fn() -> BootReading,
}

/// What a swarm is made of.
#[derive(Debug)]
pub struct Plan {
    /// The tokens it joins by; machines take them in turns.
    pub tokens: Vec<Token>,
    /// From which its machines are drawn.
    pub seed: u64,
    /// The number of its first machine.
    pub first: u64,
    /// How they behave.
    pub conduct: Conduct,
    /// How many may be connecting or joining at a time.
    pub at_a_time: usize,
}

/// What happened so far.
#[derive(Debug, Default)]
pub struct Counts {
    /// Machines that have joined.
    pub joined: AtomicU64,
    /// Machines that are connected now.
    pub connected: AtomicU64,
    /// Connections that did not come about or broke.
    pub failed: AtomicU64,
    /// Jobs that were delivered.
    pub delivered: AtomicU64,
    /// How large the deliveries were, all together.
    pub delivered_bytes: AtomicU64,
    /// What was sent over connections after their first words, all together.
    pub said_bytes: AtomicU64,
    /// How long devices took to judge them and to sign what they made of it, in microseconds of all together.
    pub judged_us: AtomicU64,
    /// Steps that were run.
    pub ran: AtomicU64,
    /// Receipts that were sent.
    pub receipts: AtomicU64,
    /// Receipts that were acknowledged.
    pub acknowledged: AtomicU64,
    /// Halts that devices took, each for itself.
    pub halts: Moments,
    /// Resumes that devices took.
    pub resumes: Moments,
    /// Steps that began.
    pub starts: Moments,
}

/// How often something happened, and when the last time.
#[derive(Debug)]
pub struct Moments {
    count: AtomicU64,
    last_us: AtomicU64,
    since: Instant,
}

impl Default for Moments {
    fn default() -> Self {
        Self { count: AtomicU64::new(0), last_us: AtomicU64::new(0), since: Instant::now() }
    }
}

impl Moments {
    /// It happens.
    pub fn note(&self) {
        let us = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last_us.fetch_max(us, Relaxed);
        self.count.fetch_add(1, Release);
    }

    /// How often it has happened.
    pub fn count(&self) -> u64 {
        self.count.load(Acquire)
    }

    /// When it last happened.
    pub fn last(&self) -> Instant {
        self.since + Duration::from_micros(self.last_us.load(Relaxed))
    }
}

/// What all machines of a swarm share.
#[derive(Debug)]
pub(crate) struct Crew {
    pub(crate) plan: Plan,
    pub(crate) counts: Counts,
    pub(crate) beginnings: Beginnings,
    /// How many machines are to be connected.
    pub(crate) wanted: watch::Sender<u64>,
    /// Who holds one of these may connect.
    pub(crate) turns: Semaphore,
    /// Who holds one of these may ask beacons.
    pub(crate) questions: Arc<Semaphore>,
    pub(crate) beacon_tls: Arc<ClientConfig>,
    last_failure: Mutex<Option<String>>,
}

/// Machines that go on by themselves. They are gone when it is dropped.
#[derive(Debug)]
pub struct Swarm {
    crew: Arc<Crew>,
    machines: JoinSet<()>,
}

impl Default for Conduct {
    fn default() -> Self {
        Self {
            takes: Duration::from_millis(200),
            says: None,
            asks_beacons: false,
            tick: Duration::from_secs(5),
            clock: boot_reading,
        }
    }
}

impl Plan {
    /// Machines that join by these tokens.
    pub fn new(tokens: Vec<Token>) -> Self {
        Self { tokens, seed: 1, first: 0, conduct: Conduct::default(), at_a_time: 512 }
    }
}

impl Swarm {
    /// A swarm without machines.
    ///
    /// # Errors
    /// TLS cannot be set up at all.
    pub fn new(plan: Plan) -> Result<Self, TlsError> {
        let crew = Crew {
            wanted: watch::Sender::new(u64::MAX),
            turns: Semaphore::new(plan.at_a_time),
            questions: Arc::new(Semaphore::new(64)),
            beacon_tls: to_beacon()?,
            counts: Counts::default(),
            beginnings: Beginnings::default(),
            last_failure: Mutex::default(),
            plan,
        };
        Ok(Self { crew: Arc::new(crew), machines: JoinSet::new() })
    }

    /// So many more machines, which join and connect by and by. Needs a tokio runtime.
    pub fn grow(&mut self, count: u64) {
        for _ in 0..count {
            let number = u64::try_from(self.machines.len()).unwrap_or(u64::MAX);
            let machine = self.machine(number);
            self.machines.spawn(link::live(self.crew.clone(), machine, number));
        }
    }

    /// Only the first `count` machines are to be connected; the others go, and come back when more are wanted.
    pub fn want(&self, count: u64) {
        self.crew.wanted.send_replace(count);
    }

    /// The `place`th machine of this swarm, counted from 0.
    pub fn machine(&self, place: u64) -> Machine {
        Machine::new(self.crew.plan.seed, self.crew.plan.first.saturating_add(place))
    }

    /// How many machines it has, connected or not.
    pub fn size(&self) -> usize {
        self.machines.len()
    }

    /// What happened so far.
    pub fn counts(&self) -> &Counts {
        &self.crew.counts
    }

    /// Why a connection last failed, if one did since this was last asked.
    pub fn take_failure(&self) -> Option<String> {
        self.crew.last_failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Counts {
    pub(crate) fn count(&self, what: &from_server::What) {
        if let from_server::What::Delivery(delivery) = what {
            let bytes = u64::try_from(delivery.encoded_len()).unwrap_or(0);
            self.delivered_bytes.fetch_add(bytes, Relaxed);
        }
    }
}

impl Crew {
    /// The token by which a machine joins at its `attempt`th attempt: a token that is used up is no reason to stay away.
    pub(crate) fn token(&self, machine: &Machine, attempt: u64) -> Option<&Token> {
        let count = u64::try_from(self.plan.tokens.len()).unwrap_or(0);
        let turn = machine.number.wrapping_add(attempt).checked_rem(count)?;
        self.plan.tokens.get(usize::try_from(turn).ok()?)
    }

    pub(crate) fn failed(&self, why: String) {
        self.counts.failed.fetch_add(1, Relaxed);
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }
}

/// The address in `host:port`, if the host is one.
pub(crate) fn ip_of(address: &str) -> Option<IpAddr> {
    let (host, _) = address.rsplit_once(':')?;
    host.trim_matches(['[', ']']).parse().ok()
}
