//! One connection as an agent makes it: real TLS with the device's key, real frames.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use countersign_trust::note::NoteSigner;
use countersign_wire::frame::{ALPN, Decoder, MOST_FROM_SERVER, encode};
use countersign_wire::message::{FromAgent, FromServer, from_agent, from_server};
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to the gate.
pub struct Wire {
    stream: TlsStream<TcpStream>,
    decoder: Decoder,
}

impl Wire {
    /// Connects as the device with this seed.
    pub async fn connect(server: SocketAddr, seed: &[u8; 32]) -> Self {
        Self::connect_from([127, 0, 0, 1], server, seed).await
    }

    /// The same, from another address of this machine.
    pub async fn connect_from(from: [u8; 4], server: SocketAddr, seed: &[u8; 32]) -> Self {
        let tls = client(Some(seed), ALPN);
        let stream = connect_over(tcp_from(from, server).await, server, tls).await;
        Self { stream, decoder: Decoder::new(MOST_FROM_SERVER) }
    }

    /// Sends a message.
    pub async fn send(&mut self, what: from_agent::What) {
        self.send_bytes(&encode(&FromAgent { what: Some(what) })).await;
    }

    /// Sends any bytes; that the server may have closed is for the reader to see.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// The next message; none once the server has closed.
    pub async fn next(&mut self) -> Option<from_server::What> {
        tokio::time::timeout(PATIENCE, self.read()).await.expect("the server says nothing")
    }

    /// As [`Wire::next`], for as long as it takes.
    pub async fn read(&mut self) -> Option<from_server::What> {
        let mut piece = [0; 16_384];
        loop {
            if let Some(message) = self.decoder.next_message::<FromServer>().unwrap() {
                return message.what;
            }
            let length = self.stream.read(&mut piece).await.unwrap_or(0);
            if length == 0 {
                return None;
            }
            self.decoder.push(&piece[..length]);
        }
    }

    /// The sentence with which the server closes; what it says before is passed over.
    pub async fn sorry(&mut self) -> String {
        loop {
            match self.next().await {
                Some(from_server::What::Sorry(sorry)) => {
                    assert_eq!(self.next().await, None, "it closes after its last word");
                    return sorry.why;
                }
                Some(_) => {}
                None => return "closed without a word".to_owned(),
            }
        }
    }
}

/// A TCP connection from an address of this machine.
pub async fn tcp_from(from: [u8; 4], server: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    socket.connect(server).await.unwrap()
}

/// A TLS connection.
pub async fn connect(server: SocketAddr, tls: ClientConfig) -> TlsStream<TcpStream> {
    connect_over(TcpStream::connect(server).await.unwrap(), server, tls).await
}

async fn connect_over(tcp: TcpStream, server: SocketAddr, tls: ClientConfig) -> TlsStream<TcpStream> {
    tcp.set_nodelay(true).unwrap();
    let name = ServerName::from(server.ip());
    TlsConnector::from(Arc::new(tls)).connect(name, tcp).await.unwrap()
}

/// A client of this protocol, with a certificate over the key of this seed if there is one.
pub fn client(seed: Option<&[u8; 32]>, protocol: &[u8]) -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider)));
    let mut config = match seed {
        Some(seed) => {
            let (certificate, key) = certificate(seed);
            config.with_client_auth_cert(vec![certificate], key).unwrap()
        }
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    config
}

fn certificate(seed: &[u8; 32]) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    // RFC 8410: a PKCS#8 frame around an Ed25519 seed.
    let frame = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let key = PrivatePkcs8KeyDer::from([frame.as_slice(), seed].concat());
    let pair = rcgen::KeyPair::try_from(&key).unwrap();
    let parameters = rcgen::CertificateParams::new(vec!["device".to_owned()]).unwrap();
    let certificate = parameters.self_signed(&pair).unwrap();
    (certificate.der().clone(), key.into())
}

/// Which device a signer is: for tests that look for one.
pub fn id_of(signer: &NoteSigner) -> String {
    signer.verifier().name().to_owned()
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
