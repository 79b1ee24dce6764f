//! What a device tells of a file that nobody should touch: a note by its own key, so that it is evidence for anybody.
//!
//! Source: docs/spec/7-receipts.md, "Canaries".

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use crate::ids::{DeviceId, OrgId, Sha256};
use crate::lines::{LineReader, LinesError};
use crate::time::Time;
use crate::words::AbsolutePath;

/// That a file is no longer what it was. Prints as the text of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanaryNote {
    /// The organization.
    pub org: OrgId,
    /// The device.
    pub device: DeviceId,
    /// 1 for the device's first, then one more each time; anew where the device has lost what it remembered.
    pub number: u64,
    /// The file.
    pub path: AbsolutePath,
    /// What was there.
    pub was: Sight,
    /// What is there.
    pub is: Sight,
    /// The newest policy the device held.
    pub policy: Sha256,
    /// The earliest it can have been, as far as the device knew.
    pub time: Time,
}

/// What is at a path, without following links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Nobody has looked yet.
    None,
    /// Nothing.
    Absent,
    /// A file.
    File {
        /// Its bytes.
        size: u64,
        /// SHA-256 of its first [`MOST_READ`] bytes.
        begins: Sha256,
    },
    /// A link, or a file to which only a link leads.
    Link,
    /// A folder.
    Folder,
    /// Something else, such as a pipe or a device: it is not opened.
    Other,
    /// Something that the agent may not look at.
    Unreadable,
}

/// How many bytes of a file are read.
pub const MOST_READ: u64 = 64 * 1024;

/// What is no sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `none`, `absent`, `file` with size and hash, `link`, `folder`, `other` or `unreadable`")]
pub struct SightError;

const CANARY: &str = "countersign-canary/v1";

impl CanaryNote {
    /// Whether somebody has touched it: something that was there has changed or is gone. That a file is missing from the start, or
    /// has come, is told and counts for nothing.
    pub fn is_touch(&self) -> bool {
        !matches!(self.was, Sight::None | Sight::Absent)
    }
}

impl fmt::Display for CanaryNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { org, device, number, path, was, is, policy, time } = self;
        writeln!(f, "{CANARY}\n{org}\n{device}\nnumber {number}\npath {path}")?;
        writeln!(f, "was {was}\nis {is}\npolicy {policy}\ntime {time}")
    }
}

impl FromStr for CanaryNote {
    type Err = LinesError;
    fn from_str(text: &str) -> Result<Self, LinesError> {
        let mut lines = LineReader::new(text);
        lines.exactly(CANARY)?;
        let note = Self {
            org: lines.word("an organization")?,
            device: lines.word("a device")?,
            number: lines.value("number")?,
            path: lines.value("path")?,
            was: lines.value("was")?,
            is: lines.value("is")?,
            policy: lines.value("policy")?,
            time: Time(lines.value("time")?),
        };
        lines.finish()?;
        Ok(note)
    }
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File { size, begins } => return write!(f, "file {size} {begins}"),
            Self::None => "none",
            Self::Absent => "absent",
            Self::Link => "link",
            Self::Folder => "folder",
            Self::Other => "other",
            Self::Unreadable => "unreadable",
        })
    }
}

impl FromStr for Sight {
    type Err = SightError;
    fn from_str(text: &str) -> Result<Self, SightError> {
        Ok(match text {
            "none" => Self::None,
            "absent" => Self::Absent,
            "link" => Self::Link,
            "folder" => Self::Folder,
            "other" => Self::Other,
            "unreadable" => Self::Unreadable,
            file => {
                let (size, begins) =
                    file.strip_prefix("file ").and_then(|rest| rest.split_once(' ')).ok_or(SightError)?;
                let size = size.parse().map_err(|_| SightError)?;
                Self::File { size, begins: begins.parse().map_err(|_| SightError)? }
            }
        })
    }
}

impl Sight {
    /// In words for people.
    pub fn words(&self) -> String {
        match self {
            Self::None => "never seen".to_owned(),
            Self::Absent => "not there".to_owned(),
            Self::File { size, .. } => alloc::format!("a file of {size} bytes"),
            Self::Link => "a link".to_owned(),
            Self::Folder => "a folder".to_owned(),
            Self::Other => "no file".to_owned(),
            Self::Unreadable => "unreadable".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn note(was: Sight, is: Sight) -> CanaryNote {
        CanaryNote {
            org: OrgId([1; 32]),
            device: DeviceId([2; 32]),
            number: 3,
            path: "/srv/tills/AAA invoices.xlsx".parse().unwrap(),
            was,
            is,
            policy: Sha256([4; 32]),
            time: Time(5),
        }
    }

    fn file(size: u64) -> Sight {
        Sight::File { size, begins: Sha256([6; 32]) }
    }

    #[test]
    fn a_note_reads_as_it_prints_and_in_no_other_way() {
        let seen = [
            Sight::None,
            Sight::Absent,
            file(7),
            Sight::Link,
            Sight::Folder,
            Sight::Other,
            Sight::Unreadable,
        ];
        for is in seen {
            let note = note(file(7), is);
            assert_eq!(note.to_string().parse(), Ok(note));
        }
        let good = note(file(7), Sight::Absent).to_string();
        let bent = [
            ("countersign-canary/v1", "countersign-receipt/v1"),
            ("number 3", "number 03"),
            ("path /srv", "path srv"),
            ("is absent", "is gone"),
            ("was file 7", "was file 07"),
            ("was file 7 ", "was file 7  "),
            ("time 5\n", "time 5\nmore\n"),
            ("time 5\n", "time 5"),
        ];
        for (this, that) in bent {
            assert!(good.contains(this), "{this}");
            assert!(good.replace(this, that).parse::<CanaryNote>().is_err(), "{that}");
        }
    }

    #[test]
    fn only_what_was_there_can_be_touched() {
        let cases = [
            (Sight::None, Sight::Absent, false),
            (Sight::Absent, file(1), false),
            (file(1), file(2), true),
            (file(1), Sight::Absent, true),
            (file(1), Sight::Unreadable, true),
            (Sight::Link, file(1), true),
        ];
        for (was, is, touched) in cases {
            assert_eq!(note(was, is).is_touch(), touched);
        }
    }
}
