//! The connection to a server: kept up, one frame after the other in both directions.
//!
//! Nothing is decided here. A server that sends what cannot be read is left and tried again later.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use countersign_trust::delivery::{Delivery, News};
use countersign_trust::device::Input;
use countersign_trust::ids::Sha256;
use countersign_trust::statement::policy::Policy;
use countersign_wire::frame::{Decoder, FrameError, MOST_FROM_SERVER, encode};
use countersign_wire::message::{
    ContentError, FromAgent, FromServer, StepOutput, from_agent, from_server, read_news,
};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::drive::Heard;
use crate::os;
use crate::tls::{Identity, TlsError};

/// How long connecting may take, and TLS after it.
const CONNECT: Duration = Duration::from_secs(10);
/// After how long a peer that does not answer is gone.
const DEAD: Duration = Duration::from_secs(30);
/// The longest wait before the first new try, and between any two.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// A connection that lasted this long was a good one: the waits begin anew.
const GOOD: Duration = Duration::from_secs(60);
/// How many bytes from the server may wait for the loop: two of its largest frames.
const UNHEARD: usize = 2 * MOST_FROM_SERVER;
/// How many bytes of output may wait for a slow server.
const ROOM: usize = 1 << 20;
/// How long a run waits for a slow server before pieces of its output are dropped. Less than the time after which
/// the run itself would count its output as lost.
const PATIENCE: Duration = Duration::from_secs(1);
const PIECE: usize = 16 * 1024;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// `host:port`.
    pub address: String,
    /// SHA-256 of the public key its certificate must have.
    pub pin: Option<Sha256>,
}

/// The servers a policy names.
pub fn servers(policy: &Policy) -> Vec<Server> {
    let named = policy.addresses.servers.iter();
    named.map(|(address, pin)| Server { address: address.as_str().to_owned(), pin: *pin }).collect()
}

/// Why there is no connection, or no longer one.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Not an address.
    #[error("`{0}` is no address: write host:port")]
    Address(String),
    /// It did not come about, or broke.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Too slow.
    #[error("no connection within {} s", CONNECT.as_secs())]
    Slow,
    /// The server takes nothing.
    #[error("the server took nothing for {} s", DEAD.as_secs())]
    Stuck,
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Not a frame.
    #[error("the server sent what cannot be read: {0}")]
    Frame(#[from] FrameError),
    /// A frame with something else in it.
    #[error("the server sent what cannot be read: {0}")]
    Content(#[from] ContentError),
    /// The server does not want to talk.
    #[error("the server says: {0}")]
    Sorry(String),
    /// More of an organization's past than is read.
    #[error("the server sent more than {0} bytes of the organization's history")]
    History(usize),
    /// It closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// The policy names others.
    #[error("the policy names this server no longer")]
    NotNamed,
}

/// What is sent on one connection. Whoever holds it never waits, but for output.
#[derive(Clone, Debug)]
pub struct Sender {
    queue: mpsc::UnboundedSender<Queued>,
    room: Arc<Semaphore>,
}

#[derive(Debug)]
struct Queued {
    what: from_agent::What,
    /// Given back when the frame has been written.
    _room: Option<OwnedSemaphorePermit>,
}

impl Sender {
    fn new() -> (Self, mpsc::UnboundedReceiver<Queued>) {
        let (queue, waiting) = mpsc::unbounded_channel();
        (Self { queue, room: Arc::new(Semaphore::new(ROOM)) }, waiting)
    }

    /// Queues a message. What waits is bounded by what the device keeps: after [`DEAD`] the connection is given up.
    pub fn send(&self, what: from_agent::What) {
        // Without a receiver the connection is gone, which its end has been told of.
        let _ = self.queue.send(Queued { what, _room: None });
    }

    /// Queues a piece of output, waiting a moment for a slow server. False if it was dropped.
    pub async fn send_output(&self, output: StepOutput) -> bool {
        let bytes = u32::try_from(output.bytes.len()).unwrap_or(u32::MAX);
        let room = timeout(PATIENCE, self.room.clone().acquire_many_owned(bytes)).await;
        let Ok(Ok(room)) = room else { return false };
        self.queue.send(Queued { what: from_agent::What::Output(output), _room: Some(room) }).is_ok()
    }

    /// Waits until all output that was queued before has been written to the connection. False if it broke before.
    pub async fn has_written_all(&self) -> bool {
        let all = u32::try_from(ROOM).unwrap_or(u32::MAX);
        self.room.clone().acquire_many_owned(all).await.is_ok() && !self.queue.is_closed()
    }
}

/// Keeps a connection to one of `servers` up and tells of what comes, until nobody listens.
pub async fn keep(identity: Identity, mut servers: watch::Receiver<Vec<Server>>, to: mpsc::Sender<Heard>) {
    let mut failures: u32 = 0;
    let room = Arc::new(Semaphore::new(UNHEARD));
    loop {
        let named = servers.borrow_and_update().clone();
        let turn = usize::try_from(failures).unwrap_or(0).checked_rem(named.len()).unwrap_or(0);
        let Some(server) = named.get(turn) else {
            tracing::warn!("the policy names no server: only beacons and letters reach this device");
            if servers.changed().await.is_err() {
                return;
            }
            continue;
        };
        let started = Instant::now();
        let Err(error) = converse(&identity, server, &mut servers, &to, &room).await;
        if to.send(Heard::Down).await.is_err() {
            return;
        }
        failures = if started.elapsed() >= GOOD { 0 } else { failures.saturating_add(1) };
        let wait = wait_after(failures);
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(link.server = %server.address, link.wait_ms = wait_ms, %error, "no connection to a server");
        tokio::select! {
            () = sleep(wait) => {}
            () = to.closed() => return,
        }
    }
}

/// Twice as long after each failure, and different on each device, so that they do not come back all at once.
fn wait_after(failures: u32) -> Duration {
    let (first, most) = WAITS;
    let longest = first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(most);
    let mut random = [0];
    // Without random numbers the device has worse troubles than waiting too long.
    let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random);
    let [share] = random;
    longest / 2 + longest * u32::from(share) / 512
}

