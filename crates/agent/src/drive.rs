//! The one loop: what comes in goes to the device, what the device wants is done. No rule stands here.
//!
//! The device remembers in memory and on disk alike. When the disk cannot follow, or anything else shows that the two
//! have parted, all that runs is stopped, everything in memory is dropped, and life begins anew from the disk.

mod output;
mod runs;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use countersign_trust::chain::Chain;
use countersign_trust::delivery::{News, read_sequence};
use countersign_trust::device::{Device, Input, Moment, Output};
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::ledger::{Ledger, LedgerError};
use countersign_trust::note::{Note, NoteSigner, VerifierKeyError};
use countersign_trust::time::Reading;
use countersign_wire::message::{Canary, Challenge, Halted, Hello, Receipt, from_agent};
use rustls::ClientConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::beacons::{self, Question};
use crate::canary::{Said, Sights, Watch};
use crate::disk::kept::Kept;
use crate::disk::ledger::LedgerFile;
use crate::disk::{DiskError, Folder};
use crate::enroll::device_signer;
use crate::link::{self, Sender, Server};
use crate::os::{self, OsConfig};
use crate::tls::{self, Identity, TlsError};
use runs::Runs;

/// This program's version, by which a halt of a component may mean it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How much of what is heard waits for the loop.
const WAITING: usize = 64;
/// How many questions to beacons may be open at a time.
const MOST_QUESTIONS: usize = 4;
/// How many beacons may tell their news at a time: a lying one can make them long and slow, and must not keep out the others.
const MOST_NEWS: usize = 2;
/// How long stopping may take: longer than killing does.
const STOP_WITHIN: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_secs(1);

/// What the machine's clocks say.
pub type Clock = Arc<dyn Fn() -> Reading + Send + Sync>;

/// What the loop hears.
#[derive(Debug)]
pub enum Heard {
    /// A server is there, and this is how to speak to it.
    Up(Sender),
    /// It is gone.
    Down,
    /// Something for the device.
    Input(Input),
    /// What is at the places of the canaries.
    Seen(Sights),
    /// A server has written down the canary's note with this hash.
    CanaryKept(Sha256),
    /// Something for the device from outside, with the room that it takes until it is dealt with.
    Brought(Input, OwnedSemaphorePermit),
}

/// Why the loop ended.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The disk cannot be read or written.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The device made a record it does not take: a bug.
    #[error("the device contradicts itself: {0}")]
    Ledger(#[from] LedgerError),
    /// No TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No key.
    #[error(transparent)]
    Key(#[from] VerifierKeyError),
    /// The folder belongs to two devices.
    #[error("the ledger is {ledger}'s, the key makes {key}: this folder was put together from two machines")]
    TwoDevices {
        /// Whom the ledger enrolls.
        ledger: DeviceId,
        /// Whose key it is.
        key: DeviceId,
    },
    /// No random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

impl DriveError {
    /// Whether beginning anew from the disk may help.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Disk(DiskError::Io { .. }) | Self::Ledger(_) | Self::Random)
    }
}

struct Drive<'a> {
    folder: &'a Folder,
    file: LedgerFile,
    kept: Kept,
    device: Device,
    clock: Clock,
    runs: Runs,
    canaries: Watch,
    servers: watch::Sender<Vec<Server>>,
    link: watch::Sender<Option<Sender>>,
    beacon_tls: Arc<ClientConfig>,
    questions: JoinSet<()>,
    news: Arc<Semaphore>,
    to: mpsc::Sender<Heard>,
    /// The name of the last Hello; 0 before the first.
    hello: u64,
    /// The active halts that the server of this connection was told of.
    told: BTreeSet<Sha256>,
    stopping: bool,
}

