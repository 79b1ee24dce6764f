//! HTTPS to servers, beacons and witnesses. TLS is no authority here: answers prove themselves.
//!
//! Any certificate is taken; where the key of the server's certificate is known it must be that one, because the API
//! token goes there. Calls block; each has a time limit.

mod certificate;

use std::fmt::Display;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use countersign_trust::ids::Sha256;
use countersign_wire::http::{Page, Problem};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, Response, StatusCode, header};
use rustls::pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

use crate::output::plain;
use certificate::{AnyCertificate, client_config};

/// The most bytes of an answer.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// The most characters of a server's sentence that are shown.
const MOST_SAID: usize = 600;
const CONNECT: Duration = Duration::from_secs(5);

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Not a URL this program can call.
    #[error("`{0}` is no address; write `https://host:port`")]
    Url(String),
    /// Nobody answered.
    #[error("cannot reach {url}: {reason}")]
    Unreachable {
        /// Whom.
        url: String,
        /// Why.
        reason: String,
    },
    /// The answer was an error.
    #[error("{url} says: {detail} ({status})")]
    Status {
        /// Who.
        url: String,
        /// A stable word, or nothing.
        code: String,
        /// The HTTP status.
        status: StatusCode,
        /// A sentence.
        detail: String,
    },
    /// The answer cannot be read.
    #[error("{url} sent an answer that cannot be read: {reason}")]
    Answer {
        /// Who.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl ClientError {
    /// Whether nobody was there.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// Calls to one place.
pub struct Client {
    runtime: Runtime,
    tls: TlsConnector,
    verifier: Arc<AnyCertificate>,
    url: Url,
    token: Option<String>,
    limit: Duration,
    open: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

#[derive(Clone, Debug)]
struct Url {
    host: String,
    port: u16,
    prefix: String,
}

impl Url {
    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("https://")?.trim_end_matches('/');
        let (authority, prefix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, 443),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let plain =
            !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:_".contains(&b));
        plain.then(|| Self { host, port, prefix: prefix.to_owned() })
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "https://{}{}", self.authority(), self.prefix)
    }
}

/// The host of a URL or of `host:port`, for comparing.
pub fn host_of(address: &str) -> String {
    let url = if address.starts_with("https://") { address.to_owned() } else { format!("https://{address}") };
    Url::parse(&url).map(|url| url.host).unwrap_or_else(|| address.to_owned())
}

