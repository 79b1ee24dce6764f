//! Why a key is refused.

use alloc::string::String;

use super::{Algorithm, RSA_BITS};
use crate::sshwire::WireError;

/// Why a text or a blob is no public key that a policy may hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not `<algorithm> <base64>` with one space, and nothing else.
    #[error("expected one line `<algorithm> <base64>`, found `{found}`")]
    Line {
        /// The text, at most its first 80 characters.
        found: String,
    },
    /// An algorithm that this project does not take.
    #[error("`{found}` is no algorithm a key may have here")]
    Algorithm {
        /// The first word, at most its first 80 characters.
        found: String,
    },
    /// The second word is not base64 in its canonical form.
    #[error("the key after `{algorithm}` is not canonical base64")]
    Base64 {
        /// The first word.
        algorithm: Algorithm,
    },
    /// The blob breaks off, goes on, or holds a malformed number.
    #[error("the key blob is malformed: {0}")]
    Wire(#[from] WireError),
    /// The blob is of another type or curve than the line says.
    #[error("the key blob should say `{expected}`, it says `{found}`")]
    Type {
        /// What the algorithm asks for.
        expected: &'static str,
        /// What the blob says, at most its first 80 characters.
        found: String,
    },
    /// A point of the wrong length.
    #[error("a point of this key takes {expected} bytes, it has {found}")]
    PointLength {
        /// 32 for Ed25519, 65 for P-256.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// An Ed25519 key whose y coordinate is not below the prime.
    #[error("the Ed25519 key is not in its canonical encoding")]
    NotCanonical,
    /// An Ed25519 key under which anyone can sign.
    #[error("the Ed25519 key is of small order: anyone could sign under it")]
    SmallOrder,
    /// Not an uncompressed point of P-256.
    #[error("the key is not an uncompressed point of P-256")]
    NotOnCurve,
    /// An RSA modulus of a length that is not taken.
    #[error("the RSA modulus has {found} bits, it takes {} to {}", RSA_BITS.start(), RSA_BITS.end())]
    RsaBits {
        /// Its bits.
        found: usize,
    },
    /// An RSA key whose modulus is even, or whose exponent is not 65537.
    #[error("the RSA key's modulus is even or its exponent is not 65537")]
    RsaNumbers,
    /// The application of a security key or passkey is not 1 to 255 printable ASCII characters.
    #[error("the key's application `{found}` is not 1 to 255 printable ASCII characters without spaces")]
    Application {
        /// The application, escaped, at most its first 80 characters.
        found: String,
    },
    /// Only `sk-ecdsa-sha2-nistp256@openssh.com` keys can be passkeys.
    #[error("a key of algorithm `{found}` cannot be a passkey, only one of `{}` can", Algorithm::SkEcdsaP256)]
    NotAPasskey {
        /// The key's algorithm.
        found: Algorithm,
    },
    /// The cryptographic library does not take the private key.
    #[error("the private key is not taken")]
    Private,
}
