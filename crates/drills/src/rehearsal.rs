//! A whole organization without sockets and without waiting: one clock, and a hand on every wire.
//!
//! Devices are the real [`Device`](countersign_trust::device::Device) with what they wrote down on a virtual disk; beacons
//! and witnesses are the real ones, each on a folder in memory; frames and notes are encoded and read again as on a real wire. Only the
//! server is a sketch: it is the mailman, and nobody believes it. The same seed gives the same story, byte for byte.
//!
//! | file | what it has |
//! | --- | --- |
//! | [`wire`] | letters, the hand, and what comes when |
//! | [`machine`] | a device with its disk, its two clocks and its power |
//! | [`independent`] | beacons and witnesses, honest ones and one that lies |
//! | [`log`] | the organization's log, and a thief's copy of it |
//! | [`mailman`] | what an honest server does |
//! | [`people`] | what people decide and sign |
//! | [`story`] | what happened, for people to read |
//! | [`thief`] | what somebody can do who has the server |
//! | [`chance`] | random numbers from a seed |

pub mod chance;
pub mod independent;
pub mod log;
pub mod machine;
pub mod mailman;
pub mod people;
mod reach;
pub mod story;
pub mod thief;
pub mod wire;

use std::collections::{BTreeMap, BTreeSet};

use countersign_trust::chain::Chain;
use countersign_trust::clear::Acknowledgement;
use countersign_trust::device::{Ending, Input, Output};
use countersign_trust::envelope::Logged;
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::ledger::StepKey;
use countersign_trust::note::Note;
use countersign_trust::receipt::{Receipt, Verdict};
use countersign_trust::statement::job::Job;
use countersign_trust::statement::policy::Policy;
use countersign_trust::time::Time;
use countersign_wire::message::{Challenge, Receipt as ReceiptMessage, from_agent};

use crate::organization::NOON;
use chance::Chance;
use independent::{Beacon, Witness};
use log::Log;
use machine::{Heard, Machine, Start};
use mailman::Mailman;
use story::Story;
use wire::{Hand, Letter, Parcel, Who, Wires};

/// How long a letter takes if nobody holds it, in milliseconds.
const LATENCY_MS: u64 = 20;
/// How long a step runs if nobody says otherwise, in milliseconds.
const RUN_MS: u64 = 2_000;

/// What the world begins with.
pub struct Setup {
    /// From which all random numbers come.
    pub seed: u64,
    /// How many machines are enrolled.
    pub machines: usize,
    /// How many beacons there are; the policy names the first four.
    pub beacons: usize,
    /// What the genesis policy says otherwise.
    pub policy: fn(&mut Policy),
}

impl Default for Setup {
    fn default() -> Self {
        Self { seed: 1, machines: 2, beacons: 4, policy: |_| () }
    }
}

/// Everything.
pub struct World {
    /// What time it really is, in milliseconds since 1970.
    pub now_ms: u64,
    /// How often the machines' clocks tick, in milliseconds.
    pub tick_ms: u64,
    /// The machines.
    pub machines: Vec<Machine>,
    /// The beacons.
    pub beacons: Vec<Beacon>,
    /// The witnesses.
    pub witnesses: Vec<Witness>,
    /// The server.
    pub mailman: Mailman,
    /// The organization.
    pub org: OrgId,
    /// Its genesis policy.
    pub genesis: Logged,
    /// What the people have decided, as they know it.
    pub chain: Chain,
    /// The hand on every wire.
    pub hand: Hand,
    /// What happened.
    pub story: Story,
    /// Every step that ever began.
    pub starts: Vec<Start>,
    /// Every step that was ended by a machine itself, and why.
    pub kills: Vec<(usize, StepKey, String)>,
    /// For each halt, which beacons have acknowledged it, and when.
    pub acknowledged: BTreeMap<Sha256, BTreeMap<String, u64>>,
    /// How long a step of a job runs, where not two seconds, in milliseconds.
    pub durations: BTreeMap<Sha256, u64>,
    /// Random numbers.
    pub chance: Chance,
    wires: Wires,
    next_tick_ms: u64,
    serial: u64,
    _folder: tempfile::TempDir,
}

