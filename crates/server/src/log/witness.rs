//! One task per witness: it always asks for the newest checkpoint, again and again until it has it.
//!
//! So a slow or dead witness delays nobody, and one that comes back is caught up without a round of its own.

use std::sync::Weak;
use std::time::Duration;

use countersign_trust::checkpoint::{AddCheckpoint, Checkpoint};
use countersign_trust::note::{Note, Signature, VerifierKey};
use tokio::sync::{mpsc, watch};

use super::OrgLog;
use crate::app::{App, Org};
use crate::peers::{Answer, PeerError};

/// The first and the longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// How often one request is corrected by what the witness answers before it counts as failed.
const MOST_CORRECTIONS: usize = 3;

/// What a witness is asked for: the log's own checkpoint.
pub type Asked = watch::Receiver<Option<Note>>;
/// Where cosignatures go.
pub type Cosigned = mpsc::UnboundedSender<Cosignature>;

/// A cosignature that verifies.
#[derive(Clone, Debug)]
pub struct Cosignature {
    /// The size of the checkpoint.
    pub size: u64,
    /// The line.
    pub line: Signature,
}

/// Why a witness did not cosign.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error(
        "it has seen {theirs} leaves and we hold {ours}: this database was restored from an older copy, or another server uses its log key"
    )]
    Ahead { theirs: u64, ours: u64 },
    #[error("it answered {status}: {text}")]
    Status { status: u16, text: String },
    #[error("its answer bears no cosignature by its key {key}")]
    NoCosignature { key: VerifierKey },
    #[error("the checkpoint to be cosigned cannot be used")]
    Checkpoint,
    #[error("it was corrected {MOST_CORRECTIONS} times and still differs")]
    Corrections,
}

/// A witness of one log.
pub struct Worker {
    /// The server; gone when it stops.
    pub app: Weak<App>,
    /// The organization.
    pub org: Weak<Org>,
    /// The log.
    pub log: Weak<OrgLog>,
    /// The witness.
    pub key: VerifierKey,
    /// Where it is.
    pub url: String,
    /// How many leaves it has seen, as far as we know.
    pub seen: u64,
}

impl Worker {
    /// Works until nobody asks any more.
    pub async fn run(mut self, mut asked: Asked, cosigned: Cosigned) {
        let mut pause = PAUSES.0;
        loop {
            let newest = asked.borrow_and_update().clone();
            let outcome = match newest {
                Some(note) => self.ask(note).await,
                None => Ok(None),
            };
            let go_on = match outcome {
                Ok(cosignature) => {
                    pause = PAUSES.0;
                    cosignature.is_none_or(|cosignature| cosigned.send(cosignature).is_ok())
                        && asked.changed().await.is_ok()
                }
                Err(error) => {
                    tracing::warn!(witness.name = self.key.name(), why = %error, "witness has not cosigned");
                    let waited = tokio::time::timeout(pause, asked.changed()).await;
                    pause = (pause * 2).min(PAUSES.1);
                    // A newer checkpoint is asked for at once; the same one again after the pause.
                    waited.is_err() || waited.is_ok_and(|changed| changed.is_ok())
                }
            };
            if !go_on {
                return;
            }
        }
    }

    /// Asks until the witness has cosigned or says something that cannot be corrected. None if the server is stopping.
    async fn ask(&mut self, checkpoint: Note) -> Result<Option<Cosignature>, Refused> {
        let parsed: Checkpoint = checkpoint.text().parse().map_err(|_| Refused::Checkpoint)?;
        let size = parsed.size;
        for _ in 0..MOST_CORRECTIONS {
            let (Some(app), Some(org)) = (self.app.upgrade(), self.org.upgrade()) else { return Ok(None) };
            let Some(log) = self.log.upgrade() else { return Ok(None) };
            let request = self.request(&log, &checkpoint, size)?;
            let answer = app.peers.post(&format!("{}/add-checkpoint", self.url), request).await?;
            match answer.status {
                200 => {
                    self.seen = size;
                    return self.cosignature(checkpoint, size, &answer.text).map(Some);
                }
                409 => self.seen = ahead(&answer, size)?,
                404 => {
                    // It has not heard of this log: show it who says that it is one.
                    app.peers
                        .tell_witness(&org.chain_now(), log.which().begun_by.as_ref(), &self.url)
                        .await?;
                    self.seen = 0;
                }
                status => return Err(Refused::Status { status, text: answer.text }),
            }
        }
        Err(Refused::Corrections)
    }

    fn request(&self, log: &OrgLog, checkpoint: &Note, size: u64) -> Result<String, Refused> {
        let old = self.seen.min(size);
        let consistency = log.consistency(old, size).map_err(|_| Refused::Checkpoint)?;
        Ok(AddCheckpoint { old, consistency, checkpoint: checkpoint.clone() }.to_string())
    }

    /// The first line that is this witness's cosignature of the checkpoint.
    fn cosignature(&self, checkpoint: Note, size: u64, lines: &str) -> Result<Cosignature, Refused> {
        let good = |line: &Signature| {
            let mut note = checkpoint.clone();
            note.add(line.clone()).is_ok() && note.cosigned_at(&self.key).is_some()
        };
        let line = lines.lines().filter_map(|line| line.parse().ok()).find(good);
        let line = line.ok_or_else(|| Refused::NoCosignature { key: self.key.clone() })?;
        Ok(Cosignature { size, line })
    }
}

/// The size that the witness has seen, if we hold as much.
fn ahead(answer: &Answer, ours: u64) -> Result<u64, Refused> {
    match answer.text.trim().parse() {
        Ok(theirs) if theirs <= ours => Ok(theirs),
        Ok(theirs) => Err(Refused::Ahead { theirs, ours }),
        Err(_) => Err(Refused::Status { status: answer.status, text: answer.text.clone() }),
    }
}
