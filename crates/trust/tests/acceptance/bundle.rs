//! An evidence bundle: all that the acceptance rule is asked with, in memory and as a folder, and how it is judged.
//!
//! The folder's layout is described in `crates/trust/vectors/README.md`.

use countersign_trust::chain::{Chain, ChainError, Inclusion, Taken};
use countersign_trust::clear::{AnsweredClear, Challenges, check_clears};
use countersign_trust::delivery::{Delivery, News, TargetProof};
use countersign_trust::envelope::{EnvelopeError, Logged};
use countersign_trust::floor;
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::join::{EnrollError, enrolled_anew, retired};
use countersign_trust::ledger::{Ledger, Record, StepKey, StepState};
use countersign_trust::receipt::{Reason, Receipt, Verdict};
use countersign_trust::time::{Reading, Time};
use countersign_trust::verify::{Facts, Local, Refusal, judge};

use crate::organization::{TILLS, device_id, device_signer};

/// Everything a device is asked with.
#[derive(Clone, Debug)]
pub struct Bundle {
    pub org: OrgId,
    /// Envelopes in the order in which they are offered; the first is the genesis policy.
    pub chain: Vec<String>,
    /// The batch's envelope, the join and its proof.
    pub enrolled: Option<[String; 3]>,
    pub job: String,
    pub clears: Vec<AnsweredClear>,
    /// What the device drew since it started, if anything.
    pub challenge: Option<[u8; 32]>,
    pub target: Option<TargetProof>,
    /// Envelopes of the job's advances.
    pub advances: Vec<String>,
    /// Envelopes of enrollments that came after the first, in the order in which they were offered.
    pub anew: Vec<String>,
    pub now: Now,
}

/// Clocks and local facts.
#[derive(Clone, Debug)]
pub struct Now {
    pub drawn: Reading,
    pub arrived: Reading,
    pub now: Reading,
    pub floor: Time,
    pub version: String,
    pub running: usize,
    /// Receipts that wait for acknowledgement.
    pub receipts: u64,
    pub disk_full: bool,
    /// Steps of this job that were accepted before: occurrence and step, counted from 0.
    pub steps: Vec<(u64, u64, StepState)>,
}

/// What a device does with a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Of each envelope of the chain.
    pub chain: Vec<Result<Taken, ChainError>>,
    /// Of each later enrollment.
    pub anew: Vec<Result<(), EnrollError>>,
    /// Of the job.
    pub job: Result<(), Refused>,
}

/// Why a job is not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// What came is no envelope, so there is nothing to judge.
    Unreadable(EnvelopeError),
    /// It was judged.
    Because(Refusal),
}

impl Refused {
    /// A stable word for the reason.
    pub fn code(&self) -> String {
        match self {
            Self::Unreadable(_) => "Unreadable".to_owned(),
            Self::Because(refusal) => variant(refusal),
        }
    }

    /// The reason in words.
    pub fn sentence(&self) -> String {
        match self {
            Self::Unreadable(error) => error.to_string(),
            Self::Because(refusal) => refusal.to_string(),
        }
    }
}

/// The name of an enumeration's variant.
pub fn variant(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}").split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default().to_owned()
}

impl Bundle {
    /// Takes the chain, the enrollment and what was done before, and judges the job.
    pub fn judge(&self) -> Outcome {
        let mut ledger = Ledger::default();
        let chain = self.take_chain(&mut ledger);
        let anew = self.take_enrollments(&mut ledger);
        let job = self.judge_job(ledger);
        Outcome { chain, anew, job }
    }

    fn take_chain(&self, ledger: &mut Ledger) -> Vec<Result<Taken, ChainError>> {
        let genesis = Logged::from_text(&self.chain[0]).unwrap();
        let began = Chain::begin(self.org, &genesis.signed, Inclusion::Proved(&genesis.proof));
        let mut outcomes = vec![began.as_ref().map(|_| Taken::New).map_err(Clone::clone)];
        let Ok(mut chain) = began else { return outcomes };
        remember(ledger, Record::Began { org: self.org, genesis });
        for text in &self.chain[1..] {
            let news = News::from_text(text).unwrap();
            let outcome = news.offer(&mut chain);
            if matches!(outcome, Ok(Taken::New | Taken::Waits | Taken::Moved)) {
                remember(ledger, Record::News(news));
            }
            outcomes.push(outcome);
        }
        outcomes
    }

