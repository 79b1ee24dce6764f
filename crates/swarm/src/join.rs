//! How a machine becomes a device: as an agent does, but that what is the same for all is read and checked once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use countersign_agent::enroll::{EnrollError, device_signer, join, read_answer};
use countersign_trust::ids::Sha256;
use countersign_trust::ledger::{Ledger, LedgerError, Record};
use countersign_trust::note::Note;
use countersign_trust::words::Line;
use countersign_wire::message::Joined;
use countersign_wire::token::Token;

use crate::cast::Machine;

/// Why what a server answered enrolls nobody.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// It cannot be read, or the token is none.
    #[error(transparent)]
    Enroll(#[from] EnrollError),
    /// It does not hold.
    #[error("what was shown does not enroll this machine: {0}")]
    Ledger(#[from] LedgerError),
}

/// What organizations have decided, as ledgers that lack nothing but an enrollment.
#[derive(Debug, Default)]
pub struct Beginnings(Mutex<HashMap<Sha256, Ledger>>);

/// The wish of a machine to join by `token`.
///
/// # Errors
/// The token's seed or the machine's makes no key.
pub fn wish(token: &Token, machine: &Machine) -> Result<Note, EnrollError> {
    join(token, &device_signer(&machine.seed)?, Line::default())
}

impl Beginnings {
    /// The ledger of the machine that wished so and was answered so. Everything in it is checked, as on any machine.
    ///
    /// # Errors
    /// The answer does not enroll it.
    pub fn ledger(&self, token: &Token, joined: Joined, wish: Note) -> Result<Ledger, JoinError> {
        let decided = Sha256::of(joined.chain.join("\n\n").as_bytes());
        let (mut records, batch) = read_answer(token.org, joined, wish)?;
        if batch != token.batch {
            return Err(EnrollError::OtherBatch { expected: token.batch, found: batch }.into());
        }
        let enrolled = records.pop();
        let mut ledger = self.begun(decided, &records)?;
        enrolled.iter().try_for_each(|record| ledger.apply(record))?;
        Ok(ledger)
    }

    fn begun(&self, decided: Sha256, records: &[Record]) -> Result<Ledger, LedgerError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ledger) = known.get(&decided) {
            return Ok(ledger.clone());
        }
        let mut ledger = Ledger::default();
        records.iter().try_for_each(|record| ledger.apply(record))?;
        known.insert(decided, ledger.clone());
        Ok(ledger)
    }
}
