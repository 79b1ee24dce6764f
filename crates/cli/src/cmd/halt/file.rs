//! Halts as a file that can be carried: `countersign-agent halt FILE` takes it, and so does a beacon.

use std::path::Path;

use anyhow::Context as _;
use countersign_trust::delivery::write_sequence;
use countersign_trust::envelope::Signed;

use crate::context::Context;
use crate::os::write_private;
use crate::output::count;

/// Writes them, whole and synced: a stick may be pulled as soon as this returns.
pub fn write(context: &Context, path: &Path, halts: &[&Signed]) -> anyhow::Result<()> {
    let envelopes: Vec<String> = halts.iter().map(ToString::to_string).collect();
    let text = write_sequence(&envelopes);
    write_private(path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
    let number = count(halts.len(), "halt", "halts");
    context.ui.note(&format!(
        "Wrote {number} to {name}. It is no secret. On each machine, as root: countersign-agent halt {name}",
        name = path.display()
    ));
    Ok(())
}
