//! Which rules a job falls under on its devices, who has signed, and whose signature is missing.

use std::collections::{BTreeMap, BTreeSet};

use countersign_trust::chain::Chain;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::Name;
use countersign_trust::join::Labels;
use countersign_trust::signers::{Signers, signers};
use countersign_trust::statement::Kind;
use countersign_trust::statement::job::Job;
use countersign_trust::verify::{fitting, rules_met};

use crate::checked::Device;
use crate::difference;
use crate::output::{count, plain};

/// How a job stands with the rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Approval {
    /// The rules that apply, in words, with how many devices they apply to.
    pub rules: Vec<String>,
    /// What is missing, in words; empty when every device would find enough signatures.
    pub missing: Vec<String>,
    /// Who could still approve.
    pub could: BTreeSet<Name>,
}

/// Who signed a job so far, under the newest policy.
pub fn signed_by(chain: &Chain, signed: &Signed) -> Signers {
    signers(&chain.policy().body, Kind::Job, signed)
}

/// Holds a job against every rule that fits any of `devices`.
pub fn approval(chain: &Chain, job: &Job, signed: &Signers, devices: &[&Device]) -> Approval {
    let policy = &chain.policy().body;
    let mut alike: BTreeMap<&Labels, usize> = BTreeMap::new();
    devices.iter().for_each(|device| *alike.entry(&device.labels).or_default() += 1);
    let (mut rules, mut missing) = (BTreeMap::<usize, usize>::new(), BTreeMap::<String, usize>::new());
    let mut found = Approval::default();
    for (labels, number) in alike {
        for (index, rule) in fitting(policy, labels, job) {
            *rules.entry(index).or_default() += number;
            let people = policy.people_of(&rule.approvers).into_iter();
            let others = people.filter(|person| **person != job.requester && !signed.contains(person));
            if rule.approvals > 0 {
                found.could.extend(others.cloned());
            }
        }
        if let Err(refusal) = rules_met(policy, labels, job, signed) {
            *missing.entry(plain(&refusal.to_string())).or_default() += number;
        }
    }
    let on = |number: usize| count(number, "device", "devices");
    for (index, number) in rules {
        let words = policy.rules.get(index).map(difference::rule).unwrap_or_default();
        found.rules.push(format!(
            "rule {} of policy {} ({}): {}",
            index + 1,
            policy.number,
            on(number),
            plain(&words)
        ));
    }
    found.missing = missing.into_iter().map(|(what, number)| format!("{what} ({})", on(number))).collect();
    if found.missing.is_empty() {
        found.could.clear();
    }
    found
}
