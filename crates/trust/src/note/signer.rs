//! Making signatures: the one place in this crate that holds a private key.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use ring::signature::{Ed25519KeyPair, KeyPair};

use super::{
    KeyKind, Note, NoteError, Signature, VerifierKey, VerifierKeyError, check_text, cosigned_message,
};
use crate::ids::excerpt;
use crate::key::KeyError;
use crate::time::Time;

/// A private key under its name. Deterministic: it needs no random number once it has its seed.
pub struct NoteSigner {
    verifier: VerifierKey,
    pair: Ed25519KeyPair,
}

impl NoteSigner {
    /// The key made from 32 secret random bytes.
    pub fn new(name: &str, kind: KeyKind, seed: &[u8; 32]) -> Result<Self, VerifierKeyError> {
        let refused = || VerifierKeyError::Key { name: excerpt(name), reason: KeyError::Private };
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| refused())?;
        let raw = pair.public_key().as_ref().try_into().map_err(|_| refused())?;
        Ok(Self { verifier: VerifierKey::new(name, kind, raw)?, pair })
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs `text` (ending in a newline), with a key of kind [`KeyKind::Ed25519`].
    pub fn sign(&self, text: &str) -> Result<Signature, NoteError> {
        self.needs(KeyKind::Ed25519)?;
        check_text(text)?;
        Ok(self.line(self.pair.sign(text.as_bytes()).as_ref().to_vec()))
    }

    /// Signs `text` and makes it a note.
    pub fn note(&self, text: String) -> Result<Note, NoteError> {
        let signature = self.sign(&text)?;
        Note::new(text, signature)
    }

    /// Says that `text`, a checkpoint's, was the newest seen at `time`; a key of kind [`KeyKind::CosignatureV1`].
    pub fn cosign(&self, text: &str, time: Time) -> Result<Signature, NoteError> {
        self.needs(KeyKind::CosignatureV1)?;
        check_text(text)?;
        if time > Note::MAX_TIME {
            return Err(NoteError::Time { found: time, most: Note::MAX_TIME });
        }
        let signature = self.pair.sign(cosigned_message(time, text).as_bytes());
        Ok(self.line([time.0.to_be_bytes().as_slice(), signature.as_ref()].concat()))
    }

    fn needs(&self, needed: KeyKind) -> Result<(), NoteError> {
        let found = self.verifier.kind();
        let name = || self.verifier.name().to_owned();
        if found == needed { Ok(()) } else { Err(NoteError::Kind { name: name(), found, needed }) }
    }

    fn line(&self, bytes: Vec<u8>) -> Signature {
        Signature { name: self.verifier.name().to_owned(), id: self.verifier.id(), bytes }
    }
}

impl fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NoteSigner").field(&self.verifier).finish()
    }
}
