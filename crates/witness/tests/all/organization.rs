//! An organization to test with: three people, a log, witnesses and beacons, all with real keys.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU8;

use countersign_trust::checkpoint::{AddCheckpoint, Checkpoint, Proof};
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::{Name, OrgId, Sha256};
use countersign_trust::merkle::{Tree, leaf_hash};
use countersign_trust::note::{KeyKind, Note, NoteSigner, VerifierKey};
use countersign_trust::sshsig::SshSigner;
use countersign_trust::statement::policy::{
    Addresses, Beacons, Halters, Limits, Log, Passkeys, Person, PersonKey, Policy, Quorum, Quorums, Recovery,
    Vendor, VendorHalts, Witnesses,
};
use countersign_trust::statement::{Statement, write};
use countersign_trust::time::Time;

/// People who sign policies: two of three are a quorum.
pub const ANNA: u8 = 1;
pub const BERT: u8 = 2;
/// May halt, and is of no other role.
pub const CARA: u8 = 9;

pub fn ssh(number: u8) -> SshSigner {
    SshSigner::from_seed(&[number; 32]).unwrap()
}

pub fn log_key(origin: &str) -> NoteSigner {
    NoteSigner::new(origin, KeyKind::Ed25519, &Sha256::of(origin.as_bytes()).0).unwrap()
}

pub fn witness_key(number: u8) -> NoteSigner {
    let name = format!("witness-{number}.example");
    NoteSigner::new(&name, KeyKind::CosignatureV1, &[100 + number; 32]).unwrap()
}

