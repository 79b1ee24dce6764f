//! Halts by Cara, and resumes that lift them.

use std::collections::BTreeSet;

use countersign_trust::envelope::Signed;
use countersign_trust::ids::{Sha256, StatementId};
use countersign_trust::statement::halt::{Halt, Scope};
use countersign_trust::statement::policy::Policy;
use countersign_trust::statement::resume::{Cuts, Lifts, Resume};
use countersign_trust::statement::write;
use countersign_trust::text::Nothing;
use countersign_trust::time::Time;

use crate::organization::{ANNA, BERT, CARA, org_of, sign};

/// A halt by Cara; `number` tells it from others.
pub fn halt(policy: &Policy, number: u8, scope: Scope) -> Signed {
    halt_by(policy, number, scope, CARA)
}

/// A halt by this key.
pub fn halt_by(policy: &Policy, number: u8, scope: Scope, by: u8) -> Signed {
    let halt = Halt {
        org: Some(org_of(policy)),
        id: StatementId([number; 16]),
        policy: Some(write(policy).1),
        scope,
        made: Time(1),
        reason: "it looks wrong".parse().unwrap(),
        advisory: "".parse().unwrap(),
    };
    sign(&halt, &[by])
}

pub fn halt_job(policy: &Policy, number: u8) -> Signed {
    halt(policy, number, Scope::Job(Sha256([number; 32])))
}

/// A resume that lifts `halts`, signed by its quorum.
pub fn resume(policy: &Policy, previous: Option<Sha256>, halts: &[Sha256]) -> Signed {
    let resume = Resume {
        org: org_of(policy),
        policy: write(policy).1,
        previous: previous.into_iter().collect(),
        lifts: Lifts::Halts(halts.iter().copied().collect()),
        cuts: Cuts::None(Nothing),
        keeps: BTreeSet::new(),
        why: "understood".parse().unwrap(),
    };
    sign(&resume, &[ANNA, BERT])
}
