//! One record that is kept, byte by byte. A long text that several records share (an envelope, a proof) is an entry of its own, and
//! the others name it by its hash.

use countersign_trust::clear::AnsweredClear;
use countersign_trust::delivery::TargetProof;
use countersign_trust::device::{Acknowledged, HeldClears, Judged, Keep};
use countersign_trust::ids::Sha256;
use countersign_trust::ledger::StepState;
use countersign_trust::receipt::{Receipt, Verdict};
use countersign_trust::sshwire::{Reader, WireError, Writer};
use countersign_trust::time::{Reading, Time};

use super::Ring;

/// A part of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A text that others name by its hash.
    Text(String),
    /// A delivery and how it was judged.
    Judged(Box<KeptJudgement>),
    /// A receipt that stands in the log.
    Receipt(KeptReceipt),
}

/// A delivery and how it was judged: as [`Judged`], its long texts by their hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptJudgement {
    /// The number of the receipt that says how.
    pub number: u64,
    /// Whether it was accepted.
    pub accepted: bool,
    /// The earliest it can have been.
    pub time: Time,
    /// The job's hash.
    pub job: Sha256,
    /// The text of its envelope.
    pub envelope: Sha256,
    /// The texts of its advances.
    pub advances: Vec<Sha256>,
    /// Its place among the targets.
    pub target: Option<TargetProof>,
    /// The Clears.
    pub clears: Option<KeptClears>,
    /// The clocks.
    pub now: Reading,
    /// The lower bound of the time.
    pub floor: Time,
    /// The agent's version.
    pub version: String,
    /// How many steps ran.
    pub running: u64,
    /// How many receipts waited.
    pub receipts: u64,
    /// Whether the disk was full.
    pub disk_full: bool,
    /// Steps that had been accepted before.
    pub steps: Vec<(u64, u64, StepState)>,
    /// The newest policy held.
    pub policy: Sha256,
    /// The newest resume held.
    pub resume: Option<Sha256>,
    /// The halts that were active.
    pub halts: Vec<Sha256>,
}

/// Clears as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptClears {
    /// The challenge.
    pub challenge: Sha256,
    /// When it was drawn.
    pub drawn: Reading,
    /// When they came.
    pub arrived: Reading,
    /// Of each the note and the challenge's place in its tree.
    pub answers: Vec<(String, KeptPath)>,
}

/// A place in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptPath {
    /// Which leaf.
    pub index: u64,
    /// Of how many.
    pub size: u64,
    /// From the leaf's sibling upwards.
    pub path: Vec<Sha256>,
}

/// A receipt that stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptReceipt {
    /// When the device was shown it there.
    pub time: Time,
    /// The note.
    pub note: String,
    /// The root of its batch.
    pub root: Sha256,
    /// Its place there.
    pub place: KeptPath,
    /// The text of the batch's `tlog-proof`.
    pub proof: Sha256,
}

impl Entry {
    /// The hash of a text.
    pub fn text_hash(&self) -> Option<Sha256> {
        match self {
            Self::Text(text) => Some(Sha256::of(text.as_bytes())),
            _ => None,
        }
    }
}

/// What is written for a record, and into which ring.
pub fn entries_of(keep: &Keep, now: Time) -> (Ring, Vec<Entry>) {
    match keep {
        Keep::Judged(judged) => {
            let ring = if judged.accepted { Ring::Ran } else { Ring::Refused };
            let envelope = judged.delivery.job.to_string();
            let advances: Vec<String> = judged.delivery.advances.iter().map(ToString::to_string).collect();
            let hashes = advances.iter().map(|text| Sha256::of(text.as_bytes())).collect();
            let kept = judgement(judged, Sha256::of(envelope.as_bytes()), hashes);
            let texts = std::iter::once(envelope).chain(advances).map(Entry::Text);
            (ring, texts.chain([Entry::Judged(Box::new(kept))]).collect())
        }
        Keep::Logged(note, shown) => {
            let Acknowledged { index, size, path, root, proof, .. } = &**shown;
            let refused =
                note.text().parse::<Receipt>().is_ok_and(|receipt| receipt.verdict == Verdict::Refused);
            let proof = proof.to_string();
            let place = KeptPath { index: *index, size: *size, path: path.clone() };
            let hash = Sha256::of(proof.as_bytes());
            let kept = KeptReceipt { time: now, note: note.to_string(), root: *root, place, proof: hash };
            let ring = if refused { Ring::Refused } else { Ring::Ran };
            (ring, vec![Entry::Text(proof), Entry::Receipt(kept)])
        }
    }
}

