//! Public keys of people and machines as a policy lists them: one line, `<algorithm> <base64 of the key blob>`.
//!
//! Source: RFC 4253 section 6.6, RFC 5656, RFC 8709, OpenSSH PROTOCOL.u2f.

mod algorithm;
mod curve;
mod error;

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use crate::ids::Sha256;
use crate::sshwire::{Reader, Writer};
pub use algorithm::Algorithm;
use curve::Ed25519Fault;
pub use error::KeyError;

/// The fewest and most bits an RSA modulus may have.
pub const RSA_BITS: core::ops::RangeInclusive<usize> = 3072..=8192;

/// The numbers of a key, checked.
#[derive(Clone)]
pub(crate) enum Material {
    /// A point of Ed25519.
    Ed25519([u8; 32]),
    /// An uncompressed point of P-256.
    P256([u8; 65]),
    /// The modulus, big-endian, without leading zeros; the exponent is [`RSA_EXPONENT`].
    Rsa(Vec<u8>),
}

/// 65537, big-endian: the one exponent taken.
pub(crate) const RSA_EXPONENT: [u8; 3] = [1, 0, 1];

/// A public key as a policy lists it. Equal and ordered by algorithm name and blob, byte by byte.
#[derive(Clone)]
pub struct PublicKey {
    algorithm: Algorithm,
    blob: Vec<u8>,
    material: Material,
    application: Option<String>,
}

impl PublicKey {
    /// Reads a key blob, as it stands in an SSH signature or, in base64, in a key file.
    pub fn from_blob(algorithm: Algorithm, blob: &[u8]) -> Result<Self, KeyError> {
        let mut reader = Reader::new(blob);
        expect(&mut reader, algorithm.blob_type())?;
        let material = match algorithm {
            Algorithm::Ed25519 | Algorithm::SkEd25519 => read_ed25519(&mut reader)?,
            Algorithm::Rsa => read_rsa(&mut reader)?,
            Algorithm::EcdsaP256 | Algorithm::SkEcdsaP256 | Algorithm::WebauthnSkEcdsaP256 => {
                expect(&mut reader, "nistp256")?;
                read_p256(&mut reader)?
            }
        };
        let application = match algorithm {
            Algorithm::Ed25519 | Algorithm::EcdsaP256 | Algorithm::Rsa => None,
            Algorithm::SkEd25519 | Algorithm::SkEcdsaP256 | Algorithm::WebauthnSkEcdsaP256 => {
                Some(read_application(&mut reader)?)
            }
        };
        reader.finish()?;
        Ok(Self { algorithm, blob: blob.to_vec(), material, application })
    }

    /// The `ssh-ed25519` key with this point.
    pub fn ed25519(point: &[u8; 32]) -> Result<Self, KeyError> {
        let mut blob = Writer::new();
        blob.string(Algorithm::Ed25519.blob_type().as_bytes()).string(point);
        Self::from_blob(Algorithm::Ed25519, &blob.take())
    }

    /// The passkey with this uncompressed P-256 point, made for the relying party `rp_id`.
    pub fn passkey(point: &[u8; 65], rp_id: &str) -> Result<Self, KeyError> {
        let algorithm = Algorithm::WebauthnSkEcdsaP256;
        let mut blob = Writer::new();
        blob.string(algorithm.blob_type().as_bytes()).string(b"nistp256");
        blob.string(point).string(rp_id.as_bytes());
        Self::from_blob(algorithm, &blob.take())
    }

