use alloc::format;
use alloc::vec;

use super::*;
use crate::sshwire::WireError;

/// A point of P-256: the generator. Source: FIPS 186-4, D.1.2.3.
const POINT: &str =
    "BGsX0fLhLEJH+Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT+NC4v4af5uO5+tKfA+eFivOM1drMV7Oy7ZAaDe/UfU=";

/// The point with x = 0, its x written as the prime itself. Source: the prime is of FIPS 186-4, D.1.2.3; y is a root of b.
const X_IS_THE_PRIME: &str =
    "BP////8AAAABAAAAAAAAAAAAAAAA////////////////ZkhceA4vg9ckM71dhKBrtlQcKvMdrocXKL+FahdPk/Q=";

fn blob(parts: &[&[u8]]) -> Vec<u8> {
    let mut writer = Writer::new();
    for part in parts {
        writer.string(part);
    }
    writer.take()
}

fn point() -> Vec<u8> {
    STANDARD.decode(POINT).unwrap()
}

fn line(algorithm: Algorithm, blob: &[u8]) -> String {
    format!("{algorithm} {}", STANDARD.encode(blob))
}

fn sk_ecdsa(application: &[u8]) -> Vec<u8> {
    blob(&[b"sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", &point(), application])
}

fn rsa(exponent: &[u8], modulus: &[u8]) -> Vec<u8> {
    blob(&[b"ssh-rsa", exponent, modulus])
}

/// A modulus of `bits` bits: nothing more than odd is asked of it before it verifies something.
fn modulus(bits: usize) -> Vec<u8> {
    let mut value = vec![0xff; bits.div_ceil(8)];
    value[0] >>= (8 - bits % 8) % 8;
    if value[0] >= 0x80 {
        value.insert(0, 0);
    }
    value
}

#[test]
fn each_algorithm_reads_back_exactly() {
    let e = &[1, 0, 1];
    let lines = [
        line(Algorithm::Ed25519, &blob(&[b"ssh-ed25519", &[9; 32]])),
        line(Algorithm::EcdsaP256, &blob(&[b"ecdsa-sha2-nistp256", b"nistp256", &point()])),
        line(Algorithm::Rsa, &rsa(e, &modulus(3072))),
        line(Algorithm::Rsa, &rsa(e, &modulus(3073))),
        line(Algorithm::Rsa, &rsa(e, &modulus(8192))),
        line(Algorithm::SkEd25519, &blob(&[b"sk-ssh-ed25519@openssh.com", &[9; 32], b"ssh:"])),
        line(Algorithm::SkEcdsaP256, &sk_ecdsa(b"ssh:")),
        line(Algorithm::WebauthnSkEcdsaP256, &sk_ecdsa(b"approve.example")),
    ];
    for line in lines {
        assert_eq!(line.parse::<PublicKey>().map(|key| key.to_string()), Ok(line));
    }
}

#[test]
fn a_line_has_one_print() {
    let good = line(Algorithm::Ed25519, &blob(&[b"ssh-ed25519", &[9; 32]]));
    assert!(good.parse::<PublicKey>().is_ok());
    let encoded = good.split(' ').next_back().unwrap();
    for bad in [
        format!("{good} "),
        format!("{good} anna@example"),
        format!("{good}\n"),
        format!(" {good}"),
        good.replace(' ', "  "),
        good.replace(' ', "\t"),
        format!("{good}="),
        format!("ssh-ed25519 {encoded}AAAA"),
        String::from("ssh-ed25519"),
        String::new(),
    ] {
        assert!(bad.parse::<PublicKey>().is_err(), "{bad:?}");
    }
}

#[test]
fn base64_with_a_stray_bit_is_refused() {
    // One byte remains in the last group, whose second character carries four unused bits.
    let key = blob(&[b"sk-ssh-ed25519@openssh.com", &[9; 32], b"ssh:no"]);
    let good = line(Algorithm::SkEd25519, &key);
    let stray = good.replace("bw==", "bx==");
    assert_ne!(good, stray);
    assert_eq!(stray.parse::<PublicKey>(), Err(KeyError::Base64 { algorithm: Algorithm::SkEd25519 }));
}

