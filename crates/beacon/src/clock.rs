//! The time a beacon signs: never lower than any it has signed, whatever happened in between.
//!
//! A mark on disk lies ahead of every time signed and is moved on every few seconds, so that not each Clear waits for
//! the disk. After a crash the mark counts as signed. It lies so little ahead that a clock which runs on has reached it,
//! but for [`BACK_S`], before the program is up again.

use countersign_trust::time::Time;

use crate::disk::{DiskError, Folder};

/// How far ahead of the time signed the mark is put, in seconds.
const AHEAD_S: u64 = 5;
/// By how many seconds the clock may lie behind what was signed: so long the last time is signed again.
const BACK_S: u64 = 5;
const MARK_FILE: &str = "time";

/// Why no time is to be had.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    /// The clock went back.
    #[error(
        "this beacon's clock shows {now}, it has signed {signed} already: nothing is signed for {wait} s, \
         unless its operator sets a wrong clock right"
    )]
    Back {
        /// What the clock shows.
        now: Time,
        /// What was signed.
        signed: Time,
        /// How long to wait, in seconds.
        wait: u64,
    },
    /// The mark cannot be moved.
    #[error("nothing is signed, try again later: {0}")]
    Disk(#[from] DiskError),
    /// The mark cannot be read.
    #[error(
        "{MARK_FILE} in the data folder holds no time but `{0}`: nothing here mends it; \
         keep the folder for the investigation and begin again under a new key"
    )]
    Damaged(String),
}

/// What was signed, and up to when more may be without writing to the disk.
pub struct SignedTime {
    signed: Time,
    mark: Time,
}

impl SignedTime {
    /// As the data folder remembers it.
    pub fn load(folder: &Folder) -> Result<Self, ClockError> {
        let text = folder.read(MARK_FILE)?;
        let mark = match &text {
            None => Time::default(),
            Some(text) => Time(text.trim_end().parse().map_err(|_| ClockError::Damaged(text.clone()))?),
        };
        Ok(Self { signed: mark, mark })
    }

    /// The time to sign when the clock shows `now`.
    pub fn next(&mut self, now: Time, folder: &Folder) -> Result<Time, ClockError> {
        if now.plus(BACK_S) < self.signed {
            let signed = self.signed;
            return Err(ClockError::Back { now, signed, wait: signed.0.saturating_sub(now.plus(BACK_S).0) });
        }
        let time = now.max(self.signed);
        if time > self.mark {
            let mark = time.plus(AHEAD_S);
            folder.write(MARK_FILE, &format!("{mark}\n"))?;
            self.mark = mark;
        }
        self.signed = time;
        Ok(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_never_falls_and_a_crash_costs_no_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder::open(folder.path(), &[]).unwrap();
        let mut time = SignedTime::load(&folder).unwrap();
        for (now, signed) in [(100, 100), (103, 103), (101, 103), (98, 103), (105, 105), (106, 106)] {
            assert_eq!(time.next(Time(now), &folder).unwrap(), Time(signed), "at {now}");
        }
        assert!(matches!(time.next(Time(100), &folder), Err(ClockError::Back { wait: 1, .. })));
        let mut time = SignedTime::load(&folder).unwrap();
        assert_eq!(time.next(Time(106), &folder).unwrap(), Time(111), "what a crash may have hidden");
        assert_eq!(time.next(Time(112), &folder).unwrap(), Time(112));
    }

    #[test]
    fn a_damaged_mark_is_not_taken_for_the_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder::open(folder.path(), &[]).unwrap();
        folder.write(MARK_FILE, "\n").unwrap();
        assert!(matches!(SignedTime::load(&folder), Err(ClockError::Damaged(_))));
    }
}
