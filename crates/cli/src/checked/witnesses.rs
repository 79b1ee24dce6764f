//! What witnesses have seen of the log: a server that was set back, or shows two histories, is told by it.

use std::thread;
use std::time::Duration;

use countersign_trust::chain::Chain;
use countersign_trust::checkpoint::{Checkpoint, signed_checkpoint};
use countersign_trust::ids::Sha256;
use countersign_trust::note::{Note, VerifierKey};

use super::log::SeenLog;
use crate::client::Client;
use crate::output::{Stop, count, plain};

/// How long witnesses are waited for.
const LIMIT: Duration = Duration::from_secs(2);

/// The newest checkpoint that each witness shows and the log has signed.
#[derive(Clone, Debug, Default)]
pub struct Witnessed {
    shown: Vec<(String, Checkpoint)>,
    asked: usize,
}

/// Asks every witness of the newest policy at once. Those who are silent are left out.
pub fn ask(chain: &Chain) -> Witnessed {
    let policy = &chain.policy().body;
    let key = &policy.log.key;
    let path = format!("/{}/checkpoint", Sha256::of(key.name().as_bytes()));
    let asked = policy.addresses.witnesses.len();
    let shown = thread::scope(|scope| {
        let calls: Vec<_> = policy
            .addresses
            .witnesses
            .iter()
            .map(|(name, url)| (name, scope.spawn(|| checkpoint(url.as_str(), &path, key))))
            .collect();
        let answers = calls.into_iter().map(|(name, call)| Some((name.to_string(), call.join().ok()??)));
        answers.flatten().collect()
    });
    Witnessed { shown, asked }
}

fn checkpoint(url: &str, path: &str, log: &VerifierKey) -> Option<Checkpoint> {
    let note: Note = Client::new(url, None, None).ok()?.within(LIMIT).get_text(path).ok()?.parse().ok()?;
    signed_checkpoint(&note, log).ok()
}

impl Witnessed {
    /// A sentence if nobody answered.
    pub fn silence(&self) -> Option<String> {
        let asked = count(self.asked, "witness", "witnesses");
        self.shown.is_empty().then(|| {
            format!("none of {asked} answered: whether the server shows all of its log was asked of nobody")
        })
    }

    /// How many leaves of the log some witness has seen.
    pub fn most(&self) -> Option<u64> {
        self.shown.iter().map(|(_, checkpoint)| checkpoint.size).max()
    }

    /// Refuses a log that is shorter than a witness has seen it, or other at the same size.
    pub fn compare(&self, log: &SeenLog) -> Result<(), Stop> {
        // Of a log that was replaced meanwhile they may have seen whatever its thief showed them: it counts for nothing.
        let newest = self.shown.iter().filter(|(_, checkpoint)| checkpoint.origin == log.origin);
        for (witness, Checkpoint { size, root, .. }) in newest {
            if *size > log.size {
                let what = format!(
                    "the witness {} has seen {size} leaves of the log, the server shows {}",
                    plain(witness),
                    log.size
                );
                return Err(Stop::Alarm(what));
            }
            if *size == log.size && log.root().is_some_and(|mine| mine != *root) {
                let what = format!(
                    "the witness {} has seen another log of {size} leaves: the server shows two histories",
                    plain(witness)
                );
                return Err(Stop::Alarm(what));
            }
        }
        Ok(())
    }
}
