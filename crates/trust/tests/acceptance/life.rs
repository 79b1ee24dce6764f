//! A device's life with a disk, a clock that moves only when told, and everything it did written down.

use std::collections::BTreeMap;

use countersign_trust::clear::AnsweredClear;
use countersign_trust::delivery::{Delivery, News};
use countersign_trust::device::{Acknowledged, Device, Ending, Input, Keep, Moment, Output};
use countersign_trust::envelope::leaf;
use countersign_trust::ids::Sha256;
use countersign_trust::ledger::{Ledger, Record, StepKey};
use countersign_trust::merkle::{Tree, leaf_hash};
use countersign_trust::note::Note;
use countersign_trust::receipt::{Receipt, Verdict};
use countersign_trust::statement::job::Job;
use countersign_trust::time::{Reading, Time};
use countersign_trust::verify::Refusal;

use crate::organization::{
    Enrollment, NOON, Organization, TILLS, VERSION, WITNESSES, at, device_signer, word,
};

/// One device of one organization.
pub struct Life {
    pub org: Organization,
    pub enrolled: Enrollment,
    pub device: Device,
    /// What is on its disk, record by record, as bytes.
    pub disk: Vec<Vec<u8>>,
    pub now: Reading,
    /// Every step it ever ran, in order.
    pub ran: Vec<StepKey>,
    /// What it kept as evidence.
    pub kept: Vec<Keep>,
    /// Every step it killed.
    pub killed: Vec<(StepKey, Refusal)>,
    /// Every receipt it sent.
    pub sent: Vec<Note>,
    draws: u64,
}

impl Life {
    /// An enrolled device that has come up and is connected.
    pub fn new() -> Self {
        let mut org = Organization::found();
        let enrolled = org.enroll(TILLS[0]);
        Self::of(org, enrolled)
    }

    /// The same where a job may go on through a halt once it runs.
    pub fn where_jobs_may_finish() -> Self {
        let mut org = Organization::found_with(|policy| {
            policy.rules[0].kinds.insert(word("finish"));
        });
        let enrolled = org.enroll(TILLS[0]);
        Self::of(org, enrolled)
    }

    /// The same in an organization that has a past.
    pub fn of(org: Organization, enrolled: Enrollment) -> Self {
        let disk: Vec<Vec<u8>> = org.records(&enrolled).iter().map(Record::encode).collect();
        let device = revive(&disk);
        let (ran, killed, sent, kept) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut life = Self { org, enrolled, device, disk, now: at(0), ran, kept, killed, sent, draws: 0 };
        life.hear(Input::Started);
        life.hear(Input::Connected);
        life
    }

    /// Lets it hear something, and does what it says, in order.
    pub fn hear(&mut self, input: Input) -> Vec<Output> {
        self.draws += 1;
        let random = Sha256::of(&self.draws.to_be_bytes()).0;
        let outputs = self.device.handle(input, Moment { now: self.now, random }).unwrap();
        for output in &outputs {
            match output {
                Output::Persist(records) => self.disk.extend(records.iter().map(Record::encode)),
                Output::Run(job) => {
                    assert!(self.on_disk_as_accepted(job.key()), "it ran before it was on disk");
                    self.ran.push(job.key());
                }
                Output::Keep(keep) => self.kept.push(keep.clone()),
                Output::Kill(key, refusal) => self.killed.push((*key, refusal.clone())),
                Output::SendReceipt(note) => self.sent.push(note.clone()),
                Output::LeaveChallenge(_) | Output::AskBeacons(_) => {}
            }
        }
        outputs
    }

    fn on_disk_as_accepted(&self, key: StepKey) -> bool {
        let accepted = |record: &Record| match record {
            Record::Step { key: step, receipt: Some(note), .. } => {
                *step == key && note.text().parse::<Receipt>().unwrap().verdict == Verdict::Accepted
            }
            _ => false,
        };
        self.disk.iter().any(|bytes| accepted(&Record::decode(bytes).unwrap()))
    }

    /// Lets time pass by both clocks, second by second, with a tick each. Returns what the device wants done on the way.
    pub fn pass(&mut self, seconds: u64) -> Vec<Output> {
        let mut wanted = Vec::new();
        for _ in 0..seconds {
            self.now = Reading { boot_ms: self.now.boot_ms + 1_000, wall_ms: self.now.wall_ms + 1_000 };
            wanted.extend(self.hear(Input::Tick));
        }
        self.org.time = self.org.time.plus(seconds);
        wanted
    }

    /// The power is cut, and it comes up again with what is on the disk; a second later by the wall clock.
    pub fn restart(&mut self) {
        self.now = Reading { boot_ms: 1_000, wall_ms: self.now.wall_ms + 1_000 };
        self.device = revive(&self.disk);
        self.hear(Input::Started);
        self.hear(Input::Connected);
    }

