//! Whether a receipt fits into what is known of its device's chain: two that contradict each other were signed by two
//! machines with one key, or by one that was set back.

use std::collections::HashMap;

use countersign_trust::ids::Sha256;
use countersign_trust::note::Note;
use countersign_trust::receipt::Receipt;

use crate::store::receipt::{Neighbour, NewReceipt, NewestReceipt};

/// How many devices' newest receipts are remembered.
const MOST_NEWEST: usize = 16_384;

/// How a receipt stands to those that are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fits {
    /// Its number is new.
    New {
        /// The receipt before or after it that names, or is named as, another.
        against: Option<String>,
        /// Whether the one before it is not here, though there was one.
        gap: bool,
    },
    /// It is known.
    Known {
        /// Whether it stands in the log.
        logged: bool,
    },
    /// Another is known under its number.
    Another {
        /// That one.
        against: String,
    },
}

impl Fits {
    /// As a receipt does that goes on from the newest.
    pub fn next() -> Self {
        Self::New { against: None, gap: false }
    }
}

/// The newest receipt of each device, by number and hash, as far as it is known: who goes on from there contradicts nothing. Number
/// 0 is for one that has none.
#[derive(Debug, Default)]
pub struct Newest(HashMap<String, (i64, String)>);

impl Newest {
    /// Whether it is known what the device's newest is.
    pub fn knows(&self, device: &str) -> bool {
        self.0.contains_key(device)
    }

    /// Learns from the records: of `devices` those that have receipts are in `found`.
    pub fn learn(&mut self, devices: Vec<String>, found: Vec<NewestReceipt>) {
        if self.0.len() + devices.len() > MOST_NEWEST {
            self.0.clear();
        }
        self.0.extend(devices.into_iter().map(|device| (device, (0, String::new()))));
        self.0.extend(found.into_iter().map(|newest| (newest.device, (newest.number, newest.hash))));
    }

    /// Whether `row` is the one after it, and names it.
    pub fn is_before(&self, row: &NewReceipt) -> bool {
        self.0.get(&row.device).is_some_and(|(number, hash)| {
            let named =
                row.previous.as_ref().map_or(*number == 0, |previous| *number > 0 && previous == hash);
            number.checked_add(1) == Some(row.number) && named
        })
    }

    /// Remembers that `row` is in the records, and none after it.
    pub fn remember(&mut self, row: &NewReceipt) {
        self.0.insert(row.device.clone(), (row.number, row.hash.clone()));
    }
}

/// Holds `row` against its neighbours: those that are known under its number, the one before and the one after. What is
/// further away says nothing.
pub fn fits(row: &NewReceipt, neighbours: Vec<Neighbour>) -> Fits {
    let (mut against, mut gap) = (None, row.number > 1);
    for known in neighbours.into_iter().filter(|known| known.number.abs_diff(row.number) <= 1) {
        if known.number == row.number {
            return if known.hash == row.hash {
                Fits::Known { logged: known.batch.is_some() }
            } else {
                Fits::Another { against: known.note }
            };
        }
        let agree = if known.number < row.number {
            row.previous.as_ref() == Some(&known.hash)
        } else {
            previous(&known.note).is_none_or(|previous| previous == row.hash)
        };
        gap &= known.number > row.number;
        if !agree {
            against = Some(known.note);
        }
    }
    Fits::New { against, gap }
}

/// What a note names as the one before it; none if it is no receipt, which the records never hold.
fn previous(note: &str) -> Option<String> {
    let note: Note = note.parse().ok()?;
    let receipt: Receipt = note.text().parse().ok()?;
    Some(receipt.previous.as_ref().map(Sha256::to_string).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: i64, hash: &str, previous: Option<&str>) -> NewReceipt {
        NewReceipt {
            device: "dev-1".to_owned(),
            number,
            hash: hash.to_owned(),
            previous: previous.map(str::to_owned),
            job: None,
            note: format!("note {hash}"),
            received_ms: 0,
        }
    }

    fn known(number: i64, hash: &str) -> Neighbour {
        Neighbour { number, hash: hash.to_owned(), batch: None, note: format!("note {hash}") }
    }

    #[test]
    fn a_receipt_is_held_against_its_neighbours() {
        let new = |against: Option<&str>, gap| Fits::New { against: against.map(str::to_owned), gap };
        let cases = [
            ("the first", row(1, "a", None), vec![], new(None, false)),
            ("the next", row(2, "b", Some("a")), vec![known(1, "a")], new(None, false)),
            ("after another", row(2, "b", Some("x")), vec![known(1, "a")], new(Some("note a"), false)),
            ("after none", row(2, "b", None), vec![known(1, "a")], new(Some("note a"), false)),
            ("one left out", row(3, "c", Some("b")), vec![], new(None, true)),
            ("far from another", row(3, "c", Some("b")), vec![known(5, "e")], new(None, true)),
            (
                "known",
                row(2, "b", Some("a")),
                vec![known(1, "a"), known(2, "b")],
                Fits::Known { logged: false },
            ),
            (
                "another text",
                row(2, "z", Some("a")),
                vec![known(2, "b")],
                Fits::Another { against: "note b".to_owned() },
            ),
        ];
        for (name, row, neighbours, expected) in cases {
            assert_eq!(fits(&row, neighbours), expected, "{name}");
        }
    }

    #[test]
    fn only_what_names_the_newest_goes_on_from_it() {
        let mut newest = Newest::default();
        assert!(!newest.is_before(&row(1, "a", None)), "nothing is known yet");
        newest.learn(vec!["dev-1".to_owned()], vec![]);
        assert!(newest.is_before(&row(1, "a", None)), "it has none");
        for other in [row(1, "a", Some("")), row(2, "b", None), row(0, "z", None)] {
            assert!(!newest.is_before(&other), "{other:?}");
        }
        newest.remember(&row(1, "a", None));
        assert!(newest.is_before(&row(2, "b", Some("a"))));
        for other in
            [row(2, "b", Some("x")), row(2, "b", None), row(3, "b", Some("a")), row(1, "b", Some("a"))]
        {
            assert!(!newest.is_before(&other), "{other:?}");
        }
        let another = NewReceipt { device: "dev-2".to_owned(), ..row(2, "b", Some("a")) };
        assert!(!newest.is_before(&another));
        newest.remember(&row(i64::MAX, "z", Some("y")));
        assert!(!newest.is_before(&row(i64::MAX, "z", Some("z"))), "numbers end there");
    }
}
