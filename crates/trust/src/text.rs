//! Canonical text: the one way a statement may be written down.
//!
//! The print is JSON that a person can read: every field present, in order, two-space indent, one item a line.
//! The parser is the printer run backwards: at each place it demands exactly what the printer would have put
//! there, so unknown, repeated, missing or reordered keys, other spacing and other escapes are all the same
//! error, with the line it is on. There is no general JSON parser to disagree with.
//!
//! Source: docs/spec/1-text.md.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Display;
use core::num::NonZeroU8;
use core::str::FromStr;

use crate::ids::{DeviceId, Name, OrgId, Sha256, StatementId};
use crate::key::PublicKey;
use crate::note::VerifierKey;
use crate::time::Time;

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
    /// The first characters of what stands there.
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
        let found = self.rest().chars().take(40).collect();
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

macro_rules! word {
    ($($type:ty),* $(,)?) => {
        $(
            impl $crate::text::Word for $type {}
            impl $crate::text::Text for $type {
                fn print(&self, to: &mut $crate::text::Printer) {
                    to.string(&alloc::string::ToString::to_string(self));
                }
                fn parse(from: &mut $crate::text::Parser<'_>) -> Result<Self, $crate::text::TextError> {
                    from.word()
                }
            }
        )*
    };
}
pub(crate) use word;

word!(Sha256, OrgId, DeviceId, StatementId, Name, PublicKey, VerifierKey);

/// An absent word is the empty string.
impl<T: Word> Text for Option<T> {
    fn print(&self, to: &mut Printer) {
        to.string(&self.as_ref().map(ToString::to_string).unwrap_or_default());
    }
    fn parse(from: &mut Parser<'_>) -> Result<Self, TextError> {
        if from.accept("\"\"") { Ok(None) } else { from.word().map(Some) }
    }
}

impl Text for bool {
    fn print(&self, to: &mut Printer) {
        to.boolean(*self);
    }
    fn parse(from: &mut Parser<'_>) -> Result<Self, TextError> {
        from.boolean()
    }
}

impl Text for u64 {
    fn print(&self, to: &mut Printer) {
        to.number(*self);
    }
    fn parse(from: &mut Parser<'_>) -> Result<Self, TextError> {
        from.number()
    }
}

impl Text for Time {
    fn print(&self, to: &mut Printer) {
        to.number(self.0);
    }
    fn parse(from: &mut Parser<'_>) -> Result<Self, TextError> {
        from.number().map(Self)
    }
}

macro_rules! small_number {
    ($type:ty, $words:literal) => {
        impl Text for $type {
            fn print(&self, to: &mut Printer) {
                to.number(u64::from(u8::from(*self)));
            }
            fn parse(from: &mut Parser<'_>) -> Result<Self, TextError> {
                let start = from.at;
                let small = u8::try_from(from.number()?).ok().and_then(|value| Self::try_from(value).ok());
                small.ok_or_else(|| {
                    from.at = start;
                    from.error($words.to_owned())
                })
            }
        }
    };
}
small_number!(u8, "an integer from 0 to 255");
small_number!(NonZeroU8, "an integer from 1 to 255");

impl<T: Text> Text for Vec<T> {
    fn print(&self, to: &mut Printer) {
        to.list(|to| {
            for value in self {
                to.item();
                value.print(to);
            }
        });
    }
    fn parse(from: &mut Parser<'_>) -> Result<Self, TextError> {
        let mut values = Vec::new();
        from.items("[", "]", |from| {
            values.push(T::parse(from)?);
            Ok(())
        })?;
        Ok(values)
    }
}

/// Refuses a word that does not come after the one before it, byte by byte.
fn ascending(from: &Parser<'_>, last: &mut String, next: String) -> Result<(), TextError> {
    if *last >= next {
        return Err(
            from.error(format!("entries in ascending order, each once, but `{next}` follows `{last}`"))
        );
    }
    *last = next;
    Ok(())
}

