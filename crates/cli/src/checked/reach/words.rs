//! What a person should know of how far a policy or resume came.

use countersign_trust::chain::Chain;
use serde_json::{Value, json};

use super::{Reached, Visit};
use crate::cmd::halt::set::{Reach, reach};
use crate::output::{plain, short};

/// Of the newest policy and the one before.
const POLICIES: usize = 2;

impl Reached {
    /// What beacons were brought here, and not by the server.
    pub fn notes(&self, chain: &Chain) -> Vec<String> {
        let told = self.visits.iter().filter(|visit| visit.told);
        let told: Vec<_> = told.map(|visit| plain(visit.key.name())).collect();
        if told.is_empty() {
            return Vec::new();
        }
        vec![format!("Brought up to {} from here: {}", newest(chain), told.join(", "))]
    }

    /// Which beacons lack what, and what to do.
    pub fn warnings(&self, chain: &Chain) -> Vec<String> {
        let lacks = self.visits.iter().filter(|visit| !self.proven.has(&visit.key));
        let mut warnings: Vec<String> = lacks.map(|visit| lacking(chain, visit)).collect();
        for reach in self.reached(chain).iter().filter(|reach| !reach.enough() && reach.enough_if_none_lies())
        {
            warnings.push(format!(
                "that nothing starts by what was before {} is certain only if no beacon lies: {}; missing: {}",
                newest(chain),
                reach.words(),
                reach.missing.join(", ")
            ));
        }
        warnings
    }

    /// Too few beacons have it: devices that were not told can go on as before.
    pub fn alarm(&self, chain: &Chain) -> Option<String> {
        let reached = self.reached(chain);
        let reach = reached.iter().rev().find(|reach| !reach.enough_if_none_lies())?;
        Some(format!(
            "{} CAN BE KEPT FROM DEVICES: {}; missing: {}. Whom it removes can still have work started where it is not known. \
             Reach the missing ones, or their operators; every command here tries again. Until then: countersign halt",
            newest(chain),
            reach.words(),
            reach.missing.join(", ")
        ))
    }

    /// For programs.
    pub fn json(&self, chain: &Chain) -> Value {
        self.reached(chain).iter().map(Reach::json).map(|one| json!(one)).collect()
    }

    fn reached(&self, chain: &Chain) -> Vec<Reach> {
        let mut all = reach(chain, &self.proven.keys());
        all.reverse();
        all.truncate(POLICIES);
        all
    }
}

/// What is newest, in words.
fn newest(chain: &Chain) -> String {
    let policy = format!("policy {}", chain.policy().body.number);
    match chain.resume() {
        Some(resume) => format!("{policy} and resume {}", short(&resume)),
        None => policy,
    }
}

fn lacking(chain: &Chain, visit: &Visit) -> String {
    let (name, newest) = (plain(visit.key.name()), newest(chain));
    let why = match (&visit.said, &visit.refused) {
        (Err(silent), None) => silent.to_string(),
        (Err(silent), Some(refused)) => format!("{silent}; it would not take: {refused}"),
        (Ok(_), Some(refused)) => format!("it would not take: {refused}"),
        (Ok((_, clear)), None) if chain.policy_by_hash(&clear.policy).is_none() => {
            format!("it names the policy {}, which is not known here", short(&clear.policy))
        }
        (Ok(_), None) => "it names an older one although it was brought all".to_owned(),
    };
    let of_newest = chain.policy().body.beacons.keys.contains(&visit.key);
    let what = if of_newest { "" } else { ", which the policy before named," };
    format!("the beacon {name}{what} has not shown that it holds {newest}: {why}")
}
