//! What a stolen log key can do: log anything, and have honest witnesses see it.

use anyhow::{Context, bail};
use countersign_trust::chain::Chain;
use countersign_trust::checkpoint::{AddCheckpoint, Checkpoint, Proof};
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::merkle::{Tree, leaf_hash};
use countersign_trust::note::{Note, NoteSigner, Signature};

use crate::https::post;

/// The stolen log.
pub struct StolenLog {
    /// Its leaves so far.
    pub tree: Tree,
    /// Its key.
    pub key: NoteSigner,
}

impl StolenLog {
    /// Logs `signed` and has the witnesses cosign it.
    pub async fn log(&mut self, chain: &Chain, signed: Signed) -> anyhow::Result<Logged> {
        let entry = signed.leaf(&chain.org())?;
        self.tree.push(leaf_hash(entry.as_bytes()));
        let (size, index) = (self.tree.size(), self.tree.size() - 1);
        let origin = self.key.verifier().name().to_owned();
        let text = Checkpoint { origin, size, root: self.tree.root() }.to_string();
        let mut checkpoint = self.key.note(text)?;
        for url in chain.policy().body.addresses.witnesses.values() {
            for cosignature in self.cosign(url.as_str(), &checkpoint).await? {
                checkpoint.add(cosignature)?;
            }
        }
        let inclusion = self.tree.inclusion(index, size)?;
        Ok(Logged { signed, proof: Proof { extra: None, index, inclusion, checkpoint } })
    }

    /// Asks one witness; it says from which size on it wants to be shown consistency.
    async fn cosign(&self, url: &str, checkpoint: &Note) -> anyhow::Result<Vec<Signature>> {
        let bare: Note =
            format!("{}\n{}\n", checkpoint.text(), checkpoint.signatures().first().context("unsigned")?)
                .parse()?;
        let mut old = 0;
        for _ in 0..3 {
            let consistency =
                if old == 0 { Vec::new() } else { self.tree.consistency(old, self.tree.size())? };
            let request = AddCheckpoint { old, consistency, checkpoint: bare.clone() };
            let (status, answer) = post(url, "/add-checkpoint", request.to_string()).await?;
            match status {
                200 => return Ok(answer.lines().map(str::parse).collect::<Result<_, _>>()?),
                409 => old = answer.trim().parse().context("a witness that names no size")?,
                _ => bail!("the witness {url} says {status}: {answer}"),
            }
        }
        bail!("the witness {url} does not settle on a size")
    }
}
