//! What stands in the log and cannot be explained: somebody may have enrolled, moved or retired a device in secret.
//!
//! It is an alarm, and no reason to stop working: one such leaf, which a thief of the log's key can make, must not take the
//! tool away from those who want to sign the policy that takes the log away from the thief.

use serde_json::{Value, json};

use countersign_trust::chain::Place;

use super::log::{Leaf, SeenLog, named};
use crate::output::{count, plain, short};

/// Leaves of the log for which the server shows nothing that holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unexplained {
    /// Of enrollments and joins, in the log's order.
    leaves: Vec<Leaf>,
    /// Places of leaves that are none of this organization's, as many as were kept, and how many there are.
    strange: (Vec<Place>, u64),
    /// Why what the server shows does not hold, where it shows something.
    because: Option<String>,
}

/// How many leaves are named in a sentence.
const NAMED: usize = 5;

impl Unexplained {
    /// Of `log`, these leaves; `fault` is what is wrong with what the server shows.
    pub fn new(log: &SeenLog, mut leaves: Vec<Leaf>, fault: Option<&String>) -> Self {
        leaves.sort_by_key(Leaf::place);
        let because = fault.filter(|_| !leaves.is_empty()).cloned();
        let strange =
            log.all().flat_map(|log| log.strange.iter().map(|index| Place { log: log.nth, index: *index }));
        Self { leaves, strange: (strange.collect(), log.all().map(|log| log.strangers).sum()), because }
    }

    /// Whether everything is explained.
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty() && self.strange.1 == 0
    }

    /// Each leaf by its kind and place.
    pub fn names(&self) -> Vec<String> {
        let known = self.leaves.iter().map(|leaf| {
            format!("the {} of {}, {}", plain(&leaf.kind), leaf.named(), short(&plain(&leaf.statement)))
        });
        let strange =
            self.strange.0.iter().map(|place| format!("{}, none of this organization's", named(*place)));
        known.chain(strange).collect()
    }

    /// What a person must know; none if everything is explained.
    pub fn alarm(&self) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let mut parts = Vec::new();
        if !self.leaves.is_empty() {
            let number = count(self.leaves.len(), "enrollment or join stands", "enrollments or joins stand");
            parts.push(format!("{number} in the log for which the server shows no evidence that holds"));
        }
        if self.strange.1 > 0 {
            let number = usize::try_from(self.strange.1).unwrap_or(usize::MAX);
            let leaves = count(number, "leaf of the log is", "leaves of the log are");
            parts.push(format!("{leaves} none of this organization's"));
        }
        let mut text = format!("{}: {}", parts.join(", and "), self.some());
        if let Some(because) = &self.because {
            text.push_str(&format!(". What it shows fails with: {because}"));
        }
        text.push_str(
            ". A device may have been enrolled, moved or retired in secret; what is shown goes by the rest",
        );
        Some(text)
    }

    /// The first leaves, and how many more there are.
    fn some(&self) -> String {
        let names = self.names();
        let more = names.len().saturating_sub(NAMED);
        let some = names.into_iter().take(NAMED).collect::<Vec<_>>().join("; ");
        if more == 0 { some } else { format!("{some}; and {more} more") }
    }

    /// What whoever aims at devices must say yes to.
    pub fn question(&self) -> String {
        format!(
            "The log has what nobody explains ({}), and it may be about these devices. Go on?",
            self.some()
        )
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let known = self
            .leaves
            .iter()
            .map(|leaf| json!({"log": leaf.nth + 1, "leaf": leaf.index, "kind": leaf.kind, "statement": leaf.statement}));
        let strange =
            self.strange.0.iter().map(
                |place| json!({"log": place.log + 1, "leaf": place.index, "kind": null, "statement": null}),
            );
        known.chain(strange).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_trust::ids::Sha256;

    fn leaf(index: u64) -> Leaf {
        let hash = Sha256::of(&index.to_be_bytes()).to_string();
        Leaf { nth: 0, index, kind: "join".to_owned(), statement: hash.clone(), signatures: hash }
    }

    #[test]
    fn an_alarm_names_the_first_leaves_and_counts_the_rest() {
        let log = SeenLog::default();
        assert_eq!(Unexplained::new(&log, Vec::new(), Some(&"x".to_owned())).alarm(), None);
        let one = Unexplained::new(&log, vec![leaf(4)], Some(&"no proof".to_owned())).alarm().unwrap();
        assert!(
            one.starts_with("1 enrollment or join stands in the log") && one.contains("the join of leaf 4"),
            "{one}"
        );
        assert!(one.contains("fails with: no proof"), "{one}");
        let many = Unexplained::new(&log, (0..9).map(leaf).collect(), None).alarm().unwrap();
        assert!(many.contains("leaf 4") && !many.contains("leaf 5") && many.contains("and 4 more"), "{many}");
    }

    #[test]
    fn a_leaf_of_nobody_is_named_too() {
        let mut log = SeenLog::default();
        (log.strange, log.strangers) = (vec![7], 1);
        let alarm = Unexplained::new(&log, Vec::new(), None).alarm().unwrap();
        assert!(alarm.starts_with("1 leaf of the log is none of this organization's: leaf 7"), "{alarm}");
    }
}
