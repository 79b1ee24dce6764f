//! A passkey of the `passkey` crate signs one challenge in every way that the tests of `trust` ask for.
//!
//! Makes a credential and prints `credential` and its point; reads the challenge, a line of base64url, from standard
//! input; prints a block of `name value` lines for each way, bytes in base64url. The first eight go through that crate's
//! client, which is what a browser does; for the rest its authenticator is asked for what no honest client would ask.
//! The private key is printed too: the tests bend further with it.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use passkey_authenticator::extensions::HmacSecretConfig;
use passkey_authenticator::{Authenticator, UiHint, UserCheck, UserValidationMethod};
use passkey_client::{Client, DefaultClientData, DefaultClientDataWithExtra};
use passkey_crypto::coset::Label;
use passkey_crypto::hash::Sha256Backend as _;
use passkey_crypto::{AvailableBackend, CryptoBackend, iana};
use passkey_types::ctap2::{Aaguid, Ctap2Error, get_assertion};
use passkey_types::webauthn::*;
use passkey_types::{Bytes, Passkey};
use url::Url;

const RP_ID: &str = "approve.example";
const ORIGIN: &str = "https://approve.example";

/// A person who does as told.
struct Person {
    present: bool,
    verified: bool,
}

const WILLING: Person = Person { present: true, verified: true };

#[async_trait]
impl UserValidationMethod for Person {
    type PasskeyItem = Passkey;

    async fn check_user<'a>(
        &self,
        hint: UiHint<'a, Passkey>,
        _: bool,
        _: bool,
    ) -> Result<UserCheck, Ctap2Error> {
        let registers = matches!(hint, UiHint::RequestNewCredential(..));
        Ok(UserCheck { presence: registers || self.present, verification: registers || self.verified })
    }

    fn is_presence_enabled(&self) -> bool {
        true
    }

    fn is_verification_enabled(&self) -> Option<bool> {
        Some(true)
    }
}

type Device = Authenticator<Option<Passkey>, Person, AvailableBackend>;
type Browser = Client<Option<Passkey>, Person, AvailableBackend, public_suffix::PublicSuffixList, ()>;

fn device(person: Person) -> Device {
    Authenticator::new(Aaguid::new_empty(), None, person, AvailableBackend)
}

fn browser(device: Device) -> Browser {
    Client::new(device)
}

/// A new credential of `rp_id`, made on the page `origin`.
async fn register(mut browser: Browser, origin: &str, rp_id: &str) -> Browser {
    let public_key = PublicKeyCredentialCreationOptions {
        rp: PublicKeyCredentialRpEntity { id: Some(rp_id.to_owned()), name: "Countersign".to_owned() },
        user: PublicKeyCredentialUserEntity {
            id: b"anna".to_vec().into(),
            display_name: "Anna".to_owned(),
            name: "anna".to_owned(),
        },
        challenge: vec![7; 32].into(),
        pub_key_cred_params: vec![PublicKeyCredentialParameters {
            ty: PublicKeyCredentialType::PublicKey,
            alg: iana::Algorithm::ES256,
        }],
        timeout: None,
        exclude_credentials: None,
        authenticator_selection: None,
        hints: None,
        attestation: AttestationConveyancePreference::None,
        attestation_formats: None,
        extensions: Some(prf()),
    };
    let url = Url::parse(origin).unwrap();
    browser.register(&url, CredentialCreationOptions { public_key }, DefaultClientData).await.unwrap();
    browser
}

/// Asks for a secret besides: it is an extension's, and where an authenticator knows none it is left out.
fn prf() -> AuthenticationExtensionsClientInputs {
    let eval = AuthenticationExtensionsPrfValues { first: vec![1; 32].into(), second: None };
    let prf = AuthenticationExtensionsPrfInputs { eval: Some(eval), eval_by_credential: None };
    AuthenticationExtensionsClientInputs { prf: Some(prf), ..Default::default() }
}

