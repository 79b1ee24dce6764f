//! A device's life: what it does about what it hears, as a function of its state, the input and the clocks.
//!
//! The program around it is one loop: it carries inputs in and does what the outputs say, in their order. An output
//! [`Output::Persist`] is on disk before any output after it has an effect.

mod clears;
mod deliveries;
mod exchange;
mod keeping;
mod news;
mod receipts;
mod refusals;
mod standing;
mod steps;
mod waiting;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::clear::{Challenges, Freshness, NotFresh};
use crate::floor::Leap;
use crate::ids::Sha256;
use crate::join::Enrolled;
use crate::ledger::{Ledger, LedgerError, Record, StepKey};
use crate::note::NoteSigner;
use crate::time::{Reading, Time};
use crate::verify::{Facts, Local, Refusal};
use clears::no_clears;
pub use exchange::{Acknowledged, Ending, HeldClears, Input, Judged, Keep, Moment, Output};
use refusals::Refusals;
use standing::Turn;
use steps::Running;
use waiting::Waiting;

/// A device.
#[derive(Debug)]
pub struct Device {
    ledger: Ledger,
    signer: NoteSigner,
    version: String,
    challenges: Challenges,
    freshness: Result<Freshness, NotFresh>,
    /// Those Clears as they came, for the evidence.
    came: Option<HeldClears>,
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
            came: None,
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

    /// The earliest it can be, as far as the device knows: what its notes bear as their time.
    pub fn earliest(&self, now: Reading) -> Time {
        self.lo(now)
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
