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
