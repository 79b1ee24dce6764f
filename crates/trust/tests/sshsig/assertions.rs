//! What passkeys that are not ours signed, as SSHSIG: by a real Chromium, and by the `passkey` crate. Each is shown to
//! `ssh-keygen` too, which takes more than we do.
//!
//! `assertions/` is what the programs in `crates/trust/authenticator` printed. The tests below sign nothing themselves but
//! where they say so, and then with the same credentials' keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_trust::ids::Sha256;
use countersign_trust::key::PublicKey;
use countersign_trust::sshsig::{
    Assertion, AssertionError, PasskeyRules, SigError, SignatureFacts, SshSig, signed_bytes,
};
use countersign_trust::sshwire::Writer;
use countersign_trust::words::Address;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};

use crate::authenticator::Given;
use crate::keygen::Keygen;
use crate::security_keys::SshKeygen::{self, Refuses, Takes};
use crate::{MESSAGE, NAMESPACE};

pub const RP_ID: &str = "approve.example";
pub const ORIGIN: &str = "https://approve.example";

/// One assertion, and the credential that made it.
#[derive(Clone, Debug)]
pub struct Made {
    pub key: PublicKey,
    secret: Vec<u8>,
    pub authenticator_data: Vec<u8>,
    pub client_data: Vec<u8>,
    pub signature: Vec<u8>,
}

/// The cases that the programs print, by name.
fn read(text: &str) -> BTreeMap<String, Made> {
    let made = |given: Given| {
        let point = given.bytes("point").try_into().unwrap();
        let made = Made {
            key: PublicKey::passkey(&point, given.text("rp_id")).unwrap(),
            secret: given.bytes("secret"),
            authenticator_data: given.bytes("authenticator_data"),
            client_data: given.bytes("client_data"),
            signature: given.bytes("signature"),
        };
        (given.text("case").to_owned(), made)
    };
    Given::read(text).into_iter().map(made).collect()
}

fn chromium() -> BTreeMap<String, Made> {
    read(include_str!("assertions/chromium.txt"))
}

fn crate_passkey() -> BTreeMap<String, Made> {
    // To check that a key is on its curve takes its time in a debug build.
    static READ: LazyLock<BTreeMap<String, Made>> =
        LazyLock::new(|| read(include_str!("assertions/passkey.txt")));
    READ.clone()
}

pub fn honest() -> Made {
    crate_passkey()["as the client does it"].clone()
}

impl Made {
    pub fn wrapped(&self) -> Result<SshSig, AssertionError> {
        let Self { key, authenticator_data, client_data, signature, .. } = self;
        SshSig::from_assertion(key, NAMESPACE, &Assertion { authenticator_data, client_data, signature })
    }

    /// As [`SshSig::from_assertion`] does it, written a second time and without any of its refusals.
    fn wrapped_loosely(&self, origin: &str) -> SshSig {
        let (r_length, at) = (usize::from(self.signature[3]), 4);
        let s_at = at + r_length + 2;
        let (r, s) = (&self.signature[at..at + r_length], &self.signature[s_at..]);
        let numbers = Writer::new().string(r).string(s).take();
        let mut inside = Writer::new();
        inside.string(b"webauthn-sk-ecdsa-sha2-nistp256@openssh.com").string(&numbers);
        inside.raw(&self.authenticator_data[32..37]).string(origin.as_bytes()).string(&self.client_data);
        SshSig::from_signature(&self.key, NAMESPACE, &inside.string(&self.authenticator_data[37..]).take())
            .unwrap()
    }

    /// The same credential signs what now stands here: a passkey that lies.
    fn sign_again(&mut self) {
        let random = SystemRandom::new();
        let (algorithm, point) = (&ECDSA_P256_SHA256_ASN1_SIGNING, self.key.numbers());
        let pair =
            EcdsaKeyPair::from_private_key_and_public_key(algorithm, &self.secret, point, &random).unwrap();
        let signed = [&self.authenticator_data[..], &Sha256::of(&self.client_data).0].concat();
        self.signature = pair.sign(&random, &signed).unwrap().as_ref().to_vec();
    }
}

pub fn verify(
    signature: &SshSig,
    key: &PublicKey,
    rp_id: &str,
    origin: &str,
) -> Result<SignatureFacts, SigError> {
    let origins: BTreeSet<Address> = [origin.parse().unwrap()].into();
    signature.verify(key, NAMESPACE, MESSAGE, &PasskeyRules { rp_id, origins: &origins })
}

