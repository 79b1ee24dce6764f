//! What a device says of what it did: it signs receipts, and keeps each until it is shown that the log has it.
//!
//! Source: docs/spec/7-receipts.md.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{Acknowledged, Device, Ending, Keep, Output};
use crate::envelope::leaf;
use crate::ids::{DeviceId, Sha256};
use crate::ledger::{LedgerError, Record, StepKey};
use crate::merkle::{leaf_hash, verify_inclusion};
use crate::note::Note;
use crate::receipt::{Reason, Receipt, Verdict};
use crate::time::Reading;
use crate::verify::Code;

/// What a receipt is to say, besides what is the same for all.
pub(super) struct Said<'a> {
    pub(super) job: Option<Sha256>,
    pub(super) occurrence: u64,
    pub(super) step: u64,
    pub(super) verdict: Verdict,
    pub(super) count: u64,
    pub(super) code: Option<Code>,
    pub(super) because: Reason,
    pub(super) ending: Option<&'a Ending>,
}

impl Said<'_> {
    pub(super) fn of(job: Option<Sha256>) -> Self {
        let (verdict, because) = (Verdict::Refused, Reason::default());
        Self { job, occurrence: 0, step: 0, verdict, count: 1, code: None, because, ending: None }
    }

    pub(super) fn at(self, key: StepKey) -> Self {
        Self { occurrence: key.occurrence, step: key.step, ..self }
    }
}

impl Device {
    pub(super) fn say(
        &mut self,
        said: Said<'_>,
        now: Reading,
        out: &mut Vec<Output>,
    ) -> Result<(), LedgerError> {
        let receipt = self.sign(said, now)?;
        self.persist(alloc::vec![Record::Receipt(receipt.clone())], out)?;
        out.push(Output::SendReceipt(receipt));
        Ok(())
    }

    pub(super) fn sign(&self, said: Said<'_>, now: Reading) -> Result<Note, LedgerError> {
        let enroll = self.me().map(|me| me.enroll).or(self.ledger.was_enrolled());
        let (Some(chain), Some(enroll)) = (self.ledger.chain(), enroll) else {
            return Err(LedgerError::NoBeginning);
        };
        let (number, previous) = self.ledger.next_receipt();
        let (because, output, kept, dropped) = match said.ending {
            Some(ending) => (Reason::new(&ending.how), Some(ending.output), ending.kept, ending.dropped),
            None => (said.because, None, 0, 0),
        };
        let receipt = Receipt {
            org: chain.org(),
            device: DeviceId::of_key(self.signer.verifier().raw()),
            number,
            previous,
            job: said.job,
            occurrence: said.occurrence,
            step: said.step,
            verdict: said.verdict,
            count: said.count,
            code: said.code,
            because,
            output,
            kept,
            dropped,
            policy: chain.policy().hash,
            enroll,
            time: self.lo(now),
        };
        self.signer
            .note(alloc::format!("{receipt}"))
            .map_err(|error| LedgerError::Note(alloc::format!("{error}")))
    }

    /// A receipt stands in the log.
    pub(super) fn acknowledged(
        &mut self,
        shown: &Acknowledged,
        out: &mut Vec<Output>,
    ) -> Result<(), LedgerError> {
        let (Some(chain), Some(note)) = (self.ledger.chain(), self.ledger.receipt(shown.number)) else {
            return Ok(());
        };
        let Acknowledged { number, index, size, path, root, proof } = shown;
        let in_batch = verify_inclusion(leaf_hash(note.text().as_bytes()), *index, *size, path, *root);
        let entry = leaf(&chain.org(), "receipts", root, &Sha256::of(b""));
        if in_batch.is_err() || chain.logged(&entry, proof).is_err() {
            return Ok(());
        }
        // Receipts are chained: one that is in the log names all before it, but only the oldest lets go of itself.
        let oldest = self.ledger.spool().next().map(Note::text) == Some(note.text());
        if !oldest {
            return Ok(());
        }
        let kept = Keep::Logged(note.clone(), Box::new(shown.clone()));
        self.persist(alloc::vec![Record::Acknowledged(*number)], out)?;
        out.push(Output::Keep(kept));
        Ok(())
    }
}
