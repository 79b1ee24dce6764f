//! The leaves of a log as a file: a line each, from the first one on.
//!
//! `<type> <hash of the statement> <hash of the signatures>`; `other <base64>` for an entry that is none of the organization's;
//! `unknown <count>` for leaves that nobody showed.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_trust::chain::Place;
use countersign_trust::envelope::leaf;
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::merkle::leaf_hash;

use crate::checked::log::{Edge, Leaf};

/// What is known of one place of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// A leaf of the organization.
    Leaf {
        /// The kind of statement, or `join` or `receipts`.
        kind: String,
        /// The hash of the statement.
        statement: Sha256,
        /// The hash of the signatures.
        signatures: Sha256,
    },
    /// An entry that is none of the organization's.
    Other(Vec<u8>),
    /// Nobody showed it.
    Unknown,
}

impl Slot {
    /// Reads an entry of a log of `org`.
    pub fn read(org: &OrgId, entry: &[u8]) -> Self {
        let read = Leaf::read(org, Place { log: 0, index: 0 }, entry);
        let slot = read
            .and_then(|leaf| Some((leaf.kind, leaf.statement.parse().ok()?, leaf.signatures.parse().ok()?)));
        match slot {
            Some((kind, statement, signatures)) => Self::Leaf { kind, statement, signatures },
            None => Self::Other(entry.to_vec()),
        }
    }

    /// The bytes that stand in the log; none if nobody showed them.
    pub fn entry(&self, org: &OrgId) -> Option<Vec<u8>> {
        match self {
            Self::Leaf { kind, statement, signatures } => {
                Some(leaf(org, kind, statement, signatures).into_bytes())
            }
            Self::Other(entry) => Some(entry.clone()),
            Self::Unknown => None,
        }
    }

    /// Whether it is this kind of leaf.
    pub fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Leaf { kind, .. } if kind == wanted)
    }
}

/// Prints them.
pub fn print(slots: &[Slot]) -> String {
    let mut text = String::new();
    let mut rest = slots;
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        // What is written into a string arrives.
        let _ = match first {
            Slot::Leaf { kind, statement, signatures } => writeln!(text, "{kind} {statement} {signatures}"),
            Slot::Other(entry) => writeln!(text, "other {}", STANDARD.encode(entry)),
            Slot::Unknown => {
                let more = others.iter().take_while(|slot| **slot == Slot::Unknown).count();
                rest = others.get(more..).unwrap_or_default();
                writeln!(text, "unknown {}", more + 1)
            }
        };
    }
    text
}

/// Reads what [`print`] printed; none if it is damaged, or more than `most` leaves.
pub fn parse(text: &str, most: u64) -> Option<Vec<Slot>> {
    let mut slots: Vec<Slot> = Vec::new();
    for line in text.lines() {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["unknown", count] => {
                let count: u64 = count.parse().ok()?;
                let known = u64::try_from(slots.len()).ok()?;
                known.checked_add(count).filter(|size| *size <= most)?;
                slots.extend((0..count).map(|_| Slot::Unknown));
            }
            ["other", entry] => slots.push(Slot::Other(STANDARD.decode(entry).ok()?)),
            [kind, statement, signatures] => slots.push(Slot::Leaf {
                kind: (*kind).to_owned(),
                statement: statement.parse().ok()?,
                signatures: signatures.parse().ok()?,
            }),
            _ => return None,
        }
    }
    (print(&slots) == text).then_some(slots)
}

/// The root of a tree of these leaves; none if one is not known.
pub fn root(org: &OrgId, slots: &[Slot]) -> Option<Sha256> {
    let mut edge = Edge::default();
    for slot in slots {
        edge.push(leaf_hash(&slot.entry(org)?));
    }
    Some(edge.root())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_read_back_and_have_the_root_of_their_tree() {
        let org = OrgId([1; 32]);
        let known = Slot::read(&org, leaf(&org, "job", &Sha256([2; 32]), &Sha256([3; 32])).as_bytes());
        let other = Slot::read(&org, b"a stranger's");
        let slots = vec![known.clone(), Slot::Unknown, Slot::Unknown, other.clone(), Slot::Unknown];
        let text = print(&slots);
        assert_eq!(text.lines().count(), 4, "{text}");
        assert_eq!(parse(&text, 5), Some(slots.clone()));
        assert_eq!(parse(&text, 4), None, "more than the log has");
        for bad in ["unknown 1\nunknown 1\n", "job 1 2\n", "unknown 01\n", "other a\n", "unknown 1"] {
            assert_eq!(parse(bad, 9), None, "{bad}");
        }
        assert_eq!(root(&org, &slots), None);
        let tree: countersign_trust::merkle::Tree = [known.entry(&org).unwrap(), b"a stranger's".to_vec()]
            .iter()
            .map(|entry| leaf_hash(entry))
            .collect();
        assert_eq!(root(&org, &[known, other]), Some(tree.root()));
    }
}
