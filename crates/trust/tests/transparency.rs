//! Notes, trees, checkpoints and proofs: their rules, and what other implementations say of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::num::NonZeroU8;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_trust::checkpoint::{
    AddCheckpoint, Checkpoint, LogError, LogKeys, Proof, ReadError, verify_checkpoint, verify_logged,
};
use countersign_trust::ids::Sha256;
use countersign_trust::key::KeyError;
use countersign_trust::merkle::{
    EMPTY_ROOT, MerkleError, Tree, entries_path, inclusion_from, leaf_hash, root_from, tile_path,
    verify_consistency, verify_inclusion,
};
use countersign_trust::note::{
    KeyKind, Note, NoteError, NoteSigner, Signature, VerifierKey, VerifierKeyError,
};
use countersign_trust::time::Time;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;
use signed_note::{Signer, StandardSigner, StandardVerifier, Verifier, VerifierList};

const ORIGIN: &str = "log.example/org-1";
const LEAVES: u64 = 70;

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

/// A proof that leaf 5 of 9 stands in the log, cosigned by each witness at each time named.
fn proof(cosigned: &[(u8, u64)]) -> Proof {
    let tree = tree(9);
    let text = Checkpoint { origin: ORIGIN.to_owned(), size: 9, root: tree.root() }.to_string();
    let mut checkpoint = log().note(text.clone()).unwrap();
    for (number, time) in cosigned {
        checkpoint.add(witness(*number).cosign(&text, Time(*time)).unwrap()).unwrap();
    }
    Proof { extra: None, index: 5, inclusion: tree.inclusion(5, 9).unwrap(), checkpoint }
}

fn check(proof: &Proof, need: u8) -> Result<(u64, u64, Time), LogError> {
    let witnesses = (1..=3).map(|number| witness(number).verifier().clone()).collect();
    check_with(proof, &witnesses, need)
}

fn check_with(
    proof: &Proof,
    witnesses: &BTreeSet<VerifierKey>,
    need: u8,
) -> Result<(u64, u64, Time), LogError> {
    let log = log();
    let keys = LogKeys { log: log.verifier(), witnesses, need: NonZeroU8::new(need).unwrap() };
    verify_logged(proof, &leaf(5), keys).map(|seen| (seen.index(), seen.size(), seen.time()))
}

const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const NOTE: &str = "This is an example message.\n\n— example.com/foo \
    Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

#[test]
fn the_example_of_the_specification_verifies_and_prints_as_it_stands() {
    let (key, note): (VerifierKey, Note) = (VKEY.parse().unwrap(), NOTE.parse().unwrap());
    assert!(note.signed_by(&key));
    assert_eq!(note.cosigned_at(&key), None);
    assert_eq!((key.to_string().as_str(), note.to_string().as_str()), (VKEY, NOTE));
    assert_eq!((key.name(), key.id()), ("example.com/foo", [0x53, 0x0d, 0x90, 0x3a]));
    let other: Note = NOTE.replace("This", "Thus").parse().unwrap();
    assert!(!other.signed_by(&key));
}

#[test]
fn a_verifier_key_has_one_text() {
    type Is = fn(&VerifierKeyError) -> bool;
    let cases: [(&str, String, Is); 8] = [
        ("another id", VKEY.replace("530d903a", "530d903b"), |e| matches!(e, VerifierKeyError::Id { .. })),
        ("an id in capitals", VKEY.replace("530d903a", "530D903A"), |e| {
            matches!(e, VerifierKeyError::Id { .. })
        }),
        ("a space", VKEY.replace("/foo", "/f o"), |e| matches!(e, VerifierKeyError::Name { .. })),
        ("no name", VKEY.replace("example.com/foo", ""), |e| matches!(e, VerifierKeyError::Name { .. })),
        ("a letter that looks like another", VKEY.replace("foo", "fоо"), |e| {
            matches!(e, VerifierKeyError::Name { .. })
        }),
        ("another kind", VKEY.replace("+Ae", "+Be"), |e| matches!(e, VerifierKeyError::Kind { found: 5 })),
        ("stray bits in base64", VKEY.replace("U2k", "U2l="), |e| matches!(e, VerifierKeyError::Form { .. })),
        ("a part too few", VKEY.replace("+530d903a", ""), |e| matches!(e, VerifierKeyError::Form { .. })),
    ];
    for (case, text, is) in cases {
        let refusal = text.parse::<VerifierKey>().unwrap_err();
        assert!(is(&refusal), "{case}: {refusal:?}");
    }
}

