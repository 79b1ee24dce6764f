//! What it is to run something: events while it lasts, one ending, and a way to stop it.

use tokio::sync::mpsc;

mod output;
pub mod script;
pub mod service;

/// How many events wait for a slow reader, each at most [`CHUNK`] bytes.
pub const WAITING: usize = 16;

/// The longest piece of output in one event, in bytes.
pub const CHUNK: usize = 32 * 1024;

/// Which way a piece of output came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What happens in a run: any number of outputs, then one ending, then nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It wrote something.
    Output {
        /// Where to.
        stream: Stream,
        /// 1 to [`CHUNK`] bytes.
        bytes: Vec<u8>,
    },
    /// It is over: no program of the run is alive.
    Ended(Ending),
}

/// How a run came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// By itself, with this code.
    Exit(i32),
    /// By this signal, which the agent did not send.
    Signal(i32),
    /// Its time was up.
    TimedOut,
    /// It was stopped; the reason is for people.
    Killed(String),
    /// By itself, and not well; the sentence says why.
    Failed(String),
    /// It never began; the sentence says why.
    NotStarted(String),
}

/// The facts of a run that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// How it ended.
    pub how: How,
    /// SHA-256 of all bytes of its [`Event::Output`]s, in their order.
    pub output_sha256: [u8; 32],
    /// How many bytes these are.
    pub output_bytes_kept: u64,
    /// How many bytes it wrote beyond its cap, or while nobody took its output.
    pub output_bytes_dropped: u64,
    /// From its start until no program of it was alive, in milliseconds, not counting the machine's sleep.
    pub duration_ms: u64,
}

/// A run under way. Dropping the events kills it.
#[derive(Debug)]
pub struct Running {
    /// What happens; [`Event::Ended`] is the last.
    pub events: mpsc::Receiver<Event>,
    /// Stops it.
    pub kill: Kill,
}

/// Stops one run; any clone will do.
#[derive(Clone, Debug)]
pub struct Kill(mpsc::Sender<String>);

impl Kill {
    /// Kills every program of the run within a second. The first reason given stands; a run that is over stays so.
    pub fn kill(&self, reason: impl Into<String>) {
        // Full or closed: an earlier reason stands, or the run is over.
        let _ = self.0.try_send(reason.into());
    }
}
