//! What an honest server does: it carries. Nobody believes it, so a sketch of it is enough here.
//!
//! It takes in statements, asks beacons once for all connected machines, brings deliveries, and puts receipts into the log. Told
//! to be silent it does nothing by itself, and a thief acts in its place.

use std::collections::BTreeMap;

use countersign_trust::clear::AnsweredClear;
use countersign_trust::delivery::{Delivery, News, TargetProof, read_sequence};
use countersign_trust::device::Acknowledged;
use countersign_trust::envelope::{Logged, Signed, leaf};
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::merkle::{Tree, leaf_hash};
use countersign_trust::note::Note;
use countersign_trust::receipt::Receipt;
use countersign_trust::verify::Code;
use countersign_wire::frame::{Decoder, MOST_FROM_AGENT};
use countersign_wire::message::{self, FromAgent, Hello, NewsTexts, from_agent, from_server};
use prost::Message as _;

use super::World;
use super::log::Log;
use super::wire::{Parcel, Who};

/// How long a round waits for the last beacons, in milliseconds.
const PATIENCE_MS: u64 = 2_000;
/// How often receipts go into the log, in milliseconds.
const BATCH_MS: u64 = 10_000;
/// How often a machine that refused for a passing reason is asked again.
const MOST_AGAIN: usize = 3;

/// A server's memory.
pub struct Mailman {
    /// Its log.
    pub log: Log,
    /// Whether it does nothing by itself.
    pub silent: bool,
    /// Logged jobs, by their hash.
    pub jobs: BTreeMap<Sha256, Posted>,
    /// The newest challenge that each machine left.
    pub challenges: BTreeMap<usize, [u8; 32]>,
    /// Policies, resumes and halts, in the order in which they came.
    pub news: Vec<News>,
    /// Advances of jobs' waves, logged, with their place in the log.
    pub advances: Vec<(Sha256, Signed, u64)>,
    /// Receipts, as they came.
    pub receipts: Vec<(usize, Note)>,
    rounds: BTreeMap<Sha256, Round>,
    unlogged: Vec<(usize, Note)>,
    batched_ms: u64,
}

/// A logged job.
pub struct Posted {
    /// The signatures and the statement, as they stand in the log.
    pub signed: Signed,
    /// Where it stands in the log.
    pub index: u64,
    /// Its targets, sorted; none for targets by label.
    pub targets: Vec<DeviceId>,
    /// On which machines it is to run.
    pub machines: Vec<usize>,
}

/// One question to all beacons.
struct Round {
    tree: Tree,
    places: BTreeMap<usize, u64>,
    errands: Vec<(Sha256, usize)>,
    clears: Vec<Note>,
    began_ms: u64,
}

impl Mailman {
    /// A server with an empty memory.
    pub fn new(log: Log) -> Self {
        Self {
            log,
            silent: false,
            jobs: BTreeMap::new(),
            challenges: BTreeMap::new(),
            news: Vec::new(),
            advances: Vec::new(),
            receipts: Vec::new(),
            rounds: BTreeMap::new(),
            unlogged: Vec::new(),
            batched_ms: 0,
        }
    }

    /// What a machine needs for a job, without news and Clears.
    pub fn delivery(&self, job: &Sha256, device: &DeviceId) -> Delivery {
        let posted = &self.jobs[job];
        let logged = Logged { signed: posted.signed.clone(), proof: self.log.proof(posted.index) };
        let target = target(&posted.targets, device);
        Delivery {
            job: logged,
            news: self.news.clone(),
            clears: Vec::new(),
            target,
            advances: self.advances_of(job),
        }
    }

    /// A job's advances, each with a proof from the newest checkpoint.
    pub fn advances_of(&self, job: &Sha256) -> Vec<Logged> {
        let of_job = self.advances.iter().filter(|(of, ..)| of == job);
        of_job
            .map(|(_, signed, index)| Logged { signed: signed.clone(), proof: self.log.proof(*index) })
            .collect()
    }

