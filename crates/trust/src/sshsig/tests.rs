use alloc::format;
use alloc::string::ToString;
use alloc::vec;

use super::*;
use crate::sshwire::WireError;

const NAMESPACE: &str = "job.v1@countersign";
const MESSAGE: &[u8] = b"restart the tills\n";

fn signer() -> SshSigner {
    SshSigner::from_seed(&[7; 32]).unwrap()
}

/// The fields of a signature, to be bent in one place.
struct Fields {
    magic: Vec<u8>,
    version: u32,
    namespace: Vec<u8>,
    reserved: Vec<u8>,
    hash: Vec<u8>,
    algorithm: Vec<u8>,
    numbers: Vec<u8>,
    after_numbers: Vec<u8>,
    after: Vec<u8>,
}

impl Fields {
    fn good() -> Self {
        let signature = signer().sign(NAMESPACE, MESSAGE).unwrap().signature;
        let mut reader = Reader::new(&signature);
        Self {
            magic: MAGIC.to_vec(),
            version: VERSION,
            namespace: NAMESPACE.into(),
            reserved: vec![],
            hash: HASH.into(),
            algorithm: reader.string().unwrap().to_vec(),
            numbers: reader.string().unwrap().to_vec(),
            after_numbers: vec![],
            after: vec![],
        }
    }

    fn blob(&self) -> Vec<u8> {
        let signature =
            Writer::new().string(&self.algorithm).string(&self.numbers).raw(&self.after_numbers).take();
        let mut blob = Writer::new();
        blob.raw(&self.magic).u32(self.version).string(signer().public_key().blob());
        blob.string(&self.namespace).string(&self.reserved).string(&self.hash);
        blob.string(&signature).raw(&self.after).take()
    }
}

#[test]
fn a_signature_bent_in_one_place_is_refused_for_that_reason() {
    type Bend = fn(&mut Fields);
    let algorithm = |found: &str| SigError::Algorithm { key: Algorithm::Ed25519, found: found.to_string() };
    let trailing = |count| SigError::Wire(WireError::Trailing { count });
    let cases: Vec<(&str, Bend, SigError)> = vec![
        ("another magic", |f| f.magic = b"SSHSIH".to_vec(), SigError::Magic),
        ("version 0", |f| f.version = 0, SigError::Version { found: 0 }),
        ("version 2", |f| f.version = 2, SigError::Version { found: 2 }),
        ("no namespace", |f| f.namespace.clear(), SigError::NoNamespace),
        ("a namespace that is no text", |f| f.namespace = vec![0xff], WireError::NotText.into()),
        (
            "another namespace",
            |f| f.namespace = b"halt.v1@countersign".to_vec(),
            SigError::Namespace { expected: NAMESPACE.into(), found: "halt.v1@countersign".into() },
        ),
        ("something reserved", |f| f.reserved = b"abc".to_vec(), SigError::Reserved { found: 3 }),
        ("sha256", |f| f.hash = b"sha256".to_vec(), SigError::Hash { found: "sha256".into() }),
        ("a hash in capitals", |f| f.hash = b"SHA512".to_vec(), SigError::Hash { found: "SHA512".into() }),
        ("a security key's word", |f| f.algorithm = b"sk-ssh-ed25519@openssh.com".to_vec(), {
            algorithm("sk-ssh-ed25519@openssh.com")
        }),
        ("no algorithm", |f| f.algorithm.clear(), algorithm("")),
        ("short numbers", |f| f.numbers.truncate(63), SigError::Length { expected: 64, found: 63 }),
        ("long numbers", |f| f.numbers.push(0), SigError::Length { expected: 64, found: 65 }),
        ("bytes after the numbers", |f| f.after_numbers = vec![1; 5], trailing(5)),
        ("bytes after everything", |f| f.after = vec![0], trailing(1)),
        (
            "altered numbers",
            |f| f.numbers[0] ^= 1,
            SigError::Mismatch { key: signer().public_key().fingerprint() },
        ),
    ];
    for (name, bend, refusal) in cases {
        let mut fields = Fields::good();
        bend(&mut fields);
        let verdict = SshSig::from_blob(&fields.blob()).and_then(|signature| {
            signature.verify(signer().public_key(), NAMESPACE, MESSAGE, &PasskeyRules::NONE)
        });
        assert_eq!(verdict, Err(refusal), "{name}");
    }
}

#[test]
fn a_good_signature_says_nothing_of_touch_and_page() {
    let signature = SshSig::from_blob(&Fields::good().blob()).unwrap();
    let facts = signature.verify(signer().public_key(), NAMESPACE, MESSAGE, &PasskeyRules::NONE);
    assert_eq!(facts, Ok(SignatureFacts { user_present: false, user_verified: false, origin: None }));
}

