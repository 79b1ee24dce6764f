//! A whole organization made from fixed seeds: people, policy, witnessed log, beacons and a device.
//!
//! Everything is signed, logged and cosigned for real, and comes out the same each time. Nothing here needs more than
//! `countersign_trust`, so that other crates' tests and the examples take this file in by its path.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions,
    reason = "a test that meets the unexpected should stop there; not every test uses every part"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::num::NonZeroU8;
use std::str::FromStr;

use countersign_trust::chain::{Chain, Inclusion};
use countersign_trust::checkpoint::{Checkpoint, Proof};
use countersign_trust::clear::{AnsweredClear, Clear};
use countersign_trust::delivery::{Delivery, News, TargetProof};
use countersign_trust::device::Device;
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::{DeviceId, Name, OrgId, Sha256, StatementId};
use countersign_trust::join::{Join, device_key, join_leaf};
use countersign_trust::ledger::{Ledger, Record};
use countersign_trust::merkle::{Tree, leaf_hash};
use countersign_trust::note::{KeyKind, Note, NoteSigner};
use countersign_trust::sshsig::{SshSig, SshSigner};
use countersign_trust::statement::enroll::{Batch, Enroll, What};
use countersign_trust::statement::halt::{Halt, Scope};
use countersign_trust::statement::job::{Job, Lines, OnHalt, Run, Script, Step, TargetList, Targets};
use countersign_trust::statement::policy::{
    Addresses, Beacons, Halters, Limits, Log as LogEntry, Passkeys, Person, PersonKey, Policy, Quorum,
    Quorums, Recovery, Rule, Vendor, VendorHalts, Witnesses,
};
use countersign_trust::statement::resume::{Cuts, Lifts, Resume};
use countersign_trust::statement::{Kind, Statement, write};
use countersign_trust::text::Nothing;
use countersign_trust::time::{Reading, Time};

/// Wednesday 2026-07-01, 12:00 UTC: about when every story here happens.
pub const NOON: u64 = 1_782_907_200;
/// Noon in minutes of the week, as rules count them.
pub const NOON_MINUTE: u64 = (2 * 24 + 12) * 60;
/// The log's origin.
pub const LOG: &str = "log.example/tills";
/// The witnesses, three of whom are needed.
pub const WITNESSES: [&str; 4] = ["witness-1", "witness-2", "witness-3", "witness-4"];
/// The beacons, three of which are needed.
pub const BEACONS: [&str; 4] = ["beacon-1", "beacon-2", "beacon-3", "beacon-4"];
/// The devices that a job is for; the first is the one in question.
pub const TILLS: [&str; 3] = ["till-1", "till-2", "till-3"];
/// This agent's version.
pub const VERSION: &str = "0.1.0";
/// What the device drew.
pub const CHALLENGE: [u8; 32] = [7; 32];

/// Parses a word of any kind.
pub fn word<T: FromStr<Err: Display>>(text: &str) -> T {
    text.parse().unwrap_or_else(|error| panic!("`{text}`: {error}"))
}

/// Names, as a set.
pub fn names(words: &[&str]) -> BTreeSet<Name> {
    words.iter().map(|text| word(text)).collect()
}

/// A label map.
pub fn labels(pairs: &[(&str, &str)]) -> BTreeMap<Name, Name> {
    pairs.iter().map(|(key, value)| (word(key), word(value))).collect()
}

fn seed(of: &str) -> [u8; 32] {
    Sha256::of(of.as_bytes()).0
}

/// The `ssh-ed25519` key of this name: of a person, of a person's second key (`anna spare`), or of a machine.
pub fn ssh_key(name: &str) -> SshSigner {
    SshSigner::from_seed(&seed(name)).unwrap()
}

/// The note key of this name: of a log, a beacon or a token.
pub fn note_key(name: &str) -> NoteSigner {
    NoteSigner::new(name, KeyKind::Ed25519, &seed(name)).unwrap()
}

/// The cosignature key of a witness.
pub fn witness_key(name: &str) -> NoteSigner {
    NoteSigner::new(name, KeyKind::CosignatureV1, &seed(name)).unwrap()
}