#[test]
fn a_key_under_which_anyone_can_sign_is_refused() {
    for (raw, reason) in [([0; 32], KeyError::SmallOrder), ([0xff; 32], KeyError::NotCanonical)] {
        let refused = VerifierKey::new("a", KeyKind::Ed25519, raw).unwrap_err();
        assert_eq!(refused, VerifierKeyError::Key { name: "a".to_owned(), reason });
    }
}

#[test]
fn a_bad_line_denies_nothing_and_the_earliest_good_one_counts() {
    let (log, witness) = (log(), witness(1));
    let mut note = log.note("text\n".to_owned()).unwrap();
    for (text, time) in [("other\n", 1), ("text\n", 30), ("text\n", 20)] {
        note.add(witness.cosign(text, Time(time)).unwrap()).unwrap();
    }
    let bad = log.sign("other\n").unwrap();
    let reversed = format!("{}\n{bad}\n{}", note.text(), note.to_string().split_once("\n\n").unwrap().1);
    let note: Note = reversed.parse().unwrap();
    assert!(note.signed_by(log.verifier()));
    assert_eq!(note.cosigned_at(witness.verifier()), Some(Time(20)));
}

/// A line that claims to be this key's, over what `plain`, a key of kind Ed25519, signs.
fn forged(key: &VerifierKey, time: &[u8], plain: &NoteSigner, message: &str) -> Signature {
    let line = plain.sign(message).unwrap().to_string();
    let signed = STANDARD.decode(line.rsplit_once(' ').unwrap().1).unwrap();
    let bytes = [&key.id(), time, &signed[4..]].concat();
    format!("— {} {}", key.name(), STANDARD.encode(bytes)).parse().unwrap()
}

#[test]
fn a_line_counts_under_its_own_name_id_and_kind_alone() {
    let text = "text\n";
    let (log, witness) = (log(), witness(1));
    let plain = NoteSigner::new("plain", KeyKind::Ed25519, &[101; 32]).unwrap();
    assert_eq!(plain.verifier().raw(), witness.verifier().raw());
    let alone = |line: Signature| Note::new(text.to_owned(), line).unwrap();
    let bare = alone(forged(witness.verifier(), &[], &plain, text));
    assert!(!bare.signed_by(witness.verifier()), "a plain signature by a cosignature key");
    for (time, counts) in [(Note::MAX_TIME.0, true), (Note::MAX_TIME.0 + 1, false)] {
        let message = format!("cosignature/v1\ntime {time}\n{text}");
        let note = alone(forged(witness.verifier(), &time.to_be_bytes(), &plain, &message));
        assert_eq!(note.cosigned_at(witness.verifier()), counts.then_some(Time(time)));
    }
    let line = log.sign(text).unwrap().to_string();
    assert!(alone(line.parse().unwrap()).signed_by(log.verifier()));
    let renamed = line.replace(ORIGIN, "log.example/org-2");
    assert!(!alone(renamed.parse().unwrap()).signed_by(log.verifier()), "another name");
    let mut bytes = STANDARD.decode(line.rsplit_once(' ').unwrap().1).unwrap();
    bytes[0] ^= 1;
    let other = format!("— {ORIGIN} {}", STANDARD.encode(bytes));
    assert!(!alone(other.parse().unwrap()).signed_by(log.verifier()), "another id");
}

