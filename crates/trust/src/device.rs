//! A device's life: what it does about what it hears, as a function of its state, the input and the clocks.
//!
//! The program around it is one loop: it carries inputs in and does what the outputs say, in their order. An output
//! [`Output::Persist`] is on disk before any output after it has an effect.

mod news;
mod refusals;
mod standing;
mod waiting;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::checkpoint::Proof;
use crate::clear::{AnsweredClear, Challenges, Freshness, NotFresh, check_clears, lifetime_ms};
use crate::delivery::{Delivery, News};
use crate::floor::{self, Leap};
use crate::ids::Sha256;
use crate::join::Enrolled;
use crate::ledger::{Ledger, LedgerError, Record, StepKey, StepState};
use crate::note::{Note, NoteSigner};
use crate::receipt::{Reason, Receipt, Verdict};
use crate::statement::job::OnHalt;
use crate::time::{Reading, Time};
use crate::verify::{Code, Facts, Local, Refusal, VerifiedJob, judge, may_go_on};
use refusals::Refusals;
use standing::Turn;

/// Every so many challenges beacons are asked, whatever the server brings: every eighth is each 8 minutes at 180 s.
const ASK_ANYWAY: u64 = 8;
/// How often beacons are asked again while something waits for them, in milliseconds.
const ASK_AGAIN_MS: u64 = 5_000;

/// A moment: what the clocks say, and 32 random bytes that nobody has seen.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The clocks.
    pub now: Reading,
    /// Fresh randomness: it becomes a challenge if one is due.
    pub random: [u8; 32],
}

/// What a device hears.
#[derive(Debug)]
pub enum Input {
    /// It came up: comes once, first.
    Started,
    /// The server answers.
    Connected,
    /// The server is gone.
    Disconnected,
    /// Some time passed; comes every second or so.
    Tick,
    /// The server brought a job.
    Delivered(Box<Delivery>),
    /// The server brought a delivery that cannot be read, for this reason, and beside it news that can.
    Unreadable(String, Vec<News>),
    /// Anybody brought policies, resumes or halts.
    News(Vec<News>),
    /// Beacons answered directly.
    Clears(Vec<AnsweredClear>),
    /// A step came to its end.
    Ended(StepKey, Ending),
    /// Somebody shows that a receipt stands in the log.
    Acknowledged(Box<Acknowledged>),
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Whether the next step may follow.
    pub well: bool,
    /// In words: `exit 0`, `signal 9`, `timeout`, `halted`.
    pub how: String,
    /// SHA-256 of the output that was kept.
    pub output: Sha256,
    /// Bytes kept.
    pub kept: u64,
    /// Bytes beyond the cap.
    pub dropped: u64,
}

/// The place of a receipt in a batch whose root is a leaf of the log.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// The receipt's number.
    pub number: u64,
    /// Which leaf of the batch.
    pub index: u64,
    /// How many leaves the batch has.
    pub size: u64,
    /// From the leaf's sibling upwards.
    pub path: Vec<Sha256>,
    /// The batch's root.
    pub root: Sha256,
    /// Where the batch stands in the log.
    pub proof: Proof,
}

/// What a device wants done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Append these to the disk and sync, before anything that follows.
    Persist(Vec<Record>),
    /// Leave this challenge with the server.
    LeaveChallenge([u8; 32]),
    /// Send this receipt.
    SendReceipt(Note),
    /// Ask every beacon for a Clear that answers this challenge, a tree of one leaf.
    AskBeacons([u8; 32]),
    /// Run this.
    Run(Box<VerifiedJob>),
    /// Kill this and all it started.
    Kill(StepKey, Refusal),
}

/// A device.
#[derive(Debug)]
pub struct Device {
    ledger: Ledger,
    signer: NoteSigner,
    version: String,
    challenges: Challenges,
    freshness: Result<Freshness, NotFresh>,
    /// The last good Clears, however old: they still say what time it is.
    clock: Option<Freshness>,
    /// What Clears say of the time that is not believed yet.
    leap: Option<Leap>,
    running: BTreeMap<StepKey, Running>,
    waiting: BTreeMap<Sha256, Waiting>,
    /// How each job that repeats stands in its occurrence.
    turns: BTreeMap<Sha256, Turn>,
    /// Whether something has come that a job may have lacked: Clears, or room.
    stirred: bool,
    asked: Option<Reading>,
    renewals: u64,
    connected: bool,
    disk_full: bool,
    refusals: Refusals,
}

#[derive(Debug)]
struct Running {
    job: VerifiedJob,
    delivery: Delivery,
    killed: bool,
}

/// A delivery that lacks nothing but Clears.
#[derive(Debug)]
struct Waiting {
    delivery: Delivery,
    since: Reading,
}