fn request(
    challenge: &[u8],
    rp_id: &str,
    verification: UserVerificationRequirement,
) -> CredentialRequestOptions {
    CredentialRequestOptions {
        public_key: PublicKeyCredentialRequestOptions {
            challenge: challenge.to_vec().into(),
            timeout: None,
            rp_id: Some(rp_id.to_owned()),
            allow_credentials: None,
            user_verification: verification,
            hints: None,
            attestation: AttestationConveyancePreference::None,
            attestation_formats: None,
            extensions: Some(prf()),
        },
    }
}

/// What a client is asked on a page, and gives.
async fn on_page<E: serde::Serialize + Clone>(
    browser: &mut Browser,
    origin: &str,
    asked: CredentialRequestOptions,
    extra: E,
) -> AuthenticatorAssertionResponse {
    let url = Url::parse(origin).unwrap();
    let given = browser.authenticate(&url, asked, DefaultClientDataWithExtra(extra)).await.unwrap();
    given.response
}

/// What the authenticator gives for client data of ours.
async fn by_device(
    device: &mut Device,
    client_data: String,
    present: bool,
) -> AuthenticatorAssertionResponse {
    let hash = <AvailableBackend as CryptoBackend>::Sha256::sha256(client_data.as_bytes());
    let request = get_assertion::Request {
        rp_id: RP_ID.to_owned(),
        client_data_hash: hash.to_vec().into(),
        allow_list: None,
        extensions: None,
        options: get_assertion::Options { up: present, uv: true },
        pin_auth: None,
        pin_protocol: None,
    };
    let given = device.get_assertion(request).await.unwrap();
    AuthenticatorAssertionResponse {
        client_data_json: client_data.into_bytes().into(),
        authenticator_data: given.auth_data.to_vec().into(),
        signature: given.signature,
        user_handle: None,
        attestation_object: None,
    }
}

/// A parameter of the device's key. Source: RFC 9053, section 7.1.1.
fn part(device: &Device, label: i64) -> Vec<u8> {
    let key = &device.store().as_ref().unwrap().key;
    let held = key.params.iter().find(|(key, _)| *key == Label::Int(label)).unwrap();
    held.1.as_bytes().unwrap().clone()
}

fn point(device: &Device) -> Vec<u8> {
    [vec![4], part(device, -2), part(device, -3)].concat()
}

fn print(name: &str, device: &Device, given: &AuthenticatorAssertionResponse) {
    let line = |name: &str, bytes: &[u8]| println!("{name} {}", BASE64.encode(bytes));
    println!("case {name}\nrp_id {}", device.store().as_ref().unwrap().rp_id);
    line("point", &point(device));
    line("secret", &part(device, -4));
    line("authenticator_data", &given.authenticator_data);
    line("client_data", &given.client_data_json);
    line("signature", &given.signature);
    println!();
}

/// How many bytes the two numbers of a DER signature have.
fn lengths(signature: &Bytes) -> (u8, u8) {
    (signature[3], signature[5 + usize::from(signature[3])])
}

#[derive(Clone, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct TopOrigin {
    top_origin: &'static str,
}

#[derive(Clone, serde::Serialize)]
struct Further {
    other_keys_can_be_added_here: &'static str,
}

