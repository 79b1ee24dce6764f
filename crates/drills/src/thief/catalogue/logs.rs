//! The log that only the thief sees.

use countersign_trust::checkpoint::Checkpoint;
use countersign_trust::ids::Sha256;
use countersign_trust::merkle::Tree;
use countersign_trust::note::{KeyKind, Note, NoteSigner};

use super::{Bench, Mutation, NOTHING, On, Parcel, SIGNED, WITNESS, another, nobody, row};
use crate::organization::{sign, ssh_key};

const LOG: &str = "log";

pub fn mutations() -> Vec<Mutation> {
    [inclusion(), witnesses()].into_iter().flatten().collect()
}

fn inclusion() -> Vec<Mutation> {
    vec![
        row(
            ("the proof of another leaf", NOTHING),
            On::Till,
            (LOG, "the proof leads to root"),
            another,
            |b, parcel| {
                let (tree, index) = (b.log.tree(), parcel.job.proof.index);
                let other = (index + 1 + b.chance.below(tree.size() - 1)) % tree.size();
                parcel.proof().inclusion = tree.inclusion(other, tree.size()).unwrap();
                parcel.proof().index = other;
            },
        ),
        row(("the proof of the log before", NOTHING), On::Till, (LOG, "the proof "), another, |b, parcel| {
            let (size, index) = (b.log.tree().size(), parcel.job.proof.index);
            let smaller = index.max(size - 1 - b.chance.below(size.min(20) - 1));
            let smaller = if smaller <= index { index + 1 } else { smaller };
            parcel.proof().inclusion = match smaller == size {
                true => Vec::new(),
                false => b.log.tree().inclusion(index, smaller).unwrap(),
            };
        }),
        row(("another place in the log", NOTHING), On::Till, (LOG, "the proof "), another, |b, parcel| {
            parcel.proof().index += 1 + b.chance.below(5);
        }),
        row(
            ("a hash of the proof bent", NOTHING),
            On::Till,
            (LOG, "the proof leads to root"),
            another,
            |b, parcel| {
                let at = b.chance.index(parcel.job.proof.inclusion.len());
                parcel.proof().inclusion[at].0[b.chance.index(32)] ^= 1 << b.chance.index(8);
            },
        ),
        row(("a proof cut short", NOTHING), On::Till, (LOG, "hashes, it must have"), another, |b, parcel| {
            let length = b.chance.index(parcel.job.proof.inclusion.len());
            parcel.proof().inclusion.truncate(length);
        }),
        row(
            ("logged with fewer signatures than are shown", SIGNED),
            On::Till,
            (LOG, "the proof leads to root"),
            another,
            |b, parcel| {
                let key = ["cia", "bo spare", "anna spare"][b.chance.index(3)];
                let (text, kind) =
                    (parcel.job.signed.statement().to_owned(), countersign_trust::statement::Kind::Job);
                let signature = ssh_key(key).sign(&kind.namespace(), text.as_bytes()).unwrap();
                let more = countersign_trust::envelope::Signed::new(text, [signature]).unwrap();
                parcel.job.signed = parcel.job.signed.join(&more).unwrap();
            },
        ),
        row(
            ("not in the log at all", NOTHING),
            On::Till,
            (LOG, "the proof leads to root"),
            another,
            |b, parcel| {
                let fresh = b.fresh();
                parcel.job.signed = sign(&fresh, &["anna", "bo"]);
            },
        ),
        row(
            ("a root that the log's key signed and nobody saw", NOTHING),
            On::Till,
            (LOG, "cosigned by 0 of 4"),
            another,
            |b, parcel| {
                let root = nobody(b.chance);
                parcel.proof().checkpoint = signed(b, b.log.key(), root);
            },
        ),
    ]
}

/// A checkpoint of the log's size with another root, signed by this key alone.
fn signed(bench: &Bench<'_>, key: &NoteSigner, root: Sha256) -> Note {
    let (origin, size) = (key.verifier().name().to_owned(), bench.log.tree().size());
    key.note(Checkpoint { origin, size, root }.to_string()).unwrap()
}

/// The same checkpoint with the log's own line and those of these witnesses.
fn seen_by(bench: &Bench<'_>, note: &Note, names: &[&str]) -> Note {
    let mut bare = bench.log.key().note(note.text().to_owned()).unwrap();
    for line in note.signatures().iter().filter(|line| names.contains(&line.name())) {
        bare.add(line.clone()).unwrap();
    }
    bare
}

