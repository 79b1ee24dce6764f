//! What a device learns, whoever brings it: policies, resumes, halts, and its own next enrollment.
//!
//! Source: docs/spec/3-statements.md, "The chain" and "Enrolled anew".

use alloc::vec::Vec;

use super::{Device, Output};
use crate::chain::Chain;
use crate::delivery::News;
use crate::envelope::Logged;
use crate::join::{enrolled_directly, retired, taken_anew};
use crate::ledger::{LedgerError, Record};

impl Device {
    /// What is not taken is not kept either: the next delivery brings it again if it was good.
    pub(super) fn take_news(&mut self, news: &[News], out: &mut Vec<Output>) -> Result<(), LedgerError> {
        let mut records = Vec::new();
        for news in news {
            match news {
                // Judged by what has been taken before it, so that one brought twice is not taken twice.
                News::Enroll(enroll) => {
                    let changed = self.enrollment(enroll);
                    changed.iter().try_for_each(|record| self.ledger.apply(record))?;
                    records.extend(changed);
                }
                // Straight into the ledger: a halt's signature is looked at once.
                news => records.extend(self.ledger.learn(news).ok().flatten()),
            }
        }
        if !records.is_empty() {
            out.push(Output::Persist(records));
        }
        Ok(())
    }

    /// What an enrollment brought while the device is at work changes, if it follows the one that is held.
    fn enrollment(&self, enroll: &Logged) -> Option<Record> {
        let chain = self.ledger.chain()?;
        if self.ledger.was_enrolled().is_some() {
            return self.enrolled_again(chain, enroll);
        }
        let held = self.me().filter(|_| self.ledger.retired().is_none())?;
        if retired(chain, held, enroll).is_ok() {
            return Some(Record::Retired(enroll.clone()));
        }
        let next = taken_anew(chain, held, enroll).is_ok();
        next.then(|| Record::Enrolled { enroll: enroll.clone(), join: None })
    }

    /// Whom a policy has put out, people can take in again without a visit, as they take in a machine by its key.
    fn enrolled_again(&self, chain: &Chain, enroll: &Logged) -> Option<Record> {
        let enrolled = enrolled_directly(chain, enroll).ok()?;
        (enrolled.key == *self.signer.verifier())
            .then(|| Record::Enrolled { enroll: enroll.clone(), join: None })
    }
}