#[test]
fn a_key_signs_only_what_its_kind_signs() {
    let (log, witness) = (log(), witness(1));
    let wrong = |key: &NoteSigner, needed| NoteError::Kind {
        name: key.verifier().name().to_owned(),
        found: key.verifier().kind(),
        needed,
    };
    assert_eq!(witness.sign("text\n"), Err(wrong(&witness, KeyKind::Ed25519)));
    assert_eq!(log.cosign("text\n", Time(1)), Err(wrong(&log, KeyKind::CosignatureV1)));
    let late = Time(Note::MAX_TIME.0 + 1);
    assert_eq!(witness.cosign("text\n", late), Err(NoteError::Time { found: late, most: Note::MAX_TIME }));
    assert_eq!(format!("{log:?}"), format!("NoteSigner({})", log.verifier()));
}

#[test]
fn a_note_is_bounded_and_has_one_form() {
    let line = NOTE.split_once("\n\n").unwrap().1;
    let with = |text: &str, lines: &str| format!("{text}\n{lines}").parse::<Note>();
    assert_eq!(with("a\r\n", line), Err(NoteError::Control { found: 13 }));
    assert_eq!(with("a\n", ""), Err(NoteError::Unsigned));
    assert_eq!(with("a\n", line.trim_end()), Err(NoteError::Unsigned));
    assert_eq!(with("a\n", &line.repeat(65)), Err(NoteError::Lines { found: 65, most: 64 }));
    assert_eq!(with("a\n", &line.repeat(64)).unwrap().signatures().len(), 64);
    assert_eq!(with("a\n\n— b\n", line).unwrap().text(), "a\n\n— b\n");
    let long = format!("{}\n", "x".repeat(Note::MAX_BYTES));
    assert!(matches!(with(&long, line), Err(NoteError::Size { most: Note::MAX_BYTES, .. })));
    assert!(Note::parse_within(&format!("{long}\n{line}"), 70_000).is_ok());
    assert_eq!(log().note("a".to_owned()), Err(NoteError::Unfinished { found: "a".to_owned() }));
    assert_eq!(log().note("a\t\n".to_owned()), Err(NoteError::Control { found: 9 }));
    for bad in [
        "- a AAAAAAA=",
        "— a",
        "—  AAAAAAA=",
        "— a+b AAAAAAA=",
        "— a AAAAAA==",
        "— a AAAAAAB=",
        "— a\u{2003}b AAAAAAA=",
    ] {
        assert!(matches!(with("a\n", &format!("{bad}\n")), Err(NoteError::Line { .. })), "{bad}");
    }
    let mut full = with("a\n", &line.repeat(64)).unwrap();
    assert_eq!(full.add(line.trim_end().parse().unwrap()), Ok(()));
    assert_eq!(full.add(log().sign("a\n").unwrap()), Err(NoteError::Lines { found: 65, most: 64 }));
}

#[test]
fn another_implementation_signs_the_same_bytes_and_verifies_them() {
    let (log, text) = (log(), "first\n\nlast å\n");
    let note = log.note(text.to_owned()).unwrap().to_string();
    let vkey = log.verifier().to_string();
    let theirs: Box<dyn Verifier> = Box::new(StandardVerifier::new(&vkey).unwrap());
    let known = VerifierList::new(vec![theirs]);
    let (verified, rest) = signed_note::Note::from_bytes(note.as_bytes()).unwrap().verify(&known).unwrap();
    assert_eq!((verified.len(), rest.len()), (1, 0));

    let (name_and_id, _) = vkey.rsplit_once('+').unwrap();
    let secret = STANDARD.encode([1; 33]);
    let signer = StandardSigner::new(&format!("PRIVATE+KEY+{name_and_id}+{secret}")).unwrap();
    let signers: [&dyn Signer; 1] = [&signer];
    let mut same = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
    same.add_sigs(&signers).unwrap();
    assert_eq!(same.to_bytes(), note.as_bytes());
}

#[test]
fn a_cosignature_is_of_the_time_and_the_text() {
    let witness = witness(1);
    let line = witness.cosign("origin\n3\nroot\n", Time(1_679_315_147)).unwrap();
    let bytes = STANDARD.decode(line.to_string().rsplit_once(' ').unwrap().1).unwrap();
    assert_eq!(bytes[..12], [&witness.verifier().id(), &1_679_315_147u64.to_be_bytes()[..]].concat());
    let plain = VerifierKey::new("w", KeyKind::Ed25519, *witness.verifier().raw()).unwrap();
    let theirs = StandardVerifier::new(&plain.to_string()).unwrap();
    assert!(theirs.verify(b"cosignature/v1\ntime 1679315147\norigin\n3\nroot\n", &bytes[12..]));
}