fn keygen_says(keygen: &Keygen, made: &Made, signature: &SshSig) -> SshKeygen {
    if keygen.takes(&made.key, NAMESPACE, MESSAGE, signature) { Takes } else { Refuses }
}

fn good(origin: &str) -> Result<SignatureFacts, SigError> {
    Ok(SignatureFacts { user_present: true, user_verified: true, origin: Some(origin.to_owned()) })
}

fn client_data(at: usize, expected: &str, found: &str) -> SigError {
    SigError::ClientData { at, expected: expected.into(), found: found.into() }
}

/// Where in honest client data of [`MESSAGE`] the value of `crossOrigin` begins.
fn at_cross_origin(origin: &str) -> usize {
    let challenge = URL_SAFE_NO_PAD.encode(signed_bytes(NAMESPACE, MESSAGE));
    format!(r#"{{"type":"webauthn.get","challenge":"{challenge}","origin":"{origin}","crossOrigin":"#).len()
}

#[test]
fn what_a_real_chromium_signs_counts_unless_the_page_stands_in_anothers() {
    let (keygen, made) = (Keygen::new(), chromium());
    let origin = "http://localhost:41234";
    let framed = client_data(
        at_cross_origin(origin),
        "false",
        "true,\\\"topOrigin\\\":\\\"http://127.0.0.1:41234\\\"}",
    );
    let cases = [
        ("as Chromium does it", good(origin)),
        ("with the member that Chromium adds", good(origin)),
        ("with an extension", good(origin)),
        ("in a frame of another page", Err(framed)),
    ];
    assert_eq!(made.len(), cases.len());
    for (name, verdict) in cases {
        let made = &made[name];
        let signature = made.wrapped().unwrap();
        assert_eq!(verify(&signature, &made.key, "localhost", origin), verdict, "{name}");
        assert_eq!(keygen_says(&keygen, made, &signature), Takes, "{name}");
    }
    let has_flag = |name: &str| {
        made[name].authenticator_data[32] & 0x80 != 0 && made[name].authenticator_data.len() > 37
    };
    assert!(has_flag("with an extension") && !has_flag("as Chromium does it"));
}

#[test]
fn what_the_passkey_crate_signs_is_judged_by_every_rule() {
    judge_all(&crate_passkey());
}

/// Every way in which the authenticator signs, our verdict, and `ssh-keygen`'s.
fn judge_all(made: &BTreeMap<String, Made>) {
    let keygen = Keygen::new();
    let (other_page, cross) = ("https://login.approve.example", at_cross_origin(ORIGIN));
    let origin = SigError::Origin { found: other_page.into(), listed: format!("`{ORIGIN}`") };
    let application = SigError::Application { expected: RP_ID.into(), found: "evil.example".into() };
    let another = {
        let asked = URL_SAFE_NO_PAD.encode(signed_bytes(NAMESPACE, MESSAGE));
        let found = format!(r#"{}","origin":"{ORIGIN}"#, URL_SAFE_NO_PAD.encode("another blob"));
        client_data(36, &asked[..48], &found[..48].escape_default().to_string())
    };
    let cases = [
        ("as the client does it", good(ORIGIN), Takes),
        ("with a further member", good(ORIGIN), Takes),
        ("with a topOrigin", good(ORIGIN), Takes),
        ("by a credential with a counter and an extension", good(ORIGIN), Takes),
        ("with a short first number", good(ORIGIN), Takes),
        ("with a short second number", good(ORIGIN), Takes),
        ("on another page of the rpId", Err(origin), Takes),
        ("of another challenge", Err(another), Refuses),
        ("touched only", Err(SigError::NotVerified { flags: 0x19 }), Takes),
        ("untouched", Err(SigError::NotPresent { flags: 0x1c }), Takes),
        ("of another rpId", Err(application), Takes),
        ("in a frame of another page", Err(client_data(cross, "false", "true}")), Takes),
        ("without crossOrigin", Err(client_data(cross - 15, ",\\\"crossOrigin\\\":false", "}")), Takes),
    ];
    for (name, verdict, keygen_verdict) in &cases {
        let made = &made[*name];
        let signature = made.wrapped().unwrap();
        assert_eq!(&verify(&signature, &made.key, RP_ID, ORIGIN), verdict, "{name}");
        assert_eq!(keygen_says(&keygen, made, &signature), *keygen_verdict, "{name}");
    }
    let in_another_order = ["with its members in another order", "with crossOrigin before the origin"];
    for name in in_another_order {
        let made = &made[name];
        assert!(matches!(made.wrapped(), Err(AssertionError::ClientData { .. })), "{name}");
        assert_eq!(keygen_says(&keygen, made, &made.wrapped_loosely(ORIGIN)), Refuses, "{name}");
    }
    assert_eq!(made.len(), cases.len() + in_another_order.len());
}

#[test]
fn the_short_numbers_and_the_counters_are_what_they_are_called() {
    let made = crate_passkey();
    let first = usize::from(made["with a short first number"].signature[3]);
    let second = &made["with a short second number"].signature;
    let second = usize::from(second[5 + usize::from(second[3])]);
    assert!(first < 32 && second < 32, "{first} and {second} bytes");
    let counter = |name: &str| made[name].authenticator_data[33..37].to_vec();
    assert_eq!(counter("as the client does it"), [0; 4], "a passkey that is synchronized does not count");
    assert_ne!(counter("by a credential with a counter and an extension"), [0; 4]);
}

#[test]
fn both_ways_of_wrapping_give_the_same_bytes() {
    for (made, origin) in
        [(honest(), ORIGIN), (chromium()["with an extension"].clone(), "http://localhost:41234")]
    {
        assert_eq!(made.wrapped().unwrap(), made.wrapped_loosely(origin));
    }
}

#[test]
fn a_passkey_that_lies_is_found_out() {
    type Bend = fn(&mut Made);
    let keygen = Keygen::new();
    let flags = |made: &Made| made.authenticator_data[32];
    assert_eq!(flags(&honest()), 0x1d, "also 0x18: it may be, and is, copied to other devices");
    let registration = {
        let asked = String::from_utf8(honest().client_data).unwrap();
        let found = asked.replacen("webauthn.get", "webauthn.create", 1);
        client_data(
            18,
            &asked[18..66].escape_default().to_string(),
            &found[18..66].escape_default().to_string(),
        )
    };
    let cases: [(&str, Bend, SigError, SshKeygen); 6] = [
        ("AT set", |made| made.authenticator_data[32] = 0x5d, SigError::Attested { flags: 0x5d }, Refuses),
        (
            "AT set, and data after it",
            |made| {
                made.authenticator_data[32] = 0xdd;
                made.authenticator_data.extend([7; 60]);
            },
            SigError::Attested { flags: 0xdd },
            Refuses,
        ),
        (
            "ED set and no extensions",
            |made| made.authenticator_data[32] = 0x9d,
            SigError::Extensions { flags: 0x9d, found: 0 },
            Refuses,
        ),
        (
            "extensions and ED not set",
            |made| made.authenticator_data.push(0xa0),
            SigError::Extensions { flags: 0x1d, found: 1 },
            Refuses,
        ),
        (
            "neither touched nor verified",
            |made| made.authenticator_data[32] = 0,
            SigError::NotPresent { flags: 0 },
            Takes,
        ),
        (
            "a registration",
            |made| {
                let text = String::from_utf8(made.client_data.clone()).unwrap();
                made.client_data = text.replacen("webauthn.get", "webauthn.create", 1).into_bytes();
            },
            registration,
            Refuses,
        ),
    ];
    for (name, bend, refusal, keygen_verdict) in cases {
        let mut made = honest();
        bend(&mut made);
        made.sign_again();
        let signature = made.wrapped_loosely(ORIGIN);
        assert_eq!(verify(&signature, &made.key, RP_ID, ORIGIN), Err(refusal), "{name}");
        assert_eq!(keygen_says(&keygen, &made, &signature), keygen_verdict, "{name}");
    }
}

#[test]
fn signed_again_three_hundred_times_each_signature_counts() {
    // High bits come up in most of these, a leading zero in about two.
    let mut made = honest();
    for _ in 0..300 {
        made.sign_again();
        assert_eq!(verify(&made.wrapped().unwrap(), &made.key, RP_ID, ORIGIN), good(ORIGIN), "{made:?}");
    }
}

/// With fresh credentials each time, by the real program.
mod long {
    use super::*;
    use crate::authenticator::Authenticator;

    #[test]
    fn a_fresh_credential_of_the_passkey_crate_is_judged_the_same() {
        let (authenticator, point) = Authenticator::start();
        let made = read(&authenticator.sign(&signed_bytes(NAMESPACE, MESSAGE)));
        assert_eq!(made["as the client does it"].key, PublicKey::passkey(&point, RP_ID).unwrap());
        judge_all(&made);
    }
}