/// Sets of words, ascending by printed byte.
impl<T: Word + Text + Ord> Text for BTreeSet<T> {
    fn print(&self, to: &mut Printer) {
        let mut words: Vec<String> = self.iter().map(ToString::to_string).collect();
        words.sort();
        to.list(|to| {
            for word in &words {
                to.item();
                to.string(word);
            }
        });
    }
    fn parse(from: &mut Parser<'_>) -> Result<Self, TextError> {
        let (mut values, mut last) = (BTreeSet::new(), String::new());
        from.items("[", "]", |from| {
            let value: T = from.word()?;
            ascending(from, &mut last, value.to_string())?;
            values.insert(value);
            Ok(())
        })?;
        Ok(values)
    }
}

/// Objects with free keys, ascending by printed byte.
impl<K: Word + Ord, V: Text> Text for BTreeMap<K, V> {
    fn print(&self, to: &mut Printer) {
        let mut entries: Vec<(String, &V)> =
            self.iter().map(|(key, value)| (key.to_string(), value)).collect();
        entries.sort_by(|left, right| left.0.cmp(&right.0));
        to.object(|to| {
            for (key, value) in entries {
                to.field(&key, value);
            }
        });
    }
    fn parse(from: &mut Parser<'_>) -> Result<Self, TextError> {
        let (mut values, mut last) = (BTreeMap::new(), String::new());
        from.items("{", "}", |from| {
            let key: K = from.word()?;
            ascending(from, &mut last, key.to_string())?;
            from.expect(": ")?;
            values.insert(key, V::parse(from)?);
            Ok(())
        })?;
        Ok(values)
    }
}

/// Declares a struct whose canonical print is an object with exactly these fields in this order.
macro_rules! record {
    ($(#[$doc:meta])* $vis:vis struct $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        $vis struct $name { $($(#[$fdoc])* pub $field: $type,)* }

        impl $crate::text::Text for $name {
            fn print(&self, to: &mut $crate::text::Printer) {
                to.object(|to| { $(to.field(stringify!($field), &self.$field);)* });
            }
            fn parse(from: &mut $crate::text::Parser<'_>) -> Result<Self, $crate::text::TextError> {
                from.object(|from| Ok(Self { $($field: from.field(stringify!($field))?,)* }))
            }
        }
    };
}
pub(crate) use record;

/// Declares an enumeration whose values print as strings.
macro_rules! keyword {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        $vis enum $name { $($(#[$vdoc])* $variant,)* }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(match self { $(Self::$variant => $word,)* })
            }
        }

        impl core::str::FromStr for $name {
            type Err = alloc::string::String;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(alloc::format!("one of {:?}", [$($word),*])),
                }
            }
        }

        $crate::text::word!($name);
    };
}
pub(crate) use keyword;

/// Declares an alternative: an object with one key that says which (`{"labels": {…}}`).
macro_rules! alternative {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$vdoc:meta])* $variant:ident($type:ty) = $tag:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        $vis enum $name { $($(#[$vdoc])* $variant($type),)* }

        impl $crate::text::Text for $name {
            fn print(&self, to: &mut $crate::text::Printer) {
                to.object(|to| match self { $(Self::$variant(value) => to.field($tag, value),)* });
            }
            fn parse(from: &mut $crate::text::Parser<'_>) -> Result<Self, $crate::text::TextError> {
                from.object(|from| {
                    $(if from.has_field($tag) {
                        return from.field($tag).map(Self::$variant);
                    })*
                    Err(from.error(alloc::format!("one of the keys {:?}", [$($tag),*])))
                })
            }
        }
    };
}
pub(crate) use alternative;

impl Parser<'_> {
    /// Whether the field `name` stands next, as the first of its object.
    pub fn has_field(&self, name: &str) -> bool {
        self.rest().trim_start_matches(['\n', ' ']).starts_with(&format!("\"{name}\": "))
    }
}

/// The object `{}`: an alternative that carries nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nothing;

