//! Security keys and passkeys, each case also shown to `ssh-keygen`, which takes more than we do.

use std::collections::BTreeSet;

use countersign_trust::key::{Algorithm, PublicKey};
use countersign_trust::sshsig::{PasskeyRules, SigError, SignatureFacts, SshSig, signed_bytes};
use countersign_trust::sshwire::WireError;
use countersign_trust::words::Address;

use crate::keygen::Keygen;
use crate::software_keys::refuses_every_change;
use crate::token::{Signing, Token, client_data};
use crate::{MESSAGE, NAMESPACE};

const RP_ID: &str = "approve.example";
const ORIGIN: &str = "https://approve.example";
const OTHER_ORIGIN: &str = "https://approve.example:8443";
const STRANGE_ORIGIN: &str = "https://evil.example";

/// Whether `ssh-keygen -Y verify` takes the same signature.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum SshKeygen {
    Takes,
    Refuses,
}
use SshKeygen::{Refuses, Takes};

fn origins() -> BTreeSet<Address> {
    [ORIGIN, OTHER_ORIGIN].map(|origin| origin.parse().unwrap()).into()
}

fn verify(signature: &SshSig, key: &PublicKey) -> Result<SignatureFacts, SigError> {
    let rules = PasskeyRules { rp_id: RP_ID, origins: &origins() };
    signature.verify(key, NAMESPACE, MESSAGE, &rules)
}

fn keygen_says(keygen: &Keygen, key: &PublicKey, signature: &SshSig) -> SshKeygen {
    if keygen.takes(key, NAMESPACE, MESSAGE, signature) { Takes } else { Refuses }
}

fn facts(user_verified: bool, origin: Option<&str>) -> SignatureFacts {
    SignatureFacts { user_present: true, user_verified, origin: origin.map(String::from) }
}

#[test]
fn a_touch_of_a_security_key_is_taken() {
    let (keygen, token) = (Keygen::new(), Token::new());
    for algorithm in [Algorithm::SkEd25519, Algorithm::SkEcdsaP256] {
        for (flags, verified) in [(0x01, false), (0x05, true)] {
            let mut signing = Signing::with_security_key(token.key(algorithm, "ssh:"));
            signing.flags = flags;
            let signature = signing.sign(&token);
            assert_eq!(verify(&signature, &signing.key), Ok(facts(verified, None)));
            assert_eq!(keygen_says(&keygen, &signing.key, &signature), Takes);
        }
    }
}

#[test]
fn a_security_keys_signature_bent_in_one_place_is_refused() {
    type Bend = fn(&mut Signing);
    let (keygen, token) = (Keygen::new(), Token::new());
    for algorithm in [Algorithm::SkEd25519, Algorithm::SkEcdsaP256] {
        let key = token.key(algorithm, "ssh:");
        let mismatch = || SigError::Mismatch { key: key.fingerprint() };
        let cases: [(&str, Bend, SigError, SshKeygen); 7] = [
            ("nobody touched it", |s| s.flags = 0x04, SigError::NotPresent { flags: 0x04 }, Takes),
            ("attested data", |s| s.flags = 0x45, SigError::Attested { flags: 0x45 }, Takes),
            (
                "extensions that are not there",
                |s| s.flags = 0x85,
                { SigError::Extensions { flags: 0x85, found: 0 } },
                Takes,
            ),
            ("made for another application", |s| s.application = "ssh:other".into(), mismatch(), Refuses),
            ("over another message", |s| s.asked = signed_bytes(NAMESPACE, b"other"), mismatch(), Refuses),
            (
                "for another namespace",
                |s| s.asked = signed_bytes("halt.v1@countersign", MESSAGE),
                { mismatch() },
                Refuses,
            ),
            ("bytes after it", |s| s.after = vec![0; 3], WireError::Trailing { count: 3 }.into(), Refuses),
        ];
        for (name, bend, refusal, keygen_verdict) in cases {
            let mut signing = Signing::with_security_key(key.clone());
            bend(&mut signing);
            let signature = signing.sign(&token);
            assert_eq!(verify(&signature, &key), Err(refusal), "{name}");
            assert_eq!(keygen_says(&keygen, &key, &signature), keygen_verdict, "{name}");
        }
    }
}