    /// Whether a job is still to be brought to a machine.
    fn is_open(&self, job: &Sha256, machine: usize) -> bool {
        let about = self.receipts.iter().filter(|(from, _)| *from == machine).map(|(_, note)| note);
        let about = about.filter_map(|note| note.text().parse::<Receipt>().ok());
        let about: Vec<Receipt> = about.filter(|receipt| receipt.job == Some(*job)).collect();
        let may_pass = |receipt: &Receipt| receipt.code.as_ref().is_some_and(Code::may_pass);
        about.len() <= MOST_AGAIN && about.iter().all(may_pass)
    }
}

/// The place of a device among targets; one who is no target gets the first's.
pub fn target(targets: &[DeviceId], device: &DeviceId) -> Option<TargetProof> {
    if targets.is_empty() {
        return None;
    }
    let tree: Tree = targets.iter().map(|id| leaf_hash(&id.0)).collect();
    let place = targets.iter().position(|id| id == device).unwrap_or(0);
    let index = u64::try_from(place).unwrap();
    Some(TargetProof { index, path: tree.inclusion(index, tree.size()).unwrap() })
}

impl World {
    pub(super) fn at_server(&mut self, from: Who, parcel: Parcel) {
        match (from, parcel) {
            (Who::Machine(machine), Parcel::Up(bytes)) => self.greeted(machine, &bytes),
            (Who::Machine(machine), Parcel::Frame(bytes)) => self.heard_from_agent(machine, &bytes),
            (Who::Beacon(_), Parcel::Clear { root, note, .. }) => self.round_answered(root, &note),
            (_, Parcel::News(text)) => self.server_takes(&text),
            _ => {}
        }
    }

    fn greeted(&mut self, machine: usize, bytes: &[u8]) {
        let hello = Hello::decode(bytes).unwrap_or_default();
        if self.mailman.silent {
            return;
        }
        let lacks = |news: &&News| match news {
            News::Policy(_) => true,
            news => !hello.holds.contains(&news.hash().to_string()),
        };
        let lacking: Vec<News> = self.mailman.news.iter().filter(lacks).cloned().collect();
        if !lacking.is_empty() {
            self.push_news(machine, &lacking);
        }
    }

    /// Sends a machine news.
    pub fn push_news(&mut self, machine: usize, news: &[News]) {
        let envelopes = news.iter().map(ToString::to_string).collect();
        let parcel = Parcel::of_server(from_server::What::News(NewsTexts { envelopes }));
        self.send(Who::Server, Who::Machine(machine), parcel);
    }

    fn heard_from_agent(&mut self, machine: usize, bytes: &[u8]) {
        let mut decoder = Decoder::new(MOST_FROM_AGENT);
        decoder.push(bytes);
        let what = match decoder.next_message::<FromAgent>() {
            Ok(message) => message.and_then(|message| message.what),
            Err(error) => {
                self.tell("the server", format!("closes the connection: {error}"));
                return;
            }
        };
        match what {
            Some(from_agent::What::Challenge(challenge)) => {
                let Ok(challenge) = challenge.random.try_into() else { return };
                self.mailman.challenges.insert(machine, challenge);
                if !self.mailman.silent {
                    self.bring_open(Some(machine));
                }
            }
            Some(from_agent::What::Receipt(receipt)) => self.server_keeps(machine, &receipt.note),
            _ => {}
        }
    }

    fn server_keeps(&mut self, machine: usize, note: &str) {
        let Ok(note) = note.parse::<Note>() else { return };
        if !note.signed_by(&self.machines[machine].key) {
            self.tell("the server", "keeps no receipt that its machine has not signed");
            return;
        }
        if !self.mailman.receipts.iter().any(|(_, kept)| kept.text() == note.text()) {
            self.mailman.receipts.push((machine, note.clone()));
        }
        self.mailman.unlogged.push((machine, note));
    }

    fn server_takes(&mut self, text: &str) {
        for text in read_sequence(text).unwrap_or_default() {
            let Ok(news) = News::from_text(text) else { continue };
            if self.mailman.news.iter().any(|held| held.hash() == news.hash()) {
                continue;
            }
            self.mailman.news.push(news.clone());
            for machine in 0..self.machines.len() {
                if !self.mailman.silent {
                    self.push_news(machine, std::slice::from_ref(&news));
                }
            }
        }
    }

