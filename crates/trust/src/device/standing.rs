//! Jobs that repeat: kept once they were accepted, and judged again at each occurrence.
//!
//! Source: docs/spec/6-acceptance.md, "Occurrences".

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{Device, Output};
use crate::chain::read;
use crate::clear::lifetime_ms;
use crate::delivery::Delivery;
use crate::ids::Sha256;
use crate::ledger::{LedgerError, Record};
use crate::statement::job::Job;
use crate::time::{Reading, Time};
use crate::verify::{MAX_STANDING, Refusal, cancelled, judge, shows};

/// How often what lacks Clears or room is judged again, in milliseconds, if nothing has come meanwhile.
const TRY_AGAIN_MS: u64 = 5_000;
/// How much earlier than a challenge is drawn again a job is taken as due before that, in seconds: ticks are not on time.
const SLACK_S: u64 = 5;

/// How a job that repeats stands in its occurrence.
#[derive(Debug)]
pub(super) struct Turn {
    /// When its next occurrence begins, or its life ends.
    until: Time,
    /// What it waits for; nothing once its occurrence was judged.
    lacks: Option<Lack>,
}

/// A job that would run, but for Clears or room.
#[derive(Debug)]
struct Lack {
    /// Who lacks for longest is judged first, so that whoever comes last at one minute comes first at the next.
    since: Reading,
    /// Since when nobody has heard of it.
    quiet: Reading,
    /// Whether this occurrence has its refusal.
    told: bool,
    tried: Reading,
    clears: bool,
}

impl Turn {
    /// Whether beacons should be asked for it now, and not only with the next challenge.
    pub(super) fn asks_for_clears(&self) -> bool {
        self.lacks.as_ref().is_some_and(|lack| lack.clears && !lack.told)
    }

    /// Whether nothing is to be done about it.
    fn rests(&self, lo: Time, now: Reading, stirred: bool) -> bool {
        let tried = |lack: &Lack| !stirred && now.since(lack.tried).most_ms < TRY_AGAIN_MS;
        lo < self.until && self.lacks.as_ref().is_none_or(tried)
    }
}

impl Device {
    /// Judges each job that repeats when its next occurrence is due, and again while it lacks only Clears or room.
    pub(super) fn repeat(&mut self, now: Reading, out: &mut Vec<Output>) -> Result<(), LedgerError> {
        let (lo, stirred) = (self.lo(now), core::mem::take(&mut self.stirred));
        self.turns.retain(|hash, _| self.ledger.stands(hash));
        let rests = |hash: &Sha256| self.turns.get(hash).is_some_and(|turn| turn.rests(lo, now, stirred));
        let since =
            |hash: &Sha256| self.turns.get(hash).and_then(|turn| Some(turn.lacks.as_ref()?.since.boot_ms));
        let due = self.ledger.standing().map(|(hash, _)| *hash).filter(|hash| !rests(hash));
        let mut due: Vec<(u64, Sha256)> =
            due.map(|hash| (since(&hash).unwrap_or(now.boot_ms), hash)).collect();
        due.sort_unstable();
        due.into_iter().try_for_each(|(_, hash)| self.take_turn(hash, lo, now, out))
    }

    fn take_turn(
        &mut self,
        hash: Sha256,
        lo: Time,
        now: Reading,
        out: &mut Vec<Output>,
    ) -> Result<(), LedgerError> {
        let Some(delivery) = self.ledger.kept(&hash).cloned() else { return Ok(()) };
        let Ok(job) = read::<Job>(&delivery.job.signed) else { return Ok(()) };
        if lo >= job.not_after {
            return self.persist(alloc::vec![Record::Over(hash)], out);
        }
        let occurrence = job.occurrence(lo);
        let until = job.begins(occurrence.saturating_add(1)).min(job.not_after);
        let before = self.turns.insert(hash, Turn { until, lacks: None });
        let begun = self.ledger.last_occurrence(&hash) >= Some(occurrence);
        if begun && !self.ledger.is_half_done(&hash, job.steps.len()) {
            return Ok(());
        }
        match judge(&self.facts(now), &delivery) {
            Ok(job) => self.accept(job, delivery, now, out),
            Err(refusal) if passes(&refusal) => {
                let lack = Lack::of(before, until, now, &refusal);
                self.lack(hash, until, lack, &refusal, now, out)
            }
            Err(refusal) => self.refuse_job(&delivery, &refusal, now, out),
        }
    }

