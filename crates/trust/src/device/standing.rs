//! Jobs that repeat: kept once they were accepted, and judged again at each occurrence.

use alloc::vec::Vec;

use super::{Device, Output, Waiting};
use crate::chain::read;
use crate::delivery::Delivery;
use crate::ids::Sha256;
use crate::ledger::{LedgerError, Record};
use crate::statement::job::Job;
use crate::time::Reading;

impl Device {
    /// Judges a job that repeats as soon as its next occurrence is due; whatever comes of it, once.
    pub(super) fn repeat(&mut self, now: Reading, out: &mut Vec<Output>) -> Result<(), LedgerError> {
        let lo = self.lo(now);
        self.next.retain(|hash, _| self.ledger.stands(hash));
        let known = |hash| self.next.get(hash).is_some_and(|next| lo < *next);
        let looked_at: Vec<_> = self.ledger.standing().filter(|(hash, _)| !known(hash)).collect();
        let looked_at: Vec<(Sha256, Delivery)> =
            looked_at.into_iter().map(|(hash, delivery)| (*hash, delivery.clone())).collect();
        for (hash, delivery) in looked_at {
            let Ok(job) = read::<Job>(&delivery.job.signed) else { continue };
            if lo >= job.not_after {
                self.persist(alloc::vec![Record::Over(hash)], out)?;
                continue;
            }
            let occurrence = job.occurrence(lo);
            let judged = self.ledger.last_occurrence(&hash) >= Some(occurrence);
            self.next.insert(hash, job.begins(occurrence.saturating_add(1)).min(job.not_after));
            if !judged && !self.waiting.contains_key(&hash) {
                self.consider(Waiting { delivery, since: now }, now, out)?;
            }
        }
        Ok(())
    }
}
