//! Which devices are the organization's, where they stand, and which labels they carry.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, bail};
use countersign_trust::chain::{Chain, ChainError, Place};
use countersign_trust::checkpoint::Proof;
use countersign_trust::envelope::Logged;
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::join::{
    EnrollError, Enrolled, Join, check_enroll, enrolled_anew, enrolled_by_join, enrolled_directly, join_leaf,
};
use countersign_trust::note::Note;
use countersign_trust::statement::enroll::{self, Batch, What};
use countersign_trust::time::Time;
use countersign_trust::words::Line;
use countersign_wire::http::{EnrollmentEvidence, JoinEvidence, StatementView, paths};

use super::log::{Leaf, SeenLog, named};
use super::unexplained::Unexplained;
use crate::client::{Client, filled};
use crate::home::Profile;
use crate::output::{Stop, count, plain, short, time};

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
    /// Of each of them every enrollment that counted, the first one first.
    pub history: BTreeMap<DeviceId, Vec<Device>>,
    /// SSH host keys, of those that have one.
    host_keys: BTreeMap<DeviceId, Line>,
    /// Every batch, by the hash of its statement.
    pub batches: BTreeMap<Sha256, BatchUse>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// What stands in the log without evidence that holds. No device counts because of it.
    pub unexplained: Unexplained,
}

impl Devices {
    /// The SSH host key by which a device came, or nothing.
    pub fn host_key(&self, device: &DeviceId) -> Line {
        self.host_keys.get(device).cloned().unwrap_or_default()
    }

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
/// What nothing explains is told with the rest: it is for the command to say what it may do all the same.
///
/// # Errors
/// The server does not answer.
pub fn fetch(profile: &Profile, server: &Client, chain: &Chain, log: &SeenLog) -> anyhow::Result<Devices> {
    let org = profile.org.to_string();
    let mut attempt = 1;
    loop {
        let shown: Vec<EnrollmentEvidence> =
            server.pages(&filled(paths::ENROLLMENTS, &[("org", &org)]), usize::MAX)?;
        let mut gathered = Gathered::new(chain, log);
        shown.iter().for_each(|evidence| gathered.add(chain, evidence));
        for leaf in gathered.unexplained("enroll") {
            gathered.ask(chain, server, leaf);
        }
        let missing = [gathered.unexplained("enroll"), gathered.unexplained("join")].concat();
        if missing.is_empty() || attempt >= ATTEMPTS {
            let missing = missing.into_iter().cloned().collect();
            let unexplained = Unexplained::new(log, missing, gathered.faults.first());
            let idle = gathered.idle();
            let mut devices = gathered.settle(chain);
            devices.warnings.extend(idle);
            return Ok(Devices { unexplained, ..devices });
        }
        std::thread::sleep(PAUSE);
        attempt += 1;
    }
}

/// One device by its own statement.
struct Direct {
    device: Device,
    body: enroll::Device,
    logged: Logged,
}

/// Evidence that holds, before it is put in order.
struct Gathered<'a> {
    /// What was read of the logs.
    log: &'a SeenLog,
    /// Which of the organization's logs that is.
    newest: usize,
    /// The first leaf of each statement and join.
    firsts: BTreeMap<(&'a str, &'a str), &'a Leaf>,
    direct: Vec<Direct>,
    joins: BTreeMap<Sha256, Vec<Device>>,
    batches: BTreeMap<Sha256, Batch>,
    retired: Vec<(Sha256, Place, DeviceId)>,
    host_keys: BTreeMap<DeviceId, Line>,
    /// The place of each leaf that evidence explains.
    explained: BTreeSet<Place>,
    /// What is explained and counts for nothing, by leaf, and why.
    idle: BTreeMap<Place, String>,
    faults: Vec<String>,
}

impl<'a> Gathered<'a> {
    fn new(chain: &Chain, log: &'a SeenLog) -> Self {
        Self {
            log,
            newest: chain.policy().place.log,
            firsts: log.firsts(),
            direct: Vec::new(),
            joins: BTreeMap::new(),
            batches: BTreeMap::new(),
            retired: Vec::new(),
            host_keys: BTreeMap::new(),
            explained: BTreeSet::new(),
            idle: BTreeMap::new(),
            faults: Vec::new(),
        }
    }

