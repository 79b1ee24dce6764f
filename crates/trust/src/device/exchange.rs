//! What a device hears and what it wants done: all that passes between it and the program around it.
//!
//! Source: docs/spec/6-acceptance.md, "Order on disk", and docs/spec/8-interfaces.md, "Agent connection".

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::checkpoint::Proof;
use crate::clear::AnsweredClear;
use crate::delivery::{Delivery, News};
use crate::ids::Sha256;
use crate::ledger::{Record, StepKey, StepState};
use crate::note::Note;
use crate::time::{Reading, Time};
use crate::verify::{Refusal, VerifiedJob};

/// A moment: what the clocks say, and 32 random bytes that nobody has seen.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The clocks.
    pub now: Reading,
    /// Fresh randomness: it becomes a challenge if one is due.
    pub random: [u8; 32],
}

/// What a device hears.
#[derive(Debug)]
pub enum Input {
    /// It came up: comes once, first.
    Started,
    /// The server answers.
    Connected,
    /// The server is gone.
    Disconnected,
    /// Some time passed; comes every second or so.
    Tick,
    /// The server brought a job.
    Delivered(Box<Delivery>),
    /// The server brought a delivery that cannot be read, for this reason, and beside it news that can.
    Unreadable(String, Vec<News>),
    /// Anybody brought policies, resumes or halts.
    News(Vec<News>),
    /// Beacons answered directly.
    Clears(Vec<AnsweredClear>),
    /// A step came to its end.
    Ended(StepKey, Ending),
    /// Somebody shows that a receipt stands in the log.
    Acknowledged(Box<Acknowledged>),
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Whether the next step may follow.
    pub well: bool,
    /// In words: `exit 0`, `signal 9`, `timeout`, `halted`.
    pub how: String,
    /// SHA-256 of the output that was kept.
    pub output: Sha256,
    /// Bytes kept.
    pub kept: u64,
    /// Bytes beyond the cap.
    pub dropped: u64,
}

/// The place of a receipt in a batch whose root is a leaf of the log.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// The receipt's number.
    pub number: u64,
    /// Which leaf of the batch.
    pub index: u64,
    /// How many leaves the batch has.
    pub size: u64,
    /// From the leaf's sibling upwards.
    pub path: Vec<Sha256>,
    /// The batch's root.
    pub root: Sha256,
    /// Where the batch stands in the log.
    pub proof: Proof,
}

/// What a device wants done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Append these to the disk and sync, before anything that follows.
    Persist(Vec<Record>),
    /// Leave this challenge with the server.
    LeaveChallenge([u8; 32]),
    /// Send this receipt.
    SendReceipt(Note),
    /// Ask every beacon for a Clear that answers this challenge, a tree of one leaf.
    AskBeacons([u8; 32]),
    /// Run this.
    Run(Box<VerifiedJob>),
    /// Kill this and all it started.
    Kill(StepKey, Refusal),
    /// Keep this as evidence, where there is room for it. Nothing depends on it, and it may be lost.
    Keep(Keep),
}

/// What a device keeps so that, with the server's records wiped, people can still prove what happened.
#[derive(Clone, Debug)]
pub enum Keep {
    /// What it was brought and how it judged that.
    Judged(Box<Judged>),
    /// A receipt that it was shown in the log.
    Logged(Note, Box<Acknowledged>),
}

/// A delivery, and everything by which it was judged.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The number of the receipt that says how.
    pub number: u64,
    /// Whether it was accepted.
    pub accepted: bool,
    /// The earliest it can have been.
    pub time: Time,
    /// The job, the place among its targets, its advances. No news, no Clears: what counted of them follows.
    pub delivery: Delivery,
    /// The Clears that were held, if any were enough since the device started.
    pub clears: Option<HeldClears>,
    /// The clocks when it was judged.
    pub now: Reading,
    /// The lower bound of the time that was remembered.
    pub floor: Time,
    /// The agent's version.
    pub version: String,
    /// How many steps were running.
    pub running: usize,
    /// How many receipts waited.
    pub receipts: usize,
    /// Whether the disk was full.
    pub disk_full: bool,
    /// Steps of this job that had been accepted before: occurrence, number, and how it stood with each.
    pub steps: Vec<(u64, u64, StepState)>,
    /// The newest policy held.
    pub policy: Sha256,
    /// The newest resume held.
    pub resume: Option<Sha256>,
    /// The halts that were active.
    pub halts: Vec<Sha256>,
}

/// Clears as they came.
#[derive(Clone, Debug)]
pub struct HeldClears {
    /// The challenge that they answer.
    pub challenge: [u8; 32],
    /// When it was drawn.
    pub drawn: Reading,
    /// When they came.
    pub arrived: Reading,
    /// One of each beacon.
    pub answers: Vec<AnsweredClear>,
}
