//! What keys sign with, and the three words each algorithm has.

use core::fmt;

/// What a key signs with: one for each key, so that a signature cannot choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519 held in software, a smart card or an agent.
    Ed25519,
    /// ECDSA on P-256 with SHA-256.
    EcdsaP256,
    /// RSA, PKCS #1 v1.5 with SHA-512.
    Rsa,
    /// Ed25519 in a security key.
    SkEd25519,
    /// ECDSA on P-256 in a security key.
    SkEcdsaP256,
    /// ECDSA on P-256 in a passkey, used through a browser.
    WebauthnSkEcdsaP256,
}

impl Algorithm {
    pub(crate) const ALL: [Self; 6] = [
        Self::Ed25519,
        Self::EcdsaP256,
        Self::Rsa,
        Self::SkEd25519,
        Self::SkEcdsaP256,
        Self::WebauthnSkEcdsaP256,
    ];

    /// The first word of a key's line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ssh-ed25519",
            Self::EcdsaP256 => "ecdsa-sha2-nistp256",
            Self::Rsa => "ssh-rsa",
            Self::SkEd25519 => "sk-ssh-ed25519@openssh.com",
            Self::SkEcdsaP256 => "sk-ecdsa-sha2-nistp256@openssh.com",
            Self::WebauthnSkEcdsaP256 => "webauthn-sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    /// The type named inside the key blob: a passkey's is that of a security key.
    pub fn blob_type(self) -> &'static str {
        match self {
            Self::WebauthnSkEcdsaP256 => Self::SkEcdsaP256.name(),
            other => other.name(),
        }
    }

    /// The algorithm named inside a signature of such a key: for RSA the hash is part of it.
    pub fn signature_name(self) -> &'static str {
        match self {
            Self::Rsa => "rsa-sha2-512",
            other => other.name(),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