impl World {
    /// Anna, Bo and Cia's organization with so many machines, connected, at noon.
    pub fn new(machines: usize) -> Self {
        Self::found(Setup { machines, ..Setup::default() })
    }

    /// The same as somebody wants it.
    ///
    /// # Panics
    /// The organization does not come to be.
    pub fn found(setup: Setup) -> Self {
        let folder = tempfile::Builder::new().tempdir_in(independent::memory()).unwrap();
        let (policy, signed) = people::genesis(setup.policy);
        let org = OrgId(signed.hash().0);
        let start_ms = (NOON - 60) * 1_000;
        let mut witnesses: Vec<Witness> = independent::witnesses(folder.path());
        let log = Log::begin(&policy, org, &signed, &mut witnesses, start_ms);
        let genesis = Logged { signed, proof: log.proof(0) };
        let beacons = independent::beacons(folder.path(), setup.beacons, org, &genesis, start_ms);
        let chain = people::begin(org, &genesis);
        let mut world = Self {
            now_ms: start_ms,
            tick_ms: 1_000,
            machines: Vec::new(),
            beacons,
            witnesses,
            mailman: Mailman::new(log),
            org,
            genesis,
            chain,
            hand: wire::honest(),
            story: Story::default(),
            starts: Vec::new(),
            kills: Vec::new(),
            acknowledged: BTreeMap::new(),
            durations: BTreeMap::new(),
            chance: Chance::new(setup.seed),
            wires: Wires::default(),
            next_tick_ms: start_ms,
            serial: 0,
            _folder: folder,
        };
        world.enroll(setup.machines);
        world.pass(60);
        world
    }

    /// The time in whole seconds.
    pub fn now(&self) -> Time {
        Time(self.now_ms / 1_000)
    }

    /// Lets so many seconds pass.
    pub fn pass(&mut self, seconds: u64) {
        self.pass_ms(seconds * 1_000);
    }

    /// Lets so many milliseconds pass: letters arrive, steps end, clocks tick.
    pub fn pass_ms(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        loop {
            let letter = self.wires.next_due();
            let due = letter.map_or(self.next_tick_ms, |due| due.min(self.next_tick_ms));
            if due > end {
                break;
            }
            self.now_ms = self.now_ms.max(due);
            if letter == Some(due) {
                let letter = self.wires.take().unwrap();
                self.arrives(letter);
            } else {
                self.next_tick_ms += self.tick_ms;
                self.tick();
            }
        }
        self.now_ms = end;
    }

    fn tick(&mut self) {
        for index in 0..self.machines.len() {
            if self.machines[index].is_up() {
                self.hear(index, Input::Tick);
            }
        }
        self.mailman_ticks();
    }

    /// Puts a letter on its wire, where the hand is.
    pub fn send(&mut self, from: Who, to: Who, parcel: Parcel) {
        let letter = Letter { from, to, parcel };
        for (delay_ms, letter) in (self.hand)(letter) {
            self.put(self.now_ms + LATENCY_MS + delay_ms, letter);
        }
    }

    /// Puts a letter behind the hand.
    pub fn put(&mut self, due_ms: u64, letter: Letter) {
        self.wires.put(due_ms, letter);
    }

    fn arrives(&mut self, Letter { from, to, parcel }: Letter) {
        match to {
            Who::Machine(index) => self.at_machine(index, from, parcel),
            Who::Server => self.at_server(from, parcel),
            Who::Beacon(index) => self.at_beacon(index, from, parcel),
            Who::People => self.at_people(from, &parcel),
        }
    }

    fn at_machine(&mut self, index: usize, from: Who, parcel: Parcel) {
        let machine = &mut self.machines[index];
        if !machine.is_up() {
            return;
        }
        match parcel {
            Parcel::Frame(bytes) if machine.connected => match machine::read_frame(&bytes) {
                Ok(Some(input)) => self.hear(index, input),
                Ok(None) => {}
                Err(why) => self.cut_off(index, &why),
            },
            Parcel::Clear { root, note, news } => {
                if let Who::Beacon(_) = from {
                    for input in self.machines[index].answered(&root, &note, &news) {
                        self.hear(index, input);
                    }
                }
            }
            Parcel::Ends { boot, key, ending } if machine.boot() == boot => self.end(index, key, ending),
            _ => {}
        }
    }

