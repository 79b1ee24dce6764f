//! How long an agent takes to judge one delivery, from its texts to the decision, and how many bytes it is.
//!
//! Two people signed it, it stands in a log of 100,000 leaves that three witnesses saw, and three beacons answered.
//! Run by `cargo xtask bench verify`; prints a JSON object a line for each figure.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measurement that meets the unexpected should stop there"
)]

#[path = "../tests/acceptance/organization.rs"]
mod organization;

use std::time::Instant;

use countersign_trust::clear::{AnsweredClear, Challenges, check_clears};
use countersign_trust::delivery::{Delivery, TargetProof};
use countersign_trust::envelope::Logged;
use countersign_trust::ledger::Ledger;
use countersign_trust::verify::{Facts, Local, judge};

use organization::{CHALLENGE, Organization, TILLS, VERSION, WITNESSES, at, ledger, sign};

const TIMES: usize = 2_000;
const LEAVES: u32 = 100_000;

/// What the server sends: texts, and numbers and hashes that need no parsing.
struct Texts {
    job: String,
    clears: Vec<(String, AnsweredClear)>,
    target: Option<TargetProof>,
}

impl Texts {
    fn bytes(&self) -> usize {
        let path = |answer: &AnsweredClear| 16 + 32 * answer.path.len();
        let clears: usize = self.clears.iter().map(|(text, answer)| text.len() + path(answer)).sum();
        self.job.len() + clears + self.target.as_ref().map_or(0, |target| 8 + 32 * target.path.len())
    }
}

fn main() {
    let mut org = Organization::found();
    let enrolled = org.enroll(TILLS[0]);
    let ledger = ledger(&org.records(&enrolled));
    (0..LEAVES).for_each(|number| {
        org.log.append(&format!("leaf {number}"));
    });
    let texts = texts(&mut org);
    assert!(accepted(&ledger, &texts), "the delivery is not good");
    let mut spent: Vec<f64> = (0..TIMES).map(|_| microseconds(&ledger, &texts)).collect();
    spent.sort_by(f64::total_cmp);
    println!(r#"{{"figure": "delivery_us", "value": {:.1}}}"#, spent[TIMES / 2]);
    println!(r#"{{"figure": "delivery_bytes", "value": {}}}"#, texts.bytes());
}

fn texts(org: &mut Organization) -> Texts {
    let job = org.job();
    let signed = sign(&job, &["anna", "bo"]);
    let index = org.log.append(&signed.leaf(&org.org).unwrap());
    let proof = org.log.proof(index, &WITNESSES[..3]);
    let clears = org.three_clears(CHALLENGE).into_iter().map(|answer| (answer.clear.to_string(), answer));
    Texts {
        job: Logged { signed, proof }.to_string(),
        clears: clears.collect(),
        target: Some(organization::target_proof(TILLS[0])),
    }
}

fn microseconds(ledger: &Ledger, texts: &Texts) -> f64 {
    let start = Instant::now();
    let good = std::hint::black_box(accepted(ledger, std::hint::black_box(texts)));
    let spent = start.elapsed();
    assert!(good, "the delivery was refused");
    spent.as_secs_f64() * 1e6
}

/// Everything an agent does with the texts before it would run the job.
fn accepted(ledger: &Ledger, texts: &Texts) -> bool {
    let job = Logged::from_text(&texts.job).unwrap();
    let parsed = |(text, answer): &(String, AnsweredClear)| AnsweredClear {
        clear: text.parse().unwrap(),
        ..answer.clone()
    };
    let clears: Vec<AnsweredClear> = texts.clears.iter().map(parsed).collect();
    let mut challenges = Challenges::default();
    challenges.draw(CHALLENGE, at(0));
    let freshness = check_clears(ledger.chain().unwrap(), &challenges, &clears, at(1_000));
    let local = Local { version: VERSION, running: 0, disk_full: false };
    let me = ledger.enrolled();
    let facts = Facts { ledger, me, freshness: freshness.as_ref(), now: at(1_000), local };
    let (target, advances) = (texts.target.clone(), Vec::new());
    judge(&facts, &Delivery { job, news: Vec::new(), clears: Vec::new(), target, advances }).is_ok()
}
