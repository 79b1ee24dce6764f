//! What an agent sends, cut into messages.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::ready;
use std::time::Duration;

use countersign_wire::frame::{Decoder, FrameError, MOST_FROM_AGENT};
use countersign_wire::message::{FromAgent, from_agent};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, timeout_at};

/// How long a frame may take once it has begun.
const FRAME_TIME: Duration = Duration::from_secs(30);

/// How much is read at once.
const PIECE: usize = 4_096;

/// The reading half of a connection.
#[derive(Debug)]
pub struct Incoming<R> {
    stream: R,
    decoder: Decoder,
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
        Self { stream, decoder: Decoder::new(MOST_FROM_AGENT) }
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
            let read = timeout_at(slow.unwrap_or(silent), self.read_some());
            if read.await.map_err(|_| late)?? == 0 {
                let broken = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                return if inside { Err(broken.into()) } else { Ok(None) };
            }
        }
    }

    /// Reads what there is. The room for it is on the stack of whoever runs the task: an agent that says nothing takes none.
    async fn read_some(&mut self) -> std::io::Result<usize> {
        let Self { stream, decoder } = self;
        poll_fn(|context| {
            let mut piece = [0; PIECE];
            let mut piece = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut piece))?;
            decoder.push(piece.filled());
            std::io::Result::Ok(piece.filled().len()).into()
        })
        .await
    }
}