    /// The disk is rewritten with the fewest records that give the same.
    pub fn rewrite(&mut self) {
        self.disk = self.device.ledger().rewritten().iter().map(Record::encode).collect();
    }

    /// Clears of three honest beacons for its newest challenge.
    pub fn clears(&self) -> Vec<AnsweredClear> {
        self.org.three_clears(self.device.challenge().unwrap())
    }

    /// A job, signed by Anna and Bo, as the server brings it: with all news, without Clears.
    pub fn delivery(&mut self, job: &Job) -> Delivery {
        self.org.deliver(job, &["anna", "bo"], TILLS[0])
    }

    /// Brings a job with Clears.
    pub fn bring(&mut self, job: &Job) -> Vec<Output> {
        let delivery = Delivery { clears: self.clears(), ..self.delivery(job) };
        self.hear(Input::Delivered(Box::new(delivery)))
    }

    /// A new job, brought with Clears; its first step.
    pub fn run(&mut self, bend: impl FnOnce(&mut Job)) -> StepKey {
        let mut job = self.org.job();
        bend(&mut job);
        let before = self.ran.len();
        self.bring(&job);
        assert_eq!(self.ran.len(), before + 1, "it did not run: {:?}", self.last());
        self.ran[before]
    }

    /// A step ends.
    pub fn end(&mut self, key: StepKey, well: bool) -> Vec<Output> {
        let how = if well { "exit 0" } else { "exit 1" }.to_owned();
        let ending = Ending { well, how, output: Sha256::of(b"done\n"), kept: 5, dropped: 0 };
        self.hear(Input::Ended(key, ending))
    }

    /// Lets the device hear what the organization decided.
    pub fn tell(&mut self, news: News) -> Vec<Output> {
        self.hear(Input::News(vec![news]))
    }

    /// Receipts in the order in which they were sent; one that was sent twice counts once.
    pub fn receipts(&self) -> Vec<Receipt> {
        let numbered = self.sent.iter().map(|note| {
            assert!(note.signed_by(device_signer(TILLS[0]).verifier()));
            let receipt: Receipt = note.text().parse().unwrap();
            (receipt.number, receipt)
        });
        numbered.collect::<BTreeMap<_, _>>().into_values().collect()
    }

    /// The verdict of its last receipt, and why.
    pub fn last(&self) -> (Verdict, String) {
        let receipt = self.receipts().pop().unwrap();
        (receipt.verdict, receipt.because.to_string())
    }

    /// Puts all receipts that wait into the log as one batch; what shows the one with this number.
    pub fn acknowledge(&mut self, number: u64, witnesses: &[&str]) -> Acknowledged {
        let spool: Vec<Note> = self.device.ledger().spool().cloned().collect();
        let tree: Tree = spool.iter().map(|note| leaf_hash(note.text().as_bytes())).collect();
        let entry = leaf(&self.org.org, "receipts", &tree.root(), &Sha256::of(b""));
        let place = self.org.log.append(&entry);
        let shown = self.device.ledger().receipt(number).unwrap();
        let index = spool.iter().position(|note| note == shown).unwrap() as u64;
        let path = tree.inclusion(index, tree.size()).unwrap();
        let proof = self.org.log.proof(place, witnesses);
        Acknowledged { number, index, size: tree.size(), path, root: tree.root(), proof }
    }

    /// Lets the log have all receipts that wait.
    pub fn acknowledge_all(&mut self) {
        let numbers: Vec<u64> =
            self.device.ledger().spool().map(|note| note.text().parse::<Receipt>().unwrap().number).collect();
        for number in numbers {
            let shown = self.acknowledge(number, &WITNESSES);
            self.hear(Input::Acknowledged(Box::new(shown)));
        }
    }

    /// Puts so many receipts on its disk, as if nobody had ever acknowledged one. Take effect at the next restart.
    pub fn fill_spool(&mut self, count: usize) {
        let records = (1..=count as u64).map(|number| crate::bundle::spooled(self.org.org, number));
        self.disk.extend(records.map(|record| record.encode()));
    }

    /// Its state as bytes: equal for two ledgers that cannot be told apart.
    pub fn state(&self) -> Vec<Vec<u8>> {
        state(self.device.ledger())
    }
}

/// As [`Life::state`].
pub fn state(ledger: &Ledger) -> Vec<Vec<u8>> {
    ledger.rewritten().iter().map(Record::encode).collect()
}

/// The ledger that a disk gives.
pub fn replay(disk: &[Vec<u8>]) -> Ledger {
    let mut ledger = Ledger::default();
    for bytes in disk {
        ledger.apply(&Record::decode(bytes).unwrap()).unwrap();
    }
    ledger
}

fn revive(disk: &[Vec<u8>]) -> Device {
    Device::new(replay(disk), device_signer(TILLS[0]), VERSION.to_owned())
}

/// So many seconds after noon.
pub fn noon_and(seconds: u64) -> Time {
    Time(NOON + seconds)
}
