//! The canonical text of numbers, words, lists, sets and maps.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::num::NonZeroU8;

use super::{Parser, Printer, Text, TextError, Word, word};
use crate::ids::{DeviceId, Name, OrgId, Sha256, StatementId};
use crate::key::PublicKey;
use crate::note::VerifierKey;
use crate::time::Time;

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
