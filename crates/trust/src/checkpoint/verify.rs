//! When a log's word counts: signed by its key, seen by enough witnesses.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::num::NonZeroU8;

use super::{Checkpoint, Proof, ReadError};
use crate::ids::excerpt;
use crate::merkle::{MerkleError, leaf_hash, verify_inclusion};
use crate::note::{Note, VerifierKey};
use crate::time::Time;

/// Whose word makes a checkpoint count.
#[derive(Clone, Copy, Debug)]
pub struct LogKeys<'a> {
    /// The log's key; its name is the log's origin.
    pub log: &'a VerifierKey,
    /// Those whose cosignatures count.
    pub witnesses: &'a BTreeSet<VerifierKey>,
    /// How many of them must have cosigned.
    pub need: NonZeroU8,
}

/// Why a checkpoint or a proof does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The signed text is no checkpoint.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Another log's checkpoint.
    #[error("a checkpoint of log `{found}`, expected `{expected}`")]
    Origin {
        /// The log that counts.
        expected: String,
        /// The log that speaks, at most its first 80 characters.
        found: String,
    },
    /// The log has not signed it.
    #[error("none of {lines} signature lines is by the log's key {log}")]
    Unsigned {
        /// The log's key.
        log: VerifierKey,
        /// How many signature lines there are.
        lines: usize,
    },
    /// Too few witnesses have seen it.
    #[error("cosigned by {found} of {known} witnesses, needed are {need}")]
    Witnesses {
        /// Witnesses whose cosignature verifies.
        found: usize,
        /// Witnesses that would count.
        known: usize,
        /// How many must have cosigned.
        need: NonZeroU8,
    },
    /// The leaf is not where the proof says.
    #[error(transparent)]
    Inclusion(#[from] MerkleError),
}

/// A leaf stands in a log that enough witnesses have seen. Only [`verify_logged`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnessed {
    index: u64,
    size: u64,
    time: Time,
}

impl Witnessed {
    /// Which leaf of the log, counted from 0.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The size of the log the witnesses saw.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// When enough witnesses had seen it: the smallest time by which the cosignatures meet the quorum.
    pub fn time(&self) -> Time {
        self.time
    }
}

/// Checks that the leaf with these bytes stands in the log, by a checkpoint that [`verify_checkpoint`] accepts.
pub fn verify_logged(proof: &Proof, leaf: &[u8], keys: LogKeys<'_>) -> Result<Witnessed, LogError> {
    let (Checkpoint { size, root, .. }, time) = verify_checkpoint(&proof.checkpoint, keys)?;
    verify_inclusion(leaf_hash(leaf), proof.index, size, &proof.inclusion, root)?;
    Ok(Witnessed { index: proof.index, size, time })
}

/// Checks that a checkpoint is this log's, signed by its key and cosigned by enough witnesses; returns it with the
/// smallest time by which the cosignatures meet the quorum.
pub fn verify_checkpoint(note: &Note, keys: LogKeys<'_>) -> Result<(Checkpoint, Time), LogError> {
    let checkpoint = signed_checkpoint(note, keys.log)?;
    // By the raw key: one key under two names is still one witness.
    let mut seen = BTreeMap::<&[u8; 32], Time>::new();
    for (witness, time) in keys.witnesses.iter().filter_map(|key| Some((key, note.cosigned_at(key)?))) {
        seen.entry(witness.raw()).and_modify(|earliest| *earliest = time.min(*earliest)).or_insert(time);
    }
    let mut times: Vec<Time> = seen.into_values().collect();
    times.sort_unstable();
    let (found, known, need) = (times.len(), keys.witnesses.len(), keys.need);
    match times.get(usize::from(need.get()) - 1) {
        Some(time) => Ok((checkpoint, *time)),
        None => Err(LogError::Witnesses { found, known, need }),
    }
}

/// Checks that a checkpoint is this log's and signed by its key, whoever has seen it: what a witness asks first.
pub fn signed_checkpoint(note: &Note, log: &VerifierKey) -> Result<Checkpoint, LogError> {
    let checkpoint: Checkpoint = note.text().parse()?;
    if checkpoint.origin != log.name() {
        return Err(LogError::Origin { expected: log.name().to_owned(), found: excerpt(&checkpoint.origin) });
    }
    if !note.signed_by(log) {
        return Err(LogError::Unsigned { log: log.clone(), lines: note.signatures().len() });
    }
    Ok(checkpoint)
}
