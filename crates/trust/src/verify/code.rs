//! The codes of refusals: what programs go by, where people read the sentence.
//!
//! Source: docs/spec/7-receipts.md, "Codes".

use alloc::borrow::{Cow, ToOwned};
use core::fmt;
use core::str::FromStr;

use super::Refusal;

/// Why something was refused, in one word that stays when the sentence beside it is worded anew: see docs/spec/7-receipts.md.
///
/// A word that a reader does not know is one of a newer device, and is kept as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Code(Cow<'static, str>);

/// What is no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a code is 1 to 32 of the letters a to z and `_`, and not `none`")]
pub struct CodeError;

impl Code {
    /// The code of a refusal.
    pub fn of(refusal: &Refusal) -> Self {
        Self(Cow::Borrowed(refusal.code()))
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the same delivery may be accepted later, though nobody signs or enrolls anything: whoever carries jobs tries again.
    pub fn may_pass(&self) -> bool {
        const MAY_PASS: [&str; 13] = [
            "not_fresh",
            "aged",
            "halted",
            "not_yet",
            "outside_hours",
            "earlier_runs",
            "wave_not_yet",
            "wave_needs_advance",
            "advance",
            "busy",
            "spool_full",
            "standing_full",
            "disk_full",
        ];
        MAY_PASS.contains(&self.as_str())
    }

    /// Whether it says that the log or its witnesses do not vouch for what was brought: with a proof of the log and the witnesses that
    /// the newest policy names it may be accepted.
    pub fn lacks_a_proof(&self) -> bool {
        self.as_str() == "log"
    }

    /// Whether it says only that what was brought was accepted before: nothing about how that ended.
    pub fn says_again(&self) -> bool {
        ["again", "passed", "earlier_failed"].contains(&self.as_str())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Code {
    type Err = CodeError;
    fn from_str(text: &str) -> Result<Self, CodeError> {
        let is_word = text.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase());
        let is_code = is_word && (1..=32).contains(&text.len()) && text != "none";
        is_code.then(|| Self(Cow::Owned(text.to_owned()))).ok_or(CodeError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::ChainError;
    use crate::clear::{ClearFault, NotFresh};
    use crate::time::Time;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    #[test]
    fn a_refusal_that_may_pass_is_told_from_one_that_stays() {
        let passing = [
            Refusal::NotFresh(NotFresh { got: 1, need: 3, faults: Vec::new() }),
            Refusal::Aged(ClearFault::NotMyChallenge),
            Refusal::NotYet { not_before: Time(2), lo: Time(1) },
            Refusal::OutsideHours { rule: 1, lo: 1, hi: 2 },
            Refusal::WaveNotYet { wave: 2, starts: Time(2), lo: Time(1) },
            Refusal::Busy { running: 2, most: 2 },
            Refusal::SpoolFull { spooled: 5_000 },
            Refusal::DiskFull,
        ];
        for refusal in passing {
            assert!(Code::of(&refusal).may_pass(), "{refusal}");
            assert!(!Code::of(&refusal).says_again(), "{refusal}");
        }
        let staying = [
            (Refusal::UnknownSigners, false),
            (Refusal::Expired { not_after: Time(1), hi: Time(2) }, false),
            (Refusal::Again { step: 1 }, true),
            (Refusal::EarlierFailed { step: 1 }, true),
            (Refusal::SameOrigin, false),
        ];
        for (refusal, again) in staying {
            assert!(!Code::of(&refusal).may_pass(), "{refusal}");
            assert_eq!(Code::of(&refusal).says_again(), again, "{refusal}");
            assert!(!Code::of(&refusal).lacks_a_proof(), "{refusal}");
        }
        let log = Refusal::Log(ChainError::UnknownLog("log.example".to_owned()));
        assert!(Code::of(&log).lacks_a_proof());
    }

    #[test]
    fn a_code_is_one_word_also_one_that_nobody_here_knows() {
        for good in ["again", "of_a_later_version", "x"] {
            assert_eq!(good.parse::<Code>().map(|code| code.to_string()).as_deref(), Ok(good));
        }
        for bad in ["", "none", "Again", "two words", "a\nb", "a-b", &"x".repeat(33)] {
            assert_eq!(bad.parse::<Code>(), Err(CodeError), "{bad:?}");
        }
    }
}