/// A device's life from what `folder` holds, until `shutdown` or until the disk fails. Whatever runs is killed at its end.
///
/// # Errors
/// Nothing of the input that met the error has had an effect.
pub async fn live(
    folder: &Folder,
    clock: Clock,
    mut shutdown: std::pin::Pin<&mut (impl Future<Output = ()> + ?Sized)>,
) -> Result<(), DriveError> {
    let seed = folder.seed()?;
    let (file, ledger) = folder.open_ledger()?;
    let signer = device_signer(&seed)?;
    same_device(&ledger, &signer)?;
    let os = OsConfig::detect_for(&realm(folder)?);
    let left = os::sweep(&os);
    if !left.is_empty() {
        tracing::warn!(run.count = left.len(), "killed what an earlier life of this agent left running");
    }
    let (to, mut heard) = mpsc::channel(WAITING);
    let (servers, named) = watch::channel(Vec::new());
    let (link, linked) = watch::channel(None);
    let mut drive = Drive {
        folder,
        file,
        kept: folder.kept(),
        device: Device::new(ledger, signer, VERSION.to_owned()),
        clock,
        canaries: Watch::new(folder, device_signer(&seed)?, to.clone()),
        runs: Runs::new(os, folder.output()?, linked, to.clone())?,
        servers,
        link,
        beacon_tls: tls::to_beacon()?,
        questions: JoinSet::new(),
        news: Arc::new(Semaphore::new(MOST_NEWS)),
        to: to.clone(),
        hello: 0,
        told: BTreeSet::new(),
        stopping: false,
    };
    drive.hear(Input::Started)?;
    // A halt that was brought by hand while nobody worked here comes before all that a server may say.
    drive.read_letters()?;
    let mut keeper = JoinSet::new();
    keeper.spawn(link::keep(Identity::new(&seed)?, named, to));
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            _ = ticks.tick() => drive.tick()?,
            Some(heard) = heard.recv() => drive.take(heard)?,
        }
    }
    keeper.abort_all();
    drive.stop(&mut heard).await
}

fn same_device(ledger: &Ledger, signer: &NoteSigner) -> Result<(), DriveError> {
    let key = DeviceId::of_key(signer.verifier().raw());
    match ledger.enrolled().map(|enrolled| enrolled.device) {
        Some(ledger) if ledger != key => Err(DriveError::TwoDevices { ledger, key }),
        _ => Ok(()),
    }
}

/// Each folder has a realm of its own: what an agent left behind that worked here is killed, and nobody else's.
fn realm(folder: &Folder) -> Result<String, DiskError> {
    let place = Sha256::of(folder.real_path()?.as_os_str().as_encoded_bytes()).to_string();
    Ok(format!("countersign-{}", place.chars().take(12).collect::<String>()))
}