impl Device {
    /// A device that remembers `ledger` and signs with `signer`.
    pub fn new(ledger: Ledger, signer: NoteSigner, version: String) -> Self {
        let freshness = Err(no_clears(&ledger));
        Self {
            ledger,
            signer,
            version,
            challenges: Challenges::default(),
            freshness,
            clock: None,
            leap: None,
            running: BTreeMap::new(),
            waiting: BTreeMap::new(),
            turns: BTreeMap::new(),
            stirred: false,
            asked: None,
            renewals: 0,
            connected: false,
            disk_full: false,
            refusals: Refusals::default(),
        }
    }

    /// What it remembers.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The challenge that answers are expected to.
    pub fn challenge(&self) -> Option<[u8; 32]> {
        self.challenges.newest().map(|(challenge, _)| challenge)
    }

    /// Tells whether the disk has room for a receipt and a job's output.
    pub fn set_disk_full(&mut self, full: bool) {
        self.disk_full = full;
    }

    /// Hears `input` and says what to do about it.
    ///
    /// # Errors
    /// A record it made itself cannot be taken in: a bug, and nothing of the input has had an effect.
    pub fn handle(&mut self, input: Input, moment: Moment) -> Result<Vec<Output>, LedgerError> {
        let mut out = Vec::new();
        self.renew_challenge(moment, &mut out);
        match input {
            Input::Started => self.close_interrupted(moment.now, &mut out)?,
            Input::Connected => {
                self.connected = true;
                out.extend(self.challenge().map(Output::LeaveChallenge));
                out.extend(self.ledger.spool().cloned().map(Output::SendReceipt));
            }
            Input::Disconnected => self.connected = false,
            Input::Tick => {}
            Input::Delivered(delivery) => self.delivered(*delivery, moment.now, &mut out)?,
            Input::Unreadable(why, news) => {
                self.take_news(&news, &mut out)?;
                self.refuse(None, &Refusal::Unreadable(why), moment.now, &mut out)?;
            }
            Input::News(news) => self.take_news(&news, &mut out)?,
            Input::Clears(answers) => self.clears(&answers, moment.now, &mut out)?,
            Input::Ended(key, ending) => self.ended(key, &ending, moment.now, &mut out)?,
            Input::Acknowledged(shown) => self.acknowledged(&shown, &mut out)?,
        }
        self.repeat(moment.now, &mut out)?;
        self.stop_what_may_not_go_on(moment.now, &mut out);
        self.tell_untold_refusals(moment.now, &mut out)?;
        self.give_up_waiting(moment.now, &mut out)?;
        self.ask_if_waiting(moment.now, &mut out);
        Ok(out)
    }

