//! The time a beacon signs: never lower than any it has signed, unless its operator says that its clock is right.
//!
//! A mark on disk lies ahead of every time signed and is moved on every few seconds, so that not each Clear waits for
//! the disk. After a crash the mark counts as signed. It lies so little ahead that a clock which runs on has reached it,
//! but for [`BACK_S`], before the program is up again.
//!
//! A clock that is far ahead of what was signed last may be wrong, and nobody who believed it can be told otherwise: it signs nothing either
//! until the operator has looked at it. What is wrong by less is caught by those who are told ([`countersign_trust::floor`]).

use countersign_trust::time::Time;

use crate::beacon::wait_anew;
use crate::disk::{DiskError, Folder};

/// How far ahead of the time signed the mark is put, in seconds.
const AHEAD_S: u64 = 5;
/// By how many seconds the clock may lie behind what was signed: so long the last time is signed again.
const BACK_S: u64 = 5;
/// By how many seconds the clock may lie ahead of what was signed, because nobody asked or the program was off: 30 days.
const LEAP_S: u64 = 30 * 86_400;
const MARK_FILE: &str = "time";

/// Why no time is to be had.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    /// The clock went back, or was ahead before.
    #[error(
        "this beacon's clock shows {now}, it has signed {signed} already: nothing is signed for {wait} s, unless its operator \
         sets a wrong clock right, or stops this program and runs `countersign-beacon --config FILE clock confirm` if it was wrong before"
    )]
    Back {
        /// What the clock shows.
        now: Time,
        /// What was signed.
        signed: Time,
        /// How long to wait, in seconds.
        wait: u64,
    },
    /// The clock is far ahead.
    #[error(
        "this beacon's clock shows {now}, it has signed {signed} last: a clock {days} days ahead may be wrong, and nothing is signed by it; \
         if it is right, its operator stops this program and runs `countersign-beacon --config FILE clock confirm`"
    )]
    Leap {
        /// What the clock shows.
        now: Time,
        /// What was signed.
        signed: Time,
        /// How many whole days lie between.
        days: u64,
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
    /// None before the first.
    signed: Option<Time>,
    mark: Time,
}

impl SignedTime {
    /// As the data folder remembers it.
    pub fn load(folder: &Folder) -> Result<Self, ClockError> {
        let signed = read_mark(folder)?;
        Ok(Self { signed, mark: signed.unwrap_or_default() })
    }

    /// Whether there is anything to check a clock against.
    pub fn has_signed(&self) -> bool {
        self.signed.is_some()
    }

    /// Whether anything may be signed, or done for good, by a clock that shows `now`.
    pub fn check(&self, now: Time) -> Result<(), ClockError> {
        let Some(signed) = self.signed else { return Ok(()) };
        if now.plus(BACK_S) < signed {
            let wait = signed.0.saturating_sub(now.plus(BACK_S).0);
            return Err(ClockError::Back { now, signed, wait });
        }
        if now > signed.plus(LEAP_S) {
            let days = now.0.saturating_sub(signed.0) / 86_400;
            return Err(ClockError::Leap { now, signed, days });
        }
        Ok(())
    }

    /// Goes with a clock that is neither behind nor far ahead, though nobody asks: a program that runs for months unasked would
    /// find its clock far ahead of what it signed last.
    pub fn keep(&mut self, now: Time, folder: &Folder) -> Result<(), ClockError> {
        if self.signed.is_some() {
            self.next(now, folder)?;
        }
        Ok(())
    }

    /// The time to sign when the clock shows `now`.
    pub fn next(&mut self, now: Time, folder: &Folder) -> Result<Time, ClockError> {
        self.check(now)?;
        let time = self.signed.map_or(now, |signed| now.max(signed));
        if time > self.mark || self.signed.is_none() {
            let mark = time.plus(AHEAD_S);
            write_mark(folder, mark)?;
            self.mark = mark;
        }
        self.signed = Some(time);
        Ok(time)
    }
}

/// Takes the operator's word that the clock, which shows `now`, is right, whatever was signed before; that is what is returned. What
/// has waited by the clock of before waits from the beginning: nobody knows how long it was.
pub fn confirm(folder: &Folder, now: Time) -> Result<Option<Time>, ClockError> {
    let signed = read_mark(folder)?;
    wait_anew(folder)?;
    write_mark(folder, now)?;
    Ok(signed)
}

fn read_mark(folder: &Folder) -> Result<Option<Time>, ClockError> {
    let Some(text) = folder.read(MARK_FILE)? else { return Ok(None) };
    let mark = text.trim_end().parse().map_err(|_| ClockError::Damaged(text.clone()))?;
    Ok(Some(Time(mark)))
}

fn write_mark(folder: &Folder, mark: Time) -> Result<(), DiskError> {
    folder.write(MARK_FILE, &format!("{mark}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_runs_for_months_unasked_goes_with_its_clock() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder::open(folder.path(), &[]).unwrap();
        let mut time = SignedTime::load(&folder).unwrap();
        time.keep(Time(7), &folder).unwrap();
        assert_eq!(
            time.next(Time(5), &folder).unwrap(),
            Time(5),
            "before the first there is nothing to keep"
        );
        for month in 1..4 {
            time.keep(Time(month * LEAP_S), &folder).unwrap();
        }
        assert_eq!(time.next(Time(4 * LEAP_S), &folder).unwrap(), Time(4 * LEAP_S));
        assert!(matches!(time.keep(Time(6 * LEAP_S), &folder), Err(ClockError::Leap { .. })));
    }

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
    fn a_clock_that_leaps_signs_nothing_until_it_is_right_or_confirmed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder::open(folder.path(), &[]).unwrap();
        let mut time = SignedTime::load(&folder).unwrap();
        assert_eq!(time.next(Time(100), &folder).unwrap(), Time(100));
        let (last, leap) = (Time(100 + LEAP_S), Time(101 + LEAP_S));
        assert!(matches!(
            time.next(leap, &folder),
            Err(ClockError::Leap { signed: Time(100), days: 30, .. })
        ));
        assert_eq!(time.next(Time(101), &folder).unwrap(), Time(101), "a clock set right goes on at once");
        assert_eq!(time.next(last, &folder).unwrap(), last, "nobody asked for a month");
        assert_eq!(confirm(&folder, Time(200)).unwrap(), Some(last.plus(AHEAD_S)));
        let mut time = SignedTime::load(&folder).unwrap();
        assert_eq!(time.next(Time(201), &folder).unwrap(), Time(201), "it was wrong before");
        assert_eq!(confirm(&folder, Time(201 + 10 * LEAP_S)).unwrap(), Some(Time(206)));
        let mut time = SignedTime::load(&folder).unwrap();
        assert_eq!(time.next(Time(202 + 10 * LEAP_S), &folder).unwrap(), Time(202 + 10 * LEAP_S));
    }

    #[test]
    fn a_damaged_mark_is_not_taken_for_the_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder::open(folder.path(), &[]).unwrap();
        folder.write(MARK_FILE, "\n").unwrap();
        assert!(matches!(SignedTime::load(&folder), Err(ClockError::Damaged(_))));
        assert!(matches!(confirm(&folder, Time(1)), Err(ClockError::Damaged(_))), "nothing mends it");
    }
}
