//! The server's own halt: by a key that can do nothing else, and only where a policy lets it.

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign_trust::chain::Halter;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::{Name, Sha256, StatementId};
use countersign_trust::note::Note;
use countersign_trust::statement::halt::{Halt, Scope};
use countersign_trust::statement::policy::Policy;
use countersign_trust::statement::{self as statements, Kind};
use countersign_trust::words::{Line, Prose, is_free};

use super::touches::Found;
use crate::app::{App, Org};
use crate::statements::intake::{self, IntakeError};

/// The longest reason, in characters: a halt has 2 KiB.
const MOST_REASON: usize = 1_000;
/// Of that, the words and the tripwire's name.
const MOST_WORDS: usize = 500;
const MOST_NAME: usize = 150;
/// How many hashes of evidence stand in a reason.
const MOST_HASHES: usize = 3;

/// Why the server cannot halt.
#[derive(Debug, thiserror::Error)]
pub enum HaltingError {
    /// No policy has let it.
    #[error(
        "policy {policy} does not let this server's key halt: name it in halt.machines ({key}), or leave only `tell`"
    )]
    NotNamed {
        /// The newest policy.
        policy: u64,
        /// The server's key.
        key: String,
    },
    /// The halt cannot be made: no random numbers, or a text that is none.
    #[error("the halt cannot be made: {0}")]
    Made(String),
    /// It is not obeyed, or not kept.
    #[error(transparent)]
    Intake(#[from] IntakeError),
}

/// Whether a policy lets this server halt.
pub fn may(org: &Org, policy: &Policy) -> Result<(), HaltingError> {
    let own = org.halt_signer.public_key();
    if policy.halt.machines.values().any(|key| key == own) {
        return Ok(());
    }
    Err(HaltingError::NotNamed { policy: policy.number, key: own.to_string() })
}

/// The server's own halt of all that stops the organization at the moment.
fn active(org: &Org) -> Option<Sha256> {
    let (chain, own) = (org.chain(), org.halt_signer.public_key());
    let machines = chain.policies().iter().flat_map(|held| &held.body.halt.machines);
    let names: BTreeSet<&Name> = machines.filter(|(_, key)| *key == own).map(|(name, _)| name).collect();
    let is_own = |by: &Halter| matches!(by, Halter::Machine(name) if names.contains(name));
    let mut halts = chain.active_halts();
    halts
        .find(|halt| matches!(halt.body.scope, Scope::Organization(_)) && halt.by.iter().any(is_own))
        .map(|halt| halt.hash)
}

/// What became of a halt.
pub enum Halted {
    /// It is in force, or was before.
    By(Sha256),
    /// It was brought to devices and beacons, and the records do not have it yet.
    Unstored(Box<Signed>),
}

/// Halts what was found with the server's own key. While a halt of its own stops the organization, that is the one.
pub async fn halt(app: &Arc<App>, org: &Arc<Org>, found: &Found) -> Result<Halted, HaltingError> {
    if matches!(found.scope, Scope::Organization(_))
        && let Some(active) = active(org)
    {
        return Ok(Halted::By(active));
    }
    let signed = sign(app, org, found)?;
    match intake::take(app, org, &signed, Vec::new()).await {
        Ok(_) => Ok(Halted::By(signed.hash())),
        Err(IntakeError::Store(error)) => {
            tracing::error!(org.id = %org.id, %error, "the server's own halt is not in the records yet");
            Ok(Halted::Unstored(Box::new(signed)))
        }
        Err(error) => Err(error.into()),
    }
}

fn sign(app: &App, org: &Org, found: &Found) -> Result<Signed, HaltingError> {
    let made = |error: &dyn std::fmt::Display| HaltingError::Made(error.to_string());
    let policy = {
        let chain = org.chain();
        may(org, &chain.policy().body)?;
        chain.policy().hash
    };
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| made(&error))?;
    let halt = Halt {
        org: Some(org.id),
        id: StatementId(id),
        policy: Some(policy),
        scope: found.scope.clone(),
        made: app.now(),
        reason: reason(found).parse::<Prose>().map_err(|error| made(&error))?,
        advisory: "".parse::<Line>().map_err(|error| made(&error))?,
    };
    let text = statements::write(&halt).0;
    let signature =
        org.halt_signer.sign(&Kind::Halt.namespace(), text.as_bytes()).map_err(|error| made(&error))?;
    Signed::new(text, [signature]).map_err(|error| made(&error))
}

/// What was seen, by which tripwire, and what shows it.
fn reason(found: &Found) -> String {
    let hashes = found
        .evidence
        .iter()
        .filter_map(|note| Some(Sha256::of(note.parse::<Note>().ok()?.text().as_bytes())));
    let hashes: Vec<String> = hashes.take(MOST_HASHES).map(|hash| hash.to_string()).collect();
    let shown = match hashes.as_slice() {
        [] => String::new(),
        hashes => format!(" Signed by devices (SHA-256 of the notes' texts): {}.", hashes.join(", ")),
    };
    let (words, name) = (cut(&found.words, MOST_WORDS), cut(&found.tripwire, MOST_NAME));
    let text = format!("Tripwire {name}: {words}.{shown}");
    // What must be escaped would make the text longer than it looks.
    let plain = |c: char| if is_free(c) && c != '"' && c != '\\' { c } else { '?' };
    text.chars().take(MOST_REASON).map(plain).collect()
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_trust::statement::policy::Then;
    use countersign_trust::text::Nothing;

    #[test]
    fn a_reason_fits_into_a_halt_whatever_was_seen() {
        let found = Found {
            tripwire: format!("canary:{}:2/60s:halt", "/srv/\"x\\y,".repeat(500)),
            then: Then::Halt,
            scope: Scope::Organization(Nothing),
            count: 2,
            words: "a canary is gone \u{202e}\n\\ on 2 devices, ".repeat(100),
            evidence: vec!["no note".to_owned()],
            until_ms: None,
        };
        let reason = reason(&found);
        assert!(reason.parse::<Prose>().is_ok(), "{reason}");
        assert!(reason.starts_with("Tripwire canary:/srv/?x?y,"), "{reason}");
        assert!(reason.len() < 1_000 && reason.contains("…: a canary is gone ??? on 2 devices"), "{reason}");
    }
}