impl Drive<'_> {
    fn take(&mut self, heard: Heard) -> Result<(), DriveError> {
        match heard {
            Heard::Up(sender) => {
                let (host, system) = (os::hostname().unwrap_or_default(), system());
                let said = hello(self.device.ledger(), host, system);
                let hello = Hello { name: name()?, before: self.hello, ..said };
                (self.hello, self.told) = (hello.name, BTreeSet::new());
                sender.send(from_agent::What::Hello(hello));
                self.canaries.notes().for_each(|note| sender.send(canary(note)));
                self.link.send_replace(Some(sender));
                self.hear(Input::Connected)
            }
            Heard::Down => {
                self.link.send_replace(None);
                self.hear(Input::Disconnected)
            }
            Heard::Input(input) => {
                if let Input::Ended(key, _) = &input {
                    self.runs.ended(key);
                }
                self.hear(input)
            }
            Heard::Brought(input, _room) => self.hear(input),
            Heard::Seen(sights) => {
                let said = self.said();
                let new = said.map(|said| self.canaries.seen(self.folder, sights, &said)).unwrap_or_default();
                new.iter().for_each(|note| self.send(canary(note)));
                Ok(())
            }
            Heard::CanaryKept(hash) => {
                self.canaries.kept(self.folder, &hash);
                Ok(())
            }
        }
    }

    /// Who says something about canaries, and when; nobody, if this device is of no organization.
    fn said(&self) -> Option<Said> {
        let ledger = self.device.ledger();
        let (chain, me, now) = (ledger.chain()?, ledger.enrolled()?, (self.clock)());
        let paths = chain.policy().body.canaries().into_iter().cloned().collect();
        let (policy, time) = (chain.policy().hash, self.device.earliest(now));
        Some(Said { org: chain.org(), device: me.device, policy, time, paths, wall_ms: now.wall_ms })
    }

    fn tick(&mut self) -> Result<(), DriveError> {
        self.device.set_disk_full(self.file.is_full());
        self.read_letters()?;
        if let Some(said) = self.said() {
            self.canaries.look(said.paths);
        }
        self.hear(Input::Tick)
    }

    /// Takes in what somebody brought by hand.
    fn read_letters(&mut self) -> Result<(), DriveError> {
        for letter in self.folder.take_letters()? {
            let (news, unread) = letter.text.as_deref().map_or((Vec::new(), 1), read_news);
            if unread > 0 {
                tracing::warn!(
                    news.unread = unread,
                    "what is neither policy, resume nor halt in a letter is passed over"
                );
            }
            self.hear(Input::News(news))?;
            // One that stays is known when it is read again.
            if let Err(error) = self.folder.throw_away(&letter) {
                tracing::warn!(%error, "a letter cannot be thrown away");
            }
        }
        Ok(())
    }

    /// Tells the device, and does what it wants. What it wants written down comes first and all at once, so that the
    /// disk holds all of what one input did, or none of it.
    fn hear(&mut self, input: Input) -> Result<(), DriveError> {
        let moment = Moment { now: (self.clock)(), random: random()? };
        let (mut records, mut effects) = (Vec::new(), Vec::new());
        for output in self.device.handle(input, moment)? {
            match output {
                Output::Persist(more) => records.extend(more),
                effect => effects.push(effect),
            }
        }
        if !records.is_empty() {
            self.file.append(&records)?;
        }
        effects.into_iter().for_each(|effect| self.act(effect));
        self.tell_halts();
        self.file.rewrite_if_worth_it(self.device.ledger())?;
        self.name_servers();
        Ok(())
    }

    fn act(&mut self, effect: Output) {
        match effect {
            // Written down before; see above.
            Output::Persist(_) => {}
            Output::LeaveChallenge(random) => {
                self.send(from_agent::What::Challenge(Challenge { random: random.to_vec() }));
            }
            Output::SendReceipt(note) => {
                self.send(from_agent::What::Receipt(Receipt { note: note.to_string() }));
            }
            Output::AskBeacons(challenge) => self.ask(&challenge),
            // What was accepted while stopping stands in the ledger and will be `interrupted`.
            Output::Run(_) if self.stopping => {}
            Output::Run(job) => {
                tracing::info!(job.hash = %job.key().job, job.step = job.key().step, "runs a step");
                // Without a chain nothing is accepted.
                if let Some(chain) = self.device.ledger().chain() {
                    self.runs.start(&job, &chain.policy().body);
                }
            }
            // What little room there is, is for the ledger.
            Output::Keep(_) if self.file.is_full() => {}
            Output::Keep(keep) => self.kept.keep(&keep, self.device.ledger().floor()),
            Output::Kill(key, refusal) => {
                tracing::warn!(job.hash = %key.job, why = %refusal, "kills a step");
                self.runs.kill(&key, refusal.to_string());
            }
        }
    }

    fn send(&self, what: from_agent::What) {
        if let Some(sender) = &*self.link.borrow() {
            sender.send(what);
        }
    }

    /// Tells the server which halts are on disk here, if it has not been told.
    fn tell_halts(&mut self) {
        if self.link.borrow().is_none() {
            return;
        }
        let active = self.chain().map(|chain| chain.active_halts().map(|halt| halt.hash));
        let active: BTreeSet<Sha256> = active.into_iter().flatten().collect();
        if active != self.told {
            self.send(from_agent::What::Halted(Halted::by(active.iter().copied())));
            self.told = active;
        }
    }

    fn ask(&mut self, challenge: &[u8; 32]) {
        while self.questions.try_join_next().is_some() {}
        let Some(chain) = self.chain().filter(|_| self.questions.len() < MOST_QUESTIONS) else { return };
        let question = Question::new(chain, challenge);
        let (tls, room) = (self.beacon_tls.clone(), self.news.clone());
        self.questions.spawn(beacons::ask(question, tls, room, self.to.clone()));
    }

    /// Tells the link which servers the newest policy names.
    fn name_servers(&self) {
        let Some(chain) = self.chain() else { return };
        let named = link::servers(&chain.policy().body);
        self.servers.send_if_modified(|held| {
            let differs = *held != named;
            *held = named;
            differs
        });
    }

    fn chain(&self) -> Option<&Chain> {
        self.device.ledger().chain()
    }

    /// Kills what runs and writes down how it ended.
    async fn stop(mut self, heard: &mut mpsc::Receiver<Heard>) -> Result<(), DriveError> {
        (self.stopping, _) = (true, self.link.send_replace(None));
        self.questions.abort_all();
        self.runs.kill_all("the agent was stopped");
        let all_ended = async {
            while !self.runs.is_empty() {
                match heard.recv().await {
                    Some(Heard::Input(input @ Input::Ended(..))) => self.take(Heard::Input(input))?,
                    Some(_) => {}
                    None => break,
                }
            }
            Ok(())
        };
        // What does not die in time is found started at the next start.
        timeout(STOP_WITHIN, all_ended).await.unwrap_or(Ok(()))
    }
}

