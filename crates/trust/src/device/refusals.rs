//! Refusals leave a trace: one by one, and beyond a rate counted by reason.
//!
//! Source: docs/spec/7-receipts.md.

use alloc::collections::BTreeMap;

use super::receipts::Said;
use super::{Device, Output};
use crate::ids::Sha256;
use crate::ledger::LedgerError;
use crate::receipt::{Reason, Verdict};
use crate::time::Reading;
use crate::verify::{Code, MAX_SPOOL, Refusal};
use alloc::vec::Vec;

/// How many refusals a minute get a receipt of their own.
const MAX_REFUSALS: u64 = 30;
/// That minute, in milliseconds.
const REFUSAL_SPAN_MS: u64 = 60_000;
/// Refusals of the current minute.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    since: Option<Reading>,
    told: u64,
    /// By their codes, of which there are few: a flood of one kind hides no other, and takes no more memory.
    untold: BTreeMap<Code, Untold>,
}

/// Refusals of one code that have no receipt of their own.
#[derive(Debug)]
struct Untold {
    count: u64,
    /// The last one's.
    job: Option<Sha256>,
    /// The last one's.
    because: Reason,
}

impl Refusals {
    fn leave_untold(&mut self, code: Code, job: Option<Sha256>, because: Reason) {
        let count = self.untold.get(&code).map_or(1, |untold| untold.count.saturating_add(1));
        self.untold.insert(code, Untold { count, job, because });
    }
}

impl Device {
    pub(super) fn refuse(
        &mut self,
        job: Option<Sha256>,
        refusal: &Refusal,
        now: Reading,
        out: &mut Vec<Output>,
    ) -> Result<(), LedgerError> {
        if self.me().is_none() && self.ledger.was_enrolled().is_none() {
            // Nobody to sign a receipt as.
            return Ok(());
        }
        let (code, because) = (Code::of(refusal), Reason::new(refusal));
        let since = *self.refusals.since.get_or_insert(now);
        let too_many = now.since(since).most_ms < REFUSAL_SPAN_MS && self.refusals.told >= MAX_REFUSALS;
        if too_many || self.ledger.spooled() >= MAX_SPOOL {
            self.refusals.leave_untold(code, job, because);
            return Ok(());
        }
        self.refusals.told += 1;
        self.say(Said { verdict: Verdict::Refused, code: Some(code), because, ..Said::of(job) }, now, out)
    }

    /// At the end of a minute with too many refusals, one receipt of each code stands for all that had none; with a full
    /// spool later.
    pub(super) fn tell_untold_refusals(
        &mut self,
        now: Reading,
        out: &mut Vec<Output>,
    ) -> Result<(), LedgerError> {
        if self.refusals.since.is_none_or(|since| now.since(since).most_ms < REFUSAL_SPAN_MS) {
            return Ok(());
        }
        while self.ledger.spooled() < MAX_SPOOL {
            let Some((code, Untold { count, job, because })) = self.refusals.untold.pop_first() else {
                self.refusals = Refusals::default();
                break;
            };
            let said = Said { verdict: Verdict::Refused, code: Some(code), because, count, ..Said::of(job) };
            self.say(said, now, out)?;
        }
        Ok(())
    }
}