    /// The leaves of a kind that no evidence explains yet. One that stands there again needs none: it counts for nothing.
    fn unexplained(&self, kind: &str) -> Vec<&'a Leaf> {
        let open = |leaf: &&Leaf| leaf.kind == kind && !self.explained.contains(&leaf.place());
        self.firsts.values().copied().filter(open).collect()
    }

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
        let proof: Proof = proof.parse()?;
        let device = match enrolled_by_join(chain, &enroll, &note, &proof) {
            Err(EnrollError::TooLate { until, .. }) => return self.too_late(chain, &note, &proof, until),
            device => device?,
        };
        let wish: Join = note.text().parse()?;
        self.host_keys.insert(device.device, wish.host_key);
        self.explain(chain, &join_leaf(&chain.org(), &note), device.place)?;
        self.joins.entry(device.enroll).or_default().push(device);
        Ok(())
    }

    fn add_statement(&mut self, chain: &Chain, enroll: &Logged) -> anyhow::Result<()> {
        let hash = enroll.signed.hash();
        let (body, place) = match check_enroll(chain, enroll) {
            Err(EnrollError::Chain(why @ (ChainError::Quorum { .. } | ChainError::UnknownSigners))) => {
                return self.given_up(chain, enroll, &why);
            }
            checked => checked?,
        };
        self.explain(chain, &enroll.signed.leaf(&chain.org())?, place)?;
        match body.what {
            What::Batch(batch) => {
                self.batches.insert(hash, batch);
            }
            What::Device(body) => {
                let device = enrolled_directly(chain, enroll)?;
                self.direct.push(Direct { device, body, logged: enroll.clone() });
            }
            What::Retire(retire) => self.retired.push((hash, place, retire.device)),
        }
        Ok(())
    }

    /// A join that the witnesses saw only after its token had ended counts for nothing. When they saw it is in the proof that the
    /// server shows, and one of a later day shows every join as late: so what was seen here before counts too.
    fn too_late(&mut self, chain: &Chain, note: &Note, proof: &Proof, until: Time) -> anyhow::Result<()> {
        let (wish, entry): (Join, String) = (note.text().parse()?, join_leaf(&chain.org(), note));
        let (_, place, witnessed) = chain.governing(&entry, proof)?;
        let seen = witnessed.time();
        if self.log.stood_before(place, until) {
            bail!(
                "the join of {} is shown as witnessed at {seen}, after its token ended at {until}; it was seen here before that",
                named(place)
            );
        }
        self.explain(chain, &entry, place)?;
        let device = DeviceId::of_key(wish.device.raw());
        let (ended, seen) = (time(until.0), time(seen.0));
        let why =
            format!("{} joined too late: its token ended {ended}, it was witnessed {seen}", short(&device));
        self.idle.insert(place, why);
        Ok(())
    }

    /// An enrollment that the policy in force at its leaf does not let count: it was decided under another.
    fn given_up(&mut self, chain: &Chain, enroll: &Logged, why: &ChainError) -> anyhow::Result<()> {
        let entry = enroll.signed.leaf(&chain.org())?;
        let (_, place, _) = chain.governing(&entry, &enroll.proof)?;
        self.explain(chain, &entry, place)?;
        self.idle.insert(
            place,
            format!("the enrollment {}: {}", short(&enroll.signed.hash()), plain(&why.to_string())),
        );
        Ok(())
    }

    /// What a person should know of what counts for nothing.
    fn idle(&self) -> Option<String> {
        let (place, why) = self.idle.iter().next()?;
        let number = count(self.idle.len(), "enrollment or join counts", "enrollments or joins count");
        Some(format!("{number} for nothing; the first, at {}: {why}", named(*place)))
    }

    /// Takes `entry` as shown at `place`, which must be the first at which it stands: whoever holds the log's key can log it
    /// again, and what came later would count as the newer word.
    fn explain(&mut self, chain: &Chain, entry: &str, place: Place) -> anyhow::Result<()> {
        let shown =
            Leaf::read(&chain.org(), place, entry.as_bytes()).context("the evidence is of no leaf")?;
        match self.firsts.get(&(shown.kind.as_str(), shown.statement.as_str())) {
            Some(first) if **first == shown => {
                self.explained.insert(shown.place());
                Ok(())
            }
            Some(first) => {
                bail!("the {} of {} is shown at {}", first.kind, first.named(), shown.named())
            }
            // It came after the checkpoint that was read.
            None if shown.nth == self.newest && shown.index >= self.log.size => Ok(()),
            None => bail!("a {} is shown at {}, where the log has none", shown.kind, shown.named()),
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

    /// Puts everything in the order of the log: the first joins of a batch count, and the newest word about a device.
    fn settle(mut self, chain: &Chain) -> Devices {
        let mut devices = Devices { host_keys: std::mem::take(&mut self.host_keys), ..Devices::default() };
        let mut all: Vec<(Device, Option<enroll::Device>)> = Vec::new();
        let mut statements = BTreeMap::new();
        for (hash, batch) in std::mem::take(&mut self.batches) {
            let joined =
                first_joins(&hash, &batch, self.joins.remove(&hash).unwrap_or_default(), &mut devices);
            devices.batches.insert(
                hash,
                BatchUse { batch, joined: joined.iter().map(|device| device.device).collect() },
            );
            all.extend(joined.into_iter().map(|device| (device, None)));
        }
        for Direct { device, body, logged } in self.direct.drain(..) {
            statements.insert(device.enroll, logged);
            all.push((device, Some(body)));
        }
        // What came after the checkpoint that was read counts the next time.
        all.retain(|(device, _)| device.place < Place { log: self.newest, index: self.log.size });
        all.sort_by_key(|(device, _)| device.place);
        all.dedup_by_key(|(device, _)| device.place);
        // What the device itself asks of an enrollment that follows the one it holds.
        let follows = |held: &Device, next: &Sha256| match statements.get(next) {
            Some(logged) => enrolled_anew(chain, held, logged).map(|_| ()),
            None => Err(EnrollError::NotThat("one device")),
        };
        take_newest(all, &follows, &mut devices);
        // The same statement in an older log and in the newest: the older place is its own.
        self.retired.sort();
        self.retired.dedup_by_key(|(statement, ..)| *statement);
        for (_, _, device) in &self.retired {
            // For ever: whatever was logged of it later, the device would not take it.
            devices.enrolled.remove(device);
        }
        devices.warnings.extend(self.logged_again());
        devices.warnings.extend(
            self.faults
                .iter()
                .map(|fault| format!("the server shows an enrollment that does not hold: {fault}")),
        );
        devices
    }

    /// What a person should know of leaves that stand in the log again.
    fn logged_again(&self) -> Option<String> {
        let first = |leaf: &Leaf| self.firsts.get(&(leaf.kind.as_str(), leaf.statement.as_str())).copied();
        let mut again =
            self.log.all_leaves().filter(|leaf| matches!(leaf.kind.as_str(), "enroll" | "join")).filter_map(
                |leaf| first(leaf).filter(|first| first.place() < leaf.place()).map(|first| (leaf, first)),
            );
        let (leaf, first) = again.next()?;
        Some(format!(
            "{} in the log again and counts for nothing; the first is the {} of {} at {}",
            count(again.count() + 1, "enrollment or join stands", "enrollments or joins stand"),
            first.kind,
            first.named(),
            leaf.named()
        ))
    }
}

/// The joins of a batch that count: of each device the first, and no more than its count.
fn first_joins(hash: &Sha256, batch: &Batch, mut joined: Vec<Device>, devices: &mut Devices) -> Vec<Device> {
    joined.sort_by_key(|device| device.place);
    let mut seen = BTreeSet::new();
    joined.retain(|device| seen.insert(device.device));
    let count = usize::try_from(batch.count).unwrap_or(usize::MAX);
    for late in joined.iter().skip(count) {
        let what = format!(
            "{} joined batch {} after its {count} places were taken; it counts for nothing",
            short(&late.device),
            short(hash)
        );
        devices.warnings.push(what);
    }
    joined.truncate(count);
    joined
}

/// Takes enrollments in the order of the log. One by its own statement must have a higher `seq` than those before it and
/// name the enrollment that it replaces: one that was signed long ago and logged only today replaces nothing.
///
/// `follows` says whether the device would take it: enough people signed for the labels that it changes.
fn take_newest(
    all: Vec<(Device, Option<enroll::Device>)>,
    follows: &dyn Fn(&Device, &Sha256) -> Result<(), EnrollError>,
    devices: &mut Devices,
) {
    let mut highest: BTreeMap<DeviceId, u64> = BTreeMap::new();
    for (device, body) in all {
        let held = devices.enrolled.get(&device.device).map(|held| held.enroll);
        if let Some(body) = body {
            let (before, previous) = (highest.get(&device.device).copied(), body.previous);
            if before.is_some_and(|before| body.seq <= before) || previous != held {
                let named = |hash: Option<Sha256>| hash.map_or("none".to_owned(), |hash| short(&hash));
                devices.warnings.push(format!(
                    "enrollment {} of {} counts for nothing: it has seq {} and replaces {}, held is seq {} and {}",
                    short(&device.enroll),
                    short(&device.device),
                    body.seq,
                    named(previous),
                    before.unwrap_or(0),
                    named(held)
                ));
                continue;
            }
            let taken = devices.enrolled.get(&device.device).map(|held| follows(held, &device.enroll));
            if let Some(Err(why)) = taken {
                devices.warnings.push(format!(
                    "enrollment {} of {} counts for nothing: {}",
                    short(&device.enroll),
                    short(&device.device),
                    plain(&why.to_string())
                ));
                continue;
            }
            highest.insert(device.device, body.seq);
            devices.host_keys.insert(device.device, body.host_key);
        }
        devices.history.entry(device.device).or_default().push(device.clone());
        devices.enrolled.insert(device.device, device);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_trust::join::device_key;

    fn device(number: u8, statement: u8, index: u64) -> Device {
        let key = device_key([number; 32]).unwrap();
        let (device, place) = (DeviceId::of_key(key.raw()), Place { log: 0, index });
        Device { device, key, labels: BTreeMap::new(), enroll: Sha256([statement; 32]), place, seq: 0 }
    }

    fn direct(statement: u8, index: u64, seq: u64, previous: Option<u8>) -> (Device, Option<enroll::Device>) {
        let device = device(7, statement, index);
        let body = enroll::Device {
            key: device.key.clone(),
            host_key: "".parse().unwrap(),
            site: "lund".parse().unwrap(),
            labels: BTreeMap::new(),
            seq,
            previous: previous.map(|byte| Sha256([byte; 32])),
        };
        (device, Some(body))
    }

    #[test]
    fn a_device_takes_one_place_of_a_batch() {
        let token = device_key([1; 32]).unwrap();
        let (site, until) = ("lund".parse().unwrap(), Time(0));
        let batch = Batch { token, site, labels: BTreeMap::new(), count: 2, until };
        let joined = vec![device(9, 1, 6), device(8, 1, 5), device(7, 1, 4), device(7, 1, 3)];
        let mut devices = Devices::default();
        let counted = first_joins(&Sha256([1; 32]), &batch, joined, &mut devices);
        assert_eq!(counted, [device(7, 1, 3), device(8, 1, 5)]);
        assert_eq!(devices.warnings.len(), 1, "the third came late");
    }

    #[test]
    fn an_enrollment_replaces_only_the_one_it_names_and_by_a_higher_seq() {
        let cases = [
            ("the next", direct(3, 6, 3, Some(2)), 3),
            ("an equal seq", direct(3, 6, 2, Some(2)), 2),
            ("a lower seq", direct(3, 6, 1, Some(2)), 2),
            ("replacing one from before", direct(3, 6, 3, Some(1)), 2),
            ("replacing none", direct(3, 6, 3, None), 2),
        ];
        for (name, last, held) in cases {
            let mut devices = Devices::default();
            let id = last.0.device;
            take_newest(
                vec![(device(7, 1, 4), None), direct(2, 5, 2, Some(1)), last],
                &|_, _| Ok(()),
                &mut devices,
            );
            assert_eq!(devices.enrolled[&id].enroll, Sha256([held; 32]), "{name}");
            assert_eq!(devices.warnings.is_empty(), held == 3, "{name}");
        }
    }

    #[test]
    fn an_enrollment_that_too_few_signed_for_its_labels_moves_nothing() {
        let follows = |_: &Device, next: &Sha256| match next.0[0] {
            2 => Ok(()),
            _ => Err(EnrollError::Relabels { label: "class".parse().unwrap(), rule: 1, policy: 1 }),
        };
        let mut devices = Devices::default();
        let last = direct(3, 6, 3, Some(2));
        let id = last.0.device;
        take_newest(vec![(device(7, 1, 4), None), direct(2, 5, 2, Some(1)), last], &follows, &mut devices);
        assert_eq!(devices.enrolled[&id].enroll, Sha256([2; 32]));
        assert_eq!(devices.history[&id].iter().map(|held| held.enroll.0[0]).collect::<Vec<_>>(), [1, 2]);
        assert!(
            devices.warnings[0].contains("not signed by as many as that rule asks for"),
            "{:?}",
            devices.warnings
        );
    }
}
