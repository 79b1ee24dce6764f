//! What a device must remember, as a list of records that is only appended to.
//!
//! The device's state is what replaying its records gives. A record is on disk before the effect it speaks of, so a
//! power cut at any moment leaves a state from which nothing runs twice and nothing ran without a receipt.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::chain::{Chain, ChainError, Inclusion, Taken};
use crate::checkpoint::Proof;
use crate::delivery::{Delivery, News, NewsError};
use crate::envelope::{EnvelopeError, Logged};
use crate::ids::{OrgId, Sha256};
use crate::join::{EnrollError, Enrolled, enrolled_anew, enrolled_by_join, enrolled_directly, retired};
use crate::lines::LinesError;
use crate::note::Note;
use crate::receipt::Receipt;
use crate::sshwire::{Reader, WireError, Writer};
use crate::time::Time;

/// One thing to remember.
#[derive(Clone, Debug)]
pub enum Record {
    /// The device belongs to this organization, which begins with this policy. Comes first.
    Began {
        /// The organization.
        org: OrgId,
        /// Its genesis policy.
        genesis: Logged,
    },
    /// A policy, resume or halt was taken, or beacons' word for a policy of the recovery set.
    News(News),
    /// The device is enrolled.
    Enrolled {
        /// By this statement.
        enroll: Logged,
        /// And this join with its proof, if the statement is a batch.
        join: Option<(Note, Proof)>,
    },
    /// The device has left the organization, by this statement.
    Retired(Logged),
    /// A job that repeats was accepted and is kept, to be judged again at each occurrence; or came again with what counts where what
    /// is kept counts no more.
    Standing(Box<Delivery>),
    /// A job that repeats is over.
    Over(Sha256),
    /// It has certainly been this late.
    Floor(Time),
    /// A step was accepted or came to its end, or is only remembered so that it never runs again.
    Step {
        /// Which.
        key: StepKey,
        /// How it stands.
        state: StepState,
        /// When it may be forgotten: one day after this.
        not_after: Time,
        /// What was said of it; none after the ledger was rewritten.
        receipt: Option<Note>,
    },
    /// A receipt that speaks of no step.
    Receipt(Note),
    /// All receipts up to this number stand in the log, witnessed.
    Acknowledged(u64),
    /// The device was enrolled by this statement, which holds no more, and by none since.
    Was(Sha256),
    /// The newest receipt's number and hash, after the ledger was rewritten.
    Head {
        /// Its number.
        number: u64,
        /// The hash of its text.
        hash: Sha256,
    },
}

/// A step of a job, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StepKey {
    /// The job's hash.
    pub job: Sha256,
    /// Which occurrence, counted from 0.
    pub occurrence: u64,
    /// Which step, counted from 0.
    pub step: u64,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// It was accepted and may be running.
    Started,
    /// It ended well, so the next may follow.
    EndedWell,
    /// It ended otherwise.
    Failed,
}