/// The key by which a device signs receipts, named by the device's id.
pub fn device_signer(name: &str) -> NoteSigner {
    let raw = *note_key(name).verifier().raw();
    let key = device_key(raw).unwrap();
    NoteSigner::new(key.name(), KeyKind::Ed25519, &seed(name)).unwrap()
}

/// The id of the device with this name.
pub fn device_id(name: &str) -> DeviceId {
    DeviceId::of_key(device_signer(name).verifier().raw())
}

/// Puts the named keys' signatures under a statement.
pub fn sign<S: Statement>(statement: &S, keys: &[&str]) -> Signed {
    sign_text(write(statement).0, S::KIND, keys)
}

/// Puts the named keys' signatures for `kind` under any text.
pub fn sign_text(text: String, kind: Kind, keys: &[&str]) -> Signed {
    let signatures: Vec<SshSig> =
        keys.iter().map(|key| ssh_key(key).sign(&kind.namespace(), text.as_bytes()).unwrap()).collect();
    Signed::new(text, signatures).unwrap()
}

fn quorum(role: &str, need: u8) -> Quorum {
    Quorum { role: word(role), need: NonZeroU8::new(need).unwrap() }
}

/// A person with these keys.
pub fn person(keys: &[&str]) -> Person {
    let held = |key: &&str| PersonKey { key: ssh_key(key).public_key().clone(), same_origin: false };
    Person { keys: keys.iter().map(held).collect() }
}

/// Anna, Bo and Cia, any two of whom decide; one approval for a script.
pub fn genesis_policy() -> Policy {
    let three = NonZeroU8::new(3).unwrap();
    Policy {
        org: None,
        number: 1,
        previous: BTreeSet::new(),
        resumes: BTreeSet::new(),
        name: word("Example Tills"),
        people: ["anna", "bo", "cia"].map(|name| (word(name), person(&[name]))).into(),
        roles: ["operator", "owner"].map(|role| (word(role), names(&["anna", "bo", "cia"]))).into(),
        rules: vec![Rule {
            kinds: names(&["script"]),
            labels: BTreeMap::new(),
            requesters: names(&["operator"]),
            approvers: names(&["operator"]),
            approvals: 1,
            properties: BTreeSet::new(),
            hours: Vec::new(),
            waves: 0,
        }],
        quorums: Quorums {
            policy: quorum("owner", 2),
            enroll: quorum("owner", 2),
            resume: quorum("owner", 2),
            promote: quorum("owner", 2),
        },
        halt: Halters {
            roles: names(&["operator"]),
            machines: [(word("server"), ssh_key("server").public_key().clone())].into(),
        },
        log: LogEntry { key: note_key(LOG).verifier().clone(), old_size: 0, old_root: None },
        witnesses: Witnesses {
            need: three,
            keys: WITNESSES.iter().map(|name| witness_key(name).verifier().clone()).collect(),
        },
        beacons: Beacons {
            need: three,
            lifetime: 180,
            keys: BEACONS.iter().map(|name| note_key(name).verifier().clone()).collect(),
        },
        vendor: Vendor {
            need: 1,
            keys: [ssh_key("vendor").public_key().clone()].into(),
            halts: VendorHalts::Auto,
        },
        passkeys: Passkeys { rp_id: None, origins: BTreeSet::new() },
        limits: Limits {
            life: 7 * 86_400,
            concurrent: NonZeroU8::new(2).unwrap(),
            output: 1 << 20,
            auto_waves_max: 100,
        },
        tripwires: Vec::new(),
        guarded: BTreeSet::new(),
        addresses: Addresses {
            servers: BTreeMap::new(),
            beacons: BTreeMap::new(),
            witnesses: BTreeMap::new(),
        },
        recovery: Recovery { need: 0, keys: BTreeSet::new() },
    }
}

/// A log with its tree, and what its witnesses' clocks say.
pub struct Log {
    /// The log's key; its name is the origin.
    pub signer: NoteSigner,
    /// Its leaves.
    pub tree: Tree,
    /// When the first witness cosigns; each later one does a second later.
    pub time: Time,
}

