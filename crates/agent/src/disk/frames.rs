//! The ledger's file, byte by byte: a first line, then frames, each of which is there whole or not at all.
//!
//! A frame is the length of its body (4 bytes, big-endian), the body, and a check: the first 8 bytes of SHA-256 over
//! the place of the frame in the file (8 bytes, big-endian), the length and the body. A body is what one input had written down: records, each after its
//! own length. So a power cut leaves all of an input's records or none.

use countersign_trust::ids::Sha256;
use countersign_trust::ledger::{LedgerError, Record};
use countersign_trust::sshwire::{Reader, Writer};

/// How the file begins.
pub const BEGIN: [u8; 8] = *b"csledg1\n";
/// The longest body in bytes: many times the largest message.
const MOST: usize = 64 << 20;
const AROUND: usize = 4 + 8;

/// The file as it was found.
#[derive(Debug)]
pub struct Found<'a> {
    /// The bodies of all good frames.
    pub bodies: Vec<&'a [u8]>,
    /// Where the last good frame ends.
    pub end: usize,
}

/// Why a file is no ledger.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramesError {
    /// Something else, or a later version's.
    #[error("it does not begin as a ledger does")]
    Begin,
    /// Damaged in the middle: what follows was written after it, so this is no torn write.
    #[error(
        "the frame at byte {at} is damaged, but there is a good one at byte {next}: the disk has changed what was \
         written; restore nothing, enroll this machine anew under a new key"
    )]
    Damaged {
        /// Where the damaged frame begins.
        at: usize,
        /// Where a good one begins.
        next: usize,
    },
}

/// The body for `records`.
pub fn body(records: &[Record]) -> Vec<u8> {
    let mut to = Writer::new();
    for record in records {
        to.string(&record.encode());
    }
    to.take()
}

/// The records of a body.
///
/// # Errors
/// It holds something else: this program never wrote it.
pub fn records(body: &[u8]) -> Result<Vec<Record>, LedgerError> {
    let mut from = Reader::new(body);
    let mut records = Vec::new();
    while !from.is_empty() {
        records.push(Record::decode(from.string()?)?);
    }
    Ok(records)
}

/// The frame of `body` that begins at byte `at` of the file.
pub fn frame(at: u64, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    [length.as_slice(), body, &check(at, length, body)].concat()
}

fn check(at: u64, length: [u8; 4], body: &[u8]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = Sha256::of_parts(&[&at.to_be_bytes(), &length, body]).0;
    [a, b, c, d, e, f, g, h]
}

/// Reads all good frames. What follows the last one is a torn write, and for the caller to cut off.
///
/// # Errors
/// It is no ledger, or it is damaged before its end.
pub fn read(bytes: &[u8]) -> Result<Found<'_>, FramesError> {
    if bytes.get(..BEGIN.len()) != Some(&BEGIN) {
        return Err(FramesError::Begin);
    }
    let mut found = Found { bodies: Vec::new(), end: BEGIN.len() };
    while let Some(body) = frame_at(bytes, found.end) {
        found.bodies.push(body);
        found.end += body.len() + AROUND;
    }
    let at = found.end;
    match (at + 1..bytes.len()).find(|next| frame_at(bytes, *next).is_some()) {
        Some(next) => Err(FramesError::Damaged { at, next }),
        None => Ok(found),
    }
}

/// How many bytes the frame of this body takes.
pub fn around(body: &[u8]) -> usize {
    body.len() + AROUND
}

/// The bodies of the good frames up to the first that is none, for files that nothing depends on.
pub fn good(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let begins = bytes.starts_with(&BEGIN);
    let mut at = if begins { BEGIN.len() } else { bytes.len() };
    std::iter::from_fn(move || {
        let body = frame_at(bytes, at)?;
        at += body.len() + AROUND;
        Some(body)
    })
}

/// The body of the good frame that begins at `at`, if there is one. No body is empty: zeros are no frame.
fn frame_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let (length, rest) = bytes.get(at..)?.split_first_chunk::<4>()?;
    let size = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    if !(1..=MOST).contains(&size) {
        return None;
    }
    let (body, rest) = rest.split_at_checked(size)?;
    let good = check(u64::try_from(at).ok()?, *length, body);
    rest.starts_with(&good).then_some(body)
}

#[cfg(test)]
#[allow(clippy::as_conversions, reason = "a test's numbers are small")]
mod tests {
    use super::*;

    fn file(bodies: &[&[u8]]) -> Vec<u8> {
        let mut bytes = BEGIN.to_vec();
        for body in bodies {
            bytes.extend(frame(bytes.len() as u64, body));
        }
        bytes
    }

    #[test]
    fn a_file_cut_off_anywhere_gives_the_frames_before_the_cut() {
        let bodies: [&[u8]; 3] = [b"one", b"a second", b"the third"];
        let whole = file(&bodies);
        for cut in BEGIN.len()..=whole.len() {
            let found = read(&whole[..cut]).unwrap();
            assert_eq!(found.bodies, bodies[..found.bodies.len()]);
            assert!(cut - found.end < b"the third".len() + AROUND, "cut at {cut}, good until {}", found.end);
        }
    }

    #[test]
    fn a_byte_changed_before_the_last_frame_is_damage_and_in_the_last_frame_a_torn_write() {
        let whole = file(&[b"one", b"a second", b"the third"]);
        let last = whole.len() - b"the third".len() - AROUND;
        for at in 0..whole.len() {
            let mut bent = whole.clone();
            bent[at] ^= 1;
            match read(&bent) {
                Ok(found) => assert!(at >= last && found.end == last, "byte {at}"),
                Err(FramesError::Begin) => assert!(at < BEGIN.len(), "byte {at}"),
                Err(FramesError::Damaged { .. }) => assert!((BEGIN.len()..last).contains(&at), "byte {at}"),
            }
        }
    }

    #[test]
    fn a_good_frame_in_the_wrong_place_is_damage() {
        let whole = file(&[b"one", b"two", b"the last"]);
        let (first, second) = (BEGIN.len(), BEGIN.len() + 3 + AROUND);
        let mut twice = whole.clone();
        twice.copy_within(first..second, second);
        let expected = FramesError::Damaged { at: second, next: second + 3 + AROUND };
        assert_eq!(read(&twice).unwrap_err(), expected);
    }

    #[test]
    fn pages_of_zeros_are_a_torn_write() {
        let mut bytes = file(&[b"one"]);
        let end = bytes.len();
        bytes.extend([0; 8192]);
        assert_eq!(read(&bytes).unwrap().end, end);
    }
}