fn canary(note: &Note) -> from_agent::What {
    from_agent::What::Canary(Canary { note: note.to_string() })
}

/// One envelope, or a sequence of them; and how many of these cannot be read: none keeps the others away.
pub(crate) fn read_news(text: &str) -> (Vec<News>, usize) {
    let texts = read_sequence(text).unwrap_or_else(|| vec![text]);
    let news: Vec<News> = texts.iter().filter_map(|text| News::from_text(text).ok()).collect();
    let unread = texts.len() - news.len();
    (news, unread)
}

/// How many resumes and halts a Hello names: half of what a server reads.
const MOST_HELD: usize = 2_048;

/// What a server need not bring. A halt that was lifted is brought to nobody, and what is left out is only brought once more: of a
/// history without end the newest is named, since a Hello that is too long ends the connection.
fn held(chain: &Chain) -> Vec<String> {
    let halts = chain.halts().map(|halt| halt.hash).filter(|halt| !chain.has_lifted(halt));
    let resumes = chain.resumes().iter().rev().map(|resume| resume.hash);
    halts.chain(resumes).take(MOST_HELD).map(|hash| hash.to_string()).collect()
}

/// Who a device is that holds `ledger`: `hostname` and `system` are what its machine says of itself.
pub fn hello(ledger: &Ledger, hostname: String, system: String) -> Hello {
    let chain = ledger.chain();
    Hello {
        version: VERSION.to_owned(),
        org: chain.map(|chain| chain.org().to_string()).unwrap_or_default(),
        policy_number: chain.map(|chain| chain.policy().body.number).unwrap_or_default(),
        holds: chain.map(held).unwrap_or_default(),
        hostname,
        system,
        enroll: ledger.enrolled().map(|held| held.enroll.to_string()).unwrap_or_default(),
        ..Hello::default()
    }
}

fn system() -> String {
    let facts = os::os_facts();
    format!("{}, {} {}", facts.name, facts.kernel, facts.arch)
}

/// A name for a Hello. Never drawn twice by two agents that are copies of each other.
fn name() -> Result<u64, DriveError> {
    let drawn = random()?;
    let (name, _) = drawn.split_first_chunk::<8>().ok_or(DriveError::Random)?;
    Ok(u64::from_le_bytes(*name))
}

fn random() -> Result<[u8; 32], DriveError> {
    let mut random = [0; 32];
    let filled = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random);
    filled.map(|()| random).map_err(|_| DriveError::Random)
}
