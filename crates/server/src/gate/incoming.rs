//! What an agent sends, cut into messages.

use std::time::Duration;

use countersign_wire::frame::{Decoder, FrameError, MOST_FROM_AGENT};
use countersign_wire::message::{FromAgent, from_agent};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

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
    #[error("no whole message came within {} s", .0.as_secs())]
    Silent(Duration),
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    /// Reads from `stream`.
    pub fn new(stream: R) -> Self {
        Self { stream, decoder: Decoder::new(MOST_FROM_AGENT), piece: Box::new([0; 4_096]) }
    }

    /// The next message, however its bytes are cut; none once the agent has ended the connection between two.
    ///
    /// A message without a known content (a newer agent's) is passed over.
    pub async fn next(&mut self, within: Duration) -> Result<Option<from_agent::What>, IncomingError> {
        timeout(within, self.read()).await.map_err(|_| IncomingError::Silent(within))?
    }

    async fn read(&mut self) -> Result<Option<from_agent::What>, IncomingError> {
        let mut inside = false;
        loop {
            while let Some(message) = self.decoder.next_message::<FromAgent>()? {
                if message.what.is_some() {
                    return Ok(message.what);
                }
            }
            let length = self.stream.read(self.piece.as_mut_slice()).await?;
            let piece = self.piece.get(..length).unwrap_or_default();
            if piece.is_empty() {
                return if inside {
                    Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into())
                } else {
                    Ok(None)
                };
            }
            self.decoder.push(piece);
            inside = true;
        }
    }
}
