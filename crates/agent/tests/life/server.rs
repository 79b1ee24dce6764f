//! The other end of the wires: a TLS listener that speaks frames, and one that answers as four beacons.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign_trust::delivery::{Delivery, News, write_sequence};
use countersign_trust::ids::Sha256;
use countersign_trust::receipt::Receipt;
use countersign_wire::frame::{ALPN, Decoder, MOST_FROM_AGENT, encode};
use countersign_wire::message::{FromAgent, FromServer, from_agent, from_server};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::organization::{Organization, note_key};

/// Longer than anything here may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A server that does what the test says.
pub struct Server {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    pub address: String,
    /// The hash of its certificate's public key.
    pub pin: Sha256,
}

/// One agent's connection.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    decoder: Decoder,
    heard: VecDeque<from_agent::What>,
}

impl Server {
    pub async fn listen() -> Self {
        let pair = rcgen::KeyPair::generate().unwrap();
        let pin = Sha256::of(&rcgen::PublicKeyData::subject_public_key_info(&pair));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(Arc::new(AnyDevice));
        let acceptor = acceptor(config, &pair, &[ALPN]);
        Self { listener, acceptor, address, pin }
    }

    pub async fn accept(&self) -> Connection {
        let (stream, _) = timeout(PATIENCE, self.listener.accept()).await.expect("an agent in time").unwrap();
        let stream = self.acceptor.accept(stream).await.unwrap();
        Connection { stream, decoder: Decoder::new(MOST_FROM_AGENT), heard: VecDeque::new() }
    }

    /// The error of an agent that does not like this server.
    pub async fn turned_down(&self) -> std::io::Error {
        let (stream, _) = timeout(PATIENCE, self.listener.accept()).await.expect("an agent in time").unwrap();
        match self.acceptor.accept(stream).await {
            Err(error) => error,
            // In TLS 1.3 the server may be done before it hears what the agent thinks of it.
            Ok(mut stream) => stream.read_u8().await.unwrap_err(),
        }
    }
}

impl Connection {
    /// The certificate that the agent showed.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    }

    pub fn protocol(&self) -> Option<Vec<u8>> {
        self.stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec)
    }

    pub async fn send(&mut self, what: from_server::What) {
        self.send_bytes(&encode(&FromServer { what: Some(what) })).await;
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    pub async fn deliver(&mut self, delivery: &Delivery) {
        self.send(from_server::What::Delivery(delivery.into())).await;
    }

    pub async fn bring(&mut self, news: &[News]) {
        let envelopes = news.iter().map(ToString::to_string).collect();
        let texts = countersign_wire::message::NewsTexts { envelopes };
        self.send(from_server::What::News(texts)).await;
    }

    /// The next message, or none if the agent ended the connection.
    pub async fn next(&mut self) -> Option<from_agent::What> {
        if let Some(what) = self.heard.pop_front() {
            return Some(what);
        }
        loop {
            if let Some(message) = self.decoder.next_message::<FromAgent>().unwrap() {
                return Some(message.what.unwrap());
            }
            let mut piece = vec![0; 4096];
            let read = timeout(PATIENCE, self.stream.read(&mut piece)).await.expect("a message in time");
            match read.unwrap_or(0) {
                0 => return None,
                count => self.decoder.push(&piece[..count]),
            }
        }
    }

    /// The first message that `wanted` picks; others before it are kept for later.
    pub async fn first<T>(&mut self, wanted: impl Fn(&from_agent::What) -> Option<T>) -> T {
        let mut others = VecDeque::new();
        loop {
            let what = self.next().await.expect("the connection stands");
            if let Some(found) = wanted(&what) {
                others.append(&mut self.heard);
                self.heard = others;
                return found;
            }
            others.push_back(what);
        }
    }

    pub async fn challenge(&mut self) -> [u8; 32] {
        let is_one = |what: &from_agent::What| match what {
            from_agent::What::Challenge(challenge) => challenge.random.as_slice().try_into().ok(),
            _ => None,
        };
        self.first(is_one).await
    }

    pub async fn receipt(&mut self) -> Receipt {
        let is_one = |what: &from_agent::What| match what {
            from_agent::What::Receipt(receipt) => {
                let note: countersign_trust::note::Note = receipt.note.parse().unwrap();
                Some(note.text().parse().unwrap())
            }
            _ => None,
        };
        self.first(is_one).await
    }
}

/// What a beacon is asked over HTTPS, answered for all four of an organization: their addresses differ by path.
pub struct Beacons {
    pub port: u16,
    /// The paths that were asked.
    pub asked: Arc<Mutex<Vec<String>>>,
    /// Those whose news cannot be read.
    pub garbled: Arc<Mutex<BTreeSet<String>>>,
}

impl Beacons {
    pub async fn listen(org: Arc<Mutex<Option<Organization>>>) -> Self {
        let pair = rcgen::KeyPair::generate().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth();
        let acceptor = acceptor(config, &pair, &[]);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        let garbled = Arc::new(Mutex::new(BTreeSet::new()));
        let garbles: Arc<Mutex<BTreeSet<String>>> = garbled.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, org, seen, garbles) =
                    (acceptor.clone(), org.clone(), seen.clone(), garbles.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| async {
                        let path = request.uri().to_string();
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        seen.lock().unwrap().push(path.clone());
                        let mut answer = answer(org.lock().unwrap().as_ref().unwrap(), &path, &body);
                        let garbled =
                            garbles.lock().unwrap().iter().any(|name| path.starts_with(&format!("/{name}/")));
                        if garbled && path.contains("/news") {
                            answer = "no sequence at all".to_owned();
                        }
                        Ok::<_, Infallible>(hyper::Response::new(Full::new(Bytes::from(answer))))
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { port, asked, garbled }
    }
}

/// What the honest beacon named first in `path` answers.
fn answer(org: &Organization, path: &str, body: &[u8]) -> String {
    let (beacon, question) = path[1..].split_once('/').unwrap();
    let prefix = format!("v1/orgs/{}/", org.org);
    match question.strip_prefix(&prefix).unwrap() {
        "clear" => {
            let root = str::from_utf8(body).unwrap().strip_suffix('\n').unwrap().parse().unwrap();
            note_key(beacon).note(org.clear(root).to_string()).unwrap().to_string()
        }
        news => {
            let after = news.strip_prefix("news?after=").unwrap().parse().unwrap();
            write_sequence(&News::since(&org.chain, after))
        }
    }
}

fn acceptor(
    config: rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>,
    pair: &rcgen::KeyPair,
    protocols: &[&[u8]],
) -> TlsAcceptor {
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(pair).unwrap().der().clone();
    let key = PrivateKeyDer::Pkcs8(pair.serialize_der().into());
    let mut config = config.with_single_cert(vec![certificate], key).unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config).into()
}

/// Asks for a certificate and takes any: the test looks at it afterwards.
#[derive(Debug)]
struct AnyDevice;

impl ClientCertVerifier for AnyDevice {
    fn root_hint_subjects(&self) -> &[rustls::DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        unreachable!("TLS 1.3 only")
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
