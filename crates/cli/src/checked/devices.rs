//! Which devices are the organization's, where they stand, and which labels they carry.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use countersign_trust::chain::{Chain, Place};
use countersign_trust::envelope::Logged;
use countersign_trust::ids::{DeviceId, OrgId, Sha256};
use countersign_trust::join::{
    EnrollError, Enrolled, check_enroll, enrolled_by_join, enrolled_directly, join_leaf,
};
use countersign_trust::note::Note;
use countersign_trust::statement::enroll::{Batch, What};
use countersign_wire::http::{EnrollmentEvidence, JoinEvidence, StatementView, paths};

use super::log::{Leaf, SeenLog};
use crate::client::{Client, filled};
use crate::home::Profile;
use crate::output::{Stop, count, plain, short};

/// A device whose enrollment was checked.
pub type Device = Enrolled;

/// A batch and how much of it is used.
#[derive(Clone, Debug)]
pub struct BatchUse {
    /// What it says.
    pub batch: Batch,
    /// The devices that joined, the earliest first; no more than its count.
    pub joined: Vec<DeviceId>,
}

/// All devices and batches.
#[derive(Clone, Debug, Default)]
pub struct Devices {
    /// Every device that is enrolled.
    pub enrolled: BTreeMap<DeviceId, Device>,
    /// Every batch, by the hash of its statement.
    pub batches: BTreeMap<Sha256, BatchUse>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

impl Devices {
    /// The device whose id is or begins with `text`, if exactly one does.
    pub fn named(&self, text: &str) -> Result<&Device, Stop> {
        let wanted = if text.starts_with("dev-") { text.to_owned() } else { format!("dev-{text}") };
        let mut found =
            self.enrolled.values().filter(|device| device.device.to_string().starts_with(&wanted));
        match (found.next(), found.next()) {
            (Some(device), None) => Ok(device),
            (Some(_), Some(_)) => {
                Err(Stop::Usage(format!("`{}` begins several ids; write more of it", plain(text))))
            }
            (None, _) => {
                Err(Stop::Usage(format!("no device that was verified here begins with `{}`", plain(text))))
            }
        }
    }
}

/// How often the server is asked again for evidence that the log asks for: it may be a moment behind its own log.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(250);

/// Fetches the evidence of every enrollment, checks it, and holds it against the log.
///
/// # Errors
/// An alarm when something in the log enrolls devices and the server shows no evidence for it.
pub fn fetch(profile: &Profile, server: &Client, chain: &Chain, log: &SeenLog) -> anyhow::Result<Devices> {
    let org = profile.org.to_string();
    let mut attempt = 1;
    loop {
        let shown: Vec<EnrollmentEvidence> =
            server.pages(&filled(paths::ENROLLMENTS, &[("org", &org)]), usize::MAX)?;
        let mut gathered = Gathered::default();
        shown.iter().for_each(|evidence| gathered.add(chain, evidence));
        for leaf in unexplained(log, &gathered, "enroll") {
            gathered.ask(chain, server, leaf);
        }
        let missing = [unexplained(log, &gathered, "enroll"), unexplained(log, &gathered, "join")].concat();
        match missing.first() {
            None => return Ok(gathered.settle(chain.policy().place.log, log)),
            Some(_) if attempt < ATTEMPTS => std::thread::sleep(PAUSE),
            Some(first) => {
                let number = count(missing.len(), "enrollment or join stands", "enrollments or joins stand");
                let what = format!(
                    "{number} in the log for which the server shows no evidence that holds; the first is the {} of leaf {}",
                    first.kind, first.index
                );
                return Err(Stop::Alarm(gathered.because(what)).into());
            }
        }
        attempt += 1;
    }
}

/// The leaves of a kind that no evidence explains yet.
fn unexplained<'a>(log: &'a SeenLog, gathered: &Gathered, kind: &'a str) -> Vec<&'a Leaf> {
    let known =
        |leaf: &&Leaf| gathered.explained.contains(&(leaf.statement.clone(), leaf.signatures.clone()));
    log.of_kind(kind).filter(|leaf| !known(leaf)).collect()
}

/// Evidence that holds, before it is put in order.
#[derive(Default)]
struct Gathered {
    direct: Vec<Device>,
    joins: BTreeMap<Sha256, Vec<Device>>,
    batches: BTreeMap<Sha256, Batch>,
    retired: Vec<(DeviceId, Place)>,
    /// Statement and signatures of each leaf that evidence explains.
    explained: BTreeSet<(String, String)>,
    faults: Vec<String>,
}

impl Gathered {
    fn add(&mut self, chain: &Chain, evidence: &EnrollmentEvidence) {
        if let Err(error) = self.try_add(chain, evidence) {
            self.faults.push(plain(&format!("{error:#}")));
        }
    }

