//! One agent's connection, as the rest of the server sees it: a bounded queue of frames, and what the agent holds.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use countersign_trust::chain::Chain;
use countersign_trust::delivery::News;
use countersign_trust::ids::{DeviceId, OrgId, Sha256};
use countersign_wire::frame::encode;
use countersign_wire::message::{FromServer, NewsTexts, Sorry, from_server};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::timeout;

/// Of how many jobs it is remembered that they are new to an agent.
const MOST_NEW_JOBS: usize = 64;
/// How many frames may wait for an agent that does not read.
const MOST_FRAMES: usize = 4_096 + 64;
/// How many bytes may wait for an agent that does not read.
const MOST_BYTES: usize = 8 << 20;
/// How many bytes of news go into one frame. One piece of news is far smaller: a policy has 256 kB, and the proof beside it.
const MOST_NEWS_BYTES: usize = 1 << 20;
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
    queue: Arc<Queue>,
    cut: Notify,
    held: Mutex<Held>,
}

/// What the agent is known to hold.
#[derive(Debug, Default)]
struct Held {
    challenge: Option<[u8; 32]>,
    policy_number: u64,
    statements: BTreeSet<Sha256>,
    /// Jobs that it was brought for the first time, and of which it has printed nothing yet.
    new_jobs: BTreeSet<Sha256>,
    /// The halts that stop something there, as it says itself.
    halts: BTreeSet<Sha256>,
}

/// What waits to be written. An empty one takes no room but its own: most are empty most of the time.
#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Frame>,
    /// Bytes of these frames, and of the one that is being written.
    bytes: usize,
    /// Nothing is written after the last of these frames.
    last: bool,
}

/// The other end of a connection's queue.
#[derive(Debug)]
pub struct Outgoing {
    queue: Arc<Queue>,
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
        let queue = Arc::<Queue>::default();
        let held = Mutex::new(Held { policy_number, statements, ..Held::default() });
        let cut = Notify::new();
        let device = DeviceId::of_key(&key);
        let connection = Self { org, device, key, queue: queue.clone(), cut, held };
        (Arc::new(connection), Outgoing { queue })
    }

    /// Queues a frame; never waits. An agent that lets too much wait is cut off: it reads too slowly or not at all.
    pub fn send(&self, frame: &Frame) {
        if !self.queue.push(frame.clone(), false) {
            self.cut.notify_one();
        }
    }

    /// Queues a last sentence, after which the connection is closed.
    pub fn dismiss(&self, why: String) {
        if !self.queue.push(frame(from_server::What::Sorry(Sorry { why })), true) {
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

    /// Queues the frames that carry `news`, if the agent lacks any of it.
    pub fn send_news(&self, news: &[News], frames: &[Frame]) {
        let mut held = self.held();
        if news.iter().filter(|news| held.takes(news)).count() > 0 {
            frames.iter().for_each(|frame| self.send(frame));
        }
    }

    /// Keeps what the agent says of the halts on its disk.
    pub fn says_halted(&self, halts: BTreeSet<Sha256>) {
        self.held().halts = halts;
    }

    /// Whether the agent has said that it has this halt on its disk.
    pub fn says_it_has(&self, halt: &Sha256) -> bool {
        self.held().halts.contains(halt)
    }

    /// Notes that the agent is brought a job for the first time ever: nothing it printed can be in the records.
    pub fn gets_new(&self, job: Sha256) {
        let mut held = self.held();
        if held.new_jobs.len() < MOST_NEW_JOBS {
            held.new_jobs.insert(job);
        }
    }

    /// Whether a job is new to the agent. It no longer is after this was asked.
    pub fn was_new(&self, job: &Sha256) -> bool {
        self.held().new_jobs.remove(job)
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

/// The frames that carry `news`, in order: a history may be larger than a frame may be.
pub fn news_frames(news: &[News]) -> Vec<Frame> {
    text_frames(news.iter().map(ToString::to_string))
}

/// Takes what has no room beside other things in a frame out of `news`, but for the first `stay`: the frames that go before that
/// one. None if all has room.
pub fn frames_before(news: &mut Vec<String>, stay: usize) -> Vec<Frame> {
    if news.iter().map(String::len).sum::<usize>() <= MOST_NEWS_BYTES {
        return Vec::new();
    }
    text_frames(news.split_off(stay.min(news.len())))
}

fn text_frames(news: impl IntoIterator<Item = String>) -> Vec<Frame> {
    let (mut parts, mut bytes): (Vec<Vec<String>>, usize) = (Vec::new(), 0);
    for text in news {
        bytes += text.len();
        match parts.last_mut().filter(|_| bytes <= MOST_NEWS_BYTES) {
            Some(part) => part.push(text),
            None => {
                bytes = text.len();
                parts.push(vec![text]);
            }
        }
    }
    parts.into_iter().map(|envelopes| frame(from_server::What::News(NewsTexts { envelopes }))).collect()
}

impl Queue {
    /// False if there is no room. What comes after a last frame is dropped.
    fn push(&self, frame: Frame, last: bool) -> bool {
        let mut waiting = self.waiting();
        let fits = waiting.bytes == 0 || last || waiting.bytes + frame.len() <= MOST_BYTES;
        if !fits || waiting.frames.len() >= MOST_FRAMES {
            return false;
        }
        if !waiting.last {
            waiting.bytes += frame.len();
            waiting.frames.push_back(frame);
            waiting.last = last;
        }
        drop(waiting);
        self.changed.notify_one();
        true
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next frame, and whether none follows it for now, or for ever.
    async fn next(&self) -> (Frame, Follows) {
        loop {
            let changed = self.changed.notified();
            if let Some(next) = self.waiting().pop() {
                return next;
            }
            changed.await;
        }
    }
}

/// What comes behind a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Follows {
    More,
    NothingYet,
    NothingEver,
}

impl Waiting {
    fn pop(&mut self) -> Option<(Frame, Follows)> {
        let frame = self.frames.pop_front()?;
        let follows = match (self.frames.is_empty(), self.last) {
            (false, _) => Follows::More,
            (true, false) => Follows::NothingYet,
            (true, true) => Follows::NothingEver,
        };
        if self.frames.is_empty() {
            self.frames = VecDeque::new();
        }
        Some((frame, follows))
    }
}

impl Outgoing {
    /// Writes frames before all that is queued: a long history has no room there.
    pub async fn write_first(
        &self,
        frames: &[Frame],
        stream: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), WriteError> {
        for frame in frames {
            let bytes = frame.len();
            timeout(WRITE_TIME, stream.write_all(frame)).await.map_err(|_| WriteError::Slow { bytes })??;
        }
        Ok(())
    }

    /// Writes what is queued until the last frame, or until the agent is found not to read.
    pub async fn write_all(&mut self, stream: &mut (impl AsyncWrite + Unpin)) -> Result<(), WriteError> {
        loop {
            let (frame, follows) = self.queue.next().await;
            let bytes = frame.len();
            let write = async {
                stream.write_all(&frame).await?;
                if follows == Follows::More { Ok(()) } else { stream.flush().await }
            };
            timeout(WRITE_TIME, write).await.map_err(|_| WriteError::Slow { bytes })??;
            let mut waiting = self.queue.waiting();
            waiting.bytes = waiting.bytes.saturating_sub(bytes);
            drop(waiting);
            if follows == Follows::NothingEver {
                return Ok(());
            }
        }
    }
}
