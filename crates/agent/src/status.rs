//! What this machine holds, for people: read from the disk alone.

use std::fmt;
use std::path::Path;

use anyhow::Context as _;
use countersign_agent::disk::canaries::{Canaries, read_canaries};
use countersign_agent::disk::ledger::read_ledger;
use countersign_trust::chain::{Chain, HeldHalt};
use countersign_trust::join::Enrolled;
use countersign_trust::ledger::Ledger;
use countersign_trust::receipt::{Receipt, Verdict};
use countersign_trust::time::Utc;

use crate::by_hand::as_owner;

/// How many refusals are shown.
const REFUSALS: usize = 5;

/// Everything that is shown.
pub struct Status {
    chain: Chain,
    enrolled: Enrolled,
    ledger: Ledger,
    canaries: Canaries,
}

impl Status {
    /// Reads it.
    pub fn read(data: &Path) -> anyhow::Result<Self> {
        let ledger = read_ledger(data).map_err(|error| as_owner(error, data))?;
        let lacks = "no enrollment in the ledger holds by the policies held; enroll this machine anew, in an empty folder";
        let chain = ledger.chain().cloned().context(lacks)?;
        let enrolled = ledger.enrolled().cloned().context(lacks)?;
        let canaries = read_canaries(data)?.unwrap_or_default();
        Ok(Self { chain, enrolled, ledger, canaries })
    }

    fn refusals(&self) -> Vec<Receipt> {
        let receipts = self.ledger.spool().filter_map(|note| note.text().parse::<Receipt>().ok());
        let refused: Vec<_> = receipts.filter(|receipt| receipt.verdict == Verdict::Refused).collect();
        let skip = refused.len().saturating_sub(REFUSALS);
        refused.into_iter().skip(skip).collect()
    }
}

/// The same words as `countersign halt list` has.
fn write_halt(f: &mut fmt::Formatter<'_>, halt: &HeldHalt) -> fmt::Result {
    writeln!(f, "HALTED        {}", halt.body.scope)?;
    writeln!(f, "  halt        {}", halt.hash)?;
    writeln!(f, "  since       {}, by its author's clock", Utc(halt.body.made))?;
    writeln!(f, "  by          {}, key {}; one signature is enough", halt.by, halt.by.keys())?;
    halt.body.reason.as_str().lines().try_for_each(|line| writeln!(f, "  because     > {line}"))
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = self.chain.policy();
        writeln!(f, "device        {}", self.enrolled.device)?;
        writeln!(f, "organization  {} ({})", self.chain.org(), policy.body.name)?;
        writeln!(f, "policy        {} ({})", policy.body.number, policy.hash)?;
        let labels = self.enrolled.labels.iter().map(|(key, value)| format!("{key}={value}"));
        writeln!(f, "labels        {}", labels.collect::<Vec<_>>().join(", "))?;
        writeln!(f, "running       {}", self.ledger.started().len())?;
        writeln!(f, "receipts      {} not acknowledged", self.ledger.spooled())?;
        for (path, seen) in &self.canaries.seen {
            writeln!(f, "canary        {path}: {}", seen.sight.words())?;
        }
        let untold = self.canaries.notes.iter().filter(|kept| !kept.acknowledged).count();
        if untold > 0 {
            writeln!(f, "canaries      {untold} notes not acknowledged")?;
        }
        if self.chain.active_halts().next().is_none() {
            writeln!(f, "halts         none: nothing is stopped here by what this machine holds")?;
        }
        for halt in self.chain.active_halts() {
            write_halt(f, halt)?;
        }
        for refusal in self.refusals() {
            let job = refusal.job.map_or_else(|| "no job".to_owned(), |job| job.to_string());
            writeln!(f, "refused       {job}: {}", refusal.because)?;
        }
        Ok(())
    }
}
