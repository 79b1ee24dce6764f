//! A good delivery, and the places where a case can bend it.

use std::collections::BTreeMap;

use countersign_trust::chain::ChainError;
use countersign_trust::clear::{AnsweredClear, Clear};
use countersign_trust::envelope::{EnvelopeError, Signed};
use countersign_trust::ids::Sha256;
use countersign_trust::join::{EnrollError, Labels};
use countersign_trust::statement::Kind;
use countersign_trust::statement::halt::Scope;
use countersign_trust::statement::job::Job;
use countersign_trust::statement::policy::Policy;
use countersign_trust::statement::resume::{Cuts, Lifts};
use countersign_trust::text::Nothing;
use countersign_trust::time::Time;
use countersign_trust::verify::Refusal;

use crate::bundle::{Bundle, Now, Refused};
use crate::organization::{
    CHALLENGE, Enrollment, Organization, TILLS, VERSION, answer, at, labels, sign, sign_text, target_proof,
};

/// An organization, a device of it, and a job that has not been signed yet.
pub struct Scene {
    pub org: Organization,
    pub enrolled: Enrollment,
    pub job: Job,
    /// Who signs the job.
    pub keys: Vec<&'static str>,
}

impl Scene {
    /// Anna asks, Bo approves, and nothing has happened.
    pub fn good() -> Self {
        Self::found_with(|_| ())
    }

    /// The same in an organization with another genesis policy.
    pub fn found_with(edit: impl FnOnce(&mut Policy)) -> Self {
        let mut org = Organization::found_with(edit);
        let enrolled = org.enroll(TILLS[0]);
        let job = org.job();
        Self { org, enrolled, job, keys: vec!["anna", "bo"] }
    }

    /// Starts again from another genesis policy.
    pub fn found(&mut self, edit: impl FnOnce(&mut Policy)) {
        *self = Self::found_with(edit);
    }

    /// Signs the job, logs it, and asks three beacons.
    pub fn bundle(&mut self) -> Bundle {
        let signed = sign(&self.job, &self.keys);
        let news = self.org.news.iter().map(ToString::to_string);
        let Enrollment { enroll, join, proof } = &self.enrolled;
        let bundle = Bundle {
            org: self.org.org,
            chain: std::iter::once(self.org.genesis.to_string()).chain(news).collect(),
            enrolled: Some([enroll.to_string(), join.to_string(), proof.to_string()]),
            job: String::new(),
            clears: self.org.three_clears(CHALLENGE),
            challenge: Some(CHALLENGE),
            target: Some(target_proof(TILLS[0])),
            advances: Vec::new(),
            anew: Vec::new(),
            now: Now {
                drawn: at(0),
                arrived: at(2_000),
                now: at(3_000),
                floor: Time(0),
                version: VERSION.to_owned(),
                running: 0,
                receipts: 0,
                disk_full: false,
                steps: Vec::new(),
            },
        };
        self.with_job(bundle, signed)
    }

    /// The bundle with another signed job, logged.
    pub fn with_job(&mut self, bundle: Bundle, signed: Signed) -> Bundle {
        Bundle { job: self.org.log(signed).to_string(), ..bundle }
    }

    /// The bundle with this text for a job, signed and logged.
    pub fn with_text(&mut self, bundle: Bundle, text: String) -> Bundle {
        let signed = sign_text(text, Kind::Job, &self.keys);
        self.with_job(bundle, signed)
    }

    /// The job's text.
    pub fn text(&self) -> String {
        countersign_trust::statement::write(&self.job).0
    }

    /// The job's hash.
    pub fn hash(&self) -> Sha256 {
        countersign_trust::statement::write(&self.job).1
    }

    /// The labels of the device in question.
    pub fn labels(&self) -> Labels {
        labels(&[("class", "till"), ("region", "south"), ("site", "Smygehamn 12")])
    }

    /// What a beacon says if it bends what an honest one says.
    pub fn clear(&self, beacon: &str, bend: impl FnOnce(&mut Clear)) -> AnsweredClear {
        answer(beacon, CHALLENGE, |root| {
            let mut clear = self.org.clear(root);
            bend(&mut clear);
            clear
        })
    }

    /// Calls a halt; the hash by which others name it.
    pub fn halt(&mut self, scope: Scope, key: &str) -> Sha256 {
        self.org.halt(scope, key).hash()
    }

    /// Lifts these halts and cuts nothing, or what is said.
    pub fn lift(&mut self, halts: impl IntoIterator<Item = Sha256>, cuts: Cuts) -> Sha256 {
        self.org.resume(Lifts::Halts(halts.into_iter().collect()), cuts, |_| ()).hash()
    }

    /// The hash of the newest statement that the organization made besides jobs.
    pub fn newest(&self) -> Sha256 {
        self.org.news.last().unwrap().hash()
    }
}

/// Nothing is cut.
pub fn nothing() -> Cuts {
    Cuts::None(Nothing)
}

/// A row of the table: a good delivery, bent in one place, and what comes of it.
pub struct Case {
    /// The name of its vector.
    pub name: &'static str,
    /// What is bent, in words.
    pub says: &'static str,
    /// Makes the bundle.
    pub bend: fn(&mut Scene) -> Bundle,
    /// What must come of it.
    pub expected: fn(&Scene) -> Expected,
}

/// What must come of a bundle.
pub struct Expected {
    pub job: Result<(), Refused>,
    /// Envelopes of the chain that are not taken, by their index.
    pub chain: BTreeMap<usize, ChainError>,
    /// Later enrollments that are not taken, by their index.
    pub anew: BTreeMap<usize, EnrollError>,
}

/// The device runs it.
pub fn accepted() -> Expected {
    Expected { job: Ok(()), chain: BTreeMap::new(), anew: BTreeMap::new() }
}

/// The device refuses it.
pub fn refused(refusal: Refusal) -> Expected {
    Expected { job: Err(Refused::Because(refusal)), ..accepted() }
}

/// There is nothing to judge.
pub fn unreadable(error: EnvelopeError) -> Expected {
    Expected { job: Err(Refused::Unreadable(error)), ..accepted() }
}

impl Expected {
    /// And an envelope of the chain is not taken.
    pub fn without(mut self, index: usize, error: ChainError) -> Self {
        self.chain.insert(index, error);
        self
    }

    /// And a later enrollment is not taken.
    pub fn enrolling(mut self, index: usize, error: EnrollError) -> Self {
        self.anew.insert(index, error);
        self
    }
}
