//! A job approved with a passkey, from the browser's assertion to the device's verdict, and how little a passkey counts that
//! the server's own pages can ask for.
//!
//! The assertions here are made by a few lines below, as a browser and its passkey do; in `long` by the `passkey` crate.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_trust::ids::Sha256;
use countersign_trust::key::PublicKey;
use countersign_trust::sshsig::{Assertion, SshSig, signed_bytes};
use countersign_trust::statement::policy::Policy;
use countersign_trust::verify::Refusal;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

use crate::bundle::Refused;
use crate::keys::{give, sign_also};
use crate::organization::word;
use crate::scene::Scene;

const JOB: &str = "job.v1@countersign";
const RP_ID: &str = "approve.example";
const ORIGIN: &str = "https://approve.example";

/// A passkey and the browser it is used in.
struct Passkey {
    pair: EcdsaKeyPair,
    origin: &'static str,
    flags: u8,
}

impl Passkey {
    fn new() -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
        Self { pair, origin: ORIGIN, flags: 0x1d }
    }

    fn key(&self) -> PublicKey {
        PublicKey::passkey(self.pair.public_key().as_ref().try_into().unwrap(), RP_ID).unwrap()
    }

    /// What the page gets for this job's text, wrapped.
    fn sign(&self, text: &str) -> SshSig {
        let challenge = URL_SAFE_NO_PAD.encode(signed_bytes(JOB, text.as_bytes()));
        let origin = self.origin;
        let client_data = format!(
            r#"{{"type":"webauthn.get","challenge":"{challenge}","origin":"{origin}","crossOrigin":false}}"#
        );
        let data = [&Sha256::of(RP_ID.as_bytes()).0[..], &[self.flags, 0, 0, 0, 0]].concat();
        let signed = [&data[..], &Sha256::of(client_data.as_bytes()).0].concat();
        let signature = self.pair.sign(&SystemRandom::new(), &signed).unwrap();
        wrap(&self.key(), &data, client_data.as_bytes(), signature.as_ref())
    }
}

fn wrap(key: &PublicKey, authenticator_data: &[u8], client_data: &[u8], signature: &[u8]) -> SshSig {
    SshSig::from_assertion(key, JOB, &Assertion { authenticator_data, client_data, signature }).unwrap()
}

/// An organization whose approval page is at [`ORIGIN`].
fn with_page(policy: &mut Policy) {
    policy.passkeys.rp_id = Some(word(RP_ID));
    policy.passkeys.origins = [word(ORIGIN)].into();
}

fn approvals(got: usize) -> Result<(), Refused> {
    Err(Refused::Because(Refusal::Approvals { got, need: 1, roles: vec![word("operator")] }))
}

/// Anna asks with her plain key and Bo approves with a passkey: his key's mark, a change of the policy and of what he does.
fn bo_approves(same_origin: bool, policy: fn(&mut Policy), bend: fn(&mut Passkey)) -> Result<(), Refused> {
    let mut bo = Passkey::new();
    let mut scene = Scene::found_with(|genesis| {
        with_page(genesis);
        give(genesis, "bo", bo.key(), same_origin);
        policy(genesis);
    });
    bend(&mut bo);
    let (bundle, text) = (scene.bundle(), scene.text());
    let signed = sign_also(&scene.job, &["anna"], [bo.sign(&text)]);
    scene.with_job(bundle, signed).judge().job
}

#[test]
fn an_approval_with_a_passkey_counts_on_the_policys_page_only() {
    type Edit = fn(&mut Policy);
    type Bend = fn(&mut Passkey);
    let cases: [(&str, Edit, Bend, Result<(), Refused>); 6] = [
        ("on the page", |_| (), |_| (), Ok(())),
        ("on a page the policy does not list", |_| (), |bo| bo.origin = "https://evil.example", approvals(0)),
        ("touched and not verified", |_| (), |bo| bo.flags = 0x01, approvals(0)),
        ("untouched", |_| (), |bo| bo.flags = 0x04, approvals(0)),
        (
            "where the policy has no relying party",
            |policy| policy.passkeys.rp_id = None,
            |_| (),
            approvals(0),
        ),
        (
            "where it has another",
            |policy| policy.passkeys.rp_id = Some(word("till.example")),
            |_| (),
            approvals(0),
        ),
    ];
    for (name, policy, bend, expected) in cases {
        assert_eq!(bo_approves(false, policy, bend), expected, "{name}");
    }
}

