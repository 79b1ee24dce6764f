//! TLS: the server's own certificate, and what is asked of those who connect.
//!
//! Agents say `countersign/1` in ALPN and must show a certificate whose key is the device's Ed25519 key; who issued it
//! does not matter. Everybody else gets HTTP and is not asked for a certificate at all.

use std::sync::Arc;

use countersign_trust::ids::Sha256;
use countersign_wire::frame;
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ParsedCertificate};
use rustls::{
    DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid, version::TLS13,
};

/// HTTP/2 in ALPN.
pub const HTTP_2: &[u8] = b"h2";

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It could not be made.
    #[error("the certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The file holds something else.
    #[error(
        "the file holds no certificate and key: {0}; remove it and a new one is made, whose pin agents must learn"
    )]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// TLS refuses it.
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
}

/// TLS as the server speaks it.
#[derive(Clone)]
pub struct Tls {
    agents: Arc<ServerConfig>,
    web: Arc<ServerConfig>,
    /// SHA-256 of the certificate's public key (its SubjectPublicKeyInfo).
    pub pin: Sha256,
}

/// A new certificate and its key as one PEM text; `host` is what the server is called.
///
/// # Errors
/// The name cannot stand in a certificate.
pub fn make(host: &str) -> Result<String, TlsError> {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let certificate = rcgen::CertificateParams::new(vec![host.to_owned()])?.self_signed(&key)?;
    Ok(format!("{}{}", certificate.pem(), key.serialize_pem()))
}

impl Tls {
    /// TLS with the certificate and key of a PEM text.
    ///
    /// # Errors
    /// It holds none.
    pub fn new(pem: &[u8]) -> Result<Self, TlsError> {
        let certificate = CertificateDer::from_pem_slice(pem)?;
        let key = PrivateKeyDer::from_pem_slice(pem)?;
        let pin = Sha256::of(&ParsedCertificate::try_from(&certificate)?.subject_public_key_info());
        let provider = Arc::new(ring::default_provider());
        let any = Arc::new(AnyDevice(provider.signature_verification_algorithms));
        let builder =
            || ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&TLS13]);
        let mut agents = builder()?
            .with_client_cert_verifier(any)
            .with_single_cert(vec![certificate.clone()], key.clone_key())?;
        agents.alpn_protocols = vec![frame::ALPN.to_vec()];
        // A ticket would let a connection go on without showing the device's key again.
        agents.send_tls13_tickets = 0;
        let mut web = builder()?.with_no_client_auth().with_single_cert(vec![certificate], key)?;
        web.alpn_protocols = vec![HTTP_2.to_vec(), b"http/1.1".to_vec()];
        Ok(Self { agents: Arc::new(agents), web: Arc::new(web), pin })
    }

    /// What agents are answered with.
    pub fn for_agents(&self) -> Arc<ServerConfig> {
        self.agents.clone()
    }

    /// How to answer: true and the agents' way if the client asks for it.
    pub fn for_client(&self, hello: &ClientHello<'_>) -> (bool, Arc<ServerConfig>) {
        let agent = hello.alpn().is_some_and(|mut names| names.any(|name| name == frame::ALPN));
        (agent, if agent { self.agents.clone() } else { self.web.clone() })
    }
}

/// The device's key in a certificate that its holder has shown to hold.
pub fn device_key(certificate: &CertificateDer<'_>) -> Option<[u8; 32]> {
    /// The DER of an Ed25519 SubjectPublicKeyInfo before the key. Source: RFC 8410, section 4.
    const ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let spki = ParsedCertificate::try_from(certificate).ok()?.subject_public_key_info();
    spki.strip_prefix(ED25519.as_slice())?.try_into().ok()
}

/// Takes any certificate with an Ed25519 key, from one who holds that key.
#[derive(Debug)]
struct AnyDevice(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for AnyDevice {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        match device_key(certificate) {
            Some(_) => Ok(ClientCertVerified::assertion()),
            None => Err(rustls::Error::General("the certificate's key is no Ed25519 key".to_owned())),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_reads_back_under_the_same_pin() {
        let pem = make("countersign.example.com").unwrap();
        assert_eq!(Tls::new(pem.as_bytes()).unwrap().pin, Tls::new(pem.as_bytes()).unwrap().pin);
        assert_ne!(
            Tls::new(pem.as_bytes()).unwrap().pin,
            Tls::new(make("a").unwrap().as_bytes()).unwrap().pin
        );
    }

    #[test]
    fn a_devices_key_is_read_from_its_certificate_and_no_other_kind_is() {
        let of = |algorithm| {
            let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
            let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
            (device_key(certificate.der()), key.public_key_raw().to_vec())
        };
        let (found, raw) = of(&rcgen::PKCS_ED25519);
        assert_eq!(found.unwrap().to_vec(), raw);
        assert_eq!(of(&rcgen::PKCS_ECDSA_P256_SHA256).0, None);
    }

    #[test]
    fn a_file_that_is_no_certificate_is_refused_with_a_sentence() {
        let error = Tls::new(b"hello").err().unwrap().to_string();
        assert!(error.contains("holds no certificate"), "{error}");
    }
}