fn judgement(judged: &Judged, envelope: Sha256, advances: Vec<Sha256>) -> KeptJudgement {
    let answer = |answer: &AnsweredClear| {
        let AnsweredClear { clear, index, size, path } = answer;
        (clear.to_string(), KeptPath { index: *index, size: *size, path: path.clone() })
    };
    let clears = judged.clears.as_ref().map(|held: &HeldClears| KeptClears {
        challenge: Sha256(held.challenge),
        drawn: held.drawn,
        arrived: held.arrived,
        answers: held.answers.iter().map(answer).collect(),
    });
    KeptJudgement {
        number: judged.number,
        accepted: judged.accepted,
        time: judged.time,
        job: judged.delivery.job.signed.hash(),
        envelope,
        advances,
        target: judged.delivery.target.clone(),
        clears,
        now: judged.now,
        floor: judged.floor,
        version: judged.version.clone(),
        running: count(judged.running),
        receipts: count(judged.receipts),
        disk_full: judged.disk_full,
        steps: judged.steps.clone(),
        policy: judged.policy,
        resume: judged.resume,
        halts: judged.halts.clone(),
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// The body of a frame.
pub fn body<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<u8> {
    let mut to = Writer::new();
    for entry in entries {
        let mut one = Writer::new();
        match entry {
            Entry::Text(text) => {
                one.byte(1).string(text.as_bytes());
            }
            Entry::Judged(judged) => judged.encode(one.byte(2)),
            Entry::Receipt(KeptReceipt { time, note, root, place, proof }) => {
                one.byte(3).u64(time.0).string(note.as_bytes()).raw(&root.0);
                place.encode(&mut one);
                one.raw(&proof.0);
            }
        }
        to.string(&one.take());
    }
    to.take()
}

/// Reads a body; none if this program never wrote it.
pub fn entries(body: &[u8]) -> Option<Vec<Entry>> {
    let mut from = Reader::new(body);
    let mut entries = Vec::new();
    while !from.is_empty() {
        entries.push(entry(Reader::new(from.string().ok()?)).ok()?);
    }
    Some(entries)
}

fn entry(mut from: Reader<'_>) -> Result<Entry, WireError> {
    let entry = match from.byte()? {
        1 => Entry::Text(from.text()?.to_owned()),
        2 => Entry::Judged(Box::new(KeptJudgement::decode(&mut from)?)),
        _ => Entry::Receipt(KeptReceipt {
            time: Time(from.u64()?),
            note: from.text()?.to_owned(),
            root: from.array().map(Sha256)?,
            place: KeptPath::decode(&mut from)?,
            proof: from.array().map(Sha256)?,
        }),
    };
    from.finish()?;
    Ok(entry)
}

impl KeptPath {
    fn encode(&self, to: &mut Writer) {
        to.u64(self.index).u64(self.size);
        hashes(to, &self.path);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { index: from.u64()?, size: from.u64()?, path: read_hashes(from)? })
    }
}

impl KeptJudgement {
    fn encode(&self, to: &mut Writer) {
        to.u64(self.number)
            .byte(u8::from(self.accepted))
            .u64(self.time.0)
            .raw(&self.job.0)
            .raw(&self.envelope.0);
        hashes(to, &self.advances);
        to.byte(u8::from(self.target.is_some()));
        if let Some(TargetProof { index, path }) = &self.target {
            hashes(to.u64(*index), path);
        }
        to.byte(u8::from(self.clears.is_some()));
        if let Some(KeptClears { challenge, drawn, arrived, answers }) = &self.clears {
            reading(to.raw(&challenge.0), *drawn);
            reading(to, *arrived);
            to.u64(count(answers.len()));
            for (note, path) in answers {
                path.encode(to.string(note.as_bytes()));
            }
        }
        reading(to, self.now);
        to.u64(self.floor.0).string(self.version.as_bytes()).u64(self.running).u64(self.receipts);
        to.byte(u8::from(self.disk_full)).u64(count(self.steps.len()));
        for (occurrence, step, state) in &self.steps {
            to.u64(*occurrence).u64(*step).byte(state_byte(*state));
        }
        to.raw(&self.policy.0);
        hashes(to, self.resume.as_slice());
        hashes(to, &self.halts);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let (number, accepted, time) = (from.u64()?, from.byte()? != 0, Time(from.u64()?));
        let (job, envelope) = (from.array().map(Sha256)?, from.array().map(Sha256)?);
        let advances = read_hashes(from)?;
        let target = match from.byte()? {
            0 => None,
            _ => Some(TargetProof { index: from.u64()?, path: read_hashes(from)? }),
        };
        let clears = match from.byte()? {
            0 => None,
            _ => Some(KeptClears {
                challenge: from.array().map(Sha256)?,
                drawn: read_reading(from)?,
                arrived: read_reading(from)?,
                answers: many(from, |from| Ok((from.text()?.to_owned(), KeptPath::decode(from)?)))?,
            }),
        };
        let now = read_reading(from)?;
        let (floor, version) = (Time(from.u64()?), from.text()?.to_owned());
        let (running, receipts, disk_full) = (from.u64()?, from.u64()?, from.byte()? != 0);
        let steps = many(from, |from| Ok((from.u64()?, from.u64()?, byte_state(from.byte()?))))?;
        let policy = from.array().map(Sha256)?;
        let resume = read_hashes(from)?.first().copied();
        let halts = read_hashes(from)?;
        Ok(Self {
            number,
            accepted,
            time,
            job,
            envelope,
            advances,
            target,
            clears,
            now,
            floor,
            version,
            running,
            receipts,
            disk_full,
            steps,
            policy,
            resume,
            halts,
        })
    }
}

fn hashes(to: &mut Writer, hashes: &[Sha256]) {
    to.u64(count(hashes.len()));
    for hash in hashes {
        to.raw(&hash.0);
    }
}

fn read_hashes(from: &mut Reader<'_>) -> Result<Vec<Sha256>, WireError> {
    many(from, |from| from.array().map(Sha256))
}

fn many<'a, T>(
    from: &mut Reader<'a>,
    one: impl Fn(&mut Reader<'a>) -> Result<T, WireError>,
) -> Result<Vec<T>, WireError> {
    let count = from.u64()?;
    (0..count).map(|_| one(from)).collect()
}

fn reading(to: &mut Writer, Reading { boot_ms, wall_ms }: Reading) {
    to.u64(boot_ms).u64(wall_ms);
}

fn read_reading(from: &mut Reader<'_>) -> Result<Reading, WireError> {
    Ok(Reading { boot_ms: from.u64()?, wall_ms: from.u64()? })
}

fn state_byte(state: StepState) -> u8 {
    match state {
        StepState::Started => 0,
        StepState::EndedWell => 1,
        StepState::Failed => 2,
    }
}

fn byte_state(byte: u8) -> StepState {
    match byte {
        0 => StepState::Started,
        1 => StepState::EndedWell,
        _ => StepState::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_reads_back_and_nothing_else() {
        let at = |number| Reading { boot_ms: number, wall_ms: number + 1 };
        let place = KeptPath { index: 1, size: 2, path: vec![Sha256([8; 32])] };
        let judged = KeptJudgement {
            number: 4,
            accepted: true,
            time: Time(9),
            job: Sha256([1; 32]),
            envelope: Sha256([2; 32]),
            advances: vec![Sha256([3; 32])],
            target: Some(TargetProof { index: 1, path: vec![Sha256([4; 32])] }),
            clears: Some(KeptClears {
                challenge: Sha256([5; 32]),
                drawn: at(1),
                arrived: at(2),
                answers: vec![("a note".to_owned(), place.clone())],
            }),
            now: at(3),
            floor: Time(7),
            version: "0.1.0".to_owned(),
            running: 1,
            receipts: 2,
            disk_full: false,
            steps: vec![(0, 0, StepState::EndedWell), (0, 1, StepState::Failed)],
            policy: Sha256([6; 32]),
            resume: None,
            halts: vec![Sha256([7; 32])],
        };
        let bare =
            KeptJudgement { target: None, clears: None, resume: Some(Sha256([9; 32])), ..judged.clone() };
        let receipt = KeptReceipt {
            time: Time(5),
            note: "note".to_owned(),
            root: Sha256([1; 32]),
            place,
            proof: Sha256([2; 32]),
        };
        let all = [
            Entry::Text("text".to_owned()),
            Entry::Judged(Box::new(judged)),
            Entry::Judged(Box::new(bare)),
            Entry::Receipt(receipt),
        ];
        let written = body(all.iter());
        assert_eq!(entries(&written).as_deref(), Some(&all[..]));
        for cut in 1..written.len() {
            assert!(entries(&written[..cut]).is_none_or(|found| found.len() < all.len()), "cut at {cut}");
        }
    }
}
