//! Canonical text: the one way a statement may be written down.
//!
//! The print is JSON that a person can read: every field present, in order, two-space indent, one item a line.
//! The parser is the printer run backwards: at each place it demands exactly what the printer would have put
//! there, so unknown, repeated, missing or reordered keys, other spacing and other escapes are all the same
//! error, with the line it is on. There is no general JSON parser to disagree with.
//!
//! Source: docs/spec/1-text.md.

mod macros;
mod values;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::Display;
use core::str::FromStr;

pub(crate) use macros::{alternative, keyword, record, word};
pub use values::Nothing;

/// The largest integer a statement may hold: 2^53 - 1, which every JSON reader keeps exact.
pub const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Where a text departs from its canonical print.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {expected}, found `{found}`")]
pub struct TextError {
    /// The line, counted from 1.
    pub line: usize,
    /// What the canonical print has there, in words.
    pub expected: String,
    /// The first characters of what stands there, escaped: they may be anybody's.
    pub found: String,
}

/// A value with one canonical print.
pub trait Text: Sized {
    /// Prints the value.
    fn print(&self, to: &mut Printer);
    /// Reads what [`Text::print`] would have printed, and nothing else.
    fn parse(from: &mut Parser<'_>) -> Result<Self, TextError>;
}

/// A value that prints as one string, and reads back through [`FromStr`].
pub trait Word: Display + FromStr<Err: Display> {}

/// The canonical print of `value`, with its final line feed.
pub fn print<T: Text>(value: &T) -> String {
    let mut printer = Printer { out: String::new(), depth: 0 };
    value.print(&mut printer);
    printer.out.push('\n');
    printer.out
}

/// Reads the canonical print of a `T`.
///
/// After parsing the value is printed again and compared: a second lock on the same door.
pub fn parse<T: Text>(text: &str) -> Result<T, TextError> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let value = T::parse(&mut parser)?;
    parser.expect("\n")?;
    if parser.at != text.len() || print(&value) != text {
        return Err(parser.error("the end of the text".to_owned()));
    }
    Ok(value)
}

/// Writes canonical text.
pub struct Printer {
    out: String,
    depth: usize,
}

impl Printer {
    /// An integer.
    pub fn number(&mut self, value: u64) {
        self.out.push_str(&value.to_string());
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, value: bool) {
        self.out.push_str(if value { "true" } else { "false" });
    }

    /// A string; the only escapes are `\"`, `\\`, `\t` and `\n`.
    pub fn string(&mut self, value: &str) {
        self.out.push('"');
        for character in value.chars() {
            match character {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\t' => self.out.push_str("\\t"),
                '\n' => self.out.push_str("\\n"),
                other => self.out.push(other),
            }
        }
        self.out.push('"');
    }

    /// An object whose fields are printed by `fields`, through [`Printer::field`].
    pub fn object(&mut self, fields: impl FnOnce(&mut Self)) {
        self.nested('{', '}', fields);
    }

    /// One field of the object being printed.
    pub fn field<T: Text>(&mut self, name: &str, value: &T) {
        self.item();
        self.string(name);
        self.out.push_str(": ");
        value.print(self);
    }

    /// A list.
    pub fn list(&mut self, print_items: impl FnOnce(&mut Self)) {
        self.nested('[', ']', print_items);
    }

    /// Starts the next item of the list or object being printed.
    pub fn item(&mut self) {
        if !self.out.ends_with(['{', '[']) {
            self.out.push(',');
        }
        self.new_line();
    }

    fn nested(&mut self, open: char, close: char, inner: impl FnOnce(&mut Self)) {
        self.out.push(open);
        self.depth += 1;
        inner(self);
        self.depth -= 1;
        if !self.out.ends_with(open) {
            self.new_line();
        }
        self.out.push(close);
    }

    fn new_line(&mut self) {
        self.out.push('\n');
        self.out.extend(core::iter::repeat_n("  ", self.depth));
    }
}

