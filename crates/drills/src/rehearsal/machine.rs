//! A machine: the real device, a disk that survives the power, two clocks, and what it ever did.

use std::collections::{BTreeMap, BTreeSet};

use countersign_agent::link;
use countersign_trust::clear::{AnsweredClear, Clear};
use countersign_trust::delivery::{News, read_sequence};
use countersign_trust::device::{Device, Ending, Input, Moment, Output};
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::ledger::{Ledger, Record, StepKey, StepState};
use countersign_trust::merkle::leaf_hash;
use countersign_trust::note::{Note, VerifierKey};
use countersign_trust::receipt::Receipt;
use countersign_trust::statement::job::Job;
use countersign_trust::time::Reading;
use countersign_wire::frame::{Decoder, MOST_FROM_SERVER};
use countersign_wire::message::{FromServer, Hello};

use crate::organization::{VERSION, device_signer};

/// A step that began.
#[derive(Clone, Debug)]
pub struct Start {
    /// On which machine.
    pub machine: usize,
    /// Which step.
    pub key: StepKey,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Of which job.
    pub job: Job,
}

/// When a machine's power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// It stays.
    Good,
    /// At the next thing that it wants to write: nothing of it gets to the disk.
    GoesBeforeWriting,
    /// At the next thing that it wants to write: it is on the disk, and nothing more is done.
    GoesAfterWriting,
    /// It is gone.
    Off,
}

/// A machine with an agent.
pub struct Machine {
    /// What people call it.
    pub name: String,
    /// Its id.
    pub id: DeviceId,
    /// The key of its receipts.
    pub key: VerifierKey,
    /// Whether its server is there.
    pub connected: bool,
    /// When its power goes.
    pub power: Power,
    /// How far its wall clock is ahead of the true time, in milliseconds.
    pub wall_ahead_ms: i64,
    /// Steps that run.
    pub running: BTreeSet<StepKey>,
    /// Every receipt it ever sent, each once.
    pub sent: Vec<Receipt>,
    /// What is on its disk, record by record.
    pub disk: Vec<Vec<u8>>,
    device: Device,
    boot: u64,
    booted_ms: u64,
    questions: BTreeMap<Sha256, Vec<AnsweredClear>>,
}

/// What a device wants done besides what is on its disk already.
pub struct Heard {
    /// That, in order.
    pub effects: Vec<Output>,
    /// Whether the power went meanwhile.
    pub cut: bool,
}

