//! Names for things, parsed once at the edge: each prints its own prefix and refuses the others'.

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use ring::digest;

/// A SHA-256 value, printed as 64 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// Hashes `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::of_parts(&[bytes])
    }

    /// Hashes the concatenation of `parts` without building it.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in parts {
            context.update(part);
        }
        let mut value = [0; 32];
        value.copy_from_slice(context.finish().as_ref());
        Self(value)
    }
}

/// Why a text is not an id or a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text does not start as this kind of id does.
    #[error("expected an id that starts with `{expected}`, found `{found}`")]
    Prefix {
        /// What this kind of id starts with, such as `dev-`.
        expected: &'static str,
        /// The text itself, at most its first 80 characters.
        found: String,
    },
    /// Not the right number of lowercase hexadecimal digits.
    #[error("expected {digits} lowercase hexadecimal digits, found `{found}`")]
    Hex {
        /// How many digits this kind of id has.
        digits: usize,
        /// The text itself, at most its first 80 characters.
        found: String,
    },
    /// Not a name: printable ASCII without quotes and backslashes, 1 to 64 bytes, no space at either end.
    #[error(
        "`{found}` is no name: use 1 to 64 printable ASCII characters, no quote, no backslash, no space at the ends"
    )]
    Name {
        /// The text itself, at most its first 80 characters.
        found: String,
    },
}

/// At most the first 80 characters, for an error to show.
pub(crate) fn excerpt(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

/// Lowercase hexadecimal of `bytes`.
pub fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
    for bytes in bytes.chunks(32) {
        // Digit by digit through the formatter is ten times slower, and ids are printed all the time.
        let mut text = [b'0'; 64];
        let (pairs, _) = text.as_chunks_mut::<2>();
        pairs.iter_mut().zip(bytes).for_each(|(pair, byte)| *pair = [digit(byte >> 4), digit(byte & 0x0f)]);
        let text = text.get(..bytes.len() * 2).and_then(|text| core::str::from_utf8(text).ok());
        f.write_str(text.ok_or(fmt::Error)?)?;
    }
    Ok(())
}

fn read_hex<const N: usize>(text: &str) -> Result<[u8; N], IdError> {
    let wrong = || IdError::Hex { digits: N * 2, found: excerpt(text) };
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(wrong()),
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return Err(wrong());
    }
    let mut value = [0; N];
    for (byte, [high, low]) in value.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Ok(value)
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256 {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        read_hex(text).map(Self)
    }
}

macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $size:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $size]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                write_hex(f, &self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let wrong = || IdError::Prefix { expected: $prefix, found: excerpt(text) };
                read_hex(text.strip_prefix($prefix).ok_or_else(wrong)?).map(Self)
            }
        }
    };
}

prefixed_id! {
    /// An organization: the SHA-256 of its genesis policy. Prints `org-` and 64 digits.
    OrgId, "org-", 32
}
prefixed_id! {
    /// A device: the SHA-256 of its raw Ed25519 public key. Prints `dev-` and 64 digits.
    DeviceId, "dev-", 32
}
prefixed_id! {
    /// The random number its author gave a statement. Prints `id-` and 32 digits.
    StatementId, "id-", 16
}

impl DeviceId {
    /// The id of the device that holds `key` (32 bytes, Ed25519).
    pub fn of_key(key: &[u8; 32]) -> Self {
        Self(Sha256::of(key).0)
    }
}

/// A person, a role, a site, a label's key or value: printable ASCII, 1 to 64 bytes, without `"` and `\`, no
/// space at either end. Compared and ordered by byte.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\');
        let trimmed = !text.starts_with(' ') && !text.ends_with(' ');
        if printable && trimmed && (1..=64).contains(&text.len()) {
            Ok(Self(text.to_string()))
        } else {
            Err(IdError::Name { found: excerpt(text) })
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn an_id_reads_back_and_refuses_another_kinds_prefix() {
        let device = DeviceId([7; 32]);
        assert_eq!(device.to_string().parse(), Ok(device));
        assert!(matches!(device.to_string().parse::<OrgId>(), Err(IdError::Prefix { .. })));
    }

    #[test]
    fn hexadecimal_is_lowercase_and_exact() {
        let text = format!("{}", Sha256::of(b""));
        assert_eq!(text, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert!(text.to_uppercase().parse::<Sha256>().is_err());
        assert!(text[..62].parse::<Sha256>().is_err());
        assert!(format!("{text}0").parse::<Sha256>().is_err());
    }

    #[test]
    fn a_name_is_short_printable_and_trimmed() {
        for good in ["anna", "Smygehamn 12", "a", &"x".repeat(64)] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", " a", "a ", "a\"b", "a\\b", "å", "a\nb", &"x".repeat(65)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }
}
