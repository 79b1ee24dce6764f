//! What a beacon says of itself without a signature.
//!
//! Source: docs/spec/8-interfaces.md, "Who tells beacons".

use countersign_trust::chain::Chain;
use countersign_trust::ids::Sha256;
use countersign_trust::told::Holds;
use serde::Deserialize;

/// `GET /v1/orgs/{org}/state` of a beacon, as far as anybody goes by it: it is good enough to choose what to bring.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct State {
    /// The newest policy.
    pub policy: Named,
    /// The newest resume's hash, or `none`.
    pub resume: String,
    /// The active halts.
    pub active_halts: Vec<Named>,
}

/// A statement that is named by its hash.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Named {
    /// The hash.
    pub hash: String,
}

impl State {
    /// What that is of `chain`; none, if its policy is not in there.
    pub fn holds(&self, chain: &Chain) -> Option<Holds> {
        let hash = |text: &str| text.parse::<Sha256>().ok();
        let policy = chain.policy_by_hash(&hash(&self.policy.hash)?)?.body.number;
        let halts = self.active_halts.iter().filter_map(|halt| hash(&halt.hash)).collect();
        Some(Holds { policy, resume: hash(&self.resume), halts })
    }
}