impl Text for Nothing {
    fn print(&self, to: &mut Printer) {
        to.object(|_| {});
    }
    fn parse(from: &mut Parser<'_>) -> Result<Self, TextError> {
        from.expect("{}").map(|()| Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    record! {
        /// A record with one of everything.
        struct Sample {
            /// A word.
            name: Name,
            /// An absent word.
            absent: Option<Sha256>,
            /// A number.
            count: u64,
            /// A list.
            list: Vec<u64>,
            /// A set.
            set: BTreeSet<Name>,
            /// A map.
            map: BTreeMap<Name, Name>,
            /// An alternative.
            which: Which,
        }
    }

    alternative! {
        /// One of two.
        enum Which {
            /// A number.
            Number(u64) = "number",
            /// Nothing.
            Nothing(Nothing) = "nothing",
        }
    }

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn sample() -> Sample {
        Sample {
            name: name("anna"),
            absent: None,
            count: 7,
            list: vec![1, 2],
            set: [name("a"), name("b")].into(),
            map: [(name("k"), name("v"))].into(),
            which: Which::Number(9),
        }
    }

    const PRINT: &str = r#"{
  "name": "anna",
  "absent": "",
  "count": 7,
  "list": [
    1,
    2
  ],
  "set": [
    "a",
    "b"
  ],
  "map": {
    "k": "v"
  },
  "which": {
    "number": 9
  }
}
"#;

    #[test]
    fn the_print_is_this_and_reads_back() {
        assert_eq!(print(&sample()), PRINT);
        assert_eq!(parse(PRINT), Ok(sample()));
    }

    #[test]
    fn empty_lists_and_objects_stay_on_their_line() {
        let empty = Sample {
            list: vec![],
            set: [].into(),
            map: [].into(),
            which: Which::Nothing(Nothing),
            ..sample()
        };
        let text = print(&empty);
        assert!(text.contains("\"list\": [],\n") && text.contains("\"map\": {},\n"));
        assert!(text.contains("\"nothing\": {}\n"));
        assert_eq!(parse(&text), Ok(empty));
    }

    #[test]
    fn every_departure_from_the_print_is_refused() {
        let bends: [(&str, &str, &str); 14] = [
            ("an unknown key", "  \"count\": 7,\n", "  \"count\": 7,\n  \"more\": 1,\n"),
            ("a repeated key", "  \"count\": 7,\n", "  \"count\": 7,\n  \"count\": 7,\n"),
            ("a missing key", "  \"count\": 7,\n", ""),
            ("a space more", "\"count\": 7", "\"count\":  7"),
            ("a tab", "  \"count\"", "\t\"count\""),
            ("a carriage return", "7,\n", "7,\r\n"),
            ("an escape for a plain character", "anna", "\\u0061nna"),
            ("a leading zero", "7", "07"),
            ("a float", "7", "7.0"),
            ("a negative number", "7", "-7"),
            ("a number past 2^53-1", "7", "9007199254740992"),
            ("a set out of order", "\"a\",\n    \"b\"", "\"b\",\n    \"a\""),
            ("a set with a repeat", "\"b\"", "\"a\""),
            ("null", "\"\"", "null"),
        ];
        for (what, good, bad) in bends {
            let bent = PRINT.replacen(good, bad, 1);
            assert_ne!(bent, PRINT, "{what} bends nothing");
            assert!(parse::<Sample>(&bent).is_err(), "{what} was accepted");
        }
        assert!(parse::<Sample>(&format!("{PRINT}\n")).is_err());
        assert!(parse::<Sample>(PRINT.trim_end()).is_err());
        assert!(parse::<Sample>("").is_err());
    }

    #[test]
    fn an_error_names_the_line_and_what_was_expected() {
        let error = parse::<Sample>(&PRINT.replace("\"count\"", "\"coumt\"")).unwrap_err();
        assert_eq!((error.line, error.expected.as_str()), (4, "`\\\"count\\\": `"));
    }
}
