//! What the device was brought and what it answered, kept as evidence: with the server's records wiped, people can still prove what
//! happened here. Nothing depends on these files, and the last of what was written may be lost.
//!
//! They are segments that are only appended to, in two rings: `ran`, what people signed and this device accepted, with its receipts, and
//! `refused`. So whoever floods a device with what it refuses drops none of what it ran. A segment stands by itself: a long text that
//! several records share is written once into each. The oldest segments of a ring go when it takes more than its share of 32 MiB, and
//! when all in them is older than 90 days by the device's own time.

pub mod record;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use countersign_trust::device::Keep;
use countersign_trust::ids::Sha256;
use countersign_trust::time::Time;

use super::frames::{self, BEGIN};
use super::{Folder, create_folder};
use record::{Entry, entries_of};

const KEPT: &str = "kept";
/// The longest segment in bytes: what is read at a time.
const SEGMENT: u64 = 1 << 20;
/// A segment takes no more once it is so old, so that what is past can go week by week.
const SEGMENT_S: u64 = 7 * 86_400;
/// How long records are kept.
const KEEP_S: u64 = 90 * 86_400;

/// Which ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ring {
    /// What was accepted, and receipts of what ran.
    Ran,
    /// What was refused, and receipts that say so.
    Refused,
}

impl Ring {
    const ALL: [Self; 2] = [Self::Ran, Self::Refused];

    fn word(self) -> &'static str {
        match self {
            Self::Ran => "ran",
            Self::Refused => "refused",
        }
    }

    /// How many segments it may have: 24 MiB and 8 MiB.
    fn most(self) -> usize {
        match self {
            Self::Ran => 24,
            Self::Refused => 8,
        }
    }
}

/// A segment by its file's name: `<ring>-<number>-<time of its first record>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Segment {
    ring: Ring,
    number: u64,
    first: u64,
}

impl Segment {
    fn name(self) -> String {
        format!("{}-{:010}-{}", self.ring.word(), self.number, self.first)
    }

    fn of(name: &str) -> Option<Self> {
        let mut parts = name.split('-');
        let word = parts.next()?;
        let ring = Ring::ALL.into_iter().find(|ring| ring.word() == word)?;
        let segment = Self { ring, number: parts.next()?.parse().ok()?, first: parts.next()?.parse().ok()? };
        (segment.name() == name).then_some(segment)
    }
}

/// The segment that a ring is at.
#[derive(Debug)]
struct Open {
    segment: Segment,
    file: File,
    end: u64,
    /// The texts that it has.
    texts: BTreeSet<Sha256>,
}

/// Where records are kept.
#[derive(Debug)]
pub struct Kept {
    root: PathBuf,
    open: [Option<Open>; 2],
    /// Whether the last record could not be written: that is said once.
    failing: bool,
}

impl Folder {
    /// Where records are kept.
    pub fn kept(&self) -> Kept {
        Kept { root: self.root().join(KEPT), open: [None, None], failing: false }
    }
}

impl Kept {
    /// Keeps a record, if it can be had. The agent goes on without.
    pub fn keep(&mut self, keep: &Keep, now: Time) {
        match self.write(keep, now) {
            Ok(()) => self.failing = false,
            Err(error) if self.failing => drop(error),
            Err(error) => {
                self.failing = true;
                tracing::warn!(%error, "what is kept as evidence could not be written");
            }
        }
    }

    fn write(&mut self, keep: &Keep, now: Time) -> io::Result<()> {
        let (ring, entries) = entries_of(keep, now);
        if self.slot(ring).is_none() {
            *self.place(ring) = self.go_on(ring)?;
        }
        if self.is_over(ring, now) {
            self.begin(ring, now)?;
        }
        let Some(open) = self.slot(ring) else { return Ok(()) };
        let fresh = |entry: &&Entry| entry.text_hash().is_none_or(|hash| !open.texts.contains(&hash));
        let body = record::body(entries.iter().filter(fresh));
        let frame = frames::frame(open.end, &body);
        if let Err(error) = open.file.write_all(&frame) {
            // A torn record ends the segment; so does one that cannot be cut off.
            let _ = open.file.set_len(open.end);
            *self.place(ring) = None;
            return Err(error);
        }
        open.end += u64::try_from(frame.len()).unwrap_or(u64::MAX);
        open.texts.extend(entries.iter().filter_map(Entry::text_hash));
        Ok(())
    }

    fn place(&mut self, ring: Ring) -> &mut Option<Open> {
        let [ran, refused] = &mut self.open;
        match ring {
            Ring::Ran => ran,
            Ring::Refused => refused,
        }
    }

    fn slot(&mut self, ring: Ring) -> Option<&mut Open> {
        self.place(ring).as_mut()
    }

    fn is_over(&mut self, ring: Ring, now: Time) -> bool {
        self.slot(ring)
            .is_none_or(|open| open.end >= SEGMENT || now.0 >= open.segment.first.saturating_add(SEGMENT_S))
    }

