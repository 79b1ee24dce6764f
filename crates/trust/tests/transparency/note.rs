//! Notes and their keys.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_trust::key::KeyError;
use countersign_trust::note::{
    KeyKind, Note, NoteError, NoteSigner, Signature, VerifierKey, VerifierKeyError,
};
use countersign_trust::time::Time;
use proptest::prelude::*;
use signed_note::{Signer, StandardSigner, StandardVerifier, Verifier, VerifierList};

use crate::{ORIGIN, log, witness};

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
}
