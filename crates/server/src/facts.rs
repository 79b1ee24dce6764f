//! What devices do that no agent does, noted against them for people to see. The worst of it is a clone: a device's key that
//! is used in two places, or whose receipts contradict each other. Nothing is brought to such a device any more.
//!
//! Source: docs/decisions/0010-a-clone-is-stopped.md.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use countersign_trust::ids::DeviceId;
use countersign_wire::http::JobEvent;

use crate::app::{App, Org};
use crate::store::{StoreError, Tx, fact, job_device, stored};

/// What is kept of the words of a fact, in characters.
const MOST_WORDS: usize = 400;

/// The kinds of facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Two agents have its key, or one was set back to an earlier state.
    Clone,
    /// It brought more receipts than it was asked for.
    Receipts,
    /// It left out numbers: receipts were hidden, or lost here.
    Gaps,
    /// It brought more output than is kept.
    Output,
    /// It sent what no agent sends.
    Frames,
    /// It told of more changes of canaries than are kept.
    Canaries,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clone => "clone",
            Self::Receipts => "receipts",
            Self::Gaps => "gaps",
            Self::Output => "output",
            Self::Frames => "frames",
            Self::Canaries => "canaries",
        })
    }
}

/// Something a device did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The device.
    pub device: DeviceId,
    /// What kind of thing.
    pub kind: Kind,
    /// What it was.
    pub words: String,
    /// Notes by which the device shows it itself.
    pub evidence: Vec<String>,
}

impl Fact {
    /// A fact that nothing shows but the server's word.
    pub fn new(device: DeviceId, kind: Kind, words: impl fmt::Display) -> Self {
        Self { device, kind, words: words.to_string(), evidence: Vec::new() }
    }

    /// A clone, as the places show from which its key is used.
    pub fn clone_at(device: DeviceId, places: &[IpAddr]) -> Self {
        let places: Vec<String> = places.iter().map(ToString::to_string).collect();
        let from = places.join(" and ");
        Self::new(device, Kind::Clone, format!("two agents take turns with this device's key, from {from}"))
    }

    /// A clone that was stopped goes on knocking from these places.
    pub fn stopped_at(device: DeviceId, places: &[IpAddr]) -> Self {
        let places: Vec<String> = places.iter().map(ToString::to_string).collect();
        let from = places.join(" and ");
        Self::new(device, Kind::Clone, format!("stopped as a clone; its key was used from {from}"))
    }

    /// Notes it in a transaction; [`follow`] is to come after it.
    pub async fn put(&self, tx: &mut Tx, org: &str, now_ms: i64) -> Result<(), StoreError> {
        let words: String = self.words.chars().filter(|c| !c.is_control()).take(MOST_WORDS).collect();
        // A list of strings always prints.
        let evidence = serde_json::to_string(&self.evidence).unwrap_or_default();
        let (device, kind) = (self.device.to_string(), self.kind.to_string());
        fact::put(tx, org, &device, &kind, &words, &evidence, now_ms).await.map(|_| ())
    }
}

/// Notes a fact and does what follows from it. That it cannot be noted changes nothing about the rest.
pub async fn note(app: &Arc<App>, org: &Arc<Org>, fact: &Fact) {
    let noted = async {
        let mut tx = app.db.begin().await?;
        fact.put(&mut tx, &org.id.to_string(), stored((app.now_ms)())).await?;
        tx.commit().await
    };
    if let Err(error) = noted.await {
        tracing::error!(device.id = %fact.device, %error, "a fact about a device is not noted");
    }
    follow(app, org, fact).await;
}

/// What follows from a fact: a clone is stopped.
pub async fn follow(app: &Arc<App>, org: &Arc<Org>, fact: &Fact) {
    let Fact { device, kind, words, .. } = fact;
    if *kind != Kind::Clone {
        return tracing::warn!(device.id = %device, fact.kind = %kind, fact.words = words, "a device does what no agent does");
    }
    if app.gate.stop(&org.id, device) {
        tracing::error!(device.id = %device, fact.words = words, "a device is a clone: nothing is brought to it any more; retire it and enroll each machine anew");
        tell_watchers(app, org, fact).await;
    }
}

/// Tells who watches a job of the device that it will not go on.
async fn tell_watchers(app: &App, org: &Org, fact: &Fact) {
    let device = fact.device.to_string();
    let open = job_device::open_on(&app.db, &org.id.to_string(), std::slice::from_ref(&device))
        .await
        .unwrap_or_default();
    for job in open.iter().filter_map(|row| row.job.parse().ok()) {
        let event = JobEvent::Stopped { device: device.clone(), why: fact.words.clone() };
        app.events.publish(&org.id, &job, event);
    }
}

/// Stops again what was found to be a clone before a start.
///
/// # Errors
/// The records cannot be read.
pub async fn remember(app: &App, org: &Org) -> Result<(), StoreError> {
    for (device,) in fact::devices(&app.db, &org.id.to_string(), &Kind::Clone.to_string()).await? {
        if let Ok(device) = device.parse() {
            app.gate.stop(&org.id, &device);
        }
    }
    Ok(())
}
