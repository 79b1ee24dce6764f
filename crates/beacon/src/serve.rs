//! How a beacon is asked: HTTPS, every route and every status.
//!
//! Source: docs/spec/8-interfaces.md, "Beacon".

use std::fmt::Display;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::extract::rejection::{QueryRejection, StringRejection};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{BoxError, Router};
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use countersign_trust::chain::ChainError;
use countersign_trust::ids::OrgId;
use countersign_trust::time::Time;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::answer::{HandoverError, Silence, TakeError};
use crate::beacon::{Beacon, OpenError, Refusal};
use crate::config::Config;
use crate::disk::{DiskError, Folder};
use crate::door::{self, Door, Unread};
use crate::follow::{self, FollowError};
use crate::room::Room;

const MAX_NEWS_BYTES: usize = 4 * 1024 * 1024;
const MAX_BYTES: usize = 16 * 1024;
/// How long a request may take, and how long a connection may be silent between requests.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest head of a request, in bytes; also how much of a body or an answer a connection holds at once.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// How many connections there may be, and from one address: a whole site behind one address fits.
const CONNECTIONS: (usize, usize) = (5_120, 1_024);
/// How many bytes of news may be on their way in for organizations that are known, and from one address.
const BODIES: (usize, usize) = (40 << 20, 8 << 20);
/// Likewise for organizations that are not known yet.
const STRANGERS: (usize, usize) = (24 << 20, 4 << 20);
/// How many bytes of news may be on their way out, and to one address.
const ANSWERS: (usize, usize) = (80 << 20, 16 << 20);
const TLS_FILE: &str = "tls.pem";

/// Why a beacon does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Configuration, key or data.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The address is not to be had.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// The certificate in the data folder.
    #[error("{TLS_FILE} in the data folder: {0}; remove it, and a new one is made: nobody relies on it")]
    Tls(BoxError),
    /// The vendor's feed.
    #[error(transparent)]
    Follow(#[from] FollowError),
}

/// A beacon that answers. It ends by [`Running::stop`] only.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    handle: Handle<SocketAddr>,
    task: JoinHandle<io::Result<()>>,
}

impl Running {
    /// Lets requests that are under way end, at most five seconds, and lets go of the data folder.
    pub async fn stop(self) -> io::Result<()> {
        self.handle.graceful_shutdown(Some(Duration::from_secs(5)));
        self.task.await?
    }
}

type Clock = dyn Fn() -> Time + Send + Sync;

#[derive(Clone)]
struct Shared {
    beacon: Arc<Beacon>,
    now: Arc<Clock>,
    bodies: Room,
    strangers: Room,
    answers: Room,
    /// Halts are judged one at a time, and so are news: a Clear waits for neither.
    halts: Arc<Semaphore>,
    news: Arc<Semaphore>,
}

impl Shared {
    fn new(beacon: Beacon, now: impl Fn() -> Time + Send + Sync + 'static) -> Self {
        let room = |what, (most, of_one)| Room::new(what, most, of_one);
        Self {
            beacon: Arc::new(beacon),
            now: Arc::new(now),
            bodies: room("bytes of news", BODIES),
            strangers: room("bytes for organizations that are not known", STRANGERS),
            answers: room("bytes of answers", ANSWERS),
            halts: Arc::new(Semaphore::new(1)),
            news: Arc::new(Semaphore::new(1)),
        }
    }
}

/// Opens the data folder and answers, by the clock `now`.
pub async fn start(
    config: &Config,
    now: impl Fn() -> Time + Send + Sync + 'static,
) -> Result<Running, StartError> {
    let beacon = Beacon::open(config)?;
    let tls = tls(beacon.folder(), &config.name)?;
    let listen = |error| StartError::Listen { address: config.listen, error };
    let listener = TcpListener::bind(config.listen).map_err(listen)?;
    listener.set_nonblocking(true).map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let shared = Shared::new(beacon, now);
    drop(tokio::spawn(keep_time(Arc::downgrade(&shared.beacon), shared.now.clone())));
    if let Some(vendor) = &config.vendor {
        follow::start(&shared.beacon, vendor)?;
    }
    let router = routes().with_state(shared);
    let handle = Handle::new();
    let server = axum_server::from_tcp(listener).map_err(listen)?;
    let door = Door(Room::new("connections", CONNECTIONS.0, CONNECTIONS.1));
    let server = server.acceptor(RustlsAcceptor::new(tls).acceptor(door));
    let mut server = server.handle(handle.clone()).http1_only();
    server.http_builder().http1().header_read_timeout(SILENCE_TIMEOUT).max_buf_size(MAX_HEAD_BYTES);
    let task = tokio::spawn(server.serve(router.into_make_service_with_connect_info::<SocketAddr>()));
    Ok(Running { address, handle, task })
}

