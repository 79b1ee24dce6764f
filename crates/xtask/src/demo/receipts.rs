//! What machines said of the thief, taken from receipts whose signatures hold: the thief, who brings them, is not believed.

use super::stage::Stage;
use crate::shell::output;
use anyhow::{Context as _, bail};
use countersign_trust::ids::DeviceId;
use countersign_trust::note::{Note, VerifierKey};
use countersign_trust::receipt::{Receipt, Verdict};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The key of each machine, as the machine itself prints it.
pub fn device_keys(stage: &Stage) -> anyhow::Result<BTreeMap<DeviceId, VerifierKey>> {
    let mut keys = BTreeMap::new();
    for folder in fs::read_dir(stage.folder.join("agents")).context("no agents")? {
        let printed =
            output(stage.program("countersign-agent").arg("--data").arg(folder?.path()).arg("key"))?;
        let key: VerifierKey = printed.lines().next().unwrap_or_default().parse()?;
        keys.insert(DeviceId::of_key(key.raw()), key);
    }
    Ok(keys)
}

/// What the receipts in a folder say of refusals, and how often. One that its machine did not sign is an error.
pub fn refusals(
    folder: &Path,
    keys: &BTreeMap<DeviceId, VerifierKey>,
) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut sentences = BTreeMap::new();
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        let note: Note = fs::read_to_string(&path)?.parse().with_context(|| path.display().to_string())?;
        let receipt: Receipt = note.text().parse().with_context(|| path.display().to_string())?;
        if !keys.get(&receipt.device).is_some_and(|key| note.signed_by(key)) {
            bail!("{} is not signed by the machine it names", path.display());
        }
        if receipt.verdict == Verdict::Refused {
            *sentences.entry(receipt.because.to_string()).or_default() += 1;
        }
    }
    Ok(sentences)
}
