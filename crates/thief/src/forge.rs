//! What a stolen log key can do: log anything, and have honest witnesses see it.

use anyhow::{Context, bail};
use countersign_trust::checkpoint::{AddCheckpoint, Checkpoint, Proof};
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::Sha256;
use countersign_trust::merkle::{Tree, leaf_hash};
use countersign_trust::note::{Note, NoteSigner, Signature};

use crate::https::post;
use crate::loot::Loot;

/// The stolen log.
pub struct StolenLog<'a> {
    loot: &'a Loot,
    leaves: Vec<Sha256>,
    key: NoteSigner,
}

impl<'a> StolenLog<'a> {
    /// The log as the server left it.
    pub fn new(loot: &'a Loot) -> anyhow::Result<Self> {
        Ok(Self { loot, leaves: loot.leaves.clone(), key: loot.log_key()? })
    }

    /// Logs `signed`, unless it stands there already, and has the witnesses cosign the log.
    pub async fn log(&mut self, signed: Signed) -> anyhow::Result<Logged> {
        let chain = &self.loot.chain;
        let entry = signed.leaf(&chain.org())?;
        let hash = leaf_hash(entry.as_bytes());
        let known = self.leaves.iter().position(|leaf| *leaf == hash);
        let place = known.unwrap_or(self.leaves.len());
        if known.is_none() {
            self.loot.write_leaf(place, &hash, &entry).await?;
            self.leaves.push(hash);
        }
        let tree: Tree = self.leaves.iter().copied().collect();
        let (size, index) = (tree.size(), u64::try_from(place)?);
        let origin = self.key.verifier().name().to_owned();
        let text = Checkpoint { origin, size, root: tree.root() }.to_string();
        let mut checkpoint = self.key.note(text)?;
        let bare = checkpoint.clone();
        for url in chain.policy().body.addresses.witnesses.values() {
            for cosignature in cosign(&tree, url.as_str(), &bare).await? {
                checkpoint.add(cosignature)?;
            }
        }
        let inclusion = tree.inclusion(index, size)?;
        Ok(Logged { signed, proof: Proof { extra: None, index, inclusion, checkpoint } })
    }
}

/// Asks one witness; it says from which size on it wants to be shown consistency.
async fn cosign(tree: &Tree, url: &str, checkpoint: &Note) -> anyhow::Result<Vec<Signature>> {
    let mut old = 0;
    for _ in 0..3 {
        let consistency = if old == 0 { Vec::new() } else { tree.consistency(old, tree.size())? };
        let request = AddCheckpoint { old, consistency, checkpoint: checkpoint.clone() };
        let (status, answer) = post(url, "/add-checkpoint", request.to_string()).await?;
        match status {
            200 => return Ok(answer.lines().map(str::parse).collect::<Result<_, _>>()?),
            409 => old = answer.trim().parse().context("a witness that names no size")?,
            _ => bail!("the witness {url} says {status}: {answer}"),
        }
    }
    bail!("the witness {url} does not settle on a size")
}
