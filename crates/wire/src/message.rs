//! The messages between agent and server, as protobuf. Field numbers are never reused.
//!
//! Statements, notes and proofs travel as the texts that are signed; nothing signed is re-encoded.

use std::collections::BTreeSet;

use countersign_trust::checkpoint::Proof;
use countersign_trust::clear::AnsweredClear;
use countersign_trust::delivery::{self, News, TargetProof};
use countersign_trust::device::Acknowledged as Shown;
use countersign_trust::envelope::Logged;
use countersign_trust::ids::Sha256;
use countersign_trust::note::Note;
use prost::{Message, Oneof};

/// From an agent to its server.
#[derive(Clone, PartialEq, Message)]
pub struct FromAgent {
    /// Which message.
    #[prost(oneof = "from_agent::What", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub what: Option<from_agent::What>,
}

/// Messages of an agent.
pub mod from_agent {
    use super::*;

    /// Which message.
    #[derive(Clone, PartialEq, Oneof)]
    pub enum What {
        /// First on a connection of an enrolled device.
        #[prost(message, tag = "1")]
        Hello(Hello),
        /// A challenge to be answered by Clears.
        #[prost(message, tag = "2")]
        Challenge(Challenge),
        /// Output of a step.
        #[prost(message, tag = "3")]
        Output(StepOutput),
        /// A receipt.
        #[prost(message, tag = "4")]
        Receipt(Receipt),
        /// First on a connection of a device that is to be enrolled.
        #[prost(message, tag = "5")]
        Join(Join),
        /// Which halts stop something here.
        #[prost(message, tag = "6")]
        Halted(Halted),
        /// What became of a file that nobody should touch.
        #[prost(message, tag = "7")]
        Canary(Canary),
    }
}

/// Who the agent is and what it holds. The device is the one whose key made the TLS certificate.
#[derive(Clone, PartialEq, Message)]
pub struct Hello {
    /// Its version, such as `0.1.0`.
    #[prost(string, tag = "1")]
    pub version: String,
    /// Its organization, printed.
    #[prost(string, tag = "2")]
    pub org: String,
    /// The number of the newest policy it holds.
    #[prost(uint64, tag = "3")]
    pub policy_number: u64,
    /// Hashes of the resumes and halts it holds, printed.
    #[prost(string, repeated, tag = "4")]
    pub holds: Vec<String>,
    /// What the machine calls itself. Never believed, only shown.
    #[prost(string, tag = "5")]
    pub hostname: String,
    /// Its operating system, in words. Only shown.
    #[prost(string, tag = "6")]
    pub system: String,
    /// This Hello's name: random, and 0 if it has none.
    #[prost(fixed64, tag = "7")]
    pub name: u64,
    /// The name of the Hello that this agent said before it; 0 if this is its first since it started. So the Hellos of one
    /// agent are a thread, and two agents with one key are two threads.
    #[prost(fixed64, tag = "8")]
    pub before: u64,
    /// The hash of the enrollment it holds, printed; empty if it does not say.
    #[prost(string, tag = "9")]
    pub enroll: String,
}

/// 32 random bytes.
#[derive(Clone, PartialEq, Message)]
pub struct Challenge {
    /// The bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub random: Vec<u8>,
}

/// A piece of a step's output, as it comes.
#[derive(Clone, PartialEq, Message)]
pub struct StepOutput {
    /// The job's hash, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub job: Vec<u8>,
    /// Which occurrence, counted from 0.
    #[prost(uint64, tag = "2")]
    pub occurrence: u64,
    /// Which step, counted from 0.
    #[prost(uint64, tag = "3")]
    pub step: u64,
    /// 1 standard output, 2 standard error.
    #[prost(uint32, tag = "4")]
    pub stream: u32,
    /// The place of the first byte in the output of both streams.
    #[prost(uint64, tag = "5")]
    pub offset: u64,
    /// The bytes, at most 32 KiB.
    #[prost(bytes = "vec", tag = "6")]
    pub bytes: Vec<u8>,
}

/// A receipt.
#[derive(Clone, PartialEq, Message)]
pub struct Receipt {
    /// The signed note.
    #[prost(string, tag = "1")]
    pub note: String,
}

/// The wish to join a batch.
#[derive(Clone, PartialEq, Message)]
pub struct Join {
    /// The note, signed by the token's key and the device's.
    #[prost(string, tag = "1")]
    pub note: String,
}

/// The halts that stop something on the device, all of them: they are on its disk. Said after each Hello, unless there are none, and
/// whenever it has changed. Not signed: the server's word is all that anybody else has of it.
#[derive(Clone, PartialEq, Message)]
pub struct Halted {
    /// Their hashes, 32 bytes each, at most [`Halted::MOST`].
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub halts: Vec<Vec<u8>>,
}

