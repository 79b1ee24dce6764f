//! What an organization has decided so far: its policies, resumes and halts, as one party holds them.
//!
//! Agents, beacons, witnesses, the command line and the server all keep the same chain by the same rules, and hold the same
//! in whatever order they heard of it: a policy once applied is never left, and what stands after it in the log is judged by
//! it, also what was taken before it came.
//!
//! Source: docs/spec/3-statements.md, "The chain".

mod error;
mod halts;
mod places;
mod policies;
mod recovery;
mod resumes;
mod vendor;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::checkpoint::Proof;
use crate::envelope::Signed;
use crate::ids::{OrgId, Sha256};
use crate::signers::Signers;
use crate::statement::policy::{Policy, Quorum};
use crate::statement::resume::Resume;
use crate::statement::{self, Statement};

pub use error::ChainError;
pub use halts::{Halter, Halters, HeldHalt, MAX_HALTS_OF_A_KEY, MAX_KNOWN_HALTS_OF_A_KEY};
pub use places::{Inclusion, Place, log_keys};
use recovery::Words;
pub use recovery::{MAX_WAITING, RECOVERED, RECOVERY_WAIT_S, Recovered};
pub use vendor::VendorHalt;

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
}

/// What became of a statement that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is new and was taken.
    New,
    /// It was there before.
    Known,
    /// A policy that was there before, and is shown at a leaf that counts before the one kept: this one is kept in its place.
    Moved,
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
    /// The organization.
    pub fn org(&self) -> OrgId {
        self.org
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

fn held<T>(signed: &Signed, body: T, inclusion: Inclusion<'_>, place: Place) -> Held<T> {
    let proof = match inclusion {
        Inclusion::Proved(proof) => Some(proof.clone()),
        Inclusion::WaivedForWitness => None,
    };
    Held { hash: signed.hash(), body, signed: signed.clone(), proof, place }
}
