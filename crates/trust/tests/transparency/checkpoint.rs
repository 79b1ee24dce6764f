//! Checkpoints, proofs that a leaf is logged, and requests to witnesses.

use std::collections::BTreeSet;
use std::num::NonZeroU8;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_trust::checkpoint::{
    AddCheckpoint, Checkpoint, LogError, LogKeys, Proof, ReadError, verify_checkpoint, verify_logged,
};
use countersign_trust::ids::Sha256;
use countersign_trust::merkle::{EMPTY_ROOT, MerkleError};
use countersign_trust::note::{KeyKind, Note, NoteError, NoteSigner, VerifierKey};
use countersign_trust::time::Time;
use proptest::prelude::*;

use crate::{ORIGIN, leaf, log, signer, tree, witness};

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