fn not_signed_by_anna() -> Result<(), Refused> {
    Err(Refused::Because(Refusal::NotSignedByRequester { requester: word("anna"), policy: 1 }))
}

#[test]
fn a_passkey_that_the_server_can_ask_for_counts_only_beside_another_key() {
    assert_eq!(bo_approves(true, |_| (), |_| ()), Ok(()), "Anna's key is another");

    // Both with such passkeys; and Anna alone with hers where nobody need approve.
    for (approvals, people, expected) in [
        (1, &["anna", "bo"][..], Err(Refused::Because(Refusal::SameOrigin))),
        (0, &["anna"], not_signed_by_anna()),
    ] {
        let passkeys = [Passkey::new(), Passkey::new()];
        let mut scene = Scene::found_with(|genesis| {
            with_page(genesis);
            genesis.rules[0].approvals = approvals;
            people
                .iter()
                .zip(&passkeys)
                .for_each(|(person, passkey)| give(genesis, person, passkey.key(), true));
        });
        let (bundle, text) = (scene.bundle(), scene.text());
        let signatures = passkeys.iter().take(people.len()).map(|passkey| passkey.sign(&text));
        let signed = sign_also(&scene.job, &[], signatures);
        assert_eq!(scene.with_job(bundle, signed).judge().job, expected, "{people:?}");
    }
}

#[test]
fn a_passkey_signs_one_text() {
    let bo = Passkey::new();
    let mut scene = Scene::found_with(|genesis| {
        with_page(genesis);
        give(genesis, "bo", bo.key(), false);
    });
    let (bundle, text) = (scene.bundle(), scene.text());
    let other = bo.sign(&text.replacen("restart", "disable", 1));
    let signed = sign_also(&scene.job, &["anna"], [other]);
    assert_eq!(scene.with_job(bundle, signed).judge().job, approvals(0));
}

/// With a fresh credential of the `passkey` crate: made, named in a genesis policy, and then asked to sign the job.
mod long {
    use super::*;
    use crate::authenticator::{Authenticator, Given};

    #[test]
    fn what_the_passkey_crate_approves_runs_and_only_that() {
        let (authenticator, point) = Authenticator::start();
        let key = PublicKey::passkey(&point, RP_ID).unwrap();
        let mut scene = Scene::found_with(|genesis| {
            with_page(genesis);
            give(genesis, "bo", key.clone(), false);
        });
        let text = scene.text();
        let given = Given::read(&authenticator.sign(&signed_bytes(JOB, text.as_bytes())));
        let good = ["as the client does it", "with a further member", "with a topOrigin"];
        let also_good = ["with a short first number", "with a short second number"];
        let mut seen = 0;
        for given in given.iter().filter(|given| given.bytes("point") == point) {
            let name = given.text("case");
            let parts = ["authenticator_data", "client_data", "signature"].map(|part| given.bytes(part));
            let assertion =
                Assertion { authenticator_data: &parts[0], client_data: &parts[1], signature: &parts[2] };
            let Ok(approval) = SshSig::from_assertion(&key, JOB, &assertion) else { continue };
            let bundle = scene.bundle();
            let signed = sign_also(&scene.job, &["anna"], [approval]);
            let verdict = scene.with_job(bundle, signed).judge().job;
            let counts = good.contains(&name) || also_good.contains(&name);
            assert_eq!(verdict, if counts { Ok(()) } else { approvals(0) }, "{name}");
            seen += 1;
        }
        assert_eq!(seen, 9, "five that count, four that do not");
    }
}
