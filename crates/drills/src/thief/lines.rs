//! The thief at the server's address: agents connect, leave challenges and send receipts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use countersign_thief::loot::Loot;
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::note::Note;
use countersign_trust::receipt::Receipt;
use countersign_wire::frame::{Decoder, MOST_FROM_AGENT};
use countersign_wire::message::{FromAgent, from_agent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What is known of one agent.
#[derive(Default)]
struct Line {
    out: Option<mpsc::UnboundedSender<Vec<u8>>>,
    challenge: Option<[u8; 32]>,
    receipts: BTreeMap<u64, Note>,
}

/// Lines to all agents, and how many receipts came for each job.
#[derive(Default)]
struct All {
    lines: BTreeMap<DeviceId, Line>,
    said: BTreeMap<Sha256, usize>,
}

/// Lines to all agents.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<All>>);

impl Lines {
    fn lock(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap()
    }

    /// The newest challenge of an agent, if it has left one on this connection.
    pub fn challenge(&self, device: &DeviceId) -> Option<[u8; 32]> {
        self.lock().lines.get(device)?.challenge
    }

    /// Forgets what an agent left, because it is about to start again.
    pub fn forget(&self, device: &DeviceId) {
        let mut all = self.lock();
        let line = all.lines.entry(*device).or_default();
        (line.out, line.challenge) = (None, None);
    }

    /// Sends a frame.
    pub fn send(&self, device: &DeviceId, frame: Vec<u8>) {
        let all = self.lock();
        let out = all.lines[device].out.as_ref().expect("it is connected");
        assert!(out.send(frame).is_ok(), "{device} has gone");
    }

    /// How many agents are connected and have left a challenge.
    pub fn there(&self) -> usize {
        self.lock().lines.values().filter(|line| line.out.is_some() && line.challenge.is_some()).count()
    }

    /// How many receipts have come for these jobs.
    pub fn said(&self, jobs: &[Sha256]) -> usize {
        let all = self.lock();
        jobs.iter().filter_map(|job| all.said.get(job)).sum()
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        self.lock().lines.values_mut().for_each(|line| line.out = None);
    }

    /// All receipts of an agent, by number.
    pub fn receipts(&self, device: &DeviceId) -> Vec<(Note, Receipt)> {
        let notes: Vec<Note> = self
            .lock()
            .lines
            .get(device)
            .map(|line| line.receipts.values().cloned().collect())
            .unwrap_or_default();
        notes.into_iter().map(|note| (note.clone(), note.text().parse().unwrap())).collect()
    }

    /// Serves agents until it is dropped.
    pub async fn serve(self, listener: TcpListener, loot: Arc<Loot>) {
        let acceptor = TlsAcceptor::from(Arc::new(loot.tls().unwrap()));
        // They end with it.
        let mut agents = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, lines) = (acceptor.clone(), self.clone());
            agents.spawn(async move { lines.agent(acceptor, stream).await });
        }
    }

    /// One connection, until either side leaves.
    async fn agent(self, acceptor: TlsAcceptor, stream: TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        let stream = acceptor.accept(stream).await.ok()?;
        let device = countersign_thief::device_of(&stream).ok()?;
        let (mut read, mut write) = tokio::io::split(stream);
        let (out, mut frames) = mpsc::unbounded_channel::<Vec<u8>>();
        tokio::spawn(async move {
            while let Some(frame) = frames.recv().await {
                if write.write_all(&frame).await.is_err()
                    || (frames.is_empty() && write.flush().await.is_err())
                {
                    break;
                }
            }
        });
        let mut decoder = Decoder::new(MOST_FROM_AGENT);
        let mut piece = vec![0; 64 * 1024];
        loop {
            let count = read.read(&mut piece).await.ok().filter(|count| *count > 0)?;
            decoder.push(&piece[..count]);
            while let Some(message) = decoder.next_message::<FromAgent>().unwrap() {
                self.hear(&device, message.what?, &out);
            }
        }
    }

    fn hear(&self, device: &DeviceId, what: from_agent::What, out: &mpsc::UnboundedSender<Vec<u8>>) {
        let mut all = self.lock();
        let All { lines, said } = &mut *all;
        let line = lines.entry(*device).or_default();
        match what {
            from_agent::What::Hello(_) => line.out = Some(out.clone()),
            from_agent::What::Challenge(challenge) => line.challenge = challenge.random.try_into().ok(),
            from_agent::What::Receipt(receipt) => {
                let note: Note = receipt.note.parse().unwrap();
                let Receipt { number, job, .. } = note.text().parse().unwrap();
                // Those that nobody acknowledges come again on each connection.
                if line.receipts.insert(number, note).is_none() {
                    job.into_iter().for_each(|job| *said.entry(job).or_default() += 1);
                }
            }
            _ => {}
        }
    }
}
