//! Checkpoints of a log, proofs that something stands in it, and what a witness is asked.
//!
//! Source: c2sp.org/tlog-checkpoint, c2sp.org/tlog-proof and c2sp.org/tlog-witness.

mod verify;

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::ids::{Sha256, excerpt};
use crate::note::{Note, NoteError};
pub use verify::{LogError, LogKeys, Witnessed, signed_checkpoint, verify_checkpoint, verify_logged};

/// Why a text is not a checkpoint, a proof or a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A line that says something else.
    #[error("expected {expected}, found `{found}`")]
    Line {
        /// What should stand there.
        expected: &'static str,
        /// The line, at most its first 80 characters.
        found: String,
    },
    /// The text ends too early.
    #[error("expected {expected}, found the end")]
    End {
        /// What should stand there.
        expected: &'static str,
    },
    /// More hashes than any tree needs.
    #[error("found {found} hashes, at most {most} are read")]
    Hashes {
        /// Hash lines found.
        found: usize,
        /// The bound.
        most: usize,
    },
    /// Too long, or the checkpoint's note is none.
    #[error(transparent)]
    Note(#[from] NoteError),
}

/// What a log says of itself: the text of the notes it signs. Prints as these three lines.
///
/// Lines below them, which the format allows, are passed over: nothing here relies on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log; the name of its key.
    pub origin: String,
    /// How many leaves it has.
    pub size: u64,
    /// The root of the tree of those leaves.
    pub root: Sha256,
}

impl FromStr for Checkpoint {
    type Err = ReadError;
    /// Reads the text of a note.
    fn from_str(text: &str) -> Result<Self, ReadError> {
        let whole = text.strip_suffix('\n').ok_or(ReadError::End { expected: "a newline" })?;
        let mut lines = whole.split('\n');
        let origin = lines.next().filter(|line| !line.is_empty());
        let origin = origin.ok_or(ReadError::End { expected: "an origin" })?;
        let size = next(&mut lines, "a tree size", decimal)?;
        let root = next(&mut lines, ROOT, hash)?;
        match lines.find(|line| line.is_empty()) {
            Some(_) => {
                Err(ReadError::Line { expected: "no empty line in a checkpoint", found: String::new() })
            }
            None => Ok(Self { origin: origin.to_owned(), size, root }),
        }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, STANDARD.encode(self.root.0))
    }
}

const ROOT: &str = "a root hash in base64";
const HASH: &str = "a hash in base64";

/// The next line, as `read` understands it.
fn next<'a, T>(
    lines: &mut impl Iterator<Item = &'a str>,
    expected: &'static str,
    read: fn(&str) -> Option<T>,
) -> Result<T, ReadError> {
    let line = lines.next().ok_or(ReadError::End { expected })?;
    read(line).ok_or_else(|| ReadError::Line { expected, found: excerpt(line) })
}

fn hashes<'a>(lines: impl Iterator<Item = &'a str> + Clone, most: usize) -> Result<Vec<Sha256>, ReadError> {
    let found = lines.clone().count();
    if found > most {
        return Err(ReadError::Hashes { found, most });
    }
    let wrong = |line: &str| ReadError::Line { expected: HASH, found: excerpt(line) };
    lines.map(|line| hash(line).ok_or_else(|| wrong(line))).collect()
}

fn hash(line: &str) -> Option<Sha256> {
    STANDARD.decode(line).ok()?.try_into().ok().map(Sha256)
}

/// A number as it prints: no sign, no leading zero.
fn decimal(line: &str) -> Option<u64> {
    line.parse().ok().filter(|number: &u64| number.to_string() == line)
}

/// The lines above the first blank line, and the note below it.
fn head_and_note(text: &str) -> Result<(&str, Note), ReadError> {
    if text.len() > Note::MAX_BYTES {
        return Err(NoteError::Size { found: text.len(), most: Note::MAX_BYTES }.into());
    }
    let (head, note) =
        text.split_once("\n\n").ok_or(ReadError::End { expected: "a blank line and a note" })?;
    Ok((head, note.parse()?))
}

fn write_hashes(f: &mut fmt::Formatter<'_>, hashes: &[Sha256]) -> fmt::Result {
    hashes.iter().try_for_each(|hash| writeln!(f, "{}", STANDARD.encode(hash.0)))
}

/// Says that a leaf stands in a log, in a way that can be checked offline. At most 64 KiB; prints exactly what it
/// was parsed from. Nothing in it is checked before [`verify_logged`].
///
/// Source: c2sp.org/tlog-proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// What else somebody wrote above it; never authenticated, and nothing here reads it.
    pub extra: Option<Vec<u8>>,
    /// Which leaf, counted from 0.
    pub index: u64,
    /// From the leaf's sibling upwards, at most 64.
    pub inclusion: Vec<Sha256>,
    /// The log's checkpoint with its signature and the cosignatures.
    pub checkpoint: Note,
}

const PROOF_LINE: &str = "c2sp.org/tlog-proof@v1";

impl FromStr for Proof {
    type Err = ReadError;
    fn from_str(text: &str) -> Result<Self, ReadError> {
        let (head, checkpoint) = head_and_note(text)?;
        let mut lines = head.split('\n').peekable();
        next(&mut lines, "`c2sp.org/tlog-proof@v1`", |line| (line == PROOF_LINE).then_some(()))?;
        let extra = match lines.next_if(|line| line.starts_with("extra ")) {
            Some(line) => Some(next(&mut [line].into_iter(), "`extra` and base64", |line| {
                STANDARD.decode(line.strip_prefix("extra ")?).ok()
            })?),
            None => None,
        };
        let index = next(&mut lines, "`index` and a number", |line| decimal(line.strip_prefix("index ")?))?;
        Ok(Self { extra, index, inclusion: hashes(lines, 64)?, checkpoint })
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{PROOF_LINE}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        write_hashes(f, &self.inclusion)?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// What a log asks of a witness: to cosign a checkpoint that follows from the one it saw last.
///
/// Source: c2sp.org/tlog-witness, "add-checkpoint".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size the log thinks the witness saw last.
    pub old: u64,
    /// From that size to the checkpoint's, at most 63 hashes.
    pub consistency: Vec<Sha256>,
    /// The checkpoint, signed by the log.
    pub checkpoint: Note,
}

impl FromStr for AddCheckpoint {
    type Err = ReadError;
    fn from_str(text: &str) -> Result<Self, ReadError> {
        let (head, checkpoint) = head_and_note(text)?;
        let mut lines = head.split('\n');
        let old = next(&mut lines, "`old` and a tree size", |line| decimal(line.strip_prefix("old ")?))?;
        Ok(Self { old, consistency: hashes(lines, 63)?, checkpoint })
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        write_hashes(f, &self.consistency)?;
        write!(f, "\n{}", self.checkpoint)
    }
}
