//! What is not due yet.

use std::collections::{BTreeMap, BTreeSet};

use super::Work;

/// The pause after the first failure, in milliseconds, and the longest.
const PAUSES_MS: (u64, u64) = (1_000, 60_000);

/// Work by the time at which it is due, in milliseconds since 1970.
#[derive(Debug, Default)]
pub struct Later {
    due: BTreeMap<u64, BTreeSet<Work>>,
    /// How long is waited after the records or the log failed.
    pub failed: Pause,
    /// How long is waited where too few beacons give Clears.
    pub few: Pause,
}

/// A pause that doubles.
#[derive(Debug)]
pub struct Pause(u64);

impl Default for Pause {
    fn default() -> Self {
        Self(PAUSES_MS.0)
    }
}

impl Pause {
    /// How long to wait this time, in milliseconds.
    pub fn next_ms(&mut self) -> u64 {
        let doubled = (self.0 * 2).min(PAUSES_MS.1);
        std::mem::replace(&mut self.0, doubled)
    }

    /// Whether it doubles no more.
    pub fn is_longest(&self) -> bool {
        self.0 >= PAUSES_MS.1
    }

    /// What it was waited for is over.
    pub fn end(&mut self) {
        *self = Self::default();
    }
}

impl Later {
    /// Puts work off until `due_ms`.
    pub fn put(&mut self, due_ms: u64, work: Work) {
        self.due.entry(due_ms).or_default().insert(work);
    }

    /// Puts off what gives devices time to speak first.
    pub fn put_off_unheard(&mut self, todo: &mut Vec<Work>, due_ms: u64) {
        for work in todo.extract_if(.., |work| matches!(work, Work::Unheard(_))) {
            self.put(due_ms, work);
        }
    }

    /// When the next is due.
    pub fn next_ms(&self) -> Option<u64> {
        self.due.first_key_value().map(|(due, _)| *due)
    }

    /// Takes out what is due at `now_ms`.
    pub fn take_due(&mut self, now_ms: u64) -> impl Iterator<Item = Work> + use<> {
        let rest = self.due.split_off(&now_ms.saturating_add(1));
        std::mem::replace(&mut self.due, rest).into_values().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_trust::ids::{DeviceId, Sha256};

    #[test]
    fn work_comes_out_when_it_is_due_and_once() {
        let (early, late) = (Work::Job(Sha256([1; 32])), Work::Job(Sha256([2; 32])));
        let mut later = Later::default();
        later.put(2_000, late);
        later.put(1_000, early);
        assert_eq!(later.take_due(999).count(), 0);
        assert_eq!(later.next_ms(), Some(1_000));
        assert_eq!(later.take_due(1_000).collect::<Vec<_>>(), [early]);
        assert_eq!(later.take_due(5_000).collect::<Vec<_>>(), [late]);
        assert_eq!(later.next_ms(), None);
    }

    #[test]
    fn a_pause_doubles_up_to_a_minute_and_begins_anew() {
        let mut pause = Pause::default();
        let pauses: Vec<u64> = (0..8).map(|_| pause.next_ms()).collect();
        assert_eq!(pauses, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert!(pause.is_longest());
        pause.end();
        assert!(!pause.is_longest());
        assert_eq!(pause.next_ms(), 1_000);
    }

    #[test]
    fn only_what_gives_a_device_time_to_speak_is_put_off() {
        let device = DeviceId([3; 32]);
        let (mut later, mut todo) = (Later::default(), vec![Work::Device(device), Work::Unheard(device)]);
        later.put_off_unheard(&mut todo, 2_000);
        assert_eq!(todo, [Work::Device(device)]);
        assert_eq!(later.take_due(2_000).collect::<Vec<_>>(), [Work::Unheard(device)]);
    }
}
