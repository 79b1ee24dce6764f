//! A security key in software: it signs what the hardware would, and whatever else a test asks of it.

use countersign_trust::key::{Algorithm, PublicKey};
use countersign_trust::sshsig::{SshSig, signed_bytes};
use countersign_trust::sshwire::Writer;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

use crate::{MESSAGE, NAMESPACE};

pub struct Token {
    p256: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
    random: SystemRandom,
}

impl Token {
    pub fn new() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let p256 = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
        Self { p256, ed25519: Ed25519KeyPair::from_seed_unchecked(&[3; 32]).unwrap(), random }
    }

    /// The same P-256 key as if it were held in software.
    pub fn plain_key(&self) -> PublicKey {
        let mut blob = Writer::new();
        blob.string(b"ecdsa-sha2-nistp256").string(b"nistp256").string(self.p256.public_key().as_ref());
        PublicKey::from_blob(Algorithm::EcdsaP256, &blob.take()).unwrap()
    }

    pub fn key(&self, algorithm: Algorithm, application: &str) -> PublicKey {
        let mut blob = Writer::new();
        blob.string(algorithm.blob_type().as_bytes());
        if algorithm == Algorithm::SkEd25519 {
            blob.string(self.ed25519.public_key().as_ref());
        } else {
            blob.string(b"nistp256").string(self.p256.public_key().as_ref());
        }
        PublicKey::from_blob(algorithm, &blob.string(application.as_bytes()).take()).unwrap()
    }

    /// The numbers of an ECDSA signature as SSH encodes them.
    pub fn ecdsa(&self, data: &[u8]) -> Vec<u8> {
        let fixed = self.p256.sign(&self.random, data).unwrap();
        let (r, s) = fixed.as_ref().split_at(32);
        Writer::new().positive(r).positive(s).take()
    }
}

/// Everything a signing with the token consists of, to be bent in one place.
pub struct Signing {
    /// The key whose blob the signature states.
    pub key: PublicKey,
    /// The algorithm the signature states.
    pub word: &'static str,
    /// What the token hashes as application.
    pub application: String,
    pub flags: u8,
    pub counter: u32,
    /// What the token hashes as the message: the frame, or a browser's client data.
    pub asked: Vec<u8>,
    /// Passkeys only.
    pub origin: String,
    pub extensions: Vec<u8>,
    /// Bytes after the last field.
    pub after: Vec<u8>,
}

impl Signing {
    /// A touch of a security key by its verified user.
    pub fn with_security_key(key: PublicKey) -> Self {
        Self {
            word: key.algorithm().signature_name(),
            application: key.application().unwrap().to_owned(),
            key,
            flags: 0x05,
            counter: 41,
            asked: signed_bytes(NAMESPACE, MESSAGE),
            origin: String::new(),
            extensions: vec![],
            after: vec![],
        }
    }

    /// A passkey used on the page `origin`, as Chromium does it.
    pub fn with_passkey(key: PublicKey, origin: &str) -> Self {
        let mut signing = Self::with_security_key(key);
        signing.origin = origin.to_owned();
        signing.asked = client_data("webauthn.get", &signing.asked, origin, ",\"crossOrigin\":false}");
        signing
    }

    pub fn sign(&self, token: &Token) -> SshSig {
        let mut data = Writer::new();
        data.raw(digest(&SHA256, self.application.as_bytes()).as_ref()).byte(self.flags).u32(self.counter);
        data.raw(&self.extensions).raw(digest(&SHA256, &self.asked).as_ref());
        let data = data.take();
        let numbers = match self.key.algorithm() {
            Algorithm::SkEd25519 => token.ed25519.sign(&data).as_ref().to_vec(),
            _ => token.ecdsa(&data),
        };
        let mut signature = Writer::new();
        signature.string(self.word.as_bytes()).string(&numbers).byte(self.flags).u32(self.counter);
        if self.key.algorithm() == Algorithm::WebauthnSkEcdsaP256 {
            signature.string(self.origin.as_bytes()).string(&self.asked).string(&self.extensions);
        }
        SshSig::from_signature(&self.key, NAMESPACE, &signature.raw(&self.after).take()).unwrap()
    }
}

/// What a browser has the passkey sign, up to the origin, and then `rest`.
pub fn client_data(kind: &str, challenge: &[u8], origin: &str, rest: &str) -> Vec<u8> {
    let challenge = URL_SAFE_NO_PAD.encode(challenge);
    format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}"{rest}"#).into_bytes()
}
