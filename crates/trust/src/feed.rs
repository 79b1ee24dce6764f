//! A vendor's feed: which halts of the vendor there are, in static files that any web server can serve.
//!
//! An index numbers itself and names the halts by their hashes; the vendor's key signs it. So whoever has the web server can keep
//! silent, and can neither invent a halt nor go back to an earlier index unseen. A halt goes through each organization's own chain, as
//! if somebody had brought it: nothing here says what it stops.
//!
//! Source: docs/spec/8-interfaces.md, "A vendor's feed".

mod held;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use core::fmt;

use crate::envelope::{EnvelopeError, Signed};
use crate::ids::{Name, Sha256};
use crate::key::PublicKey;
use crate::sshsig::{PasskeyRules, SigError, SshSig};
use crate::statement::Kind;
use crate::text::{self, TextError, record};
use crate::time::Time;

pub use held::{Held, Step};

/// The SSHSIG namespace in which an index is signed.
pub const NAMESPACE: &str = "feed.v1@countersign";
/// How many bytes an index with its signature may have.
pub const MAX_INDEX_BYTES: usize = 64 * 1024;
/// How many bytes a halt with its signatures may have in a feed.
pub const MAX_HALT_BYTES: usize = 16 * 1024;
/// How many halts an index may name: of one key no more than 16 stop anything.
pub const MAX_HALTS: usize = 64;
/// How many advisories an index may name.
pub const MAX_ADVISORIES: usize = 256;

record! {
    /// What a feed holds.
    pub struct Index {
        /// 1 for the first index that a key signs, and higher for each that follows.
        sequence: u64,
        /// The SHA-256 of the index before, signature excluded; none for the first.
        previous: Option<Sha256>,
        /// When its author says it was made; nothing depends on it.
        made: Time,
        /// The halts, by the hash of their statement.
        halts: BTreeSet<Sha256>,
        /// Advisories, such as CSAF documents: name of the file and its SHA-256. Nobody here reads them.
        advisories: BTreeMap<Name, Sha256>,
    }
}

/// An index with its signature, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// What it says.
    pub index: Index,
    /// The hash by which the next index refers to it.
    pub hash: Sha256,
    /// Who signed it.
    pub key: PublicKey,
    text: String,
}

/// Why a feed, or a halt in it, is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// More bytes than there may be.
    #[error("{what} has more than {most} bytes")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// The most allowed.
        most: usize,
    },
    /// No index followed by a signature.
    #[error("no index: nothing here ends in `}}` and an SSH signature")]
    NoIndex,
    /// No signature, or one that does not hold.
    #[error("the signature of the index: {0}")]
    Signature(#[from] SigError),
    /// Signed by somebody else.
    #[error("the index is signed by {0}, which is none of the keys that are followed here")]
    Stranger(String),
    /// Signed, and no canonical index.
    #[error("no canonical index: {0}")]
    Text(#[from] TextError),
    /// More entries than there may be.
    #[error("the index names {there} {what}, {most} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        there: usize,
        /// The most allowed.
        most: usize,
    },
    /// An index without a number.
    #[error("the index has number 0: the first is 1")]
    Number,
    /// Older than what was seen before.
    #[error("ROLLED BACK: the index has number {found}, number {held} was seen before")]
    RolledBack {
        /// Its number.
        found: u64,
        /// The highest seen.
        held: u64,
    },
    /// Two indexes of one key that do not follow each other.
    #[error(
        "FORKED: index {found} ({found_hash}) does not follow index {held} ({held_hash}), and one key signed both"
    )]
    Forked {
        /// Its number.
        found: u64,
        /// Its hash.
        found_hash: Sha256,
        /// The number of the one seen before.
        held: u64,
        /// Its hash.
        held_hash: Sha256,
    },
    /// A halt that is no envelope.
    #[error("the halt {halt}: {error}")]
    Envelope {
        /// The hash by which the index names it.
        halt: Sha256,
        /// What is wrong.
        error: EnvelopeError,
    },
    /// A file that holds something else than the index says.
    #[error("the halt {expected}: its file holds a {kind} with the hash {found}")]
    OtherHalt {
        /// The hash by which the index names it.
        expected: Sha256,
        /// The kind of what is there.
        kind: String,
        /// The hash of what is there.
        found: Sha256,
    },
    /// What was kept of a feed cannot be read.
    #[error("what was kept of the feed is damaged")]
    Kept,
}

impl Index {
    /// The exact bytes that are signed.
    pub fn text(&self) -> String {
        text::print(self)
    }

    /// Whether there may be so much in it.
    pub fn check(&self) -> Result<(), FeedError> {
        let most = |what, there, most| {
            if there > most { Err(FeedError::TooMany { what, there, most }) } else { Ok(()) }
        };
        most("halts", self.halts.len(), MAX_HALTS)?;
        most("advisories", self.advisories.len(), MAX_ADVISORIES)?;
        if self.sequence == 0 { Err(FeedError::Number) } else { Ok(()) }
    }
}

impl Feed {
    /// Reads an index that one of `keys` signed. The signature is looked at before the first look at what it says.
    pub fn read(text: &str, keys: &BTreeSet<PublicKey>) -> Result<Self, FeedError> {
        if text.len() > MAX_INDEX_BYTES {
            return Err(FeedError::TooLarge { what: "the index", most: MAX_INDEX_BYTES });
        }
        let end = text.find("\n}\n").ok_or(FeedError::NoIndex)? + 3;
        let (signed, armor) = text.split_at_checked(end).ok_or(FeedError::NoIndex)?;
        let signature = SshSig::from_armor(armor)?;
        let key = keys.iter().find(|key| key.blob() == signature.key_blob());
        let key =
            key.ok_or_else(|| FeedError::Stranger(crate::key::fingerprint(signature.key_blob())))?.clone();
        signature.verify(&key, NAMESPACE, signed.as_bytes(), &PasskeyRules::NONE)?;
        let index: Index = text::parse(signed)?;
        index.check()?;
        Ok(Self { index, hash: Sha256::of(signed.as_bytes()), key, text: text.to_string() })
    }
}

/// The number that a text claims which may be an index; nothing of it is checked. For whoever serves feeds.
pub fn sequence_of(text: &str) -> Option<u64> {
    let line = text.lines().nth(1)?;
    line.strip_prefix("  \"sequence\": ")?.strip_suffix(',')?.parse().ok()
}

impl fmt::Display for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads the halt that an index names by `hash`. What it is worth each chain says.
pub fn read_halt(text: &str, hash: &Sha256) -> Result<Signed, FeedError> {
    if text.len() > MAX_HALT_BYTES {
        return Err(FeedError::TooLarge { what: "a halt", most: MAX_HALT_BYTES });
    }
    let envelope = |error| FeedError::Envelope { halt: *hash, error };
    let signed = Signed::from_text(text).map_err(envelope)?;
    let (kind, found) = (signed.kind().map_err(envelope)?, signed.hash());
    match kind == Kind::Halt && found == *hash {
        true => Ok(signed),
        false => Err(FeedError::OtherHalt { expected: *hash, kind: kind.to_string(), found }),
    }
}

#[cfg(test)]
mod tests;
