//! A web server of static files, as plain as there is: it knows nothing of feeds, holds no connection, and can be told to misbehave.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "for tests of several crates, not all of which use every part"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What is answered at a path.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A file.
    File(Vec<u8>),
    /// A status without a body.
    Status(u16),
    /// Bytes without end.
    Endless,
}

/// A web server; it ends with its runtime.
#[derive(Clone, Debug)]
pub struct StaticFiles {
    /// Where it is.
    pub address: SocketAddr,
    files: Arc<Mutex<BTreeMap<String, Reply>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl StaticFiles {
    /// One with the certificate and key in `pem`, and no file yet.
    ///
    /// # Panics
    /// There is no port, or `pem` is none.
    pub async fn start(pem: &str) -> Self {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let this = Self { address, files: Arc::default(), asked: Arc::default() };
        let (served, tls) = (this.clone(), TlsAcceptor::from(Arc::new(config)));
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (served, tls) = (served.clone(), tls.clone());
                tokio::spawn(async move { served.answer(stream, tls).await });
            }
        });
        this
    }

    /// Its address as a URL.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// From here on this is answered at `path`.
    pub fn put(&self, path: &str, reply: Reply) {
        self.files.lock().unwrap().insert(path.to_owned(), reply);
    }

    /// The same for a file.
    pub fn file(&self, path: &str, text: impl ToString) {
        self.put(path, Reply::File(text.to_string().into_bytes()));
    }

    /// How often `path` was asked for, whatever stood behind a question mark.
    pub fn asked(&self, path: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == path).count()
    }

    /// One request a connection. Who goes away in the middle is no matter of ours.
    async fn answer(&self, stream: TcpStream, tls: TlsAcceptor) -> Option<()> {
        let mut stream = tls.accept(stream).await.ok()?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1)?.split('?').next()?.to_owned();
        let reply = self.files.lock().unwrap().get(&path).cloned().unwrap_or(Reply::Status(404));
        self.asked.lock().unwrap().push(path);
        let (status, body) = match &reply {
            Reply::File(body) => (200, body.as_slice()),
            Reply::Status(status) => (*status, [].as_slice()),
            Reply::Endless => (200, [].as_slice()),
        };
        let length = match reply {
            Reply::Endless => "transfer-encoding: chunked".to_owned(),
            _ => format!("content-length: {}", body.len()),
        };
        let head = format!("HTTP/1.1 {status} Said\r\n{length}\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
        stream.write_all(body).await.ok()?;
        while let Reply::Endless = reply {
            stream.write_all(b"400\r\n").await.ok()?;
            stream.write_all(&[b'x'; 1024]).await.ok()?;
            stream.write_all(b"\r\n").await.ok()?;
        }
        stream.shutdown().await.ok()
    }
}
