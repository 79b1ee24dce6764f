//! Signed notes: text that machines sign with Ed25519, and witnesses cosign with a time.
//!
//! Source: c2sp.org/signed-note and c2sp.org/tlog-cosignature ("Ed25519 signed message"). One deliberate
//! departure: a key counts when *one* of its lines verifies, and lines that do not are ignored, so that nobody
//! can make a note worthless by adding a bad line to it.

mod signer;
mod verifier;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::ids::excerpt;
use crate::time::Time;
pub use signer::NoteSigner;
pub use verifier::{KeyKind, VerifierKey, VerifierKeyError};

/// Why something is not a note, or cannot be signed as one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Too long.
    #[error("the note has {found} bytes, at most {most} are read")]
    Size {
        /// Its bytes.
        found: usize,
        /// The bound.
        most: usize,
    },
    /// A control character other than a newline.
    #[error("the note contains control character U+{found:04X}")]
    Control {
        /// The first of them, its code point.
        found: u32,
    },
    /// The text does not end in a newline.
    #[error("the text of a note must end in a newline, found `{found}`")]
    Unfinished {
        /// The text's last 80 characters at most.
        found: String,
    },
    /// No blank line with signature lines below it.
    #[error("expected text, a blank line and signature lines, each ended by a newline")]
    Unsigned,
    /// More signature lines than are read.
    #[error("the note has {found} signature lines, at most {most} are read")]
    Lines {
        /// Its signature lines.
        found: usize,
        /// The bound.
        most: usize,
    },
    /// Not a signature line.
    #[error("expected a signature line `— name base64`, found `{found}`")]
    Line {
        /// The line, at most its first 80 characters.
        found: String,
    },
    /// The key signs something else.
    #[error("the key `{name}` is of kind {found:?}, needed is {needed:?}")]
    Kind {
        /// The key's name.
        name: String,
        /// What it signs.
        found: KeyKind,
        /// What was asked of it.
        needed: KeyKind,
    },
    /// A time that no cosignature can bear.
    #[error("time {found} is above {most}, the last a cosignature can bear")]
    Time {
        /// The time.
        found: Time,
        /// The last possible.
        most: Time,
    },
}

/// One signature line: who says to have signed, and what nobody has checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

impl Signature {
    /// The key name on the line.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key id on the line.
    pub fn id(&self) -> [u8; 4] {
        self.id
    }

    fn claims(&self, key: &VerifierKey) -> bool {
        self.name == key.name() && self.id == key.id()
    }
}

impl FromStr for Signature {
    type Err = NoteError;
    /// Reads one line, without its newline.
    fn from_str(line: &str) -> Result<Self, NoteError> {
        let wrong = || NoteError::Line { found: excerpt(line) };
        let (name, base64) =
            line.strip_prefix("— ").and_then(|rest| rest.split_once(' ')).ok_or_else(wrong)?;
        let refused = |c: char| c.is_whitespace() || c < ' ' || c == '+';
        if name.is_empty() || name.contains(refused) {
            return Err(wrong());
        }
        let bytes = STANDARD.decode(base64).map_err(|_| wrong())?;
        match bytes.split_first_chunk() {
            Some((id, bytes)) if !bytes.is_empty() => {
                Ok(Self { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Signature {
    /// Prints the line, without its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.id.as_slice(), &self.bytes].concat();
        write!(f, "— {} {}", self.name, STANDARD.encode(bytes))
    }
}

/// Text with signature lines, at least one. Prints exactly what it was parsed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

impl Note {
    /// The most bytes `parse` reads: 64 KiB.
    pub const MAX_BYTES: usize = 64 * 1024;
    /// The most signature lines a note has.
    pub const MAX_SIGNATURES: usize = 64;
    /// The last time a cosignature can bear.
    pub const MAX_TIME: Time = Time(i64::MAX.unsigned_abs());

    /// Text (ending in a newline) under its first signature, which is not checked.
    pub fn new(text: String, signature: Signature) -> Result<Self, NoteError> {
        check_text(&text)?;
        Ok(Self { text, signatures: Vec::from([signature]) })
    }

    /// Reads a note of at most `most` bytes; `parse` reads one of at most [`Note::MAX_BYTES`].
    pub fn parse_within(note: &str, most: usize) -> Result<Self, NoteError> {
        if note.len() > most {
            return Err(NoteError::Size { found: note.len(), most });
        }
        check_characters(note)?;
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Unsigned)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Unsigned)?;
        let found = lines.split('\n').count();
        if found > Self::MAX_SIGNATURES {
            return Err(NoteError::Lines { found, most: Self::MAX_SIGNATURES });
        }
        let signatures = lines.split('\n').map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { text: format!("{text}\n"), signatures })
    }

    /// About how many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        let line = |line: &Signature| size_of::<Signature>() + line.name.len() + line.bytes.len();
        self.text.len() + self.signatures.iter().map(line).sum::<usize>()
    }

    /// The text, its last newline included.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines, in their order.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Adds a signature line, which is not checked. A line that stands there already is not repeated.
    pub fn add(&mut self, signature: Signature) -> Result<(), NoteError> {
        if self.signatures.contains(&signature) {
            return Ok(());
        }
        let found = self.signatures.len() + 1;
        if found > Self::MAX_SIGNATURES {
            return Err(NoteError::Lines { found, most: Self::MAX_SIGNATURES });
        }
        self.signatures.push(signature);
        Ok(())
    }

    /// Whether one of the lines is this key's signature of the text. Always false for a cosignature key.
    pub fn signed_by(&self, key: &VerifierKey) -> bool {
        key.kind() == KeyKind::Ed25519
            && self.lines_of(key).any(|line| key.verifies(self.text.as_bytes(), &line.bytes))
    }

    /// The earliest time at which this key cosigned the text; none if it did not, or is no cosignature key.
    pub fn cosigned_at(&self, key: &VerifierKey) -> Option<Time> {
        let time_of = |line: &Signature| {
            let (time, signature) = line.bytes.split_first_chunk()?;
            let time = Time(u64::from_be_bytes(*time));
            let message = cosigned_message(time, &self.text);
            (time <= Self::MAX_TIME && key.verifies(message.as_bytes(), signature)).then_some(time)
        };
        match key.kind() {
            KeyKind::Ed25519 => None,
            KeyKind::CosignatureV1 => self.lines_of(key).filter_map(time_of).min(),
        }
    }

    fn lines_of<'a>(&'a self, key: &'a VerifierKey) -> impl Iterator<Item = &'a Signature> {
        self.signatures.iter().filter(|line| line.claims(key))
    }
}

impl FromStr for Note {
    type Err = NoteError;
    fn from_str(note: &str) -> Result<Self, NoteError> {
        Self::parse_within(note, Self::MAX_BYTES)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

fn check_text(text: &str) -> Result<(), NoteError> {
    check_characters(text)?;
    if text.ends_with('\n') {
        return Ok(());
    }
    let start = text.char_indices().rev().nth(79).map_or(0, |(start, _)| start);
    Err(NoteError::Unfinished { found: text.split_at(start).1.to_owned() })
}

fn check_characters(text: &str) -> Result<(), NoteError> {
    match text.bytes().find(|byte| *byte < b' ' && *byte != b'\n') {
        Some(control) => Err(NoteError::Control { found: control.into() }),
        None => Ok(()),
    }
}

fn cosigned_message(time: Time, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}
