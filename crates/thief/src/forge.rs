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
    tree: Tree,
    key: NoteSigner,
}

impl<'a> StolenLog<'a> {
    /// The log as the server left it.
    ///
    /// # Errors
    /// The loot holds no log key.
    pub fn new(loot: &'a Loot) -> anyhow::Result<Self> {
        let (leaves, tree) = (loot.leaves.clone(), loot.leaves.iter().copied().collect());
        Ok(Self { loot, leaves, tree, key: loot.log_key()? })
    }

    /// The tree as it stands.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The stolen key.
    pub fn key(&self) -> &NoteSigner {
        &self.key
    }

    /// Puts `signed` at the log's end, unless it stands there already; its place. Nothing is written down.
    ///
    /// # Errors
    /// It is of no kind.
    pub fn append(&mut self, signed: &Signed) -> anyhow::Result<u64> {
        let hash = leaf_hash(signed.leaf(&self.loot.chain.org())?.as_bytes());
        let place = self.leaves.iter().position(|leaf| *leaf == hash).unwrap_or(self.leaves.len());
        if place == self.leaves.len() {
            self.leaves.push(hash);
            self.tree.push(hash);
        }
        Ok(u64::try_from(place)?)
    }

    /// The log as it stands, signed, and cosigned by every honest witness.
    ///
    /// # Errors
    /// A witness does not answer as it should.
    pub async fn cosigned(&self) -> anyhow::Result<Note> {
        let origin = self.key.verifier().name().to_owned();
        let text = Checkpoint { origin, size: self.tree.size(), root: self.tree.root() }.to_string();
        let mut checkpoint = self.key.note(text)?;
        let bare = checkpoint.clone();
        for url in self.loot.chain.policy().body.addresses.witnesses.values() {
            for cosignature in cosign(&self.tree, url.as_str(), &bare).await? {
                checkpoint.add(cosignature)?;
            }
        }
        Ok(checkpoint)
    }

    /// Logs `signed`, unless it stands there already, and has the witnesses cosign the log.
    pub(crate) async fn log(&mut self, signed: Signed) -> anyhow::Result<Logged> {
        let (before, index) = (self.tree.size(), self.append(&signed)?);
        if index == before {
            let entry = signed.leaf(&self.loot.chain.org())?;
            self.loot.write_leaf(usize::try_from(index)?, &leaf_hash(entry.as_bytes()), &entry).await?;
        }
        let (checkpoint, inclusion) = (self.cosigned().await?, self.tree.inclusion(index, self.tree.size())?);
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
