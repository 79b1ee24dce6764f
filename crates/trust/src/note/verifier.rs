//! The keys that sign notes, and their text form.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::ids::{Sha256, excerpt, write_hex};
use crate::key::{KeyError, PublicKey};

/// What a key signs: the type byte of its verifier key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// The text of a note (0x01).
    Ed25519,
    /// A checkpoint, with the time at which it was seen (0x04).
    CosignatureV1,
}

impl KeyKind {
    fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::CosignatureV1 => 0x04,
        }
    }

    fn of_byte(byte: u8) -> Result<Self, VerifierKeyError> {
        match byte {
            0x01 => Ok(Self::Ed25519),
            0x04 => Ok(Self::CosignatureV1),
            found => Err(VerifierKeyError::Kind { found }),
        }
    }
}

/// Why something is not a verifier key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifierKeyError {
    /// Not three parts joined by `+`, or the last is not base64 of 33 bytes.
    #[error("expected a verifier key `name+id+base64`, found `{found}`")]
    Form {
        /// The text itself, at most its first 80 characters.
        found: String,
    },
    /// Not a key name.
    #[error("`{found}` is no key name: use 1 to 255 printable ASCII characters, no space, no plus")]
    Name {
        /// The name, at most its first 80 characters.
        found: String,
    },
    /// A type byte that is not known here.
    #[error("expected key type 1 (Ed25519) or 4 (cosignature/v1), found {found}")]
    Kind {
        /// The type byte.
        found: u8,
    },
    /// A key that no policy may hold: of small order, or not canonically encoded.
    #[error("the key of `{name}` is refused: {reason}")]
    Key {
        /// The key's name.
        name: String,
        /// What is wrong with it.
        reason: KeyError,
    },
    /// The id is not that of name and key, or not in lowercase.
    #[error("this name and key print as `{expected}`, found `{found}`")]
    Id {
        /// The one way to print this key.
        expected: String,
        /// The text itself, at most its first 80 characters.
        found: String,
    },
}

/// A public key with its name and with what it signs. Prints and parses as `name+id+base64`, in one way only.
///
/// Names are narrower than in signed-note: printable ASCII, so that two that look alike are alike.
/// Source: c2sp.org/signed-note, "Verifier keys".
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VerifierKey {
    name: String,
    kind: KeyKind,
    raw: [u8; 32],
}

impl VerifierKey {
    /// The key `raw` (Ed25519, 32 bytes) under this name.
    pub fn new(name: &str, kind: KeyKind, raw: [u8; 32]) -> Result<Self, VerifierKeyError> {
        let printable = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'+');
        if !printable || !(1..=255).contains(&name.len()) {
            return Err(VerifierKeyError::Name { found: excerpt(name) });
        }
        match PublicKey::ed25519(&raw) {
            Ok(_) => Ok(Self { name: name.to_owned(), kind, raw }),
            Err(reason) => Err(VerifierKeyError::Key { name: name.to_owned(), reason }),
        }
    }

    /// The name its signature lines bear; for a log, the origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The Ed25519 key itself, whatever its name and kind.
    pub fn raw(&self) -> &[u8; 32] {
        &self.raw
    }

    /// What its signature lines begin with: a hint, not a hash to rely on.
    pub fn id(&self) -> [u8; 4] {
        let hash = Sha256::of_parts(&[self.name.as_bytes(), b"\n", &[self.kind.byte()], &self.raw]);
        let [a, b, c, d, ..] = hash.0;
        [a, b, c, d]
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.raw).verify(message, signature).is_ok()
    }
}

impl FromStr for VerifierKey {
    type Err = VerifierKeyError;
    fn from_str(text: &str) -> Result<Self, VerifierKeyError> {
        let form = || VerifierKeyError::Form { found: excerpt(text) };
        let (name, rest) = text.split_once('+').ok_or_else(form)?;
        let (_, key) = rest.split_once('+').ok_or_else(form)?;
        let bytes = STANDARD.decode(key).map_err(|_| form())?;
        let (kind, raw) = bytes.split_first().ok_or_else(form)?;
        let raw = raw.try_into().map_err(|_| form())?;
        let key = Self::new(name, KeyKind::of_byte(*kind)?, raw)?;
        let expected = key.to_string();
        if expected == text { Ok(key) } else { Err(VerifierKeyError::Id { expected, found: excerpt(text) }) }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::from([self.kind.byte()]);
        bytes.extend_from_slice(&self.raw);
        write!(f, "{}+", self.name)?;
        write_hex(f, &self.id())?;
        write!(f, "+{}", STANDARD.encode(bytes))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod edge_cases;