    /// It is tried again. Once in an occurrence, after a lifetime, somebody hears of it.
    fn lack(
        &mut self,
        hash: Sha256,
        until: Time,
        mut lack: Lack,
        refusal: &Refusal,
        now: Reading,
        out: &mut Vec<Output>,
    ) -> Result<(), LedgerError> {
        let lifetime = self.ledger.chain().map(lifetime_ms).unwrap_or_default();
        let tells = !lack.told && now.since(lack.quiet).most_ms >= lifetime;
        lack.told |= tells;
        self.turns.insert(hash, Turn { until, lacks: Some(lack) });
        if tells { self.refuse(Some(hash), refusal, now, out) } else { Ok(()) }
    }

    /// Whether an occurrence begins before a challenge that is drawn now is drawn again `seconds` later.
    pub(super) fn is_due_within(&self, now: Reading, seconds: u64) -> bool {
        let soon = self.lo(now).plus(seconds).plus(SLACK_S);
        self.turns.values().any(|turn| turn.until <= soon || turn.lacks.is_some())
    }

    /// Of a job that is kept the better of two deliveries is: what counts for nothing never takes the place of what counts.
    pub(super) fn keep_if_better(
        &mut self,
        brought: &Delivery,
        now: Reading,
        out: &mut Vec<Output>,
    ) -> Result<(), LedgerError> {
        let better = match self.ledger.kept(&brought.job.signed.hash()) {
            Some(kept) if self.is_better(brought, kept, now) => self.to_keep(brought, now),
            _ => None,
        };
        self.persist(better.map(|better| Record::Standing(Box::new(better))).into_iter().collect(), out)
    }

    fn to_keep(&self, brought: &Delivery, now: Reading) -> Option<Delivery> {
        let facts = self.facts(now);
        let (job, advance) = (read::<Job>(&brought.job.signed).ok()?, shows(&facts, brought).ok()?);
        Some(brought.to_keep(&job, advance))
    }

    /// Whether a delivery brings what another of the same job lacks.
    pub(super) fn is_better(&self, brought: &Delivery, there: &Delivery, now: Reading) -> bool {
        let facts = self.facts(now);
        shows(&facts, there).is_err() && shows(&facts, brought).is_ok()
    }

    /// One more job that repeats is to be kept: if as many are as may be, one that was cancelled is not any longer.
    pub(super) fn gives_up_its_place(&self, now: Reading) -> Option<Sha256> {
        let full = self.ledger.standing().count() >= MAX_STANDING;
        full.then(|| cancelled(&self.facts(now))).flatten()
    }
}

impl Lack {
    /// What a job lacks that was judged `before`, or for the first time.
    fn of(before: Option<Turn>, until: Time, now: Reading, refusal: &Refusal) -> Self {
        let clears = matches!(refusal, Refusal::NotFresh(_) | Refusal::Aged(_));
        match before {
            Some(Turn { until: was, lacks: Some(lack) }) => {
                // The next occurrence of a job whose last one was refused is quiet from its beginning on.
                let anew = was != until && lack.told;
                let (quiet, told) = if anew { (now, false) } else { (lack.quiet, lack.told) };
                Self { since: lack.since, quiet, told, tried: now, clears }
            }
            _ => Self { since: now, quiet: now, told: false, tried: now, clears },
        }
    }
}

/// Whether a job may run a moment later in the same occurrence: it lacks Clears, or room.
fn passes(refusal: &Refusal) -> bool {
    use Refusal::{Aged, Busy, DiskFull, EarlierRuns, NotFresh, SpoolFull};
    matches!(refusal, NotFresh(_) | Aged(_) | Busy { .. } | SpoolFull { .. } | DiskFull | EarlierRuns { .. })
}
