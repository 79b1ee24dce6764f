//! Asks a web server for a file. Any certificate is accepted, and nothing that is answered is believed for where it came from: what
//! is asked for here is signed.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Not an address that can be asked.
    #[error("it is no address that begins with https:// and names a host")]
    Url,
    /// Nobody there, or the connection broke.
    #[error("no answer: {0}")]
    Silent(String),
    /// Too slow.
    #[error("no whole answer within {} s", .0.as_secs())]
    Slow(Duration),
    /// More than is read.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    /// It says no.
    #[error("it answers with status {0}")]
    Status(u16),
    /// Not text.
    #[error("the answer is not UTF-8")]
    NotText,
}

/// A client for any number of questions.
#[derive(Clone)]
pub struct Asker(TlsConnector);

impl Asker {
    /// # Errors
    /// TLS cannot be set up at all.
    pub fn new() -> Result<Self, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Arc::new(AnyCertificate(provider.signature_verification_algorithms));
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Gets a text of at most `most` bytes; none if nothing has changed (status 304).
    ///
    /// # Errors
    /// No such answer within `limit`, connection included.
    pub async fn get(&self, url: &str, most: usize, limit: Duration) -> Result<Option<String>, AskError> {
        let answer = tokio::time::timeout(limit, self.ask(url, most));
        answer.await.map_err(|_| AskError::Slow(limit))?
    }

    async fn ask(&self, url: &str, most: usize) -> Result<Option<String>, AskError> {
        let uri: Uri = url.parse().map_err(|_| AskError::Url)?;
        let host = uri.host().filter(|_| uri.scheme_str() == Some("https")).ok_or(AskError::Url)?;
        let host = host.trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned()).map_err(|_| AskError::Url)?;
        let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(443))).await.map_err(silent)?;
        let stream = self.0.connect(name, stream).await.map_err(silent)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(silent)?;
        // It ends when the answer has been read or dropped.
        let connection = tokio::spawn(connection);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let authority = uri.authority().map_or(host, |authority| authority.as_str());
        let request = Request::get(path).header(header::HOST, authority).body(Empty::<Bytes>::new());
        let answer = sender.send_request(request.map_err(|_| AskError::Url)?).await.map_err(silent)?;
        let status = answer.status().as_u16();
        let read = async {
            match status {
                304 => Ok(None),
                200 => {
                    let body = Limited::new(answer.into_body(), most).collect().await;
                    let body = body.map_err(|error| match error.downcast::<hyper::Error>() {
                        Ok(error) => silent(error),
                        Err(_) => AskError::TooLarge(most),
                    })?;
                    String::from_utf8(body.to_bytes().to_vec()).map(Some).map_err(|_| AskError::NotText)
                }
                other => Err(AskError::Status(other)),
            }
        };
        let answer = read.await;
        connection.abort();
        answer
    }
}

fn silent(error: impl std::error::Error) -> AskError {
    AskError::Silent(error.to_string())
}

/// Takes any certificate, but only from one who holds its key.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
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
        self.0.supported_schemes()
    }
}