impl Client {
    /// A client of `url`; `pin` is what the certificate's key must hash to, `token` goes with every call.
    pub fn new(url: &str, pin: Option<Sha256>, token: Option<String>) -> anyhow::Result<Self> {
        let parsed = Url::parse(url).ok_or_else(|| ClientError::Url(url.to_owned()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let verifier = Arc::new(AnyCertificate::new(pin));
        let config = client_config(verifier.clone()).context("TLS cannot be set up")?;
        let (tls, limit) = (TlsConnector::from(Arc::new(config)), Duration::from_secs(60));
        Ok(Self { runtime, tls, verifier, url: parsed, token, limit, open: Mutex::new(None) })
    }

    /// The same with another limit for each call.
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The hash of the key of the certificate that was shown last.
    pub fn seen_pin(&self) -> Option<Sha256> {
        self.verifier.seen()
    }

    /// GET, for text.
    pub fn get_text(&self, path: &str) -> Result<String, ClientError> {
        self.call(Method::GET, path, "", Bytes::new()).and_then(|bytes| self.text(bytes))
    }

    /// GET, for bytes.
    pub fn get_bytes(&self, path: &str) -> Result<Bytes, ClientError> {
        self.call(Method::GET, path, "", Bytes::new())
    }

    /// GET, for JSON.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(Method::GET, path, "", Bytes::new()).and_then(|bytes| self.json(&bytes))
    }

    /// GET, all pages of a list, at most `most` items.
    pub fn pages<T: DeserializeOwned>(&self, path: &str, most: usize) -> Result<Vec<T>, ClientError> {
        self.pages_from(path, None, most, |_| true)
    }

    /// The same from behind `after` on, up to the page whose last item is no longer `wanted`.
    pub fn pages_from<T: DeserializeOwned>(
        &self,
        path: &str,
        mut after: Option<String>,
        most: usize,
        wanted: impl Fn(&T) -> bool,
    ) -> Result<Vec<T>, ClientError> {
        let mut items = Vec::new();
        let mark = if path.contains('?') { '&' } else { '?' };
        let limit = most.min(1_000);
        loop {
            let start =
                after.as_deref().map(|after| format!("&after={}", escaped(after))).unwrap_or_default();
            let page: Page<T> = self.get(&format!("{path}{mark}limit={limit}{start}"))?;
            let ends = page.items.last().is_some_and(|last| !wanted(last));
            items.extend(page.items);
            if ends || page.next.is_none() || items.len() >= most {
                items.truncate(most);
                return Ok(items);
            }
            // A page may be empty and not the last, but a server that turns in a circle must not hold us for ever.
            if page.next == after {
                return Err(self.unreadable("a page that names itself as the next"));
            }
            after = page.next;
        }
    }

    /// POST, JSON to JSON.
    pub fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.unreadable(error))?;
        self.call(Method::POST, path, "application/json", body.into()).and_then(|bytes| self.json(&bytes))
    }

    /// DELETE.
    pub fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.call(Method::DELETE, path, "", Bytes::new()).map(drop)
    }

    /// POST, text to text.
    pub fn post_text(&self, path: &str, body: String) -> Result<String, ClientError> {
        self.call(Method::POST, path, "text/plain; charset=utf-8", body.into())
            .and_then(|bytes| self.text(bytes))
    }

    /// GET, for a stream that is read piece by piece without a time limit.
    pub fn stream(&self, path: &str) -> Result<Stream<'_>, ClientError> {
        let response = self.runtime.block_on(async {
            let mut open = self.timed(CONNECT, self.connect()).await?;
            let request = self.request(Method::GET, path, "", Bytes::new())?;
            self.timed(self.limit, async {
                open.send_request(request).await.map_err(|error| self.lost(error))
            })
            .await
        })?;
        if response.status().is_success() {
            return Ok(Stream { client: self, body: response.into_body() });
        }
        let (status, bytes) = (response.status(), self.runtime.block_on(self.body(response))?);
        Err(self.refused(status, &bytes))
    }

    fn call(&self, method: Method, path: &str, kind: &str, body: Bytes) -> Result<Bytes, ClientError> {
        self.runtime.block_on(self.timed(self.limit, async {
            let response = self.send(method, path, kind, body).await?;
            let status = response.status();
            let bytes = self.body(response).await?;
            if status.is_success() { Ok(bytes) } else { Err(self.refused(status, &bytes)) }
        }))
    }

    /// On the open connection if there is one that still works, else on a new one.
    async fn send(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, ClientError> {
        let kept = self.open.lock().ok().and_then(|mut open| open.take());
        let mut open = match kept {
            Some(mut kept) => match kept.ready().await {
                Ok(()) => kept,
                Err(_) => self.timed(CONNECT, self.connect()).await?,
            },
            None => self.timed(CONNECT, self.connect()).await?,
        };
        let request = self.request(method, path, kind, body)?;
        let response = open.send_request(request).await.map_err(|error| self.lost(error))?;
        if let Ok(mut place) = self.open.lock() {
            *place = Some(open);
        }
        Ok(response)
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url.prefix))
            .header(header::HOST, self.url.authority())
            .header(header::USER_AGENT, concat!("countersign/", env!("CARGO_PKG_VERSION")));
        if !kind.is_empty() {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        request.body(Full::new(body)).map_err(|error| self.unreadable(error))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let tcp = TcpStream::connect((self.url.host.as_str(), self.url.port))
            .await
            .map_err(|error| self.lost(error))?;
        let _slower = tcp.set_nodelay(true);
        let name = ServerName::try_from(self.url.host.clone())
            .map_err(|_| ClientError::Url(self.url.to_string()))?;
        let tls = self.tls.connect(name, tcp).await.map_err(|error| self.lost(error))?;
        let (open, connection) =
            handshake(hyper_util::rt::TokioIo::new(tls)).await.map_err(|error| self.lost(error))?;
        tokio::spawn(connection);
        Ok(open)
    }

    async fn body(&self, response: Response<Incoming>) -> Result<Bytes, ClientError> {
        let limited = http_body_util::Limited::new(response.into_body(), MOST_BYTES);
        limited.collect().await.map(|all| all.to_bytes()).map_err(|error| self.lost(error))
    }

    async fn timed<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let late = || self.lost(format!("no answer within {} s", limit.as_secs()));
        tokio::time::timeout(limit, call).await.unwrap_or_else(|_| Err(late()))
    }

    fn lost(&self, error: impl Display) -> ClientError {
        ClientError::Unreachable { url: self.url.to_string(), reason: error.to_string() }
    }

    fn unreadable(&self, error: impl Display) -> ClientError {
        ClientError::Answer { url: self.url.to_string(), reason: error.to_string() }
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> ClientError {
        let problem = serde_json::from_slice::<Problem>(body).ok();
        let text = || String::from_utf8_lossy(body).trim().chars().take(300).collect();
        let (code, detail) = problem.map_or_else(
            || (String::new(), text()),
            |p| (p.code, if p.detail.is_empty() { p.title } else { p.detail }),
        );
        // One line of it: a server's sentence must not pass for several of this program's.
        let detail = plain(&detail).chars().take(MOST_SAID).collect();
        ClientError::Status { url: self.url.to_string(), code, status, detail }
    }

    fn text(&self, bytes: Bytes) -> Result<String, ClientError> {
        String::from_utf8(bytes.into()).map_err(|error| self.unreadable(error))
    }

    fn json<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(bytes).map_err(|error| self.unreadable(error))
    }
}

