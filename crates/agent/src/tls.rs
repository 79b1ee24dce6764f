//! How the agent speaks TLS: who it is, and whom it takes the other end for.
//!
//! TLS is no trust anchor here. Whatever a server or beacon says is judged by its signatures; TLS keeps it from being read
//! or cut by others on the way, shows the server which device is speaking, and pins the server where a policy says so. So a
//! certificate is checked against the pin if there is one, and against nothing else.

use std::sync::{Arc, LazyLock};

use countersign_trust::ids::Sha256;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

/// What stands before an Ed25519 seed in PKCS #8. Source: RFC 8410, section 7.
const PKCS8_ED25519: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Why the device's key makes no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate.
    #[error("no certificate can be made of the device key: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The rest.
    #[error("TLS cannot be set up: {0}")]
    Config(#[from] Error),
}

/// A device's certificate: self-signed, and nothing but a shell around its key.
#[derive(Debug)]
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

impl Identity {
    /// Of the device whose key is made from `seed`.
    ///
    /// # Errors
    /// The key is not taken.
    pub fn new(seed: &[u8; 32]) -> Result<Self, TlsError> {
        let key = PrivatePkcs8KeyDer::from([PKCS8_ED25519.as_slice(), seed].concat());
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ED25519)?;
        let names = vec!["countersign-agent".to_owned()];
        let certificate = CertificateParams::new(names)?.self_signed(&pair)?.der().clone();
        Ok(Self { certificate, key })
    }

    /// How to reach a server: TLS 1.3, as this device, speaking `countersign/1`.
    ///
    /// # Errors
    /// The certificate is not taken.
    pub fn to_server(&self, pin: Option<Sha256>) -> Result<Arc<ClientConfig>, TlsError> {
        let (certificate, key) = (self.certificate.clone(), PrivateKeyDer::Pkcs8(self.key.clone_key()));
        let builder = builder(pin, &[&rustls::version::TLS13])?;
        let mut config = builder.with_client_auth_cert(vec![certificate], key)?;
        config.alpn_protocols = vec![countersign_wire::frame::ALPN.to_vec()];
        // A server gives agents no tickets; room for 256 of them would be kept all the same.
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}

/// How to reach a beacon: as nobody in particular.
///
/// # Errors
/// TLS cannot be set up.
pub fn to_beacon() -> Result<Arc<ClientConfig>, TlsError> {
    Ok(Arc::new(builder(None, rustls::ALL_VERSIONS)?.with_no_client_auth()))
}

fn builder(
    pin: Option<Sha256>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, TlsError> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(ring::default_provider()));
    let provider = PROVIDER.clone();
    let verifier = Arc::new(Pinned { pin, provider: provider.clone() });
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier))
}

/// Takes whoever holds the key of the certificate shown, and the pinned key only, if there is a pin.
#[derive(Debug)]
struct Pinned {
    pin: Option<Sha256>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(expected) = self.pin else { return Ok(ServerCertVerified::assertion()) };
        let read = webpki::EndEntityCert::try_from(certificate);
        let read = read.map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let found = Sha256::of(&read.subject_public_key_info());
        if found == expected {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::General(format!("its certificate's key is {found}, the policy or token pins {expected}")))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
