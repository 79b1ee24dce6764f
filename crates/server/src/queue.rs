//! One task per organization that works off a queue. It starts with the first that comes and ends with the program.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use countersign_trust::ids::OrgId;
use tokio::sync::mpsc;

/// After how many in one go the next are let come together first.
const MANY: usize = 8;
/// How long they are let come together: a transaction waits for the disk, and costs as much as the writing of many.
const GATHER: Duration = Duration::from_millis(25);

/// To be called after so many were worked off in one go: where many come, many are taken at once. A single one never waits.
pub async fn gather(worked_off: usize) {
    if worked_off >= MANY {
        tokio::time::sleep(GATHER).await;
    }
}

/// The queues of all organizations for one kind of work.
#[derive(Debug)]
pub struct Queues<T> {
    senders: Mutex<HashMap<OrgId, mpsc::Sender<T>>>,
    room: usize,
}

impl<T> Queues<T> {
    /// Queues with room for so many each; who brings more waits.
    pub fn new(room: usize) -> Self {
        Self { senders: Mutex::default(), room }
    }

    /// The queue of `org`; `start` is to spawn the task behind it if there is none, or if it has died.
    pub fn of(&self, org: &OrgId, start: impl FnOnce(mpsc::Receiver<T>)) -> mpsc::Sender<T> {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = senders.get(org).filter(|sender| !sender.is_closed()) {
            return sender.clone();
        }
        let (sender, receiver) = mpsc::channel(self.room);
        start(receiver);
        senders.insert(*org, sender.clone());
        sender
    }
}
