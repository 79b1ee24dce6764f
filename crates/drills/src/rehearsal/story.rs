//! What happened, line by line, with the virtual time.

use std::collections::BTreeMap;
use std::fmt;

use countersign_trust::ids::Sha256;
use countersign_trust::receipt::{Receipt, Verdict};

/// A line: when, who, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// Who.
    pub who: String,
    /// What.
    pub what: String,
}

/// Lines in the order in which they happened.
#[derive(Clone, Debug, Default)]
pub struct Story {
    /// The lines.
    pub lines: Vec<Line>,
    names: BTreeMap<Sha256, String>,
}

impl Story {
    /// Adds a line.
    pub fn add(&mut self, at_ms: u64, who: &str, what: String) {
        self.lines.push(Line { at_ms, who: who.to_owned(), what });
    }

    /// Gives a statement a name that people understand.
    pub fn call(&mut self, hash: Sha256, name: &str) {
        self.names.insert(hash, name.to_owned());
    }

    /// What people call a statement.
    pub fn name_of(&self, hash: &Sha256) -> String {
        let short: String = hash.to_string().chars().take(12).collect();
        self.names.get(hash).cloned().unwrap_or(short)
    }

    /// Every hash that has a name, by its name.
    fn in_words(&self, text: &str) -> String {
        let mut words = text.to_owned();
        for (hash, name) in &self.names {
            words = words.replace(&hash.to_string(), name);
        }
        words
    }
}

/// A receipt in words.
pub fn of_receipt(receipt: &Receipt, story: &Story) -> String {
    let job = receipt.job.map_or_else(|| "what came".to_owned(), |job| story.name_of(&job));
    let because = receipt.because.as_str();
    match receipt.verdict {
        Verdict::Accepted => format!("runs step {} of {job}", receipt.step + 1),
        Verdict::Refused if receipt.count > 1 => {
            format!("refuses {job} ({} times): {because}", receipt.count)
        }
        Verdict::Refused => format!("refuses {job}: {because}"),
        Verdict::Ended => format!("has run step {} of {job}: {because}", receipt.step + 1),
        Verdict::Interrupted => {
            format!("was cut off in step {} of {job}; it never runs again", receipt.step + 1)
        }
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first_day = self.lines.first().map_or(0, |line| line.at_ms / 86_400_000);
        self.lines.iter().try_for_each(|Line { at_ms, who, what }| {
            let seconds = at_ms / 1_000 % 86_400;
            let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
            write!(f, "{hours:02}:{minutes:02}:{:02}", seconds % 60)?;
            match at_ms / 86_400_000 - first_day {
                0 => {}
                days => write!(f, " (day {})", days + 1)?,
            }
            writeln!(f, "  {who} {}", self.in_words(what))
        })
    }
}
