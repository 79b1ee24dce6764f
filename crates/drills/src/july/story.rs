//! What is told: two columns, what happened in 2021 and what happened here, and the same as a file of JSON lines.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::facts::Fact;
use crate::part::now;

/// How wide the left column is, and how wide the text of the right.
const WIDTHS: (usize, usize) = (34, 86);

/// What a line of the right column is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// It happened.
    Happened,
    /// It was to be so, and was looked at: the drill stops where it is not.
    Holds,
    /// It took so long by this machine's clock.
    Measured,
    /// It was not played.
    NotHere,
}

/// The timeline, told as it comes.
pub struct Story {
    colour: bool,
    act: String,
    then: Option<Fact>,
    text: String,
    lines: Vec<Value>,
    checks: usize,
}

impl Mark {
    fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Happened => ("  ", "happened", ""),
            Self::Holds => ("ok", "holds", "\x1b[32m"),
            Self::Measured => ("ms", "measured", "\x1b[36m"),
            Self::NotHere => ("--", "not_played", "\x1b[33m"),
        }
    }
}

impl Default for Story {
    fn default() -> Self {
        Self {
            colour: std::io::stdout().is_terminal(),
            act: String::new(),
            then: None,
            text: String::new(),
            lines: Vec::new(),
            checks: 0,
        }
    }
}

impl Story {
    /// Plain words before the first act.
    pub fn preface(&mut self, words: &str) {
        self.lines.push(json!({"kind": "preface", "here": words}));
        self.print(&format!("{words}\n"), "");
    }

    /// The next act.
    pub fn begin(&mut self, act: &str) {
        self.finish_fact();
        self.act = act.to_owned();
        self.lines.push(json!({"kind": "act", "here": act}));
        self.print(&format!("\n== {act}\n"), "\x1b[1m");
    }

    /// What stands in the left column beside the next line.
    pub fn in_2021(&mut self, fact: Fact) {
        self.finish_fact();
        self.then = Some(fact);
    }

    /// Something happened here.
    pub fn here(&mut self, what: impl Display) {
        self.row(Mark::Happened, &what.to_string(), None);
    }

    /// Something that was asserted just before, in words.
    pub fn holds(&mut self, what: impl Display) {
        self.checks += 1;
        self.row(Mark::Holds, &what.to_string(), None);
    }

    /// How long something took by this machine's own clock.
    pub fn measured(&mut self, what: impl Display, took: Duration) {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.row(Mark::Measured, &format!("measured: {} ms {what}", thousands(ms)), Some(ms));
    }

    /// Something that was not played, and why.
    pub fn not_played(&mut self, what: impl Display) {
        self.row(Mark::NotHere, &format!("not played: {what}"), None);
    }

    /// Says on standard error how far something is.
    pub fn progress(&self, what: impl Display) {
        eprintln!("   … {what}");
    }

    /// How many assertions were told.
    pub fn checks(&self) -> usize {
        self.checks
    }

    /// Writes both files.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn write(&mut self, folder: &Path) -> std::io::Result<()> {
        self.finish_fact();
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("july-2.txt"), &self.text)?;
        let lines: String = self.lines.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(folder.join("july-2.jsonl"), lines)
    }

    fn row(&mut self, mark: Mark, what: &str, ms: Option<u64>) {
        let (sign, kind, colour) = mark.words();
        let (then, clock) = (self.then.take(), clock(now().0));
        let mut line = json!({"kind": kind, "act": self.act, "clock": now().0, "here": what});
        if let Some(Fact { at, what }) = then {
            line["in_2021"] = json!({"at": at, "what": what});
        }
        if let Some(ms) = ms {
            line["ms"] = json!(ms);
        }
        self.lines.push(line);
        let left = then.map(|Fact { at, what }| wrapped(&format!("{at}: {what}"), WIDTHS.0));
        self.columns(left.unwrap_or_default(), &format!("{clock} {sign} "), &wrapped(what, WIDTHS.1), colour);
    }

    /// A fact beside which nothing happened here.
    fn finish_fact(&mut self) {
        if let Some(Fact { at, what }) = self.then.take() {
            self.lines.push(json!({"kind": "then", "act": self.act, "in_2021": {"at": at, "what": what}}));
            self.columns(wrapped(&format!("{at}: {what}"), WIDTHS.0), "", &[], "");
        }
    }

    fn columns(&mut self, left: Vec<String>, head: &str, right: &[String], colour: &str) {
        let indent = " ".repeat(head.chars().count());
        for row in 0..left.len().max(right.len()) {
            let left = left.get(row).map_or("", String::as_str);
            let head = if row == 0 { head } else { &indent };
            let right = right.get(row).map_or("", String::as_str);
            let line = format!("{left:width$} | {head}{right}", width = WIDTHS.0);
            self.print(&format!("{}\n", line.trim_end()), colour);
        }
    }

    fn print(&mut self, text: &str, colour: &str) {
        self.text.push_str(text);
        let mut out = std::io::stdout().lock();
        let (before, after) = if self.colour && !colour.is_empty() { (colour, "\x1b[0m") } else { ("", "") };
        // Nobody may read it any more; the drill goes on, and its files are written.
        let _gone = write!(out, "{before}{text}{after}").and_then(|()| out.flush());
    }
}

/// Day of the week, hour and minute of a time.
pub fn clock(time: u64) -> String {
    // The first of January 1970 was a Thursday.
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let (day, second) = (time / 86_400, time % 86_400);
    let name = usize::try_from(day % 7).map_or("", |day| DAYS[day]);
    format!("{name} {:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)
}

/// A number as people read it.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().unwrap();
        if !last.is_empty() && last.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            last.push_str(if last.is_empty() { "" } else { " " });
            last.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_days_and_lines_read_as_people_write_them() {
        assert_eq!(
            ["6,000", "999", "1,234,567"],
            [6_000, 999, 1_234_567].map(thousands).each_ref().map(String::as_str)
        );
        assert_eq!(clock(1_625_243_400), "Fri 16:30:00");
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
    }
}