/// How often the time is kept.
const HOUR: Duration = Duration::from_secs(3_600);

/// Each hour the beacon goes with its clock, asked or not.
async fn keep_time(beacon: Weak<Beacon>, now: Arc<Clock>) {
    loop {
        tokio::time::sleep(HOUR).await;
        let (Some(beacon), now) = (beacon.upgrade(), now.clone()) else { return };
        let kept = spawn_blocking(move || beacon.keep_time(now())).await;
        if let Ok(Err(error)) = kept {
            tracing::warn!(%error, "the clock is not to be gone by");
        }
    }
}

fn routes() -> Router<Shared> {
    Router::new()
        .route("/v1/orgs/{org}/clear", post(clear))
        .route("/v1/orgs/{org}/halts", post(halt))
        .route("/v1/orgs/{org}/news", get(news).post(take_news))
        .route("/v1/orgs/{org}/handover", get(for_handover).post(hand_over))
        .route("/v1/orgs/{org}/state", get(state))
        .route("/v1/key", get(key))
        .fallback(|| async {
            answer(StatusCode::NOT_FOUND, "nothing is here: see docs/spec/8-interfaces.md")
        })
        .layer(DefaultBodyLimit::max(MAX_BYTES))
        .layer(from_fn(in_time))
}

type Body = Result<String, StringRejection>;

async fn clear(State(shared): State<Shared>, Path(org): Path<String>, body: Body) -> Response {
    let body = read(body, MAX_BYTES);
    work(org, move |org| shared.beacon.clear(org, &body?, (shared.now)())).await
}

async fn halt(State(shared): State<Shared>, Path(org): Path<String>, body: Body) -> Response {
    let body = read(body, MAX_BYTES);
    let turn = shared.halts.clone().acquire_owned().await;
    work(org, move |org| {
        let _turn = turn;
        shared.beacon.halt(org, &body?)
    })
    .await
}

/// Whose news they are is looked up before the first byte of them is read.
async fn take_news(
    State(shared): State<Shared>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(org): Path<String>,
    request: Request,
) -> Response {
    let room = match org.parse().map(|org| shared.beacon.knows(org)) {
        Ok(Ok(known)) => {
            if known {
                &shared.bodies
            } else {
                &shared.strangers
            }
        }
        Ok(Err(refusal)) => return refused(&refusal),
        Err(error) => return answer(StatusCode::NOT_FOUND, error),
    };
    let mut share = room.share(from.ip());
    let body = door::read(request.into_body(), MAX_NEWS_BYTES, &mut share).await;
    let body = match body {
        Ok(body) => body,
        Err(Unread::TooLarge) => return refused(&Refusal::TooLarge(MAX_NEWS_BYTES)),
        Err(Unread::NotText) => return refused(&Refusal::NotText),
        Err(Unread::NoRoom) => return no_room(),
    };
    let turn = shared.news.clone().acquire_owned().await;
    work(org, move |org| {
        let _turn = (turn, share);
        shared.beacon.take_news(org, &body, (shared.now)())
    })
    .await
}

#[derive(serde::Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn news(
    State(shared): State<Shared>,
    ConnectInfo(to): ConnectInfo<SocketAddr>,
    Path(org): Path<String>,
    after: Result<Query<After>, QueryRejection>,
) -> Response {
    let Ok(Query(After { after })) = after else {
        return answer(StatusCode::BAD_REQUEST, "`after` must be the number of the newest policy you hold");
    };
    let (turn, answers) = (shared.news.clone().acquire_owned().await, shared.answers.clone());
    let said = done(org, move |org| {
        let _turn = turn;
        shared.beacon.news(org, after, (shared.now)())
    });
    match said.await {
        Ok(news) => {
            door::answer(news, &answers, to.ip()).map_or_else(no_room, |body| text(StatusCode::OK, body))
        }
        Err(refused) => refused,
    }
}

async fn hand_over(State(shared): State<Shared>, Path(org): Path<String>, body: Body) -> Response {
    let body = read(body, MAX_BYTES);
    work(org, move |org| shared.beacon.hand_over(org, &body?)).await
}

async fn for_handover(State(shared): State<Shared>, Path(org): Path<String>) -> Response {
    work(org, move |org| shared.beacon.for_handover(org, (shared.now)())).await
}

