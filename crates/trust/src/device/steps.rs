//! A step's life: written down and begun, watched while it runs, closed by a receipt; after a reboot never run again.
//!
//! Source: docs/spec/6-acceptance.md, "While a step runs" and "Order on disk".

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::receipts::Said;
use super::waiting::Waiting;
use super::{Device, Ending, Output};
use crate::delivery::Delivery;
use crate::ledger::{LedgerError, Record, StepKey, StepState};
use crate::receipt::Verdict;
use crate::statement::job::OnHalt;
use crate::time::{Reading, Time};
use crate::verify::{Facts, Local, VerifiedJob, may_go_on};

#[derive(Debug)]
pub(super) struct Running {
    job: VerifiedJob,
    delivery: Delivery,
    killed: bool,
}

impl Device {
    pub(super) fn accept(
        &mut self,
        job: VerifiedJob,
        delivery: Delivery,
        now: Reading,
        out: &mut Vec<Output>,
    ) -> Result<(), LedgerError> {
        let key = job.key();
        let said = Said { verdict: Verdict::Accepted, ..Said::of(Some(key.job)) }.at(key);
        let kept = self.judged(&delivery, true, now);
        let receipt = self.sign(said, now)?;
        let (state, not_after) = (StepState::Started, job.job().not_after);
        let record = Record::Step { key, state, not_after, receipt: Some(receipt.clone()) };
        let delivery = delivery.to_keep(job.job(), job.advance());
        let mut records = Vec::new();
        if job.job().repeat > 0 && !self.ledger.stands(&key.job) {
            records.extend(self.gives_up_its_place(now).map(Record::Over));
            records.push(Record::Standing(Box::new(delivery.clone())));
        }
        records.push(record);
        self.persist(records, out)?;
        out.push(Output::SendReceipt(receipt));
        out.push(Output::Run(Box::new(job.clone())));
        out.extend(kept);
        self.running.insert(key, Running { job, delivery, killed: false });
        Ok(())
    }

    pub(super) fn ended(
        &mut self,
        key: StepKey,
        ending: &Ending,
        now: Reading,
        out: &mut Vec<Output>,
    ) -> Result<(), LedgerError> {
        let Some(Running { job, delivery, .. }) = self.running.remove(&key) else { return Ok(()) };
        self.stirred = true;
        let state = if ending.well { StepState::EndedWell } else { StepState::Failed };
        let said = Said { verdict: Verdict::Ended, ending: Some(ending), ..Said::of(Some(key.job)) }.at(key);
        self.close(key, state, job.job().not_after, said, now, out)?;
        let more = usize::try_from(key.step).is_ok_and(|step| step + 1 < job.job().steps.len());
        if ending.well && more { self.consider(Waiting { delivery, since: now }, now, out) } else { Ok(()) }
    }

    /// A step found started at boot never runs again.
    pub(super) fn close_interrupted(
        &mut self,
        now: Reading,
        out: &mut Vec<Output>,
    ) -> Result<(), LedgerError> {
        for (key, not_after) in self.ledger.started() {
            let said = Said { verdict: Verdict::Interrupted, ..Said::of(Some(key.job)) }.at(key);
            self.close(key, StepState::Failed, not_after, said, now, out)?;
        }
        Ok(())
    }

    fn close(
        &mut self,
        key: StepKey,
        state: StepState,
        not_after: Time,
        said: Said<'_>,
        now: Reading,
        out: &mut Vec<Output>,
    ) -> Result<(), LedgerError> {
        let receipt = self.sign(said, now)?;
        let record = Record::Step { key, state, not_after, receipt: Some(receipt.clone()) };
        self.persist(alloc::vec![record], out)?;
        out.push(Output::SendReceipt(receipt));
        Ok(())
    }

    pub(super) fn stop_what_may_not_go_on(&mut self, now: Reading, out: &mut Vec<Output>) {
        // Clears need not be fresh to say that a job's end has come.
        let clock = self.clock.as_ref().map_or(self.freshness.as_ref(), Ok);
        let facts = Facts {
            ledger: &self.ledger,
            me: self.ledger.enrolled(),
            freshness: clock,
            now,
            local: Local { version: &self.version, running: 0, disk_full: false },
        };
        for (key, running) in &mut self.running {
            let Err(refusal) = may_go_on(&facts, &running.job) else { continue };
            if !running.killed && running.job.job().on_halt == OnHalt::Kill {
                running.killed = true;
                out.push(Output::Kill(*key, refusal));
            }
        }
    }
}