    /// A step ends, if it still runs.
    pub fn end(&mut self, index: usize, key: StepKey, ending: Ending) {
        if self.machines[index].running.remove(&key) {
            self.hear(index, Input::Ended(key, ending));
        }
    }

    /// A machine hears something, and does what its device wants, in order.
    ///
    /// # Panics
    /// Something would start that is not on the disk.
    pub fn hear(&mut self, index: usize, input: Input) {
        let (now_ms, random) = (self.now_ms, self.chance.bytes());
        let Heard { effects, cut } = self.machines[index].hear(input, now_ms, random);
        if cut {
            let name = self.machines[index].name.clone();
            self.story.add(now_ms, &name, "loses power".to_owned());
        }
        for effect in effects {
            self.act(index, effect);
        }
    }

    fn act(&mut self, index: usize, effect: Output) {
        match effect {
            Output::LeaveChallenge(random) => {
                self.send_to_server(index, from_agent::What::Challenge(Challenge { random: random.to_vec() }))
            }
            Output::SendReceipt(note) => self.send_receipt(index, note),
            Output::AskBeacons(challenge) => self.ask_beacons(index, challenge),
            Output::Run(job) => self.begin(index, job.key(), job.job().clone()),
            Output::Kill(key, refusal) => self.kill(index, key, refusal.to_string()),
            // Written down by the machine before anything else.
            _ => {}
        }
    }

    fn send_receipt(&mut self, index: usize, note: Note) {
        let receipt: Receipt = note.text().parse().unwrap();
        let machine = &mut self.machines[index];
        assert!(note.signed_by(&machine.key), "a receipt that is not signed by its machine");
        if let Err(place) = machine.sent.binary_search_by_key(&receipt.number, |sent| sent.number) {
            let line = story::of_receipt(&receipt, &self.story);
            self.story.add(self.now_ms, &machine.name, line);
            machine.sent.insert(place, receipt);
        }
        self.send_to_server(index, from_agent::What::Receipt(ReceiptMessage { note: note.to_string() }));
    }

    fn send_to_server(&mut self, index: usize, what: from_agent::What) {
        if self.machines[index].connected {
            self.send(Who::Machine(index), Who::Server, Parcel::of_agent(what));
        }
    }

    fn ask_beacons(&mut self, index: usize, challenge: [u8; 32]) {
        let (root, named) = self.machines[index].asks(challenge);
        for (number, beacon) in (0..).zip(&self.beacons) {
            if named.contains(beacon.key()) {
                let question = Letter {
                    from: Who::Machine(index),
                    to: Who::Beacon(number),
                    parcel: Parcel::Question(root),
                };
                for (delay_ms, letter) in (self.hand)(question) {
                    self.wires.put(self.now_ms + LATENCY_MS + delay_ms, letter);
                }
            }
        }
    }

    fn begin(&mut self, index: usize, key: StepKey, job: Job) {
        let machine = &mut self.machines[index];
        assert!(machine.on_disk_as_accepted(key), "{} began a step that is not on its disk", machine.name);
        machine.running.insert(key);
        let due = self.now_ms + self.durations.get(&key.job).copied().unwrap_or(RUN_MS);
        let parcel = Parcel::Ends { boot: machine.boot(), key, ending: machine::well() };
        self.wires.put(due, Letter { from: Who::Machine(index), to: Who::Machine(index), parcel });
        self.starts.push(Start { machine: index, key, at_ms: self.now_ms, job });
    }

