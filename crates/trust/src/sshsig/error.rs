//! Why a signature is refused.

use alloc::string::String;

use super::{HASH, VERSION};
use crate::key::{Algorithm, KeyError};
use crate::sshwire::WireError;

/// Why bytes are no signature, or not one of this key over this message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigError {
    /// Longer than [`super::MAX_BLOB_BYTES`], or than such a blob's armor.
    #[error("a signature has at most {max} bytes, this one has {found}")]
    TooLong {
        /// The most bytes it may have.
        max: usize,
        /// Bytes it has.
        found: usize,
    },
    /// Not the armor that `ssh-keygen -Y sign` prints, byte for byte.
    #[error("the text is not an armored signature exactly as `ssh-keygen -Y sign` prints it")]
    Armor,
    /// Breaks off, goes on, or holds a malformed number.
    #[error("the signature is malformed: {0}")]
    Wire(#[from] WireError),
    /// Does not begin with `SSHSIG`.
    #[error("a signature begins with `SSHSIG`, this one does not")]
    Magic,
    /// Another version of the format.
    #[error("expected signature version {VERSION}, found {found}")]
    Version {
        /// The version it states.
        found: u32,
    },
    /// By nothing that is a key.
    #[error("signed by no key: {0}")]
    NoKey(#[from] KeyError),
    /// Of no algorithm that counts.
    #[error("a signature of the unknown algorithm `{found}`")]
    NoAlgorithm {
        /// What it states.
        found: String,
    },
    /// The reserved field holds something.
    #[error("expected nothing in the reserved field, found {found} bytes")]
    Reserved {
        /// Bytes in it.
        found: usize,
    },
    /// The message was hashed with something else than SHA-512.
    #[error("expected the hash `{HASH}`, found `{found}`")]
    Hash {
        /// The hash it states.
        found: String,
    },
    /// Made for nothing in particular.
    #[error("the signature's namespace is empty")]
    NoNamespace,
    /// Made for something else.
    #[error("expected a signature for `{expected}`, found one for `{found}`")]
    Namespace {
        /// The namespace asked for.
        expected: String,
        /// The namespace it states.
        found: String,
    },
    /// Made by another key.
    #[error("expected a signature by {expected}, found one by {found}")]
    Key {
        /// Fingerprint of the key asked for.
        expected: String,
        /// Fingerprint of the key it states.
        found: String,
    },
    /// Made by an algorithm that is not the key's.
    #[error("a key of algorithm `{key}` signs with `{}`, this is `{found}`", key.signature_name())]
    Algorithm {
        /// The key's algorithm.
        key: Algorithm,
        /// The algorithm of the signature.
        found: String,
    },
    /// The numbers of the signature have another length than the key's.
    #[error("expected {expected} bytes of signature, found {found}")]
    Length {
        /// What the key's algorithm and size ask for; 32 for each number of an ECDSA signature.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// Made by a security key that nobody touched.
    #[error("nobody touched the security key: its flags {flags:#04x} lack 0x01 (user present)")]
    NotPresent {
        /// What the security key states about the signing.
        flags: u8,
    },
    /// Made by a passkey without PIN or biometrics.
    #[error("the passkey did not verify its user: its flags {flags:#04x} lack 0x04 (user verified)")]
    NotVerified {
        /// What the passkey states about the signing.
        flags: u8,
    },
    /// Made while a key was registered, not while something was signed.
    #[error("the flags {flags:#04x} have 0x40 (attested data), which no signature of a statement has")]
    Attested {
        /// What the security key states about the signing.
        flags: u8,
    },
    /// The extension flag and the extensions contradict each other.
    #[error("the flags {flags:#04x} and {found} bytes of extensions contradict each other (0x80 says some)")]
    Extensions {
        /// What the security key states about the signing.
        flags: u8,
        /// Bytes of extensions.
        found: usize,
    },
    /// Made by a passkey of another relying party.
    #[error("expected a passkey of `{expected}`, this one is of `{found}`")]
    Application {
        /// The rpId the policy names.
        expected: String,
        /// The key's application.
        found: String,
    },
    /// Made on a web page that the policy does not list.
    #[error("the passkey signed on `{found}`, the policy lists {listed}")]
    Origin {
        /// The origin the signature states.
        found: String,
        /// The origins the policy lists, each in backquotes.
        listed: String,
    },
    /// What the browser signed is not this message on this page, or came from a page inside another's.
    #[error("what the browser signed differs at byte {at}: expected `{expected}`, found `{found}`")]
    ClientData {
        /// Where the first difference is.
        at: usize,
        /// What was expected from there on, at most 48 bytes, escaped.
        expected: String,
        /// What stands there, at most 48 bytes, escaped.
        found: String,
    },
    /// The numbers do not fit: another message, another key, or altered.
    #[error("the signature does not fit the message and the key {key}")]
    Mismatch {
        /// Fingerprint of the key.
        key: String,
    },
}
