//! What an honest server watches for: the tripwires of the policy, and how much of a job may fail. It says what it sees, and halts
//! with its own key where the policy or the job says so.
//!
//! One task an organization. Whoever writes down what may matter rings its bell; what is counted stands in the records, so that a
//! start forgets none of it. Only who is connected is known to this very program alone ([`presence`]).
//!
//! Nobody is protected by this from a server in the wrong hands: it just looks away. A mistake here stops what could have gone on;
//! it can start nothing.
//!
//! Source: docs/spec/3-statements.md, "policy" and "job"; docs/decisions/0022-what-touches-a-tripwire.md.

pub mod canaries;
pub mod counting;
mod failing;
mod halting;
mod presence;
mod touches;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::statement::halt::Scope;
use countersign_trust::statement::policy::{Policy, Then, Tripwire, Watched};
use countersign_trust::text::Nothing;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::app::{App, Org};
use crate::store::{StoreError, stored};
use presence::Presence;
use touches::{Found, Touches};

/// How long is rested after a look, at least; and how many times as long as it took. So a storm costs a fifth of a processor.
const REST: (Duration, u32) = (Duration::from_millis(50), 4);
/// How often is looked without a bell: where time alone may change something, and elsewhere.
const TICKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The pause after the records could not be read at the start.
const PAUSE: Duration = Duration::from_secs(5);
/// How many jobs wait to be looked at. One that finds no room comes with its next receipt.
const MOST_JOBS: usize = 4_096;

/// The longest time that a tripwire looks at, in milliseconds: what came before counts for none.
pub const MOST_WITHIN_MS: i64 = 86_400_000;

/// The bells of all organizations.
#[derive(Debug, Default)]
pub struct Tripwires(Mutex<HashMap<OrgId, Arc<Bell>>>);

/// What wakes who watches over an organization.
#[derive(Debug, Default)]
struct Bell {
    jobs: Mutex<BTreeSet<Sha256>>,
    rung: Notify,
}

impl Bell {
    fn waits(&self) -> bool {
        !self.jobs.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl Tripwires {
    /// Something was written down that may count, or the organization has decided something.
    pub fn ring(&self, org: &OrgId) {
        self.of(org).rung.notify_one();
    }

    /// A job did not go well somewhere.
    pub fn ring_for(&self, org: &OrgId, job: Sha256) {
        let bell = self.of(org);
        let mut jobs = bell.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if jobs.len() < MOST_JOBS {
            jobs.insert(job);
        }
        drop(jobs);
        bell.rung.notify_one();
    }

    fn of(&self, org: &OrgId) -> Arc<Bell> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(*org).or_default().clone()
    }
}

/// Watches over an organization until the server stops.
pub fn keep_watch(app: &Arc<App>, org: &Arc<Org>) {
    let (app, org) = (app.clone(), org.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = watch(&app, &org) => {}
            () = app.stopping() => {}
        }
    });
}

async fn watch(app: &Arc<App>, org: &Arc<Org>) {
    let bell = app.tripwires.of(&org.id);
    let mut touches = loop {
        match begin(app, org).await {
            Ok(touches) => break touches,
            Err(error) => {
                tracing::error!(org.id = %org.id, %error, "tripwires cannot be watched: the records cannot be read");
                sleep(PAUSE).await;
            }
        }
    };
    let mut presence = Presence::begin((app.now_ms)());
    loop {
        let began = Instant::now();
        let (least, times) = REST;
        look(app, org, &bell, &mut touches, &mut presence).await;
        sleep(least.max(began.elapsed() * times)).await;
        let ticks = touches.any()
            || bell.waits()
            || watches(&org.chain().policy().body, |what| matches!(what, Watched::Silence(_)));
        let most = if ticks { TICKS.0 } else { TICKS.1 };
        // Without a bell it is time to look all the same.
        let _ = timeout(most, bell.rung.notified()).await;
    }
}

