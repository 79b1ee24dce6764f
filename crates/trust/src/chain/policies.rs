//! Policies: how an organization begins, and when one policy follows another.
//!
//! Source: docs/spec/3-statements.md, "The chain", on policies.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::places::check_inclusion;
use super::recovery::Words;
use super::{Chain, ChainError, Held, Inclusion, Place, Taken, held, need, read};
use crate::envelope::Signed;
use crate::ids::{OrgId, Sha256};
use crate::signers::{keys_signed, signers};
use crate::statement::Kind;
use crate::statement::policy::{Policy, Recovery};

impl Chain {
    /// Starts with the genesis policy of `org`.
    pub fn begin(org: OrgId, genesis: &Signed, inclusion: Inclusion<'_>) -> Result<Self, ChainError> {
        let first = Self::first(org, genesis, inclusion)?;
        let (policies, waiting, words) = (alloc::vec![first], Vec::new(), Words::new());
        Ok(Self { org, policies, waiting, words, resumes: Vec::new(), halts: BTreeMap::new() })
    }

    fn first(org: OrgId, genesis: &Signed, inclusion: Inclusion<'_>) -> Result<Held<Policy>, ChainError> {
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
        Ok(held(genesis, policy, inclusion, Place { log: 0, index }))
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

    /// The policy with this hash.
    pub fn policy_by_hash(&self, hash: &Sha256) -> Option<&Held<Policy>> {
        self.policies.iter().find(|policy| policy.hash == *hash)
    }

    /// The newest policy as the one that would follow it, before anybody has changed anything.
    pub fn next_policy(&self) -> Policy {
        let held = self.policy();
        let made_under = self.resumes.iter().filter(|resume| resume.body.policy == held.hash);
        Policy {
            org: Some(self.org),
            number: held.body.number + 1,
            previous: [held.hash].into(),
            // Of rivals each party took the first: all of them, or those who took another would lose what followed.
            resumes: made_under
                .flat_map(|resume| resume.body.previous.iter().chain([&resume.hash]))
                .copied()
                .collect(),
            ..held.body.clone()
        }
    }

    /// Takes the next policy: signed by the quorum of the one in force, or by its recovery set; then it waits. One that waits
    /// and comes again with the quorum's signatures waits no longer.
    pub fn take_policy(&mut self, signed: &Signed, inclusion: Inclusion<'_>) -> Result<Taken, ChainError> {
        let hash = signed.hash();
        if let Some(at) = self.policies.iter().position(|policy| policy.hash == hash) {
            return Ok(if self.moves(at, signed, inclusion) { Taken::Moved } else { Taken::Known });
        }
        let decided = is_decided(self.policy(), signed);
        if self.waits(&hash) && decided.is_err() {
            return Ok(if self.waits_from(signed, inclusion) { Taken::Moved } else { Taken::Known });
        }
        let next = self.follow(self.policy(), signed, inclusion)?;
        self.is_in_a_log_of_its_own(&next.body)?;
        if decided.is_ok() { Ok(self.decide(next)) } else { self.let_wait(next) }
    }

    /// A policy that follows `current`, signed by the quorum or by the recovery set.
    fn follow(
        &self,
        current: &Held<Policy>,
        signed: &Signed,
        inclusion: Inclusion<'_>,
    ) -> Result<Held<Policy>, ChainError> {
        let Recovery { need: recoverers, keys } = &current.body.recovery;
        let recovering = keys_signed(&current.body, keys, Kind::Policy, signed);
        if signers(&current.body, Kind::Policy, signed).is_empty() && recovering == 0 {
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
            is_decided(current, signed)?;
        }
        need(&next, &next.quorums.policy, &signers(&next, Kind::Policy, signed))?;
        let index = check_inclusion(self.org, signed, inclusion, &next, &current.body.witnesses)?;
        let replaced = usize::from(next.log.key.name() != current.body.log.key.name());
        let place = Place { log: current.place.log + replaced, index };
        Ok(held(signed, next, inclusion, place))
    }

    /// A log's name is one key's for ever: else leaves of a log that was left would count again, as those of the newer.
    fn is_in_a_log_of_its_own(&self, next: &Policy) -> Result<(), ChainError> {
        let (key, current) = (&next.log.key, &self.policy().body.log.key);
        let named = self.policies.iter().any(|policy| policy.body.log.key.name() == key.name());
        if named && key != current { Err(ChainError::UsedLog(key.name().into())) } else { Ok(()) }
    }

    /// Whether a policy in force stands at a leaf that counts before the one that is held. Of all at which it is shown the earliest
    /// does: else who may log it again could say when it began. A leaf with the quorum's signatures comes before one without.
    fn moves(&mut self, at: usize, signed: &Signed, inclusion: Inclusion<'_>) -> bool {
        let (Some(held), Inclusion::Proved(proof)) = (self.policies.get(at), inclusion) else { return false };
        let (was, recovered) = (held.place, self.was_recovered(&held.hash));
        let before = at.checked_sub(1).and_then(|before| self.policies.get(before));
        let decided = !recovered || before.is_some_and(|before| is_decided(before, signed).is_ok());
        let instead = recovered && decided;
        if !instead && proof.index >= was.index {
            return false;
        }
        let shown = match before {
            Some(before) if decided => {
                is_decided(before, signed).and_then(|()| self.follow(before, signed, inclusion))
            }
            Some(before) => self.follow(before, signed, inclusion),
            None => Self::first(self.org, signed, inclusion),
        };
        let Ok(shown) = shown else { return false };
        if instead {
            self.words.remove(&shown.hash);
        }
        if let Some(held) = self.policies.get_mut(at) {
            *held = shown;
        }
        true
    }

    /// The same of one that waits.
    fn waits_from(&mut self, signed: &Signed, inclusion: Inclusion<'_>) -> bool {
        let Ok(shown) = self.follow(self.policy(), signed, inclusion) else { return false };
        let held = self.waiting.iter_mut().find(|held| held.hash == shown.hash);
        let later = held.filter(|held| shown.place < held.place);
        later.map(|held| *held = shown).is_some()
    }
}

fn is_decided(current: &Held<Policy>, signed: &Signed) -> Result<(), ChainError> {
    need(&current.body, &current.body.quorums.policy, &signers(&current.body, Kind::Policy, signed))
}