/// An answer that comes piece by piece.
pub struct Stream<'a> {
    client: &'a Client,
    body: Incoming,
}

impl Stream<'_> {
    /// The next piece; none at the end, and `Ok(Some(empty))` after `patience` without any.
    pub fn next(&mut self, patience: Duration) -> Result<Option<Bytes>, ClientError> {
        let frame =
            self.client.runtime.block_on(async { tokio::time::timeout(patience, self.body.frame()).await });
        match frame {
            Err(_) => Ok(Some(Bytes::new())),
            Ok(None) => Ok(None),
            Ok(Some(frame)) => {
                let frame = frame.map_err(|error| self.client.lost(error))?;
                Ok(Some(frame.into_data().unwrap_or_default()))
            }
        }
    }
}

/// A path of the API with its places filled in: `{org}`, `{hash}`, `{device}`, `{*path}`.
pub fn filled(path: &str, places: &[(&str, &str)]) -> String {
    places.iter().fold(path.to_owned(), |path, (place, value)| path.replace(&format!("{{{place}}}"), value))
}

fn escaped(value: &str) -> String {
    let mut out = String::new();
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_https_with_a_host() {
        for (text, authority, prefix) in [
            ("https://a.example", "a.example:443", ""),
            ("https://127.0.0.1:8443/", "127.0.0.1:8443", ""),
            ("https://[::1]:8443/cs", "[::1]:8443", "/cs"),
            ("https://[::1]", "[::1]:443", ""),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.authority().as_str(), url.prefix.as_str()), (authority, prefix), "{text}");
        }
        for bad in ["http://a", "a:1", "https://", "https://a:b", "https://a b", "https://user@host"] {
            assert!(Url::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_servers_sentence_stays_one_line() {
        let client = Client::new("https://127.0.0.1:1", None, None).unwrap();
        let body = format!(
            r#"{{"title":"t","status":404,"code":"c","detail":"no\n  verified: {}"}}"#,
            "x".repeat(999)
        );
        let said = client.refused(StatusCode::NOT_FOUND, body.as_bytes()).to_string();
        assert!(said.contains(r"says: no\n  verified: xx") && said.lines().count() == 1, "{said}");
        assert!(said.chars().count() < 700, "{said}");
    }

    #[test]
    fn places_in_paths_are_filled_in() {
        let path = filled("/v1/orgs/{org}/log/{*path}", &[("org", "org-1"), ("*path", "tile/0/000")]);
        assert_eq!(path, "/v1/orgs/org-1/log/tile/0/000");
    }
}
