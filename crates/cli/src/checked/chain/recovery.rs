//! The day the keys are lost: whether a policy of the recovery set is in force, and how to object while it waits.

use std::thread;
use std::time::Duration;

use countersign_trust::chain::Chain;
use countersign_trust::clear::{AnsweredClear, Challenges, check_recovery};
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::merkle::leaf_hash;
use countersign_trust::note::Note;
use countersign_trust::time::Reading;

use crate::client::Client;
use crate::context::random;
use crate::output::{short, time};

/// How long beacons are waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks every beacon, with a challenge of this program's own, if a policy waits; it is in force when enough of them name it, as
/// for a device. Returns what a person should know.
pub fn look(chain: &mut Chain) -> anyhow::Result<Vec<String>> {
    if chain.waiting().is_empty() {
        return Ok(Vec::new());
    }
    let challenge: [u8; 32] = random()?;
    let drawn = Reading { boot_ms: 0, wall_ms: 0 };
    let mut challenges = Challenges::default();
    challenges.draw(challenge, drawn);
    let answers = ask(chain, leaf_hash(&challenge));
    let clears: Vec<AnsweredClear> = answers.iter().filter_map(|(clear, _)| clear.clone()).collect();
    if let Some(policy) = check_recovery(chain, &challenges, &clears, drawn) {
        chain.recover(&policy)?;
        return Ok(vec![format!(
            "A POLICY OF THE RECOVERY SET IS IN FORCE since enough beacons name it: {}",
            short(&policy)
        )]);
    }
    let until = |policy: &Sha256| {
        let held: Vec<String> =
            answers.iter().filter_map(|(_, state)| in_force_from(state, policy)).collect();
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
    Ok(chain.waiting().iter().map(|held| warn(&held.hash)).collect())
}

/// When a beacon's state says that it will name the policy.
fn in_force_from(state: &serde_json::Value, policy: &Sha256) -> Option<String> {
    let waiting = state.get("waiting")?.as_array()?;
    let name = policy.to_string();
    let this =
        waiting.iter().find(|waits| waits.get("policy").and_then(|hash| hash.as_str()) == Some(&name))?;
    Some(format!("a beacon will name it at {}", time(this.get("in_force_from")?.as_u64()?)))
}

/// A Clear and the state of each beacon that answers.
fn ask(chain: &Chain, root: Sha256) -> Vec<(Option<AnsweredClear>, serde_json::Value)> {
    let org = chain.org();
    let urls: Vec<String> = chain.policy().body.addresses.beacons.values().map(ToString::to_string).collect();
    thread::scope(|scope| {
        let asked: Vec<_> = urls.iter().map(|url| scope.spawn(move || ask_one(url, org, root))).collect();
        asked.into_iter().filter_map(|call| call.join().ok().flatten()).collect()
    })
}

fn ask_one(url: &str, org: OrgId, root: Sha256) -> Option<(Option<AnsweredClear>, serde_json::Value)> {
    let client = Client::new(url, None, None).ok()?.within(PATIENCE);
    let note = client.post_text(&format!("/v1/orgs/{org}/clear"), format!("{root}\n")).ok();
    let clear = note.and_then(|note| note.parse::<Note>().ok());
    let clear = clear.map(|clear| AnsweredClear { clear, index: 0, size: 1, path: Vec::new() });
    let state = client.get::<serde_json::Value>(&format!("/v1/orgs/{org}/state")).unwrap_or_default();
    Some((clear, state))
}
