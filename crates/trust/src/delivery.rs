//! What a server brings: a job with everything a device needs to judge it by itself.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::chain::{Chain, ChainError, Held, Inclusion, RECOVERED, Taken};
use crate::clear::AnsweredClear;
use crate::envelope::{EnvelopeError, Logged, Signed};
use crate::ids::Sha256;
use crate::ledger::LedgerError;
use crate::note::{Note, NoteError};
use crate::sshwire::{Reader, Writer};
use crate::statement::Kind;
use crate::statement::job::{Job, Targets};
use crate::statement::policy::Policy;

/// A job on its way to one device. As a folder it is the evidence bundle.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The job, its signatures and its proof.
    pub job: Logged,
    /// Policies, resumes and halts the device may not have, in the order of what they name.
    pub news: Vec<News>,
    /// Clears that answer the device's own challenge.
    pub clears: Vec<AnsweredClear>,
    /// Where the device stands in the job's list of targets; none for targets by label.
    pub target: Option<TargetProof>,
    /// What sets its later waves free.
    pub advances: Vec<Logged>,
}

impl Delivery {
    /// What it takes to judge the job again later: its place among the targets, and the `advance` that counted. News have been taken,
    /// Clears age, and what counted for nothing fills nobody's disk.
    pub fn to_keep(&self, job: &Job, advance: Option<&Logged>) -> Self {
        let by_list = matches!(job.targets, Targets::List(_));
        let bare = |logged: &Logged| {
            let mut logged = logged.clone();
            logged.proof.extra = None;
            logged
        };
        Self {
            job: bare(&self.job),
            news: Vec::new(),
            clears: Vec::new(),
            target: self.target.clone().filter(|_| by_list),
            advances: advance.map(bare).into_iter().collect(),
        }
    }

    /// Writes down what [`Delivery::to_keep`] keeps.
    pub(crate) fn encode(&self, to: &mut Writer) {
        to.string(self.job.to_string().as_bytes());
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        to.byte(u8::from(self.target.is_some()));
        if let Some(TargetProof { index, path }) = &self.target {
            to.u64(*index).u32(count(path.len()));
            for hash in path {
                to.raw(&hash.0);
            }
        }
        to.u32(count(self.advances.len()));
        for advance in &self.advances {
            to.string(advance.to_string().as_bytes());
        }
    }

    /// Reads what [`Delivery::encode`] wrote.
    pub(crate) fn decode(from: &mut Reader<'_>) -> Result<Self, LedgerError> {
        let job = Logged::from_text(from.text()?)?;
        let target = match from.byte()? {
            0 => None,
            1 => {
                let (index, length) = (from.u64()?, from.u32()?);
                let path = (0..length).map(|_| from.array().map(Sha256)).collect::<Result<_, _>>()?;
                Some(TargetProof { index, path })
            }
            other => return Err(LedgerError::Form(other)),
        };
        let mut advances = Vec::new();
        for _ in 0..from.u32()? {
            advances.push(Logged::from_text(from.text()?)?);
        }
        Ok(Self { job, news: Vec::new(), clears: Vec::new(), target, advances })
    }
}

/// The place of a device's id in the tree of a job's targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetProof {
    /// Which of the sorted ids.
    pub index: u64,
    /// From the leaf's sibling upwards.
    pub path: Vec<Sha256>,
}

/// A statement that changes what a device holds, whoever brings it.
#[derive(Clone, Debug)]
pub enum News {
    /// A policy.
    Policy(Logged),
    /// A resume.
    Resume(Logged),
    /// A halt: obeyed on sight, so it needs no proof.
    Halt(Signed),
    /// Another enrollment of the device it is brought to, or its end. Speaks to that device alone, so no chain takes it.
    Enroll(Logged),
    /// Beacons' word that a policy of the recovery set has waited its time: no statement, and in no log.
    Recovered(Note),
}

/// Why an envelope is no news.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NewsError {
    /// No envelope.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// A beacon's word that is no note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A kind that changes nothing a device holds.
    #[error("a {0} is neither policy, resume, halt nor enrollment")]
    Kind(Kind),
}

