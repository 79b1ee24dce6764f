//! The day the keys are lost: whether a policy of the recovery set is in force, and how to object while it waits.

use std::thread;
use std::time::Duration;

use countersign_trust::chain::Chain;
use countersign_trust::ids::{OrgId, Sha256};

use crate::client::Client;
use crate::output::{count, short, time};

/// How long beacons are waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Which policies of the recovery set are in force that were not among the first `before`.
pub fn in_force(chain: &Chain, before: Option<usize>) -> Vec<String> {
    let new = chain.policies().iter().skip(before.unwrap_or(0)).map(|held| held.hash);
    let recovered = new.filter(|policy| chain.was_recovered(policy));
    let tell = |policy: Sha256| {
        let beacons = count(chain.words(&policy).count(), "beacon has", "beacons have");
        format!(
            "A POLICY OF THE RECOVERY SET IS IN FORCE: {}; {beacons} given their word that nobody objected for 72 hours",
            short(&policy)
        )
    };
    recovered.map(tell).collect()
}

/// What waits, until when, and how to object.
pub fn waiting(chain: &Chain) -> Vec<String> {
    if chain.waiting().is_empty() {
        return Vec::new();
    }
    let states = ask(chain);
    let until = |policy: &Sha256| {
        let held: Vec<String> = states.iter().filter_map(|state| in_force_from(state, policy)).collect();
        if held.is_empty() { "no beacon that answered holds it".to_owned() } else { held.join("; ") }
    };
    let warn = |policy: &Sha256| {
        format!(
            "A POLICY OF THE RECOVERY SET WAITS: {} ({}). If nobody lost their keys, object: sign another policy with \
             `countersign policy edit`",
            short(policy),
            until(policy)
        )
    };
    chain.waiting().iter().map(|held| warn(&held.hash)).collect()
}

/// When a beacon's state says that it will give its word for the policy.
fn in_force_from(state: &serde_json::Value, policy: &Sha256) -> Option<String> {
    let waiting = state.get("waiting")?.as_array()?;
    let name = policy.to_string();
    let this =
        waiting.iter().find(|waits| waits.get("policy").and_then(|hash| hash.as_str()) == Some(&name))?;
    Some(format!("a beacon will take it at {}", time(this.get("in_force_from")?.as_u64()?)))
}

/// The state of each beacon that answers.
fn ask(chain: &Chain) -> Vec<serde_json::Value> {
    let org = chain.org();
    let urls: Vec<String> = chain.policy().body.addresses.beacons.values().map(ToString::to_string).collect();
    thread::scope(|scope| {
        let asked: Vec<_> = urls.iter().map(|url| scope.spawn(move || ask_one(url, org))).collect();
        asked.into_iter().filter_map(|call| call.join().ok().flatten()).collect()
    })
}

fn ask_one(url: &str, org: OrgId) -> Option<serde_json::Value> {
    let client = Client::new(url, None, None).ok()?.within(PATIENCE);
    client.get::<serde_json::Value>(&format!("/v1/orgs/{org}/state")).ok()
}
