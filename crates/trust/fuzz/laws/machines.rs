//! Notes that machines sign, and what stands in them.

use countersign_trust::chain::Recovered;
use countersign_trust::checkpoint::{AddCheckpoint, Checkpoint, Proof};
use countersign_trust::clear::{Acknowledgement, Clear, MAX_HALTS};
use countersign_trust::ids::DeviceId;
use countersign_trust::join::Join;
use countersign_trust::key::PublicKey;
use countersign_trust::note::{KeyKind, Note, Signature, VerifierKey};
use countersign_trust::receipt::{Reason, Receipt};

/// A key of a note has one print, and is one that a policy may hold.
pub fn verifier_key(data: &[u8]) {
    let Some(key) = super::one_print::<VerifierKey>(super::text(data)) else { return };
    assert!(PublicKey::ed25519(key.raw()).is_ok());
    assert_eq!(VerifierKey::new(key.name(), key.kind(), *key.raw()), Ok(key));
}

/// A note prints as it was read, and nobody's key is under it who did not sign it.
pub fn note(data: &[u8]) {
    let text = super::text(data);
    super::one_print::<Signature>(text);
    let Some(mut note) = super::one_print::<Note>(text) else { return };
    assert!((1..=Note::MAX_SIGNATURES).contains(&note.signatures().len()) && text.len() <= Note::MAX_BYTES);
    assert!(note.text().ends_with('\n'));
    let lines = note.signatures().to_vec();
    lines.iter().for_each(|line| note.add(line.clone()).unwrap());
    assert_eq!(note.signatures(), lines, "a line that stands there is not added again");
    for line in &lines {
        // A stranger's key of the name on the line: the id alone must not be enough.
        let Ok(key) = VerifierKey::new(line.name(), KeyKind::Ed25519, STRANGER) else { continue };
        assert!(!note.signed_by(&key) && note.cosigned_at(&key).is_none());
    }
}

/// The base point of Ed25519: a key as good as any, whose private half is 1 and never used.
const STRANGER: [u8; 32] = {
    let mut point = [0x66; 32];
    point[0] = 0x58;
    point
};

/// A checkpoint is read from its beginning, which prints as it stood; lines below it are passed over.
pub fn checkpoint(data: &[u8]) {
    let text = super::text(data);
    match text.parse::<Checkpoint>() {
        Ok(checkpoint) => {
            let printed = checkpoint.to_string();
            assert!(text.starts_with(&printed), "{printed}");
            assert_eq!(printed.parse(), Ok(checkpoint));
        }
        Err(error) => super::says_little(&error),
    }
}

/// A proof prints as it was read, and has no more hashes than any tree needs.
pub fn proof(data: &[u8]) {
    if let Some(proof) = super::one_print::<Proof>(super::text(data)) {
        assert!(proof.inclusion.len() <= 64 && data.len() <= Note::MAX_BYTES);
    }
}

/// So does what a witness is asked.
pub fn add_checkpoint(data: &[u8]) {
    if let Some(asked) = super::one_print::<AddCheckpoint>(super::text(data)) {
        assert!(asked.consistency.len() <= 63 && data.len() <= Note::MAX_BYTES);
    }
}

/// A Clear prints as it was read, and names no more halts than a beacon may.
pub fn clear(data: &[u8]) {
    if let Some(clear) = super::one_print::<Clear>(super::text(data)) {
        assert!(clear.halts.len() <= MAX_HALTS);
    }
}

/// A beacon's acknowledgement prints as it was read.
pub fn acknowledgement(data: &[u8]) {
    super::one_print::<Acknowledgement>(super::text(data));
    super::one_print::<Recovered>(super::text(data));
}

/// A join prints as it was read.
pub fn join(data: &[u8]) {
    if let Some(join) = super::one_print::<Join>(super::text(data)) {
        let _id = DeviceId::of_key(join.device.raw());
    }
}

/// A receipt prints as it was read; whatever a reason was made from, it reads back as one.
pub fn receipt(data: &[u8]) {
    let text = super::text(data);
    super::one_print::<Receipt>(text);
    let reason = Reason::new(text);
    assert!(!reason.as_str().contains('\n') && reason.as_str().chars().count() <= 500);
    assert_eq!(Reason::new(&reason), reason, "a reason made twice is the same");
}
