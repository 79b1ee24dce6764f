//! Beacons hear of everything that was decided, however long one of them was away.

use std::sync::Arc;
use std::time::Duration;

use crate::app::{App, Org};

/// After the first failure, and at most: the pause doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const MOST_PAUSE: Duration = Duration::from_secs(300);

/// Brings beacons what they lack. Returns after the first round; where one lacks something then, it goes on in the background.
pub async fn bring(app: &Arc<App>, org: &Arc<Org>) {
    if once(app, org).await {
        return;
    }
    let (app, org) = (app.clone(), org.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = until_brought(&app, &org) => {}
            () = app.stopping() => {}
        }
    });
}

/// One of these tries at a time; those that wait find it done.
async fn until_brought(app: &App, org: &Org) {
    let _one_at_a_time = org.bringing.lock().await;
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        if once(app, org).await {
            return;
        }
        pause = MOST_PAUSE.min(pause * 2);
    }
}

/// Whether every beacon has shown that it holds what is newest.
async fn once(app: &App, org: &Org) -> bool {
    let lacking = app.peers.bring(&org.chain_now()).await;
    for (beacon, why) in &lacking {
        tracing::warn!(org.id = %org.id, beacon.name = beacon.name(), why, "beacon lacks what was decided");
    }
    lacking.is_empty()
}
