//! The organization's log, and what somebody can do who has its key: another tree under the same name.

use std::collections::BTreeMap;

use countersign_trust::checkpoint::{AddCheckpoint, Checkpoint, Proof};
use countersign_trust::envelope::Signed;
use countersign_trust::ids::OrgId;
use countersign_trust::merkle::{Tree, leaf_hash};
use countersign_trust::note::{Note, NoteSigner};
use countersign_trust::statement::policy::Policy;
use countersign_trust::time::Time;

use super::independent::Witness;
use crate::organization::{note_key, witness_key};

/// A log.
pub struct Log {
    signer: NoteSigner,
    /// Its leaves.
    pub tree: Tree,
    /// Its newest checkpoint, with all cosignatures there are.
    pub checkpoint: Note,
    /// The size that each witness saw last.
    seen: BTreeMap<String, u64>,
}

impl Log {
    /// The log that `policy` names, with the genesis policy as its first leaf.
    pub fn begin(
        policy: &Policy,
        org: OrgId,
        genesis: &Signed,
        witnesses: &mut [Witness],
        now_ms: u64,
    ) -> Self {
        let mut log = Self::empty(policy.log.key.name());
        witnesses.iter_mut().for_each(|witness| witness.take_policies(org, &[genesis]));
        log.append(&genesis.leaf(&org).unwrap());
        log.cosign(witnesses, now_ms);
        log
    }

    /// An empty log of this origin.
    pub fn empty(origin: &str) -> Self {
        let signer = note_key(origin);
        let (tree, seen) = (Tree::default(), BTreeMap::new());
        let checkpoint = checkpoint(&signer, &tree);
        Self { signer, tree, checkpoint, seen }
    }

    /// The same leaves under the same key: from here on two histories can grow.
    pub fn copy(&self) -> Self {
        Self {
            signer: note_key(self.signer.verifier().name()),
            tree: self.tree.clone(),
            checkpoint: self.checkpoint.clone(),
            seen: self.seen.clone(),
        }
    }

    /// Adds an entry and returns its index. Nobody has cosigned it yet.
    pub fn append(&mut self, entry: &str) -> u64 {
        self.tree.push(leaf_hash(entry.as_bytes()));
        self.checkpoint = checkpoint(&self.signer, &self.tree);
        self.tree.size() - 1
    }

    /// Asks the witnesses to cosign all that there is.
    pub fn cosign(&mut self, witnesses: &mut [Witness], now_ms: u64) {
        let size = self.tree.size();
        let plain = checkpoint(&self.signer, &self.tree);
        for witness in witnesses {
            let old = self.seen.get(&witness.name).copied().unwrap_or(0);
            let consistency = self.tree.consistency(old, size).unwrap();
            let request = AddCheckpoint { old, consistency, checkpoint: plain.clone() };
            if let Some(line) = witness.cosign(&request.to_string(), now_ms) {
                self.seen.insert(witness.name.clone(), size);
                self.checkpoint.add(line).unwrap();
            }
        }
    }

    /// A witness that lies cosigns the newest checkpoint, at any time it likes.
    pub fn cosigned_by_liar(&mut self, witness: &str, time: Time) {
        let line = witness_key(witness).cosign(self.checkpoint.text(), time).unwrap();
        self.checkpoint.add(line).unwrap();
    }

    /// Where an entry stands, in the newest checkpoint.
    pub fn proof(&self, index: u64) -> Proof {
        let inclusion = self.tree.inclusion(index, self.tree.size()).unwrap();
        Proof { extra: None, index, inclusion, checkpoint: self.checkpoint.clone() }
    }
}

fn checkpoint(signer: &NoteSigner, tree: &Tree) -> Note {
    let origin = signer.verifier().name().to_owned();
    let text = Checkpoint { origin, size: tree.size(), root: tree.root() }.to_string();
    signer.note(text).unwrap()
}
