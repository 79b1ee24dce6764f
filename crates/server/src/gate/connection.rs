//! One agent's connection, as the rest of the server sees it: a bounded queue of frames, and what the agent holds.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use countersign_trust::chain::Chain;
use countersign_trust::delivery::News;
use countersign_trust::ids::{DeviceId, OrgId, Sha256};
use countersign_wire::frame::encode;
use countersign_wire::message::{FromServer, NewsTexts, Sorry, from_server};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

/// How many frames may wait for an agent that does not read.
const MOST_FRAMES: usize = 4_096 + 64;
/// How many bytes may wait for an agent that does not read.
const MOST_BYTES: usize = 8 << 20;
/// How long one frame may take.
const WRITE_TIME: Duration = Duration::from_secs(30);

/// A frame as it goes over the wire; the same bytes may go to many.
pub type Frame = Arc<[u8]>;

/// The frame of a message.
pub fn frame(what: from_server::What) -> Frame {
    encode(&FromServer { what: Some(what) }).into()
}

/// A connection of an enrolled device.
#[derive(Debug)]
pub struct Connection {
    /// Its organization.
    pub org: OrgId,
    /// The device.
    pub device: DeviceId,
    /// The key of its certificate, by which it signs receipts.
    pub key: [u8; 32],
    queue: mpsc::Sender<Queued>,
    bytes: Arc<AtomicUsize>,
    cut: Notify,
    held: Mutex<Held>,
}

/// What the agent is known to hold.
#[derive(Debug, Default)]
struct Held {
    challenge: Option<[u8; 32]>,
    policy_number: u64,
    statements: BTreeSet<Sha256>,
}

#[derive(Debug)]
enum Queued {
    Frame(Frame),
    /// Nothing is written after this one.
    Last(Frame),
}

/// The other end of a connection's queue.
#[derive(Debug)]
pub struct Outgoing {
    queue: mpsc::Receiver<Queued>,
    bytes: Arc<AtomicUsize>,
}

/// Why writing to an agent ended.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    /// The agent does not read.
    #[error("a frame of {bytes} bytes was not read within {} s", WRITE_TIME.as_secs())]
    Slow {
        /// The frame's size.
        bytes: usize,
    },
}

impl Connection {
    /// A connection of the device with `key`, which says that it holds `policy_number` and `statements` (resumes and
    /// halts).
    pub fn new(
        org: OrgId,
        key: [u8; 32],
        policy_number: u64,
        statements: BTreeSet<Sha256>,
    ) -> (Arc<Self>, Outgoing) {
        let (sender, queue) = mpsc::channel(MOST_FRAMES);
        let bytes = Arc::new(AtomicUsize::new(0));
        let held = Mutex::new(Held { challenge: None, policy_number, statements });
        let cut = Notify::new();
        let device = DeviceId::of_key(&key);
        let connection = Self { org, device, key, queue: sender, bytes: bytes.clone(), cut, held };
        (Arc::new(connection), Outgoing { queue, bytes })
    }

    /// Queues a frame; never waits. An agent that lets too much wait is cut off: it reads too slowly or not at all.
    pub fn send(&self, frame: &Frame) {
        let waiting = self.bytes.fetch_add(frame.len(), Ordering::Relaxed);
        let fits = waiting == 0 || waiting + frame.len() <= MOST_BYTES;
        if !fits || self.queue.try_send(Queued::Frame(frame.clone())).is_err() {
            self.cut.notify_one();
        }
    }

    /// Queues a last sentence, after which the connection is closed.
    pub fn dismiss(&self, why: String) {
        let last = frame(from_server::What::Sorry(Sorry { why }));
        self.bytes.fetch_add(last.len(), Ordering::Relaxed);
        if self.queue.try_send(Queued::Last(last)).is_err() {
            self.cut.notify_one();
        }
    }

    /// Returns once the agent has let too much wait.
    pub async fn overrun(&self) {
        self.cut.notified().await;
    }

    /// Keeps the newest challenge. True if it is the connection's first.
    pub fn leave_challenge(&self, challenge: [u8; 32]) -> bool {
        self.held().challenge.replace(challenge).is_none()
    }

    /// The newest challenge.
    pub fn challenge(&self) -> Option<[u8; 32]> {
        self.held().challenge
    }

    /// What of `chain` the agent lacks; from here on it counts as held, since frames keep their order.
    pub fn lacks(&self, chain: &Chain) -> Vec<News> {
        let mut held = self.held();
        let mut news = News::since(chain, held.policy_number);
        // A device that never held a halt which is lifted does not keep it, and would be brought it again each time.
        news.retain(|news| !chain.has_lifted(&news.hash()) && held.takes(news));
        held.policy_number = held.policy_number.max(chain.policy().body.number);
        news
    }

    /// Queues a frame that carries `news`, if the agent lacks any of it.
    pub fn send_news(&self, news: &[News], frame: &Frame) {
        let mut held = self.held();
        if news.iter().filter(|news| held.takes(news)).count() > 0 {
            self.send(frame);
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Notes that the agent holds `news`; false if it did before.
    fn takes(&mut self, news: &News) -> bool {
        self.statements.insert(news.hash())
    }
}

/// The frame that carries `news`.
pub fn news_frame(news: &[News]) -> Frame {
    let envelopes = news.iter().map(ToString::to_string).collect();
    frame(from_server::What::News(NewsTexts { envelopes }))
}

impl Outgoing {
    /// Writes what is queued until the last frame, or until the agent is found not to read.
    pub async fn write_all(&mut self, stream: &mut (impl AsyncWrite + Unpin)) -> Result<(), WriteError> {
        while let Some(queued) = self.queue.recv().await {
            let (frame, last) = match queued {
                Queued::Frame(frame) => (frame, false),
                Queued::Last(frame) => (frame, true),
            };
            let bytes = frame.len();
            let write = async {
                stream.write_all(&frame).await?;
                if last || self.queue.is_empty() { stream.flush().await } else { Ok(()) }
            };
            timeout(WRITE_TIME, write).await.map_err(|_| WriteError::Slow { bytes })??;
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            if last {
                break;
            }
        }
        Ok(())
    }
}
