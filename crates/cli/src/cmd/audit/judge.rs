//! The acceptance rule, asked again of a bundle: what a device that holds this, and nothing else, would decide.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_trust::chain::{Chain, Recovered};
use countersign_trust::checkpoint::Proof;
use countersign_trust::clear::{AnsweredClear, Challenges, Clear, check_clears};
use countersign_trust::delivery::{Delivery, News, TargetProof};
use countersign_trust::envelope::Logged;
use countersign_trust::ids::Sha256;
use countersign_trust::join::Enrolled;
use countersign_trust::ledger::{Ledger, Record};
use countersign_trust::note::Note;
use countersign_trust::time::Reading;
use countersign_trust::verify::{Facts, Local, judge};
use countersign_wire::http::DeliveryEvidence;

use crate::cmd::job::ReadJob;

/// The challenge and the Clears that a device was sent, read.
#[derive(Debug)]
pub struct Sent {
    challenge: [u8; 32],
    clears: Vec<AnsweredClear>,
    at: Reading,
    proof: Option<Proof>,
}

impl Sent {
    /// Reads what the server shows; none if it is malformed.
    pub fn read(shown: &DeliveryEvidence) -> Option<Self> {
        let hash = |text: &String| STANDARD.decode(text).ok()?.try_into().ok().map(Sha256);
        let clear = |shown: &countersign_wire::http::ClearEvidence| {
            let clear: Note = shown.note.parse().ok()?;
            let path = shown.path.iter().map(hash).collect::<Option<Vec<_>>>()?;
            Some(AnsweredClear { clear, index: shown.index, size: shown.size, path })
        };
        let challenge: Sha256 = shown.challenge.parse().ok()?;
        let clears = shown.clears.iter().map(clear).collect::<Option<Vec<_>>>()?;
        let at = Reading { boot_ms: 0, wall_ms: shown.sent.saturating_mul(1_000) };
        let proof = shown.proof.as_ref().and_then(|proof| proof.parse().ok());
        Some(Self { challenge: challenge.0, clears, at, proof })
    }
}

/// The job's envelope as it was sent: with a proof of the log that was in force then.
pub fn envelope(read: &ReadJob, sent: Option<&Sent>) -> String {
    let proof = sent.and_then(|sent| sent.proof.clone());
    match (Logged::from_text(&read.view.envelope), proof) {
        (Ok(logged), Some(proof)) => Logged { proof, ..logged }.to_string(),
        _ => read.view.envelope.clone(),
    }
}

/// What the chain was when the Clears were signed: up to the policy and resume they name, with the halts they name.
/// Without Clears, what it is.
pub fn news_then(chain: &Chain, sent: Option<&Sent>) -> Vec<News> {
    let said = |answer: &AnsweredClear| answer.clear.text().parse::<Clear>().ok();
    let clears: Vec<Clear> =
        sent.map(|sent| sent.clears.iter().filter_map(said).collect()).unwrap_or_default();
    if clears.is_empty() {
        return News::since(chain, 0);
    }
    let policies: Vec<Sha256> = chain.policies().iter().map(|held| held.hash).collect();
    let resumes: Vec<Sha256> = chain.resumes().iter().map(|held| held.hash).collect();
    let upto = |all: &[Sha256], named: &dyn Fn(&Clear) -> Option<Sha256>| {
        let last = clears
            .iter()
            .filter_map(named)
            .filter_map(|hash| all.iter().position(|held| *held == hash))
            .max();
        last.map_or_else(BTreeSet::new, |last| all.iter().take(last + 1).copied().collect::<BTreeSet<_>>())
    };
    let (policies, resumes) =
        (upto(&policies, &|clear| Some(clear.policy)), upto(&resumes, &|clear| clear.resume));
    let halts: BTreeSet<Sha256> = clears.iter().flat_map(|clear| clear.halts.iter().copied()).collect();
    let was_there = |news: &News| match news {
        News::Policy(_) => policies.contains(&news.hash()),
        News::Resume(_) => resumes.contains(&news.hash()),
        News::Halt(_) => halts.contains(&news.hash()),
        News::Recovered(word) => {
            let said = word.text().parse::<Recovered>();
            said.is_ok_and(|said| policies.contains(&said.policy))
        }
        News::Enroll(_) => false,
    };
    News::since(chain, 0).into_iter().filter(was_there).collect()
}

/// Judges the first step of `job` as `me` would have, the moment it was sent. `Err` says why it is refused.
pub fn again(
    news: &[News],
    me: &Enrolled,
    sent: &Sent,
    target: Option<&TargetProof>,
    read: &ReadJob,
) -> Result<(), String> {
    let mut ledger = Ledger::default();
    let mut items = news.iter();
    let Some(News::Policy(genesis)) = items.next() else {
        return Err("the chain has no beginning".to_owned());
    };
    let org = countersign_trust::ids::OrgId(genesis.signed.hash().0);
    let began = Record::Began { org, genesis: genesis.clone() };
    let records = std::iter::once(began).chain(items.cloned().map(Record::News));
    for record in records {
        ledger.apply(&record).map_err(|error| error.to_string())?;
    }
    let mut challenges = Challenges::default();
    challenges.draw(sent.challenge, sent.at);
    let chain = ledger.chain().ok_or("the chain has no beginning")?;
    let freshness = check_clears(chain, &challenges, &sent.clears, sent.at);
    let local = Local { version: env!("CARGO_PKG_VERSION"), running: 0, disk_full: false };
    let facts = Facts { ledger: &ledger, me: Some(me), freshness: freshness.as_ref(), now: sent.at, local };
    let job = Logged::from_text(&envelope(read, Some(sent))).map_err(|error| error.to_string())?;
    let advances = read.advances.iter().filter_map(|text| Logged::from_text(text).ok()).collect();
    let delivery = Delivery { job, news: Vec::new(), clears: Vec::new(), target: target.cloned(), advances };
    judge(&facts, &delivery).map(|_| ()).map_err(|refusal| refusal.to_string())
}
