//! Leaps: Clears that say it is much later than all that a device knows are believed only once they have said so for an hour.
//!
//! How late it was a device never takes back: that is what keeps steps it has forgotten from running again. So beacons whose
//! clocks are wrong for a minute, as many as a Clear needs, could stop a machine for as long as they were ahead. A machine whose own clock
//! is dead, or which was off for long, waits that hour and then works: its clock may refuse, for a while, and never admit.
//!
//! Source: docs/spec/5-clear.md, "A leap".

use alloc::string::ToString;

use crate::clear::{ClearFault, Freshness, MAX_SPREAD_S, NotFresh};
use crate::time::{Reading, Time};

/// How much later than what is known Clears may say it is and be believed at once, in seconds.
pub const LEAP_S: u64 = 86_400;
/// For how long they must say so otherwise, in milliseconds by the boot clock.
pub const LEAP_WAIT_MS: u64 = 3_600_000;

/// How long Clears that count may have been on their way, in seconds: the longest lifetime that a policy may give them.
const LATE_S: u64 = 3_600;

/// A time that is not believed yet, and when Clears said it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leap {
    said: Time,
    first: Reading,
}

impl Leap {
    /// What they would say at `now` if it were so.
    fn expected(&self, now: Reading) -> Time {
        self.said.plus(now.boot_ms.saturating_sub(self.first.boot_ms) / 1_000)
    }

    /// Whether Clears that say at `now` that it is `said` go on saying the same.
    fn goes_on(&self, said: Time, now: Reading) -> bool {
        said.0.abs_diff(self.expected(now).0) <= MAX_SPREAD_S
    }

    /// Whether they may only have been long on their way: they say nothing for it, and nothing against it. Else whoever brings them could
    /// hold them back, and the hour would begin again each time.
    fn is_late(&self, said: Time, now: Reading) -> bool {
        let expected = self.expected(now);
        said < expected && expected.0 - said.0 <= LATE_S + MAX_SPREAD_S
    }
}

/// The latest that it can be by what a device knows without new Clears: those it had since it started tell, and the boot clock
/// since; before that its wall clock, or how late it was if that is later.
pub fn known(clock: Option<&Freshness>, floor: Time, now: Reading) -> Time {
    clock.map_or(Time(now.wall_ms / 1_000), |clock| clock.latest(now)).max(floor)
}

/// Lets Clears that came at `now` pass, or doubts them: `leap` is what was doubted before, and is kept up.
///
/// # Errors
/// They leap beyond what is `known`, and have not said so for long enough.
pub fn weigh(
    fresh: Freshness,
    leap: &mut Option<Leap>,
    known: Time,
    need: usize,
    now: Reading,
) -> Result<Freshness, NotFresh> {
    let (said, doubted) = (fresh.lowest(), leap.take());
    if said <= known.plus(LEAP_S) {
        return Ok(fresh);
    }
    let same = doubted.filter(|leap| leap.goes_on(said, now) || leap.is_late(said, now));
    let since = same.unwrap_or(Leap { said, first: now });
    let wait_ms = LEAP_WAIT_MS.saturating_sub(now.boot_ms.saturating_sub(since.first.boot_ms));
    if wait_ms == 0 && since.goes_on(said, now) {
        return Ok(fresh);
    }
    *leap = Some(since);
    let fault = ClearFault::Leap { said, known, wait_s: wait_ms.div_ceil(1_000) };
    Err(NotFresh { got: 0, need, faults: alloc::vec![("together".to_string(), fault)] })
}