    /// The segment at which an earlier life was, without what a power cut left torn at its end.
    fn go_on(&self, ring: Ring) -> io::Result<Option<Open>> {
        let last = segments(&self.root).into_iter().rfind(|segment| segment.ring == ring);
        let Some(segment) = last else { return Ok(None) };
        let path = self.root.join(segment.name());
        let bytes = read_at_most(&path)?;
        let (mut end, mut texts) = (BEGIN.len(), BTreeSet::new());
        if !bytes.starts_with(&BEGIN) {
            return Ok(None);
        }
        for body in frames::good(&bytes) {
            end += frames::around(body);
            texts.extend(record::entries(body).unwrap_or_default().iter().filter_map(Entry::text_hash));
        }
        let mut file = OpenOptions::new().write(true).open(path)?;
        let end = u64::try_from(end).unwrap_or(u64::MAX);
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        Ok(Some(Open { segment, file, end, texts }))
    }

    /// Begins the next segment of a ring, and drops what is too much or too old.
    fn begin(&mut self, ring: Ring, now: Time) -> io::Result<()> {
        create_folder(&self.root).map_err(io::Error::other)?;
        if let Some(open) = self.slot(ring) {
            open.file.sync_all()?;
        }
        let there = segments(&self.root);
        let number = there.iter().map(|segment| segment.number).max().unwrap_or(0).saturating_add(1);
        let segment = Segment { ring, number, first: now.0 };
        let path = self.root.join(segment.name());
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(&BEGIN)?;
        let end = u64::try_from(BEGIN.len()).unwrap_or_default();
        *self.place(ring) = Some(Open { segment, file, end, texts: BTreeSet::new() });
        for past in past(&there, ring, now) {
            fs::remove_file(self.root.join(past.name()))?;
        }
        Ok(())
    }
}

/// The segments that go when one more of `ring` begins at `now`.
fn past(there: &[Segment], ring: Ring, now: Time) -> Vec<Segment> {
    let of_ring: Vec<Segment> = there.iter().copied().filter(|segment| segment.ring == ring).collect();
    let too_many = (of_ring.len() + 1).saturating_sub(ring.most());
    // All of a segment is older than the first of the next.
    let ends = of_ring.iter().skip(1).map(|next| next.first).chain([now.0]);
    let numbered = of_ring.iter().zip(ends).enumerate();
    let goes = numbered.filter(|(at, (_, end))| *at < too_many || end.saturating_add(KEEP_S) < now.0);
    goes.map(|(_, (segment, _))| *segment).collect()
}

/// The segments under `root`, those of one ring together, the oldest first.
fn segments(root: &Path) -> Vec<Segment> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let mut segments: Vec<Segment> =
        entries.filter_map(|entry| Segment::of(entry.file_name().to_str()?)).collect();
    segments.sort_unstable();
    segments
}

/// Reads what the agent that works on `root` has kept, segment by segment, each of at most some MiB; what is torn or damaged ends its
/// segment. An agent may be at work there: what it drops meanwhile is passed over.
pub fn read_kept(root: &Path, mut take: impl FnMut(Vec<Entry>)) {
    let root = root.join(KEPT);
    for segment in segments(&root) {
        let Ok(bytes) = read_at_most(&root.join(segment.name())) else { continue };
        for body in frames::good(&bytes) {
            let Some(entries) = record::entries(body) else { break };
            take(entries);
        }
    }
}

/// A segment, and the one record by which it is longer than [`SEGMENT`].
const MOST_READ: u64 = 16 << 20;

fn read_at_most(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_READ).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(ring: Ring, number: u64, first: u64) -> Segment {
        Segment { ring, number, first }
    }

    #[test]
    fn a_segment_has_one_name() {
        let ran = segment(Ring::Ran, 7, 1_700_000_000);
        assert_eq!(ran.name(), "ran-0000000007-1700000000");
        assert_eq!(Segment::of(&ran.name()), Some(ran));
        for other in
            ["", "ran", "ran-7-1700000000", "other-0000000007-1", "ran-0000000007-1-2x", "lost+found"]
        {
            assert_eq!(Segment::of(other), None, "{other}");
        }
    }

    #[test]
    fn the_oldest_of_a_ring_go_first_and_what_is_older_than_90_days() {
        let day = 86_400;
        let there = [1, 50, 92, 93].map(|at| segment(Ring::Ran, at, at * day));
        let goes = |now: u64| {
            past(&there, Ring::Ran, Time(now * day)).iter().map(|gone| gone.number).collect::<Vec<_>>()
        };
        assert_eq!(goes(100), [0; 0]);
        assert_eq!(goes(141), [1], "its last record is older than the first of the next, of day 50");
        assert_eq!(goes(1_000), [1, 50, 92], "what ended just now stays");
        assert_eq!(past(&there, Ring::Refused, Time(1_000 * day)), []);
        let full: Vec<Segment> = (1..=30).map(|number| segment(Ring::Refused, number, 5)).collect();
        assert_eq!(past(&full, Ring::Refused, Time(6)).len(), 23, "seven stay beside the new one");
    }
}
