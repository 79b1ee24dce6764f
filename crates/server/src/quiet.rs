//! Whether anything goes on over a connection: HTTP/2 has no time of its own for a client that connects and never asks.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// How many requests of a connection are under way.
#[derive(Clone, Debug)]
pub struct Activity(watch::Sender<usize>);

/// A request under way, until the last of its answer has gone and this is dropped.
#[derive(Debug)]
pub struct Busy(Activity);

impl Default for Activity {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Activity {
    /// A request came.
    pub fn begin(&self) -> Busy {
        self.0.send_modify(|requests| *requests += 1);
        Busy(self.clone())
    }

    /// Returns once no request has been under way, and none came, for so long.
    pub async fn quiet(&self, most: Duration) {
        let mut requests = self.0.subscribe();
        loop {
            // The sender is this very value: it is there.
            let _ = requests.wait_for(|requests| *requests == 0).await;
            if timeout(most, requests.changed()).await.is_err() {
                return;
            }
        }
    }
}

impl Busy {
    /// Hands `piece` on, which is a piece of the answer.
    pub fn pass<T>(&self, piece: T) -> T {
        piece
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.send_modify(|requests| *requests = requests.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn it_is_quiet_when_nothing_is_under_way_and_not_before() {
        let activity = Activity::default();
        let (first, second) = (activity.begin(), activity.begin());
        let mut quiet = pin!(activity.quiet(Duration::ZERO));
        for busy in [first, second] {
            tokio::select! {
                biased;
                () = &mut quiet => panic!("a request is under way"),
                () = std::future::ready(()) => drop(busy),
            }
        }
        quiet.await;
    }
}