pub fn beacon_key(number: u8) -> NoteSigner {
    NoteSigner::new(&format!("beacon-{number}.example"), KeyKind::Ed25519, &[200 + number; 32]).unwrap()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn need(count: u8) -> NonZeroU8 {
    NonZeroU8::new(count).unwrap()
}

pub fn witnesses(keys: &[&VerifierKey]) -> Witnesses {
    Witnesses { need: need(1), keys: keys.iter().map(|key| (*key).clone()).collect() }
}

pub fn beacons(least: u8, keys: &[&VerifierKey]) -> Beacons {
    Beacons { need: need(least), lifetime: 180, keys: keys.iter().map(|key| (*key).clone()).collect() }
}

/// A first policy: Anna, Bert and a third sign, Cara halts.
pub fn genesis(log: &VerifierKey, witnesses: Witnesses, beacons: Beacons) -> Policy {
    let people = [("anna", ANNA), ("bert", BERT), ("carl", 3), ("cara", CARA)];
    let key = |number| PersonKey { key: ssh(number).public_key().clone(), same_origin: false };
    let person = |(text, number): (&str, u8)| (name(text), Person { keys: vec![key(number)] });
    let chiefs = || Quorum { role: name("chiefs"), need: need(2) };
    let halting = (name("halting"), BTreeSet::from([name("cara")]));
    let chief = (name("chiefs"), ["anna", "bert", "carl"].map(name).into());
    Policy {
        org: None,
        number: 1,
        previous: BTreeSet::new(),
        resumes: BTreeSet::new(),
        name: "Example".parse().unwrap(),
        people: people.map(person).into(),
        roles: BTreeMap::from([chief, halting]),
        rules: Vec::new(),
        quorums: Quorums { policy: chiefs(), enroll: chiefs(), resume: chiefs(), promote: chiefs() },
        halt: Halters { roles: BTreeSet::from([name("halting")]), machines: BTreeMap::new() },
        log: Log { key: log.clone(), old_size: 0, old_root: None },
        witnesses,
        beacons,
        vendor: Vendor { need: 0, keys: BTreeSet::new(), halts: VendorHalts::Auto },
        passkeys: Passkeys { rp_id: None, origins: BTreeSet::new() },
        limits: Limits { life: 86_400, concurrent: need(1), output: 65_536, auto_waves_max: 10 },
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

/// The policy that follows `policy`, to be changed and signed.
pub fn following(policy: &Policy) -> Policy {
    let (_, hash) = write(policy);
    let mut next = policy.clone();
    next.org = Some(org_of(policy));
    next.number += 1;
    next.previous = BTreeSet::from([hash]);
    next.log = Log { key: policy.log.key.clone(), old_size: 0, old_root: None };
    next
}

pub fn org_of(policy: &Policy) -> OrgId {
    policy.org.unwrap_or(OrgId(write(policy).1.0))
}

pub fn sign<S: Statement>(statement: &S, by: &[u8]) -> Signed {
    let (text, _) = write(statement);
    let signature = |number: &u8| ssh(*number).sign(&S::KIND.namespace(), text.as_bytes()).unwrap();
    Signed::new(text.clone(), by.iter().map(signature)).unwrap()
}

/// A policy with the signatures it needs.
pub fn signed(policy: &Policy) -> Signed {
    sign(policy, &[ANNA, BERT])
}

/// Numbers of the two keys of the recovery set in [`with_recovery`].
pub const SAFE: [u8; 2] = [50, 51];

/// The policy with a recovery set, whose keys lie in a safe.
pub fn with_recovery(policy: Policy) -> Policy {
    let keys = SAFE.map(|number| ssh(number).public_key().clone()).into();
    Policy { recovery: Recovery { need: 2, keys }, ..policy }
}

/// The policy that follows when all keys are lost: new keys for Anna and Bert, signed by them and by the safe's.
pub fn recovering(policy: &Policy) -> (Policy, Signed) {
    let mut next = following(policy);
    for (person, number) in [("anna", 60), ("bert", 61)] {
        let keys = vec![PersonKey { key: ssh(number).public_key().clone(), same_origin: false }];
        next.people.insert(name(person), Person { keys });
    }
    let signed = sign(&next, &[60, 61, SAFE[0], SAFE[1]]);
    (next, signed)
}

/// A log with its witnesses, in memory.
pub struct TestLog {
    pub signer: NoteSigner,
    pub tree: Tree,
    pub witnesses: Vec<NoteSigner>,
}

impl TestLog {
    pub fn new(origin: &str, witnesses: Vec<NoteSigner>) -> Self {
        Self { signer: log_key(origin), tree: Tree::default(), witnesses }
    }

    /// Adds leaves that mean nothing until the log has `size` of them.
    pub fn grow(&mut self, size: u64) {
        while self.tree.size() < size {
            let leaf = leaf_hash(format!("leaf {}", self.tree.size()).as_bytes());
            self.tree.push(leaf);
        }
    }

    /// The signed checkpoint of the first `size` leaves.
    pub fn checkpoint(&self, size: u64) -> Note {
        let origin = self.signer.verifier().name().to_owned();
        let root = self.tree.root_at(size).unwrap();
        self.signer.note(Checkpoint { origin, size, root }.to_string()).unwrap()
    }

    /// What the log sends a witness that has seen `old` leaves.
    pub fn request(&self, old: u64, new: u64) -> AddCheckpoint {
        let consistency = self.tree.consistency(old, new).unwrap();
        AddCheckpoint { old, consistency, checkpoint: self.checkpoint(new) }
    }

    /// Logs a statement and proves it by a checkpoint that the witnesses have cosigned.
    pub fn add(&mut self, org: OrgId, signed: &Signed) -> Logged {
        self.tree.push(leaf_hash(signed.leaf(&org).unwrap().as_bytes()));
        let size = self.tree.size();
        let mut checkpoint = self.checkpoint(size);
        for witness in &self.witnesses {
            let cosignature = witness.cosign(checkpoint.text(), Time(1_000)).unwrap();
            checkpoint.add(cosignature).unwrap();
        }
        let inclusion = self.tree.inclusion(size - 1, size).unwrap();
        let proof = Proof { extra: None, index: size - 1, inclusion, checkpoint };
        Logged { signed: signed.clone(), proof }
    }
}