impl Halted {
    /// How many halts are named at most. Where more than 64 are active no beacon signs, and nothing starts.
    pub const MOST: usize = 256;

    /// Says so of these, or of the first of them.
    pub fn by(halts: impl IntoIterator<Item = Sha256>) -> Self {
        Self { halts: halts.into_iter().take(Self::MOST).map(|hash| hash.0.to_vec()).collect() }
    }

    /// Which they are.
    ///
    /// # Errors
    /// One is no hash, or they are too many.
    pub fn hashes(&self) -> Result<BTreeSet<Sha256>, ContentError> {
        if self.halts.len() > Self::MOST {
            let why = format!("{} of them, at most {} are read", self.halts.len(), Self::MOST);
            return Err(ContentError { what: "halts", why });
        }
        Ok(hashes(&self.halts)?.into_iter().collect())
    }
}

/// That a file which nobody should touch has changed or is gone.
#[derive(Clone, PartialEq, Message)]
pub struct Canary {
    /// The signed note.
    #[prost(string, tag = "1")]
    pub note: String,
}

/// From a server to an agent.
#[derive(Clone, PartialEq, Message)]
pub struct FromServer {
    /// Which message.
    #[prost(oneof = "from_server::What", tags = "1, 2, 3, 4, 5, 6")]
    pub what: Option<from_server::What>,
}

/// Messages of a server.
pub mod from_server {
    use super::*;

    /// Which message.
    #[derive(Clone, PartialEq, Oneof)]
    pub enum What {
        /// A job.
        #[prost(message, tag = "1")]
        Delivery(Delivery),
        /// Policies, resumes, halts, and the device's own later enrollments.
        #[prost(message, tag = "2")]
        News(NewsTexts),
        /// Receipts that stand in the log.
        #[prost(message, tag = "3")]
        Acknowledged(Acknowledged),
        /// The answer to a join.
        #[prost(message, tag = "4")]
        Joined(Joined),
        /// Why the server closes this connection, in words.
        #[prost(message, tag = "5")]
        Sorry(Sorry),
        /// A canary's note was written down.
        #[prost(message, tag = "6")]
        Kept(CanaryKept),
    }
}

/// A job on its way.
#[derive(Clone, PartialEq, Message)]
pub struct Delivery {
    /// The job's envelope with its proof.
    #[prost(string, tag = "1")]
    pub job: String,
    /// Envelopes of policies, resumes and halts, in order.
    #[prost(string, repeated, tag = "2")]
    pub news: Vec<String>,
    /// Clears.
    #[prost(message, repeated, tag = "3")]
    pub clears: Vec<Clear>,
    /// The device's place among the targets.
    #[prost(message, optional, tag = "4")]
    pub target: Option<Target>,
    /// Envelopes of the job's advances with their proofs.
    #[prost(string, repeated, tag = "5")]
    pub advances: Vec<String>,
}

/// A Clear and the place of the device's challenge in what it answers.
#[derive(Clone, PartialEq, Message)]
pub struct Clear {
    /// The beacon's note.
    #[prost(string, tag = "1")]
    pub note: String,
    /// Which leaf.
    #[prost(uint64, tag = "2")]
    pub index: u64,
    /// Of how many.
    #[prost(uint64, tag = "3")]
    pub size: u64,
    /// Hashes of 32 bytes.
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub path: Vec<Vec<u8>>,
}

/// A place among a job's targets.
#[derive(Clone, PartialEq, Message)]
pub struct Target {
    /// Which of the sorted ids.
    #[prost(uint64, tag = "1")]
    pub index: u64,
    /// Hashes of 32 bytes.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub path: Vec<Vec<u8>>,
}

/// Policies, resumes and halts, and later enrollments of the device that is told.
#[derive(Clone, PartialEq, Message)]
pub struct NewsTexts {
    /// Envelopes, in order.
    #[prost(string, repeated, tag = "1")]
    pub envelopes: Vec<String>,
}

/// A receipt's place in a batch, and the batch's in the log.
#[derive(Clone, PartialEq, Message)]
pub struct Acknowledged {
    /// The receipt's number.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// Which leaf of the batch.
    #[prost(uint64, tag = "2")]
    pub index: u64,
    /// Of how many.
    #[prost(uint64, tag = "3")]
    pub size: u64,
    /// Hashes of 32 bytes.
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub path: Vec<Vec<u8>>,
    /// The batch's root, 32 bytes.
    #[prost(bytes = "vec", tag = "5")]
    pub root: Vec<u8>,
    /// The `tlog-proof` of the batch.
    #[prost(string, tag = "6")]
    pub proof: String,
}

