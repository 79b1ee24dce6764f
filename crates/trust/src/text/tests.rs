//! The print, and every departure from it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::ids::{Name, Sha256};

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
    let empty =
        Sample { list: vec![], set: [].into(), map: [].into(), which: Which::Nothing(Nothing), ..sample() };
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
