//! What an organization has decided so far: its policies, resumes and halts, as one party holds them.
//!
//! Agents, beacons, witnesses, the command line and the server all keep the same chain by the same rules. It only
//! grows: a policy once applied is never left, and a halt ends only by a resume.
//!
//! Source: docs/spec/3-statements.md, "The chain".

mod error;
mod recovery;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::checkpoint::{LogKeys, Proof, Witnessed, verify_logged};
use crate::envelope::Signed;
use crate::ids::{Name, OrgId, Sha256};
use crate::key::PublicKey;
use crate::signers::{Signers, keys_signed, passkey_rules, signers};
use crate::statement::halt::{Halt, Scope};
use crate::statement::policy::{Policy, Quorum, Recovery, Witnesses};
use crate::statement::resume::{Cuts, Lifts, Resume};
use crate::statement::{self, Kind, Statement};

pub use error::ChainError;
use recovery::Words;
pub use recovery::{RECOVERED, Recovered};

/// How many active halts of one key are taken; more are known, but do not stop anything.
pub const MAX_HALTS_OF_A_KEY: usize = 16;
/// How many active halts of one key are kept at all: of the organization, and as many of everything else. More than a Clear can
/// name: who is refused here has silenced every beacon already.
pub const MAX_KNOWN_HALTS_OF_A_KEY: usize = 80;
/// How many policies of the recovery set may wait beside the chain.
pub const MAX_WAITING: usize = 4;
/// For how long an honest beacon holds a policy of the recovery set before it takes it, in seconds: 72 hours, in which those
/// whose keys are not lost can sign another one.
pub const RECOVERY_WAIT_S: u64 = 72 * 3_600;

/// A statement that was checked and taken.
#[derive(Clone, Debug)]
pub struct Held<T> {
    /// Its hash.
    pub hash: Sha256,
    /// What it says.
    pub body: T,
    /// The bytes and signatures, to be shown to others.
    pub signed: Signed,
    /// The proof, to be shown to others; a witness has none.
    pub proof: Option<Proof>,
    /// Where it stands in the organization's logs.
    pub place: Place,
    /// The number of the newest policy that was held when it was taken; its own, for a policy.
    pub under: u64,
}

/// A place in the sequence of an organization's logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// 0 for the first log, one more for each that replaced it.
    pub log: usize,
    /// The leaf's index.
    pub index: u64,
}

/// A halt that was checked.
#[derive(Clone, Debug)]
pub struct HeldHalt {
    /// Its hash.
    pub hash: Sha256,
    /// What it says.
    pub body: Halt,
    /// The bytes and signatures, to be shown to others.
    pub signed: Signed,
    /// Who called it.
    pub by: Halter,
    /// The key that called it.
    key: PublicKey,
    /// The number of the policy under which it was judged.
    judged_under: u64,
    /// False for what came after a key's sixteenth.
    taken: bool,
}

/// Who called a halt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halter {
    /// A person.
    Person(Name),
    /// A machine.
    Machine(Name),
    /// The vendor.
    Vendor,
}

impl core::fmt::Display for Halter {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Person(person) => write!(f, "{person}"),
            Self::Machine(machine) => write!(f, "the machine {machine}"),
            Self::Vendor => f.write_str("the vendor"),
        }
    }
}

/// Whether the proof of inclusion is checked.
#[derive(Clone, Copy, Debug)]
pub enum Inclusion<'a> {
    /// It is there and must hold.
    Proved(&'a Proof),
    /// Only for a witness: it takes a log on before anything in that log can have been cosigned.
    WaivedForWitness,
}

/// What became of a statement that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is new and was taken.
    New,
    /// It was there before.
    Known,
    /// A policy of the recovery set: it waits beside the chain for the word of enough beacons.
    Waits,
    /// A halt that a resume has lifted already: it is not kept.
    Lifted,
}

/// An organization's chain.
#[derive(Clone, Debug)]
pub struct Chain {
    org: OrgId,
    policies: Vec<Held<Policy>>,
    waiting: Vec<Held<Policy>>,
    words: Words,
    resumes: Vec<Held<Resume>>,
    halts: BTreeMap<Sha256, HeldHalt>,
}

