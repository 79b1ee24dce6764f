//! The output of one run on its way: to the disk first, and from there to a server, however long it takes until one has
//! had it.

use countersign_trust::ids::Sha256;
use countersign_trust::ledger::StepKey;
use countersign_wire::message::StepOutput;
use std::time::Duration;
use tokio::sync::watch;

use crate::disk::output::{OutputFile, Piece, Place};
use crate::link::Sender;
use crate::run::Stream;

/// How long a slow server is left alone before it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What a run has written and how much of it the server of this connection has been sent.
pub(super) struct Output {
    key: StepKey,
    link: watch::Receiver<Option<Sender>>,
    file: OutputFile,
    sent: Place,
}

impl Output {
    pub(super) fn new(key: StepKey, link: watch::Receiver<Option<Sender>>, file: OutputFile) -> Self {
        Self { key, link, file, sent: Place::default() }
    }

    /// Writes a piece down, and sends what can be sent.
    pub(super) async fn take(&mut self, stream: Stream, bytes: Vec<u8>) {
        let stream = match stream {
            Stream::Stdout => 1,
            Stream::Stderr => 2,
        };
        if let Err(error) = self.file.append(&Piece { stream, bytes }) {
            // Its hash is in the receipt all the same: whoever misses it can tell.
            tracing::error!(job.hash = %self.key.job, %error, "lost some of a step's output");
        }
        self.send().await;
    }

    /// Sends what has not been sent. A new connection gets all of it: what the last one took may not have arrived.
    /// Gives the connection that has been sent everything.
    async fn send(&mut self) -> Option<Sender> {
        if self.link.has_changed().unwrap_or(false) {
            self.sent = Place::default();
        }
        let sender = self.link.borrow_and_update().clone()?;
        while let Some((piece, next)) = self.file.piece(self.sent) {
            if !sender.send_output(self.message(piece)).await {
                return None;
            }
            self.sent = next;
        }
        Some(sender)
    }

    fn message(&self, Piece { stream, bytes }: Piece) -> StepOutput {
        let StepKey { job, occurrence, step } = self.key;
        let (stream, offset) = (u32::from(stream), self.sent.offset);
        StepOutput { job: job.0.to_vec(), occurrence, step, stream, offset, bytes }
    }

    /// Waits for a server that takes what is left, and takes the file away when it has.
    pub(super) async fn send_the_rest(mut self) {
        while self.link.has_changed().is_ok() {
            let all_sent = match self.send().await {
                Some(sender) => sender.has_written_all().await,
                None => false,
            };
            if all_sent {
                if let Err(error) = self.file.remove() {
                    tracing::warn!(%error, "output that a server has had stays on the disk");
                }
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// The name of a run, by which it and its output are found again if the agent dies.
pub(super) fn run_id(key: &StepKey) -> String {
    format!("{}-{}-{}", key.job, key.occurrence, key.step)
}

/// The run of this name.
pub(super) fn key_of(run: &str) -> Option<StepKey> {
    let mut parts = run.split('-');
    let (job, occurrence, step) = (parts.next()?, parts.next()?, parts.next()?);
    let job = job.parse::<Sha256>().ok()?;
    let key = StepKey { job, occurrence: occurrence.parse().ok()?, step: step.parse().ok()? };
    (run_id(&key) == run).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_found_by_its_name_and_by_no_other() {
        let key = StepKey { job: Sha256([7; 32]), occurrence: 3, step: 1 };
        assert_eq!(key_of(&run_id(&key)), Some(key));
        for other in ["", "-", "lost+found", &format!("{}-03-1", key.job), &format!("{}-3-1-", key.job)] {
            assert_eq!(key_of(other), None, "{other}");
        }
    }
}
