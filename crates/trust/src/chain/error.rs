//! Every way in which a chain says no.

use alloc::string::String;
use alloc::vec::Vec;

use crate::checkpoint::LogError;
use crate::envelope::EnvelopeError;
use crate::ids::{Name, OrgId, Sha256};
use crate::lines::LinesError;
use crate::statement::policy::{PolicyError, VendorHalts};
use crate::statement::{Kind, StatementError};

/// Why a policy, resume or halt was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Not of the kind asked for.
    #[error("a {found}, expected a {expected}")]
    Kind {
        /// What was asked for.
        expected: Kind,
        /// What came.
        found: Kind,
    },
    /// Not an envelope.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Not a statement.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// A policy that cannot be used.
    #[error("the policy cannot be used: {0}")]
    Policy(#[from] PolicyError),
    /// Another organization's.
    #[error("of organization {found}, this is {expected}")]
    Organization {
        /// Ours.
        expected: OrgId,
        /// Its.
        found: String,
    },
    /// Nobody known signed it.
    #[error("no signature by a key of a policy held here")]
    UnknownSigners,
    /// It does not follow what is held.
    #[error("it follows {found:?}, the newest held is {expected}")]
    NotNext {
        /// The newest held, or `none`.
        expected: String,
        /// What it follows.
        found: Vec<Sha256>,
    },
    /// A note that is no beacon's word.
    #[error(transparent)]
    Lines(#[from] LinesError),
    /// Beacons' word for a policy that is not held.
    #[error("policy {0} does not wait here")]
    NotWaiting(Sha256),
    /// So many policies of the recovery set wait already.
    #[error("{0} policies of the recovery set wait already, no more are kept")]
    TooManyWait(usize),
    /// The key has called more halts than anybody needs.
    #[error("{kept} active halts of this key are kept, {most} is the most: resume first")]
    TooManyHalts {
        /// Kept of this key and sort.
        kept: usize,
        /// The limit.
        most: usize,
    },
    /// A number out of sequence.
    #[error("policy number {found}, expected {expected}")]
    Number {
        /// One more than the newest.
        expected: u64,
        /// Its number.
        found: u64,
    },
    /// Too few people signed.
    #[error("{got} of {need} signatures by people of role {role} under policy {policy}")]
    Quorum {
        /// Signatures that count.
        got: usize,
        /// Signatures needed.
        need: usize,
        /// Whose.
        role: Name,
        /// The number of the policy whose quorum it is.
        policy: u64,
    },
    /// Not in the log, or not witnessed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A resume of a policy that another has followed, which does not name it.
    #[error("policy {policy} followed the one it was made under, and does not name it: it is over")]
    NotNamed {
        /// The number of the policy that followed.
        policy: u64,
    },
    /// It names a policy that is not held.
    #[error("it was made under policy {0}, which is not held")]
    UnknownPolicy(Sha256),
    /// It was signed by somebody who may not halt.
    #[error("signed by nobody who may halt")]
    NotAHalter,
    /// A vendor's halt that is not of a component, or speaks of an organization or its policy.
    #[error("a vendor may halt components only, and of no organization")]
    VendorScope,
    /// A vendor's halt where the newest policy does not have them obeyed.
    #[error("the policy has a vendor's halts on `{0}`: nobody obeys them")]
    VendorHalts(VendorHalts),
    /// It stands in a log that another has replaced, above what still counts of it.
    #[error("it is leaf {index} of a log that was replaced at {size} leaves")]
    ReplacedLog {
        /// Its leaf.
        index: u64,
        /// How many leaves of that log count.
        size: u64,
    },
    /// It names a log that another key's was.
    #[error("an earlier policy named another log `{0}`: a log that replaces it needs a name of its own")]
    UsedLog(String),
    /// It stands in a log that no held policy names.
    #[error("it stands in the log `{0}`, which no held policy names")]
    UnknownLog(String),
}