impl Chain {
    /// Starts with the genesis policy of `org`.
    pub fn begin(org: OrgId, genesis: &Signed, inclusion: Inclusion<'_>) -> Result<Self, ChainError> {
        let hash = genesis.hash();
        if hash.0 != org.0 {
            let found = alloc::format!("{}", OrgId(hash.0));
            return Err(ChainError::Organization { expected: org, found });
        }
        let policy: Policy = read(genesis)?;
        policy.check()?;
        let count = signers(&policy, Kind::Policy, genesis);
        need(&policy, &policy.quorums.policy, &count)?;
        let index = check_inclusion(org, genesis, inclusion, &policy, &policy.witnesses)?;
        let first = held(genesis, policy, inclusion, Place { log: 0, index }, 1);
        let (policies, waiting, words) = (alloc::vec![first], Vec::new(), Words::new());
        Ok(Self { org, policies, waiting, words, resumes: Vec::new(), halts: BTreeMap::new() })
    }

    /// The organization.
    pub fn org(&self) -> OrgId {
        self.org
    }

    /// The newest policy.
    pub fn policy(&self) -> &Held<Policy> {
        // `begin` puts one in and nothing takes one out.
        #[expect(clippy::expect_used, reason = "a chain holds its genesis policy from the start")]
        self.policies.last().expect("a chain is never empty")
    }

    /// All policies, oldest first.
    pub fn policies(&self) -> &[Held<Policy>] {
        &self.policies
    }

    /// Policies of the recovery set that follow the newest and are not in force.
    pub fn waiting(&self) -> &[Held<Policy>] {
        &self.waiting
    }

    /// All resumes, oldest first.
    pub fn resumes(&self) -> &[Held<Resume>] {
        &self.resumes
    }

    /// The hash of the newest resume.
    pub fn resume(&self) -> Option<Sha256> {
        self.resumes.last().map(|resume| resume.hash)
    }

    /// All halts that were ever taken or known.
    pub fn halts(&self) -> impl Iterator<Item = &HeldHalt> {
        self.halts.values()
    }

    /// The halt with this hash.
    pub fn halt(&self, hash: &Sha256) -> Option<&HeldHalt> {
        self.halts.get(hash)
    }

    /// Whether a resume has lifted the halt with this hash: then nobody need be told of it any more.
    pub fn has_lifted(&self, halt: &Sha256) -> bool {
        self.halts.get(halt).is_some_and(|halt| self.is_lifted(halt))
    }

    /// The policy with this hash.
    pub fn policy_by_hash(&self, hash: &Sha256) -> Option<&Held<Policy>> {
        self.policies.iter().find(|policy| policy.hash == *hash)
    }

    /// Halts that stop something.
    pub fn active_halts(&self) -> impl Iterator<Item = &HeldHalt> {
        self.halts.values().filter(|halt| halt.taken && !self.is_lifted(halt))
    }

