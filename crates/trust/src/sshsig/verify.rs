//! When a signature counts as this key's over this message.
//!
//! Source: OpenSSH PROTOCOL.u2f, "SSH U2F signatures" and "webauthn signatures"; `ssh-ecdsa-sk.c`. Beyond
//! OpenSSH: a touch is always required, and of a passkey also its user's verification, the policy's rpId, a
//! listed origin, and a page that is not inside another origin's.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents, UnparsedPublicKey,
};

use super::{SigError, SshSig, excerpt, expect_algorithm, signed_bytes};
use crate::ids::Sha256;
use crate::key::{Algorithm, Material, PublicKey, RSA_EXPONENT, fingerprint};
use crate::sshwire::{Reader, Writer};
use crate::words::Address;

/// Where passkeys may sign: what the policy says of them.
#[derive(Clone, Copy, Debug)]
pub struct PasskeyRules<'a> {
    /// The relying party that passkeys must have been made for.
    pub rp_id: &'a str,
    /// The origins of the pages on which they may be used, compared byte for byte.
    pub origins: &'a BTreeSet<Address>,
}

impl PasskeyRules<'static> {
    /// No passkey may sign anywhere.
    pub const NONE: Self = {
        static NO_ORIGINS: BTreeSet<Address> = BTreeSet::new();
        Self { rp_id: "", origins: &NO_ORIGINS }
    };
}

/// What a verified signature says beyond who signed what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureFacts {
    /// A security key or passkey was touched. False for other keys, which cannot say.
    pub user_present: bool,
    /// A security key or passkey checked a PIN or a biometric. False for other keys, which cannot say.
    pub user_verified: bool,
    /// The page on which a passkey was used, one of the policy's.
    pub origin: Option<String>,
}

/// What a security key adds to a signature.
struct Token {
    flags: u8,
    counter: u32,
}

impl Token {
    const PRESENT: u8 = 0x01;
    const VERIFIED: u8 = 0x04;
    const ATTESTED: u8 = 0x40;
    const EXTENDED: u8 = 0x80;

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn check(&self, extensions: &[u8]) -> Result<(), SigError> {
        let flags = self.flags;
        if !self.has(Self::PRESENT) {
            return Err(SigError::NotPresent { flags });
        }
        if self.has(Self::ATTESTED) {
            return Err(SigError::Attested { flags });
        }
        if self.has(Self::EXTENDED) == extensions.is_empty() {
            return Err(SigError::Extensions { flags, found: extensions.len() });
        }
        Ok(())
    }

    /// What the security key itself signs: authenticator data and the hash of what it was asked to sign.
    fn signed(&self, application: &str, extensions: &[u8], asked: &[u8]) -> Vec<u8> {
        let mut data = Writer::new();
        data.raw(&Sha256::of(application.as_bytes()).0).byte(self.flags).u32(self.counter);
        data.raw(extensions).raw(&Sha256::of(asked).0).take()
    }
}

impl SshSig {
    /// Accepts this signature if `key` made it over `message` for `namespace`.
    ///
    /// # Errors
    /// The first rule that is not met; [`SigError::Mismatch`] only when all others are.
    pub fn verify(
        &self,
        key: &PublicKey,
        namespace: &str,
        message: &[u8],
        passkeys: &PasskeyRules<'_>,
    ) -> Result<SignatureFacts, SigError> {
        if self.namespace != namespace {
            let found = excerpt(self.namespace.as_bytes());
            return Err(SigError::Namespace { expected: namespace.to_string(), found });
        }
        if self.key_blob != key.blob() {
            let found = fingerprint(&self.key_blob);
            return Err(SigError::Key { expected: key.fingerprint(), found });
        }
        let signed = signed_bytes(namespace, message);
        let mut reader = Reader::new(&self.signature);
        expect_algorithm(&mut reader, key.algorithm())?;
        let numbers = reader.string()?;
        match key.algorithm() {
            Algorithm::Ed25519 | Algorithm::EcdsaP256 | Algorithm::Rsa => {
                reader.finish()?;
                check_numbers(key, numbers, &signed)?;
                Ok(SignatureFacts { user_present: false, user_verified: false, origin: None })
            }
            Algorithm::SkEd25519 | Algorithm::SkEcdsaP256 => security_key(key, numbers, reader, &signed),
            Algorithm::WebauthnSkEcdsaP256 => passkey(key, numbers, reader, &signed, passkeys),
        }
    }
}

fn security_key(
    key: &PublicKey,
    numbers: &[u8],
    mut reader: Reader<'_>,
    signed: &[u8],
) -> Result<SignatureFacts, SigError> {
    let token = Token { flags: reader.byte()?, counter: reader.u32()? };
    reader.finish()?;
    token.check(b"")?;
    check_numbers(key, numbers, &token.signed(key.application().unwrap_or_default(), b"", signed))?;
    Ok(SignatureFacts { user_present: true, user_verified: token.has(Token::VERIFIED), origin: None })
}