    fn take_enrollments(&self, ledger: &mut Ledger) -> Vec<Result<(), EnrollError>> {
        let Some([enroll, join, proof]) = &self.enrolled else { return Vec::new() };
        if ledger.chain().is_none() {
            return Vec::new();
        }
        let join = Some((join.parse().unwrap(), proof.parse().unwrap()));
        remember(ledger, Record::Enrolled { enroll: Logged::from_text(enroll).unwrap(), join });
        self.anew.iter().map(|text| take_anew(ledger, Logged::from_text(text).unwrap())).collect()
    }

    fn judge_job(&self, mut ledger: Ledger) -> Result<(), Refused> {
        let job = Logged::from_text(&self.job).map_err(Refused::Unreadable)?;
        remember(&mut ledger, Record::Floor(self.now.floor));
        for (occurrence, step, state) in &self.now.steps {
            let key = StepKey { job: job.signed.hash(), occurrence: *occurrence, step: *step };
            remember(
                &mut ledger,
                Record::Step { key, state: *state, not_after: Time(u64::MAX), receipt: None },
            );
        }
        (1..=self.now.receipts).for_each(|number| remember(&mut ledger, spooled(self.org, number)));
        self.ask(&ledger, job).map_err(Refused::Because)
    }

    fn ask(&self, ledger: &Ledger, job: Logged) -> Result<(), Refusal> {
        let mut challenges = Challenges::default();
        if let Some(challenge) = self.challenge {
            challenges.draw(challenge, self.now.drawn);
        }
        let chain = ledger.chain().ok_or(Refusal::NotEnrolled)?;
        let known = floor::known(None, self.now.floor, self.now.arrived);
        let need = usize::from(chain.policy().body.beacons.need.get());
        let freshness = check_clears(chain, &challenges, &self.clears, self.now.arrived)
            .and_then(|fresh| floor::weigh(fresh, &mut None, known, need, self.now.arrived));
        let Now { version, running, disk_full, now, .. } = &self.now;
        let local = Local { version, running: *running, disk_full: *disk_full };
        let me = ledger.enrolled();
        let facts = Facts { ledger, me, freshness: freshness.as_ref(), now: *now, local };
        let advances = self.advances.iter().map(|text| Logged::from_text(text).unwrap()).collect();
        let target = self.target.clone();
        judge(&facts, &Delivery { job, news: Vec::new(), clears: Vec::new(), target, advances }).map(|_| ())
    }
}

/// An enrollment that came after the first: of the same device, or its end.
fn take_anew(ledger: &mut Ledger, enroll: Logged) -> Result<(), EnrollError> {
    if let Some(by) = ledger.retired() {
        return Err(EnrollError::Retired(by));
    }
    let (chain, held) = (ledger.chain().unwrap(), ledger.enrolled().unwrap());
    match retired(chain, held, &enroll) {
        Ok(_) => {
            remember(ledger, Record::Retired(enroll));
            return Ok(());
        }
        Err(EnrollError::NotThat(_)) => {}
        Err(error) => return Err(error),
    }
    enrolled_anew(chain, held, &enroll)?;
    remember(ledger, Record::Enrolled { enroll, join: None });
    Ok(())
}

/// Writes a record down, reads it back, and takes it in.
fn remember(ledger: &mut Ledger, record: Record) {
    ledger.apply(&Record::decode(&record.encode()).unwrap()).unwrap();
}

/// A receipt that waits for acknowledgement; what it says does not matter.
pub fn spooled(org: OrgId, number: u64) -> Record {
    let nothing = Sha256::of(b"");
    let receipt = Receipt {
        org,
        device: device_id(TILLS[0]),
        number,
        previous: None,
        job: None,
        occurrence: 0,
        step: 0,
        verdict: Verdict::Refused,
        count: 1,
        code: Some("again".parse().unwrap()),
        because: Reason::new("a receipt that waits"),
        output: None,
        kept: 0,
        dropped: 0,
        policy: nothing,
        enroll: nothing,
        time: Time(0),
    };
    Record::Receipt(device_signer(TILLS[0]).note(receipt.to_string()).unwrap())
}