    /// Halts that stop something here or at one of those who named `theirs`. What was lifted stays lifted, whoever names it.
    pub fn active_halts_with<'a>(
        &'a self,
        theirs: &'a BTreeSet<Sha256>,
    ) -> impl Iterator<Item = &'a HeldHalt> {
        let active = |halt: &&HeldHalt| halt.taken || theirs.contains(&halt.hash);
        self.halts.values().filter(active).filter(|halt| !self.is_lifted(halt))
    }

    /// Takes the next policy: signed by the quorum of the one in force, or by its recovery set; then it waits. One that waits
    /// and comes again with the quorum's signatures waits no longer.
    pub fn take_policy(&mut self, signed: &Signed, inclusion: Inclusion<'_>) -> Result<Taken, ChainError> {
        let hash = signed.hash();
        if self.policy_by_hash(&hash).is_some() {
            return Ok(Taken::Known);
        }
        let current = self.policy();
        let by_current = signers(&current.body, Kind::Policy, signed);
        let decided = need(&current.body, &current.body.quorums.policy, &by_current);
        if self.waits(&hash) && decided.is_err() {
            return Ok(Taken::Known);
        }
        let Recovery { need: recoverers, keys } = &current.body.recovery;
        let recovering = keys_signed(&current.body, keys, Kind::Policy, signed);
        if by_current.is_empty() && recovering == 0 {
            return Err(ChainError::UnknownSigners);
        }
        let next: Policy = read(signed)?;
        self.same_org(next.org)?;
        if !next.previous.contains(&current.hash) {
            let found = next.previous.into_iter().collect();
            return Err(ChainError::NotNext { expected: alloc::format!("{}", current.hash), found });
        }
        let expected = current.body.number + 1;
        if next.number != expected {
            return Err(ChainError::Number { expected, found: next.number });
        }
        next.check()?;
        let recovers = *recoverers > 0 && recovering >= usize::from(*recoverers);
        if !recovers {
            decided.clone()?;
        }
        need(&next, &next.quorums.policy, &signers(&next, Kind::Policy, signed))?;
        let index = check_inclusion(self.org, signed, inclusion, &next, &current.body.witnesses)?;
        let replaced = usize::from(next.log.key.name() != current.body.log.key.name());
        let place = Place { log: current.place.log + replaced, index };
        let policy = held(signed, next, inclusion, place, expected);
        if decided.is_ok() { Ok(self.decide(policy)) } else { self.let_wait(policy) }
    }

    /// Takes the next resume.
    pub fn take_resume(&mut self, signed: &Signed, proof: &Proof) -> Result<Taken, ChainError> {
        let hash = signed.hash();
        if self.resumes.iter().any(|resume| resume.hash == hash) {
            return Ok(Taken::Known);
        }
        let (governing, place, _) = self.governing(&signed.leaf(&self.org)?, proof)?;
        let count = signers(&governing.body, Kind::Resume, signed);
        if count.is_empty() {
            return Err(ChainError::UnknownSigners);
        }
        let resume: Resume = read(signed)?;
        self.same_org(Some(resume.org))?;
        let follows = match self.resume() {
            Some(newest) => resume.previous.contains(&newest),
            None => resume.previous.is_empty(),
        };
        if !follows && !self.may_begin_anew(governing.body.number) {
            let expected = crate::lines::or_none(&self.resume());
            return Err(ChainError::NotNext { expected, found: resume.previous.into_iter().collect() });
        }
        if self.policy_by_hash(&resume.policy).is_none() {
            return Err(ChainError::UnknownPolicy(resume.policy));
        }
        need(&governing.body, &governing.body.quorums.resume, &count)?;
        let under = self.policy().body.number;
        self.resumes.push(held(signed, resume, Inclusion::Proved(proof), place, under));
        Ok(Taken::New)
    }

    /// Takes a halt, from wherever it comes.
    pub fn take_halt(&mut self, signed: &Signed) -> Result<Taken, ChainError> {
        let hash = signed.hash();
        if self.halts.contains_key(&hash) {
            return Ok(Taken::Known);
        }
        // A signature by somebody known comes before the first look at what it says.
        let any = |policy: &Held<Policy>| halter(&policy.body, signed).is_some();
        if !self.policies.iter().rev().any(any) {
            return Err(ChainError::NotAHalter);
        }
        let halt: Halt = read(signed)?;
        let named = halt.policy.and_then(|named| self.policy_by_hash(&named));
        let governing = named.unwrap_or(self.policy());
        let (by, key) = halter(&governing.body, signed).ok_or(ChainError::NotAHalter)?;
        match by {
            Halter::Vendor => {
                let of_component = matches!(halt.scope, Scope::Component(_));
                if !of_component || halt.org.is_some() || halt.policy.is_some() {
                    return Err(ChainError::VendorScope);
                }
            }
            Halter::Person(_) | Halter::Machine(_) => self.same_org(halt.org)?,
        }
        let judged_under = governing.body.number;
        let of_this_key = self.active_halts().filter(|other| other.key == key).count();
        let taken = is_of_all(&halt) || of_this_key < MAX_HALTS_OF_A_KEY;
        let signed = signed.clone();
        self.keep_halt(HeldHalt { hash, body: halt, signed, by, key, judged_under, taken })
    }

    /// A key that calls halts without end, or again what was lifted, fills nobody's disk.
    fn keep_halt(&mut self, halt: HeldHalt) -> Result<Taken, ChainError> {
        if self.is_lifted(&halt) {
            return Ok(Taken::Lifted);
        }
        let alike =
            |other: &&HeldHalt| other.key == halt.key && is_of_all(&other.body) == is_of_all(&halt.body);
        let kept = self.halts.values().filter(alike).filter(|other| !self.is_lifted(other)).count();
        if kept >= MAX_KNOWN_HALTS_OF_A_KEY {
            return Err(ChainError::TooManyHalts { kept, most: MAX_KNOWN_HALTS_OF_A_KEY });
        }
        self.halts.insert(halt.hash, halt);
        Ok(Taken::New)
    }

    /// The policy in force where `proof` places `leaf`, that place, and the witnesses' time.
    ///
    /// In force is the newest whose own leaf stands before it. The checkpoint may be cosigned by that policy's witnesses
    /// or by those of a later one: what was enrolled stays enrolled when a witness retires.
    pub fn governing(
        &self,
        leaf: &str,
        proof: &Proof,
    ) -> Result<(&Held<Policy>, Place, Witnessed), ChainError> {
        let log = self.policy_of_log(proof)?.place.log;
        let place = Place { log, index: proof.index };
        self.still_counts(place)?;
        let before = self.policies.iter().rposition(|policy| policy.place < place);
        let (at, governing) = before
            .and_then(|at| self.policies.get(at).map(|held| (at, held)))
            .ok_or(ChainError::UnknownSigners)?;
        let mut last = Err(ChainError::UnknownSigners);
        for policy in self.policies.iter().skip(at).rev() {
            let keys = log_keys(&policy.body, &policy.body.witnesses);
            match verify_logged(proof, leaf.as_bytes(), keys) {
                Ok(witnessed) => return Ok((governing, place, witnessed)),
                Err(error) => last = Err(error.into()),
            }
        }
        last
    }

    /// Checks that `leaf` stands in the newest policy's log, cosigned by the newest policy's witnesses.
    pub fn logged(&self, leaf: &str, proof: &Proof) -> Result<Witnessed, ChainError> {
        let policy = &self.policy().body;
        Ok(verify_logged(proof, leaf.as_bytes(), log_keys(policy, &policy.witnesses))?)
    }

    /// Of a log that was replaced, only the leaves count that stood in it when it was: its key may be a thief's.
    fn still_counts(&self, Place { log, index }: Place) -> Result<(), ChainError> {
        match self.policies.iter().find(|policy| policy.place.log > log).map(|next| next.body.log.old_size) {
            Some(size) if index >= size => Err(ChainError::ReplacedLog { index, size }),
            _ => Ok(()),
        }
    }

    /// The newest policy that names the log in which `proof` places something.
    fn policy_of_log(&self, proof: &Proof) -> Result<&Held<Policy>, ChainError> {
        let origin = proof.checkpoint.text().lines().next().unwrap_or_default();
        let newest = self.policies.iter().rev().find(|policy| policy.body.log.key.name() == origin);
        newest.ok_or_else(|| ChainError::UnknownLog(origin.into()))
    }

    /// Which resume cuts a job off: one newer than the job knew, that does not keep it.
    ///
    /// # Errors
    /// The resume that the job knew, if it is not held: then nobody can say.
    pub fn cut_by(
        &self,
        job: &Sha256,
        knew: Option<Sha256>,
        signed_by: &Signers,
    ) -> Result<Option<Sha256>, Sha256> {
        let known = match knew {
            None => 0,
            Some(hash) => {
                let at = self.resumes.iter().position(|resume| resume.hash == hash);
                at.ok_or(hash)? + 1
            }
        };
        let cuts = |resume: &&Held<Resume>| {
            let all = matches!(resume.body.lifts, Lifts::Keys(_));
            let cut = match &resume.body.cuts {
                Cuts::None(_) => all,
                Cuts::People(people) => all || people.iter().any(|person| signed_by.contains(person)),
                Cuts::All(_) => true,
            };
            cut && !resume.body.keeps.contains(job)
        };
        Ok(self.resumes.iter().skip(known).find(cuts).map(|resume| resume.hash))
    }

    fn is_lifted(&self, halt: &HeldHalt) -> bool {
        self.resumes.iter().any(|resume| match &resume.body.lifts {
            Lifts::Halts(halts) => halts.contains(&halt.hash),
            Lifts::Keys(keys) => {
                let under = self.policy_by_hash(&resume.body.policy).map(|policy| policy.body.number);
                keys.contains(&halt.key) && Some(self.made_under(halt)) <= under
            }
        })
    }

    /// The number of the policy that a halt was made under. One that names a policy nobody has counts as made under the
    /// one it was judged by: else the thief of a key could make halts that no resume by key lifts.
    fn made_under(&self, halt: &HeldHalt) -> u64 {
        let named = halt.body.policy.and_then(|named| self.policy_by_hash(&named));
        named.map_or(halt.judged_under, |policy| policy.body.number)
    }

    /// Whether a statement is this organization's.
    pub(crate) fn same_org(&self, found: Option<OrgId>) -> Result<(), ChainError> {
        if found == Some(self.org) {
            return Ok(());
        }
        Err(ChainError::Organization { expected: self.org, found: crate::lines::or_none(&found) })
    }
}