impl Machine {
    /// A machine that is switched off, with this on its disk.
    pub fn new(name: &str, records: &[Record]) -> Self {
        let disk: Vec<Vec<u8>> = records.iter().map(Record::encode).collect();
        let key = device_signer(name).verifier().clone();
        Self {
            name: name.to_owned(),
            id: DeviceId::of_key(key.raw()),
            key,
            connected: false,
            power: Power::Off,
            wall_ahead_ms: 0,
            running: BTreeSet::new(),
            sent: Vec::new(),
            device: revive(name, &disk),
            disk,
            boot: 0,
            booted_ms: 0,
            questions: BTreeMap::new(),
        }
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The device, for what an agent tells it besides inputs.
    pub fn device_mut(&mut self) -> &mut Device {
        &mut self.device
    }

    /// Whether it has power.
    pub fn is_up(&self) -> bool {
        self.power != Power::Off
    }

    /// How often it was switched on.
    pub fn boot(&self) -> u64 {
        self.boot
    }

    /// It is switched on: memory is what the disk gives.
    pub fn switch_on(&mut self, now_ms: u64) {
        self.device = revive(&self.name, &self.disk);
        self.boot += 1;
        (self.booted_ms, self.power) = (now_ms, Power::Good);
    }

    /// The power goes, and with it all that is not on the disk.
    pub fn switch_off(&mut self) {
        self.power = Power::Off;
        self.connected = false;
        self.running.clear();
        self.questions.clear();
    }

    /// What its clocks say.
    pub fn reading(&self, now_ms: u64) -> Reading {
        let wall_ms = now_ms.saturating_add_signed(self.wall_ahead_ms);
        Reading { boot_ms: now_ms - self.booted_ms, wall_ms }
    }

    /// Hears something: first what is to be written is written, all at once, as an agent does.
    ///
    /// # Panics
    /// The device contradicts itself.
    pub fn hear(&mut self, input: Input, now_ms: u64, random: [u8; 32]) -> Heard {
        let moment = Moment { now: self.reading(now_ms), random };
        let (mut records, mut effects) = (Vec::new(), Vec::new());
        for output in self.device.handle(input, moment).unwrap() {
            match output {
                Output::Persist(more) => records.extend(more),
                effect => effects.push(effect),
            }
        }
        let writes = !records.is_empty();
        if writes && self.power == Power::GoesBeforeWriting {
            self.switch_off();
            return Heard { effects: Vec::new(), cut: true };
        }
        self.disk.extend(records.iter().map(Record::encode));
        if writes && self.power == Power::GoesAfterWriting {
            self.switch_off();
            return Heard { effects: Vec::new(), cut: true };
        }
        Heard { effects, cut: false }
    }

    /// The disk is rewritten with the fewest records that give the same.
    pub fn rewrite(&mut self) {
        self.disk = self.device.ledger().rewritten().iter().map(Record::encode).collect();
    }

    /// Whether the disk says that a step was accepted.
    pub fn on_disk_as_accepted(&self, key: StepKey) -> bool {
        self.disk.iter().rev().any(|bytes| {
            matches!(Record::decode(bytes), Ok(Record::Step { key: step, state: StepState::Started, receipt: Some(_), .. })
                if step == key)
        })
    }

    /// What an agent says first.
    pub fn hello(&self) -> Hello {
        let chain = self.device.ledger().chain().unwrap();
        let resumes = chain.resumes().iter().map(|resume| resume.hash.to_string());
        Hello {
            version: VERSION.to_owned(),
            org: chain.org().to_string(),
            policy_number: chain.policy().body.number,
            holds: resumes.chain(chain.halts().map(|halt| halt.hash.to_string())).collect(),
            hostname: self.name.clone(),
            system: String::new(),
            name: 0,
            before: 0,
            enroll: String::new(),
        }
    }

    /// What beacons are asked with, and which of them.
    pub fn asks(&mut self, challenge: [u8; 32]) -> (Sha256, BTreeSet<VerifierKey>) {
        let root = leaf_hash(&challenge);
        self.questions.insert(root, Vec::new());
        let beacons = &self.device.ledger().chain().unwrap().policy().body.beacons;
        (root, beacons.keys.clone())
    }

    /// The number of its newest policy, if `note` names anything that it does not hold.
    pub fn is_behind(&self, note: &Note) -> Option<u64> {
        let chain = self.device.ledger().chain()?;
        let clear: Clear = note.text().parse().ok()?;
        let holds = clear.policy == chain.policy().hash
            && clear.resume == chain.resume()
            && clear.halts.iter().all(|halt| chain.halt(halt).is_some());
        (!holds).then_some(chain.policy().body.number)
    }

    /// What an agent makes of a beacon's answer: news first, and Clears once there are enough.
    pub fn answered(&mut self, root: &Sha256, note: &str, news: &str) -> Vec<Input> {
        let Ok(clear) = note.parse::<Note>() else { return Vec::new() };
        let need = self.device.ledger().chain().map_or(1, |chain| chain.policy().body.beacons.need.get());
        let news = match self.is_behind(&clear) {
            Some(_) => read_sequence(news).unwrap_or_default(),
            None => Vec::new(),
        };
        let news: Vec<News> = news.into_iter().filter_map(|text| News::from_text(text).ok()).collect();
        let mut inputs = Vec::new();
        if !news.is_empty() {
            inputs.push(Input::News(news));
        }
        let Some(answers) = self.questions.get_mut(root) else { return inputs };
        answers.push(AnsweredClear { clear, index: 0, size: 1, path: Vec::new() });
        if answers.len() >= usize::from(need) {
            inputs.push(Input::Clears(answers.clone()));
        }
        inputs
    }
}

/// The device that a disk gives.
fn revive(name: &str, disk: &[Vec<u8>]) -> Device {
    let mut ledger = Ledger::default();
    for bytes in disk {
        ledger.apply(&Record::decode(bytes).unwrap()).unwrap();
    }
    Device::new(ledger, device_signer(name), VERSION.to_owned())
}

/// What an agent makes of bytes from its server.
///
/// # Errors
/// The agent closes the connection, for this reason.
pub fn read_frame(bytes: &[u8]) -> Result<Option<Input>, String> {
    let mut decoder = Decoder::new(MOST_FROM_SERVER);
    decoder.push(bytes);
    let message = decoder.next_message::<FromServer>().map_err(|error| error.to_string())?;
    let Some(what) = message.and_then(|message| message.what) else { return Ok(None) };
    link::input(what).map_err(|error| error.to_string())
}

/// A step that ended well.
pub fn well() -> Ending {
    Ending { well: true, how: "exit 0".to_owned(), output: Sha256::of(b"done\n"), kept: 5, dropped: 0 }
}

/// A step that was killed.
pub fn killed() -> Ending {
    Ending { well: false, how: "halted".to_owned(), output: Sha256::of(b""), kept: 0, dropped: 0 }
}
