//! When a halt is set: which beacons, of which policies, must have it.
//!
//! A device may still hold an earlier policy than this tool; it starts work by the Clears of that policy's beacons. So the halt
//! must be with the beacons of every policy held here. A beacon that acknowledges naming a later policy counts for the earlier
//! one as any other does, and no more: if it lies, it still signs for the earlier one, so its word spares nobody else's.

use countersign_trust::chain::{Chain, Held};
use countersign_trust::note::VerifierKey;
use countersign_trust::statement::policy::Policy;
use serde_json::{Value, json};

use crate::output::plain;

/// How far a halt came with the beacons of one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The policy's number.
    pub policy: u64,
    /// How many beacons it names.
    pub there: usize,
    /// How many of them a device asks for Clears.
    pub need: usize,
    /// The names of those that have not acknowledged.
    pub missing: Vec<String>,
}

/// How far a halt came with the beacons of every policy held, the newest last.
pub fn reach(chain: &Chain, acknowledged: &[VerifierKey]) -> Vec<Reach> {
    chain.policies().iter().map(|held: &Held<Policy>| Reach::of(&held.body, acknowledged)).collect()
}

/// How many of `there` beacons must have a halt where `need` make a quorum: no quorum without one of them that is honest.
pub fn needed(there: usize, need: usize) -> usize {
    if need <= 1 { there } else { (there + 2).saturating_sub(need) }
}

/// What holds once a halt is set where `need` beacons make a quorum and a challenge is good for `lifetime` seconds.
pub fn promise(need: usize, lifetime: u64) -> String {
    match need {
        0 | 1 => format!(
            "If no beacon lies, nothing it covers starts later than {lifetime} s from now; \
             against a lying beacon this is no promise, because one Clear is enough to start."
        ),
        _ => format!("Nothing it covers starts later than {lifetime} s from now."),
    }
}

impl Reach {
    fn of(policy: &Policy, acknowledged: &[VerifierKey]) -> Self {
        let keys: Vec<&VerifierKey> = policy.beacons.keys.iter().collect();
        Self::count(policy.number, usize::from(policy.beacons.need.get()), &keys, acknowledged)
    }

    fn count(policy: u64, need: usize, keys: &[&VerifierKey], acknowledged: &[VerifierKey]) -> Self {
        let missing = keys.iter().filter(|key| !acknowledged.contains(key));
        let missing = missing.map(|key| plain(key.name()).to_string()).collect();
        Self { policy, there: keys.len(), need, missing }
    }

    /// How many must have it.
    pub fn wanted(&self) -> usize {
        needed(self.there, self.need)
    }

    /// How many have it.
    pub fn got(&self) -> usize {
        self.there.saturating_sub(self.missing.len())
    }

    /// Whether so many have it that it is set for a device with this policy.
    pub fn enough(&self) -> bool {
        self.got() >= self.wanted()
    }

    /// Whether it is set if no beacon lies.
    pub fn enough_if_none_lies(&self) -> bool {
        self.got() + self.need > self.there
    }

    /// In words, how many have it and why so many must.
    pub fn words(&self) -> String {
        let (got, there, need, wanted) = (self.got(), self.there, self.need, self.wanted());
        let rule = match need {
            0 | 1 => "with 1 beacon needed, all must have it".to_owned(),
            _ => format!("{there} - {need} + 2 = {wanted} must have it"),
        };
        format!("{got} of {there} beacons of policy {} have it ({rule})", self.policy)
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({"policy": self.policy, "acknowledged": self.got(), "needed": self.wanted(), "of": self.there, "missing": self.missing})
    }
}

#[cfg(test)]
mod tests {
    use countersign_trust::note::{KeyKind, NoteSigner};

    use super::*;

    #[test]
    fn a_halt_needs_so_many_beacons_that_no_quorum_misses_it_even_if_one_lies() {
        for (there, need, wanted) in
            [(1, 1, 1), (3, 1, 3), (2, 2, 2), (3, 2, 3), (4, 3, 3), (4, 2, 4), (7, 5, 4)]
        {
            assert_eq!(needed(there, need), wanted, "{need} of {there}");
            // A quorum of `need` then holds at least two who know, or everybody knows: one of them does not lie.
            assert!(wanted == there || need + wanted >= there + 2);
        }
    }

    fn keys(names: &str) -> Vec<VerifierKey> {
        let key = |name: &str| {
            let seed = countersign_trust::ids::Sha256::of(name.as_bytes()).0;
            NoteSigner::new(name, KeyKind::Ed25519, &seed).unwrap().verifier().clone()
        };
        names.split_whitespace().map(key).collect()
    }

    /// What is missing, policy by policy, where a halt is not set; nothing where it is.
    fn lacking(policies: &[(usize, &str)], acknowledged: &str) -> Vec<(u64, String)> {
        let acknowledged = keys(acknowledged);
        let numbered = (1..).zip(policies);
        let reached = numbered.map(|(number, (need, names))| {
            Reach::count(number, *need, &keys(names).iter().collect::<Vec<_>>(), &acknowledged)
        });
        reached.filter(|reach| !reach.enough()).map(|reach| (reach.policy, reach.missing.join(" "))).collect()
    }

    #[test]
    fn a_halt_is_set_when_enough_beacons_of_every_policy_have_it() {
        type Case = (&'static [(usize, &'static str)], &'static str, &'static [(u64, &'static str)]);
        let cases: [(&str, Case); 8] = [
            ("one policy, enough", (&[(3, "a b c d")], "a b c", &[])),
            ("one policy, one too few", (&[(3, "a b c d")], "a b", &[(1, "c d")])),
            ("the same beacons twice", (&[(3, "a b c d"), (3, "a b c d")], "a b c", &[])),
            ("only the newest", (&[(3, "a b c d"), (3, "e f g h")], "e f g h", &[(1, "a b c d")])),
            ("only the earlier", (&[(3, "a b c d"), (3, "e f g h")], "a b c d", &[(2, "e f g h")])),
            ("enough of both", (&[(3, "a b c d"), (3, "c d e f")], "b c d e", &[])),
            ("two shared are not three", (&[(3, "a b c d"), (3, "c d e f")], "c d e f", &[(1, "a b")])),
            ("one was enough once", (&[(1, "a b"), (2, "b c")], "b c", &[(1, "a")])),
        ];
        for (what, (policies, acknowledged, lacks)) in cases {
            let expected: Vec<_> =
                lacks.iter().map(|(number, names)| (*number, (*names).to_owned())).collect();
            assert_eq!(lacking(policies, acknowledged), expected, "{what}");
        }
    }

    #[test]
    fn a_beacon_that_nobody_named_counts_for_no_policy() {
        assert_eq!(lacking(&[(2, "a b")], "a x y"), [(1, "b".to_owned())]);
    }

    #[test]
    fn the_words_say_the_numbers_and_the_rule() {
        let reach = |need, acknowledged: &str| {
            Reach::count(7, need, &keys("a b c d").iter().collect::<Vec<_>>(), &keys(acknowledged)).words()
        };
        assert_eq!(reach(3, "a b"), "2 of 4 beacons of policy 7 have it (4 - 3 + 2 = 3 must have it)");
        assert_eq!(
            reach(1, "a"),
            "1 of 4 beacons of policy 7 have it (with 1 beacon needed, all must have it)"
        );
    }

    #[test]
    fn where_one_beacon_is_enough_to_start_nothing_is_promised_against_a_lying_one() {
        assert!(promise(1, 180).contains("against a lying beacon this is no promise"));
        assert_eq!(promise(2, 180), "Nothing it covers starts later than 180 s from now.");
    }
}