/// One connection, from its beginning to its end.
async fn converse(
    identity: &Identity,
    server: &Server,
    servers: &mut watch::Receiver<Vec<Server>>,
    to: &mpsc::Sender<Heard>,
    room: &Arc<Semaphore>,
) -> Result<std::convert::Infallible, LinkError> {
    let (read, write) = tokio::io::split(connect(identity, server).await?);
    tracing::info!(link.server = %server.address, "connected to a server");
    let (sender, queue) = Sender::new();
    to.send(Heard::Up(sender)).await.map_err(|_| LinkError::Closed)?;
    tokio::select! {
        ended = hear(Incoming::new(read), to, room) => ended,
        ended = speak(write, queue) => ended,
        () = not_named(server, servers) => Err(LinkError::NotNamed),
    }
}

/// Connects to `server` as the device with `identity`.
///
/// # Errors
/// It cannot be reached, or its key is not the pinned one.
pub async fn connect(identity: &Identity, server: &Server) -> Result<TlsStream<TcpStream>, LinkError> {
    let stream =
        timeout(CONNECT, TcpStream::connect(&server.address)).await.map_err(|_| LinkError::Slow)??;
    greet(identity, server, stream).await
}

/// Does TLS with `server` over `stream`, as the device with `identity`.
///
/// # Errors
/// The connection breaks, or the server's key is not the pinned one.
pub async fn greet(
    identity: &Identity,
    server: &Server,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, LinkError> {
    let wrong = || LinkError::Address(server.address.clone());
    let (host, _) = server.address.rsplit_once(':').ok_or_else(wrong)?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host).map_err(|_| wrong())?;
    let connector = TlsConnector::from(identity.to_server(server.pin)?);
    stream.set_nodelay(true)?;
    os::notice_death(stream.as_fd(), DEAD)?;
    Ok(timeout(CONNECT, connector.connect(name, stream)).await.map_err(|_| LinkError::Slow)??)
}

/// Frames from a server.
pub struct Incoming<R> {
    stream: R,
    decoder: Decoder,
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    /// Reads from `stream`.
    pub fn new(stream: R) -> Self {
        Self { stream, decoder: Decoder::new(MOST_FROM_SERVER) }
    }