#[test]
fn a_signature_fits_one_key_and_one_message() {
    let signature = signer().sign(NAMESPACE, MESSAGE).unwrap();
    let stranger = SshSigner::from_seed(&[8; 32]).unwrap();
    let (ours, theirs) = (signer().public_key().clone(), stranger.public_key());
    let wrong_key = SigError::Key { expected: theirs.fingerprint(), found: ours.fingerprint() };
    assert_eq!(signature.verify(theirs, NAMESPACE, MESSAGE, &PasskeyRules::NONE), Err(wrong_key));
    let mismatch = SigError::Mismatch { key: ours.fingerprint() };
    assert_eq!(signature.verify(&ours, NAMESPACE, b"other", &PasskeyRules::NONE), Err(mismatch));
}

#[test]
fn signing_is_deterministic() {
    assert_eq!(signer().sign(NAMESPACE, MESSAGE), signer().sign(NAMESPACE, MESSAGE));
    assert_eq!(signer().sign("", MESSAGE), Err(SigError::NoNamespace));
}

#[test]
fn a_signature_of_another_algorithm_is_not_wrapped() {
    let signature = Writer::new().string(b"ssh-rsa").string(b"").take();
    let refusal = SigError::Algorithm { key: Algorithm::Ed25519, found: "ssh-rsa".into() };
    assert_eq!(SshSig::from_signature(signer().public_key(), NAMESPACE, &signature), Err(refusal));
}

#[test]
fn a_blob_has_a_largest_size() {
    let found = MAX_BLOB_BYTES + 1;
    let refusal = SigError::TooLong { max: MAX_BLOB_BYTES, found };
    assert_eq!(SshSig::from_blob(&vec![0; found]), Err(refusal));
    assert_eq!(SshSig::from_blob(&[0; MAX_BLOB_BYTES]), Err(SigError::Magic), "this much may be looked at");
    let (max, found) = (2 * MAX_BLOB_BYTES, 2 * MAX_BLOB_BYTES + 1);
    assert_eq!(SshSig::from_armor(&"A".repeat(found)), Err(SigError::TooLong { max, found }));
    assert_eq!(SshSig::from_armor(&"A".repeat(max)), Err(SigError::Armor), "and this much armor");
}

#[test]
fn what_is_shown_of_a_signature_names_its_key_and_its_purpose() {
    let signature = signer().sign("purpose", MESSAGE).unwrap();
    let shown = format!("{signature:?}");
    assert!(shown.contains(&fingerprint(signature.key_blob())) && shown.contains("purpose"), "{shown}");
}

#[test]
fn armor_reads_back_whatever_the_length_of_its_last_line() {
    let mut full_last_lines = 0;
    for length in 1..=105 {
        let signature = signer().sign(&"n".repeat(length), MESSAGE).unwrap();
        let armor = signature.to_armor();
        assert!(armor.lines().all(|line| line.len() <= COLUMNS && !line.is_empty()));
        let last = armor.lines().rev().nth(1).unwrap();
        full_last_lines += usize::from(last.len() == COLUMNS);
        assert_eq!(SshSig::from_armor(&armor), Ok(signature));
    }
    assert!(full_last_lines > 0, "no length that ends in a full line was tried");
}

#[test]
fn armor_has_one_form() {
    let good = signer().sign(NAMESPACE, MESSAGE).unwrap().to_armor();
    let unwrapped: String = good.trim_start_matches(HEADER).trim_end_matches(FOOTER).replace('\n', "");
    for bad in [
        format!("{good}\n"),
        format!("\n{good}"),
        good.trim_end().to_string(),
        good.replace('\n', "\r\n"),
        good.replacen("=\n-", "=\n\n-", 1),
        format!("{HEADER}{unwrapped}\n{FOOTER}"),
        good.replace("SSH SIGNATURE", "PGP SIGNATURE"),
        good.replace('=', ""),
        format!("{HEADER}{FOOTER}"),
        format!("{HEADER}\n{FOOTER}"),
        String::new(),
    ] {
        assert_ne!(bad, good);
        assert!(SshSig::from_armor(&bad).is_err(), "{bad}");
    }
}

#[test]
fn refusals_print_no_control_characters_of_the_sender() {
    let mut fields = Fields::good();
    fields.hash = b"\x1b[31msha1\n".to_vec();
    let refusal = SshSig::from_blob(&fields.blob()).unwrap_err().to_string();
    assert!(!refusal.contains(['\x1b', '\n']), "{refusal:?}");
}

#[test]
fn a_signer_shows_its_public_half_alone() {
    let signer = signer();
    assert_eq!(format!("{signer:?}"), format!("SshSigner({})", signer.public_key().fingerprint()));
}