/// Why records do not make a ledger: the disk holds what this program never wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// A record of no known form.
    #[error("record of unknown form {0}")]
    Form(u8),
    /// A record that breaks off.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A text that is no envelope.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// A text that is no news.
    #[error(transparent)]
    News(#[from] NewsError),
    /// A note or proof that cannot be read.
    #[error("{0}")]
    Note(String),
    /// A receipt that cannot be read.
    #[error("a receipt: {0}")]
    Receipt(#[from] LinesError),
    /// A statement that the chain does not take.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// An enrollment that does not hold.
    #[error(transparent)]
    Enroll(#[from] EnrollError),
    /// A record that needs one that is not there.
    #[error("the first record is not the organization's beginning")]
    NoBeginning,
}

/// How long a step is remembered after its job can no longer run, in seconds.
const REMEMBER_S: u64 = 86_400;

/// Everything a device remembers.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    chain: Option<Chain>,
    enrolled: Option<Enrolled>,
    /// By which statement it was enrolled, if that holds no more: it still has to say what became of what ran.
    was: Option<Sha256>,
    /// What made these two, in the order in which it was taken in: what counts may depend on what was known by then.
    decisions: Vec<Record>,
    retired: Option<Sha256>,
    standing: BTreeMap<Sha256, Box<Delivery>>,
    floor: Time,
    steps: BTreeMap<StepKey, (StepState, Time)>,
    receipts: BTreeMap<u64, Note>,
    head: Option<(u64, Sha256)>,
    acknowledged: u64,
}

impl Ledger {
    /// Takes one more record in.
    pub fn apply(&mut self, record: &Record) -> Result<(), LedgerError> {
        match record {
            Record::Began { org, genesis } => {
                self.chain = Some(Chain::begin(*org, &genesis.signed, Inclusion::Proved(&genesis.proof))?);
                self.decisions.push(record.clone());
            }
            Record::News(news) => drop(self.learn(news)?),
            Record::Enrolled { enroll, join } => {
                let chain = self.chain.as_ref().ok_or(LedgerError::NoBeginning)?;
                self.retired.map_or(Ok(()), |by| Err(EnrollError::Retired(by)))?;
                self.enrolled = Some(enrolled(chain, self.enrolled.as_ref(), enroll, join.as_ref())?);
                self.was = None;
                self.decisions.push(record.clone());
            }
            Record::Retired(enroll) => {
                let chain = self.chain.as_ref().ok_or(LedgerError::NoBeginning)?;
                let held = self.enrolled.as_ref().ok_or(LedgerError::NoBeginning)?;
                self.retired = Some(retired(chain, held, enroll)?);
                self.decisions.push(record.clone());
            }
            Record::Standing(delivery) => {
                self.standing.insert(delivery.job.signed.hash(), delivery.clone());
            }
            Record::Over(job) => {
                self.standing.remove(job);
            }
            Record::Floor(time) => self.floor = self.floor.max(*time),
            Record::Step { key, state, not_after, receipt } => {
                self.forget_earlier_occurrences(key);
                self.steps.insert(*key, (*state, *not_after));
                receipt.as_ref().map_or(Ok(()), |note| self.keep_receipt(note))?;
            }
            Record::Receipt(note) => self.keep_receipt(note)?,
            Record::Acknowledged(through) => {
                self.acknowledged = self.acknowledged.max(*through);
                self.receipts.retain(|number, _| number > through);
            }
            Record::Was(enroll) => self.was = Some(*enroll),
            Record::Head { number, hash } => self.head = Some((*number, *hash)),
        }
        Ok(())
    }

    /// Takes in what changes the chain, and says what of it is to be written down; none if it was known.
    ///
    /// # Errors
    /// The chain does not take it, and nothing has changed.
    pub fn learn(&mut self, news: &News) -> Result<Option<Record>, LedgerError> {
        let chain = self.chain.as_mut().ok_or(LedgerError::NoBeginning)?;
        let taken = news.offer(chain)?;
        let new = matches!(taken, Taken::New | Taken::Waits | Taken::Moved);
        let record = new.then(|| Record::News(kept(chain, news)));
        self.decisions.extend(record.clone());
        if matches!(news, News::Policy(_) | News::Recovered(_)) {
            self.judge_enrollments_again();
        }
        if taken == Taken::Moved {
            self.keep_what_holds();
        }
        Ok(record)
    }

    /// What made the device's enrollment, judged by the policies held: one may have come, or have come to stand at an earlier leaf, by
    /// which some of it does not hold. Then the enrollment before it counts again.
    fn judge_enrollments_again(&mut self) {
        let Some(chain) = &self.chain else { return };
        let (mut held, mut end) = (None, None);
        self.decisions.retain(|record| match record {
            Record::Enrolled { enroll, join } => {
                let next = enrolled(chain, held.as_ref(), enroll, join.as_ref()).ok();
                let holds = next.is_some();
                held = next.or(held.take());
                holds
            }
            Record::Retired(enroll) => {
                end = held.as_ref().and_then(|held| retired(chain, held, enroll).ok());
                end.is_some()
            }
            _ => true,
        });
        let gone = self.enrolled.take().map(|enrolled| enrolled.enroll).or(self.was);
        self.was = gone.filter(|_| held.is_none());
        (self.enrolled, self.retired) = (held, end);
    }

    /// The fewest decisions that give what is held. Whoever may log a policy again and again, each time at another leaf, fills nobody's
    /// disk.
    fn keep_what_holds(&mut self) {
        let Some(chain) = &self.chain else { return };
        let mut news = News::since(chain, 0).into_iter();
        let Some(News::Policy(genesis)) = news.next() else { return };
        let mut decisions = alloc::vec![Record::Began { org: chain.org(), genesis }];
        // Of one key's halts those that came first stop something: they stay in their order.
        decisions.extend(news.filter(|news| !matches!(news, News::Halt(_))).map(Record::News));
        let stays = |record: &Record| match record {
            Record::News(News::Halt(halt)) => chain.halt(&halt.hash()).is_some(),
            Record::Enrolled { .. } | Record::Retired(_) => true,
            _ => false,
        };
        decisions.extend(core::mem::take(&mut self.decisions).into_iter().filter(stays));
        self.decisions = decisions;
    }

    /// Of a job that repeats the last occurrence says enough: none before it runs any more.
    fn forget_earlier_occurrences(&mut self, key: &StepKey) {
        let (from, until) = (StepKey { occurrence: 0, step: 0, ..*key }, StepKey { step: 0, ..*key });
        let earlier: Vec<StepKey> = self.steps.range(from..until).map(|(key, _)| *key).collect();
        for key in earlier {
            self.steps.remove(&key);
        }
    }

    fn keep_receipt(&mut self, note: &Note) -> Result<(), LedgerError> {
        let receipt: Receipt = note.text().parse()?;
        self.head = Some((receipt.number, Sha256::of(note.text().as_bytes())));
        self.floor = self.floor.max(receipt.time);
        self.receipts.insert(receipt.number, note.clone());
        Ok(())
    }

    /// The organization's chain, once the device belongs to one.
    pub fn chain(&self) -> Option<&Chain> {
        self.chain.as_ref()
    }

    /// Who the device is, once it is enrolled.
    pub fn enrolled(&self) -> Option<&Enrolled> {
        self.enrolled.as_ref()
    }

    /// By which statement it was enrolled, if it is not any more.
    pub fn was_enrolled(&self) -> Option<Sha256> {
        self.was
    }

    /// The latest time that has certainly passed.
    pub fn floor(&self) -> Time {
        self.floor
    }

    /// How a step stands, if it was ever accepted.
    pub fn step(&self, key: &StepKey) -> Option<StepState> {
        self.steps.get(key).map(|(state, _)| *state)
    }

    /// The steps of a job that are remembered, in their order, and how it stands with each.
    pub fn steps_of(&self, job: &Sha256) -> impl DoubleEndedIterator<Item = (&StepKey, &StepState)> {
        let first = StepKey { job: *job, occurrence: 0, step: 0 };
        let last = StepKey { job: *job, occurrence: u64::MAX, step: u64::MAX };
        self.steps.range(first..=last).map(|(key, (state, _))| (key, state))
    }

    /// The last occurrence of a job of which a step was accepted.
    pub fn last_occurrence(&self, job: &Sha256) -> Option<u64> {
        self.steps_of(job).next_back().map(|(key, _)| key.occurrence)
    }

    /// Whether a step of a job was accepted and nothing is known of its end.
    pub fn runs(&self, job: &Sha256) -> bool {
        self.steps_of(job).any(|(_, state)| *state == StepState::Started)
    }

    /// Whether the last occurrence of a job of so many steps was begun and not finished: its newest step ended well, and more
    /// follow.
    pub fn is_half_done(&self, job: &Sha256, steps: usize) -> bool {
        let newest = self.steps_of(job).next_back();
        newest.is_some_and(|(key, state)| {
            let more = usize::try_from(key.step).is_ok_and(|step| step.saturating_add(1) < steps);
            *state == StepState::EndedWell && more
        })
    }

    /// Jobs that repeat, as they were delivered.
    pub fn standing(&self) -> impl Iterator<Item = (&Sha256, &Delivery)> {
        self.standing.iter().map(|(job, delivery)| (job, &**delivery))
    }

    /// Whether a job that repeats is kept.
    pub fn stands(&self, job: &Sha256) -> bool {
        self.standing.contains_key(job)
    }

    /// A job that repeats, as it is kept.
    pub fn kept(&self, job: &Sha256) -> Option<&Delivery> {
        self.standing.get(job).map(|delivery| &**delivery)
    }

    /// The statement by which the device has left, if it has.
    pub fn retired(&self) -> Option<Sha256> {
        self.retired
    }

    /// Steps that were accepted and of whose end nothing is known.
    pub fn started(&self) -> Vec<(StepKey, Time)> {
        let started = self.steps.iter().filter(|(_, (state, _))| *state == StepState::Started);
        started.map(|(key, (_, not_after))| (*key, *not_after)).collect()
    }

    /// Receipts that nobody has acknowledged, oldest first.
    pub fn spool(&self) -> impl Iterator<Item = &Note> {
        self.receipts.values()
    }

    /// An unacknowledged receipt by its number.
    pub fn receipt(&self, number: u64) -> Option<&Note> {
        self.receipts.get(&number)
    }

    /// How many receipts nobody has acknowledged.
    pub fn spooled(&self) -> usize {
        self.receipts.len()
    }

    /// The number that the next receipt takes, and the hash it names as the one before.
    pub fn next_receipt(&self) -> (u64, Option<Sha256>) {
        self.head.map_or((1, None), |(number, hash)| (number.saturating_add(1), Some(hash)))
    }

    /// The fewest records that give this ledger again, without what may be forgotten: a rewrite of the file.
    pub fn rewritten(&self) -> Vec<Record> {
        let mut records = self.decisions.clone();
        records.extend(self.standing.values().cloned().map(Record::Standing));
        records.push(Record::Floor(self.floor));
        let remembered = self.steps.iter().filter(|(_, (state, not_after))| {
            *state == StepState::Started || self.floor <= not_after.plus(REMEMBER_S)
        });
        records.extend(remembered.map(|(key, (state, not_after))| Record::Step {
            key: *key,
            state: *state,
            not_after: *not_after,
            receipt: None,
        }));
        records.extend(self.receipts.values().cloned().map(Record::Receipt));
        records.push(Record::Acknowledged(self.acknowledged));
        records.extend(self.head.map(|(number, hash)| Record::Head { number, hash }));
        records.extend(self.was.map(Record::Was));
        records
    }
}

impl Record {
    /// The record's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Writer::new();
        match self {
            Self::Began { org, genesis } => to.byte(1).raw(&org.0).string(genesis.to_string().as_bytes()),
            Self::News(news) => to.byte(2).string(news.to_string().as_bytes()),
            Self::Enrolled { enroll, join: None } => to.byte(3).string(enroll.to_string().as_bytes()),
            Self::Enrolled { enroll, join: Some((note, proof)) } => {
                to.byte(4).string(enroll.to_string().as_bytes());
                to.string(note.to_string().as_bytes()).string(proof.to_string().as_bytes())
            }
            Self::Floor(time) => to.byte(5).u64(time.0),
            Self::Step { key, state, not_after, receipt } => {
                let state = match state {
                    StepState::Started => 0,
                    StepState::EndedWell => 1,
                    StepState::Failed => 2,
                };
                to.byte(6).raw(&key.job.0).u64(key.occurrence).u64(key.step).byte(state).u64(not_after.0);
                let receipt = receipt.as_ref().map(ToString::to_string).unwrap_or_default();
                to.string(receipt.as_bytes())
            }
            Self::Receipt(note) => to.byte(7).string(note.to_string().as_bytes()),
            Self::Acknowledged(through) => to.byte(8).u64(*through),
            Self::Head { number, hash } => to.byte(9).u64(*number).raw(&hash.0),
            Self::Retired(enroll) => to.byte(10).string(enroll.to_string().as_bytes()),
            Self::Standing(delivery) => {
                delivery.encode(to.byte(12));
                &mut to
            }
            Self::Over(job) => to.byte(13).raw(&job.0),
            Self::Was(enroll) => to.byte(14).raw(&enroll.0),
        };
        to.take()
    }

    /// Reads what [`Record::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, LedgerError> {
        let mut from = Reader::new(bytes);
        let record = match from.byte()? {
            1 => Self::Began { org: OrgId(from.array()?), genesis: Logged::from_text(from.text()?)? },
            2 => Self::News(News::from_text(from.text()?)?),
            3 => Self::Enrolled { enroll: Logged::from_text(from.text()?)?, join: None },
            4 => {
                let enroll = Logged::from_text(from.text()?)?;
                let note = note(from.text()?)?;
                let proof = from.text()?.parse::<Proof>();
                let proof = proof.map_err(|error| LedgerError::Note(error.to_string()))?;
                Self::Enrolled { enroll, join: Some((note, proof)) }
            }
            5 => Self::Floor(Time(from.u64()?)),
            6 => {
                let key = StepKey { job: Sha256(from.array()?), occurrence: from.u64()?, step: from.u64()? };
                let state = match from.byte()? {
                    0 => StepState::Started,
                    1 => StepState::EndedWell,
                    2 => StepState::Failed,
                    other => return Err(LedgerError::Form(other)),
                };
                let not_after = Time(from.u64()?);
                let receipt = Some(from.text()?).filter(|text| !text.is_empty());
                Self::Step { key, state, not_after, receipt: receipt.map(note).transpose()? }
            }
            7 => Self::Receipt(note(from.text()?)?),
            8 => Self::Acknowledged(from.u64()?),
            9 => Self::Head { number: from.u64()?, hash: Sha256(from.array()?) },
            10 => Self::Retired(Logged::from_text(from.text()?)?),
            12 => Self::Standing(Box::new(Delivery::decode(&mut from)?)),
            13 => Self::Over(Sha256(from.array()?)),
            14 => Self::Was(Sha256(from.array()?)),
            other => return Err(LedgerError::Form(other)),
        };
        from.finish()?;
        Ok(record)
    }
}