async fn state(State(shared): State<Shared>, Path(org): Path<String>) -> Response {
    work(org, move |org| shared.beacon.state(org).map(|state| format!("{state:#}\n"))).await
}

/// Does `what` where waiting for a lock or the disk holds up nobody else, and answers with what it says.
async fn work<T: Display + Send + 'static>(
    org: String,
    what: impl FnOnce(OrgId) -> Result<T, Refusal> + Send + 'static,
) -> Response {
    match done(org, what).await {
        Ok(said) => text(StatusCode::OK, said.to_string()),
        Err(refused) => refused,
    }
}

async fn done<T: Send + 'static>(
    org: String,
    what: impl FnOnce(OrgId) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Response> {
    let org = org.parse().map_err(|error| answer(StatusCode::NOT_FOUND, error))?;
    let done = spawn_blocking(move || what(org)).await;
    done.map_err(|error| broken(&error))?.map_err(|refusal| refused(&refusal))
}

/// Nothing of it was kept; an honest client asks again.
fn no_room() -> Response {
    let busy = answer(StatusCode::SERVICE_UNAVAILABLE, "too much is on its way here: try again");
    ([(header::RETRY_AFTER, "5")], busy).into_response()
}

fn refused(refusal: &Refusal) -> Response {
    let status = status_of(refusal);
    if matches!(refusal, Refusal::Disk(_) | Refusal::Clock(_) | Refusal::Note(_)) {
        tracing::error!(refusal = %refusal, "this beacon cannot sign");
    }
    answer(status, refusal)
}

fn status_of(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::NotText
        | Refusal::Sequence
        | Refusal::Root
        | Refusal::NotAHalt(_)
        | Refusal::NotANote(_)
        | Refusal::Handover(HandoverError::Text(_) | HandoverError::Organization(_)) => {
            StatusCode::BAD_REQUEST
        }
        Refusal::NotServed(_)
        | Refusal::NeverNamed(_)
        | Refusal::Halt(TakeError::Refused(ChainError::NotAHalter))
        | Refusal::Handover(HandoverError::UnknownBeacon { .. }) => StatusCode::FORBIDDEN,
        Refusal::Unknown(_) => StatusCode::NOT_FOUND,
        Refusal::Halt(TakeError::StopsNothing(_) | TakeError::Refused(ChainError::TooManyHalts { .. }))
        | Refusal::Handover(_) => StatusCode::CONFLICT,
        Refusal::Silent(Silence::NeverNamed { .. }) => StatusCode::GONE,
        Refusal::Genesis { .. } | Refusal::Halt(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::Silent(_) | Refusal::Clock(_) | Refusal::Disk(_) | Refusal::TooMany => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Refusal::Note(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

async fn key(State(shared): State<Shared>) -> Response {
    answer(StatusCode::OK, shared.beacon.key())
}

/// A sentence, or a key, and a line feed.
fn answer(status: StatusCode, sentence: impl Display) -> Response {
    text(status, format!("{sentence}\n"))
}

fn text(status: StatusCode, body: impl Into<axum::body::Body>) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body.into()).into_response()
}

fn read(body: Body, most: usize) -> Result<String, Refusal> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLarge(most),
        _ => Refusal::NotText,
    })
}

fn broken(error: &tokio::task::JoinError) -> Response {
    tracing::error!(error = %error, "a request was not answered");
    answer(StatusCode::INTERNAL_SERVER_ERROR, "the beacon has a fault: tell its operator")
}

async fn in_time(request: Request, next: Next) -> Response {
    let answered = tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await;
    answered.unwrap_or_else(|_| answer(StatusCode::REQUEST_TIMEOUT, "the request took longer than 30 s"))
}

/// TLS hides what is asked from onlookers and is no authority: the certificate signs itself, answers prove themselves.
fn tls(folder: &Folder, name: &str) -> Result<RustlsConfig, StartError> {
    let pem = match folder.read(TLS_FILE)? {
        Some(pem) => pem,
        None => {
            let made = rcgen::generate_simple_self_signed([name.to_owned()]);
            let made = made.map_err(|error| StartError::Tls(error.into()))?;
            let pem = made.signing_key.serialize_pem() + &made.cert.pem();
            folder.write(TLS_FILE, &pem)?;
            pem
        }
    };
    let config = server_config(&pem).map_err(StartError::Tls)?;
    Ok(RustlsConfig::from_config(Arc::new(config)))
}

fn server_config(pem: &str) -> Result<ServerConfig, BoxError> {
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
