//! What happens to jobs, told to whoever watches at the moment. Nothing is kept: the records are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use countersign_trust::ids::{OrgId, Sha256};
use countersign_wire::http::JobEvent;
use tokio::sync::broadcast;

/// How many events one watcher may lag behind before it is cut off.
const MOST_BEHIND: usize = 1_024;

type Watched = HashMap<(OrgId, Sha256), broadcast::Sender<Arc<JobEvent>>>;

/// Who watches which job.
#[derive(Debug, Default)]
pub struct Events(Mutex<Watched>);

impl Events {
    /// Nobody watches anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells those who watch `job`; never waits for them.
    pub fn publish(&self, org: &OrgId, job: &Sha256, event: JobEvent) {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(watchers) = watched.get(&(*org, *job)) else { return };
        if watchers.send(Arc::new(event)).is_err() {
            watched.remove(&(*org, *job));
        }
    }

    /// Whether anybody watches `job`: what only watchers need is not made for nobody.
    pub fn is_watched(&self, org: &OrgId, job: &Sha256) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&(*org, *job))
    }

    /// Everything that happens to `job` from this moment on. Who lags [`MOST_BEHIND`] events behind is told so by the
    /// receiver and has to look at the records again.
    pub fn subscribe(&self, org: &OrgId, job: &Sha256) -> broadcast::Receiver<Arc<JobEvent>> {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|_, watchers| watchers.receiver_count() > 0);
        watched.entry((*org, *job)).or_insert_with(|| broadcast::Sender::new(MOST_BEHIND)).subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORG: OrgId = OrgId([1; 32]);
    const JOB: Sha256 = Sha256([2; 32]);

    fn sent(device: &str) -> JobEvent {
        JobEvent::Sent { device: device.to_owned() }
    }

    #[test]
    fn a_watcher_hears_its_own_job_and_no_other() {
        let events = Events::new();
        let mut watcher = events.subscribe(&ORG, &JOB);
        events.publish(&ORG, &Sha256([3; 32]), sent("another job's"));
        events.publish(&OrgId([9; 32]), &JOB, sent("another organization's"));
        events.publish(&ORG, &JOB, sent("mine"));
        assert_eq!(*watcher.try_recv().unwrap(), sent("mine"));
        assert!(watcher.try_recv().is_err());
    }

    #[test]
    fn nothing_is_kept_for_watchers_who_left() {
        let events = Events::new();
        drop(events.subscribe(&ORG, &JOB));
        events.publish(&ORG, &JOB, sent("nobody's"));
        assert!(!events.is_watched(&ORG, &JOB));
    }

    #[test]
    fn a_watcher_who_lags_is_told_and_nobody_waits_for_it() {
        let events = Events::new();
        let mut watcher = events.subscribe(&ORG, &JOB);
        for _ in 0..=MOST_BEHIND {
            events.publish(&ORG, &JOB, sent("till"));
        }
        assert!(matches!(watcher.try_recv(), Err(broadcast::error::TryRecvError::Lagged(1))));
    }
}
