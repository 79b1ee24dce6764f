//! A statement with its signatures, and with the proof that it is logged, as one text that people can read.
//!
//! The same text travels over HTTP, lies on a USB stick, in a database and in an evidence bundle: the statement's
//! exact bytes, then each signature in OpenSSH's armor, then the `tlog-proof`.
//!
//! Source: docs/spec/2-signatures.md, "Envelope".

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::checkpoint::{Proof, ReadError};
use crate::ids::{OrgId, Sha256};
use crate::sshsig::{SigError, SshSig};
use crate::statement::Kind;

/// How many signatures a statement may carry.
pub const MAX_SIGNATURES: usize = 32;
/// How many bytes the signatures of a halt may have together. One is enough, anybody may bring it to everybody, and all keep it.
pub const MAX_HALT_SIGNATURE_BYTES: usize = 8_192;

/// A statement and the signatures people put under it. Nothing in it has been checked but its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    statement: String,
    signatures: Vec<SshSig>,
}

/// A signed statement with the proof that it stands in a log. The proof has not been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The statement.
    pub signed: Signed,
    /// Where it stands.
    pub proof: Proof,
}

/// Why a text is no envelope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// No line `}` ends a statement.
    #[error("no line `}}` ends a statement")]
    NoStatement,
    /// A signature that cannot be read.
    #[error("signature {number}: {error}")]
    Signature {
        /// Counted from 1.
        number: usize,
        /// What is wrong with it.
        error: SigError,
    },
    /// Signatures not ascending by the hash of their key, or two by one key.
    #[error("signature {0}: signatures must ascend by the hash of their key, one for each key")]
    Order(usize),
    /// Signatures in several namespaces, or in none that is known.
    #[error("signatures in the namespace `{0}`, which is no kind of statement, or not that of the others")]
    Namespace(String),
    /// Too many signatures, or none.
    #[error("{0} signatures, 1 to {MAX_SIGNATURES} are allowed")]
    Signatures(usize),
    /// More signatures than a halt needs.
    #[error("the signatures of a halt have {0} bytes together, {MAX_HALT_SIGNATURE_BYTES} is the most")]
    HaltSignatures(usize),
    /// A proof that cannot be read.
    #[error("proof: {0}")]
    Proof(#[from] ReadError),
    /// Text after the last signature where none belongs, or no proof where one belongs.
    #[error("expected {expected} after the signatures")]
    Tail {
        /// What belongs there.
        expected: &'static str,
    },
}

const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----\n";
const END: &str = "-----END SSH SIGNATURE-----\n";

impl Signed {
    /// Puts `signatures` under `statement`; they are sorted, and of several by one key the first is kept.
    pub fn new(
        statement: String,
        signatures: impl IntoIterator<Item = SshSig>,
    ) -> Result<Self, EnvelopeError> {
        let mut signatures: Vec<SshSig> = signatures.into_iter().collect();
        signatures.sort_by_key(key_hash);
        signatures.dedup_by_key(|signature| key_hash(signature));
        if signatures.is_empty() || signatures.len() > MAX_SIGNATURES {
            return Err(EnvelopeError::Signatures(signatures.len()));
        }
        let signed = Self { statement, signatures };
        let kind = signed.kind_of(0)?;
        for number in 1..signed.signatures.len() {
            if signed.kind_of(number)? != kind {
                return Err(EnvelopeError::Namespace(kind.namespace()));
            }
        }
        let bytes = signed.signatures.iter().map(|signature| signature.blob().len()).sum();
        if kind == Kind::Halt && bytes > MAX_HALT_SIGNATURE_BYTES {
            return Err(EnvelopeError::HaltSignatures(bytes));
        }
        Ok(signed)
    }

    /// The exact bytes that are signed.
    pub fn statement(&self) -> &str {
        &self.statement
    }

    /// The signatures, ascending by the hash of their key.
    pub fn signatures(&self) -> &[SshSig] {
        &self.signatures
    }

    /// The hash by which other statements refer to this one.
    pub fn hash(&self) -> Sha256 {
        Sha256::of(self.statement.as_bytes())
    }

