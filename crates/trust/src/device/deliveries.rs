//! What becomes of a delivery: the acceptance rule is asked, and the job runs, is refused, or waits for Clears.
//!
//! Source: docs/spec/6-acceptance.md; of a job that is kept, "Occurrences".

use alloc::vec::Vec;

use super::waiting::Waiting;
use super::{Device, Output};
use crate::delivery::Delivery;
use crate::ledger::{LedgerError, Record};
use crate::time::Reading;
use crate::verify::{Refusal, judge};

impl Device {
    pub(super) fn delivered(
        &mut self,
        delivery: Delivery,
        now: Reading,
        out: &mut Vec<Output>,
    ) -> Result<(), LedgerError> {
        self.take_news(&delivery.news, out)?;
        let waited = self.waiting.remove(&delivery.job.signed.hash());
        if !delivery.clears.is_empty() {
            self.clears(&delivery.clears, now, out)?;
        }
        self.keep_if_better(&delivery, now, out)?;
        // Brought again it waits no longer than it would have, and never with less than what was there.
        let brought = match waited {
            Some(Waiting { delivery: there, since }) => {
                let better = self.is_better(&delivery, &there, now);
                Waiting { delivery: if better { delivery } else { there }, since }
            }
            None => Waiting { delivery, since: now },
        };
        self.consider(brought, now, out)
    }

    /// Judges a delivery: runs it, refuses it, or lets it wait if nothing but Clears is missing.
    pub(super) fn consider(
        &mut self,
        mut brought: Waiting,
        now: Reading,
        out: &mut Vec<Output>,
    ) -> Result<(), LedgerError> {
        let hash = brought.delivery.job.signed.hash();
        if let Some(kept) = self.ledger.kept(&hash) {
            // What would be better has been kept; nothing worse speaks for it.
            brought.delivery = kept.clone();
        }
        match judge(&self.facts(now), &brought.delivery) {
            Ok(job) => self.accept(job, brought.delivery, now, out),
            Err(Refusal::NotFresh(_) | Refusal::Aged(_)) if self.has_room_for(&brought) => {
                self.waiting.insert(hash, brought.lightened());
                Ok(())
            }
            Err(refusal) => self.refuse_job(&brought.delivery, &refusal, now, out),
        }
    }

    /// Refuses a job, and lets go of it if it is one that repeats and is over.
    pub(super) fn refuse_job(
        &mut self,
        delivery: &Delivery,
        refusal: &Refusal,
        now: Reading,
        out: &mut Vec<Output>,
    ) -> Result<(), LedgerError> {
        let hash = delivery.job.signed.hash();
        if self.ledger.stands(&hash) && is_over(refusal) {
            self.persist(alloc::vec![Record::Over(hash)], out)?;
        }
        self.refuse_and_keep(delivery, refusal, now, out)
    }
}

/// Whether a job that repeats will never run again.
fn is_over(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Expired { .. } | Refusal::Cut(_) | Refusal::Retired(_))
}
