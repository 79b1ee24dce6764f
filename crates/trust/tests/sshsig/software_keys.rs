//! Keys that `ssh-keygen` itself signs with.

use countersign_trust::key::{KeyError, PublicKey};
use countersign_trust::sshsig::{PasskeyRules, SigError, SignatureFacts, SshSig, SshSigner};
use countersign_trust::sshwire::{Reader, WireError, Writer};
use proptest::prelude::*;

use crate::keygen::Keygen;
use crate::token::Token;
use crate::{MESSAGE, NAMESPACE};

/// Kinds and sizes; of the last, the modulus is not a whole number of bytes.
const KINDS: [(&str, &str); 4] = [("ed25519", "256"), ("ecdsa", "256"), ("rsa", "3072"), ("rsa", "3075")];

fn verify(blob: &[u8], key: &PublicKey) -> Result<SignatureFacts, SigError> {
    SshSig::from_blob(blob)?.verify(key, NAMESPACE, MESSAGE, &PasskeyRules::NONE)
}

/// The SSH signature blob inside, as an ssh-agent returns it.
fn inner_signature(blob: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(blob);
    reader.take(6).unwrap();
    reader.u32().unwrap();
    for _ in 0..4 {
        reader.string().unwrap();
    }
    reader.string().unwrap().to_vec()
}

#[test]
fn what_ssh_keygen_signs_is_taken_and_reads_back_byte_for_byte() {
    let keygen = Keygen::new();
    for (kind, bits) in KINDS {
        let file = keygen.generate(kind, bits);
        assert_eq!(file.comment, "anna at the till");
        assert_eq!(file.key.fingerprint(), keygen.fingerprint(&file));
        assert_eq!(file.key.to_string().parse(), Ok(file.key.clone()));
        let armor = keygen.sign(&file, NAMESPACE, MESSAGE, &[]);
        let signature = SshSig::from_armor(&armor).unwrap();
        assert_eq!(signature.to_armor(), armor);
        assert_eq!(signature.key_blob(), file.key.blob());
        assert_eq!(signature.namespace(), NAMESPACE);
        let facts = SignatureFacts { user_present: false, user_verified: false, origin: None };
        assert_eq!(verify(signature.blob(), &file.key), Ok(facts), "{kind}");
        assert!(keygen.takes(&file.key, NAMESPACE, MESSAGE, &signature));
        let wrapped = SshSig::from_signature(&file.key, NAMESPACE, &inner_signature(signature.blob()));
        assert_eq!(wrapped, Ok(signature));
    }
}

#[test]
fn another_namespace_message_key_or_hash_is_refused() {
    let keygen = Keygen::new();
    let stranger = SshSigner::from_seed(&[1; 32]).unwrap();
    for (kind, bits) in [("ed25519", "256"), ("ecdsa", "256"), ("rsa", "3072")] {
        let file = keygen.generate(kind, bits);
        let other = keygen.sign(&file, "halt.v1@countersign", MESSAGE, &[]);
        let other = SshSig::from_armor(&other).unwrap();
        let namespace =
            SigError::Namespace { expected: NAMESPACE.into(), found: "halt.v1@countersign".into() };
        assert_eq!(verify(other.blob(), &file.key), Err(namespace));

        let mismatch = Err(SigError::Mismatch { key: file.key.fingerprint() });
        let message = keygen.sign(&file, NAMESPACE, b"another message", &[]);
        let message = SshSig::from_armor(&message).unwrap();
        assert_eq!(verify(message.blob(), &file.key), mismatch);
        let renamed = SshSig::from_signature(&file.key, NAMESPACE, &inner_signature(other.blob())).unwrap();
        assert_eq!(verify(renamed.blob(), &file.key), mismatch, "the namespace is signed, not only stated");

        let expected = stranger.public_key().fingerprint();
        let key = SigError::Key { expected, found: file.key.fingerprint() };
        assert_eq!(verify(message.blob(), stranger.public_key()), Err(key));

        let sha256 = keygen.sign(&file, NAMESPACE, MESSAGE, &["-O", "hashalg=sha256"]);
        assert_eq!(SshSig::from_armor(&sha256), Err(SigError::Hash { found: "sha256".into() }));
    }
}

#[test]
fn a_signature_with_any_byte_altered_cut_or_added_is_refused() {
    let keygen = Keygen::new();
    for (kind, bits) in [("ed25519", "256"), ("ecdsa", "256"), ("rsa", "3072")] {
        let file = keygen.generate(kind, bits);
        let armor = keygen.sign(&file, NAMESPACE, MESSAGE, &[]);
        let blob = SshSig::from_armor(&armor).unwrap().blob().to_vec();
        refuses_every_change(&blob, |changed| verify(changed, &file.key).is_ok());
    }
}

