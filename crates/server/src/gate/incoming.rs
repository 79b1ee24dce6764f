//! What an agent sends, cut into messages.

use std::time::Duration;

use countersign_wire::frame::{Decoder, FrameError, MOST_FROM_AGENT};
use countersign_wire::message::{FromAgent, from_agent};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout_at};

/// How long a frame may take once it has begun.
const FRAME_TIME: Duration = Duration::from_secs(30);

/// The reading half of a connection.
#[derive(Debug)]
pub struct Incoming<R> {
    stream: R,
    decoder: Decoder,
    piece: Box<[u8; 4_096]>,
}

/// Why no further message comes.
#[derive(Debug, thiserror::Error)]
pub enum IncomingError {
    /// Not frames.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The connection broke, or ended in the middle of a frame.
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    /// The agent was silent for too long.
    #[error("no message came within {} s", .0.as_secs())]
    Silent(Duration),
    /// A frame dribbles.
    #[error("a frame that had begun was not whole within {} s", .0.as_secs())]
    Slow(Duration),
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    /// Reads from `stream`.
    pub fn new(stream: R) -> Self {
        Self { stream, decoder: Decoder::new(MOST_FROM_AGENT), piece: Box::new([0; 4_096]) }
    }

    /// From here on takes frames of at most `most` bytes.
    pub fn allow(&mut self, most: usize) {
        self.decoder.allow(most);
    }

    /// The next message, however its bytes are cut; none once the agent has ended the connection between two.
    ///
    /// A message without a known content (a newer agent's) is passed over.
    pub async fn next(&mut self, within: Duration) -> Result<Option<from_agent::What>, IncomingError> {
        let (silent, patience) = (Instant::now() + within, FRAME_TIME.min(within));
        let mut slow = None;
        loop {
            while let Some(message) = self.decoder.next_message::<FromAgent>()? {
                slow = None;
                if message.what.is_some() {
                    return Ok(message.what);
                }
            }
            let inside = self.decoder.is_inside();
            if inside && slow.is_none() {
                slow = Some(Instant::now() + patience);
            }
            let late = if inside { IncomingError::Slow(patience) } else { IncomingError::Silent(within) };
            let read = self.stream.read(self.piece.as_mut_slice());
            let length = timeout_at(slow.unwrap_or(silent), read).await.map_err(|_| late)??;
            if length == 0 {
                let broken = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                return if inside { Err(broken.into()) } else { Ok(None) };
            }
            self.decoder.push(self.piece.get(..length).unwrap_or_default());
        }
    }
}