/// Reads a statement of the kind its signatures claim.
pub(crate) fn read<S: Statement>(signed: &Signed) -> Result<S, ChainError> {
    let found = signed.kind()?;
    if found != S::KIND {
        return Err(ChainError::Kind { expected: S::KIND, found });
    }
    Ok(statement::read(signed.statement())?)
}

pub(crate) fn need(policy: &Policy, quorum: &Quorum, count: &Signers) -> Result<(), ChainError> {
    let Some(got) = count.too_few_for(policy, quorum) else { return Ok(()) };
    let (need, role) = (usize::from(quorum.need.get()), quorum.role.clone());
    Err(ChainError::Quorum { got, need, role, policy: policy.number })
}

fn held<T>(signed: &Signed, body: T, inclusion: Inclusion<'_>, place: Place, under: u64) -> Held<T> {
    let proof = match inclusion {
        Inclusion::Proved(proof) => Some(proof.clone()),
        Inclusion::WaivedForWitness => None,
    };
    Held { hash: signed.hash(), body, signed: signed.clone(), proof, place, under }
}

/// The log that `policy` names, cosigned by `witnesses`.
pub fn log_keys<'a>(policy: &'a Policy, witnesses: &'a Witnesses) -> LogKeys<'a> {
    LogKeys { log: &policy.log.key, witnesses: &witnesses.keys, need: witnesses.need }
}

