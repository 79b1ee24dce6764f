//! What the server is measured against: tokio and rustls with the server's own TLS configuration, and nothing else. It holds
//! connections; told to, it pushes as many bytes to each and waits until each has sent as many back, or waits for nobody.

use std::io::BufRead as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use countersign_agent::link::{Server, greet};
use countersign_agent::tls::Identity;
use countersign_server::tls::Tls;
use countersign_swarm::cast::Machine;
use countersign_swarm::place;
use countersign_swarm::swarm::Moments;
use countersign_trust::ids::Sha256;
use countersign_trust::note::{Note, VerifierKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::client::TlsStream;

const FLAG: &str = "--raw-server";

/// Becomes the raw server, in a process that [`Raw::start`] began; returns in every other.
pub fn act() {
    let words: Vec<String> = std::env::args().collect();
    if words.get(1).map(String::as_str) == Some(FLAG) {
        let tls = Tls::new(&std::fs::read(&words[2]).unwrap()).unwrap();
        tokio::runtime::Runtime::new().unwrap().block_on(serve(tls));
    }
}

/// What is to be pushed, and how much is to come back.
type Push = (Arc<[u8]>, usize);

async fn serve(tls: Tls) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let (push, _) = watch::channel::<Push>((Arc::new([]), 0));
    let (push, answered) = (Arc::new(push), Arc::new(AtomicU64::new(0)));
    std::thread::spawn({
        let (push, answered) = (push.clone(), answered.clone());
        move || obey(&push, &answered)
    });
    let acceptor = TlsAcceptor::from(tls.for_agents());
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (acceptor, push, answered) = (acceptor.clone(), push.subscribe(), answered.clone());
        tokio::spawn(async move {
            let stream = acceptor.accept(stream).await;
            hold(stream.unwrap(), push, &answered).await;
        });
    }
}

async fn hold(
    mut stream: tokio_rustls::server::TlsStream<TcpStream>,
    mut push: watch::Receiver<Push>,
    answered: &AtomicU64,
) {
    let mut piece = [0; 512];
    let mut owed = 0_usize;
    loop {
        tokio::select! {
            read = stream.read(&mut piece) => {
                let Some(length @ 1..) = read.ok() else { return };
                if owed > 0 {
                    owed = owed.saturating_sub(length);
                    if owed == 0 {
                        answered.fetch_add(1, Relaxed);
                    }
                }
            }
            changed = push.changed() => {
                changed.unwrap();
                let (bytes, reply) = push.borrow_and_update().clone();
                owed = reply;
                stream.write_all(&bytes).await.unwrap();
                stream.flush().await.unwrap();
            }
        }
    }
}

/// Each line says how many bytes to push, how many are to come back, from how many; the answer is how long that took, in
/// microseconds.
fn obey(push: &watch::Sender<Push>, answered: &AtomicU64) {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let numbers: Vec<usize> = line.split(' ').map(|word| word.parse().unwrap()).collect();
        answered.store(0, Relaxed);
        let began = Instant::now();
        push.send_replace((vec![7; numbers[0]].into(), numbers[1]));
        while answered.load(Relaxed) < u64::try_from(numbers[2]).unwrap() {
            std::thread::sleep(Duration::from_millis(1));
        }
        println!("{}", began.elapsed().as_micros());
    }
    std::process::exit(0);
}

/// A raw server's process.
pub struct Raw {
    pub process: Child,
    pub address: SocketAddr,
    output: std::io::BufReader<ChildStdout>,
}

impl Raw {
    /// A raw server with the certificate in this file.
    pub fn start(pem: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(FLAG).arg(pem).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut output = std::io::BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        Self { process, address: line.trim().parse().unwrap(), output }
    }

    /// Pushes `bytes` to each of `count` connections and waits until `reply` bytes of each have come back.
    pub fn push(&mut self, bytes: usize, reply: usize, count: usize) -> Duration {
        use std::io::Write as _;
        let mut input = self.process.stdin.as_ref().unwrap();
        writeln!(input, "{bytes} {reply} {count}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        Duration::from_micros(line.trim().parse().unwrap())
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

/// What a raw client does with each push.
#[derive(Clone)]
pub enum Then {
    /// Says as many bytes.
    Reply(usize),
    /// Checks one Ed25519 signature, and counts.
    Check(Arc<Check>),
}

/// What raw clients check.
pub struct Check {
    pub note: Note,
    pub key: VerifierKey,
    pub checked: Moments,
}

/// Raw clients, as many as the swarm's machines and with their keys.
#[derive(Default)]
pub struct Clients {
    tasks: JoinSet<()>,
    open: Arc<AtomicU64>,
}

impl Clients {
    /// So many more, which say as much at first as an agent does; returns once they are connected.
    pub async fn grow(
        &mut self,
        count: u64,
        raw: SocketAddr,
        pin: Sha256,
        first_words: usize,
        push: usize,
        then: Then,
    ) {
        let turns = Arc::new(Semaphore::new(512));
        let have = u64::try_from(self.tasks.len()).unwrap();
        for number in have..have + count {
            let (turns, open, then) = (turns.clone(), self.open.clone(), then.clone());
            self.tasks.spawn(async move {
                let turn = turns.acquire().await.unwrap();
                let mut stream = connect(number, raw, pin).await;
                stream.write_all(&vec![1; first_words]).await.unwrap();
                stream.flush().await.unwrap();
                drop(turn);
                open.fetch_add(1, Relaxed);
                hear(&mut stream, push, then).await;
            });
        }
        while self.open.load(Relaxed) < have + count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn connect(number: u64, raw: SocketAddr, pin: Sha256) -> TlsStream<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(place::source(number, raw.ip()).unwrap()).unwrap();
    let stream = socket.connect(raw).await.unwrap();
    let server = Server { address: raw.to_string(), pin: Some(pin) };
    greet(&Identity::new(&Machine::new(1, number).seed).unwrap(), &server, stream).await.unwrap()
}

async fn hear(stream: &mut TlsStream<TcpStream>, push: usize, then: Then) {
    let mut heard = 0;
    let mut piece = vec![0; 8 * 1024];
    loop {
        let length = stream.read(&mut piece).await.unwrap();
        if length == 0 {
            return;
        }
        heard += length;
        while push > 0 && heard >= push {
            heard -= push;
            match &then {
                Then::Reply(reply) => {
                    stream.write_all(&vec![2; *reply]).await.unwrap();
                    stream.flush().await.unwrap();
                }
                Then::Check(check) => {
                    assert!(check.note.signed_by(&check.key));
                    check.checked.note();
                }
            }
        }
    }
}