/// Everything a device needs to know that it has joined.
#[derive(Clone, PartialEq, Message)]
pub struct Joined {
    /// The genesis policy's envelope with its proof, then all news, in order; behind it belongs the news of the messages before
    /// this one, if any came.
    #[prost(string, repeated, tag = "1")]
    pub chain: Vec<String>,
    /// The batch's envelope with its proof.
    #[prost(string, tag = "2")]
    pub enroll: String,
    /// The `tlog-proof` of the join.
    #[prost(string, tag = "3")]
    pub proof: String,
}

/// That a note about a canary stands in the server's records.
#[derive(Clone, PartialEq, Message)]
pub struct CanaryKept {
    /// SHA-256 of its text, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub hash: Vec<u8>,
}

/// A refusal to talk.
#[derive(Clone, PartialEq, Message)]
pub struct Sorry {
    /// Why, and what to do.
    #[prost(string, tag = "1")]
    pub why: String,
}

/// Why a message does not carry what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct ContentError {
    /// Which part.
    pub what: &'static str,
    /// What is wrong with it.
    pub why: String,
}

fn bad(what: &'static str) -> impl Fn(&dyn std::fmt::Display) -> ContentError {
    move |why| ContentError { what, why: why.to_string() }
}

fn hashes(path: &[Vec<u8>]) -> Result<Vec<Sha256>, ContentError> {
    path.iter().map(|bytes| hash(bytes)).collect()
}

fn hash(bytes: &[u8]) -> Result<Sha256, ContentError> {
    bytes.try_into().map(Sha256).map_err(|error| bad("a hash")(&error))
}

fn bytes(path: &[Sha256]) -> Vec<Vec<u8>> {
    path.iter().map(|hash| hash.0.to_vec()).collect()
}

impl From<&delivery::Delivery> for Delivery {
    fn from(delivery: &delivery::Delivery) -> Self {
        let clear = |answer: &AnsweredClear| Clear {
            note: answer.clear.to_string(),
            index: answer.index,
            size: answer.size,
            path: bytes(&answer.path),
        };
        let target = |proof: &TargetProof| Target { index: proof.index, path: bytes(&proof.path) };
        Self {
            job: delivery.job.to_string(),
            news: delivery.news.iter().map(ToString::to_string).collect(),
            clears: delivery.clears.iter().map(clear).collect(),
            target: delivery.target.as_ref().map(target),
            advances: delivery.advances.iter().map(ToString::to_string).collect(),
        }
    }
}

impl TryFrom<&Delivery> for delivery::Delivery {
    type Error = ContentError;
    fn try_from(message: &Delivery) -> Result<Self, ContentError> {
        Ok(Self {
            job: Logged::from_text(&message.job).map_err(|error| bad("the job")(&error))?,
            news: message.news.iter().map(|text| read_news(text)).collect::<Result<_, _>>()?,
            clears: message.clears.iter().map(AnsweredClear::try_from).collect::<Result<_, _>>()?,
            target: message.target.as_ref().map(TargetProof::try_from).transpose()?,
            advances: message.advances.iter().map(|text| read_advance(text)).collect::<Result<_, _>>()?,
        })
    }
}

fn read_advance(text: &str) -> Result<Logged, ContentError> {
    Logged::from_text(text).map_err(|error| bad("an advance")(&error))
}

/// Reads an envelope of a policy, resume, halt or enrollment.
///
/// # Errors
/// It is none.
pub fn read_news(text: &str) -> Result<News, ContentError> {
    News::from_text(text).map_err(|error| bad("news")(&error))
}

impl TryFrom<&Clear> for AnsweredClear {
    type Error = ContentError;
    fn try_from(message: &Clear) -> Result<Self, ContentError> {
        let clear: Note = message.note.parse().map_err(|error| bad("a Clear")(&error))?;
        Ok(Self { clear, index: message.index, size: message.size, path: hashes(&message.path)? })
    }
}

impl TryFrom<&Target> for TargetProof {
    type Error = ContentError;
    fn try_from(message: &Target) -> Result<Self, ContentError> {
        Ok(Self { index: message.index, path: hashes(&message.path)? })
    }
}

impl From<&Shown> for Acknowledged {
    fn from(shown: &Shown) -> Self {
        Self {
            number: shown.number,
            index: shown.index,
            size: shown.size,
            path: bytes(&shown.path),
            root: shown.root.0.to_vec(),
            proof: shown.proof.to_string(),
        }
    }
}

impl TryFrom<Acknowledged> for Shown {
    type Error = ContentError;
    fn try_from(message: Acknowledged) -> Result<Self, ContentError> {
        let proof: Proof = message.proof.parse().map_err(|error| bad("a proof")(&error))?;
        Ok(Self {
            number: message.number,
            index: message.index,
            size: message.size,
            path: hashes(&message.path)?,
            root: hash(&message.root)?,
            proof,
        })
    }
}