/// Reads canonical text.
pub struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The error that `expected` does not stand here.
    pub fn error(&self, expected: String) -> TextError {
        let before = self.text.get(..self.at).unwrap_or_default();
        let found = self.rest().chars().take(40).flat_map(char::escape_debug).collect();
        TextError { line: before.matches('\n').count() + 1, expected, found }
    }

    /// Consumes exactly `token`.
    pub fn expect(&mut self, token: &str) -> Result<(), TextError> {
        if !self.accept(token) {
            return Err(self.error(format!("`{}`", token.escape_debug())));
        }
        Ok(())
    }

    fn accept(&mut self, token: &str) -> bool {
        let stands = self.rest().starts_with(token);
        if stands {
            self.at += token.len();
        }
        stands
    }

    /// An integer from 0 to [`MAX_INTEGER`], without leading zeros.
    pub fn number(&mut self) -> Result<u64, TextError> {
        let digits: &str = self.rest().split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        let canonical = digits == "0" || !digits.starts_with('0');
        let value = digits.parse::<u64>().ok().filter(|value| canonical && *value <= MAX_INTEGER);
        let value = value.ok_or_else(|| self.error("an integer from 0 to 2^53-1".to_owned()))?;
        self.at += digits.len();
        Ok(value)
    }

    /// `true` or `false`.
    pub fn boolean(&mut self) -> Result<bool, TextError> {
        if self.accept("true") {
            return Ok(true);
        }
        if self.accept("false") {
            return Ok(false);
        }
        Err(self.error("`true` or `false`".to_owned()))
    }

    /// A string with its escapes undone; which characters it may hold is its type's business.
    pub fn string(&mut self) -> Result<String, TextError> {
        self.expect("\"")?;
        let mut value = String::new();
        loop {
            let plain: &str = self.rest().split(['"', '\\', '\n']).next().unwrap_or_default();
            value.push_str(plain);
            self.at += plain.len();
            if self.accept("\"") {
                return Ok(value);
            }
            let escapes = [("\\\"", '"'), ("\\\\", '\\'), ("\\t", '\t'), ("\\n", '\n')];
            match escapes.iter().find(|(token, _)| self.rest().starts_with(token)) {
                Some((token, character)) => {
                    value.push(*character);
                    self.at += token.len();
                }
                None => return Err(self.error("the end of a string".to_owned())),
            }
        }
    }

    /// A string that reads as a `T`.
    pub fn word<T: Word>(&mut self) -> Result<T, TextError> {
        let start = self.at;
        let text = self.string()?;
        text.parse().map_err(|error: T::Err| {
            self.at = start;
            self.error(error.to_string())
        })
    }

    /// An object with the fields that `fields` reads, through [`Parser::field`].
    pub fn object<T>(
        &mut self,
        fields: impl FnOnce(&mut Self) -> Result<T, TextError>,
    ) -> Result<T, TextError> {
        self.expect("{")?;
        self.depth += 1;
        let value = fields(self)?;
        self.depth -= 1;
        self.new_line()?;
        self.expect("}")?;
        Ok(value)
    }

    /// The field `name`, which stands next.
    pub fn field<T: Text>(&mut self, name: &str) -> Result<T, TextError> {
        self.item()?;
        self.expect(&format!("\"{name}\": "))?;
        T::parse(self)
    }

    /// Whether the field `name` stands next, as the first of its object.
    pub fn has_field(&self, name: &str) -> bool {
        self.rest().trim_start_matches(['\n', ' ']).starts_with(&format!("\"{name}\": "))
    }

    /// Reads items between `open` and `close` until none follows.
    fn items(
        &mut self,
        open: &str,
        close: &str,
        mut read_item: impl FnMut(&mut Self) -> Result<(), TextError>,
    ) -> Result<(), TextError> {
        self.expect(open)?;
        if self.accept(close) {
            return Ok(());
        }
        self.depth += 1;
        loop {
            self.item()?;
            read_item(self)?;
            if !self.rest().starts_with(',') {
                break;
            }
        }
        self.depth -= 1;
        self.new_line()?;
        self.expect(close)
    }

    /// Starts the next item: a comma unless it is the first, and a new line.
    fn item(&mut self) -> Result<(), TextError> {
        let first = self.text.get(..self.at).is_some_and(|before| before.ends_with(['{', '[']));
        if !first {
            self.expect(",")?;
        }
        self.new_line()
    }

    fn new_line(&mut self) -> Result<(), TextError> {
        self.expect("\n")?;
        (0..self.depth).try_for_each(|_| self.expect("  "))
    }
}

#[cfg(test)]
mod tests;