    /// Draws a challenge each third of the lifetime.
    fn renew_challenge(&mut self, moment: Moment, out: &mut Vec<Output>) {
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

    fn delivered(
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
    fn consider(
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
            Err(refusal) => self.refuse_job(hash, &refusal, now, out),
        }
    }

    /// Refuses a job, and lets go of it if it is one that repeats and is over.
    fn refuse_job(
        &mut self,
        hash: Sha256,
        refusal: &Refusal,
        now: Reading,
        out: &mut Vec<Output>,
    ) -> Result<(), LedgerError> {
        if self.ledger.stands(&hash) && is_over(refusal) {
            self.persist(alloc::vec![Record::Over(hash)], out)?;
        }
        self.refuse(Some(hash), refusal, now, out)
    }

    fn accept(
        &mut self,
        job: VerifiedJob,
        delivery: Delivery,
        now: Reading,
        out: &mut Vec<Output>,
    ) -> Result<(), LedgerError> {
        let key = job.key();
        let said = Said { verdict: Verdict::Accepted, ..Said::of(Some(key.job)) }.at(key);
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
        self.running.insert(key, Running { job, delivery, killed: false });
        Ok(())
    }

    fn clears(
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
        let before = self.lo(now);
        self.clock = fresh.as_ref().ok().cloned().or(self.clock.take());
        self.freshness = fresh;
        let (lo, floor) = (self.lo(now), self.ledger.floor());
        // Written down when it has risen by a minute, and when other beacons' clocks would let it fall.
        let due = lo < before || lo >= floor.plus(60);
        self.persist(due.then(|| Record::Floor(lo.max(before))).into_iter().collect(), out)
    }

    /// The earliest it can be, as far as this device has ever known.
    fn lo(&self, now: Reading) -> Time {
        let floor = self.ledger.floor();
        self.clock.as_ref().map_or(floor, |clock| clock.window(now, floor).lo)
    }

    fn ended(
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
    fn close_interrupted(&mut self, now: Reading, out: &mut Vec<Output>) -> Result<(), LedgerError> {
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

    fn stop_what_may_not_go_on(&mut self, now: Reading, out: &mut Vec<Output>) {
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

    /// What waited for a lifetime without enough Clears is refused, so that somebody hears of it.
    fn give_up_waiting(&mut self, now: Reading, out: &mut Vec<Output>) -> Result<(), LedgerError> {
        let Some(lifetime) = self.ledger.chain().map(lifetime_ms) else { return Ok(()) };
        let aged = |waiting: &Waiting| now.since(waiting.since).most_ms >= lifetime;
        let given_up: Vec<Sha256> =
            self.waiting.iter().filter(|(_, waiting)| aged(waiting)).map(|(hash, _)| *hash).collect();
        for hash in given_up {
            self.waiting.remove(&hash);
            let refusal = self.lacking(now);
            self.refuse(Some(hash), &refusal, now, out)?;
        }
        Ok(())
    }

    /// Why the Clears held are not enough.
    fn lacking(&self, now: Reading) -> Refusal {
        let aged = |held: &Freshness| held.still_good(self.ledger.chain()?, now).err();
        match &self.freshness {
            Err(lack) => Refusal::NotFresh(lack.clone()),
            Ok(held) => aged(held).map_or_else(|| no_clears(&self.ledger).into(), Refusal::Aged),
        }
    }

    fn ask_if_waiting(&mut self, now: Reading, out: &mut Vec<Output>) {
        let asked_lately = self.asked.is_some_and(|asked| now.since(asked).most_ms < ASK_AGAIN_MS);
        let lacks = !self.waiting.is_empty() || self.turns.values().any(Turn::asks_for_clears);
        if !lacks || asked_lately {
            return;
        }
        self.asked = Some(now);
        out.extend(self.challenge().map(Output::AskBeacons));
    }

    fn facts(&self, now: Reading) -> Facts<'_> {
        Facts {
            ledger: &self.ledger,
            me: self.me(),
            freshness: self.freshness.as_ref(),
            now,
            local: Local { version: &self.version, running: self.running.len(), disk_full: self.disk_full },
        }
    }

    /// Who this device is: an enrollment of another's key is none of its own.
    fn me(&self) -> Option<&Enrolled> {
        self.ledger.enrolled().filter(|enrolled| enrolled.key == *self.signer.verifier())
    }

    fn say(&mut self, said: Said<'_>, now: Reading, out: &mut Vec<Output>) -> Result<(), LedgerError> {
        let receipt = self.sign(said, now)?;
        self.persist(alloc::vec![Record::Receipt(receipt.clone())], out)?;
        out.push(Output::SendReceipt(receipt));
        Ok(())
    }

    fn sign(&self, said: Said<'_>, now: Reading) -> Result<Note, LedgerError> {
        let (Some(chain), Some(me)) = (self.ledger.chain(), self.me()) else {
            return Err(LedgerError::NoBeginning);
        };
        let (number, previous) = self.ledger.next_receipt();
        let (because, output, kept, dropped) = match said.ending {
            Some(ending) => (Reason::new(&ending.how), Some(ending.output), ending.kept, ending.dropped),
            None => (said.because, None, 0, 0),
        };
        let receipt = Receipt {
            org: chain.org(),
            device: me.device,
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
            enroll: me.enroll,
            time: self.lo(now),
        };
        self.signer
            .note(alloc::format!("{receipt}"))
            .map_err(|error| LedgerError::Note(alloc::format!("{error}")))
    }

    /// Takes records in and has them written down.
    fn persist(&mut self, records: Vec<Record>, out: &mut Vec<Output>) -> Result<(), LedgerError> {
        for record in &records {
            self.ledger.apply(record)?;
        }
        if !records.is_empty() {
            out.push(Output::Persist(records));
        }
        Ok(())
    }
}

/// Whether a job that repeats will never run again.
fn is_over(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Expired { .. } | Refusal::Cut(_) | Refusal::Retired(_))
}

/// No Clears at all, of those that the policy asks for.
fn no_clears(ledger: &Ledger) -> NotFresh {
    let need = ledger.chain().map_or(1, |chain| usize::from(chain.policy().body.beacons.need.get()));
    NotFresh { got: 0, need, faults: Vec::new() }
}

/// What a receipt is to say, besides what is the same for all.
struct Said<'a> {
    job: Option<Sha256>,
    occurrence: u64,
    step: u64,
    verdict: Verdict,
    count: u64,
    code: Option<Code>,
    because: Reason,
    ending: Option<&'a Ending>,
}

impl Said<'_> {
    fn of(job: Option<Sha256>) -> Self {
        let (verdict, because) = (Verdict::Refused, Reason::default());
        Self { job, occurrence: 0, step: 0, verdict, count: 1, code: None, because, ending: None }
    }

    fn at(self, key: StepKey) -> Self {
        Self { occurrence: key.occurrence, step: key.step, ..self }
    }
}
