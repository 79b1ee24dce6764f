//! When a device asks for Clears, which of them it keeps, and how late it is by them.
//!
//! Source: docs/spec/5-clear.md.

use alloc::vec::Vec;

use super::standing::Turn;
use super::{Device, Moment, Output};
use crate::clear::{AnsweredClear, Freshness, NotFresh, check_clears, lifetime_ms};
use crate::floor;
use crate::ledger::{Ledger, LedgerError, Record};
use crate::time::{Reading, Time};
use crate::verify::Refusal;

/// Every so many challenges beacons are asked, whatever the server brings: every eighth is each 8 minutes at 180 s.
const ASK_ANYWAY: u64 = 8;
/// How often beacons are asked again while something waits for them, in milliseconds.
const ASK_AGAIN_MS: u64 = 5_000;

impl Device {
    /// Draws a challenge each third of the lifetime.
    pub(super) fn renew_challenge(&mut self, moment: Moment, out: &mut Vec<Output>) {
        let Some(chain) = self.ledger.chain() else { return };
        let due = lifetime_ms(chain) / 3;
        if self.challenges.newest().is_some_and(|(_, drawn)| moment.now.since(drawn).most_ms < due) {
            return;
        }
        let unprompted = self.renewals.is_multiple_of(ASK_ANYWAY);
        self.renewals = self.renewals.wrapping_add(1);
        self.challenges.draw(moment.random, moment.now);
        if self.connected {
            out.push(Output::LeaveChallenge(moment.random));
        }
        // A server that is there may still keep halts to itself. So the beacons are asked themselves: while something runs that
        // a halt would stop, while no server is there, while nothing says when standing work is due, before it is due (each device
        // in its own moment, so that a fleet does not ask all at once), and now and then.
        let timeless = self.clock.is_none() && self.ledger.standing().next().is_some();
        let standing = timeless || self.is_due_within(moment.now, due / 1_000);
        if unprompted || !self.connected || !self.running.is_empty() || standing {
            out.push(Output::AskBeacons(moment.random));
        }
    }

    pub(super) fn ask_if_waiting(&mut self, now: Reading, out: &mut Vec<Output>) {
        let asked_lately = self.asked.is_some_and(|asked| now.since(asked).most_ms < ASK_AGAIN_MS);
        let lacks = !self.waiting.is_empty() || self.turns.values().any(Turn::asks_for_clears);
        if !lacks || asked_lately {
            return;
        }
        self.asked = Some(now);
        out.extend(self.challenge().map(Output::AskBeacons));
    }

    pub(super) fn clears(
        &mut self,
        answers: &[AnsweredClear],
        now: Reading,
        out: &mut Vec<Output>,
    ) -> Result<(), LedgerError> {
        self.take_clears(answers, now, out)?;
        if self.freshness.is_err() {
            return Ok(());
        }
        self.stirred = true;
        for (_, waiting) in core::mem::take(&mut self.waiting) {
            self.consider(waiting, now, out)?;
        }
        Ok(())
    }

    /// Keeps better Clears; worse ones do not take away what is held.
    fn take_clears(
        &mut self,
        answers: &[AnsweredClear],
        now: Reading,
        out: &mut Vec<Output>,
    ) -> Result<(), LedgerError> {
        let Some(chain) = self.ledger.chain() else { return Ok(()) };
        let known = floor::known(self.clock.as_ref(), self.ledger.floor(), now);
        let need = usize::from(chain.policy().body.beacons.need.get());
        let fresh = check_clears(chain, &self.challenges, answers, now)
            .and_then(|fresh| floor::weigh(fresh, &mut self.leap, known, need, now));
        let held = self.freshness.as_ref().ok().filter(|held| held.still_good(chain, now).is_ok());
        let worse =
            |held: &Freshness| fresh.as_ref().map_or(true, |fresh| fresh.age_ms(now) > held.age_ms(now));
        if held.is_some_and(worse) {
            return Ok(());
        }
        self.came = fresh.is_ok().then(|| self.as_they_came(answers, now)).flatten();
        let before = self.lo(now);
        self.clock = fresh.as_ref().ok().cloned().or(self.clock.take());
        self.freshness = fresh;
        let (lo, floor) = (self.lo(now), self.ledger.floor());
        // Written down when it has risen by a minute, and when other beacons' clocks would let it fall.
        let due = lo < before || lo >= floor.plus(60);
        self.persist(due.then(|| Record::Floor(lo.max(before))).into_iter().collect(), out)
    }

    /// The earliest it can be, as far as this device has ever known.
    pub(super) fn lo(&self, now: Reading) -> Time {
        let floor = self.ledger.floor();
        self.clock.as_ref().map_or(floor, |clock| clock.window(now, floor).lo)
    }

    /// Why the Clears held are not enough.
    pub(super) fn lacking(&self, now: Reading) -> Refusal {
        let aged = |held: &Freshness| held.still_good(self.ledger.chain()?, now).err();
        match &self.freshness {
            Err(lack) => Refusal::NotFresh(lack.clone()),
            Ok(held) => aged(held).map_or_else(|| no_clears(&self.ledger).into(), Refusal::Aged),
        }
    }
}

/// No Clears at all, of those that the policy asks for.
pub(super) fn no_clears(ledger: &Ledger) -> NotFresh {
    let need = ledger.chain().map_or(1, |chain| usize::from(chain.policy().body.beacons.need.get()));
    NotFresh { got: 0, need, faults: Vec::new() }
}
