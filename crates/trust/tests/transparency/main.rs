//! Notes, trees, checkpoints and proofs: their rules, and what other implementations say of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod checkpoint;
mod merkle;
mod note;

use countersign_trust::merkle::{Tree, leaf_hash};
use countersign_trust::note::{KeyKind, NoteSigner};

const ORIGIN: &str = "log.example/org-1";

fn signer(name: &str, kind: KeyKind, seed: u8) -> NoteSigner {
    NoteSigner::new(name, kind, &[seed; 32]).unwrap()
}

fn log() -> NoteSigner {
    signer(ORIGIN, KeyKind::Ed25519, 1)
}

fn witness(number: u8) -> NoteSigner {
    signer(&format!("witness.example/w{number}"), KeyKind::CosignatureV1, 100 + number)
}

fn leaf(number: u64) -> Vec<u8> {
    format!("leaf {number}\n").into_bytes()
}

fn tree(size: u64) -> Tree {
    (0..size).map(|number| leaf_hash(&leaf(number))).collect()
}