    fn kill(&mut self, index: usize, key: StepKey, why: String) {
        let line = format!("kills {}: {why}", self.story.name_of(&key.job));
        self.story.add(self.now_ms, &self.machines[index].name, line);
        self.kills.push((index, key, why));
        let parcel = Parcel::Ends { boot: self.machines[index].boot(), key, ending: machine::killed() };
        self.wires.put(self.now_ms, Letter { from: Who::Machine(index), to: Who::Machine(index), parcel });
    }

    fn at_beacon(&mut self, index: usize, from: Who, parcel: Parcel) {
        let (org, now_ms) = (self.org, self.now_ms);
        match parcel {
            Parcel::Question(root) => {
                let Some(note) = self.beacons[index].clear(org, &root, now_ms) else { return };
                let news = match from {
                    Who::Machine(machine) => self.news_for(machine, index, &note),
                    _ => String::new(),
                };
                let parcel = Parcel::Clear { root, note: note.to_string(), news };
                self.send(Who::Beacon(index), from, parcel);
            }
            Parcel::News(text) => self.beacons[index].take(org, &text, now_ms),
            Parcel::Halt(text) => {
                if let Some(note) = self.beacons[index].halt(org, &text) {
                    self.has_acknowledged(&note);
                    self.send(Who::Beacon(index), from, Parcel::Acknowledgement(note.to_string()));
                }
            }
            _ => {}
        }
    }

    /// An agent that sees itself behind asks the beacon for what it lacks.
    fn news_for(&self, machine: usize, beacon: usize, note: &Note) -> String {
        match self.machines[machine].is_behind(note) {
            Some(after) => self.beacons[beacon].news(self.org, after, self.now_ms),
            None => String::new(),
        }
    }

    /// Writes down when a beacon took a halt: from here on no Clear without it leaves.
    fn has_acknowledged(&mut self, note: &Note) {
        let said: Acknowledgement = note.text().parse().unwrap();
        let by = note.signatures()[0].name().to_owned();
        self.acknowledged.entry(said.halt).or_default().entry(by).or_insert(self.now_ms);
    }

    fn at_people(&mut self, from: Who, parcel: &Parcel) {
        if let (Parcel::Acknowledgement(text), Who::Beacon(index)) = (parcel, from) {
            let note: Note = text.parse().unwrap();
            let said: Acknowledgement = note.text().parse().unwrap();
            let line = format!("has {} on its disk", self.story.name_of(&said.halt));
            self.story.add(self.now_ms, &self.beacons[index].name, line);
        }
    }

    /// When n-m+2 of the newest policy's beacons had acknowledged a halt; none if they have not.
    pub fn set_at_ms(&self, halt: &Sha256) -> Option<u64> {
        let beacons = &self.chain.policy().body.beacons;
        let named: BTreeSet<&str> = beacons.keys.iter().map(|key| key.name()).collect();
        let enough = named.len() - usize::from(beacons.need.get()) + 2;
        let by = self.acknowledged.get(halt)?;
        let mut times: Vec<u64> =
            by.iter().filter(|(name, _)| named.contains(name.as_str())).map(|(_, at)| *at).collect();
        times.sort_unstable();
        times.get(enough - 1).copied()
    }

    /// What began on a machine, of one job.
    pub fn started(&self, index: usize, job: &Sha256) -> Vec<&Start> {
        self.starts.iter().filter(|start| start.machine == index && start.key.job == *job).collect()
    }

    /// The verdict of a machine's last receipt about a job, and why.
    pub fn said(&self, index: usize, job: &Sha256) -> Option<(Verdict, String)> {
        let about = self.machines[index].sent.iter().rev().find(|receipt| receipt.job == Some(*job))?;
        Some((about.verdict, about.because.to_string()))
    }

    /// Every reason for which a machine refused a job, in order.
    pub fn refusals(&self, index: usize, job: &Sha256) -> Vec<String> {
        let about = self.machines[index].sent.iter().filter(|receipt| receipt.job == Some(*job));
        about.filter(|said| said.verdict == Verdict::Refused).map(|said| said.because.to_string()).collect()
    }

    /// Tells the story a line of somebody's.
    pub fn tell(&mut self, who: &str, what: impl Into<String>) {
        self.story.add(self.now_ms, who, what.into());
    }
}
