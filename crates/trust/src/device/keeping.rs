//! What a device keeps as evidence: what it was brought, with everything by which it was judged, so that the same rule can be asked
//! again by somebody else; and its receipts in the log.
//!
//! Only what has a receipt of its own is kept: a flood of what is refused is counted, and fills no disk.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::{Device, HeldClears, Judged, Keep, Output};
use crate::clear::{AnsweredClear, Freshness};
use crate::delivery::Delivery;
use crate::ledger::LedgerError;
use crate::time::Reading;
use crate::verify::Refusal;

impl Device {
    /// Refuses a job, and keeps what was refused if a receipt tells of it.
    pub(super) fn refuse_and_keep(
        &mut self,
        delivery: &Delivery,
        refusal: &Refusal,
        now: Reading,
        out: &mut Vec<Output>,
    ) -> Result<(), LedgerError> {
        let kept = self.judged(delivery, false, now);
        let (before, _) = self.ledger.next_receipt();
        self.refuse(Some(delivery.job.signed.hash()), refusal, now, out)?;
        let (after, _) = self.ledger.next_receipt();
        out.extend(kept.filter(|_| after > before));
        Ok(())
    }

    /// A delivery as it is about to be judged, before anything comes of it.
    pub(super) fn judged(&self, delivery: &Delivery, accepted: bool, now: Reading) -> Option<Output> {
        let (chain, hash) = (self.ledger.chain()?, delivery.job.signed.hash());
        let none = BTreeSet::new();
        let theirs = self.freshness.as_ref().map_or(&none, Freshness::halts);
        let steps = self.ledger.steps_of(&hash);
        let Delivery { job, target, advances, .. } = delivery;
        let judged = Judged {
            number: self.ledger.next_receipt().0,
            accepted,
            time: self.lo(now),
            delivery: Delivery {
                job: job.clone(),
                news: Vec::new(),
                clears: Vec::new(),
                target: target.clone(),
                advances: advances.clone(),
            },
            clears: self.came.clone(),
            now,
            floor: self.ledger.floor(),
            version: self.version.clone(),
            running: self.running.len(),
            receipts: self.ledger.spooled(),
            disk_full: self.disk_full,
            steps: steps.map(|(key, state)| (key.occurrence, key.step, *state)).collect(),
            policy: chain.policy().hash,
            resume: chain.resume(),
            halts: chain.active_halts_with(theirs).map(|halt| halt.hash).collect(),
        };
        Some(Output::Keep(Keep::Judged(Box::new(judged))))
    }

    /// Clears that are enough, as they came: of those that answer one challenge, one of each beacon.
    pub(super) fn as_they_came(&self, answers: &[AnsweredClear], now: Reading) -> Option<HeldClears> {
        let beacons = &self.ledger.chain()?.policy().body.beacons.keys;
        let by = |answer: &AnsweredClear| beacons.iter().find(|key| answer.clear.signed_by(key));
        let counts = |answer: &&AnsweredClear| by(answer).is_some() && self.challenges.of(answer).is_some();
        let (challenge, drawn) = answers.iter().find(counts).and_then(|answer| self.challenges.of(answer))?;
        let mut spoken = BTreeSet::new();
        let answers = answers
            .iter()
            .filter(|answer| self.challenges.of(answer).is_some_and(|(other, _)| other == challenge))
            .filter(|answer| by(answer).is_some_and(|key| spoken.insert(*key.raw())))
            .cloned()
            .collect();
        Some(HeldClears { challenge, drawn, arrived: now, answers })
    }
}
