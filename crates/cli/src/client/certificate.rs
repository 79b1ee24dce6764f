//! Which certificates are taken: any, or those of one key. TLS is no authority here.

use std::sync::{Arc, Mutex};

use countersign_trust::ids::Sha256;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};

/// TLS by ring, HTTP/1.1, and certificates as `verifier` takes them.
pub fn client_config(verifier: Arc<AnyCertificate>) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Takes any certificate, or any of one key; that whoever shows it holds its key is still checked.
#[derive(Debug)]
pub struct AnyCertificate {
    pin: Option<Sha256>,
    algorithms: WebPkiSupportedAlgorithms,
    seen: Mutex<Option<Sha256>>,
}

impl AnyCertificate {
    /// Takes any certificate, or those whose key hashes to `pin`.
    pub fn new(pin: Option<Sha256>) -> Self {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        Self { pin, algorithms, seen: Mutex::new(None) }
    }

    /// The hash of the key of the certificate that was shown last.
    pub fn seen(&self) -> Option<Sha256> {
        self.seen.lock().ok().and_then(|seen| *seen)
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let wrong = |_| rustls::Error::from(CertificateError::BadEncoding);
        let certificate = webpki::EndEntityCert::try_from(end_entity).map_err(wrong)?;
        let found = Sha256::of(certificate.subject_public_key_info().as_ref());
        if let Ok(mut seen) = self.seen.lock() {
            *seen = Some(found);
        }
        match self.pin {
            Some(pin) if pin != found => {
                let what = format!("its certificate's key is {found}, the profile pins {pin}");
                Err(rustls::Error::General(what))
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
