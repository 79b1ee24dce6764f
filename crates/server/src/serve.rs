//! The start, the one port, the end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use countersign_trust::ids::Sha256;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::Acceptor;
use tokio_rustls::server::TlsStream;

use crate::app::{App, Orgs};
use crate::config::{Config, Database};
use crate::disk::{DiskError, Folder};
use crate::events::Events;
use crate::feed::Served;
use crate::gate::Gate;
use crate::guests::{Guest, Guests};
use crate::orgs::{LoadError, load_all};
use crate::peers::Peers;
use crate::quiet::Activity;
use crate::statements::settle;
use crate::store::{Db, OpenError, StoreError};
use crate::tls::{HTTP_2, Tls, TlsError, device_key};
use crate::tripwires::{self, Tripwires};
use crate::turnstile::Turnstile;
use crate::vendor::{self, Followed};
use crate::{api, facts, learn};

/// How long a TLS handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How long an HTTP client may take to send a request's head, the pause before it included.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// How long an HTTP/2 connection may be without a request.
const QUIET_TIME: Duration = HEAD_TIME;
/// The largest head of a request, in bytes.
const MOST_HEAD: u32 = 16 * 1024;
/// How many requests one HTTP/2 connection may have under way.
const MOST_STREAMS: u32 = 32;
/// How many bytes of a body nobody reads may wait in the server, of one request and of one connection.
const WINDOWS: (u32, u32) = (64 * 1024, 256 * 1024);
/// The pause after the system had no more connections to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder.
    #[error("data folder: {0}")]
    Disk(#[from] DiskError),
    /// TLS.
    #[error("tls.pem in the data folder: {0}")]
    Tls(#[from] TlsError),
    /// TLS to peers.
    #[error("TLS to witnesses and beacons cannot be set up: {0}")]
    Peers(#[from] rustls::Error),
    /// The database.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The organizations.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// What was left open.
    #[error("the records cannot be read: {0}")]
    Store(#[from] StoreError),
    /// The address is not to be had.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
}

/// A server that serves. It ends by [`Running::stop`]; dropped, it goes on until its runtime ends.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it holds.
    pub app: Arc<App>,
    accepting: JoinHandle<()>,
}

impl Running {
    /// Takes no more connections, ends its tasks and lets the database go.
    pub async fn stop(self) {
        self.app.stop.send_replace(true);
        self.accepting.abort();
        self.app.db.close().await;
    }
}

/// Starts a server; `now_ms` gives milliseconds since 1970.
///
/// # Errors
/// The data folder, the database or the address cannot be used.
pub async fn start(config: Config, now_ms: fn() -> u64) -> Result<Running, StartError> {
    let folder = Folder::open(&config.data)?;
    let host = config.address.rsplit_once(':').map_or("", |(host, _)| host).trim_matches(['[', ']']);
    let tls = Tls::new(&folder.certificate(host)?)?;
    let setup_hash = Sha256::of(folder.setup_token()?.as_bytes());
    let db = match &config.database {
        Database::Sqlite => Db::open_file(&folder.database()).await?,
        Database::Postgres(url) => Db::open_postgres(url).await?,
    };
    let orgs = Orgs::default();
    load_all(&db).await?.into_iter().for_each(|org| orgs.insert(org));
    let ((peers, hints), gate, events) = (Peers::new()?, Gate::new(), Events::new());
    let stop = watch::Sender::new(false);
    let listen = config.listen;
    let turnstile = Turnstile::default();
    let vendor = Followed::load(&folder, config.vendor.as_ref())?;
    let feed = config.feed.as_ref().map(|feed| Served::start(feed, &folder)).transpose()?;
    let (tripwires, tls_pin) = (Tripwires::default(), tls.pin);
    let app = App {
        config,
        db,
        orgs,
        peers,
        gate,
        vendor,
        feed,
        events,
        tripwires,
        turnstile,
        tls_pin,
        setup_hash,
        now_ms,
        stop,
    };
    let app = Arc::new(app);
    tokio::spawn(learn::follow(Arc::downgrade(&app), hints));
    let listening = |error| StartError::Listen { address: listen, error };
    let listener = TcpListener::bind(listen).await.map_err(listening)?;
    let address = listener.local_addr().map_err(listening)?;
    for org in app.orgs.all() {
        facts::remember(&app, &org).await?;
        settle::go_on(&app, &org).await?;
        tripwires::keep_watch(&app, &org);
    }
    vendor::start(&app, &folder);
    let accepting = tokio::spawn(accept(app.clone(), listener, tls));
    Ok(Running { address, app, accepting })
}

async fn accept(app: Arc<App>, listener: TcpListener, tls: Tls) {
    let (router, guests) = (api::router(&app), Guests::default());
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                let Some(guest) = guests.admit(from.ip()) else { continue };
                tokio::spawn(greet(app.clone(), router.clone(), tls.clone(), stream, guest));
            }
            Err(error) => {
                tracing::error!(%error, "no connection can be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Does TLS, and hands the connection to the gate or to HTTP. What each of them needs is in a box of its own: an idle agent's
/// task is not as large as the largest of them.
async fn greet(app: Arc<App>, router: Router, tls: Tls, stream: TcpStream, guest: Guest) {
    // Scanners end here by the thousand: nobody has to act.
    let Ok(Ok((is_agent, stream))) = Box::pin(timeout(HANDSHAKE_TIME, shake(tls, stream))).await else {
        return;
    };
    if !is_agent {
        return Box::pin(http(router, *stream, guest)).await;
    }
    let certificate = stream.get_ref().1.peer_certificates().and_then(|certificates| certificates.first());
    if let Some(device) = certificate.and_then(device_key) {
        Box::pin(Gate::serve(app, stream, device, guest)).await;
    }
}

async fn shake(tls: Tls, stream: TcpStream) -> io::Result<(bool, Box<TlsStream<TcpStream>>)> {
    stream.set_nodelay(true)?;
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let (is_agent, config) = tls.for_client(&hello.client_hello());
    Ok((is_agent, Box::new(hello.into_stream(config).await?)))
}

async fn http(router: Router, stream: TlsStream<TcpStream>, _guest: Guest) {
    let newer = stream.get_ref().1.alpn_protocol() == Some(HTTP_2);
    let (stream, service) = (TokioIo::new(stream), TowerToHyperService::new(router));
    // A client that goes in the middle of something is its own matter.
    if newer {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).keep_alive_interval(HEAD_TIME);
        builder.max_concurrent_streams(MOST_STREAMS).max_header_list_size(MOST_HEAD);
        builder.initial_stream_window_size(WINDOWS.0).initial_connection_window_size(WINDOWS.1);
        let activity = Activity::default();
        let connection = builder.serve_connection(stream, counting(service, activity.clone()));
        let mut connection = pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            () = activity.quiet(QUIET_TIME) => connection.as_mut().graceful_shutdown(),
        }
        // A request that was on its way meanwhile is answered; who does not go is let go.
        let _ = timeout(HANDSHAKE_TIME, connection).await;
    } else {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
        builder.max_buf_size(usize::try_from(MOST_HEAD).unwrap_or(usize::MAX));
        let _ = builder.serve_connection(stream, service).await;
    }
}

/// The same service; `activity` is told of each request, until the last of its answer has gone.
fn counting(
    service: TowerToHyperService<Router>,
    activity: Activity,
) -> impl HttpService<Incoming, ResBody = Body, Error = Infallible, Future: Send> {
    service_fn(move |request| {
        let busy = activity.begin();
        let answer = service.call(request);
        async move {
            let answer = answer.await?;
            Ok(answer.map(|body| Body::new(body.map_frame(move |frame| busy.pass(frame)))))
        }
    })
}
