//! Signing with a key that is held in memory: the halt key of a machine.

use core::fmt;

use ring::signature::{Ed25519KeyPair, KeyPair};

use super::{SigError, SshSig, signed_bytes};
use crate::key::{Algorithm, KeyError, PublicKey};
use crate::sshwire::Writer;

/// An `ssh-ed25519` key that a program holds itself. People's keys stay in their agents and security keys.
pub struct SshSigner {
    pair: Ed25519KeyPair,
    key: PublicKey,
}

impl SshSigner {
    /// The key pair of a 32-byte Ed25519 seed (RFC 8032's private key).
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Private)?;
        let point = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Private)?;
        Ok(Self { key: PublicKey::ed25519(point)?, pair })
    }

    /// The public half, as a policy lists it.
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// Signs `message` for `namespace`; the same input gives the same signature.
    pub fn sign(&self, namespace: &str, message: &[u8]) -> Result<SshSig, SigError> {
        let numbers = self.pair.sign(&signed_bytes(namespace, message));
        let mut signature = Writer::new();
        signature.string(Algorithm::Ed25519.signature_name().as_bytes()).string(numbers.as_ref());
        SshSig::from_signature(&self.key, namespace, &signature.take())
    }
}

impl fmt::Debug for SshSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SshSigner({})", self.key.fingerprint())
    }
}
