//! Letters between the parts, and the hand that every letter passes through.

use std::collections::BTreeMap;

use countersign_trust::device::Ending;
use countersign_trust::ids::Sha256;
use countersign_trust::ledger::StepKey;
use countersign_wire::frame;
use countersign_wire::message::{FromAgent, FromServer, from_agent, from_server};

/// One end of a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// A machine's agent.
    Machine(usize),
    /// The server.
    Server,
    /// A beacon.
    Beacon(usize),
    /// Operators at their own computers.
    People,
}

/// What is in a letter.
#[derive(Clone, Debug)]
pub enum Parcel {
    /// An agent reaches the server: it begins with its `Hello`.
    Up(Vec<u8>),
    /// A frame between agent and server, as bytes.
    Frame(Vec<u8>),
    /// To a beacon: answer this root.
    Question(Sha256),
    /// From a beacon: its Clear, and what the asker lacks as a sequence of envelopes.
    Clear {
        /// The root that was asked about.
        root: Sha256,
        /// The Clear's note.
        note: String,
        /// What an agent that is behind lacks.
        news: String,
    },
    /// To a beacon or the server: a sequence of envelopes.
    News(String),
    /// To a beacon: a halt to be acknowledged.
    Halt(String),
    /// From a beacon: that it has the halt on its disk.
    Acknowledgement(String),
    /// On a machine itself: a step ends.
    Ends {
        /// In which boot it began.
        boot: u64,
        /// Which.
        key: StepKey,
        /// How.
        ending: Ending,
    },
}

impl Parcel {
    /// An agent's message as a frame.
    pub fn of_agent(what: from_agent::What) -> Self {
        Self::Frame(frame::encode(&FromAgent { what: Some(what) }))
    }

    /// A server's message as a frame.
    pub fn of_server(what: from_server::What) -> Self {
        Self::Frame(frame::encode(&FromServer { what: Some(what) }))
    }
}

/// Something on a wire.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Who sent it.
    pub from: Who,
    /// Whom it is for.
    pub to: Who,
    /// What is in it.
    pub parcel: Parcel,
}

/// What comes out of a wire for a letter that went in, and how many milliseconds later than usual: nothing, the letter, the
/// letter twice, another letter, or the letter at somebody else's door.
pub type Hand = Box<dyn FnMut(Letter) -> Vec<(u64, Letter)>>;

/// A hand that lets everything through.
pub fn honest() -> Hand {
    Box::new(|letter| vec![(0, letter)])
}

/// A hand that keeps every letter of which this is true.
pub fn keeping(kept: impl Fn(&Letter) -> bool + 'static) -> Hand {
    Box::new(move |letter| if kept(&letter) { Vec::new() } else { vec![(0, letter)] })
}

/// Letters on their way, by the time at which they arrive.
#[derive(Debug, Default)]
pub struct Wires {
    on_the_way: BTreeMap<(u64, u64), Letter>,
    count: u64,
}

impl Wires {
    /// Puts a letter in.
    pub fn put(&mut self, due_ms: u64, letter: Letter) {
        self.count += 1;
        self.on_the_way.insert((due_ms, self.count), letter);
    }

    /// When the next one arrives.
    pub fn next_due(&self) -> Option<u64> {
        self.on_the_way.first_key_value().map(|((due, _), _)| *due)
    }

    /// The next one.
    pub fn take(&mut self) -> Option<Letter> {
        self.on_the_way.pop_first().map(|(_, letter)| letter)
    }
}