#[test]
fn roots_and_proofs_are_those_of_another_implementation() {
    let ours = tree(LEAVES);
    let mut theirs = MemoryBackedTree::<sha2::Sha256, Vec<u8>>::new();
    assert_eq!(
        (Tree::default().root(), ours.root_at(0), Sha256::of(b"")),
        (EMPTY_ROOT, Ok(EMPTY_ROOT), EMPTY_ROOT)
    );
    for size in 1..=LEAVES {
        theirs.push(leaf(size - 1));
        let root = Sha256(theirs.root().as_bytes()[..].try_into().unwrap());
        assert_eq!((tree(size).root(), ours.root_at(size)), (root, Ok(root)));
        for index in 0..size {
            let proof = ours.inclusion(index, size).unwrap();
            assert_eq!(bytes_of(&proof), theirs.prove_inclusion(index.try_into().unwrap()).as_bytes());
            let proof = ours.consistency(size - index, size).unwrap();
            assert_eq!(bytes_of(&proof), theirs.prove_consistency(index.try_into().unwrap()).as_bytes());
        }
    }
}

fn bytes_of(proof: &[Sha256]) -> Vec<u8> {
    proof.iter().flat_map(|hash| hash.0).collect()
}

/// The same proof bent in each place, and too short or too long.
fn bent(proof: &[Sha256]) -> Vec<Vec<Sha256>> {
    let mut all: Vec<Vec<Sha256>> = vec![[proof, &[EMPTY_ROOT]].concat(), [&[EMPTY_ROOT], proof].concat()];
    for place in 0..proof.len() {
        let mut other = proof.to_vec();
        other[place].0[place % 32] ^= 1;
        all.push(other);
        let mut shorter = proof.to_vec();
        shorter.remove(place);
        all.push(shorter);
        if place > 0 {
            let mut swapped = proof.to_vec();
            swapped.swap(place - 1, place);
            all.push(swapped);
        }
    }
    all
}

#[test]
fn every_inclusion_proof_verifies_and_none_that_is_bent() {
    let tree = tree(LEAVES);
    for size in 1..=LEAVES {
        let root = tree.root_at(size).unwrap();
        for index in 0..size {
            let (hash, proof) = (leaf_hash(&leaf(index)), tree.inclusion(index, size).unwrap());
            assert_eq!(verify_inclusion(hash, index, size, &proof, root), Ok(()));
            for bent in bent(&proof) {
                assert!(verify_inclusion(hash, index, size, &bent, root).is_err(), "{index} of {size}");
            }
            for other in (0..=size).filter(|other| *other != index) {
                assert!(
                    verify_inclusion(hash, other, size, &proof, root).is_err(),
                    "{index} of {size} as {other}"
                );
            }
            assert!(verify_inclusion(leaf_hash(b"other"), index, size, &proof, root).is_err());
            assert!(verify_inclusion(hash, index, size, &proof, EMPTY_ROOT).is_err());
        }
    }
}

#[test]
fn every_consistency_proof_verifies_and_none_that_is_bent() {
    let tree = tree(LEAVES);
    for new in 0..=LEAVES {
        let new_root = tree.root_at(new).unwrap();
        for old in 0..=new {
            let (old_root, proof) = (tree.root_at(old).unwrap(), tree.consistency(old, new).unwrap());
            let verify = |old, old_root, new_root, proof: &[_]| {
                verify_consistency(old, old_root, new, new_root, proof)
            };
            assert_eq!(verify(old, old_root, new_root, &proof), Ok(()), "{old} of {new}");
            for bent in bent(&proof) {
                assert!(verify(old, old_root, new_root, &bent).is_err(), "{old} of {new}");
            }
            let other = leaf_hash(b"other");
            assert!(verify(old, other, new_root, &proof).is_err(), "{old} of {new}");
            // From nothing every tree that has leaves follows.
            assert_eq!(verify(old, old_root, other, &proof).is_ok(), old == 0 && new > 0, "{old} of {new}");
        }
        let shrunk = MerkleError::Shrunk { old: new + 1, new };
        assert_eq!(verify_consistency(new + 1, new_root, new, new_root, &[]), Err(shrunk.clone()));
        assert_eq!(tree.consistency(new + 1, new), Err(shrunk));
    }
}