    fn try_add(&mut self, chain: &Chain, evidence: &EnrollmentEvidence) -> anyhow::Result<()> {
        let enroll = Logged::from_text(&evidence.enroll)?;
        self.add_statement(chain, &enroll)?;
        let Some(JoinEvidence { note, proof }) = &evidence.join else { return Ok(()) };
        let note: Note = note.parse()?;
        let device = enrolled_by_join(chain, &enroll, &note, &proof.parse()?)?;
        self.explain(&chain.org(), &join_leaf(&chain.org(), &note));
        self.joins.entry(device.enroll).or_default().push(device);
        Ok(())
    }

    fn add_statement(&mut self, chain: &Chain, enroll: &Logged) -> Result<(), EnrollError> {
        let hash = enroll.signed.hash();
        let (body, place) = check_enroll(chain, enroll)?;
        let leaf = enroll.signed.leaf(&chain.org()).map_err(countersign_trust::chain::ChainError::from)?;
        match body.what {
            What::Batch(batch) => {
                self.batches.insert(hash, batch);
            }
            What::Device(_) => {
                let device = enrolled_directly(chain, enroll)?;
                if !self.direct.contains(&device) {
                    self.direct.push(device);
                }
            }
            What::Retire(retire) => self.retired.push((retire.device, place)),
        }
        self.explain(&chain.org(), &leaf);
        Ok(())
    }

    fn explain(&mut self, org: &OrgId, leaf: &str) {
        if let Some(Leaf { statement, signatures, .. }) = Leaf::read(org, 0, leaf.as_bytes()) {
            self.explained.insert((statement, signatures));
        }
    }

    /// Asks for the statement behind a leaf that the list of enrollments did not explain.
    fn ask(&mut self, chain: &Chain, server: &Client, leaf: &Leaf) {
        let path = filled(paths::STATEMENT, &[("org", &chain.org().to_string()), ("hash", &leaf.statement)]);
        let Ok(view) = server.get::<StatementView>(&path) else { return };
        let added = Logged::from_text(&view.envelope)
            .map_err(|error| error.to_string())
            .and_then(|enroll| self.add_statement(chain, &enroll).map_err(|error| error.to_string()));
        self.faults.extend(added.err().map(|error| plain(&error)));
    }

    fn because(&self, what: String) -> String {
        match self.faults.first() {
            Some(fault) => format!("{what}. What it shows fails with: {fault}"),
            None => what,
        }
    }

    /// Puts everything in the order of the log: the first joins of a batch count, and the newest word about a device.
    fn settle(self, newest: usize, log: &SeenLog) -> Devices {
        let mut devices = Devices::default();
        let mut all = self.direct;
        for (hash, batch) in self.batches {
            let mut joined = self.joins.get(&hash).cloned().unwrap_or_default();
            joined.sort_by_key(|device| device.place);
            joined.dedup_by_key(|device| device.place);
            let count = usize::try_from(batch.count).unwrap_or(usize::MAX);
            for late in joined.iter().skip(count) {
                let what = format!(
                    "{} joined batch {} after its {count} places were taken; it counts for nothing",
                    short(&late.device),
                    short(&hash)
                );
                devices.warnings.push(what);
            }
            joined.truncate(count);
            devices.batches.insert(
                hash,
                BatchUse { batch, joined: joined.iter().map(|device| device.device).collect() },
            );
            all.extend(joined);
        }
        // What came after the checkpoint that was read counts the next time.
        all.retain(|device| device.place < Place { log: newest, index: log.size });
        all.sort_by_key(|device| device.place);
        for device in all {
            devices.enrolled.insert(device.device, device);
        }
        for (device, place) in self.retired {
            if devices.enrolled.get(&device).is_some_and(|enrolled| enrolled.place < place) {
                devices.enrolled.remove(&device);
            }
        }
        devices.warnings.extend(
            self.faults
                .into_iter()
                .map(|fault| format!("the server shows an enrollment that does not hold: {fault}")),
        );
        devices
    }
}
