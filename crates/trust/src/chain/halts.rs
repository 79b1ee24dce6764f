//! Halts: whose counts, how many of one key are taken and kept, and which of them stop something until a resume lifts them.
//!
//! Source: docs/spec/3-statements.md, "The chain", on halts.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Chain, ChainError, Held, Taken, read};
use crate::envelope::Signed;
use crate::ids::{Name, Sha256};
use crate::key::PublicKey;
use crate::signers::passkey_rules;
use crate::sshsig::SshSig;
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
    /// Who called it: everybody who may and who signed it, at least one.
    pub by: Halters,
}

/// Those who called a halt, in the order of the signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halters(Vec<Call>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Call {
    by: Halter,
    key: PublicKey,
    /// The number of the policy under which it counts as made with this key.
    made_under: u64,
    /// False for what came after the key's sixteenth.
    taken: bool,
}

impl Halters {
    /// Who they are.
    pub fn iter(&self) -> impl Iterator<Item = &Halter> {
        self.0.iter().map(|call| &call.by)
    }

    /// The fingerprints of their keys, in the same order.
    pub fn keys(&self) -> String {
        let keys: Vec<String> = self.0.iter().map(|call| call.key.fingerprint()).collect();
        keys.join(", ")
    }

    /// Whether a vendor is among them.
    pub fn are_vendors(&self) -> bool {
        self.iter().any(|by| *by == Halter::Vendor)
    }

    fn by_key(&self, key: &PublicKey) -> Option<&Call> {
        self.0.iter().find(|call| call.key == *key)
    }
}