impl News {
    /// Reads an envelope, whose signatures' namespace says which it is, or a beacon's note.
    pub fn from_text(text: &str) -> Result<Self, NewsError> {
        if text.lines().next() == Some(RECOVERED) {
            return Ok(Self::Recovered(text.parse()?));
        }
        match Logged::from_text(text) {
            Ok(logged) => match logged.signed.kind()? {
                Kind::Policy => Ok(Self::Policy(logged)),
                Kind::Resume => Ok(Self::Resume(logged)),
                Kind::Halt => Ok(Self::Halt(logged.signed)),
                Kind::Enroll => Ok(Self::Enroll(logged)),
                other => Err(NewsError::Kind(other)),
            },
            Err(error) => match Signed::from_text(text)? {
                signed if signed.kind()? == Kind::Halt => Ok(Self::Halt(signed)),
                _ => Err(error.into()),
            },
        }
    }

    /// Offers it to a chain.
    pub fn offer(&self, chain: &mut Chain) -> Result<Taken, ChainError> {
        match self {
            Self::Policy(Logged { signed, proof }) => chain.take_policy(signed, Inclusion::Proved(proof)),
            Self::Resume(Logged { signed, proof }) => chain.take_resume(signed, proof),
            Self::Halt(signed) => chain.take_halt(signed),
            Self::Recovered(note) => chain.take_recovered(note),
            Self::Enroll(_) => Err(ChainError::Kind { expected: Kind::Policy, found: Kind::Enroll }),
        }
    }

    /// Everything in `chain` that one who holds its policies up to `after` has not got: policies with the words that put them in
    /// force, resumes, halts, and what waits. Parts without a proof, which only a witness has, are left out.
    ///
    /// Taken in this order all of it is taken: what is held is judged by the policies held, whichever came first.
    pub fn since(chain: &Chain, after: u64) -> Vec<Self> {
        let policy = |held: &Held<Policy>| {
            let policy = logged(held).map(Self::Policy);
            let words = chain.words(&held.hash).cloned().map(Self::Recovered);
            policy.into_iter().chain(words).collect::<Vec<_>>()
        };
        let later = chain.policies().iter().filter(|held| held.body.number > after);
        let mut news: Vec<Self> = later.flat_map(policy).collect();
        news.extend(chain.resumes().iter().filter_map(logged).map(Self::Resume));
        news.extend(chain.halts().map(|halt| Self::Halt(halt.signed.clone())));
        news.extend(chain.waiting().iter().flat_map(policy));
        news
    }

    /// The hash of the statement, or of the note with its signatures.
    pub fn hash(&self) -> Sha256 {
        match self {
            Self::Recovered(note) => Sha256::of(note.to_string().as_bytes()),
            Self::Policy(logged) | Self::Resume(logged) | Self::Enroll(logged) => logged.signed.hash(),
            Self::Halt(signed) => signed.hash(),
        }
    }
}

fn logged<T>(held: &Held<T>) -> Option<Logged> {
    held.proof.as_ref().map(|proof| Logged { signed: held.signed.clone(), proof: proof.clone() })
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(logged) | Self::Resume(logged) | Self::Enroll(logged) => logged.fmt(f),
            Self::Halt(signed) => signed.fmt(f),
            Self::Recovered(note) => note.fmt(f),
        }
    }
}

/// Several envelopes as one text, each after a line that gives its length in bytes.
///
/// Source: docs/spec/8-interfaces.md, "Sequence of envelopes".
pub fn write_sequence<T: fmt::Display>(items: &[T]) -> String {
    let mut text = String::new();
    for item in items {
        let item = item.to_string();
        text.push_str(&alloc::format!("envelope {}\n{item}", item.len()));
    }
    text
}

/// Splits what [`write_sequence`] joined; none if it is malformed.
pub fn read_sequence(mut text: &str) -> Option<Vec<&str>> {
    let mut items = Vec::new();
    while !text.is_empty() {
        let (head, rest) = text.split_once('\n')?;
        let length = head.strip_prefix("envelope ")?;
        let bytes = length.parse::<usize>().ok().filter(|bytes| bytes.to_string() == length)?;
        let (item, tail) = rest.split_at_checked(bytes)?;
        items.push(item);
        text = tail;
    }
    Some(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_cut_in_one_way() {
        assert_eq!(write_sequence(&["a\n", ""]), "envelope 2\na\nenvelope 0\n");
        assert_eq!(read_sequence("envelope 2\na\nenvelope 0\n"), Some(Vec::from(["a\n", ""])));
        for bad in
            ["envelope +2\na\n", "envelope 02\na\n", "envelope 3\na\n", "envelope 1\nå\n", "envelope 2\na"]
        {
            assert_eq!(read_sequence(bad), None, "{bad}");
        }
    }
}