    /// The next message; one that a newer server may send and this agent does not know is passed over.
    ///
    /// # Errors
    /// The connection ended, or what comes is no frame.
    pub async fn next(&mut self) -> Result<from_server::What, LinkError> {
        let mut piece = vec![0; PIECE];
        loop {
            while let Some(FromServer { what }) = self.decoder.next_message()? {
                if let Some(what) = what {
                    return Ok(what);
                }
            }
            match self.stream.read(&mut piece).await? {
                0 => return Err(LinkError::Closed),
                count => self.decoder.push(piece.get(..count).unwrap_or_default()),
            }
        }
    }
}

async fn hear<R: AsyncRead + Unpin>(
    mut incoming: Incoming<R>,
    to: &mpsc::Sender<Heard>,
    room: &Arc<Semaphore>,
) -> Result<std::convert::Infallible, LinkError> {
    loop {
        let what = incoming.next().await?;
        let bytes = u32::try_from(what.encoded_len()).unwrap_or(u32::MAX);
        // The largest frame fits; nobody closes the semaphore.
        let room = room.clone().acquire_many_owned(bytes).await.map_err(|_| LinkError::Closed)?;
        if let from_server::What::Kept(kept) = &what {
            // A hash of another length is of no note.
            if let Ok(hash) = kept.hash.as_slice().try_into() {
                to.send(Heard::CanaryKept(Sha256(hash))).await.map_err(|_| LinkError::Closed)?;
            }
            continue;
        }
        let Some(input) = input(what)? else { continue };
        to.send(Heard::Brought(input, room)).await.map_err(|_| LinkError::Closed)?;
    }
}

/// What a message of the server means for the device; none if nothing.
///
/// # Errors
/// It does not carry what it should, or the server takes leave: the connection is closed.
pub fn input(what: from_server::What) -> Result<Option<Input>, LinkError> {
    Ok(match what {
        from_server::What::Delivery(delivery) => Some(match Delivery::try_from(&delivery) {
            Ok(delivery) => Input::Delivered(Box::new(delivery)),
            // It is refused by a receipt like any other; what comes behind it, and the news in it, may be good.
            Err(error) => Input::Unreadable(error.to_string(), readable(&delivery.news)),
        }),
        from_server::What::News(news) => Some(Input::News(readable(&news.envelopes))),
        from_server::What::Acknowledged(shown) => Some(Input::Acknowledged(Box::new(shown.try_into()?))),
        from_server::What::Sorry(sorry) => return Err(LinkError::Sorry(sorry.why)),
        // Answers a question that only `enroll` asks; and what is no matter of the device.
        from_server::What::Joined(_) | from_server::What::Kept(_) => None,
    })
}

/// What can be read of it: one item that cannot keeps none of the others away, nor what comes behind them.
fn readable(envelopes: &[String]) -> Vec<News> {
    let news: Vec<News> = envelopes.iter().filter_map(|text| read_news(text).ok()).collect();
    if news.len() < envelopes.len() {
        let unread = envelopes.len() - news.len();
        tracing::warn!(news.unread = unread, "news of the server cannot be read, and are passed over");
    }
    news
}

async fn speak<W: AsyncWrite + Unpin>(
    mut stream: W,
    mut queue: mpsc::UnboundedReceiver<Queued>,
) -> Result<std::convert::Infallible, LinkError> {
    while let Some(Queued { what, _room }) = queue.recv().await {
        let write = say(&mut stream, what, queue.is_empty());
        timeout(DEAD, write).await.map_err(|_| LinkError::Stuck)??;
    }
    Err(LinkError::Closed)
}

/// Writes one message.
///
/// # Errors
/// The connection broke.
pub async fn say<W: AsyncWrite + Unpin>(
    stream: &mut W,
    what: from_agent::What,
    flush: bool,
) -> io::Result<()> {
    stream.write_all(&encode(&FromAgent { what: Some(what) })).await?;
    if flush { stream.flush().await } else { Ok(()) }
}

/// Until a policy comes that does not name `server`.
async fn not_named(server: &Server, servers: &mut watch::Receiver<Vec<Server>>) {
    while servers.borrow_and_update().contains(server) {
        if servers.changed().await.is_err() {
            return;
        }
    }
}
