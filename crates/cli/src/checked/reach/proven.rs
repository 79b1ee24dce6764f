//! Which beacons have shown that they hold what is newest: a beacon signs only what is on its disk, so it need not be asked again.

use std::collections::BTreeSet;

use countersign_trust::chain::Chain;
use countersign_trust::clear::Clear;
use countersign_trust::lines::or_none;
use countersign_trust::note::VerifierKey;

use crate::home::Profile;

const FILE: &str = "reached";

/// Beacons that have shown that they hold one policy and one resume, or later ones.
pub struct Proven {
    /// `<policy> <resume>`.
    newest: String,
    keys: BTreeSet<VerifierKey>,
}

impl Proven {
    /// What is known of the newest policy and resume of `chain`.
    pub fn of(profile: &Profile, chain: &Chain) -> Self {
        let newest = format!("{} {}", chain.policy().hash, or_none(&chain.resume()));
        let kept = profile.kept(FILE).unwrap_or_default();
        let mut lines = kept.lines();
        let keys = match lines.next() {
            Some(of) if of == newest => lines.filter_map(|key| key.parse().ok()).collect(),
            _ => BTreeSet::new(),
        };
        Self { newest, keys }
    }

    /// Adds those whose Clear names what is newest here.
    pub fn add<'a>(&mut self, chain: &Chain, said: impl Iterator<Item = (&'a VerifierKey, &'a Clear)>) {
        let newest = |clear: &Clear| clear.policy == chain.policy().hash && clear.resume == chain.resume();
        self.keys.extend(said.filter(|(_, clear)| newest(clear)).map(|(key, _)| key.clone()));
    }

    /// Whether this one has.
    pub fn has(&self, key: &VerifierKey) -> bool {
        self.keys.contains(key)
    }

    /// All of them.
    pub fn keys(&self) -> Vec<VerifierKey> {
        self.keys.iter().cloned().collect()
    }

    /// Remembers them.
    pub fn keep(&self, profile: &Profile) -> anyhow::Result<()> {
        let keys: String = self.keys.iter().map(|key| format!("{key}\n")).collect();
        profile.keep(FILE, format!("{}\n{keys}", self.newest).as_bytes())
    }
}
