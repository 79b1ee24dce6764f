//! One machine's connection: it joins where it has not, connects, and comes back when it was cut off.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::ready;
use std::time::Duration;

use countersign_agent::beacons::{self, Question};
use countersign_agent::drive::Heard;
use countersign_agent::enroll::EnrollError;
use countersign_agent::link::{LinkError, Server, greet, input, say};
use countersign_agent::tls::{Identity, TlsError};
use countersign_trust::device::Input;
use countersign_wire::frame::{Decoder, MOST_FROM_SERVER};
use countersign_wire::message::{FromServer, Join, from_agent, from_server};
use countersign_wire::token::Token;
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::client::TlsStream;

use crate::agent::{Agent, AgentError};
use crate::cast::Machine;
use crate::join::{self, JoinError};
use crate::place;
use crate::swarm::{Crew, ip_of};

/// How long the first answer may take: a join must be logged and cosigned.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest wait before the first new try, and between any two.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Why a machine has no connection.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("connection: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Wish(#[from] EnrollError),
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error(transparent)]
    Agent(#[from] AgentError),
    #[error("the server did not answer a join within {} s", PATIENCE.as_secs())]
    Slow,
    #[error("no token to join by")]
    NoToken,
    #[error("sent away")]
    SentAway,
}

/// A connection as the machine holds it.
struct Wire {
    stream: TlsStream<TcpStream>,
    decoder: Decoder,
}

/// Lives for ever: joins, stays connected as long as it is wanted, comes back.
pub(crate) async fn live(crew: Arc<Crew>, machine: Machine, place: u64) {
    let mut wanted = crew.wanted.subscribe();
    let (mut agent, mut failures) = (None, 0_u32);
    while wanted.wait_for(|wanted| place < *wanted).await.is_ok() {
        let away = async { drop(wanted.wait_for(|wanted| place >= *wanted).await) };
        let Err(failure) = converse(&crew, &machine, &mut agent, failures.into(), away).await;
        // What was queued for a connection that is gone is sent on the next, if it matters.
        let gone = agent.as_mut().map_or(Ok(()), |agent: &mut Box<Agent>| {
            agent.hear(Input::Disconnected, &crew.plan.conduct, &crew.counts, &mut Vec::new())
        });
        if gone.is_err() {
            return;
        }
        if matches!(failure, Failure::SentAway) {
            continue;
        }
        crew.failed(failure.to_string());
        failures = failures.saturating_add(1);
        let longest = WAITS.0.saturating_mul(2_u32.saturating_pow(failures.min(8))).min(WAITS.1);
        sleep(longest / 2 + machine.share_of(longest / 2)).await;
    }
}

/// One connection, from its beginning to its end, or until `away`.
async fn converse(
    crew: &Arc<Crew>,
    machine: &Machine,
    agent: &mut Option<Box<Agent>>,
    attempt: u64,
    away: impl Future<Output = ()>,
) -> Result<std::convert::Infallible, Failure> {
    let token = crew.token(machine, attempt).ok_or(Failure::NoToken)?;
    // What only the beginning needs is given back after it.
    let mut wire = Box::pin(begin(crew, machine, token, agent)).await?;
    let Some(agent) = agent else { return Err(Failure::NoToken) };
    let (conduct, counts) = (&crew.plan.conduct, &crew.counts);
    counts.connected.fetch_add(1, Relaxed);
    let _connected = Connected(crew);
    let mut tick = Instant::now() + machine.share_of(conduct.tick);
    let mut answers = None;
    let mut away = pin!(away);
    loop {
        let mut frames = Vec::new();
        let due = agent.next_end().map_or(tick, |end| end.min(tick));
        let heard = tokio::select! {
            read = wire.read() => { read?; None }
            heard = next(&mut answers) => heard,
            () = sleep_until(due) => None,
            () = &mut away => {
                wire.stream.shutdown().await?;
                return Err(Failure::SentAway);
            }
        };
        if let Some(heard) = heard {
            agent.hear(heard, conduct, counts, &mut frames)?;
        }
        while let Some(what) = wire.next()? {
            counts.count(&what);
            let before = agent.spooled();
            if let Some(input) = input(what)? {
                agent.hear(input, conduct, counts, &mut frames)?;
            }
            let let_go = before.saturating_sub(agent.spooled());
            counts.acknowledged.fetch_add(u64::try_from(let_go).unwrap_or(0), Relaxed);
        }
        agent.end_runs(conduct, counts, &mut frames)?;
        if tick <= Instant::now() {
            tick += conduct.tick;
            agent.hear(Input::Tick, conduct, counts, &mut frames)?;
        }
        ask(crew, agent, &mut answers);
        if !frames.is_empty() {
            counts.said_bytes.fetch_add(u64::try_from(frames.len()).unwrap_or(0), Relaxed);
            wire.stream.write_all(&frames).await?;
            wire.stream.flush().await?;
        }
    }
}

