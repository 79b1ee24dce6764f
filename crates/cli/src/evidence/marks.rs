//! Marks: how long a log was when, as a quorum of witnesses says. They tell between which moments a leaf was logged.
//!
//! A leaf below the size of a mark stood there by the mark's time; one at or above it had not been witnessed by then, since a
//! witness never goes back. So a server can neither move a leaf into a span nor out of it.

use std::collections::BTreeMap;
use std::ops::Range;

use countersign_trust::chain::{Chain, Place, log_keys};
use countersign_trust::checkpoint::{Checkpoint, verify_checkpoint};
use countersign_trust::ids::Sha256;
use countersign_trust::note::Note;
use countersign_trust::time::Time;

/// A log of this size and root, witnessed at this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Which of the organization's logs.
    pub log: usize,
    /// How many leaves it had.
    pub size: u64,
    /// Their root.
    pub root: Sha256,
    /// The smallest time by which the cosignatures meet the quorum.
    pub time: Time,
}

impl Mark {
    /// What a checkpoint says, if the policy in force at its last leaf, the one before that, or a later one counts it: its log key
    /// signed, its quorum cosigned. Of several the first.
    pub fn of(chain: &Chain, note: &Note) -> Option<Self> {
        let Checkpoint { origin, size, root } = note.text().parse().ok()?;
        let named = |policy: &&countersign_trust::chain::Held<
            countersign_trust::statement::policy::Policy,
        >| { policy.body.log.key.name() == origin };
        let log = chain.policies().iter().rev().find(named)?.place.log;
        let last = Place { log, index: size.checked_sub(1)? };
        let force = chain.policies().iter().rposition(|policy| policy.place < last).unwrap_or(0);
        let may = chain.policies().iter().skip(force.saturating_sub(1)).filter(named);
        let time = may
            .filter_map(|policy| verify_checkpoint(note, log_keys(&policy.body, &policy.body.witnesses)).ok())
            .map(|(_, time)| time)
            .next()?;
        Some(Self { log, size, root, time })
    }
}

/// Of the leaves of a log of `size`, those that may have been logged within the span: all but those that a mark shows before it, or
/// not yet when it was over.
pub fn may_be_within(marks: &[Mark], log: usize, size: u64, from: Time, until: Time) -> Range<u64> {
    let of_log = || marks.iter().filter(|mark| mark.log == log && mark.size <= size);
    let first = of_log().filter(|mark| mark.time < from).map(|mark| mark.size).max().unwrap_or(0);
    let end = of_log().filter(|mark| mark.time >= until).map(|mark| mark.size).min().unwrap_or(size);
    first.min(end)..end
}

/// By when a leaf was witnessed.
pub struct Times(BTreeMap<(usize, u64), Time>);

impl Times {
    /// From all marks.
    pub fn of(marks: &[Mark]) -> Self {
        let mut times = BTreeMap::new();
        let mut least: Option<Mark> = None;
        for mark in marks.iter().rev() {
            let time = least
                .filter(|later| later.log == mark.log)
                .map_or(mark.time, |later| later.time.min(mark.time));
            least = Some(Mark { time, ..*mark });
            times.insert((mark.log, mark.size), time);
        }
        Self(times)
    }

    /// The earliest time at which a quorum had seen a log that held it.
    pub fn of_leaf(&self, Place { log, index }: Place) -> Option<Time> {
        self.0.range((log, index.saturating_add(1))..=(log, u64::MAX)).next().map(|(_, time)| *time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(size: u64, time: u64) -> Mark {
        Mark { log: 0, size, root: Sha256([0; 32]), time: Time(time) }
    }

    #[test]
    fn a_leaf_is_within_unless_witnesses_say_that_it_came_before_or_after() {
        let marks = [mark(3, 10), mark(5, 20), mark(9, 30), mark(12, 40)];
        let within = |from, until| may_be_within(&marks, 0, 12, Time(from), Time(until));
        assert_eq!(within(15, 30), 3..9, "not those seen at 10, and not those that were not there at 30");
        assert_eq!(within(0, 100), 0..12);
        assert_eq!(within(11, 12), 3..5);
        assert_eq!(within(41, 50), 12..12);
        assert_eq!(may_be_within(&marks, 1, 4, Time(15), Time(30)), 0..4, "nothing is known of another log");
        // A server that shows only late proofs moves nothing out of the span.
        assert_eq!(may_be_within(&[mark(12, 40)], 0, 12, Time(15), Time(30)), 0..12);
        let times = Times::of(&[mark(3, 10), mark(5, 25), mark(9, 20), Mark { log: 1, ..mark(4, 50) }]);
        let seen = |log, index| times.of_leaf(Place { log, index });
        assert_eq!((seen(0, 4), seen(0, 8), seen(0, 9)), (Some(Time(20)), Some(Time(20)), None));
        assert_eq!(seen(1, 0), Some(Time(50)));
    }
}