fn check_inclusion(
    org: OrgId,
    signed: &Signed,
    inclusion: Inclusion<'_>,
    log: &Policy,
    witnesses: &Witnesses,
) -> Result<u64, ChainError> {
    match inclusion {
        Inclusion::WaivedForWitness => Ok(0),
        Inclusion::Proved(proof) => {
            let leaf = signed.leaf(&org)?;
            Ok(verify_logged(proof, leaf.as_bytes(), log_keys(log, witnesses))?.index())
        }
    }
}

fn is_of_all(halt: &Halt) -> bool {
    matches!(halt.scope, Scope::Organization(_))
}

/// Who of `policy` may halt and signed.
fn halter(policy: &Policy, signed: &Signed) -> Option<(Halter, PublicKey)> {
    let people = policy.people_of(&policy.halt.roles);
    let rules = passkey_rules(policy);
    let namespace = Kind::Halt.namespace();
    signed.signatures().iter().find_map(|signature| {
        let blob = signature.key_blob();
        let person = policy.person_of_key(blob).filter(|(name, _)| people.contains(name));
        let machine = || policy.halt.machines.iter().find(|(_, key)| key.blob() == blob);
        let vendor = || policy.vendor.keys.iter().find(|key| key.blob() == blob);
        let (halter, key) = person
            .map(|(name, held)| (Halter::Person(name.clone()), &held.key))
            .or_else(|| machine().map(|(name, key)| (Halter::Machine(name.clone()), key)))
            .or_else(|| vendor().map(|key| (Halter::Vendor, key)))?;
        signature.verify(key, &namespace, signed.statement().as_bytes(), &rules).ok()?;
        Some((halter, key.clone()))
    })
}