#[test]
fn each_malformed_blob_is_refused_for_its_reason() {
    let e: &[u8] = &[1, 0, 1];
    let mut off_curve = point();
    off_curve[64] ^= 1;
    let mut hybrid = point();
    hybrid[0] = 7;
    let x_is_the_prime = STANDARD.decode(X_IS_THE_PRIME).unwrap();
    let mut even = modulus(3072);
    *even.last_mut().unwrap() = 0xfe;
    let long_application = vec![b'a'; 256];
    let p = KeyError::PointLength { expected: 65, found: 33 };
    let cases: Vec<(&str, Algorithm, Vec<u8>, KeyError)> = vec![
        (
            "another type inside",
            Algorithm::Ed25519,
            blob(&[b"ssh-ed448", &[9; 32]]),
            KeyError::Type { expected: "ssh-ed25519", found: "ssh-ed448".into() },
        ),
        (
            "a short point",
            Algorithm::Ed25519,
            blob(&[b"ssh-ed25519", &[9; 31]]),
            KeyError::PointLength { expected: 32, found: 31 },
        ),
        ("the neutral point", Algorithm::Ed25519, blob(&[b"ssh-ed25519", &one()]), KeyError::SmallOrder),
        (
            "a y above the prime",
            Algorithm::Ed25519,
            blob(&[b"ssh-ed25519", &[0xff; 32]]),
            KeyError::NotCanonical,
        ),
        (
            "a small-order point in a security key",
            Algorithm::SkEd25519,
            blob(&[b"sk-ssh-ed25519@openssh.com", &[0; 32], b"ssh:"]),
            KeyError::SmallOrder,
        ),
        (
            "trailing bytes",
            Algorithm::Ed25519,
            [blob(&[b"ssh-ed25519", &[9; 32]]), vec![0]].concat(),
            WireError::Trailing { count: 1 }.into(),
        ),
        (
            "another curve",
            Algorithm::EcdsaP256,
            blob(&[b"ecdsa-sha2-nistp256", b"nistp384", &point()]),
            KeyError::Type { expected: "nistp256", found: "nistp384".into() },
        ),
        (
            "a compressed point",
            Algorithm::EcdsaP256,
            blob(&[b"ecdsa-sha2-nistp256", b"nistp256", &point()[..33]]),
            p,
        ),
        (
            "a hybrid point",
            Algorithm::EcdsaP256,
            blob(&[b"ecdsa-sha2-nistp256", b"nistp256", &hybrid]),
            KeyError::NotOnCurve,
        ),
        (
            "a point off the curve",
            Algorithm::EcdsaP256,
            blob(&[b"ecdsa-sha2-nistp256", b"nistp256", &off_curve]),
            KeyError::NotOnCurve,
        ),
        (
            "a point with an x that is not below the prime",
            Algorithm::EcdsaP256,
            blob(&[b"ecdsa-sha2-nistp256", b"nistp256", &x_is_the_prime]),
            KeyError::NotOnCurve,
        ),
        ("a short modulus", Algorithm::Rsa, rsa(e, &modulus(3071)), KeyError::RsaBits { found: 3071 }),
        ("a long modulus", Algorithm::Rsa, rsa(e, &modulus(8193)), KeyError::RsaBits { found: 8193 }),
        ("an even modulus", Algorithm::Rsa, rsa(e, &even), KeyError::RsaNumbers),
        ("the exponent 3", Algorithm::Rsa, rsa(&[3], &modulus(3072)), KeyError::RsaNumbers),
        (
            "an exponent with a zero",
            Algorithm::Rsa,
            rsa(&[0, 1, 0, 1], &modulus(3072)),
            WireError::Integer.into(),
        ),
        ("a negative modulus", Algorithm::Rsa, rsa(e, &modulus(3072)[1..]), WireError::Integer.into()),
        (
            "no application",
            Algorithm::SkEcdsaP256,
            sk_ecdsa(b""),
            KeyError::Application { found: String::new() },
        ),
        (
            "a NUL in the application",
            Algorithm::SkEcdsaP256,
            sk_ecdsa(b"ssh:\0"),
            KeyError::Application { found: "ssh:\\u{0}".into() },
        ),
        (
            "a long application",
            Algorithm::SkEcdsaP256,
            sk_ecdsa(&long_application),
            KeyError::Application { found: "a".repeat(80) },
        ),
        (
            "a passkey's word inside the blob",
            Algorithm::WebauthnSkEcdsaP256,
            blob(&[
                b"webauthn-sk-ecdsa-sha2-nistp256@openssh.com",
                b"nistp256",
                &point(),
                b"approve.example",
            ]),
            KeyError::Type {
                expected: "sk-ecdsa-sha2-nistp256@openssh.com",
                found: "webauthn-sk-ecdsa-sha2-nistp256@openssh.com".into(),
            },
        ),
    ];
    for (name, algorithm, blob, refusal) in cases {
        assert_eq!(line(algorithm, &blob).parse::<PublicKey>(), Err(refusal), "{name}");
    }
}

