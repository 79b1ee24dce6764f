//! Places in the log: what stands where, which policy is in force there, and whose cosignatures count.
//!
//! Source: docs/spec/4-log.md, and docs/spec/3-statements.md, "The chain".

use super::{Chain, ChainError, Held};
use crate::checkpoint::{LogKeys, Proof, Witnessed, verify_logged};
use crate::envelope::Signed;
use crate::ids::OrgId;
use crate::statement::policy::{Policy, Witnesses};

/// A place in the sequence of an organization's logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// 0 for the first log, one more for each that replaced it.
    pub log: usize,
    /// The leaf's index.
    pub index: u64,
}

/// Whether the proof of inclusion is checked.
#[derive(Clone, Copy, Debug)]
pub enum Inclusion<'a> {
    /// It is there and must hold.
    Proved(&'a Proof),
    /// Only for a witness: it takes a log on before anything in that log can have been cosigned.
    WaivedForWitness,
}

impl Chain {
    /// The policy in force where `proof` places `leaf`, that place, and the witnesses' time.
    ///
    /// In force is the newest whose own leaf stands before it. The checkpoint may be cosigned by that policy's witnesses
    /// or by those of a later one: what was enrolled stays enrolled when a witness retires.
    pub fn governing(
        &self,
        leaf: &str,
        proof: &Proof,
    ) -> Result<(&Held<Policy>, Place, Witnessed), ChainError> {
        let place = self.place(proof)?;
        let before = self.policies.iter().rposition(|policy| policy.place < place);
        let (at, governing) = before
            .and_then(|at| self.policies.get(at).map(|held| (at, held)))
            .ok_or(ChainError::UnknownSigners)?;
        Ok((governing, place, self.logged_since(at, leaf, proof)?))
    }

    /// Checks that `leaf` stands in the log of the policy `at` or of a later one, cosigned by that policy's witnesses.
    pub(super) fn logged_since(&self, at: usize, leaf: &str, proof: &Proof) -> Result<Witnessed, ChainError> {
        let mut last = Err(ChainError::UnknownSigners);
        for policy in self.policies.iter().skip(at).rev() {
            let keys = log_keys(&policy.body, &policy.body.witnesses);
            match verify_logged(proof, leaf.as_bytes(), keys) {
                Ok(witnessed) => return Ok(witnessed),
                Err(error) => last = Err(error.into()),
            }
        }
        last
    }

    /// Where `proof` places something, if that counts.
    pub(super) fn place(&self, proof: &Proof) -> Result<Place, ChainError> {
        let place = Place { log: self.policy_of_log(proof)?.place.log, index: proof.index };
        self.still_counts(place)?;
        Ok(place)
    }

    /// The chain as it was while the log in which `proof` places something was in use: what was enrolled there was enrolled by that.
    pub(crate) fn while_in_use(&self, proof: &Proof) -> Result<Self, ChainError> {
        let log = self.policy_of_log(proof)?.place.log;
        let policies = self.policies.iter().filter(|policy| policy.place.log <= log).cloned().collect();
        Ok(Self { policies, ..self.clone() })
    }

    /// Checks that `leaf` stands in the newest policy's log, cosigned by the newest policy's witnesses.
    pub fn logged(&self, leaf: &str, proof: &Proof) -> Result<Witnessed, ChainError> {
        let policy = &self.policy().body;
        Ok(verify_logged(proof, leaf.as_bytes(), log_keys(policy, &policy.witnesses))?)
    }

    /// The logs that were replaced, the first one first: the last policy that named each, and the one that replaced it.
    pub fn replaced_logs(&self) -> impl Iterator<Item = (&Held<Policy>, &Held<Policy>)> {
        let pairs = self.policies.iter().zip(self.policies.iter().skip(1));
        pairs.filter(|(last, next)| next.place.log > last.place.log)
    }

    /// Of a log that was replaced, only the leaves count that stood in it when it was: its key may be a thief's.
    pub(super) fn still_counts(&self, Place { log, index }: Place) -> Result<(), ChainError> {
        let replaced = self.replaced_logs().find(|(last, _)| last.place.log == log);
        match replaced.map(|(_, next)| next.body.log.old_size) {
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
}

/// The log that `policy` names, cosigned by `witnesses`.
pub fn log_keys<'a>(policy: &'a Policy, witnesses: &'a Witnesses) -> LogKeys<'a> {
    LogKeys { log: &policy.log.key, witnesses: &witnesses.keys, need: witnesses.need }
}

pub(super) fn check_inclusion(
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