#[test]
fn a_refused_proof_says_both_values() {
    let tree = tree(3);
    let (root, hash) = (tree.root(), leaf_hash(&leaf(0)));
    let wrong = |expected, found| Err(MerkleError::Length { expected, found });
    assert_eq!(verify_inclusion(hash, 0, 3, &[], root), wrong(2, 0));
    assert_eq!(verify_inclusion(hash, 3, 3, &[], root), Err(MerkleError::Index { index: 3, size: 3 }));
    assert_eq!(verify_inclusion(hash, 0, u64::MAX, &[], root), wrong(64, 0));
    assert_eq!(verify_inclusion(hash, u64::MAX - 1, u64::MAX, &[], root), wrong(63, 0));
    assert_eq!(verify_consistency(3, root, 4, root, &[]), wrong(3, 0));
    assert_eq!(verify_consistency(u64::MAX - 1, root, u64::MAX, root, &[]), wrong(64, 0));
    assert_eq!(
        verify_inclusion(hash, 0, 1, &[], root),
        Err(MerkleError::Root { expected: root, found: hash })
    );
    assert_eq!(tree.root_at(4), Err(MerkleError::Missing { level: 2, index: 0 }));
    assert_eq!(tree.inclusion(3, 3), Err(MerkleError::Index { index: 3, size: 3 }));
}

#[test]
fn a_tree_of_any_size_is_answered_from_few_nodes() {
    let mut asked = 0;
    let mut nodes = |level: u8, index: u64| {
        asked += 1;
        Ok::<_, MerkleError>(Sha256::of(format!("{level}/{index}").as_bytes()))
    };
    let (index, size) = (1 << 40 | 12345, (1 << 41) - 1);
    let root = root_from(size, &mut nodes).unwrap();
    let proof = inclusion_from(index, size, &mut nodes).unwrap();
    assert_eq!((proof.len(), root == EMPTY_ROOT), (41, false));
    assert!(asked < 200, "{asked}");
}

#[test]
fn tiles_stand_where_another_implementation_looks_for_them() {
    assert_eq!(tile_path(0, 1_234_067, 256), "tile/0/x001/x234/067");
    assert_eq!(tile_path(0, 1234, 5), "tile/0/x001/234.p/5");
    assert_eq!(entries_path(0, 255), "tile/entries/000.p/255");
    for (level, index, width) in [(0, 0, 1), (1, 999, 256), (2, 1000, 17), (63, u64::MAX, 255)] {
        let theirs = tlog_tiles::tile::Tile::new(8, level, index, width.into(), false).path();
        assert_eq!(tile_path(level, index, width), theirs.replacen("tile/8/", "tile/", 1));
    }
}

#[test]
fn a_checkpoint_is_read_as_another_implementation_reads_it() {
    let root = STANDARD.encode([7; 32]);
    let good = format!("log.example/a b\n20852163\n{root}\n");
    let ours: Checkpoint = good.parse().unwrap();
    assert_eq!(
        ours,
        Checkpoint { origin: "log.example/a b".to_owned(), size: 20_852_163, root: Sha256([7; 32]) }
    );
    assert_eq!(ours.to_string(), good);
    assert_eq!(format!("{good}extension\n").parse(), Ok(ours));
    let cases = [
        good.clone(),
        format!("{good}extension\n"),
        format!("{good}\n"),
        format!("{good}extension\n\nextension\n"),
        good.replace("20852163", "020852163"),
        good.replace("20852163", "+20852163"),
        good.replace("20852163", "18446744073709551615"),
        good.replace("20852163", "18446744073709551616"),
        good.replace("20852163", ""),
        good.replace("log.example/a b", ""),
        good.replace('=', ""),
        good.replace(&root, &STANDARD.encode([7; 31])),
        "log.example\n5\n".to_owned(),
        String::new(),
    ];
    for text in cases {
        let ours = text.parse::<Checkpoint>().map(|ours| (ours.origin, ours.size, ours.root.0)).ok();
        let theirs = tlog_tiles::checkpoint::Checkpoint::from_bytes(text.as_bytes());
        let theirs = theirs.map(|theirs| (theirs.origin().to_owned(), theirs.size(), theirs.hash().0)).ok();
        assert_eq!(ours, theirs, "{text}");
    }
}

