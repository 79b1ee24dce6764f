//! Halts: whose counts, how many of one key are taken and kept, and which of them stop something until a resume lifts them.
//!
//! Source: docs/spec/3-statements.md, "The chain", on halts.

use alloc::collections::BTreeSet;

use super::{Chain, ChainError, Held, Taken, read};
use crate::envelope::Signed;
use crate::ids::{Name, Sha256};
use crate::key::PublicKey;
use crate::signers::passkey_rules;
use crate::statement::Kind;
use crate::statement::halt::{Halt, Scope};
use crate::statement::policy::{Policy, VendorHalts};
use crate::statement::resume::Lifts;

/// How many active halts of one key are taken; more are known, but do not stop anything.
pub const MAX_HALTS_OF_A_KEY: usize = 16;
/// How many active halts of one key are kept at all: of the organization, and as many of everything else. More than a Clear can
/// name: who is refused here has silenced every beacon already.
pub const MAX_KNOWN_HALTS_OF_A_KEY: usize = 80;

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
    /// The number of the policy it counts as made under.
    made_under: u64,
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

impl Chain {
    /// All halts that were ever taken or known.
    pub fn halts(&self) -> impl Iterator<Item = &HeldHalt> {
        self.halts.values()
    }

    /// The halt with this hash.
    pub fn halt(&self, hash: &Sha256) -> Option<&HeldHalt> {
        self.halts.get(hash)
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

    /// Whether a resume has lifted the halt with this hash: then nobody need be told of it any more.
    pub fn has_lifted(&self, halt: &Sha256) -> bool {
        self.halts.get(halt).is_some_and(|halt| self.is_lifted(halt))
    }

    /// Whether somebody signed it who may halt by one of the policies held: nobody else's is worth a second look.
    pub fn is_by_a_halter(&self, signed: &Signed) -> bool {
        self.policies.iter().rev().any(|policy| halter(&policy.body, signed).is_some())
    }

    /// Takes a halt, from wherever it comes.
    pub fn take_halt(&mut self, signed: &Signed) -> Result<Taken, ChainError> {
        let hash = signed.hash();
        if self.halts.contains_key(&hash) {
            return Ok(Taken::Known);
        }
        // A signature by somebody known comes before the first look at what it says.
        if !self.is_by_a_halter(signed) {
            return Err(ChainError::NotAHalter);
        }
        let halt: Halt = read(signed)?;
        let (by, key, made_under) = self.judge_halt(&halt, signed)?;
        let of_this_key = self.active_halts().filter(|other| other.key == key).count();
        let taken = is_of_all(&halt) || of_this_key < MAX_HALTS_OF_A_KEY;
        // Who halts is settled, unless a policy comes that it names: others' signatures are only weight then.
        let settled = halt.policy.is_none_or(|named| self.policy_by_hash(&named).is_some());
        let signed = if settled { signed.by_key_alone(key.blob()) } else { signed.clone() };
        self.keep_halt(HeldHalt { hash, body: halt, signed, by, key, made_under, taken })
    }

    /// Who halts, and the number of the policy that this counts as made under: the one it names, if its key may halt there, else the
    /// oldest held in which it may. The key could have named that one, so nobody gains by naming another, and whoever holds more
    /// policies finds the same. A vendor's halt names none: it counts as long as the newest policy knows the key and has it obeyed.
    fn judge_halt(&self, halt: &Halt, signed: &Signed) -> Result<(Halter, PublicKey, u64), ChainError> {
        let under =
            |held: &Held<Policy>| halter(&held.body, signed).map(|(by, key)| (by, key, held.body.number));
        let named = halt.policy.and_then(|named| self.policy_by_hash(&named)).and_then(under);
        let found = match (halt.org, halt.policy) {
            (None, None) => under(self.policy()),
            _ => named.or_else(|| self.policies.iter().find_map(under)),
        };
        let found = found.ok_or(ChainError::NotAHalter)?;
        match found.0 {
            Halter::Vendor => {
                let of_component = matches!(halt.scope, Scope::Component(_));
                if !of_component || halt.org.is_some() || halt.policy.is_some() {
                    return Err(ChainError::VendorScope);
                }
                let halts = self.policy().body.vendor.halts;
                if halts != VendorHalts::Auto {
                    return Err(ChainError::VendorHalts(halts));
                }
            }
            Halter::Person(_) | Halter::Machine(_) => self.same_org(halt.org)?,
        }
        Ok(found)
    }

    /// What the newest policy changes about the halts that are held: those that name it count as made under it, where it lets their
    /// key halt, and a vendor's is over with the policy that no longer knows the key or has it obeyed.
    pub(super) fn judge_halts_again(&mut self) {
        let newest = self.policy().hash;
        for (hash, mut halt) in core::mem::take(&mut self.halts) {
            let changed = halt.by == Halter::Vendor || halt.body.policy == Some(newest);
            if changed {
                let Ok(found) = self.judge_halt(&halt.body, &halt.signed) else { continue };
                (halt.by, halt.key, halt.made_under) = found;
            }
            self.halts.insert(hash, halt);
        }
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

    /// A vendor's halt was made under no policy, so that parties could not agree which resume by key comes after it: its hash lifts it.
    fn is_lifted(&self, halt: &HeldHalt) -> bool {
        self.resumes.iter().any(|resume| match &resume.body.lifts {
            Lifts::Halts(halts) => halts.contains(&halt.hash),
            Lifts::Keys(keys) => {
                let under = self.policy_by_hash(&resume.body.policy).map(|policy| policy.body.number);
                let of_key = halt.by != Halter::Vendor && keys.contains(&halt.key);
                of_key && Some(halt.made_under) <= under
            }
        })
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
