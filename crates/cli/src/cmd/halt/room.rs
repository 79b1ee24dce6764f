//! How much room is left for halts: of one key and in all they are bounded, and at the bound things stop that nobody halted.

use std::collections::BTreeMap;

use countersign_trust::chain::{Chain, Halter, MAX_HALTS_OF_A_KEY};
use countersign_trust::clear::MAX_HALTS;
use countersign_trust::statement::halt::Scope;

/// How many active halts of one halter, and how many in all, are worth a word.
const MANY_OF_ONE: usize = MAX_HALTS_OF_A_KEY / 2;
const MANY_OF_ALL: usize = MAX_HALTS / 2;

/// What to do about it.
const LIFT: &str = "lift those of jobs that are over: countersign resume --over --why 'these jobs are over'";

/// What should be said of the active halts of `chain`.
pub fn warnings(chain: &Chain) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let halts = || chain.active_halts();
    for halt in halts().filter(|halt| !matches!(halt.body.scope, Scope::Organization(_))) {
        for by in halt.by.iter() {
            *counts.entry(by.to_string()).or_default() += 1;
        }
    }
    counts.iter().filter_map(|(by, count)| of_one(by, *count)).chain(of_all(halts().count())).collect()
}

/// What `me` should know before another halt of less than the organization is signed.
pub fn before(chain: &Chain, me: &Halter) -> Vec<String> {
    let mine = chain.active_halts().filter(|halt| halt.by.iter().any(|by| by == me)).count();
    of_one(&me.to_string(), mine).into_iter().chain(of_all(chain.active_halts().count())).collect()
}

fn of_one(by: &str, count: usize) -> Option<String> {
    let most = MAX_HALTS_OF_A_KEY;
    (count >= MANY_OF_ONE).then(|| {
        format!("{count} halts of {by} are active; of one key no more than {most} stop anything, but those of the organization: {LIFT}")
    })
}

fn of_all(count: usize) -> Option<String> {
    (count >= MANY_OF_ALL).then(|| {
        format!("{count} halts are active; where more than {MAX_HALTS} are, no beacon signs and NOTHING STARTS ANYWHERE: {LIFT}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_said_long_before_anything_stops() {
        assert_eq!(of_one("anna", 7), None);
        assert!(
            of_one("anna", 8)
                .is_some_and(|said| said.contains("no more than 16") && said.contains("resume --over"))
        );
        assert_eq!(of_all(31), None);
        assert!(
            of_all(32).is_some_and(|said| said.contains("more than 64") && said.contains("resume --over"))
        );
    }
}