/// Some of the four, so many.
fn some(bench: &mut Bench<'_>, count: usize) -> Vec<&'static str> {
    let mut names = vec!["witness-1", "witness-2", "witness-3", "witness-4"];
    while names.len() > count {
        names.remove(bench.chance.index(names.len()));
    }
    names
}

fn witnesses() -> Vec<Mutation> {
    vec![
        row(("one witness too few", NOTHING), On::Till, (LOG, "cosigned by 2 of 4"), another, |b, parcel| {
            let two = some(b, 2);
            parcel.proof().checkpoint = seen_by(b, &parcel.job.proof.checkpoint.clone(), &two);
        }),
        row(("no witness", NOTHING), On::Till, (LOG, "cosigned by 0 of 4"), another, |b, parcel| {
            parcel.proof().checkpoint = seen_by(b, &parcel.job.proof.checkpoint.clone(), &[]);
        }),
        row(
            ("one witness three times", WITNESS),
            On::Till,
            (LOG, "cosigned by 1 of 4"),
            another,
            |b, parcel| {
                let mut note = seen_by(b, &parcel.job.proof.checkpoint.clone(), &["witness-4"]);
                for _ in 0..2 {
                    let time = countersign_trust::time::Time(b.found.now.0 - b.chance.below(99));
                    note.add(b.found.witness.cosign(note.text(), time).unwrap()).unwrap();
                }
                parcel.proof().checkpoint = note;
            },
        ),
        row(
            ("a lying witness and one honest", WITNESS),
            On::Till,
            (LOG, "cosigned by 2 of 4"),
            another,
            |b, parcel| {
                let honest = ["witness-1", "witness-2", "witness-3"][b.chance.index(3)];
                parcel.proof().checkpoint =
                    seen_by(b, &parcel.job.proof.checkpoint.clone(), &[honest, "witness-4"]);
            },
        ),
        row(
            ("another history, and a lying witness", WITNESS),
            On::Till,
            (LOG, "cosigned by 1 of 4"),
            another,
            fork,
        ),
        row(
            ("cosignatures of another checkpoint", NOTHING),
            On::Till,
            (LOG, "cosigned by 0 of 4"),
            another,
            |b, parcel| {
                let root = nobody(b.chance);
                let mut other = signed(b, b.log.key(), root);
                for line in parcel.job.proof.checkpoint.signatures().iter().skip(1) {
                    other.add(line.clone()).unwrap();
                }
                parcel.proof().checkpoint = other;
            },
        ),
        row(
            ("cosigned for another log", WITNESS),
            On::Till,
            (LOG, "a checkpoint of log"),
            another,
            |b, parcel| {
                let name = format!("log.example/{}", b.chance.number());
                let key = NoteSigner::new(&name, KeyKind::Ed25519, &b.chance.bytes()).unwrap();
                let mut note = signed(b, &key, b.log.tree().root());
                note.add(b.found.witness.cosign(note.text(), b.found.now).unwrap()).unwrap();
                parcel.proof().checkpoint = note;
            },
        ),
        row(
            ("without the log's own signature", NOTHING),
            On::Till,
            (LOG, "is by the log's key"),
            another,
            |b, parcel| {
                let name = b.log.key().verifier().name().to_owned();
                let other = NoteSigner::new(&name, KeyKind::Ed25519, &b.chance.bytes()).unwrap();
                let mut note = other.note(parcel.job.proof.checkpoint.text().to_owned()).unwrap();
                for line in parcel.job.proof.checkpoint.signatures().iter().skip(1) {
                    note.add(line.clone()).unwrap();
                }
                parcel.proof().checkpoint = note;
            },
        ),
    ]
}

/// A log of the thief's own making, in which the job stands, seen by the witness whose key he has.
fn fork(bench: &mut Bench<'_>, parcel: &mut Parcel) {
    let fresh = bench.fresh();
    parcel.job.signed = sign(&fresh, &["anna", "bo"]);
    let entry = parcel.job.signed.leaf(&bench.found.chain.org()).unwrap();
    let before = 1 + bench.chance.below(20);
    let mut leaves: Vec<Sha256> = (0..before).map(|_| nobody(bench.chance)).collect();
    leaves.push(countersign_trust::merkle::leaf_hash(entry.as_bytes()));
    let tree: Tree = leaves.into_iter().collect();
    let origin = bench.log.key().verifier().name().to_owned();
    let text = Checkpoint { origin, size: tree.size(), root: tree.root() }.to_string();
    let mut note = bench.log.key().note(text).unwrap();
    note.add(bench.found.witness.cosign(note.text(), bench.found.now).unwrap()).unwrap();
    let inclusion = tree.inclusion(before, tree.size()).unwrap();
    parcel.job.proof =
        countersign_trust::checkpoint::Proof { extra: None, index: before, inclusion, checkpoint: note };
}
