//! A round: the newest checkpoint is signed and shown to all witnesses at once; the first quorum ends it.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_trust::checkpoint::{Checkpoint, LogKeys, verify_checkpoint};
use countersign_trust::note::{Note, VerifierKey};
use countersign_trust::statement::policy::{Policy, Witnesses};
use tokio::sync::{mpsc, watch};

use super::witness::{Cosignature, Worker};
use super::{AppendError, Cosigned, OrgLog};
use crate::app::{App, Org};
use crate::peers::witnesses;
use crate::store::{checkpoint, stored};

/// The witnesses' tasks, by key and address, and what they answer.
pub(super) struct Round {
    asked: BTreeMap<(VerifierKey, String), watch::Sender<Option<Note>>>,
    answers: mpsc::UnboundedReceiver<Cosignature>,
    answer: mpsc::UnboundedSender<Cosignature>,
}

impl Default for Round {
    fn default() -> Self {
        let (answer, answers) = mpsc::unbounded_channel();
        Self { asked: BTreeMap::new(), answers, answer }
    }
}

/// Has the log as it is in the database cosigned by the quorum of the newest policy in force, however long that takes: also a log
/// that only the policy after that one names.
pub(super) async fn cosign(app: &Arc<App>, org: &Arc<Org>, log: &Arc<OrgLog>) -> Result<(), AppendError> {
    let (size, root) = {
        let tiles = log.read_tiles();
        (tiles.size(), tiles.root(tiles.size())?)
    };
    let is_done = |newest: Cosigned| newest.size >= size && log.is_vouched_for(org, &newest.note);
    if size == 0 || log.newest().is_some_and(is_done) {
        // Who waits may wait for a policy to which this checkpoint is enough.
        log.cosigned.send_modify(|_| ());
        return Ok(());
    }
    let origin = log.key().name().to_owned();
    let own = log.signer.note(Checkpoint { origin, size, root }.to_string())?;
    let policy = org.chain().policy().body.clone();
    let mut round = log.round.lock().await;
    round.ask(app, org, log, &policy, &own);
    let Witnesses { keys: witnesses, need } = &policy.witnesses;
    let keys = LogKeys { log: log.key(), witnesses, need: *need };
    let note = round.quorum(keys, own, size).await?;
    checkpoint::put(&app.db, &org.id.to_string(), log.which.number, stored(size), &note.to_string()).await?;
    log.cosigned.send_replace(Some(Cosigned { size, note }));
    Ok(())
}

impl Round {
    /// The tasks of all witnesses end.
    pub(super) fn dismiss(&mut self) {
        self.asked.clear();
    }

    /// Hands `note` to a task for each witness of `policy`; tasks of others end.
    fn ask(&mut self, app: &Arc<App>, org: &Arc<Org>, log: &Arc<OrgLog>, policy: &Policy, note: &Note) {
        let mut before = std::mem::take(&mut self.asked);
        for at in witnesses(policy) {
            let asked = before.remove(&at).unwrap_or_else(|| self.start(app, org, log, &at));
            asked.send_replace(Some(note.clone()));
            self.asked.insert(at, asked);
        }
    }

    fn start(
        &self,
        app: &Arc<App>,
        org: &Arc<Org>,
        log: &Arc<OrgLog>,
        at: &(VerifierKey, String),
    ) -> watch::Sender<Option<Note>> {
        let (asked, receiver) = watch::channel(None);
        let (key, url) = at.clone();
        let seen = log.newest().map_or(0, |newest| newest.size);
        let worker = Worker {
            app: Arc::downgrade(app),
            org: Arc::downgrade(org),
            log: Arc::downgrade(log),
            key,
            url,
            seen,
        };
        tokio::spawn(worker.run(receiver, self.answer.clone()));
        asked
    }

    /// The note with cosignatures as soon as they are a quorum.
    async fn quorum(&mut self, keys: LogKeys<'_>, mut note: Note, size: u64) -> Result<Note, AppendError> {
        while verify_checkpoint(&note, keys).is_err() {
            let cosignature = self.answers.recv().await.ok_or(AppendError::Stopping)?;
            if cosignature.size == size {
                note.add(cosignature.line)?;
            }
        }
        Ok(note)
    }
}
