//! Requests to servers and beacons, a connection each. Who answers proves nothing by TLS here, as in life.

use std::net::SocketAddr;
use std::sync::Arc;

use countersign_wire::http::Problem;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Who asks, and whom.
#[derive(Clone, Debug)]
pub struct Http {
    /// The server or beacon.
    pub address: SocketAddr,
    /// The token it is asked with; beacons ask for none.
    pub token: String,
}

impl Http {
    /// Any request: the status and the body of the answer.
    ///
    /// # Panics
    /// Nobody answers.
    pub async fn ask(&self, method: &str, path: &str, body: String) -> (u16, String) {
        let answered = self.try_ask(method, path, body).await;
        answered.unwrap_or_else(|why| panic!("{method} {path} at {}: {why}", self.address))
    }

    /// The same of somebody who may go away in the middle of it.
    ///
    /// # Errors
    /// Nobody answers, or not to the end.
    pub async fn try_ask(&self, method: &str, path: &str, body: String) -> Result<(u16, String), BoxError> {
        let (status, bytes) = self.fetch(method, path, body).await?;
        Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The same, and the body is bytes.
    ///
    /// # Errors
    /// Nobody answers, or not to the end.
    pub async fn fetch(&self, method: &str, path: &str, body: String) -> Result<(u16, Bytes), BoxError> {
        let answer = self.whole(method, path, body).await?;
        Ok((answer.status().as_u16(), answer.into_body()))
    }

    /// The same with everything that stands above the body.
    ///
    /// # Errors
    /// Nobody answers, or not to the end.
    pub async fn whole(&self, method: &str, path: &str, body: String) -> Result<Response<Bytes>, BoxError> {
        let tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::from(self.address.ip());
        let stream = TlsConnector::from(Arc::new(client())).connect(name, tcp).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        let request = request
            .header("content-type", if body.starts_with('{') { "application/json" } else { "text/plain" })
            .body(Full::<Bytes>::from(body))?;
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        connection.abort();
        Ok(Response::from_parts(head, body))
    }

    /// GET of a JSON body.
    ///
    /// # Panics
    /// The answer is another.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        read(self.ask("GET", path, String::new()).await)
            .unwrap_or_else(|problem| panic!("{path}: {problem:?}"))
    }

    /// POST of a JSON body.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Problem> {
        read(self.ask("POST", path, serde_json::to_string(body).unwrap()).await)
    }
}

fn read<T: DeserializeOwned>((status, body): (u16, String)) -> Result<T, Problem> {
    if (200..300).contains(&status) { Ok(parse(&body)) } else { Err(parse(&body)) }
}

fn parse<T: DeserializeOwned>(body: &str) -> T {
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn client() -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let config = config.unwrap().dangerous();
    let config = config.with_custom_certificate_verifier(Arc::new(AnyServer(provider)));
    let mut config = config.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// Believes that any server holds the key it shows: what a server says proves itself.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
