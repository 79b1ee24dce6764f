//! Human signatures: SSHSIG with SHA-512, in one form only.
//!
//! Source: OpenSSH PROTOCOL.sshsig. Stock `ssh-keygen -Y verify` takes everything that is taken here; the
//! reverse does not hold, because [`SshSig::verify`] asks for more (see `sshsig/verify.rs`).

mod assertion;
mod error;
mod signer;
mod verify;

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest;

use crate::key::{Algorithm, PublicKey, fingerprint};
use crate::sshwire::{Reader, Writer};

pub use assertion::{Assertion, AssertionError};
pub use error::SigError;
pub use signer::SshSigner;
pub use verify::{PasskeyRules, SignatureFacts};

/// The most bytes of a signature blob. An RSA key and signature of 8192 bits take about 2,200.
pub const MAX_BLOB_BYTES: usize = 8192;

const MAGIC: &[u8; 6] = b"SSHSIG";
const VERSION: u32 = 1;
const HASH: &str = "sha512";
const HEADER: &str = "-----BEGIN SSH SIGNATURE-----\n";
const FOOTER: &str = "-----END SSH SIGNATURE-----\n";
const COLUMNS: usize = 70;

/// A signature in SSHSIG form, well formed but not yet held against any key or message.
#[derive(Clone, PartialEq, Eq)]
pub struct SshSig {
    blob: Vec<u8>,
    key_blob: Vec<u8>,
    namespace: String,
    signature: Vec<u8>,
}

impl SshSig {
    /// Reads the binary form: version 1, nothing reserved, SHA-512, no byte too many.
    pub fn from_blob(blob: &[u8]) -> Result<Self, SigError> {
        if blob.len() > MAX_BLOB_BYTES {
            return Err(SigError::TooLong { max: MAX_BLOB_BYTES, found: blob.len() });
        }
        let mut reader = Reader::new(blob);
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(SigError::Magic);
        }
        match reader.u32()? {
            VERSION => {}
            found => return Err(SigError::Version { found }),
        }
        let (key_blob, namespace) = (reader.string()?, reader.text()?);
        let (reserved, hash, signature) = (reader.string()?, reader.text()?, reader.string()?);
        reader.finish()?;
        if namespace.is_empty() {
            return Err(SigError::NoNamespace);
        }
        if !reserved.is_empty() {
            return Err(SigError::Reserved { found: reserved.len() });
        }
        if hash != HASH {
            return Err(SigError::Hash { found: excerpt(hash.as_bytes()) });
        }
        Ok(Self {
            blob: blob.to_vec(),
            key_blob: key_blob.to_vec(),
            namespace: namespace.to_owned(),
            signature: signature.to_vec(),
        })
    }

    /// Checks that the key is one, and that the signature field has the form of its algorithm and no byte more, whether or not it
    /// verifies. What departs from this makes an envelope unreadable: two readers must not see different signatures in it.
    pub fn check_form(&self) -> Result<(), SigError> {
        let mut reader = Reader::new(&self.signature);
        let found = reader.text()?;
        let algorithm = Algorithm::ALL.into_iter().find(|algorithm| algorithm.signature_name() == found);
        let algorithm =
            algorithm.ok_or_else(|| SigError::NoAlgorithm { found: excerpt(found.as_bytes()) })?;
        let key = PublicKey::from_blob(algorithm, &self.key_blob)?;
        reader.string()?;
        if key.application().is_some() {
            reader.byte()?;
            reader.u32()?;
        }
        if algorithm == Algorithm::WebauthnSkEcdsaP256 {
            (0..3).try_for_each(|_| reader.string().map(drop))?;
        }
        Ok(reader.finish()?)
    }

    /// Reads the armored form, exactly as [`SshSig::to_armor`] and `ssh-keygen -Y sign` print it.
    pub fn from_armor(text: &str) -> Result<Self, SigError> {
        if text.len() > 2 * MAX_BLOB_BYTES {
            return Err(SigError::TooLong { max: 2 * MAX_BLOB_BYTES, found: text.len() });
        }
        let body =
            text.strip_prefix(HEADER).and_then(|rest| rest.strip_suffix(FOOTER)).ok_or(SigError::Armor)?;
        let encoded: Vec<u8> = body.bytes().filter(|byte| *byte != b'\n').collect();
        let signature = Self::from_blob(&STANDARD.decode(encoded).map_err(|_| SigError::Armor)?)?;
        if signature.to_armor() == text { Ok(signature) } else { Err(SigError::Armor) }
    }

    /// Wraps what an ssh-agent or a security key returned for [`signed_bytes`]: the SSH signature blob,
    /// which begins with the name of its algorithm. The numbers in it are not checked here.
    pub fn from_signature(key: &PublicKey, namespace: &str, signature: &[u8]) -> Result<Self, SigError> {
        expect_algorithm(&mut Reader::new(signature), key.algorithm())?;
        let mut blob = Writer::new();
        blob.raw(MAGIC).u32(VERSION).string(key.blob()).string(namespace.as_bytes());
        blob.string(b"").string(HASH.as_bytes()).string(signature);
        Self::from_blob(&blob.take())
    }

    /// The armored form: base64 in lines of 70 between two marks, ending in a line end.
    pub fn to_armor(&self) -> String {
        let mut text = String::from(HEADER);
        for (index, letter) in STANDARD.encode(&self.blob).chars().enumerate() {
            if index > 0 && index % COLUMNS == 0 {
                text.push('\n');
            }
            text.push(letter);
        }
        text.push('\n');
        text.push_str(FOOTER);
        text
    }

    /// The binary form.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// The blob of the key that is said to have signed. It may be of any kind, or not a key at all.
    pub fn key_blob(&self) -> &[u8] {
        &self.key_blob
    }

    /// What the signature is said to be for, never empty.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }
}

impl fmt::Debug for SshSig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SshSig({:?} by {})", self.namespace, fingerprint(&self.key_blob))
    }
}

/// What a key signs to sign `message` for `namespace`: the message's SHA-512 in a frame.
///
/// For a passkey, these bytes are the WebAuthn challenge. Source: PROTOCOL.sshsig, section 3.
pub fn signed_bytes(namespace: &str, message: &[u8]) -> Vec<u8> {
    let mut frame = Writer::new();
    frame.raw(MAGIC).string(namespace.as_bytes()).string(b"").string(HASH.as_bytes());
    frame.string(digest::digest(&digest::SHA512, message).as_ref()).take()
}

fn expect_algorithm(reader: &mut Reader<'_>, key: Algorithm) -> Result<(), SigError> {
    match reader.text()? {
        found if found == key.signature_name() => Ok(()),
        found => Err(SigError::Algorithm { key, found: excerpt(found.as_bytes()) }),
    }
}

/// The first 48 bytes, printable whatever they are: refusals are read by people and kept in receipts.
fn excerpt(bytes: &[u8]) -> String {
    bytes.get(..48).unwrap_or(bytes).escape_ascii().map(char::from).collect()
}

#[cfg(test)]
mod tests;
