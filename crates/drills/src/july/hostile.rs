//! The thief at the server's port, with all that the server had: he logs what he likes, honest witnesses cosign it and honest
//! beacons answer for it, and he brings it to whom he likes, when he likes.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_thief::forge::StolenLog;
use countersign_thief::loot::Loot;
use countersign_trust::checkpoint::Proof;
use countersign_trust::clear::AnsweredClear;
use countersign_trust::delivery::{Delivery, News, TargetProof};
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::merkle::{Tree, leaf_hash};
use countersign_trust::note::Note;
use countersign_trust::receipt::Receipt;
use countersign_wire::frame::encode;
use countersign_wire::message::{FromServer, from_server};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::jobs::{Said, checked, said};
use super::stores::Field;
use crate::http::Http;
use crate::part::until_within;
use crate::thief::lines::Lines;
use crate::world::sorted;

/// The thief at work.
pub struct Hostile<'a> {
    loot: &'a Arc<Loot>,
    log: StolenLog<'a>,
    lines: Lines,
    work: JoinHandle<()>,
}

/// What beacons said to a tree of many registers' challenges.
pub struct Answers {
    notes: Vec<Note>,
    tree: Tree,
    places: BTreeMap<DeviceId, u64>,
}

/// Something to bring, and for whom it says that it is.
#[derive(Clone)]
pub struct Ware {
    /// The job.
    pub signed: Signed,
    /// Its list of targets.
    pub listed: Vec<DeviceId>,
}

/// It stands in the log, as far as the thief brought it.
pub struct LoggedWare {
    job: Logged,
    targets: Targeted,
}

/// The server's process ends, and its folder is copied: for the thief, and as the copy that people have.
pub fn steal(field: &mut Field) -> (Arc<Loot>, PathBuf) {
    field.world.server.kill();
    let copy = |name: &str| {
        let folder = field.world.folder.path().join(name);
        fs::create_dir(&folder).unwrap();
        for entry in fs::read_dir(&field.world.server.folder).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
        folder
    };
    let (loot, backup) = (copy("loot"), copy("backup"));
    (Arc::new(field.world.block_on(Loot::take(&loot)).unwrap()), backup)
}

impl<'a> Hostile<'a> {
    /// Takes the server's port and waits until every register has left a challenge with him.
    pub fn new(field: &Field, loot: &'a Arc<Loot>) -> Self {
        let lines = Lines::default();
        let _inside = field.runtime.enter();
        let listener = field.runtime.block_on(TcpListener::bind(field.world.server.address)).unwrap();
        let work = field.runtime.spawn(lines.clone().serve(listener, loot.clone()));
        let thief = Self { loot, log: StolenLog::new(loot).unwrap(), lines, work };
        thief.until_all_are_there(field);
        thief
    }

    fn until_all_are_there(&self, field: &Field) {
        let mut told = 0;
        until_within(Duration::from_secs(240), Duration::from_millis(100), "all come to the thief", || {
            let there = self.lines.there();
            if there >= told + (field.registers.len() / 6).max(1) {
                told = there;
                eprintln!("   … {there} of {} have come to the thief", field.registers.len());
            }
            (there == field.registers.len()).then_some(())
        });
    }

    /// Lets time pass, and waits until every register has left another challenge: what was drawn before has aged.
    pub fn pass(&self, field: &mut Field, time: Duration) {
        let left = |id: &DeviceId| self.lines.challenge(id);
        let before: Vec<_> = field.registers.keys().map(|id| (*id, left(id))).collect();
        field.pass(time);
        until_within(Duration::from_secs(60), Duration::from_millis(50), "new challenges", || {
            before.iter().all(|(id, challenge)| left(id) != *challenge).then_some(())
        });
    }

    /// The same until this moment.
    pub fn pass_to(&self, field: &mut Field, time: u64) {
        let ahead = (time * 1_000).saturating_sub(crate::part::now_ms());
        self.pass(field, Duration::from_millis(ahead));
    }

    /// The server's own halt key, which is the only SSH key it has.
    pub fn halt_key(&self) -> countersign_trust::sshsig::SshSigner {
        self.loot.halt_key().unwrap()
    }

    /// Jobs that the server held.
    pub fn jobs(&self) -> &[countersign_thief::loot::StolenJob] {
        &self.loot.jobs
    }

    /// What honest beacons say of the newest challenges of these registers.
    pub fn ask_beacons(&self, field: &Field, of: &[DeviceId]) -> Answers {
        let challenges: Vec<_> = of.iter().map(|id| (*id, self.lines.challenge(id).unwrap())).collect();
        let tree: Tree = challenges.iter().map(|(_, challenge)| leaf_hash(challenge)).collect();
        let path = format!("/v1/orgs/{}/clear", field.world.org);
        let ask = |address| {
            let http = Http { address, token: String::new() };
            let (status, said) = field.world.block_on(http.ask("POST", &path, format!("{}\n", tree.root())));
            assert_eq!(status, 200, "{said}");
            said.parse().unwrap()
        };
        let notes = field.world.beacons.iter().map(|beacon| ask(beacon.address)).collect();
        Answers { notes, places: challenges.iter().map(|(id, _)| *id).zip(0..).collect(), tree }
    }

