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
}