/// Counted as connected, as long as it is there.
struct Connected<'a>(&'a Crew);

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.counts.connected.fetch_sub(1, Relaxed);
    }
}

/// Connects, joins if the machine has not, and says who it is.
async fn begin(
    crew: &Crew,
    machine: &Machine,
    token: &Token,
    agent: &mut Option<Box<Agent>>,
) -> Result<Wire, Failure> {
    let _turn = crew.turns.acquire().await;
    let server = Server { address: token.server.clone(), pin: token.pin };
    let stream = open(machine, &server).await?;
    let mut wire = Wire {
        stream: greet(&Identity::new(&machine.seed)?, &server, stream).await?,
        decoder: Decoder::new(MOST_FROM_SERVER),
    };
    let agent = match agent {
        Some(agent) => agent,
        None => {
            let wish = join::wish(token, machine)?;
            let note = wish.to_string();
            say(&mut wire.stream, from_agent::What::Join(Join { note }), true).await?;
            let joined = timeout(PATIENCE, wire.joined()).await.map_err(|_| Failure::Slow)??;
            let ledger = crew.beginnings.ledger(token, joined, wish)?;
            crew.counts.joined.fetch_add(1, Relaxed);
            agent.insert(Box::new(Agent::new(machine.clone(), ledger, &crew.plan.conduct)?))
        }
    };
    let mut frames = agent.hello()?;
    agent.hear(Input::Connected, &crew.plan.conduct, &crew.counts, &mut frames)?;
    wire.stream.write_all(&frames).await?;
    wire.stream.flush().await?;
    Ok(wire)
}

async fn open(machine: &Machine, server: &Server) -> io::Result<TcpStream> {
    let from = ip_of(&server.address).and_then(|ip| place::source(machine.number, ip));
    let Some(from) = from else { return TcpStream::connect(&server.address).await };
    let mut to = lookup_host(&server.address).await?;
    let to = to.next().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let socket = TcpSocket::new_v4()?;
    socket.bind(from)?;
    socket.connect(to).await
}

/// Has beacons asked, if the device wants it and the swarm does so. One question at a time: where thousands wait for their turn, who
/// gives up its place for a newer question is never answered.
fn ask(crew: &Arc<Crew>, agent: &mut Agent, answers: &mut Option<mpsc::Receiver<Heard>>) {
    if answers.is_some() {
        return;
    }
    let Some(challenge) = agent.take_question().filter(|_| crew.plan.conduct.asks_beacons) else { return };
    let Some(chain) = agent.chain() else { return };
    let question = Question::new(chain, &challenge);
    let (to, heard) = mpsc::channel(4);
    let (turns, tls) = (crew.questions.clone(), crew.beacon_tls.clone());
    tokio::spawn(async move {
        let _turn = turns.acquire().await;
        // One question at a time is open here, and its news is taken at once.
        beacons::ask(question, tls, Arc::new(Semaphore::new(1)), to).await;
    });
    *answers = Some(heard);
}

/// The next answer of beacons; waits for ever where nobody was asked.
async fn next(answers: &mut Option<mpsc::Receiver<Heard>>) -> Option<Input> {
    let Some(open) = answers else { return std::future::pending().await };
    match open.recv().await {
        Some(Heard::Input(input) | Heard::Brought(input, _)) => Some(input),
        Some(_) => None,
        None => {
            *answers = None;
            None
        }
    }
}

impl Wire {
    /// Reads what there is. The room for it is on the stack: an idle machine keeps none.
    async fn read(&mut self) -> Result<(), LinkError> {
        let Self { stream, decoder } = self;
        let read = poll_fn(|context| {
            let mut piece = [0; 8 * 1024];
            let mut piece = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut piece))?;
            decoder.push(piece.filled());
            io::Result::Ok(piece.filled().len()).into()
        });
        if read.await? == 0 { Err(LinkError::Closed) } else { Ok(()) }
    }

    /// The next message of what was read.
    fn next(&mut self) -> Result<Option<from_server::What>, LinkError> {
        while let Some(FromServer { what }) = self.decoder.next_message()? {
            if what.is_some() {
                return Ok(what);
            }
        }
        Ok(None)
    }

    async fn joined(&mut self) -> Result<countersign_wire::message::Joined, LinkError> {
        loop {
            while let Some(what) = self.next()? {
                match what {
                    from_server::What::Joined(joined) => return Ok(joined),
                    from_server::What::Sorry(sorry) => return Err(LinkError::Sorry(sorry.why)),
                    _ => {}
                }
            }
            self.read().await?;
        }
    }
}