    /// The kind that the signatures' namespace claims.
    pub fn kind(&self) -> Result<Kind, EnvelopeError> {
        self.kind_of(0)
    }

    fn kind_of(&self, number: usize) -> Result<Kind, EnvelopeError> {
        let namespace = self.signatures.get(number).map(SshSig::namespace).unwrap_or_default();
        let kind = namespace.strip_suffix(".v1@countersign").and_then(|word| word.parse().ok());
        kind.ok_or_else(|| EnvelopeError::Namespace(namespace.to_string()))
    }

    /// The statement with the signatures of these keys alone.
    pub(crate) fn by_keys_alone(&self, of: impl Fn(&[u8]) -> bool) -> Self {
        let signatures =
            self.signatures.iter().filter(|signature| of(signature.key_blob())).cloned().collect();
        Self { statement: self.statement.clone(), signatures }
    }

    /// The signatures of both; the statements must be the same.
    pub fn join(&self, other: &Signed) -> Result<Self, EnvelopeError> {
        let both = self.signatures.iter().chain(&other.signatures).cloned();
        Self::new(self.statement.clone(), both)
    }

    /// The log entry for this statement with exactly these signatures.
    pub fn leaf(&self, org: &OrgId) -> Result<String, EnvelopeError> {
        let mut blobs: Vec<u8> = Vec::new();
        for signature in &self.signatures {
            let length = u32::try_from(signature.blob().len()).unwrap_or(u32::MAX);
            blobs.extend_from_slice(&length.to_be_bytes());
            blobs.extend_from_slice(signature.blob());
        }
        Ok(leaf(org, &self.kind()?.to_string(), &self.hash(), &Sha256::of(&blobs)))
    }

    /// Reads the print of a statement and its signatures, and nothing after them.
    pub fn from_text(text: &str) -> Result<Self, EnvelopeError> {
        let (signed, tail) = Self::split(text)?;
        if tail.is_empty() { Ok(signed) } else { Err(EnvelopeError::Tail { expected: "nothing" }) }
    }

    fn split(text: &str) -> Result<(Self, &str), EnvelopeError> {
        let end = text.find("\n}\n").ok_or(EnvelopeError::NoStatement)? + 3;
        let (statement, mut tail) = text.split_at_checked(end).ok_or(EnvelopeError::NoStatement)?;
        let mut signatures = Vec::new();
        while tail.starts_with(BEGIN) && signatures.len() < MAX_SIGNATURES {
            let end = tail.find(END).map_or(tail.len(), |at| at + END.len());
            let (armor, rest) = tail.split_at_checked(end).unwrap_or((tail, ""));
            let number = signatures.len() + 1;
            let well_formed = |signature: SshSig| signature.check_form().map(|()| signature);
            let signature = SshSig::from_armor(armor).and_then(well_formed);
            let signature = signature.map_err(|error| EnvelopeError::Signature { number, error })?;
            if signatures.last().is_some_and(|last| key_hash(last) >= key_hash(&signature)) {
                return Err(EnvelopeError::Order(number));
            }
            signatures.push(signature);
            tail = rest;
        }
        Ok((Self::new(statement.to_string(), signatures)?, tail))
    }
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.statement)?;
        self.signatures.iter().try_for_each(|signature| f.write_str(&signature.to_armor()))
    }
}

impl Logged {
    /// Reads the print of a statement, its signatures and its proof.
    pub fn from_text(text: &str) -> Result<Self, EnvelopeError> {
        let (signed, tail) = Signed::split(text)?;
        if tail.is_empty() {
            return Err(EnvelopeError::Tail { expected: "a proof" });
        }
        Ok(Self { signed, proof: tail.parse()? })
    }
}

impl fmt::Display for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.signed, self.proof)
    }
}

fn key_hash(signature: &SshSig) -> Sha256 {
    Sha256::of(signature.key_blob())
}

/// A log entry, byte by byte.
///
/// Source: docs/spec/4-log.md, "Leaf".
pub fn leaf(org: &OrgId, kind: &str, statement: &Sha256, signatures: &Sha256) -> String {
    alloc::format!("countersign-leaf/v1\n{org}\n{kind}\n{statement}\n{signatures}\n")
}
