//! Which assertions cannot be written as a signature at all.

use countersign_trust::ids::Sha256;
use countersign_trust::key::Algorithm;
use countersign_trust::sshsig::{Assertion, AssertionError, MAX_BLOB_BYTES, SigError, SshSig, SshSigner};
use countersign_trust::sshwire::WireError;
use proptest::prelude::*;

use crate::NAMESPACE;
use crate::assertions::{Made, ORIGIN, RP_ID, honest, verify};

#[test]
fn what_cannot_be_written_as_a_signature_is_refused() {
    type Bend = fn(&mut Made);
    let cut = |needed, left| AssertionError::AuthenticatorData(WireError::Truncated { needed, left });
    let cases: [(&str, Bend, AssertionError); 5] = [
        ("no authenticator data", |made| made.authenticator_data.clear(), cut(32, 0)),
        ("no flags", |made| made.authenticator_data.truncate(32), cut(1, 0)),
        ("half a counter", |made| made.authenticator_data.truncate(35), cut(4, 2)),
        (
            "a key of another kind",
            |made| made.key = SshSigner::from_seed(&[1; 32]).unwrap().public_key().clone(),
            AssertionError::NotAPasskey { found: Algorithm::Ed25519 },
        ),
        (
            "a hash of another rpId",
            |made| made.authenticator_data[..32].copy_from_slice(&Sha256::of(b"evil.example").0),
            AssertionError::RpId {
                rp_id: RP_ID.into(),
                expected: Sha256::of(RP_ID.as_bytes()),
                found: Sha256::of(b"evil.example"),
            },
        ),
    ];
    for (name, bend, refusal) in cases {
        let mut made = honest();
        bend(&mut made);
        assert_eq!(made.wrapped(), Err(refusal), "{name}");
    }
    let mut long = honest();
    long.client_data.resize(MAX_BLOB_BYTES, b' ');
    assert!(matches!(long.wrapped(), Err(AssertionError::TooLong { max: MAX_BLOB_BYTES, .. })));
    // Just below that bound it is the frame around it that is too much.
    long.client_data.truncate(MAX_BLOB_BYTES - long.authenticator_data.len() - long.signature.len());
    assert!(matches!(long.wrapped(), Err(AssertionError::Signature(SigError::TooLong { .. }))));
}

#[test]
fn client_data_that_name_no_page_are_refused() {
    for text in [
        "",
        "{}",
        r#"{"type":"webauthn.get","challenge":"c"}"#,
        r#"{"type":"webauthn.get","challenge":"c","origin":"#,
        r#"{"type":"webauthn.get","challenge":"c","origin":"https://approve.example"#,
        r#"{"type":"webauthn.get","challenge":"c","origin":"https:\/\/approve.example"}"#,
        r#"{"type":"webauthn.get", "challenge":"c","origin":"https://approve.example"}"#,
        r#"{"type":"webauthn.create","challenge":"c","origin":"https://approve.example"}"#,
        r#"{"type":"payment.get","challenge":"c","origin":"https://approve.example"}"#,
    ] {
        let mut made = honest();
        made.client_data = text.as_bytes().to_vec();
        assert!(matches!(made.wrapped(), Err(AssertionError::ClientData { .. })), "{text}");
    }
    let mut made = honest();
    made.client_data.push(0xff);
    assert!(matches!(made.wrapped(), Err(AssertionError::ClientData { .. })), "not UTF-8");
}

#[test]
fn a_signature_that_is_not_der_is_refused() {
    let (r, s) = ([vec![0x02, 0x20], vec![0x11; 32]].concat(), [vec![0x02, 0x20], vec![0x22; 32]].concat());
    let around = |inside: &[u8]| [&[0x30, inside.len() as u8], inside].concat();
    let mut made = honest();
    made.signature = around(&[&r[..], &s[..]].concat());
    assert!(made.wrapped().is_ok(), "well formed, though it is no signature");
    let cases: [(&str, Vec<u8>); 12] = [
        ("nothing", vec![]),
        ("the two numbers alone, as some libraries give them", [[0x11; 32], [0x22; 32]].concat()),
        ("one number", around(&r)),
        ("three numbers", around(&[&r[..], &s[..], &s[..]].concat())),
        ("bytes after it", [around(&[&r[..], &s[..]].concat()), vec![0]].concat()),
        ("cut off", around(&[&r[..], &s[..]].concat())[..69].to_vec()),
        ("a length in two bytes", [&[0x30, 0x81, 68][..], &r, &s].concat()),
        ("a set instead of a sequence", [&[0x31, 68][..], &r, &s].concat()),
        ("a zero", around(&[&[0x02, 0x01, 0x00][..], &s].concat())),
        ("a negative number", around(&[&[0x02, 0x01, 0x80][..], &s].concat())),
        ("a number with a zero too many", around(&[&[0x02, 0x02, 0x00, 0x11][..], &s].concat())),
        ("an empty number", around(&[&[0x02, 0x00][..], &s].concat())),
    ];
    for (name, signature) in cases {
        made.signature = signature;
        assert!(matches!(made.wrapped(), Err(AssertionError::Der { .. })), "{name}");
    }
}

#[test]
fn refusals_show_both_values() {
    let mut made = honest();
    made.authenticator_data[..32].copy_from_slice(&Sha256::of(b"evil.example").0);
    let words = made.wrapped().unwrap_err().to_string();
    assert!(words.contains(&Sha256::of(b"evil.example").to_string()), "{words}");
    assert!(words.contains(&format!("`{RP_ID}` is {}", Sha256::of(RP_ID.as_bytes()))), "{words}");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(data: Vec<u8>, text: Vec<u8>, signature: Vec<u8>, cut in 0_usize..200, flip: u8) {
        let mut made = honest();
        let random = Assertion { authenticator_data: &data, client_data: &text, signature: &signature };
        let _refused = SshSig::from_assertion(&made.key, NAMESPACE, &random);
        made.signature = signature;
        let _refused = made.wrapped();
        for part in [0, 1, 2] {
            let mut made = honest();
            let bytes = match part {
                0 => &mut made.authenticator_data,
                1 => &mut made.client_data,
                _ => &mut made.signature,
            };
            let whole = bytes.clone();
            bytes.truncate(cut);
            if let Some(last) = bytes.last_mut() {
                *last ^= flip;
            }
            let is_whole = *bytes == whole;
            if let Ok(signature) = made.wrapped() {
                let counts = verify(&signature, &made.key, RP_ID, ORIGIN).is_ok();
                prop_assert_eq!(counts, is_whole, "{} {} {}", part, cut, flip);
            }
        }
    }
}