#[test]
fn a_passkey_on_a_listed_page_is_taken() {
    type Bend = fn(&mut Signing);
    let (keygen, token) = (Keygen::new(), Token::new());
    let cases: [(&str, Bend); 3] = [
        ("as Chromium does it", |_| {}),
        ("with further members", |s| {
            let frame = signed_bytes(NAMESPACE, MESSAGE);
            let rest = r#","crossOrigin":false,"other_keys_can_be_added_here":"do not compare"}"#;
            s.asked = client_data("webauthn.get", &frame, ORIGIN, rest);
        }),
        ("with extensions", |s| (s.flags, s.extensions) = (0x9d, vec![0xa0])),
    ];
    for (name, bend) in cases {
        let mut signing = Signing::with_passkey(token.key(Algorithm::WebauthnSkEcdsaP256, RP_ID), ORIGIN);
        bend(&mut signing);
        let signature = signing.sign(&token);
        assert_eq!(verify(&signature, &signing.key), Ok(facts(true, Some(ORIGIN))), "{name}");
        assert_eq!(keygen_says(&keygen, &signing.key, &signature), Takes, "{name}");
    }
    let second = Signing::with_passkey(token.key(Algorithm::WebauthnSkEcdsaP256, RP_ID), OTHER_ORIGIN);
    assert_eq!(verify(&second.sign(&token), &second.key), Ok(facts(true, Some(OTHER_ORIGIN))));
}

#[test]
fn a_passkeys_flags_page_and_numbers_must_fit() {
    type Bend = fn(&mut Signing);
    let (keygen, token) = (Keygen::new(), Token::new());
    let key = token.key(Algorithm::WebauthnSkEcdsaP256, RP_ID);
    let mismatch = || SigError::Mismatch { key: key.fingerprint() };
    let origin = |found: &str| SigError::Origin {
        found: found.into(),
        listed: format!("`{ORIGIN}`, `{OTHER_ORIGIN}`"),
    };
    let cases: [(&str, Bend, SigError, SshKeygen); 10] = [
        ("no presence", |s| s.flags = 0x04, SigError::NotPresent { flags: 0x04 }, Takes),
        ("no verification", |s| s.flags = 0x01, SigError::NotVerified { flags: 0x01 }, Takes),
        ("attested data", |s| s.flags = 0x45, SigError::Attested { flags: 0x45 }, Refuses),
        (
            "the extension flag alone",
            |s| s.flags = 0x85,
            { SigError::Extensions { flags: 0x85, found: 0 } },
            Refuses,
        ),
        (
            "extensions without the flag",
            |s| s.extensions = vec![0xa0, 0],
            { SigError::Extensions { flags: 0x05, found: 2 } },
            Refuses,
        ),
        ("hashed for another rpId", |s| s.application = "evil.example".into(), mismatch(), Refuses),
        (
            "another page",
            |s| *s = Signing::with_passkey(s.key.clone(), STRANGE_ORIGIN),
            { origin(STRANGE_ORIGIN) },
            Takes,
        ),
        (
            "a page with a slash",
            |s| *s = Signing::with_passkey(s.key.clone(), "https://approve.example/"),
            { origin("https://approve.example/") },
            Takes,
        ),
        ("no page", |s| s.origin.clear(), origin(""), Refuses),
        ("bytes after it", |s| s.after = vec![0], WireError::Trailing { count: 1 }.into(), Refuses),
    ];
    for (name, bend, refusal, keygen_verdict) in cases {
        let mut signing = Signing::with_passkey(key.clone(), ORIGIN);
        bend(&mut signing);
        let signature = signing.sign(&token);
        assert_eq!(verify(&signature, &key), Err(refusal), "{name}");
        assert_eq!(keygen_says(&keygen, &key, &signature), keygen_verdict, "{name}");
    }
}

#[test]
fn client_data_has_one_beginning() {
    let (keygen, token) = (Keygen::new(), Token::new());
    let key = token.key(Algorithm::WebauthnSkEcdsaP256, RP_ID);
    let frame = signed_bytes(NAMESPACE, MESSAGE);
    let same_origin = ",\"crossOrigin\":false}";
    let cases = [
        ("a registration", client_data("webauthn.create", &frame, ORIGIN, same_origin), Refuses),
        (
            "another message",
            client_data("webauthn.get", &signed_bytes(NAMESPACE, b""), ORIGIN, same_origin),
            { Refuses },
        ),
        (
            "a page other than the stated",
            client_data("webauthn.get", &frame, OTHER_ORIGIN, same_origin),
            Refuses,
        ),
        (
            "a page inside another's",
            client_data("webauthn.get", &frame, ORIGIN, ",\"crossOrigin\":true}"),
            Takes,
        ),
        ("nothing of crossOrigin", client_data("webauthn.get", &frame, ORIGIN, "}"), Takes),
        ("a space", client_data("webauthn.get", &frame, ORIGIN, ", \"crossOrigin\":false}"), Takes),
        ("a longer word", client_data("webauthn.get", &frame, ORIGIN, ",\"crossOrigin\":falsetto}"), Takes),
        ("no end", client_data("webauthn.get", &frame, ORIGIN, ",\"crossOrigin\":false"), Takes),
        ("nothing", vec![], Refuses),
    ];
    for (name, asked, keygen_verdict) in cases {
        let mut signing = Signing::with_passkey(key.clone(), ORIGIN);
        signing.asked = asked;
        let signature = signing.sign(&token);
        let verdict = verify(&signature, &key);
        assert!(matches!(verdict, Err(SigError::ClientData { .. })), "{name}: {verdict:?}");
        assert_eq!(keygen_says(&keygen, &key, &signature), keygen_verdict, "{name}");
    }
}