impl Log {
    /// An empty log.
    pub fn new(origin: &str) -> Self {
        Self { signer: note_key(origin), tree: Tree::default(), time: Time(NOON - 600) }
    }

    /// Adds an entry and returns its index.
    pub fn append(&mut self, entry: &str) -> u64 {
        self.tree.push(leaf_hash(entry.as_bytes()));
        self.tree.size() - 1
    }

    /// The newest checkpoint, cosigned by these.
    pub fn checkpoint(&self, witnesses: &[&str]) -> Note {
        let origin = self.signer.verifier().name().to_owned();
        let text = Checkpoint { origin, size: self.tree.size(), root: self.tree.root() }.to_string();
        let mut note = self.signer.note(text).unwrap();
        for (witness, second) in witnesses.iter().zip(0..) {
            let line = witness_key(witness).cosign(note.text(), self.time.plus(second)).unwrap();
            note.add(line).unwrap();
        }
        note
    }

    /// Shows where an entry stands, in the newest checkpoint cosigned by these.
    pub fn proof(&self, index: u64, witnesses: &[&str]) -> Proof {
        let inclusion = self.tree.inclusion(index, self.tree.size()).unwrap();
        Proof { extra: None, index, inclusion, checkpoint: self.checkpoint(witnesses) }
    }
}

/// How a device was enrolled: by a batch and its own join.
#[derive(Clone, Debug)]
pub struct Enrollment {
    /// The batch.
    pub enroll: Logged,
    /// The device's join.
    pub join: Note,
    /// Where the join stands.
    pub proof: Proof,
}

/// An organization, what it has decided so far, and the keys of all its parts.
pub struct Organization {
    /// Its id.
    pub org: OrgId,
    /// Its genesis policy.
    pub genesis: Logged,
    /// What it decided since: all of it taken by [`Organization::chain`].
    pub news: Vec<News>,
    /// What honest beacons hold.
    pub chain: Chain,
    /// Its log.
    pub log: Log,
    /// What the beacons' clocks say.
    pub time: Time,
    serial: u8,
}

impl Organization {
    /// The organization of [`genesis_policy`].
    pub fn found() -> Self {
        Self::found_with(|_| ())
    }

    /// The same with another genesis policy, signed by Anna and Bo.
    pub fn found_with(edit: impl FnOnce(&mut Policy)) -> Self {
        let mut policy = genesis_policy();
        edit(&mut policy);
        let signed = sign(&policy, &["anna", "bo"]);
        let org = OrgId(signed.hash().0);
        let mut log = Log::new(policy.log.key.name());
        let index = log.append(&signed.leaf(&org).unwrap());
        let genesis = Logged { signed, proof: log.proof(index, &WITNESSES) };
        let chain = Chain::begin(org, &genesis.signed, Inclusion::Proved(&genesis.proof)).unwrap();
        Self { org, genesis, news: Vec::new(), chain, log, time: Time(NOON), serial: 0 }
    }

    /// The newest policy.
    pub fn policy(&self) -> &Policy {
        &self.chain.policy().body
    }

    /// A fresh id: random in life, counted here.
    pub fn id(&mut self) -> StatementId {
        self.serial += 1;
        StatementId([self.serial; 16])
    }

    /// Puts a signed statement into the log, cosigned by all.
    pub fn log(&mut self, signed: Signed) -> Logged {
        let index = self.log.append(&signed.leaf(&self.org).unwrap());
        Logged { proof: self.log.proof(index, &WITNESSES), signed }
    }

    /// The policy that would follow the newest.
    pub fn next_policy(&self) -> Policy {
        self.chain.next_policy()
    }

    /// Makes the next policy, signed by Anna and Bo, and takes it.
    pub fn decide(&mut self, edit: impl FnOnce(&mut Policy)) -> News {
        let mut next = self.next_policy();
        edit(&mut next);
        let news = News::Policy(self.log(sign(&next, &["anna", "bo"])));
        self.take(news)
    }

    /// Goes on in a new log, by policy; returns the old one.
    pub fn move_log(&mut self, origin: &str) -> Log {
        let (old_size, old_root) = (self.log.tree.size(), Some(self.log.tree.root()));
        let old = std::mem::replace(&mut self.log, Log::new(origin));
        let key = note_key(origin).verifier().clone();
        self.decide(|policy| policy.log = LogEntry { key, old_size, old_root });
        old
    }

