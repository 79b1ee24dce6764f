//! What a device says became of a job: a chain of notes signed by its own key.
//!
//! Source: docs/spec/7-receipts.md.

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use crate::ids::{DeviceId, OrgId, Sha256};
use crate::lines::{LineReader, LinesError, or_none};
use crate::text::keyword;
use crate::time::Time;
use crate::verify::Code;
use crate::words::is_free;

/// One receipt. Prints as the text of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The organization.
    pub org: OrgId,
    /// The device.
    pub device: DeviceId,
    /// 1 for the device's first, then one more each time.
    pub number: u64,
    /// SHA-256 of the text of the one before.
    pub previous: Option<Sha256>,
    /// The job's hash; none if what came was no statement.
    pub job: Option<Sha256>,
    /// Which occurrence, counted from 0.
    pub occurrence: u64,
    /// Which step, counted from 0.
    pub step: u64,
    /// What became of it.
    pub verdict: Verdict,
    /// For how many equal verdicts it stands: 1, or more refusals than are told one by one.
    pub count: u64,
    /// Why it was refused, for programs; none unless it was.
    pub code: Option<Code>,
    /// Why it was refused, or how it ended: `exit 0`, `signal 9`, `timeout`, `halted`.
    pub because: Reason,
    /// SHA-256 of the output that was kept, once it ended.
    pub output: Option<Sha256>,
    /// Bytes of output kept.
    pub kept: u64,
    /// Bytes of output beyond the cap.
    pub dropped: u64,
    /// The newest policy the device held.
    pub policy: Sha256,
    /// The enrollment the device held.
    pub enroll: Sha256,
    /// The earliest it can have been, as far as the device knew.
    pub time: Time,
}

keyword! {
    /// What became of a step.
    pub enum Verdict {
        /// It was accepted: this stands on disk before it starts.
        Accepted = "accepted",
        /// It was refused.
        Refused = "refused",
        /// It came to an end.
        Ended = "ended",
        /// It was found started when the machine came up, and never runs again.
        Interrupted = "interrupted",
    }
}

/// A sentence in one line: whatever is not free text becomes `?`, at most 500 characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// Makes a sentence printable.
    pub fn new(sentence: impl fmt::Display) -> Self {
        let printable = |c: char| {
            if c == '\n' {
                ' '
            } else if is_free(c) {
                c
            } else {
                '?'
            }
        };
        Self(sentence.to_string().chars().take(500).map(printable).collect::<String>().trim().to_string())
    }

    /// The sentence.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Reason {
    type Err = core::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(text))
    }
}

const RECEIPT: &str = "countersign-receipt/v1";

impl Receipt {
    /// Whether its step ended well. Source: docs/spec/7-receipts.md: `because` says how it ended.
    pub fn ended_well(&self) -> bool {
        self.verdict == Verdict::Ended && self.because.as_str() == "exit 0"
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { org, device, number, occurrence, step, verdict, count, because, kept, dropped, .. } = self;
        writeln!(f, "{RECEIPT}\n{org}\n{device}\nnumber {number}")?;
        writeln!(f, "previous {}\njob {}", or_none(&self.previous), or_none(&self.job))?;
        writeln!(f, "occurrence {occurrence}\nstep {step}\nverdict {verdict}\ncount {count}")?;
        writeln!(f, "code {}\nbecause {because}\noutput {}", or_none(&self.code), or_none(&self.output))?;
        writeln!(f, "kept {kept}\ndropped {dropped}")?;
        writeln!(f, "policy {}\nenroll {}\ntime {}", self.policy, self.enroll, self.time)
    }
}

impl FromStr for Receipt {
    type Err = LinesError;
    fn from_str(text: &str) -> Result<Self, LinesError> {
        let mut lines = LineReader::new(text);
        lines.exactly(RECEIPT)?;
        let receipt = Self {
            org: lines.word("an organization")?,
            device: lines.word("a device")?,
            number: lines.value("number")?,
            previous: lines.optional("previous")?,
            job: lines.optional("job")?,
            occurrence: lines.value("occurrence")?,
            step: lines.value("step")?,
            verdict: lines.value("verdict")?,
            count: lines.value("count")?,
            code: lines.optional("code")?,
            because: lines.value("because")?,
            output: lines.optional("output")?,
            kept: lines.value("kept")?,
            dropped: lines.value("dropped")?,
            policy: lines.value("policy")?,
            enroll: lines.value("enroll")?,
            time: Time(lines.value("time")?),
        };
        lines.finish()?;
        Ok(receipt)
    }
}
