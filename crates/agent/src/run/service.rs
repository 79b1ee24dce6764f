//! Asks something of a service, and says what it was before and what it is after.
//!
//! Who waits for the end can stop waiting, because of a halt or because the time is up. What the service manager has begun by
//! then goes on: nothing can undo a start.

use std::collections::BTreeSet;
use std::time::Duration;

use countersign_trust::ids::Name;
use countersign_trust::statement::service::{Action, Service, Unit, guard};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::output::{Words, ended};
use super::script::LONGEST_S;
use super::{How, Kill, Running, WAITING};
use crate::os::{ServiceError, ServicePlaces, ServiceState, Services};

/// How many units that go with another are looked at.
const MOST_UNITS: usize = 256;
const GOES_ON: &str = "nobody waits any longer; what the service manager has begun goes on";

/// What the policy guards.
#[derive(Clone, Debug)]
pub struct Guard {
    /// The policy's number.
    pub policy: u64,
    /// Its words.
    pub words: BTreeSet<Name>,
}

/// Why a service was left alone or is not as it should be. Each is a sentence for the receipt.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Manager(#[from] ServiceError),
    #[error("{unit}: this machine has no such unit ({load})")]
    Missing { unit: Unit, load: String },
    #[error("{action} of {unit} would take away {guarded}: policy {policy} guards `{word}`")]
    Guarded { action: Action, unit: Unit, guarded: String, policy: u64, word: Name },
    #[error("{action} of {unit} goes too far to be looked through: more than {MOST_UNITS} units")]
    TooMany { action: Action, unit: Unit },
    #[error("{unit} is {state}")]
    Not { unit: Unit, state: ServiceState },
    #[error("after {action} {unit} is {state}")]
    Became { action: Action, unit: Unit, state: ServiceState },
}

/// Starts asking. `output` is the most bytes that are kept of what is said.
pub fn start(service: Service, guard: Guard, output: u64, places: ServicePlaces) -> Running {
    let (events, receiver) = mpsc::channel(WAITING);
    let (kill, mut stop) = mpsc::channel(1);
    let started = Instant::now();
    let deadline = started + Duration::from_secs(service.timeout.min(LONGEST_S));
    tokio::spawn(async move {
        let mut words = Words::new(events.clone(), output);
        let how = tokio::select! {
            biased;
            Some(reason) = stop.recv() => How::Killed(reason),
            () = sleep_until(deadline) => How::TimedOut,
            () = events.closed() => How::Killed("nobody takes its output".to_owned()),
            done = ask(&service, &guard, &places, &mut words) => match done {
                Ok(()) => How::Exit(0),
                Err(failure) => How::Failed(failure.to_string()),
            },
        };
        if matches!(how, How::Killed(_) | How::TimedOut) {
            words.say(GOES_ON).await;
        }
        // Nobody listens any more: then nobody needs it.
        let _ = events.send(ended(how, words.finish(), started)).await;
    });
    Running { events: receiver, kill: Kill(kill) }
}

async fn ask(
    service: &Service,
    guard: &Guard,
    places: &ServicePlaces,
    words: &mut Words,
) -> Result<(), Failure> {
    let Service { unit, action, .. } = service;
    let services = Services::open(places, unit).await?;
    let before = services.state(unit.as_str()).await?;
    words.say(&format!("{unit}, by {}: {before}", services.name())).await;
    if !before.exists() {
        return Err(Failure::Missing { unit: unit.clone(), load: before.load });
    }
    if *action == Action::Status {
        let not = |state| Failure::Not { unit: unit.clone(), state };
        return if before.is_active() { Ok(()) } else { Err(not(before)) };
    }
    unguarded(service, guard, &services, before).await?;
    words.say(&format!("{action} …")).await;
    let done = services.act(*action, unit).await;
    let after = services.state(unit.as_str()).await?;
    words.say(&format!("{unit}: {after}")).await;
    done?;
    if is_as_asked(*action, &after) {
        return Ok(());
    }
    Err(Failure::Became { action: *action, unit: unit.clone(), state: after })
}

/// Held against the names that only the machine knows: what the unit is called besides, and what goes with it.
async fn unguarded(
    service: &Service,
    Guard { policy, words }: &Guard,
    services: &Services,
    before: ServiceState,
) -> Result<(), Failure> {
    let Service { unit, action, .. } = service;
    if words.is_empty() {
        return Ok(());
    }
    let taken_away = match action {
        Action::Stop => with_all_that_goes(service, services, before).await?,
        Action::Restart => {
            let stopped_for_it = before.stopped_for_it.clone();
            let goes = with_all_that_goes(service, services, before).await?;
            goes.into_iter().chain(stopped_for_it).collect()
        }
        Action::Disable => with_all_disabled(service, services, before).await?,
        Action::Start => before.stopped_for_it,
        Action::Status | Action::Reload | Action::Enable => BTreeSet::new(),
    };
    for guarded in taken_away {
        if let Some(word) = guard(words, &guarded).cloned() {
            let (action, unit, policy) = (*action, unit.clone(), *policy);
            return Err(Failure::Guarded { action, unit, guarded, policy, word });
        }
    }
    Ok(())
}

/// The names of all units that stop when this one does, through any number of others.
async fn with_all_that_goes(
    service: &Service,
    services: &Services,
    first: ServiceState,
) -> Result<BTreeSet<String>, Failure> {
    let (mut seen, mut next) = (first.names, first.stopped_with_it);
    while let Some(name) = next.pop_first() {
        if seen.len() > MOST_UNITS {
            let Service { unit, action, .. } = service;
            return Err(Failure::TooMany { action: *action, unit: unit.clone() });
        }
        if seen.contains(&name) {
            continue;
        }
        let state = services.state(&name).await?;
        seen.insert(name);
        seen.extend(state.names);
        next.extend(state.stopped_with_it);
    }
    Ok(seen)
}

/// The names of all units that are disabled when this one is: those that its file names in `Also=`, theirs, and so on.
async fn with_all_disabled(
    service: &Service,
    services: &Services,
    first: ServiceState,
) -> Result<BTreeSet<String>, Failure> {
    let Service { unit, action, .. } = service;
    let disabled = services.disabled_with(unit.as_str()).await?;
    if disabled.len() > MOST_UNITS {
        return Err(Failure::TooMany { action: *action, unit: unit.clone() });
    }
    let mut seen = first.names;
    for name in disabled {
        if !seen.contains(&name) {
            seen.extend(services.state(&name).await?.names);
            seen.insert(name);
        }
    }
    Ok(seen)
}

/// A start may be over at once: a service that does one thing and ends is as asked.
fn is_as_asked(action: Action, after: &ServiceState) -> bool {
    match action {
        Action::Start | Action::Restart | Action::Reload => after.active != "failed",
        Action::Stop => !after.is_active(),
        Action::Enable => after.is_enabled(),
        Action::Disable => !after.is_enabled(),
        Action::Status => true,
    }
}