/// What a chain keeps of news that it has taken.
fn kept(chain: &Chain, news: &News) -> News {
    let halt = chain.halt(&news.hash()).map(|halt| News::Halt(halt.signed.clone()));
    halt.unwrap_or_else(|| news.clone())
}

/// Who a device is by an enrollment, after the one that is held. Its first one counts for itself also where the log in which it
/// stands was replaced since: the machine would be nobody until somebody came by, and others go by what they read in the log.
fn enrolled(
    chain: &Chain,
    held: Option<&Enrolled>,
    enroll: &Logged,
    join: Option<&(Note, Proof)>,
) -> Result<Enrolled, EnrollError> {
    match follows(chain, held, enroll, join) {
        Err(EnrollError::Chain(ChainError::ReplacedLog { .. })) if held.is_none() => {
            let proof = join.map_or(&enroll.proof, |(_, proof)| proof);
            follows(&chain.while_in_use(proof)?, None, enroll, join)
        }
        judged => judged,
    }
}

fn follows(
    chain: &Chain,
    held: Option<&Enrolled>,
    enroll: &Logged,
    join: Option<&(Note, Proof)>,
) -> Result<Enrolled, EnrollError> {
    match (join, held) {
        (Some((note, proof)), _) => enrolled_by_join(chain, enroll, note, proof),
        (None, None) => enrolled_directly(chain, enroll),
        (None, Some(held)) => enrolled_anew(chain, held, enroll),
    }
}

fn note(text: &str) -> Result<Note, LedgerError> {
    text.parse::<Note>().map_err(|error| LedgerError::Note(error.to_string()))
}