    /// The resume that would follow the newest.
    pub fn next_resume(&self, lifts: Lifts, cuts: Cuts) -> Resume {
        Resume {
            org: self.org,
            policy: self.chain.policy().hash,
            previous: self.chain.resume().into_iter().collect(),
            lifts,
            cuts,
            keeps: BTreeSet::new(),
            why: word("It is over."),
        }
    }

    /// Lifts halts, signed by Anna and Bo, and takes it.
    pub fn resume(&mut self, lifts: Lifts, cuts: Cuts, edit: impl FnOnce(&mut Resume)) -> News {
        let mut resume = self.next_resume(lifts, cuts);
        edit(&mut resume);
        let news = News::Resume(self.log(sign(&resume, &["anna", "bo"])));
        self.take(news)
    }

    /// A halt under the newest policy, not yet signed.
    pub fn halt_of(&mut self, scope: Scope) -> Halt {
        Halt {
            org: Some(self.org),
            id: self.id(),
            policy: Some(self.chain.policy().hash),
            scope,
            made: self.time,
            reason: word("Something is wrong."),
            advisory: word(""),
        }
    }

    /// Calls a halt by one key, and takes it.
    pub fn halt(&mut self, scope: Scope, key: &str) -> News {
        let halt = self.halt_of(scope);
        self.take(News::Halt(sign(&halt, &[key])))
    }

    /// What everybody honest does with news that holds.
    pub fn take(&mut self, news: News) -> News {
        news.offer(&mut self.chain).unwrap();
        self.news.push(news.clone());
        news
    }

    /// Enrolls the device of this name as a till, by a batch with a token and its own join.
    pub fn enroll(&mut self, device: &str) -> Enrollment {
        let batch = Batch {
            token: note_key("token").verifier().clone(),
            site: word("Smygehamn 12"),
            labels: labels(&[("class", "till"), ("region", "south")]),
            count: 10,
            until: Time(NOON + 86_400),
        };
        let enroll = Enroll { org: self.org, id: self.id(), what: What::Batch(batch) };
        let enroll = self.log(sign(&enroll, &["anna", "bo"]));
        self.join(enroll, device)
    }

    /// Joins a device to a batch.
    pub fn join(&mut self, enroll: Logged, device: &str) -> Enrollment {
        let signer = device_signer(device);
        let (batch, key) = (enroll.signed.hash(), signer.verifier().clone());
        let text = Join { org: self.org, batch, device: key, host_key: word("") }.to_string();
        let mut join = signer.note(text).unwrap();
        join.add(note_key("token").sign(join.text()).unwrap()).unwrap();
        let index = self.log.append(&join_leaf(&self.org, &join));
        Enrollment { enroll, join, proof: self.log.proof(index, &WITNESSES) }
    }

    /// A job that Anna asks for: one script on all tills, now, for a day.
    pub fn job(&mut self) -> Job {
        Job {
            org: self.org,
            id: self.id(),
            requester: word("anna"),
            policy: self.chain.policy().hash,
            resume: self.chain.resume(),
            not_before: Time(NOON - 3_600),
            not_after: Time(NOON + 86_400),
            why: word("The tills print the wrong date."),
            steps: vec![script(&["systemctl restart till"])],
            targets: Targets::List(TargetList { count: TILLS.len() as u64, root: targets().root() }),
            waves: Vec::new(),
            on_halt: OnHalt::Kill,
            repeat: 0,
            halt_above: 10_000,
        }
    }

    /// What an honest beacon says about a tree of challenges.
    pub fn clear(&self, root: Sha256) -> Clear {
        Clear {
            org: self.org,
            time: self.time,
            root,
            policy: self.chain.policy().hash,
            resume: self.chain.resume(),
            halts: self.chain.active_halts().map(|halt| halt.hash).collect(),
        }
    }

    /// Clears of these beacons for one device among others.
    pub fn clears(&self, challenge: [u8; 32], beacons: &[&str]) -> Vec<AnsweredClear> {
        beacons.iter().map(|beacon| answer(beacon, challenge, |root| self.clear(root))).collect()
    }

