//! How fast something may happen: so much at once, and one more each while.

use std::time::Duration;

use tokio::time::Instant;

/// What is left of an allowance that grows back.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    left: u32,
    most: u32,
    each: Duration,
    grown: Instant,
}

impl Pace {
    /// All of `most` is left; one more grows back each `each`.
    pub fn new((most, each): (u32, Duration), now: Instant) -> Self {
        Self { left: most, most, each, grown: now }
    }

    /// Takes one. Answers how long to wait for it if none is left, and takes nothing then.
    pub fn take(&mut self, now: Instant) -> Option<Duration> {
        let passed = now.saturating_duration_since(self.grown);
        let more = u32::try_from(passed.as_nanos() / self.each.as_nanos().max(1)).unwrap_or(u32::MAX);
        if more > 0 {
            self.left = self.left.saturating_add(more).min(self.most);
            self.grown = if self.left == self.most { now } else { self.grown + self.each * more };
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                None
            }
            None => Some((self.grown + self.each).saturating_duration_since(now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_used_up_and_grows_back() {
        let each = Duration::from_millis(10);
        let start = Instant::now();
        let mut pace = Pace::new((3, each), start);
        assert_eq!([pace.take(start), pace.take(start), pace.take(start)], [None; 3]);
        assert_eq!(pace.take(start), Some(each));
        assert_eq!(pace.take(start + each), None);
        assert_eq!(pace.take(start + each), Some(each));
        let later = start + Duration::from_secs(3_600);
        assert_eq!([pace.take(later), pace.take(later), pace.take(later)], [None; 3]);
        assert_eq!(pace.take(later), Some(each), "it does not grow beyond what it was");
    }
}
