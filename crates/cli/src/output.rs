//! Everything that people see: answers on standard output, the rest on standard error.
//!
//! Whatever comes from machines or other people goes through [`plain`] or [`plain_lines`] first, so that nothing can
//! move the cursor, hide, or turn the direction of writing.

use std::io::{self, BufRead, IsTerminal as _, Write as _};

use countersign_trust::time::{Time, Utc};
use serde_json::Value;

/// Why the program ends without having done what was asked; each has its exit code.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Stop {
    /// 1: it was tried and did not go well.
    #[error("{0}")]
    Failed(String),
    /// 2: the wish cannot be understood or is not possible as put.
    #[error("{0}")]
    Usage(String),
    /// 3: somebody said no, or too few have said yes.
    #[error("{0}")]
    Refused(String),
    /// 5: what the server shows does not hold.
    #[error("ALARM: {0}")]
    Alarm(String),
}

impl Stop {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(_) => 3,
            Self::Alarm(_) => 5,
        }
    }
}

/// How to talk to whoever started the program.
#[derive(Clone, Debug)]
pub struct Ui {
    /// Answers are JSON.
    pub json: bool,
    /// Answers to questions are taken to be yes.
    pub yes: bool,
    color_out: bool,
    color_err: bool,
}

/// How a word is painted, where colors are shown.
#[derive(Clone, Copy, Debug)]
pub enum Paint {
    /// Something went well and was checked.
    Good,
    /// Something is wrong.
    Bad,
    /// Something to look at.
    Warn,
    /// Less important.
    Dim,
}

impl Ui {
    /// Looks at what the streams are. `color` is false after `--no-color` and where NO_COLOR or TERM=dumb say so.
    pub fn new(json: bool, yes: bool, color: bool) -> Self {
        let color_out = color && !json && io::stdout().is_terminal();
        let color_err = color && io::stderr().is_terminal();
        Self { json, yes, color_out, color_err }
    }

    /// Prints an answer: as JSON if that was asked for, else as text.
    pub fn answer(&self, json: &Value, text: impl FnOnce() -> String) {
        if self.json { self.line(&json.to_string()) } else { self.line(text().trim_end_matches('\n')) }
    }

    fn line(&self, text: &str) {
        // Whoever closes the pipe has read enough.
        let _closed = writeln!(io::stdout().lock(), "{text}");
    }

    /// Says something beside the answer.
    pub fn note(&self, text: &str) {
        let _closed = writeln!(io::stderr().lock(), "{text}");
    }

    /// Says something to look at.
    pub fn warn(&self, text: &str) {
        let word = paint(self.color_err, Paint::Warn, "warning:");
        self.note(&format!("{word} {text}"));
    }

    /// Says what somebody must act on, though the program goes on.
    pub fn alarm(&self, text: &str) {
        let word = paint(self.color_err, Paint::Bad, "ALARM:");
        self.note(&format!("{word} {text}"));
    }

    /// Says why the program ends.
    pub fn fail(&self, text: &str) {
        let word = paint(self.color_err, Paint::Bad, "error:");
        self.note(&format!("{word} {text}"));
    }

    /// Paints a word of an answer.
    pub fn paint(&self, how: Paint, word: &str) -> String {
        paint(self.color_out, how, word)
    }

    /// Asks a question to be answered with y or n.
    pub fn confirm(&self, question: &str) -> anyhow::Result<bool> {
        if self.yes {
            return Ok(true);
        }
        self.ask(question)?.ok_or_else(|| {
            let what = format!(
                "`{question}` cannot be asked without a terminal; say --yes if that is what you mean"
            );
            Stop::Usage(what).into()
        })
    }

    /// Asks what `--yes` does not answer; none without a terminal.
    pub fn ask(&self, question: &str) -> anyhow::Result<Option<bool>> {
        if !io::stdin().is_terminal() {
            return Ok(None);
        }
        let mut err = io::stderr().lock();
        write!(err, "{question} [y/N] ")?;
        err.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(Some(matches!(answer.trim(), "y" | "Y" | "yes")))
    }
}

fn paint(on: bool, how: Paint, word: &str) -> String {
    let code = match how {
        Paint::Good => 32,
        Paint::Bad => 31,
        Paint::Warn => 33,
        Paint::Dim => 2,
    };
    if on { format!("\u{1b}[{code}m{word}\u{1b}[0m") } else { word.to_owned() }
}

/// Whether a character can change how others look, or cannot be seen.
fn hides(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// One line in which nothing can hide: control, bidirectional and invisible characters are written as escapes.
pub fn plain(text: &str) -> String {
    shown(text, |_| false)
}

/// The same, but line feeds and tabs stay.
pub fn plain_lines(text: &str) -> String {
    shown(text, |c| c == '\n' || c == '\t')
}

fn shown(text: &str, stays: fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if hides(c) && !stays(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// Rows in columns as wide as their widest cell. The cells must be plain.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|word| (*word).to_owned()).collect();
    let all = || std::iter::once(&head).chain(rows);
    let width = |column: usize| {
        all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let mut text = String::new();
    for row in all() {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let pad = width(column).saturating_sub(cell.chars().count()) + 2;
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', pad));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Text with every line moved in by two spaces.
pub fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// The first 12 digits of an id, with its prefix: enough to tell things apart, and to be typed.
pub fn short(id: &impl ToString) -> String {
    let text = id.to_string();
    let digits = text.rfind('-').map_or(0, |at| at + 1);
    text.chars().take(digits + 12).collect()
}

/// A number of things, with the right word.
pub fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// A time as people write it, in UTC.
pub fn time(seconds: u64) -> String {
    Utc(Time(seconds)).to_string()
}

/// A span of time as people say it.
pub fn span(seconds: u64) -> String {
    match seconds {
        s if s >= 86_400 && s % 86_400 == 0 => {
            count(usize::try_from(s / 86_400).unwrap_or(usize::MAX), "day", "days")
        }
        s if s >= 3_600 && s % 3_600 == 0 => format!("{} h", s / 3_600),
        s if s >= 60 && s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_a_machine_can_steer_the_terminal() {
        let cases = [
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("a\r\nb", "a\\r\\nb"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("zero\u{200b}width", "zero\\u{200b}width"),
            ("tag\u{e0041}", "tag\\u{e0041}"),
            ("Kassa 3 på Öland 🏪 שלום", "Kassa 3 på Öland 🏪 שלום"),
        ];
        for (from, shown) in cases {
            assert_eq!(plain(from), shown);
        }
        assert_eq!(plain_lines("a\n\tb\u{7}"), "a\n\tb\\u{7}");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["öland".to_owned(), "2".to_owned()]];
        assert_eq!(table(&["SITE", "N"], &rows), "SITE   N\na      1\nöland  2\n");
    }

    #[test]
    fn times_are_utc_and_right_in_leap_years() {
        assert_eq!(time(0), "1970-01-01 00:00:00Z");
        assert_eq!(time(1_625_241_600), "2021-07-02 16:00:00Z");
        assert_eq!(time(1_709_210_096), "2024-02-29 12:34:56Z");
    }

    #[test]
    fn short_ids_keep_their_prefix() {
        assert_eq!(short(&"dev-0123456789abcdef"), "dev-0123456789ab");
        assert_eq!(short(&"0123456789abcdef"), "0123456789ab");
    }
}
