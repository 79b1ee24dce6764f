//! The text of machine-signed notes: a type line, then `key value` lines in a fixed order.

use alloc::string::{String, ToString};
use core::fmt::Display;
use core::str::FromStr;

use crate::ids::excerpt;

/// Where the text of a note departs from its type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {expected}, found `{found}`")]
pub struct LinesError {
    /// The line, counted from 1.
    pub line: usize,
    /// What stands there in a good note.
    pub expected: String,
    /// What stands there.
    pub found: String,
}

/// Reads a note's text line by line.
pub struct LineReader<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> LineReader<'a> {
    /// Starts at the first line of `text`.
    pub fn new(text: &'a str) -> Self {
        Self { rest: text, line: 1 }
    }

    fn error(&self, expected: impl Display) -> LinesError {
        let found = excerpt(self.rest.lines().next().unwrap_or("the end"));
        LinesError { line: self.line, expected: expected.to_string(), found }
    }

    fn next_if<T>(
        &mut self,
        expected: impl Display,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, LinesError> {
        let value = self.rest.split_once('\n').and_then(|(line, rest)| Some((read(line)?, rest)));
        let (value, rest) = value.ok_or_else(|| self.error(expected))?;
        self.rest = rest;
        self.line += 1;
        Ok(value)
    }

    /// A line that is exactly `text`.
    pub fn exactly(&mut self, text: &str) -> Result<(), LinesError> {
        self.next_if(alloc::format!("`{text}`"), |line| (line == text).then_some(()))
    }

    /// A line that reads as a `T` whose print is the line itself.
    pub fn word<T: FromStr + Display>(&mut self, what: &str) -> Result<T, LinesError> {
        self.next_if(what, canonical)
    }

    /// A line `key value`, the value's print being exactly what stands there.
    pub fn value<T: FromStr + Display>(&mut self, key: &str) -> Result<T, LinesError> {
        self.next_if(alloc::format!("`{key} …`"), |line| {
            canonical(line.strip_prefix(key)?.strip_prefix(' ')?)
        })
    }

    /// A line `key value` as [`LineReader::value`] reads it, whose value is above `last`: of a list in order, without repeats.
    pub fn value_above<T: FromStr + Display + Ord>(
        &mut self,
        key: &str,
        last: Option<T>,
    ) -> Result<T, LinesError> {
        let expected = alloc::format!("`{key} …` above the one before it");
        self.next_if(expected, |line| {
            let value = canonical(line.strip_prefix(key)?.strip_prefix(' ')?)?;
            last.is_none_or(|last| last < value).then_some(value)
        })
    }

    /// A line `key value` or `key none`.
    pub fn optional<T: FromStr + Display>(&mut self, key: &str) -> Result<Option<T>, LinesError> {
        if self.rest.strip_prefix(key).is_some_and(|rest| rest.starts_with(" none\n")) {
            return self.next_if(key, |_| Some(None));
        }
        self.value(key).map(Some)
    }

    /// Whether a line starts with `key ` here.
    pub fn has(&self, key: &str) -> bool {
        self.rest.strip_prefix(key).is_some_and(|rest| rest.starts_with(' '))
    }

    /// Refuses anything that is left.
    pub fn finish(self) -> Result<(), LinesError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.error("the end")) }
    }
}

fn canonical<T: FromStr + Display>(text: &str) -> Option<T> {
    text.parse().ok().filter(|value: &T| value.to_string() == text)
}

/// Prints `value`, or `none`.
pub fn or_none<T: Display>(value: &Option<T>) -> String {
    value.as_ref().map_or_else(|| "none".to_string(), ToString::to_string)
}
