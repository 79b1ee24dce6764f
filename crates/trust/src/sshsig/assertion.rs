//! From what a browser returns for a passkey to a signature in SSHSIG form.
//!
//! Source: OpenSSH PROTOCOL.u2f, "webauthn signatures"; WebAuthn Level 2, sections 5.8.1.1 ("Serialization"),
//! 6.1 ("Authenticator Data") and 6.5.6 ("Signature Formats"). Whether it counts is for [`SshSig::verify`] to say.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::str;

use super::{MAX_BLOB_BYTES, SigError, SshSig, excerpt};
use crate::ids::Sha256;
use crate::key::{Algorithm, PublicKey};
use crate::sshwire::{Reader, WireError, Writer};

/// What `navigator.credentials.get` gives for the challenge [`super::signed_bytes`], byte for byte.
#[derive(Clone, Copy, Debug)]
pub struct Assertion<'a> {
    /// `response.authenticatorData`: hash of the rpId, flags, counter, and extensions if there are any.
    pub authenticator_data: &'a [u8],
    /// `response.clientDataJSON`.
    pub client_data: &'a [u8],
    /// `response.signature`: two numbers in DER.
    pub signature: &'a [u8],
}

/// Why an assertion cannot be written as a signature of this key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// The key is of another kind.
    #[error("a key of algorithm `{found}` makes no assertions, only a passkey does")]
    NotAPasskey {
        /// The key's algorithm.
        found: Algorithm,
    },
    /// More than any signature takes.
    #[error("an assertion has at most {max} bytes, this one has {found}")]
    TooLong {
        /// The most bytes it may have.
        max: usize,
        /// Bytes it has.
        found: usize,
    },
    /// The authenticator data break off.
    #[error("the authenticator data are malformed: {0}")]
    AuthenticatorData(WireError),
    /// Made for another relying party than the key: a signature names its rpId only by its key.
    #[error("the passkey signed for the rpId whose SHA-256 is {found}, that of `{rp_id}` is {expected}")]
    RpId {
        /// The key's rpId.
        rp_id: String,
        /// Its hash.
        expected: Sha256,
        /// The hash in the authenticator data.
        found: Sha256,
    },
    /// The browser's text does not begin with type, challenge and origin of an assertion, in this order.
    #[error("what the browser signed does not begin as an assertion's client data do: `{found}`")]
    ClientData {
        /// How it begins, at most 48 bytes, escaped.
        found: String,
    },
    /// The signature is not two positive numbers in DER.
    #[error("the passkey's signature is not two positive numbers in DER: `{found}`")]
    Der {
        /// How it begins, at most 48 bytes, escaped.
        found: String,
    },
    /// What comes of it is no signature.
    #[error(transparent)]
    Signature(#[from] SigError),
}

impl SshSig {
    /// Writes what the passkey `key` signed for `namespace` as a signature, without judging it.
    ///
    /// # Errors
    /// It cannot be written so that nothing of what the passkey signed is lost.
    pub fn from_assertion(
        key: &PublicKey,
        namespace: &str,
        assertion: &Assertion<'_>,
    ) -> Result<Self, AssertionError> {
        let Assertion { authenticator_data, client_data, signature } = assertion;
        let (Algorithm::WebauthnSkEcdsaP256, Some(rp_id)) = (key.algorithm(), key.application()) else {
            return Err(AssertionError::NotAPasskey { found: key.algorithm() });
        };
        match authenticator_data.len() + client_data.len() + signature.len() {
            found if found > MAX_BLOB_BYTES => {
                return Err(AssertionError::TooLong { max: MAX_BLOB_BYTES, found });
            }
            _ => {}
        }
        let mut data = Reader::new(authenticator_data);
        let found = Sha256(data.array().map_err(AssertionError::AuthenticatorData)?);
        let flags = data.byte().map_err(AssertionError::AuthenticatorData)?;
        let counter = data.u32().map_err(AssertionError::AuthenticatorData)?;
        match Sha256::of(rp_id.as_bytes()) {
            expected if expected == found => {}
            expected => return Err(AssertionError::RpId { rp_id: rp_id.to_string(), expected, found }),
        }
        let origin =
            origin(client_data).ok_or_else(|| AssertionError::ClientData { found: excerpt(client_data) })?;
        let numbers = numbers(signature).ok_or_else(|| AssertionError::Der { found: excerpt(signature) })?;
        let mut inside = Writer::new();
        inside.string(key.algorithm().signature_name().as_bytes()).string(&numbers);
        inside.byte(flags).u32(counter).string(origin.as_bytes()).string(client_data).string(data.rest());
        Ok(Self::from_signature(key, namespace, &inside.take())?)
    }
}

/// The page, as client data name it. They begin alike in every browser, so that no JSON parser is needed.
fn origin(client_data: &[u8]) -> Option<&str> {
    let rest = str::from_utf8(client_data).ok()?.strip_prefix(r#"{"type":"webauthn.get","challenge":""#)?;
    let (_challenge, rest) = rest.split_once('"')?;
    let (origin, _) = rest.strip_prefix(r#","origin":""#)?.split_once('"')?;
    (!origin.contains('\\')).then_some(origin)
}

/// The two numbers of an ECDSA signature, from DER to SSH's encoding.
///
/// Both write a positive number in its shortest form, a zero byte before a high bit; only what stands around it
/// differs. A P-256 signature has at most 70 bytes inside, so that every length is one byte.
fn numbers(der: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader::new(der);
    let mut inside = Reader::new(tagged(&mut reader, 0x30)?);
    let (r, s) = (tagged(&mut inside, 0x02)?, tagged(&mut inside, 0x02)?);
    inside.finish().ok()?;
    reader.finish().ok()?;
    let numbers = Writer::new().string(r).string(s).take();
    let mut written = Reader::new(&numbers);
    written.positive().ok()?;
    written.positive().ok()?;
    Some(numbers)
}

/// The value after this tag and a length below 128.
fn tagged<'a>(reader: &mut Reader<'a>, tag: u8) -> Option<&'a [u8]> {
    let (found, length) = (reader.byte().ok()?, reader.byte().ok()?);
    if found != tag || length >= 0x80 {
        return None;
    }
    reader.take(usize::from(length)).ok()
}