impl core::fmt::Display for Halters {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (number, by) in self.iter().enumerate() {
            f.write_str(if number == 0 { "" } else { ", " })?;
            write!(f, "{by}")?;
        }
        Ok(())
    }
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
        self.halts.values().filter(|halt| self.stops(halt, |call| call.taken))
    }

    /// Halts that stop something here or at one of those who named `theirs`. What was lifted stays lifted, whoever names it.
    pub fn active_halts_with<'a>(
        &'a self,
        theirs: &'a BTreeSet<Sha256>,
    ) -> impl Iterator<Item = &'a HeldHalt> {
        self.halts.values().filter(|halt| self.stops(halt, |call| call.taken || theirs.contains(&halt.hash)))
    }

    /// Whether a resume has lifted the halt with this hash: then nobody need be told of it any more.
    pub fn has_lifted(&self, halt: &Sha256) -> bool {
        self.halts.get(halt).is_some_and(|halt| self.is_lifted(halt))
    }

    /// Whether this halt is held with all these signatures: then there is nothing to look at.
    pub fn has_halt(&self, signed: &Signed) -> bool {
        let held = self.halts.get(&signed.hash()).map(|held| held.signed.signatures());
        held.is_some_and(|held| signed.signatures().iter().all(|signature| held.contains(signature)))
    }

    /// Whether somebody signed it who may halt by one of the policies held: nobody else's is worth a second look.
    pub fn is_by_a_halter(&self, signed: &Signed) -> bool {
        self.newest_call(signed).is_some()
    }

    fn newest_call(&self, signed: &Signed) -> Option<Call> {
        self.policies.iter().rev().find_map(|policy| {
            signed.signatures().iter().find_map(|signature| call(policy, signed, signature))
        })
    }

    /// Who called a halt, by the policies held; also of one that was lifted and is held no more.
    ///
    /// # Errors
    /// Nobody who may: it is not the word of anybody that a policy held lets halt.
    pub fn called_by(&self, signed: &Signed) -> Result<Halters, ChainError> {
        if !self.is_by_a_halter(signed) {
            return Err(ChainError::NotAHalter);
        }
        let halt: Halt = read(signed)?;
        self.judge_halt(&halt, signed, None).map(Halters)
    }

    /// Takes a halt, from wherever it comes; of one that is held, the signature of somebody else who may halt. So whoever signs
    /// another's halt too does not make it his.
    pub fn take_halt(&mut self, signed: &Signed) -> Result<Taken, ChainError> {
        if self.has_halt(signed) {
            return Ok(Taken::Known);
        }
        let hash = signed.hash();
        // A signature by somebody known comes before the first look at what it says.
        let Some(seen) = self.newest_call(signed) else {
            let known = self.halts.contains_key(&hash);
            return if known { Ok(Taken::Known) } else { Err(ChainError::NotAHalter) };
        };
        let held = self.halts.get(&hash);
        let (halt, both) = match held {
            Some(held) => (held.body.clone(), self.with_more(held, signed)?),
            None => (read(signed)?, signed.clone()),
        };
        // Of one that is held another signature by the same key may stand there.
        let seen = Some(&seen).filter(|_| held.is_none());
        let mut calls = self.judge_halt(&halt, &both, seen)?;
        if held.is_some_and(|held| calls.iter().all(|call| held.by.by_key(&call.key).is_some())) {
            return Ok(Taken::Known);
        }
        for call in &mut calls {
            let before = held.and_then(|held| held.by.by_key(&call.key));
            call.taken = match before {
                Some(before) => before.taken,
                None => is_of_all(&halt) || self.active_of(&call.key) < MAX_HALTS_OF_A_KEY,
            };
        }
        self.keep_halt(HeldHalt {
            hash,
            signed: self.settled(&halt, &both, &calls),
            body: halt,
            by: Halters(calls),
        })
    }

    /// A halt that is held with the signatures of `signed` too; without those that nobody knows, if all are too many.
    fn with_more(&self, held: &HeldHalt, signed: &Signed) -> Result<Signed, ChainError> {
        if let Ok(both) = held.signed.join(signed) {
            return Ok(both);
        }
        let calls = self.judge_halt(&held.body, signed, None)?;
        let known = |key: &[u8]| calls.iter().chain(&held.by.0).any(|call| call.key.blob() == key);
        Ok(held.signed.by_keys_alone(known).join(&signed.by_keys_alone(known))?)
    }

    /// How many halts of a key stop something by it.
    fn active_of(&self, key: &PublicKey) -> usize {
        self.halts.values().filter(|halt| self.stops(halt, |call| call.taken && call.key == *key)).count()
    }

    /// Who halts is settled, unless a policy comes that it names: others' signatures are only weight then.
    fn settled(&self, halt: &Halt, signed: &Signed, calls: &[Call]) -> Signed {
        if halt.policy.is_some_and(|named| self.policy_by_hash(&named).is_none()) {
            return signed.clone();
        }
        signed.by_keys_alone(|key| calls.iter().any(|call| call.key.blob() == key))
    }

    /// Who halts, each with the policy under which it counts as made: the one it names, if the key may halt there, else the
    /// oldest held in which it may. The key could have named that one, so nobody gains by naming another, and whoever holds more
    /// policies finds the same. A vendor's halt names none: it counts as long as the newest policy knows the key and has it obeyed.
    ///
    /// What was seen of `signed` is not looked at again: a signature costs more than all the rest, and ten thousand devices take a
    /// halt at once.
    fn judge_halt(&self, halt: &Halt, signed: &Signed, seen: Option<&Call>) -> Result<Vec<Call>, ChainError> {
        let call = |policy: &Held<Policy>, signature: &SshSig| match seen {
            Some(seen)
                if seen.made_under == policy.body.number && seen.key.blob() == signature.key_blob() =>
            {
                Some(seen.clone())
            }
            _ => call(policy, signed, signature),
        };
        let is_vendors = halt.org.is_none() && halt.policy.is_none();
        let named = halt.policy.and_then(|named| self.policy_by_hash(&named));
        let policies = || named.into_iter().chain(&self.policies);
        let calls: Vec<Call> = signed
            .signatures()
            .iter()
            .filter_map(|signature| {
                if is_vendors {
                    return call(self.policy(), signature);
                }
                policies().find_map(|policy| call(policy, signature))
            })
            .collect();
        if calls.is_empty() {
            return Err(ChainError::NotAHalter);
        }
        let (vendors, own): (Vec<Call>, Vec<Call>) =
            calls.into_iter().partition(|call| call.by == Halter::Vendor);
        if vendors.is_empty() || !(is_vendors || own.is_empty()) {
            return self.same_org(halt.org).map(|()| own);
        }
        self.vendor_may(halt).map(|()| vendors)
    }

    fn vendor_may(&self, halt: &Halt) -> Result<(), ChainError> {
        let of_component = matches!(halt.scope, Scope::Component(_));
        if !of_component || halt.org.is_some() || halt.policy.is_some() {
            return Err(ChainError::VendorScope);
        }
        let halts = self.policy().body.vendor.halts;
        if halts == VendorHalts::Auto { Ok(()) } else { Err(ChainError::VendorHalts(halts)) }
    }

    /// What the newest policy changes about the halts that are held: those that name it count as made under it, where it lets their
    /// keys halt, and a vendor's is over with the policy that no longer knows the key or has it obeyed.
    pub(super) fn judge_halts_again(&mut self) {
        let newest = self.policy().hash;
        for (hash, mut halt) in core::mem::take(&mut self.halts) {
            if halt.by.are_vendors() || halt.body.policy == Some(newest) {
                let Ok(mut calls) = self.judge_halt(&halt.body, &halt.signed, None) else { continue };
                let taken = halt.by.0.iter().any(|call| call.taken);
                for call in &mut calls {
                    call.taken = halt.by.by_key(&call.key).map_or(taken, |before| before.taken);
                }
                halt.by = Halters(calls);
            }
            self.halts.insert(hash, halt);
        }
    }

    /// A key that calls halts without end, or again what was lifted, fills nobody's disk.
    fn keep_halt(&mut self, halt: HeldHalt) -> Result<Taken, ChainError> {
        if self.is_lifted(&halt) {
            return Ok(Taken::Lifted);
        }
        let of_all = is_of_all(&halt.body);
        let alike = |key: &PublicKey| {
            let others =
                self.halts.values().filter(|other| other.hash != halt.hash && !self.is_lifted(other));
            others.filter(|other| is_of_all(&other.body) == of_all && other.by.by_key(key).is_some()).count()
        };
        let most = MAX_KNOWN_HALTS_OF_A_KEY;
        // One caller who may is enough; else who signs others' halts too would use up their room.
        let kept = halt.by.0.iter().map(|call| alike(&call.key)).min().unwrap_or_default();
        if kept >= most {
            return Err(ChainError::TooManyHalts { kept, most });
        }
        self.halts.insert(halt.hash, halt);
        Ok(Taken::New)
    }

    /// Whether a halt stops something by one of its callers for whom `counts`, and whom no resume has lifted.
    fn stops(&self, halt: &HeldHalt, counts: impl Fn(&Call) -> bool) -> bool {
        !self.is_lifted_by_hash(&halt.hash)
            && halt.by.0.iter().any(|call| counts(call) && !self.is_lifted_by_key(call))
    }

    fn is_lifted(&self, halt: &HeldHalt) -> bool {
        !self.stops(halt, |_| true)
    }

    fn is_lifted_by_hash(&self, halt: &Sha256) -> bool {
        let lifts = |lifts: &Lifts| matches!(lifts, Lifts::Halts(halts) if halts.contains(halt));
        self.resumes.iter().any(|resume| lifts(&resume.body.lifts))
    }

    /// A vendor's halt was made under no policy, so that parties could not agree which resume by key comes after it: its hash lifts it.
    fn is_lifted_by_key(&self, Call { by, key, made_under, .. }: &Call) -> bool {
        *by != Halter::Vendor
            && self.resumes.iter().any(|resume| match &resume.body.lifts {
                Lifts::Halts(_) => false,
                Lifts::Keys(keys) => {
                    let under = self.policy_by_hash(&resume.body.policy).map(|policy| policy.body.number);
                    keys.contains(key) && Some(*made_under) <= under
                }
            })
    }
}

fn is_of_all(halt: &Halt) -> bool {
    matches!(halt.scope, Scope::Organization(_))
}

/// Who of `policy` may halt with the key of this signature, if it verifies.
fn call(policy: &Held<Policy>, signed: &Signed, signature: &SshSig) -> Option<Call> {
    let Held { body: policy, .. } = policy;
    let blob = signature.key_blob();
    let people = policy.people_of(&policy.halt.roles);
    let person = policy.person_of_key(blob).filter(|(name, _)| people.contains(name));
    let machine = || policy.halt.machines.iter().find(|(_, key)| key.blob() == blob);
    let vendor = || policy.vendor.keys.iter().find(|key| key.blob() == blob);
    let (by, key) = person
        .map(|(name, held)| (Halter::Person(name.clone()), &held.key))
        .or_else(|| machine().map(|(name, key)| (Halter::Machine(name.clone()), key)))
        .or_else(|| vendor().map(|key| (Halter::Vendor, key)))?;
    let (namespace, text) = (Kind::Halt.namespace(), signed.statement().as_bytes());
    signature.verify(key, &namespace, text, &passkey_rules(policy)).ok()?;
    Some(Call { by, key: key.clone(), made_under: policy.number, taken: true })
}
