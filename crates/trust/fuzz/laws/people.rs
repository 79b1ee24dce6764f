//! Keys and signatures of people, and the envelopes they travel in.

use countersign_trust::delivery::{News, read_sequence, write_sequence};
use countersign_trust::envelope::{Logged, MAX_SIGNATURES, Signed};
use countersign_trust::ids::Sha256;
use countersign_trust::key::{Algorithm, PublicKey, RSA_BITS};
use countersign_trust::sshsig::{MAX_BLOB_BYTES, SshSig};

const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::Ed25519,
    Algorithm::EcdsaP256,
    Algorithm::Rsa,
    Algorithm::SkEd25519,
    Algorithm::SkEcdsaP256,
    Algorithm::WebauthnSkEcdsaP256,
];

/// A key has one line and one blob, and neither names another key. The bytes are taken for both.
pub fn key(data: &[u8]) {
    let line = super::text(data);
    if let Some(key) = super::one_print::<PublicKey>(line) {
        assert_eq!(PublicKey::from_blob(key.algorithm(), key.blob()), Ok(key));
    }
    if let Ok((key, comment)) = PublicKey::from_openssh(line) {
        let again = format!("{key} {comment}");
        assert_eq!(PublicKey::from_openssh(&again), Ok((key, comment)));
    }
    for algorithm in ALGORITHMS {
        match PublicKey::from_blob(algorithm, data) {
            Ok(key) => one_key(&key, data),
            Err(error) => super::says_little(&error),
        }
    }
}

fn one_key(key: &PublicKey, blob: &[u8]) {
    assert_eq!(key.blob(), blob);
    assert_eq!(key.to_string().parse().as_ref(), Ok(key));
    let expected = match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::SkEd25519 => 32..=32,
        Algorithm::Rsa => RSA_BITS.start() / 8..=RSA_BITS.end() / 8,
        _ => 65..=65,
    };
    assert!(expected.contains(&key.numbers().len()));
    if let Ok(passkey) = key.as_passkey() {
        assert_eq!((passkey.blob(), passkey.application()), (blob, key.application()));
    }
}

/// A signature has one armor.
pub fn armor(data: &[u8]) {
    let text = super::text(data);
    match SshSig::from_armor(text) {
        Ok(signature) => {
            assert_eq!(signature.to_armor(), text);
            assert_eq!(SshSig::from_blob(signature.blob()), Ok(signature));
        }
        Err(error) => super::says_little(&error),
    }
}

/// A signature has one blob, and its armor can be read again.
pub fn signature(data: &[u8]) {
    match SshSig::from_blob(data) {
        Ok(signature) => {
            assert!(signature.blob() == data && data.len() <= MAX_BLOB_BYTES);
            assert!(!signature.namespace().is_empty());
            assert_eq!(SshSig::from_armor(&signature.to_armor()), Ok(signature));
        }
        Err(error) => super::says_little(&error),
    }
}

/// An envelope prints as it was read, and joined with itself it stays as it is.
pub fn signed(data: &[u8]) {
    let text = super::text(data);
    match Signed::from_text(text) {
        Ok(signed) => {
            assert_eq!(signed.to_string(), text);
            one_envelope(&signed);
        }
        Err(error) => super::says_little(&error),
    }
}

fn one_envelope(signed: &Signed) {
    let signatures = signed.signatures();
    assert!((1..=MAX_SIGNATURES).contains(&signatures.len()));
    let keys: Vec<Sha256> = signatures.iter().map(|signature| Sha256::of(signature.key_blob())).collect();
    assert!(keys.is_sorted_by(|left, right| left < right), "one for each key, in order");
    assert_eq!(signed.join(signed).as_ref(), Ok(signed));
    let kind = signed.kind().map(|kind| kind.namespace());
    assert!(signatures.iter().all(|signature| kind.as_deref() == Ok(signature.namespace())));
    assert_eq!(
        Signed::new(signed.statement().to_owned(), signatures.iter().rev().cloned()).as_ref(),
        Ok(signed)
    );
}

/// So does one with its proof; as news it prints the same, but for a halt, which is obeyed without one.
pub fn logged(data: &[u8]) {
    let text = super::text(data);
    match Logged::from_text(text) {
        Ok(logged) => {
            assert_eq!(logged.to_string(), text);
            one_envelope(&logged.signed);
        }
        Err(error) => super::says_little(&error),
    }
    match News::from_text(text) {
        Ok(news) => {
            let printed = news.to_string();
            let as_it_was = printed == text || matches!(news, News::Halt(_)) && text.starts_with(&printed);
            assert!(as_it_was, "{printed}");
            assert_eq!(News::from_text(&printed).map(|again| again.to_string()), Ok(printed));
        }
        Err(error) => super::says_little(&error),
    }
}

/// A sequence is cut in one way.
pub fn sequence(data: &[u8]) {
    let text = super::text(data);
    if let Some(items) = read_sequence(text) {
        assert_eq!(write_sequence(&items), text, "two texts for one sequence");
    }
}
