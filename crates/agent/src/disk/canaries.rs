//! What was at the places where nobody should touch anything, and what was said about it: one file, written anew when it changes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use countersign_trust::canary::Sight;
use countersign_trust::lines::{LineReader, LinesError};
use countersign_trust::note::{Note, NoteError};
use countersign_trust::words::AbsolutePath;

use super::{DiskError, Folder, failed, write_whole};

const CANARIES: &str = "canaries";
const BEGIN: &str = "countersign-canaries/v1";

/// The file's content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Canaries {
    /// How many notes were ever made.
    pub number: u64,
    /// What was there the last time.
    pub seen: BTreeMap<AbsolutePath, Seen>,
    /// The newest notes, oldest first.
    pub notes: Vec<Kept>,
}

/// What was at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What.
    pub sight: Sight,
    /// On which day something was said of it the last time, by the wall clock, counted since 1970.
    pub day: u64,
    /// And how often on that day.
    pub told: u64,
}

/// A note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// It.
    pub note: Note,
    /// Whether a server says to have written it down.
    pub acknowledged: bool,
}

/// Why the file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CanariesError {
    /// Not its form.
    #[error(transparent)]
    Lines(#[from] LinesError),
    /// A note that is none.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A note that is cut off.
    #[error("a note is cut off")]
    Cut,
}

impl Folder {
    /// What is remembered; nothing, if there is nothing or it cannot be read: then each place is seen for the first time.
    pub fn canaries(&self) -> Canaries {
        match read_canaries(self.root()) {
            Ok(Some(canaries)) => canaries,
            Ok(None) => Canaries::default(),
            Err(error) => {
                tracing::error!(%error, "what was known of canaries cannot be read: each is seen for the first time again");
                Canaries::default()
            }
        }
    }

    /// Remembers it; it is on disk when this returns.
    ///
    /// # Errors
    /// It is not: what was remembered before is.
    pub fn keep_canaries(&self, canaries: &Canaries) -> Result<(), DiskError> {
        write_whole(&self.root().join(CANARIES), canaries.to_string().as_bytes())
    }
}

/// What the folder at `root` has, whether an agent works there or not.
///
/// # Errors
/// It cannot be read.
pub fn read_canaries(root: &Path) -> Result<Option<Canaries>, DiskError> {
    let path = root.join(CANARIES);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", &path)(error)),
    };
    let read = parse(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error));
    read.map(Some).map_err(failed("read", &path))
}

impl std::fmt::Display for Canaries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{BEGIN}\nnumber {}", self.number)?;
        for (path, Seen { sight, day, told }) in &self.seen {
            writeln!(f, "path {path}\nsight {sight}\nday {day}\ntold {told}")?;
        }
        for Kept { note, acknowledged } in &self.notes {
            let note = note.to_string();
            write!(f, "acknowledged {acknowledged}\nlines {}\n{note}", note.lines().count())?;
        }
        Ok(())
    }
}

fn parse(text: &str) -> Result<Canaries, CanariesError> {
    let (head, mut rest) = split_before(text, "acknowledged ");
    let mut lines = LineReader::new(head);
    lines.exactly(BEGIN)?;
    let mut canaries = Canaries { number: lines.value("number")?, ..Canaries::default() };
    while lines.has("path") {
        let path = lines.value("path")?;
        let seen =
            Seen { sight: lines.value("sight")?, day: lines.value("day")?, told: lines.value("told")? };
        canaries.seen.insert(path, seen);
    }
    lines.finish()?;
    while !rest.is_empty() {
        let (head, after) = after_lines(rest, 2).ok_or(CanariesError::Cut)?;
        let mut lines = LineReader::new(head);
        let (acknowledged, count) = (lines.value("acknowledged")?, lines.value("lines")?);
        let (note, after) = after_lines(after, count).ok_or(CanariesError::Cut)?;
        canaries.notes.push(Kept { note: note.parse()?, acknowledged });
        rest = after;
    }
    Ok(canaries)
}

/// What stands before the first line that begins so, and that with all after it.
fn split_before<'a>(text: &'a str, begin: &str) -> (&'a str, &'a str) {
    let at = text.find(&format!("\n{begin}")).map_or(text.len(), |at| at + 1);
    text.split_at(at)
}

/// So many whole lines, and what comes after.
fn after_lines(text: &str, count: usize) -> Option<(&str, &str)> {
    let ends = text.match_indices('\n').nth(count.checked_sub(1)?)?.0;
    text.split_at_checked(ends + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_trust::ids::Sha256;
    use countersign_trust::note::{KeyKind, NoteSigner};

    fn canaries() -> Canaries {
        let signer = NoteSigner::new("dev", KeyKind::Ed25519, &[7; 32]).unwrap();
        let note = |text: &str| signer.note(text.to_owned()).unwrap();
        let file = Sight::File { size: 7, begins: Sha256([9; 32]) };
        let seen = |sight, told| Seen { sight, day: 20_000, told };
        Canaries {
            number: 12,
            seen: [
                ("/srv/acknowledged true".parse().unwrap(), seen(file, 2)),
                ("/srv/b".parse().unwrap(), seen(Sight::Absent, 0)),
            ]
            .into(),
            notes: vec![
                Kept { note: note("one\nacknowledged true\n"), acknowledged: true },
                Kept { note: note("two\n"), acknowledged: false },
            ],
        }
    }

    #[test]
    fn it_reads_as_it_was_written_and_one_that_is_cut_off_not_at_all() {
        for canaries in [Canaries::default(), canaries()] {
            let text = canaries.to_string();
            assert_eq!(parse(&text).unwrap(), canaries, "{text}");
        }
        let text = canaries().to_string();
        // Between two notes a cut is a shorter file; the file is only ever written whole.
        let ends =
            [text.find("acknowledged true\nlines").unwrap(), text.rfind("acknowledged false").unwrap()];
        for cut in (0..text.len()).filter(|cut| text.is_char_boundary(*cut) && !ends.contains(cut)) {
            let whole_places = text[..cut].ends_with("told 2\n") || text[..cut].ends_with("number 12\n");
            assert_eq!(parse(&text[..cut]).is_ok(), whole_places, "{}", &text[..cut]);
        }
    }
}