fn passkey(
    key: &PublicKey,
    numbers: &[u8],
    mut reader: Reader<'_>,
    signed: &[u8],
    rules: &PasskeyRules<'_>,
) -> Result<SignatureFacts, SigError> {
    let token = Token { flags: reader.byte()?, counter: reader.u32()? };
    let (origin, client_data, extensions) = (reader.text()?, reader.string()?, reader.string()?);
    reader.finish()?;
    let application = key.application().unwrap_or_default();
    if application != rules.rp_id {
        return Err(SigError::Application {
            expected: rules.rp_id.to_string(),
            found: application.to_string(),
        });
    }
    check_origin(origin, rules)?;
    token.check(extensions)?;
    if !token.has(Token::VERIFIED) {
        return Err(SigError::NotVerified { flags: token.flags });
    }
    check_client_data(client_data, signed, origin)?;
    check_numbers(key, numbers, &token.signed(application, extensions, client_data))?;
    Ok(SignatureFacts { user_present: true, user_verified: true, origin: Some(origin.to_string()) })
}

fn check_origin(origin: &str, rules: &PasskeyRules<'_>) -> Result<(), SigError> {
    // No origin holds a quote; with one it could pose as the rest of the client data.
    if rules.origins.iter().any(|listed| listed.as_str() == origin) && !origin.contains(['"', '\\']) {
        return Ok(());
    }
    let listed: Vec<String> = rules.origins.iter().map(|origin| format!("`{origin}`")).collect();
    let listed = if listed.is_empty() { "none".to_string() } else { listed.join(", ") };
    Err(SigError::Origin { found: excerpt(origin.as_bytes()), listed })
}

/// Holds what the browser signed against the one beginning it may have.
///
/// Browsers print these four members first and in this order, so that no JSON parser is needed.
/// Source: WebAuthn Level 2, section 5.8.1.2, "Limited Verification Algorithm".
fn check_client_data(client_data: &[u8], signed: &[u8], origin: &str) -> Result<(), SigError> {
    let challenge = URL_SAFE_NO_PAD.encode(signed);
    let expected = format!(
        r#"{{"type":"webauthn.get","challenge":"{challenge}","origin":"{origin}","crossOrigin":false"#
    );
    let refuse = |at: usize, expected: &[u8]| {
        let found = excerpt(client_data.get(at..).unwrap_or_default());
        Err(SigError::ClientData { at, expected: excerpt(expected), found })
    };
    match client_data.strip_prefix(expected.as_bytes()) {
        Some([b',' | b'}', ..]) => Ok(()),
        Some(_) => refuse(expected.len(), b"}"),
        None => {
            let at = client_data.iter().zip(expected.bytes()).take_while(|(a, b)| **a == *b).count();
            refuse(at, expected.as_bytes().get(at..).unwrap_or_default())
        }
    }
}

fn check_numbers(key: &PublicKey, numbers: &[u8], signed: &[u8]) -> Result<(), SigError> {
    let verdict = match key.material() {
        Material::Ed25519(point) => {
            expect_length(numbers, 64)?;
            UnparsedPublicKey::new(&ED25519, point).verify(signed, numbers)
        }
        Material::P256(point) => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, &fixed_ecdsa(numbers)?)
        }
        Material::Rsa(modulus) => {
            expect_length(numbers, modulus.len())?;
            RsaPublicKeyComponents { n: modulus.as_slice(), e: &RSA_EXPONENT }.verify(
                &RSA_PKCS1_2048_8192_SHA512,
                signed,
                numbers,
            )
        }
    };
    verdict.map_err(|_| SigError::Mismatch { key: key.fingerprint() })
}

fn expect_length(numbers: &[u8], expected: usize) -> Result<(), SigError> {
    match numbers.len() {
        found if found == expected => Ok(()),
        found => Err(SigError::Length { expected, found }),
    }
}

/// The two numbers of an ECDSA signature, each padded to 32 bytes. That they are in range is ring's check.
fn fixed_ecdsa(numbers: &[u8]) -> Result<[u8; 64], SigError> {
    let mut reader = Reader::new(numbers);
    let (r, s) = (reader.positive()?, reader.positive()?);
    reader.finish()?;
    let mut fixed = [0; 64];
    for (number, place) in [r, s].into_iter().zip(fixed.chunks_exact_mut(32)) {
        let zeros = 32_usize.checked_sub(number.len());
        let zeros = zeros.ok_or(SigError::Length { expected: 32, found: number.len() })?;
        for (byte, value) in place.iter_mut().skip(zeros).zip(number) {
            *byte = *value;
        }
    }
    Ok(fixed)
}

#[cfg(test)]
mod edge_cases;