    /// Logs it and has honest witnesses cosign the log.
    pub fn log(&mut self, field: &Field, ware: Ware) -> LoggedWare {
        let index = self.log.append(&ware.signed).unwrap();
        let checkpoint = field.world.block_on(self.log.cosigned()).unwrap();
        let inclusion = self.log.tree().inclusion(index, self.log.tree().size()).unwrap();
        let proof = Proof { extra: None, index, inclusion, checkpoint };
        LoggedWare { job: Logged { signed: ware.signed, proof }, targets: Targeted::new(&ware.listed) }
    }

    /// Brings it to these registers with those answers of beacons.
    pub fn bring(&self, ware: &LoggedWare, to: &[DeviceId], answers: &Answers) {
        self.bring_with(ware, to, answers, &News::since(&self.loot.chain, 1));
    }

    /// The same with news of his choice.
    pub fn bring_with(&self, ware: &LoggedWare, to: &[DeviceId], answers: &Answers, news: &[News]) {
        for device in to {
            let delivery = Delivery {
                job: ware.job.clone(),
                news: news.to_vec(),
                clears: answers.of(device),
                target: ware.targets.of(device),
                advances: Vec::new(),
            };
            let message = FromServer { what: Some(from_server::What::Delivery((&delivery).into())) };
            self.lines.send(device, encode(&message));
        }
    }

    /// How many receipts have come for a job.
    pub fn heard_of(&self, job: &Sha256) -> usize {
        self.lines.said(&[*job])
    }

    /// Waits until so many receipts have come for these jobs; how long after `began` they had.
    pub fn until_said(&self, jobs: &[Sha256], wanted: usize, began: Instant) -> Duration {
        let (mut told, mut before) = (Instant::now(), 0);
        until_within(Duration::from_secs(400), Duration::from_millis(20), "the thief gets receipts", || {
            let (count, took) = (self.lines.said(jobs), began.elapsed());
            if told.elapsed() > Duration::from_secs(5) && count > before {
                (told, before) = (Instant::now(), count);
                eprintln!("   … {count} of {wanted} receipts");
            }
            assert!(count <= wanted, "{count} receipts, more than {wanted}");
            (count == wanted).then_some(took)
        })
    }

    /// Every receipt of a register that came, each checked by its key.
    pub fn receipts_of(&self, field: &Field, id: &DeviceId) -> Vec<Receipt> {
        let register = &field.registers[id];
        self.lines.receipts(id).iter().map(|(note, _)| checked(register, note)).collect()
    }

    /// The same of all registers.
    pub fn all_receipts(&self, field: &Field) -> Vec<Receipt> {
        field.registers.keys().flat_map(|id| self.receipts_of(field, id)).collect()
    }

    /// What registers said of a job, by verdict and code.
    pub fn said(&self, field: &Field, job: &Sha256) -> Said {
        said(&self.all_receipts(field), job)
    }

    /// He goes, and nobody is at the port.
    pub fn leave(self, field: &Field) {
        self.work.abort();
        let ended = field.world.block_on(self.work);
        assert!(ended.is_err_and(|why| why.is_cancelled()), "he went before");
        self.lines.cut();
    }
}

impl LoggedWare {
    /// The job's hash.
    pub fn hash(&self) -> Sha256 {
        self.job.signed.hash()
    }

    /// It and its proof.
    pub fn job(&self) -> Logged {
        self.job.clone()
    }
}

impl Answers {
    fn of(&self, device: &DeviceId) -> Vec<AnsweredClear> {
        let index = self.places[device];
        let path = self.tree.inclusion(index, self.tree.size()).unwrap();
        let answer = |clear: &Note| AnsweredClear {
            clear: clear.clone(),
            index,
            size: self.tree.size(),
            path: path.clone(),
        };
        self.notes.iter().take(3).map(answer).collect()
    }
}

/// A list of targets, to show each its place.
struct Targeted {
    tree: Tree,
    places: BTreeMap<DeviceId, u64>,
}

impl Targeted {
    fn new(listed: &[DeviceId]) -> Self {
        let listed = sorted(listed);
        let tree = listed.iter().map(|id| leaf_hash(&id.0)).collect();
        Self { tree, places: listed.into_iter().zip(0..).collect() }
    }

    /// The device's place, or another's where it has none.
    fn of(&self, device: &DeviceId) -> Option<TargetProof> {
        let index = self.places.get(device).copied().unwrap_or_default();
        Some(TargetProof { index, path: self.tree.inclusion(index, self.tree.size()).ok()? })
    }
}