    /// The first three beacons' Clears.
    pub fn three_clears(&self, challenge: [u8; 32]) -> Vec<AnsweredClear> {
        self.clears(challenge, &BEACONS[..3])
    }

    /// Everything the device of this name needs for a job signed by these, except Clears.
    pub fn deliver(&mut self, job: &Job, keys: &[&str], device: &str) -> Delivery {
        let target = matches!(job.targets, Targets::List(_)).then(|| target_proof(device));
        Delivery {
            job: self.log(sign(job, keys)),
            news: self.news.clone(),
            clears: Vec::new(),
            target,
            advances: Vec::new(),
        }
    }

    /// What a device has on its disk once it is enrolled and knows all that is decided.
    pub fn records(&self, enrolled: &Enrollment) -> Vec<Record> {
        let join = Some((enrolled.join.clone(), enrolled.proof.clone()));
        let began = Record::Began { org: self.org, genesis: self.genesis.clone() };
        let news = self.news.iter().cloned().map(Record::News);
        let enrolled = Record::Enrolled { enroll: enrolled.enroll.clone(), join };
        std::iter::once(began).chain(news).chain([enrolled]).collect()
    }
}

/// A step that gives these lines to a shell.
pub fn script(lines: &[&str]) -> Step {
    let lines = lines.iter().map(|line| word(line)).collect();
    Step::Script(Script {
        run: Run::Lines(Lines { interpreter: word("/bin/sh"), arguments: Vec::new(), lines }),
        user: word("till"),
        folder: word("/"),
        environment: [(word("LANG"), word("C.UTF-8"))].into(),
        timeout: 60,
        output: 65_536,
        memory: 0,
        processes: 0,
        processor: 0,
    })
}

/// The SHA-256 by which a halt names the script of a step.
pub fn script_hash(step: &Step) -> Sha256 {
    let Step::Script(Script { run: Run::Lines(lines), .. }) = step else { panic!("a step without lines") };
    lines.hash()
}

fn sorted_tills() -> Vec<DeviceId> {
    let mut ids: Vec<DeviceId> = TILLS.iter().map(|name| device_id(name)).collect();
    ids.sort();
    ids
}

/// The tree of the ids of [`TILLS`].
pub fn targets() -> Tree {
    sorted_tills().iter().map(|id| leaf_hash(&id.0)).collect()
}

/// The place of a till in it; for a device that is no till, the place of the first.
pub fn target_proof(device: &str) -> TargetProof {
    let index = sorted_tills().iter().position(|id| *id == device_id(device)).unwrap_or(0) as u64;
    TargetProof { index, path: targets().inclusion(index, TILLS.len() as u64).unwrap() }
}

/// One beacon's Clear, as `said` words it, for the second of three devices' challenges.
pub fn answer(beacon: &str, challenge: [u8; 32], said: impl FnOnce(Sha256) -> Clear) -> AnsweredClear {
    let tree: Tree = [[1; 32], challenge, [2; 32]].iter().map(|raw| leaf_hash(raw)).collect();
    let clear = said(tree.root());
    let path = tree.inclusion(1, 3).unwrap();
    AnsweredClear { clear: note_key(beacon).note(clear.to_string()).unwrap(), index: 1, size: 3, path }
}

/// What a device's clocks say so many milliseconds after noon; it came up 1,000 s before noon.
pub fn at(ms: u64) -> Reading {
    Reading { boot_ms: 1_000_000 + ms, wall_ms: NOON * 1_000 + ms }
}

/// The ledger that these records give, each written down and read back first.
pub fn ledger(records: &[Record]) -> Ledger {
    let mut ledger = Ledger::default();
    for record in records {
        ledger.apply(&Record::decode(&record.encode()).unwrap()).unwrap();
    }
    ledger
}

/// A device brought to life by what is on its disk.
pub fn device(name: &str, records: &[Record]) -> Device {
    Device::new(ledger(records), device_signer(name), VERSION.to_owned())
}

/// Everything.
pub fn everything() -> Scope {
    Scope::Organization(Nothing)
}
