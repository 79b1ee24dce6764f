//! A vendor's halts are offered to every organization, as if somebody had brought them: what they are worth its chain says.

use std::sync::Arc;

use countersign_trust::envelope::Signed;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::locked;
use crate::app::{App, Org};
use crate::statements::intake::{self, IntakeError};

/// How many organizations write at a time.
const WRITERS: usize = 8;

/// Offers all halts that are held to all organizations.
pub async fn all(app: &Arc<App>) {
    let _one_at_a_time = app.vendor.offering.lock().await;
    for halt in app.vendor.halts() {
        one(app, &halt).await;
    }
}

/// Whoever obeys is told first, everywhere, and only then is anything written: no organization waits for another's disk.
async fn one(app: &Arc<App>, halt: &Signed) {
    let hash = halt.hash();
    let concerned = app.orgs.all().into_iter().filter(|org| {
        let chain = org.chain();
        chain.halt(&hash).is_none() && chain.is_by_a_halter(halt)
    });
    let mut taking = Vec::new();
    for org in concerned {
        match intake::spread_of_vendor(app, &org, halt) {
            Ok(()) => taking.push(org),
            Err(error) => say(app, &org, halt, &Err(error)),
        }
    }
    let took = !taking.is_empty();
    let (mut writing, room) = (JoinSet::new(), Arc::new(Semaphore::new(WRITERS)));
    for org in taking {
        let (app, halt, room) = (app.clone(), halt.clone(), room.clone());
        writing.spawn(async move {
            let _room = room.acquire().await;
            let kept = intake::keep_of_vendor(&app, &org, &halt).await;
            say(&app, &org, &halt, &kept);
        });
    }
    writing.join_all().await;
    // An organization that began after an index came is stopped later than the others: the vendor hears of it too.
    if took {
        app.vendor.changed.notify_one();
    }
}

/// Each answer is said once, until it is another.
fn say(app: &App, org: &Org, halt: &Signed, outcome: &Result<(), IntakeError>) {
    let hash = halt.hash();
    let mut refusals = locked(&app.vendor.refusals);
    match outcome {
        Ok(()) => {
            refusals.remove(&(org.id, hash));
            tracing::warn!(org.id = %org.id, halt.hash = %hash, "a vendor's halt stops an organization");
        }
        Err(error) => {
            let why = error.to_string();
            let before = refusals.insert((org.id, hash), why.clone());
            if before.as_ref() != Some(&why) {
                tracing::warn!(org.id = %org.id, halt.hash = %hash, why, "a vendor's halt is not taken");
            }
        }
    }
}