    /// Begins a round for all that is open, on one machine or on all.
    pub fn bring_open(&mut self, only: Option<usize>) {
        let mut errands = Vec::new();
        for (hash, posted) in &self.mailman.jobs {
            let machines = posted.machines.iter().filter(|machine| only.is_none_or(|only| only == **machine));
            errands.extend(machines.filter(|m| self.mailman.is_open(hash, **m)).map(|m| (*hash, *m)));
        }
        errands.retain(|(_, machine)| self.mailman.challenges.contains_key(machine));
        if errands.is_empty() {
            return;
        }
        let places: Vec<usize> = self.mailman.challenges.keys().copied().collect();
        let tree: Tree = self.mailman.challenges.values().map(|challenge| leaf_hash(challenge)).collect();
        let root = tree.root();
        let round = Round {
            tree,
            places: places.into_iter().zip(0..).collect(),
            errands,
            clears: Vec::new(),
            began_ms: self.now_ms,
        };
        self.mailman.rounds.insert(root, round);
        let named = &self.chain.policy().body.beacons.keys;
        let asked = (0..).zip(&self.beacons).filter(|(_, beacon)| named.contains(beacon.key()));
        for beacon in asked.map(|(at, _)| at).collect::<Vec<usize>>() {
            self.send(Who::Server, Who::Beacon(beacon), Parcel::Question(root));
        }
    }

    fn round_answered(&mut self, root: Sha256, note: &str) {
        let (Some(round), Ok(note)) = (self.mailman.rounds.get_mut(&root), note.parse::<Note>()) else {
            return;
        };
        round.clears.push(note);
        if round.clears.len() == self.chain.policy().body.beacons.keys.len() {
            self.finish_round(&root);
        }
    }

    fn finish_round(&mut self, root: &Sha256) {
        let Some(round) = self.mailman.rounds.remove(root) else { return };
        for (job, machine) in &round.errands {
            let index = round.places[machine];
            let path = round.tree.inclusion(index, round.tree.size()).unwrap();
            let clear = |clear: &Note| AnsweredClear {
                clear: clear.clone(),
                index,
                size: round.tree.size(),
                path: path.clone(),
            };
            let clears = round.clears.iter().map(clear).collect();
            let delivery = Delivery { clears, ..self.mailman.delivery(job, &self.machines[*machine].id) };
            self.send(Who::Server, Who::Machine(*machine), parcel(&delivery));
        }
    }

    pub(super) fn mailman_ticks(&mut self) {
        if self.mailman.silent {
            return;
        }
        let late = |round: &Round| round.began_ms + PATIENCE_MS <= self.now_ms;
        let late: Vec<Sha256> =
            self.mailman.rounds.iter().filter(|(_, round)| late(round)).map(|(root, _)| *root).collect();
        late.iter().for_each(|root| self.finish_round(root));
        if self.mailman.batched_ms + BATCH_MS <= self.now_ms {
            self.mailman.batched_ms = self.now_ms;
            self.batch();
        }
    }

    /// Puts receipts into the log, and shows each machine where.
    pub fn batch(&mut self) {
        let notes = std::mem::take(&mut self.mailman.unlogged);
        if notes.is_empty() {
            return;
        }
        let tree: Tree = notes.iter().map(|(_, note)| leaf_hash(note.text().as_bytes())).collect();
        let place = self.log_entry(&leaf(&self.org, "receipts", &tree.root(), &Sha256::of(b"")));
        let proof = self.mailman.log.proof(place);
        for (index, (machine, note)) in (0..).zip(&notes) {
            let receipt: Receipt = note.text().parse().unwrap();
            let path = tree.inclusion(index, tree.size()).unwrap();
            let shown = Acknowledged {
                number: receipt.number,
                index,
                size: tree.size(),
                path,
                root: tree.root(),
                proof: proof.clone(),
            };
            let what = from_server::What::Acknowledged(message::Acknowledged::from(&shown));
            self.send(Who::Server, Who::Machine(*machine), Parcel::of_server(what));
        }
    }

    /// Puts an entry into the log and has it cosigned; its index.
    pub fn log_entry(&mut self, entry: &str) -> u64 {
        let index = self.mailman.log.append(entry);
        self.mailman.log.cosign(&mut self.witnesses, self.now_ms);
        index
    }
}

/// A delivery as a letter.
pub fn parcel(delivery: &Delivery) -> Parcel {
    Parcel::of_server(from_server::What::Delivery(message::Delivery::from(delivery)))
}
