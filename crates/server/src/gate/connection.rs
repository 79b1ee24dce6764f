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
/// How many halts may wait in front of everything; more wait in their turn. More than any Clear can name.
const MOST_IN_FRONT: usize = 64;
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
    /// Halts: written before all that waits in its turn.
    front: VecDeque<Frame>,
    frames: VecDeque<Frame>,
    /// Bytes of all these frames, and of the one that is being written.
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

    /// Queues a halt in front of everything that waits, also where the agent has it by fewer signatures.
    ///
    /// Where it goes past something it comes once more in its turn: what it went past may be the policy by which it is judged.
    pub fn send_halt(&self, halt: &News, frame: &Frame) {
        let mut held = self.held();
        held.takes(halt);
        self.put_in_front(frame);
    }

    /// The same, if the agent lacks it.
    pub fn send_halt_if_lacking(&self, halt: &News, frame: &Frame) {
        let mut held = self.held();
        if held.takes(halt) {
            self.put_in_front(frame);
        }
    }

    fn put_in_front(&self, frame: &Frame) {
        if !self.queue.push_front(frame) && !self.queue.push(frame.clone(), false) {
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

    /// False if it has to come in its turn, too: it goes past something, or there is no room in front.
    fn push_front(&self, frame: &Frame) -> bool {
        let mut waiting = self.waiting();
        let passes = !waiting.frames.is_empty();
        if waiting.front.len() >= MOST_IN_FRONT {
            return false;
        }
        if !waiting.last {
            waiting.bytes += frame.len();
            waiting.front.push_back(frame.clone());
        }
        drop(waiting);
        self.changed.notify_one();
        !passes
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
        let frame = self.front.pop_front().or_else(|| self.frames.pop_front())?;
        let follows = match (self.front.is_empty() && self.frames.is_empty(), self.last) {
            (false, _) => Follows::More,
            (true, false) => Follows::NothingYet,
            (true, true) => Follows::NothingEver,
        };
        // Empty ones take no room.
        for queue in [&mut self.front, &mut self.frames] {
            if queue.is_empty() {
                *queue = VecDeque::new();
            }
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

#[cfg(test)]
mod tests {
    use countersign_trust::envelope::Signed;
    use countersign_trust::sshsig::SshSigner;
    use countersign_trust::statement::Kind;
    use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};

    use super::*;

    /// What nobody judges here: another text for each number.
    fn halt(number: u8) -> (News, Frame) {
        let signer = SshSigner::from_seed(&[1; 32]).unwrap();
        let text = format!("{{\n  \"number\": {number}\n}}\n");
        let signature = signer.sign(&Kind::Halt.namespace(), text.as_bytes()).unwrap();
        let halt = News::Halt(Signed::new(text, vec![signature]).unwrap());
        let frame = news_frames(std::slice::from_ref(&halt)).pop().unwrap();
        (halt, frame)
    }

    fn delivery(number: u8) -> Frame {
        vec![number; 20_000].into()
    }

    /// A connection whose agent has read nothing yet, and of what the server writes only so many bytes have room on the way.
    fn slow() -> (Arc<Connection>, DuplexStream, tokio::task::JoinHandle<Result<(), WriteError>>) {
        let (connection, mut outgoing) = Connection::new(OrgId([1; 32]), [2; 32], 1, BTreeSet::new());
        let (agent, mut server) = duplex(1_000);
        let written = tokio::spawn(async move { outgoing.write_all(&mut server).await });
        (connection, agent, written)
    }

    async fn read(agent: &mut DuplexStream, frames: &[Frame]) {
        for (place, frame) in frames.iter().enumerate() {
            let mut found = vec![0; frame.len()];
            agent.read_exact(&mut found).await.unwrap();
            assert!(found == **frame, "another frame came as number {place}");
        }
    }

    #[tokio::test]
    async fn a_halt_goes_past_every_delivery_that_waits_for_an_agent_that_reads_slowly() {
        let (connection, mut agent, written) = slow();
        let deliveries = [1, 2, 3].map(delivery);
        deliveries.iter().for_each(|delivery| connection.send(delivery));
        // The first is on its way.
        let mut begun = [0; 10];
        agent.read_exact(&mut begun).await.unwrap();
        let (halt, frame) = halt(1);
        connection.send_halt(&halt, &frame);
        // Nothing comes of one that it has by then.
        connection.send_halt_if_lacking(&halt, &frame);
        connection.dismiss("enough".to_owned());
        let [first, second, third] = deliveries;
        read(&mut agent, &[first[10..].into(), frame.clone(), second, third]).await;
        // Once more in its turn: it may have gone past the policy by which it is judged.
        read(&mut agent, &[frame]).await;
        let mut rest = Vec::new();
        agent.read_to_end(&mut rest).await.unwrap();
        assert!(String::from_utf8_lossy(&rest).ends_with("enough"));
        written.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_halt_that_goes_past_nothing_comes_once() {
        let (connection, mut agent, written) = slow();
        let (halt, frame) = halt(1);
        connection.send_halt_if_lacking(&halt, &frame);
        read(&mut agent, &[frame]).await;
        connection.dismiss("enough".to_owned());
        let mut rest = Vec::new();
        agent.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest.len(), "enough".len() + 8, "a length, two tags with theirs, and the sentence");
        written.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_flood_of_halts_has_so_much_room_in_front_and_the_rest_waits_its_turn() {
        let (connection, mut outgoing) = Connection::new(OrgId([1; 32]), [2; 32], 1, BTreeSet::new());
        let delivery = delivery(1);
        connection.send(&delivery);
        let halts: Vec<(News, Frame)> = (0..100).map(halt).collect();
        halts.iter().for_each(|(halt, frame)| connection.send_halt(halt, frame));
        connection.dismiss("enough".to_owned());
        let (mut agent, mut server) = duplex(1_000);
        let written = tokio::spawn(async move { outgoing.write_all(&mut server).await });
        let frames: Vec<Frame> = halts.into_iter().map(|(_, frame)| frame).collect();
        read(&mut agent, &frames[..MOST_IN_FRONT]).await;
        read(&mut agent, &[delivery]).await;
        read(&mut agent, &frames).await;
        let mut rest = Vec::new();
        agent.read_to_end(&mut rest).await.unwrap();
        written.await.unwrap().unwrap();
    }
}
