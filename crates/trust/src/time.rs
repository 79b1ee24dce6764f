//! Points in time and what the clocks of a machine say. Nothing here reads a clock.

use core::fmt;

/// A point in time: whole seconds since 1970-01-01 00:00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub u64);

impl Time {
    /// This time moved forward by `seconds`.
    pub fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A time as people write it, in UTC: `2021-07-02 16:00:00Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utc(pub Time);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Time(seconds)) = *self;
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(days);
        let (hours, minutes, seconds) = (rest / 3_600, rest / 60 % 60, rest % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02}Z")
    }
}

/// Year, month and day, `days` after 1970-01-01, in the Gregorian calendar.
///
/// Source: Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// What both clocks of the machine say at one moment, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Since the machine started, sleep included (`CLOCK_BOOTTIME`).
    pub boot_ms: u64,
    /// Since 1970 by the wall clock, which anyone may have set.
    pub wall_ms: u64,
}

/// How long ago something was, by the two clocks: a lower and an upper bound in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed {
    /// The smaller of the two clocks' differences (a clock that went back counts 0).
    pub least_ms: u64,
    /// The larger of the two.
    pub most_ms: u64,
}

impl Reading {
    /// Time passed from `earlier` to this reading of the same boot.
    ///
    /// The wall clock may make things look older, never fresher: whoever needs freshness uses
    /// [`Elapsed::most_ms`], whoever needs "not before" uses [`Elapsed::least_ms`].
    pub fn since(self, earlier: Reading) -> Elapsed {
        let boot = self.boot_ms.saturating_sub(earlier.boot_ms);
        let wall = self.wall_ms.saturating_sub(earlier.wall_ms);
        Elapsed { least_ms: boot.min(wall), most_ms: boot.max(wall) }
    }
}

/// Between which two times it is now, as far as beacons and the machine's clocks can tell.
///
/// "Not before" is held against `lo`, "not after" against `hi`: a clock can refuse, never admit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// It is certainly not earlier than this.
    pub lo: Time,
    /// It is certainly not later than this.
    pub hi: Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_pushed_forward_only_ages() {
        let start = Reading { boot_ms: 1_000, wall_ms: 5_000 };
        let later = Reading { boot_ms: 3_000, wall_ms: 905_000 };
        assert_eq!(later.since(start), Elapsed { least_ms: 2_000, most_ms: 900_000 });
    }

    #[test]
    fn a_wall_clock_set_back_stops_the_lower_bound_and_not_the_upper() {
        let start = Reading { boot_ms: 1_000, wall_ms: 905_000 };
        let later = Reading { boot_ms: 3_000, wall_ms: 5_000 };
        assert_eq!(later.since(start), Elapsed { least_ms: 0, most_ms: 2_000 });
    }
}