#[test]
fn a_refused_page_is_shown_with_both_values() {
    let token = Token::new();
    let mut signing = Signing::with_passkey(token.key(Algorithm::WebauthnSkEcdsaP256, RP_ID), ORIGIN);
    let frame = signed_bytes(NAMESPACE, MESSAGE);
    signing.asked = client_data("webauthn.get", &frame, ORIGIN, ",\"crossOrigin\":true}");
    let refusal = verify(&signing.sign(&token), &signing.key).unwrap_err().to_string();
    assert!(refusal.contains("expected `false`, found `true}`"), "{refusal}");
}

#[test]
fn a_passkey_of_another_relying_party_is_refused() {
    let token = Token::new();
    let signing = Signing::with_passkey(token.key(Algorithm::WebauthnSkEcdsaP256, "login.example"), ORIGIN);
    let refusal = SigError::Application { expected: RP_ID.into(), found: "login.example".into() };
    assert_eq!(verify(&signing.sign(&token), &signing.key), Err(refusal));
}

#[test]
fn a_policy_without_passkeys_takes_none() {
    let token = Token::new();
    let signing = Signing::with_passkey(token.key(Algorithm::WebauthnSkEcdsaP256, RP_ID), ORIGIN);
    let signature = signing.sign(&token);
    let nowhere = PasskeyRules { rp_id: RP_ID, origins: &BTreeSet::new() };
    let unlisted = SigError::Origin { found: ORIGIN.into(), listed: "none".into() };
    assert_eq!(signature.verify(&signing.key, NAMESPACE, MESSAGE, &nowhere), Err(unlisted));
    let no_party = SigError::Application { expected: String::new(), found: RP_ID.into() };
    assert_eq!(signature.verify(&signing.key, NAMESPACE, MESSAGE, &PasskeyRules::NONE), Err(no_party));
}

#[test]
fn an_origin_with_a_quote_is_refused_even_when_listed() {
    let token = Token::new();
    let origin = "https://a.example\",\"crossOrigin\":false,\"x\":\"";
    let signing = Signing::with_passkey(token.key(Algorithm::WebauthnSkEcdsaP256, RP_ID), origin);
    let rules = PasskeyRules { rp_id: RP_ID, origins: &[origin.parse().unwrap()].into() };
    let verdict = signing.sign(&token).verify(&signing.key, NAMESPACE, MESSAGE, &rules);
    assert!(matches!(verdict, Err(SigError::Origin { .. })), "{verdict:?}");
}

#[test]
fn a_security_key_and_a_passkey_do_not_sign_for_each_other() {
    let token = Token::new();
    let passkey = token.key(Algorithm::WebauthnSkEcdsaP256, RP_ID);
    let security_key = token.key(Algorithm::SkEcdsaP256, RP_ID);
    let by_passkey = Signing::with_passkey(passkey.clone(), ORIGIN).sign(&token);
    let by_security_key = Signing::with_security_key(security_key.clone()).sign(&token);
    for (signature, key, found) in [
        (by_passkey, &security_key, "webauthn-sk-ecdsa-sha2-nistp256@openssh.com"),
        (by_security_key, &passkey, "sk-ecdsa-sha2-nistp256@openssh.com"),
    ] {
        let refusal = SigError::Algorithm { key: key.algorithm(), found: found.into() };
        assert_eq!(verify(&signature, key), Err(refusal));
    }
}

#[test]
fn a_security_keys_signature_with_any_byte_altered_cut_or_added_is_refused() {
    let token = Token::new();
    let signings = [
        Signing::with_security_key(token.key(Algorithm::SkEd25519, "ssh:")),
        Signing::with_security_key(token.key(Algorithm::SkEcdsaP256, "ssh:")),
        Signing::with_passkey(token.key(Algorithm::WebauthnSkEcdsaP256, RP_ID), ORIGIN),
    ];
    for signing in signings {
        let signature = signing.sign(&token);
        refuses_every_change(signature.blob(), |changed| {
            SshSig::from_blob(changed).is_ok_and(|signature| verify(&signature, &signing.key).is_ok())
        });
    }
}
