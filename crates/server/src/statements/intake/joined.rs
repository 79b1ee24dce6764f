//! Which signatures are kept while a statement waits: those that verify by a key that may count. What strangers put beside them
//! takes nobody's place.
//!
//! Source: docs/spec/2-signatures.md, "Counting".

use std::collections::BTreeMap;

use countersign_trust::chain::Chain;
use countersign_trust::envelope::{EnvelopeError, MAX_SIGNATURES, Signed};
use countersign_trust::signers::passkey_rules;
use countersign_trust::sshsig::SshSig;
use countersign_trust::statement::policy::Policy;
use countersign_trust::statement::{self as statements, Kind};

use super::IntakeError;

/// How good a signature is, the best first: by how new a policy it verifies, and what it does not show.
type Rank = (usize, bool, bool);

/// The statement with the signatures of `stored` and `posted` that may count: of several by one key the best, of equals that which is
/// stored, and no more than an envelope has room for.
///
/// # Errors
/// None of them can count.
pub fn joined(
    chain: &Chain,
    kind: Kind,
    posted: &Signed,
    stored: Option<&Signed>,
) -> Result<Signed, IntakeError> {
    let proposed: Option<Policy> =
        if kind == Kind::Policy { statements::read(posted.statement()).ok() } else { None };
    let held = chain.policies().iter().rev().map(|held| &held.body);
    let newest_first: Vec<&Policy> = held.chain(&proposed).collect();
    let mut best: BTreeMap<&[u8], (Rank, &SshSig)> = BTreeMap::new();
    for signature in stored.into_iter().chain([posted]).flat_map(Signed::signatures) {
        let Some(rank) = rank(&newest_first, kind, posted.statement(), signature) else { continue };
        let held = best.entry(signature.key_blob()).or_insert((rank, signature));
        if rank < held.0 {
            *held = (rank, signature);
        }
    }
    let mut good: Vec<_> = best.into_values().collect();
    good.sort_by_key(|(rank, _)| *rank);
    let good = good.into_iter().map(|(_, signature)| signature.clone()).take(MAX_SIGNATURES);
    match Signed::new(posted.statement().to_owned(), good) {
        Err(EnvelopeError::Signatures(0)) => Err(IntakeError::UnknownSigners),
        signed => Ok(signed?),
    }
}

/// None if it counts under none of these policies, neither as a person's signature nor as one of the recovery set.
fn rank(policies: &[&Policy], kind: Kind, statement: &str, signature: &SshSig) -> Option<Rank> {
    let verified = policies.iter().enumerate().find_map(|(age, policy)| {
        let blob = signature.key_blob();
        let persons = policy.person_of_key(blob).map(|(_, held)| &held.key);
        let key = persons.or_else(|| policy.recovery.keys.iter().find(|key| key.blob() == blob))?;
        let rules = passkey_rules(policy);
        let facts = signature.verify(key, &kind.namespace(), statement.as_bytes(), &rules).ok()?;
        Some((age, facts))
    });
    verified.map(|(age, facts)| (age, !facts.user_verified, !facts.user_present))
}