/// What an honest client makes of honest and other requests, most of them by the credential of `page`.
async fn by_client(challenge: &[u8], page: &mut Browser) {
    use UserVerificationRequirement::{Discouraged, Required};
    let given = on_page(page, ORIGIN, request(challenge, RP_ID, Required), ()).await;
    print("as the client does it", page.authenticator(), &given);
    let further = Further { other_keys_can_be_added_here: "do not compare" };
    let given = on_page(page, ORIGIN, request(challenge, RP_ID, Required), further).await;
    print("with a further member", page.authenticator(), &given);
    let top = TopOrigin { top_origin: "https://evil.example" };
    let given = on_page(page, ORIGIN, request(challenge, RP_ID, Required), top).await;
    print("with a topOrigin", page.authenticator(), &given);
    let other = "https://login.approve.example";
    let given = on_page(page, other, request(challenge, RP_ID, Required), ()).await;
    print("on another page of the rpId", page.authenticator(), &given);
    let given = on_page(page, ORIGIN, request(b"another blob", RP_ID, Required), ()).await;
    print("of another challenge", page.authenticator(), &given);

    let mut counting = device(WILLING).hmac_secret(HmacSecretConfig::new_without_uv());
    counting.set_make_credentials_with_signature_counter(true);
    let mut extended = register_new(counting, ORIGIN, RP_ID).await;
    let given = on_page(&mut extended, ORIGIN, request(challenge, RP_ID, Required), ()).await;
    print("by a credential with a counter and an extension", extended.authenticator(), &given);

    let unwilling = device(Person { present: true, verified: false });
    let mut touched = register_new(unwilling, ORIGIN, RP_ID).await;
    let given = on_page(&mut touched, ORIGIN, request(challenge, RP_ID, Discouraged), ()).await;
    print("touched only", touched.authenticator(), &given);

    let evil = "https://evil.example";
    let mut stranger = register_new(device(WILLING), evil, "evil.example").await;
    let given = on_page(&mut stranger, evil, request(challenge, "evil.example", Required), ()).await;
    print("of another rpId", stranger.authenticator(), &given);
}

async fn register_new(device: Device, origin: &str, rp_id: &str) -> Browser {
    register(browser(device), origin, rp_id).await
}

/// Client data as the caller words them, and signatures that a person gets once in 128 times.
async fn by_authenticator(challenge: &[u8], page: &mut Browser) {
    let challenge = BASE64.encode(challenge);
    let honest = format!(
        r#"{{"type":"webauthn.get","challenge":"{challenge}","origin":"{ORIGIN}","crossOrigin":false}}"#
    );
    let cases = [
        ("in a frame of another page", honest.replace("false", "true")),
        (
            "with its members in another order",
            format!(
                r#"{{"challenge":"{challenge}","origin":"{ORIGIN}","type":"webauthn.get","crossOrigin":false}}"#
            ),
        ),
        (
            "with crossOrigin before the origin",
            format!(
                r#"{{"type":"webauthn.get","challenge":"{challenge}","crossOrigin":false,"origin":"{ORIGIN}"}}"#
            ),
        ),
        ("without crossOrigin", honest.replace(r#","crossOrigin":false"#, "")),
    ];
    let device = page.authenticator_mut();
    for (name, client_data) in cases {
        let given = by_device(device, client_data, true).await;
        print(name, device, &given);
    }
    for (name, wanted) in [("with a short first number", 0), ("with a short second number", 1)] {
        // Signatures are a function of key and text here: each try is another text.
        for number in 0.. {
            let text = honest.replace('}', &format!(r#","try":{number}}}"#));
            let given = by_device(device, text, true).await;
            let (r, s) = lengths(&given.signature);
            if [r, s][wanted] < 32 {
                print(name, device, &given);
                break;
            }
        }
    }
    let mut absent =
        register_new(self::device(Person { present: false, verified: true }), ORIGIN, RP_ID).await;
    let device = absent.authenticator_mut();
    let given = by_device(device, honest, false).await;
    print("untouched", device, &given);
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut page = register_new(device(WILLING), ORIGIN, RP_ID).await;
    println!("credential {}\n", BASE64.encode(point(page.authenticator())));
    let mut challenge = String::new();
    std::io::stdin().read_line(&mut challenge).expect("the challenge");
    let challenge = BASE64.decode(challenge.trim_end()).expect("a challenge in base64url");
    by_client(&challenge, &mut page).await;
    by_authenticator(&challenge, &mut page).await;
}
