//! What is touched, since when, and what the server has done about it: once a touch, until it is over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use countersign_trust::envelope::Signed;
use countersign_trust::ids::Sha256;
use countersign_trust::statement::halt::Scope;
use countersign_trust::statement::policy::Then;

use super::failing::name_of;
use super::halting::{self, Halted};
use crate::app::{App, Org};
use crate::statements::intake::{self, IntakeError};
use crate::store::touch::{self, TouchRow};
use crate::store::{Db, StoreError, stored};

/// How many touches are kept.
const MOST: i64 = 1_000;

/// Something that touches a tripwire.
#[derive(Clone, Debug)]
pub struct Found {
    /// The tripwire in one line, or the job.
    pub tripwire: String,
    /// What is to be done.
    pub then: Then,
    /// What a halt of it stops.
    pub scope: Scope,
    /// How much was counted.
    pub count: u64,
    /// In words.
    pub words: String,
    /// Notes that show it.
    pub evidence: Vec<String>,
    /// When it is over whatever comes.
    pub until_ms: Option<i64>,
}

/// What is touched.
#[derive(Debug, Default)]
pub struct Touches {
    open: BTreeMap<String, Touch>,
    /// Of what was touched before, until when: what came before then has been told of.
    over: BTreeMap<String, i64>,
    last: i64,
    /// Halts of the server's own that the records could not take.
    unstored: Vec<Signed>,
}

#[derive(Debug)]
struct Touch {
    row: TouchRow,
    /// Under which policy halting was tried the last time and did not succeed.
    tried: Option<Sha256>,
    /// The records do not have it as it is.
    unsaved: bool,
}

impl Touches {
    /// As the records have it.
    pub async fn load(db: &Db, org: &str) -> Result<Self, StoreError> {
        let touch = |row: TouchRow| (row.tripwire.clone(), Touch { row, tried: None, unsaved: false });
        Ok(Self {
            open: touch::open(db, org).await?.into_iter().map(touch).collect(),
            over: touch::over(db, org).await?.into_iter().collect(),
            last: touch::last(db, org).await?,
            unstored: Vec::new(),
        })
    }

    /// Whether anything is touched.
    pub fn any(&self) -> bool {
        !self.open.is_empty() || !self.unstored.is_empty()
    }

    /// Whether this is touched.
    pub fn is_open(&self, tripwire: &str) -> bool {
        self.open.contains_key(tripwire)
    }

    /// Whether this is touched and the server has halted.
    pub fn is_halted(&self, tripwire: &str) -> bool {
        self.open.get(tripwire).is_some_and(|touch| touch.row.halt.is_some())
    }

    /// Whether too much of a job has failed before: that is said once.
    pub fn knows_job(&self, job: &Sha256) -> bool {
        let name = name_of(job);
        self.open.contains_key(&name) || self.over.contains_key(&name)
    }

    /// After when something counts at `now_ms`: what once has touched a tripwire touches it no second time.
    pub fn after_ms(&self, tripwire: &str, now_ms: i64, within_ms: i64) -> i64 {
        let over = self.over.get(tripwire).copied().unwrap_or(i64::MIN);
        let since = self.open.get(tripwire).map_or(now_ms, |touch| touch.row.since_ms);
        since.saturating_sub(within_ms).max(over)
    }