/// Each byte altered in three ways, each end cut off, one byte added.
pub fn refuses_every_change(blob: &[u8], takes: impl Fn(&[u8]) -> bool) {
    assert!(takes(blob));
    for at in 0..blob.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = blob.to_vec();
            changed[at] ^= flip;
            assert!(!takes(&changed), "byte {at} ^ {flip:#x}");
        }
        assert!(!takes(&blob[..at]), "cut at {at}");
    }
    assert!(!takes(&[blob, &[0]].concat()));
}

#[test]
fn the_rsa_signature_of_a_weaker_hash_is_refused() {
    let keygen = Keygen::new();
    let file = keygen.generate("rsa", "3072");
    for name in ["rsa-sha2-256", "ssh-rsa"] {
        let signature = Writer::new().string(name.as_bytes()).string(&[1; 384]).take();
        let refusal = SigError::Algorithm { key: file.key.algorithm(), found: name.into() };
        assert_eq!(SshSig::from_signature(&file.key, NAMESPACE, &signature), Err(refusal));
    }
}

#[test]
fn ecdsa_numbers_have_one_encoding() {
    let token = Token::new();
    let key = token.plain_key();
    let signed = countersign_trust::sshsig::signed_bytes(NAMESPACE, MESSAGE);
    let numbers = token.ecdsa(&signed);
    let mut reader = Reader::new(&numbers);
    let (r, s) = (reader.positive().unwrap(), reader.positive().unwrap());
    let written = |r: &[u8], s: &[u8]| Writer::new().string(r).string(s).take();
    let padded = |number: &[u8]| [&[0, 0][..], number].concat();
    let positive = Writer::new().positive(r).positive(s).take();
    let cases = [
        ("as signed", positive.clone(), None),
        ("r padded", written(&padded(r), s), Some(WireError::Integer.into())),
        ("r zero", written(&[], s), Some(WireError::Integer.into())),
        ("r negative", written(&[0x80], s), Some(WireError::Integer.into())),
        (
            "r alone",
            Writer::new().positive(r).take(),
            Some(WireError::Truncated { needed: 4, left: 0 }.into()),
        ),
        ("a third number", [positive, vec![0]].concat(), Some(WireError::Trailing { count: 1 }.into())),
        (
            "r of 33 bytes",
            Writer::new().positive(&[1; 33]).positive(s).take(),
            Some(SigError::Length { expected: 32, found: 33 }),
        ),
        (
            "r above the order",
            Writer::new().positive(&[0xff; 32]).positive(s).take(),
            Some(SigError::Mismatch { key: key.fingerprint() }),
        ),
    ];
    for (name, numbers, refusal) in cases {
        let signature = Writer::new().string(b"ecdsa-sha2-nistp256").string(&numbers).take();
        let signature = SshSig::from_signature(&key, NAMESPACE, &signature).unwrap();
        assert_eq!(verify(signature.blob(), &key).err(), refusal, "{name}");
    }
}

#[test]
fn what_we_sign_is_taken_by_ssh_keygen() {
    let keygen = Keygen::new();
    let signer = SshSigner::from_seed(&[42; 32]).unwrap();
    let signature = signer.sign("halt.v1@countersign", MESSAGE).unwrap();
    assert!(keygen.takes(signer.public_key(), "halt.v1@countersign", MESSAGE, &signature));
    assert!(!keygen.takes(signer.public_key(), NAMESPACE, MESSAGE, &signature));
    assert!(!keygen.takes(signer.public_key(), "halt.v1@countersign", b"other", &signature));
}

#[test]
fn keys_that_are_too_weak_or_of_another_kind_are_refused() {
    let keygen = Keygen::new();
    let algorithm = |found: &str| KeyError::Algorithm { found: found.into() };
    for (kind, bits, refusal) in [
        ("rsa", "2048", KeyError::RsaBits { found: 2048 }),
        ("ecdsa", "384", algorithm("ecdsa-sha2-nistp384")),
        ("ecdsa", "521", algorithm("ecdsa-sha2-nistp521")),
    ] {
        let (_, line) = keygen.generate_line(kind, bits);
        assert_eq!(PublicKey::from_openssh(&line), Err(refusal));
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_parsers_panic(bytes: Vec<u8>, tail: Vec<u8>) {
        let _refused = SshSig::from_blob(&bytes);
        let begun = Writer::new().raw(b"SSHSIG").u32(1).string(&bytes).string(b"a").string(b"").raw(&tail).take();
        let _refused = SshSig::from_blob(&begun);
        let signer = SshSigner::from_seed(&[42; 32]).unwrap();
        let inside = Writer::new().string(b"ssh-ed25519").raw(&bytes).take();
        let signature = SshSig::from_signature(signer.public_key(), NAMESPACE, &inside).unwrap();
        prop_assert!(verify(signature.blob(), signer.public_key()).is_err());
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text: String) {
        let _refused = SshSig::from_armor(&text);
        let _refused = PublicKey::from_openssh(&text);
    }
}