fn one() -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = 1;
    bytes
}

#[test]
fn algorithms_that_are_not_taken_are_named() {
    for word in ["ssh-dss", "ecdsa-sha2-nistp521", "ssh-ed25519-cert-v01@openssh.com", "rsa-sha2-512"] {
        let refusal = KeyError::Algorithm { found: word.into() };
        assert_eq!(format!("{word} AAAA").parse::<PublicKey>(), Err(refusal));
    }
}

#[test]
fn an_openssh_line_gives_the_key_and_its_comment() {
    let good = line(Algorithm::Ed25519, &blob(&[b"ssh-ed25519", &[9; 32]]));
    let key: PublicKey = good.parse().unwrap();
    for (text, comment) in [
        (format!("{good} anna lind@example\n"), "anna lind@example"),
        (format!("{good}\r\n"), ""),
        (good.clone(), ""),
    ] {
        assert_eq!(PublicKey::from_openssh(&text), Ok((key.clone(), comment)));
    }
    let two = format!("{good} anna\n{good}");
    assert!(matches!(PublicKey::from_openssh(&two), Err(KeyError::Line { .. })));
}

#[test]
fn a_passkey_is_the_same_blob_under_another_word() {
    let key = PublicKey::from_blob(Algorithm::SkEcdsaP256, &sk_ecdsa(b"approve.example")).unwrap();
    let passkey = key.as_passkey().unwrap();
    assert_eq!(passkey.blob(), key.blob());
    assert_ne!(passkey, key);
    assert_eq!(passkey.application(), Some("approve.example"));
    assert_eq!(passkey.as_passkey(), Ok(passkey.clone()));
    let point: [u8; 65] = point().try_into().unwrap();
    assert_eq!(PublicKey::passkey(&point, "approve.example"), Ok(passkey));
    let plain = PublicKey::ed25519(&[9; 32]).unwrap();
    assert_eq!(plain.as_passkey(), Err(KeyError::NotAPasskey { found: Algorithm::Ed25519 }));
}

#[test]
fn one_key_under_two_algorithms_or_applications_has_the_same_numbers() {
    let plain = blob(&[b"ecdsa-sha2-nistp256", b"nistp256", &point()]);
    let plain = PublicKey::from_blob(Algorithm::EcdsaP256, &plain).unwrap();
    let sk = PublicKey::from_blob(Algorithm::SkEcdsaP256, &sk_ecdsa(b"ssh:")).unwrap();
    let other = PublicKey::from_blob(Algorithm::SkEcdsaP256, &sk_ecdsa(b"ssh:other")).unwrap();
    for key in [&plain, &sk, &other, &sk.as_passkey().unwrap()] {
        assert_eq!(key.numbers(), point());
    }
    assert_eq!(PublicKey::ed25519(&[9; 32]).unwrap().numbers(), [9; 32]);
}

#[test]
fn a_key_is_shown_as_a_policy_lists_it() {
    let key = PublicKey::ed25519(&[9; 32]).unwrap();
    assert_eq!(format!("{key:?}"), key.to_string());
    assert!(key.to_string().starts_with("ssh-ed25519 AAAA"), "{key}");
}

#[test]
fn keys_are_ordered_by_algorithm_name_and_blob() {
    let sk = PublicKey::from_blob(Algorithm::SkEcdsaP256, &sk_ecdsa(b"a")).unwrap();
    let (low, high) = (PublicKey::ed25519(&[9; 32]).unwrap(), PublicKey::ed25519(&[10; 32]).unwrap());
    let mut keys = [sk.as_passkey().unwrap(), high.clone(), low.clone(), sk.clone()];
    keys.sort();
    assert_eq!(keys, [sk.clone(), low, high, sk.as_passkey().unwrap()]);
}
