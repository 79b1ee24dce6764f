//! How a witness is asked: HTTPS, every route and every status.
//!
//! Source: c2sp.org/tlog-witness; docs/spec/8-interfaces.md, "Witness".

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::extract::rejection::StringRejection;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{BoxError, Router};
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use countersign_trust::ids::Sha256;
use countersign_trust::time::Time;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::config::Config;
use crate::cosign::Refusal;
use crate::disk::{DiskError, Folder};
use crate::door::{self, Door, Unread};
use crate::policies::PoliciesError;
use crate::room::Room;
use crate::witness::{CosignError, OpenError, TakeError, Witness};

const MAX_POLICIES_BYTES: usize = 4 * 1024 * 1024;
const MAX_CHECKPOINT_BYTES: usize = 64 * 1024;
/// How long a request may take, and how long a connection may be silent between requests.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest head of a request, in bytes; also how much of a body a connection holds at once.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// How many connections there may be, and from one address. Only servers and people ask a witness.
const CONNECTIONS: (usize, usize) = (1_280, 256);
/// How many bytes of policies may be on their way in for organizations that are known, and from one address.
const BODIES: (usize, usize) = (40 << 20, 8 << 20);
/// Likewise for organizations that are not known yet.
const STRANGERS: (usize, usize) = (24 << 20, 4 << 20);
const TLS_FILE: &str = "tls.pem";

/// Why a witness does not start.
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
}

/// A witness that answers. It ends by [`Running::stop`] only.
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
    witness: Arc<Witness>,
    now: Arc<Clock>,
    bodies: Room,
    strangers: Room,
    /// Policies are judged one request at a time: a checkpoint waits for none of them.
    policies: Arc<Semaphore>,
}

impl Shared {
    fn new(witness: Witness, now: impl Fn() -> Time + Send + Sync + 'static) -> Self {
        let room = |what, (most, of_one)| Room::new(what, most, of_one);
        Self {
            witness: Arc::new(witness),
            now: Arc::new(now),
            bodies: room("bytes of policies", BODIES),
            strangers: room("bytes for organizations that are not known", STRANGERS),
            policies: Arc::new(Semaphore::new(1)),
        }
    }
}

/// Opens the data folder and answers, by the clock `now`.
pub async fn start(
    config: &Config,
    now: impl Fn() -> Time + Send + Sync + 'static,
) -> Result<Running, StartError> {
    let witness = Witness::open(config)?;
    let tls = tls(witness.folder(), &config.name)?;
    let listen = |error| StartError::Listen { address: config.listen, error };
    let listener = TcpListener::bind(config.listen).map_err(listen)?;
    listener.set_nonblocking(true).map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let shared = Shared::new(witness, now);
    drop(tokio::spawn(keep_time(Arc::downgrade(&shared.witness), shared.now.clone())));
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

/// Each hour the witness goes with its clock, asked or not.
async fn keep_time(witness: Weak<Witness>, now: Arc<Clock>) {
    loop {
        tokio::time::sleep(HOUR).await;
        let (Some(witness), now) = (witness.upgrade(), now.clone()) else { return };
        let kept = spawn_blocking(move || witness.keep_time(now())).await;
        if let Ok(Err(error)) = kept {
            tracing::warn!(%error, "the clock is not to be gone by");
        }
    }
}

fn routes() -> Router<Shared> {
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint).layer(DefaultBodyLimit::max(MAX_CHECKPOINT_BYTES)))
        .route("/{origin}/checkpoint", get(newest))
        .route("/v1/orgs/{org}/policies", post(policies))
        .route("/v1/key", get(key))
        .fallback(|| async {
            answer(StatusCode::NOT_FOUND, "nothing is here: see docs/spec/8-interfaces.md")
        })
        .layer(from_fn(in_time))
}

async fn add_checkpoint(State(shared): State<Shared>, body: Result<String, StringRejection>) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return unread(&rejection, MAX_CHECKPOINT_BYTES),
    };
    let work = move || match shared.witness.add_checkpoint(&body, (shared.now)()) {
        Ok(line) => text(StatusCode::OK, "text/plain; charset=utf-8", format!("{line}\n")),
        Err(CosignError::Refused(refusal)) => refused(&refusal),
        Err(error) => {
            tracing::error!(error = %error, "this witness cannot cosign");
            answer(StatusCode::SERVICE_UNAVAILABLE, error)
        }
    };
    spawn_blocking(work).await.unwrap_or_else(|error| broken(&error))
}

