//! The Hellos of a device, each naming the one before it: one thread for each agent that speaks with its key.
//!
//! An agent goes on with its own thread and begins a new one only when it starts. So a thread that is taken up again after
//! another has spoken belongs to an agent that was alive all the while: the key is used in two places. Whoever copied the key
//! can say what it likes; the copied one gives both away as soon as it goes on.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::pace::Pace;

/// How many threads of a device are remembered: more than one that took its key can begin while an agent waits to connect again.
const MOST_THREADS: usize = 256;
/// How many threads may begin at once, and how often one more: agents that start and die in a loop are not meant.
const STARTS: (u32, Duration) = (120, Duration::from_secs(1));
/// After how many returns it is a clone: one each, so that both are known to live.
const RETURNS: u8 = 2;

/// The newest Hello of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// Its name; 0 if it has none.
    pub name: u64,
    /// The name of the one before it in its thread; 0 if it is the first.
    pub before: u64,
    /// From where it came.
    pub from: IpAddr,
    /// Which connection it came over, counted as they were made.
    pub connection: u64,
}

/// What is remembered of a device's Hellos, the thread that spoke last first.
#[derive(Debug)]
pub struct Threads {
    last: VecDeque<Spoken>,
    returns: u8,
    starts: Pace,
}

/// What a Hello shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shows {
    /// Nothing that one agent would not do.
    One,
    /// Two agents speak with one key.
    Two {
        /// From where.
        places: Vec<IpAddr>,
    },
    /// It came over an older connection than one that has spoken since: the last words of an agent that is gone.
    Late,
    /// Threads begin faster than any agent starts.
    TooOften,
}

impl Threads {
    /// Nothing was said.
    pub fn new(now: Instant) -> Self {
        Self { last: VecDeque::with_capacity(1), returns: 0, starts: Pace::new(STARTS, now) }
    }

    /// Hears a Hello.
    pub fn hear(&mut self, said: Spoken, now: Instant) -> Shows {
        if self.last.front().is_some_and(|last| last.connection > said.connection) {
            return Shows::Late;
        }
        let named = |name: u64| name != 0 && name == said.before;
        match self.last.iter().position(|last| named(last.name)) {
            Some(0) => drop(self.last.pop_front()),
            Some(place) => {
                self.returns = self.returns.saturating_add(1);
                self.last.remove(place);
            }
            // Two follow the same Hello: a machine was copied with its memory.
            None if self.last.iter().any(|last| named(last.before)) => {
                self.returns = self.returns.saturating_add(1);
            }
            None if self.starts.take(now).is_some() => return Shows::TooOften,
            None => {}
        }
        self.last.push_front(said);
        self.last.truncate(MOST_THREADS);
        if self.returns < RETURNS { Shows::One } else { Shows::Two { places: self.places() } }
    }

    /// From where the threads that spoke last did, each place once.
    fn places(&self) -> Vec<IpAddr> {
        let mut places = Vec::new();
        for last in self.last.iter().take(2) {
            if !places.contains(&last.from) {
                places.push(last.from);
            }
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(connection: u64, name: u64, before: u64) -> Spoken {
        let from = IpAddr::from([127, 0, 0, u8::try_from(name / 100).unwrap_or(0)]);
        Spoken { name, before, from, connection }
    }

    /// Hellos by name and the one before; after which of them the device counts as a clone.
    fn told(hellos: &[(u64, u64)]) -> Vec<bool> {
        let now = Instant::now();
        let mut threads = Threads::new(now);
        let hellos = (1..).zip(hellos).map(|(connection, (name, before))| said(connection, *name, *before));
        hellos.map(|said| matches!(threads.hear(said, now), Shows::Two { .. })).collect()
    }

    #[test]
    fn one_agent_that_connects_and_starts_again_is_no_clone() {
        let connects = told(&[(101, 0), (102, 101), (103, 102), (104, 103)]);
        let starts = told(&[(101, 0), (102, 101), (201, 0), (202, 201), (301, 0), (302, 301)]);
        let lost = told(&[(101, 0), (103, 102), (105, 104), (107, 106)]);
        let nameless = told(&[(0, 0), (0, 0), (0, 0), (0, 0), (0, 0)]);
        for told in [connects, starts, lost, nameless] {
            assert!(!told.contains(&true), "{told:?}");
        }
    }

    #[test]
    fn two_agents_that_take_turns_are_a_clone_whatever_the_copy_says() {
        let disk = [(101, 0), (201, 0), (102, 101), (202, 201)];
        assert_eq!(told(&disk), [false, false, false, true]);
        let memory = [(101, 0), (201, 101), (102, 101), (202, 201)];
        assert_eq!(told(&memory), [false, false, false, true]);
        let silent = [(101, 0), (0, 0), (102, 101), (0, 0), (103, 102)];
        assert_eq!(told(&silent), [false, false, false, false, true]);
        let liar = [(101, 0), (201, 0), (102, 101), (301, 0), (103, 102)];
        assert_eq!(told(&liar), [false, false, false, false, true]);
    }

    #[test]
    fn both_places_are_named() {
        let now = Instant::now();
        let mut threads = Threads::new(now);
        for (connection, name, before) in [(1, 101, 0), (2, 201, 0), (3, 102, 101)] {
            assert_eq!(threads.hear(said(connection, name, before), now), Shows::One);
        }
        let places = vec![IpAddr::from([127, 0, 0, 2]), IpAddr::from([127, 0, 0, 1])];
        assert_eq!(threads.hear(said(4, 202, 201), now), Shows::Two { places });
    }

    #[test]
    fn the_last_words_of_an_agent_that_was_replaced_are_no_sign() {
        let now = Instant::now();
        let mut threads = Threads::new(now);
        assert_eq!(threads.hear(said(1, 101, 0), now), Shows::One);
        // Connection 2 was made first and is heard last.
        assert_eq!(threads.hear(said(3, 201, 0), now), Shows::One);
        assert_eq!(threads.hear(said(2, 102, 101), now), Shows::Late);
        for connection in 4..9 {
            let name = 198 + connection;
            assert_eq!(threads.hear(said(connection, name, name - 1), now), Shows::One);
        }
    }

    #[test]
    fn a_copy_cannot_make_the_server_forget_the_thread_of_the_one_it_copied() {
        let now = Instant::now();
        let (mut threads, mut connections) = (Threads::new(now), 1..);
        threads.hear(said(connections.next().unwrap(), 1, 0), now);
        for turn in 1..=2 {
            let now = now + Duration::from_secs(200) * u32::try_from(turn).unwrap();
            let mut hear = |name, before| threads.hear(said(connections.next().unwrap(), name, before), now);
            for start in 0..1_000 {
                hear(turn * 10_000 + start, 0);
            }
            assert_eq!(hear(turn + 20_000, 0), Shows::TooOften);
            let shows = hear(turn + 1, turn);
            assert_eq!(matches!(shows, Shows::Two { .. }), turn == 2);
        }
        assert!(threads.last.len() <= MOST_THREADS);
    }
}