#[test]
fn a_leaf_counts_from_the_moment_enough_witnesses_had_seen_it() {
    let cosigned = proof(&[(1, 30), (2, 10), (3, 20), (3, 40)]);
    assert_eq!(check(&cosigned, 1), Ok((5, 9, Time(10))));
    assert_eq!(check(&cosigned, 2), Ok((5, 9, Time(20))));
    assert_eq!(check(&cosigned, 3), Ok((5, 9, Time(30))));
}

#[test]
fn a_proof_bent_in_one_place_is_refused_for_that_place() {
    let few = |found, need: u8| LogError::Witnesses { found, known: 3, need: NonZeroU8::new(need).unwrap() };
    let good = proof(&[(1, 10), (2, 20)]);
    assert_eq!(check(&good, 2), Ok((5, 9, Time(20))));
    assert_eq!(check(&good, 3), Err(few(2, 3)));
    assert_eq!(few(2, 3).to_string(), "cosigned by 2 of 3 witnesses, needed are 3");
    assert_eq!(check(&proof(&[(1, 10), (1, 20)]), 2), Err(few(1, 2)), "one witness twice");
    assert_eq!(check(&proof(&[(1, 10), (4, 20)]), 2), Err(few(1, 2)), "a stranger");

    let with = |checkpoint: Note| Proof { checkpoint, ..good.clone() };
    let text = good.checkpoint.text().to_owned();
    let elsewhere = text.replace("org-1", "org-2");
    let mut other = log().note(elsewhere).unwrap();
    (1..=2).for_each(|number| other.add(witness(number).cosign(other.text(), Time(1)).unwrap()).unwrap());
    let refusal = LogError::Origin { expected: ORIGIN.to_owned(), found: "log.example/org-2".to_owned() };
    assert_eq!(check(&with(other), 2), Err(refusal));

    let mut moved = log().note(text.clone()).unwrap();
    (1..=2).for_each(|number| moved.add(witness(number).cosign("other\n9\n", Time(1)).unwrap()).unwrap());
    assert_eq!(check(&with(moved), 2), Err(few(0, 2)), "cosignatures of another checkpoint");

    let stranger = signer(ORIGIN, KeyKind::Ed25519, 9).note(text).unwrap();
    let refusal = LogError::Unsigned { log: log().verifier().clone(), lines: 1 };
    assert_eq!(check(&with(stranger), 2), Err(refusal), "a key of the log's name");

    let refusal = LogError::Inclusion(MerkleError::Index { index: 9, size: 9 });
    assert_eq!(check(&Proof { index: 9, ..good.clone() }, 2), Err(refusal));
    let refusal = check(&Proof { index: 4, ..good.clone() }, 2);
    assert!(matches!(refusal, Err(LogError::Inclusion(MerkleError::Root { .. }))));
}

#[test]
fn one_key_under_two_names_is_one_witness() {
    let mut cosigned = proof(&[(1, 30)]);
    let twin = NoteSigner::new("twin.example", KeyKind::CosignatureV1, &[101; 32]).unwrap();
    let text = cosigned.checkpoint.text().to_owned();
    cosigned.checkpoint.add(twin.cosign(&text, Time(20)).unwrap()).unwrap();
    let witnesses = [witness(1).verifier(), twin.verifier()].map(VerifierKey::clone).into();
    assert_eq!(check_with(&cosigned, &witnesses, 1), Ok((5, 9, Time(20))));
    let refusal = LogError::Witnesses { found: 1, known: 2, need: NonZeroU8::new(2).unwrap() };
    assert_eq!(check_with(&cosigned, &witnesses, 2), Err(refusal));
}