/// What was touched before a start is so still; jobs of which more failed while nobody looked are looked at.
async fn begin(app: &Arc<App>, org: &Arc<Org>) -> Result<Touches, StoreError> {
    let touches = Touches::load(&app.db, &org.id.to_string()).await?;
    for job in failing::of_late(app, org).await? {
        app.tripwires.ring_for(&org.id, job);
    }
    let chain = org.chain();
    let policy = &chain.policy().body;
    let halts = policy.tripwires.iter().any(|tripwire| tripwire.then == Then::Halt);
    if let Err(why) = halting::may(org, policy)
        && halts
    {
        tracing::error!(org.id = %org.id, %why, "tripwires are to halt, and this server may not: it will only tell");
    }
    Ok(touches)
}

/// Whether a policy has a tripwire of a kind.
pub fn watches(policy: &Policy, kind: impl Fn(&Watched) -> bool) -> bool {
    policy.tripwires.iter().any(|tripwire| kind(&tripwire.what))
}

/// Looks at everything once. What cannot be read hinders nothing else.
async fn look(app: &Arc<App>, org: &Arc<Org>, bell: &Bell, touches: &mut Touches, presence: &mut Presence) {
    let failed = |error: &dyn std::fmt::Display| tracing::error!(org.id = %org.id, %error, "a tripwire is not looked at");
    touches.go_on(app, org).await;
    let jobs = { std::mem::take(&mut *bell.jobs.lock().unwrap_or_else(PoisonError::into_inner)) };
    for job in jobs {
        if touches.knows_job(&job) {
            continue;
        }
        match failing::look(app, org, job).await {
            Ok(Some(found)) => touches.touch(app, org, found).await,
            Ok(None) => {}
            Err(error) => {
                failed(&error);
                // Looked at again at the next tick: its next receipt may be its last.
                bell.jobs.lock().unwrap_or_else(PoisonError::into_inner).insert(job);
            }
        }
    }
    let policy = { org.chain().policy().body.clone() };
    if watches(&policy, |what| matches!(what, Watched::Silence(_)))
        && let Err(error) = presence::look(app, org, presence).await
    {
        failed(&error);
    }
    for tripwire in &policy.tripwires {
        if let Err(error) = look_at(app, org, tripwire, touches, presence).await {
            failed(&error);
        }
    }
    let names = policy.tripwires.iter().map(ToString::to_string).collect();
    touches.close_removed(app, org, &names).await;
}

async fn look_at(
    app: &Arc<App>,
    org: &Arc<Org>,
    tripwire: &Tripwire,
    touches: &mut Touches,
    presence: &mut Presence,
) -> Result<(), StoreError> {
    let (name, now_ms, span_ms) = (tripwire.to_string(), stored((app.now_ms)()), span_ms(tripwire));
    let is_open = touches.is_open(&name);
    if is_open && !touches.is_halted(&name) {
        let still = counting::count(app, org, tripwire, now_ms.saturating_sub(span_ms), presence).await?;
        if still.count < tripwire.count {
            touches.close(app, org, &name).await;
            return Ok(());
        }
    }
    let after_ms = touches.after_ms(&name, now_ms, span_ms);
    let counted = counting::count(app, org, tripwire, after_ms, presence).await?;
    if counted.count < tripwire.count {
        return Ok(());
    }
    if !is_open && matches!(tripwire.what, Watched::Silence(_)) && !presence::beacons_answer(app, org).await {
        tracing::warn!(org.id = %org.id, silent.sites = counted.count, "sites fell silent, and so did beacons: it is this server that is cut off");
        presence.forget();
        return Ok(());
    }
    let found = Found {
        tripwire: name,
        then: tripwire.then,
        scope: Scope::Organization(Nothing),
        count: counted.count,
        words: counted.words,
        evidence: counted.evidence,
        until_ms: None,
    };
    touches.touch(app, org, found).await;
    Ok(())
}

/// How far back what counts may be.
fn span_ms(tripwire: &Tripwire) -> i64 {
    let within_ms = tripwire.within.saturating_mul(1_000);
    stored(match &tripwire.what {
        Watched::Silence(_) => within_ms.saturating_add(presence::come_back_ms(tripwire.within)),
        Watched::Canary(_) | Watched::Refusals(_) => within_ms,
    })
}
