//! What people sign: one type per file, each a canonical text whose kind is bound by the signature's namespace. What a job can
//! do stands in `job/`, a file for each kind of step.
//!
//! Source: docs/spec/3-statements.md.

pub mod advance;
pub mod enroll;
pub mod halt;
pub mod job;
pub mod policy;
pub mod resume;

use alloc::string::String;

use crate::ids::Sha256;
use crate::text::{self, Text, TextError, keyword};
pub use job::service;

keyword! {
    /// The type of a statement. `runbook` and `release` will stand here when they are built.
    pub enum Kind {
        /// Who may do what: [`policy::Policy`].
        Policy = "policy",
        /// Something to run: [`job::Job`].
        Job = "job",
        /// The next wave may start: [`advance::Advance`].
        Advance = "advance",
        /// Stop: [`halt::Halt`].
        Halt = "halt",
        /// Start again: [`resume::Resume`].
        Resume = "resume",
        /// Which device is whose: [`enroll::Enroll`].
        Enroll = "enroll",
    }
}

impl Kind {
    /// The SSHSIG namespace in which a statement of this kind is signed.
    pub fn namespace(self) -> String {
        alloc::format!("{self}.v1@countersign")
    }

    /// How many bytes a statement of this kind may have.
    pub fn most_bytes(self) -> usize {
        match self {
            Self::Policy => 256 * 1024,
            Self::Halt => 2 * 1024,
            Self::Job | Self::Advance | Self::Resume | Self::Enroll => 64 * 1024,
        }
    }
}

/// A type of statement: what its canonical text is called.
pub trait Statement: Text {
    /// The kind whose namespace binds it.
    const KIND: Kind;
}

/// Why bytes are not a statement of the kind they claim.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Larger than its kind may be.
    #[error("a {kind} of {bytes} bytes, at most {most} are allowed")]
    TooLarge {
        /// The kind.
        kind: Kind,
        /// Bytes found.
        bytes: usize,
        /// Bytes allowed.
        most: usize,
    },
    /// Not the canonical text of any value of its kind.
    #[error("no canonical {kind}: {error}")]
    Text {
        /// The kind.
        kind: Kind,
        /// Where it departs.
        error: TextError,
    },
}

/// Reads a statement from its exact bytes.
pub fn read<S: Statement>(bytes: &str) -> Result<S, StatementError> {
    let (kind, most) = (S::KIND, S::KIND.most_bytes());
    if bytes.len() > most {
        return Err(StatementError::TooLarge { kind, bytes: bytes.len(), most });
    }
    text::parse(bytes).map_err(|error| StatementError::Text { kind, error })
}

/// The exact bytes people sign, and their hash, by which other statements refer to this one.
pub fn write<S: Statement>(statement: &S) -> (String, Sha256) {
    let bytes = text::print(statement);
    let hash = Sha256::of(bytes.as_bytes());
    (bytes, hash)
}