#[test]
fn a_signed_text_that_is_no_checkpoint_is_refused() {
    let note = log().note("countersign-clear/v1\n".to_owned()).unwrap();
    let (log, witnesses) = (log(), BTreeSet::new());
    let keys = LogKeys { log: log.verifier(), witnesses: &witnesses, need: NonZeroU8::MIN };
    let refusal = LogError::Read(ReadError::End { expected: "a tree size" });
    assert_eq!(verify_checkpoint(&note, keys), Err(refusal));
}

#[test]
fn a_proof_and_a_request_print_as_they_were_read() {
    let good = proof(&[(1, 10)]);
    let text = good.to_string();
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nindex 5\n"), "{text}");
    let extra = text.replacen("index", "extra YQ==\nindex", 1);
    assert_eq!(extra.parse::<Proof>().unwrap().extra, Some(b"a".to_vec()));
    let alone = Proof { index: 0, inclusion: vec![], ..good.clone() }.to_string();
    for text in [&text, &extra, &alone] {
        assert_eq!(text.parse::<Proof>().unwrap().to_string(), *text);
    }
    let request = AddCheckpoint { old: 4, consistency: good.inclusion.clone(), checkpoint: good.checkpoint };
    assert!(request.to_string().starts_with("old 4\n"));
    assert_eq!(request.to_string().parse(), Ok(request.clone()));
    let first = AddCheckpoint { old: 0, consistency: vec![], ..request.clone() };
    assert_eq!(first.to_string().parse(), Ok(first));
    let long = AddCheckpoint { consistency: vec![EMPTY_ROOT; 64], ..request };
    assert_eq!(long.to_string().parse::<AddCheckpoint>(), Err(ReadError::Hashes { found: 64, most: 63 }));
}

#[test]
fn a_proof_has_one_form() {
    let text = proof(&[(1, 10)]).to_string();
    let cases: [(&str, String); 8] = [
        ("another version", text.replace("@v1", "@v2")),
        ("a leading zero", text.replace("index 5", "index 05")),
        ("two spaces", text.replace("index 5", "index  5")),
        ("no index", text.replace("index 5\n", "")),
        ("extra below index", text.replace("index 5\n", "index 5\nextra YQ==\n")),
        ("extra twice", text.replace("index 5\n", "extra YQ==\nextra YQ==\nindex 5\n")),
        ("stray bits", text.replace("index 5\n", "extra YR==\nindex 5\n")),
        ("carriage returns", text.replace('\n', "\r\n")),
    ];
    for (case, text) in cases {
        assert!(text.parse::<Proof>().is_err(), "{case}");
    }
    let long = text.replace("index 5\n", &format!("extra {}\nindex 5\n", "A".repeat(1 << 16)));
    assert!(matches!(long.parse::<Proof>(), Err(ReadError::Note(NoteError::Size { .. }))));
}

proptest! {
    #[test]
    fn whatever_is_read_prints_as_it_stood(text in "[ -~\n—å]{0,80}", lines in "(— [a-c+ ]{0,3} ?[A-Za-z/+=]{0,12}\n){0,3}") {
        let whole = format!("{text}\n\n{lines}");
        let theirs = signed_note::Note::from_bytes(whole.as_bytes());
        match whole.parse::<Note>() {
            Ok(note) => {
                prop_assert_eq!(note.to_string(), whole);
                prop_assert!(theirs.is_ok());
            }
            Err(_) => prop_assert!(theirs.is_err()),
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_in_a_proof_never_adds_a_leaf(place in 0usize..4096, bit in 0u8..7) {
        let good = proof(&[(1, 10), (2, 20), (3, 30)]);
        let mut bytes = good.to_string().into_bytes();
        let place = place % bytes.len();
        bytes[place] ^= 1 << bit;
        // A cosignature more than needed may be lost; what is proved may not change.
        if let Some(bent) = String::from_utf8(bytes).ok().and_then(|text| text.parse::<Proof>().ok())
            && let Ok((index, size, time)) = check(&bent, 2) {
            prop_assert_eq!((index, size), (5, 9));
            prop_assert!(time >= Time(20));
        }
    }
}