    /// Reads a line of `id_*.pub`: the key, and the comment after it (empty when there is none).
    pub fn from_openssh(line: &str) -> Result<(Self, &str), KeyError> {
        let line = line.trim_end_matches(['\n', '\r']);
        let mut words = line.splitn(3, ' ');
        let (Some(word), Some(encoded)) = (words.next(), words.next()) else {
            return Err(KeyError::Line { found: excerpt(line) });
        };
        if line.contains(['\n', '\r']) {
            return Err(KeyError::Line { found: excerpt(line) });
        }
        let algorithm = Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == word);
        let algorithm = algorithm.ok_or_else(|| KeyError::Algorithm { found: excerpt(word) })?;
        let blob = STANDARD.decode(encoded).map_err(|_| KeyError::Base64 { algorithm })?;
        Ok((Self::from_blob(algorithm, &blob)?, words.next().unwrap_or_default()))
    }

    /// The same `sk-ecdsa-sha2-nistp256@openssh.com` key, to be used as a passkey.
    pub fn as_passkey(&self) -> Result<Self, KeyError> {
        match self.algorithm {
            Algorithm::SkEcdsaP256 | Algorithm::WebauthnSkEcdsaP256 => {
                Ok(Self { algorithm: Algorithm::WebauthnSkEcdsaP256, ..self.clone() })
            }
            found => Err(KeyError::NotAPasskey { found }),
        }
    }

    /// What the key signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key in SSH wire encoding.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// `SHA256:` and the base64 of the blob's SHA-256 without padding, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.blob)
    }

    /// What a security key was made for: `ssh:` or alike, and for a passkey its rpId.
    pub fn application(&self) -> Option<&str> {
        self.application.as_deref()
    }

    /// The point or modulus alone: equal for one key listed under two algorithms, applications or kinds.
    /// Ed25519: 32 bytes, as a device's key; P-256: 65 bytes, uncompressed; RSA: the modulus, big-endian.
    pub fn numbers(&self) -> &[u8] {
        match &self.material {
            Material::Ed25519(point) => point,
            Material::P256(point) => point,
            Material::Rsa(modulus) => modulus,
        }
    }

    pub(crate) fn material(&self) -> &Material {
        &self.material
    }
}

/// The fingerprint of any key blob, well formed or not.
pub fn fingerprint(blob: &[u8]) -> String {
    let mut text = String::from("SHA256:");
    STANDARD_NO_PAD.encode_string(Sha256::of(blob).0, &mut text);
    text
}

fn excerpt(text: &str) -> String {
    text.escape_default().take(80).collect()
}

fn expect(reader: &mut Reader<'_>, expected: &'static str) -> Result<(), KeyError> {
    match reader.text()? {
        found if found == expected => Ok(()),
        found => Err(KeyError::Type { expected, found: excerpt(found) }),
    }
}

fn read_ed25519(reader: &mut Reader<'_>) -> Result<Material, KeyError> {
    let found = reader.string()?;
    let point: [u8; 32] =
        found.try_into().map_err(|_| KeyError::PointLength { expected: 32, found: found.len() })?;
    curve::check_ed25519(&point).map_err(|fault| match fault {
        Ed25519Fault::NotCanonical => KeyError::NotCanonical,
        Ed25519Fault::SmallOrder => KeyError::SmallOrder,
    })?;
    Ok(Material::Ed25519(point))
}

fn read_p256(reader: &mut Reader<'_>) -> Result<Material, KeyError> {
    let found = reader.string()?;
    let point: [u8; 65] =
        found.try_into().map_err(|_| KeyError::PointLength { expected: 65, found: found.len() })?;
    let mut parts = Reader::new(&point);
    let (form, x, y) = (parts.byte()?, parts.array()?, parts.array()?);
    if form == 4 && curve::is_on_p256(&x, &y) { Ok(Material::P256(point)) } else { Err(KeyError::NotOnCurve) }
}

fn read_rsa(reader: &mut Reader<'_>) -> Result<Material, KeyError> {
    let (exponent, modulus) = (reader.positive()?, reader.positive()?);
    let spare = modulus.first().map_or(0, |byte| byte.leading_zeros());
    let bits = (modulus.len() * 8).saturating_sub(usize::try_from(spare).unwrap_or(0));
    if !RSA_BITS.contains(&bits) {
        return Err(KeyError::RsaBits { found: bits });
    }
    let is_odd = modulus.last().is_some_and(|byte| byte & 1 == 1);
    if exponent != RSA_EXPONENT || !is_odd {
        return Err(KeyError::RsaNumbers);
    }
    Ok(Material::Rsa(modulus.to_vec()))
}

fn read_application(reader: &mut Reader<'_>) -> Result<String, KeyError> {
    let found = reader.text()?;
    if (1..=255).contains(&found.len()) && found.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(found.to_owned())
    } else {
        Err(KeyError::Application { found: excerpt(found) })
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (key, _) = Self::from_openssh(text)?;
        // One print: no comment, not even an empty one, and no line end.
        if key.to_string() == text { Ok(key) } else { Err(KeyError::Line { found: excerpt(text) }) }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm, STANDARD.encode(&self.blob))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for PublicKey {}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.algorithm.name(), &self.blob).cmp(&(other.algorithm.name(), &other.blob))
    }
}

#[cfg(test)]
mod tests;