    /// Closes what is over, and has the records take what they could not.
    pub async fn go_on(&mut self, app: &Arc<App>, org: &Arc<Org>) {
        for signed in std::mem::take(&mut self.unstored) {
            match intake::take(app, org, &signed, Vec::new()).await {
                Err(IntakeError::Store(_)) => self.unstored.push(signed),
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(org.id = %org.id, %error, "the server's own halt does not hold")
                }
            }
        }
        let now_ms = stored((app.now_ms)());
        let unstored: BTreeSet<Sha256> = self.unstored.iter().map(Signed::hash).collect();
        let active: BTreeSet<Sha256> =
            { org.chain().active_halts().map(|halt| halt.hash).collect::<BTreeSet<_>>() };
        let holds = |hash: Sha256| active.contains(&hash) || unstored.contains(&hash);
        let is_over = |row: &TouchRow| {
            let lifted = row.halt.as_ref().is_some_and(|halt| !halt.parse().is_ok_and(holds));
            lifted || row.until_ms.is_some_and(|until_ms| until_ms <= now_ms)
        };
        let over: Vec<String> = self
            .open
            .values()
            .filter(|touch| is_over(&touch.row))
            .map(|touch| touch.row.tripwire.clone())
            .collect();
        for tripwire in over {
            self.close(app, org, &tripwire).await;
        }
        for touch in self.open.values_mut().filter(|touch| touch.unsaved) {
            touch.unsaved = save(app, org, &touch.row).await.is_err();
        }
    }

    /// Notes that a tripwire is touched, or that there is more of it; halts where that is to be.
    pub async fn touch(&mut self, app: &Arc<App>, org: &Arc<Org>, found: Found) {
        let now_ms = stored((app.now_ms)());
        let touch = self.open.entry(found.tripwire.clone()).or_insert_with(|| {
            self.last += 1;
            tracing::error!(org.id = %org.id, touch.tripwire = found.tripwire, touch.words = found.words, "a tripwire is touched");
            Touch { row: row(self.last, &found, now_ms), tried: None, unsaved: true }
        });
        let count = stored(found.count);
        if count > touch.row.count {
            touch.row = TouchRow {
                count,
                last_ms: now_ms,
                words: found.words.clone(),
                evidence: printed(&found.evidence),
                ..touch.row.clone()
            };
            touch.unsaved = true;
        }
        let policy = { org.chain().policy().hash };
        if found.then == Then::Halt && touch.row.halt.is_none() && touch.tried != Some(policy) {
            touch.tried = Some(policy);
            touch.unsaved = true;
            match halting::halt(app, org, &found).await {
                Ok(Halted::By(hash)) => {
                    (touch.row.halt, touch.row.unhalted) = (Some(hash.to_string()), String::new())
                }
                Ok(Halted::Unstored(signed)) => {
                    (touch.row.halt, touch.row.unhalted) = (Some(signed.hash().to_string()), String::new());
                    self.unstored.push(*signed);
                }
                Err(why) => {
                    tracing::error!(org.id = %org.id, touch.tripwire = found.tripwire, %why, "a tripwire is touched, and this server cannot halt");
                    touch.row.unhalted = why.to_string();
                }
            }
        }
        if touch.unsaved {
            touch.unsaved = save(app, org, &touch.row).await.is_err();
        }
    }

    /// It is over.
    pub async fn close(&mut self, app: &Arc<App>, org: &Arc<Org>, tripwire: &str) {
        let Some(Touch { mut row, .. }) = self.open.remove(tripwire) else { return };
        let now_ms = stored((app.now_ms)());
        row.over_ms = Some(now_ms);
        self.over.insert(tripwire.to_owned(), now_ms);
        // If the records do not take it, it is touched again after a start, and over again.
        let _ = save(app, org, &row).await;
    }

    /// Closes what the policy no longer has, unless a halt of it is active.
    pub async fn close_removed(&mut self, app: &Arc<App>, org: &Arc<Org>, there: &BTreeSet<String>) {
        let gone = |touch: &&Touch| {
            touch.row.until_ms.is_none() && touch.row.halt.is_none() && !there.contains(&touch.row.tripwire)
        };
        let gone: Vec<String> =
            self.open.values().filter(gone).map(|touch| touch.row.tripwire.clone()).collect();
        for tripwire in gone {
            self.close(app, org, &tripwire).await;
        }
    }
}

fn row(number: i64, found: &Found, now_ms: i64) -> TouchRow {
    TouchRow {
        number,
        tripwire: found.tripwire.clone(),
        since_ms: now_ms,
        last_ms: now_ms,
        count: stored(found.count),
        words: found.words.clone(),
        evidence: printed(&found.evidence),
        halt: None,
        unhalted: String::new(),
        until_ms: found.until_ms,
        over_ms: None,
    }
}

fn printed(evidence: &[String]) -> String {
    // A list of strings always prints.
    serde_json::to_string(evidence).unwrap_or_default()
}

async fn save(app: &App, org: &Org, row: &TouchRow) -> Result<(), StoreError> {
    let saved = async {
        let mut tx = app.db.begin().await?;
        touch::put(&mut tx, &org.id.to_string(), row, MOST).await?;
        tx.commit().await
    };
    let saved = saved.await;
    saved.inspect_err(|error| tracing::error!(org.id = %org.id, touch.tripwire = row.tripwire, %error, "a touched tripwire is not in the records"))
}
