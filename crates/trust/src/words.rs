//! Text that people write into statements, and which characters it may hold.
//!
//! What somebody signs must look like what it is. So the table of code points is fixed here and holds no control,
//! format, bidirectional, invisible or combining character, whatever a later Unicode adds.

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use crate::text::word;

/// Code points that free text may hold, both ends included.
///
/// Source: docs/spec/1-text.md, "Free text".
const FREE: &[(char, char)] = &[
    (' ', '~'),
    ('\u{a1}', '\u{ac}'),
    ('\u{ae}', '\u{2c1}'),
    ('\u{370}', '\u{373}'),
    ('\u{376}', '\u{377}'),
    ('\u{37b}', '\u{37f}'),
    ('\u{384}', '\u{38a}'),
    ('\u{38c}', '\u{38c}'),
    ('\u{38e}', '\u{3a1}'),
    ('\u{3a3}', '\u{482}'),
    ('\u{48a}', '\u{52f}'),
    ('\u{2010}', '\u{2015}'),
    ('\u{2018}', '\u{201f}'),
    ('\u{2020}', '\u{2022}'),
    ('\u{2026}', '\u{2026}'),
    ('\u{2030}', '\u{2033}'),
    ('\u{2039}', '\u{203a}'),
    ('\u{20a0}', '\u{20bf}'),
    ('\u{2190}', '\u{21ff}'),
    ('\u{2200}', '\u{22ff}'),
    ('\u{2500}', '\u{257f}'),
    ('\u{3001}', '\u{3003}'),
    ('\u{300c}', '\u{3011}'),
    ('\u{3041}', '\u{3096}'),
    ('\u{30a1}', '\u{30fa}'),
    ('\u{4e00}', '\u{9fa5}'),
    ('\u{ac00}', '\u{d7a3}'),
];

/// Whether free text may hold `character`.
pub fn is_free(character: char) -> bool {
    FREE.iter().any(|(first, last)| (*first..=*last).contains(&character))
}

/// Why a text is not what a statement may hold at this place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// Longer than this kind of text may be.
    #[error("{bytes} bytes, at most {most} are allowed")]
    TooLong {
        /// Bytes found.
        bytes: usize,
        /// Bytes allowed.
        most: usize,
    },
    /// A character outside the table.
    #[error("the character U+{0:04X} is not allowed here")]
    Character(u32),
    /// A path that does not start at the root, or climbs.
    #[error("`{0}` is no absolute path without `.` and `..`")]
    Path(String),
    /// Not the name of an environment variable.
    #[error("`{0}` is no name of an environment variable (letters, digits and `_`, no digit first)")]
    Variable(String),
}

/// Checks length and characters; `also` is allowed besides the table.
fn check(text: &str, most: usize, allowed: impl Fn(char) -> bool) -> Result<(), WordsError> {
    if text.len() > most {
        return Err(WordsError::TooLong { bytes: text.len(), most });
    }
    match text.chars().find(|character| !allowed(*character)) {
        Some(character) => Err(WordsError::Character(u32::from(character))),
        None => Ok(()),
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = WordsError;
            fn from_str(text: &str) -> Result<Self, WordsError> {
                let check: fn(&str) -> Result<(), WordsError> = $check;
                check(text).map(|()| Self(text.to_string()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        word!($name);
    };
}

words! {
    /// One line of a script or one argument: free text and tabs, at most 400 bytes.
    Line, |text| check(text, 400, |c| is_free(c) || c == '\t')
}

words! {
    /// A reason for people to read: free text and line feeds, at most 2,000 bytes.
    Prose, |text| check(text, 2_000, |c| is_free(c) || c == '\n')
}

words! {
    /// An absolute path: printable ASCII, at most 255 bytes, no `.` or `..` between its slashes.
    AbsolutePath, |text| {
        check(text, 255, |c| matches!(c, ' '..='~'))?;
        let climbs = text.split('/').any(|part| part == "." || part == "..");
        if !text.starts_with('/') || climbs { Err(WordsError::Path(text.to_string())) } else { Ok(()) }
    }
}

words! {
    /// The name of an environment variable.
    Variable, |text| {
        check(text, 64, |c| c.is_ascii())?;
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        let rest = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if first && rest { Ok(()) } else { Err(WordsError::Variable(text.to_string())) }
    }
}

words! {
    /// Where to reach a program: a URL or `host:port`, printable ASCII without spaces, at most 255 bytes.
    Address, |text| check(text, 255, |c| c.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_text_holds_what_people_write_and_nothing_that_hides() {
        for good in ["Kör om kassorna på Öland", "price € 12 – “now”", "Ελληνικά", "кассы", "再起動"]
        {
            assert!(good.parse::<Prose>().is_ok(), "{good}");
        }
        let hidden = [
            ("right-to-left override", '\u{202e}'),
            ("zero width space", '\u{200b}'),
            ("zero width joiner", '\u{200d}'),
            ("soft hyphen", '\u{ad}'),
            ("no-break space", '\u{a0}'),
            ("combining acute", '\u{301}'),
            ("byte order mark", '\u{feff}'),
            ("line separator", '\u{2028}'),
            ("escape", '\u{1b}'),
            ("carriage return", '\r'),
            ("delete", '\u{7f}'),
            ("tag letter", '\u{e0041}'),
            ("Hebrew letter", '\u{5d0}'),
            ("combining Cyrillic", '\u{483}'),
        ];
        for (what, character) in hidden {
            assert!(character.to_string().parse::<Prose>().is_err(), "{what}");
            assert!(character.to_string().parse::<Line>().is_err(), "{what}");
        }
    }

    #[test]
    fn only_prose_breaks_lines_and_only_lines_hold_tabs() {
        assert!("a\nb".parse::<Prose>().is_ok() && "a\tb".parse::<Prose>().is_err());
        assert!("a\tb".parse::<Line>().is_ok() && "a\nb".parse::<Line>().is_err());
        assert!("x".repeat(401).parse::<Line>().is_err());
    }

    #[test]
    fn paths_are_absolute_and_do_not_climb() {
        assert!("/usr/bin/sh".parse::<AbsolutePath>().is_ok() && "/".parse::<AbsolutePath>().is_ok());
        for bad in ["", "bin/sh", "/usr/../etc", "/./x", "/a\nb"] {
            assert!(bad.parse::<AbsolutePath>().is_err(), "{bad}");
        }
    }

    #[test]
    fn variables_are_identifiers() {
        assert!("CS_NAME".parse::<Variable>().is_ok() && "_x1".parse::<Variable>().is_ok());
        for bad in ["", "1A", "A=B", "A B", "Ä"] {
            assert!(bad.parse::<Variable>().is_err(), "{bad}");
        }
    }
}
