//! One HTTPS request on one connection, with an answer of bounded length.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::handshake;
use hyper::{Method, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The longest sentence that is read from an answer that says no, in bytes.
const MOST_WORDS: usize = 500;

/// What is asked.
pub(super) struct Request<'a> {
    method: Method,
    base: &'a str,
    path: String,
    body: Bytes,
    most: usize,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("`{0}` is no address: write https://host:port")]
    Address(String),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("the request cannot be made: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("its answer is longer than {most} bytes, or broke off")]
    Body { most: usize },
    #[error("its answer is no text")]
    NotText,
    #[error("it answered {status}: {words}")]
    Status { status: StatusCode, words: String },
}

impl<'a> Request<'a> {
    pub(super) fn post(base: &'a str, path: String, body: Bytes, most: usize) -> Self {
        Self { method: Method::POST, base, path, body, most }
    }

    pub(super) fn get(base: &'a str, path: String, most: usize) -> Self {
        Self { method: Method::GET, base, path, body: Bytes::new(), most }
    }

    /// Sends it over a connection of its own and reads at most `most` bytes of the answer.
    pub(super) async fn send(self, tls: &Arc<ClientConfig>) -> Result<String, HttpError> {
        let wrong = || HttpError::Address(self.base.to_owned());
        let base: Uri = self.base.parse().map_err(|_| wrong())?;
        let authority = base.authority().filter(|_| base.scheme_str() == Some("https")).ok_or_else(wrong)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|_| wrong())?;
        let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(443))).await?;
        let stream = TlsConnector::from(tls.clone()).connect(name, stream).await?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        let request = hyper::Request::builder()
            .method(self.method)
            .uri(format!("{}{}", base.path().trim_end_matches('/'), self.path))
            .header(header::HOST, authority.as_str())
            .body(Full::new(self.body))?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let most = if status == StatusCode::OK { self.most } else { self.most.min(MOST_WORDS) };
            let body = Limited::new(response.into_body(), most).collect().await;
            let body = body.map_err(|_| HttpError::Body { most })?.to_bytes();
            Ok::<_, HttpError>((status, body))
        };
        tokio::pin!(connection, exchange);
        let (status, body) = tokio::select! {
            answer = &mut exchange => answer,
            ended = &mut connection => {
                ended?;
                // The connection has been read to its end; what it brought is there.
                exchange.await
            }
        }?;
        let text = String::from_utf8(body.into()).map_err(|_| HttpError::NotText)?;
        match status {
            StatusCode::OK => Ok(text),
            status => Err(HttpError::Status { status, words: text.trim().to_owned() }),
        }
    }
}
