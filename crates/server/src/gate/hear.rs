//! What the server does about what a connected agent says.

use std::sync::Arc;
use std::time::Duration;

use countersign_trust::clear::lifetime_ms;
use countersign_trust::ids::Sha256;
use countersign_wire::message::{Challenge, ContentError, from_agent};
use tokio::io::AsyncRead;
use tokio::time::Instant;

use super::connection::Connection;
use super::incoming::{Incoming, IncomingError};
use super::output::{OutputError, Outputs};
use super::pace::Pace;
use crate::app::{App, Org};
use crate::dispatch;
use crate::receipts::{self, ReceiptError};
use crate::tripwires::canaries::{Canaries, CanaryError};

/// How many frames are heard at once, and how often one more: all that an agent may have kept while it was away, and then
/// as fast as a job writes.
const FRAMES: (u32, Duration) = (16_384, Duration::from_millis(4));

/// Why the server no longer listens to an agent.
#[derive(Debug, thiserror::Error)]
pub enum HearError {
    /// Nothing readable comes.
    #[error(transparent)]
    Incoming(#[from] IncomingError),
    /// A second Hello or a late Join.
    #[error("a Hello or a Join can only come first on a connection")]
    TooLate,
    /// Not 32 bytes.
    #[error("a challenge of {found} bytes, expected 32")]
    Challenge {
        /// How many came.
        found: usize,
    },
    /// Halts that are none, or too many.
    #[error(transparent)]
    Halted(#[from] ContentError),
    /// A receipt that the device has not made.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// Output of nothing.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A canary's note that the device has not made.
    #[error(transparent)]
    Canary(#[from] CanaryError),
}

impl HearError {
    /// Whether no agent of this project does that: it is not the network and not the server.
    pub fn is_no_agents(&self) -> bool {
        match self {
            Self::Incoming(IncomingError::Frame(_))
            | Self::TooLate
            | Self::Challenge { .. }
            | Self::Halted(_)
            | Self::Canary(_) => true,
            Self::Incoming(_) => false,
            Self::Receipt(error) => !matches!(error, ReceiptError::Stopping(_)),
            Self::Output(error) => matches!(error, OutputError::Shape(_) | OutputError::NotGiven(_)),
        }
    }
}

/// Hears an agent until it ends the connection. What it takes to act on a message is in a box, and gone after it.
pub async fn hear<R: AsyncRead + Unpin>(
    app: &Arc<App>,
    org: &Arc<Org>,
    connection: &Arc<Connection>,
    incoming: &mut Incoming<R>,
) -> Result<(), HearError> {
    let (mut outputs, mut canaries) = (Outputs::default(), Canaries::default());
    let mut pace = Pace::new(FRAMES, Instant::now());
    loop {
        // An agent renews its challenge each third of the lifetime: one that is silent for all of it is gone.
        let within = { Duration::from_millis(lifetime_ms(&org.chain())) };
        let Some(what) = incoming.next(within).await? else { return Ok(()) };
        // Who says too much at once is not read for a while: what it wants to say waits on its side.
        while let Some(wait) = pace.take(Instant::now()) {
            tokio::time::sleep(wait).await;
        }
        match what {
            from_agent::What::Challenge(challenge) => {
                if connection.leave_challenge(random_of(&challenge)?) {
                    Box::pin(dispatch::device_ready(app, org, &connection.device)).await;
                }
            }
            from_agent::What::Receipt(receipt) => {
                Box::pin(receipts::take(app, org, connection, &receipt.note)).await?;
            }
            from_agent::What::Halted(said) => connection.says_halted(said.hashes()?),
            from_agent::What::Output(output) => Box::pin(outputs.take(app, org, connection, output)).await?,
            from_agent::What::Canary(canary) => {
                Box::pin(canaries.take(app, org, connection, &canary.note)).await?;
            }
            from_agent::What::Hello(_) | from_agent::What::Join(_) => return Err(HearError::TooLate),
        }
    }
}

fn random_of(challenge: &Challenge) -> Result<[u8; 32], HearError> {
    let found = challenge.random.len();
    challenge.random.as_slice().try_into().map_err(|_| HearError::Challenge { found })
}

/// The hash in a message's bytes.
pub(super) fn hash_of(bytes: &[u8]) -> Option<Sha256> {
    bytes.try_into().map(Sha256).ok()
}
