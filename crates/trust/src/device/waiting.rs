//! What lacks nothing but Clears waits for them, as far as there is room, and is refused after a lifetime. Nobody has signed off
//! on most of it yet, so a hostile server can bring as much of it as it likes.
//!
//! Source: docs/spec/6-acceptance.md, above "Rules".

use alloc::vec::Vec;

use super::{Device, Output};
use crate::clear::lifetime_ms;
use crate::delivery::Delivery;
use crate::envelope::Logged;
use crate::ids::Sha256;
use crate::ledger::LedgerError;
use crate::time::Reading;

/// How many deliveries may wait for Clears.
const MAX_WAITING: usize = 16;
/// How much memory they may take together, in bytes: an honest one takes some ten thousand, with advances for all its waves.
const MAX_WAITING_BYTES: usize = 2 << 20;

/// A delivery that lacks nothing but Clears.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) delivery: Delivery,
    pub(super) since: Reading,
}

impl Device {
    /// Whether `brought` may wait beside what waits.
    pub(super) fn has_room_for(&self, brought: &Waiting) -> bool {
        let held: usize = self.waiting.values().map(|waiting| weight(&waiting.delivery)).sum();
        self.waiting.len() < MAX_WAITING
            && held.saturating_add(weight(&brought.delivery)) <= MAX_WAITING_BYTES
    }

    /// What waited for a lifetime without enough Clears is refused, so that somebody hears of it.
    pub(super) fn give_up_waiting(&mut self, now: Reading, out: &mut Vec<Output>) -> Result<(), LedgerError> {
        let Some(lifetime) = self.ledger.chain().map(lifetime_ms) else { return Ok(()) };
        let aged = |waiting: &Waiting| now.since(waiting.since).most_ms >= lifetime;
        let given_up: Vec<Sha256> =
            self.waiting.iter().filter(|(_, waiting)| aged(waiting)).map(|(hash, _)| *hash).collect();
        for hash in given_up {
            let Some(Waiting { delivery, .. }) = self.waiting.remove(&hash) else { continue };
            let refusal = self.lacking(now);
            self.refuse_and_keep(&delivery, &refusal, now, out)?;
        }
        Ok(())
    }
}

impl Waiting {
    /// Without its news, which have been taken, and its Clears, which were not enough.
    pub(super) fn lightened(mut self) -> Self {
        (self.delivery.news, self.delivery.clears) = (Vec::new(), Vec::new());
        self
    }
}

/// About how much memory a delivery takes without news and Clears, in bytes.
fn weight(delivery: &Delivery) -> usize {
    let path = delivery.target.as_ref().map_or(0, |target| size_of_val(target.path.as_slice()));
    let advances: usize = delivery.advances.iter().map(of_logged).sum();
    of_logged(&delivery.job).saturating_add(path).saturating_add(advances)
}

fn of_logged(Logged { signed, proof }: &Logged) -> usize {
    let signatures: usize = signed.signatures().iter().map(|one| size_of_val(one) + one.blob().len()).sum();
    let extra = proof.extra.as_ref().map_or(0, Vec::len);
    let proof = extra + proof.inclusion.len() * size_of::<Sha256>() + proof.checkpoint.bytes();
    size_of::<Logged>() + signed.statement().len() + signatures + proof
}