fn refused(refusal: &Refusal) -> Response {
    let status = match refusal {
        Refusal::OldSize(size) => {
            return text(StatusCode::CONFLICT, "text/x.tlog.size", format!("{size}\n"));
        }
        Refusal::Read(_) | Refusal::Backwards { .. } => StatusCode::BAD_REQUEST,
        Refusal::Unknown(_) => StatusCode::NOT_FOUND,
        Refusal::Unsigned(_) | Refusal::BadLine { .. } | Refusal::Ended { .. } | Refusal::Waits => {
            StatusCode::FORBIDDEN
        }
        Refusal::Inconsistent(_) | Refusal::EndRoot { .. } => {
            // The log has signed something that contradicts what it signed before: a person must look.
            tracing::error!(refusal = %refusal, "a log contradicts itself");
            StatusCode::UNPROCESSABLE_ENTITY
        }
    };
    answer(status, refusal)
}

async fn newest(State(shared): State<Shared>, Path(origin): Path<String>) -> Response {
    let Ok(hash) = origin.parse::<Sha256>() else {
        return answer(
            StatusCode::NOT_FOUND,
            "name the log by the SHA-256 of its origin, in 64 lowercase digits",
        );
    };
    let work = move || match shared.witness.newest(&hash) {
        Some(note) => text(StatusCode::OK, "text/plain; charset=utf-8", note),
        None => answer(StatusCode::NOT_FOUND, "no checkpoint of that log was cosigned here"),
    };
    spawn_blocking(work).await.unwrap_or_else(|error| broken(&error))
}

/// Whose policies they are is looked up before the first byte of them is read.
async fn policies(
    State(shared): State<Shared>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(org): Path<String>,
    request: Request,
) -> Response {
    let org = match org.parse() {
        Ok(org) => org,
        Err(error) => return answer(StatusCode::NOT_FOUND, error),
    };
    let room = match shared.witness.knows(org) {
        Ok(known) => {
            if known {
                &shared.bodies
            } else {
                &shared.strangers
            }
        }
        Err(refusal) => return answer(status_of(&refusal), refusal),
    };
    let mut share = room.share(from.ip());
    let body = match door::read(request.into_body(), MAX_POLICIES_BYTES, &mut share).await {
        Ok(body) => body,
        Err(unread) => return not_read(&unread, MAX_POLICIES_BYTES),
    };
    let turn = shared.policies.clone().acquire_owned().await;
    let work = move || {
        let _turn = (turn, share);
        match shared.witness.take_policies(org, &body) {
            Ok(lines) => text(StatusCode::OK, "text/plain; charset=utf-8", lines),
            Err(TakeError::Refused(refusal)) => answer(status_of(&refusal), refusal),
            Err(error) => {
                tracing::error!(error = %error, "policies could not be written down");
                answer(StatusCode::SERVICE_UNAVAILABLE, error)
            }
        }
    };
    spawn_blocking(work).await.unwrap_or_else(|error| broken(&error))
}

fn status_of(refusal: &PoliciesError) -> StatusCode {
    match refusal {
        PoliciesError::Sequence | PoliciesError::Envelope { .. } | PoliciesError::Note { .. } => {
            StatusCode::BAD_REQUEST
        }
        PoliciesError::NotServed(_) | PoliciesError::NotNamed { .. } => StatusCode::FORBIDDEN,
        PoliciesError::Refused { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        PoliciesError::Claimed { .. } => StatusCode::CONFLICT,
        PoliciesError::TooMany => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn key(State(shared): State<Shared>) -> Response {
    answer(StatusCode::OK, shared.witness.key())
}

/// A sentence, or a key, and a line feed.
fn answer(status: StatusCode, sentence: impl std::fmt::Display) -> Response {
    text(status, "text/plain; charset=utf-8", format!("{sentence}\n"))
}

fn text(status: StatusCode, kind: &'static str, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, kind)], body).into_response()
}

fn unread(rejection: &StringRejection, most: usize) -> Response {
    let too_large = rejection.status() == StatusCode::PAYLOAD_TOO_LARGE;
    not_read(if too_large { &Unread::TooLarge } else { &Unread::NotText }, most)
}

fn not_read(why: &Unread, most: usize) -> Response {
    match why {
        Unread::TooLarge => {
            answer(StatusCode::PAYLOAD_TOO_LARGE, format_args!("the body may have {most} bytes"))
        }
        Unread::NotText => answer(StatusCode::BAD_REQUEST, "the body must be UTF-8 text"),
        Unread::NoRoom => {
            let busy = answer(StatusCode::SERVICE_UNAVAILABLE, "too much is on its way here: try again");
            ([(header::RETRY_AFTER, "5")], busy).into_response()
        }
    }
}

fn broken(error: &tokio::task::JoinError) -> Response {
    tracing::error!(error = %error, "a request was not answered");
    answer(StatusCode::INTERNAL_SERVER_ERROR, "the witness has a fault: tell its operator")
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
