//! A device takes its place in a batch: its wish is checked, logged and answered with everything it needs.
//!
//! Source: docs/spec/3-statements.md, "Join".

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use countersign_trust::chain::Chain;
use countersign_trust::delivery::News;
use countersign_trust::envelope::{EnvelopeError, Logged};
use countersign_trust::ids::{DeviceId, OrgId, Sha256};
use countersign_trust::join::{EnrollError, Join, check_enroll, device_key, enrolled_by_join, join_leaf};
use countersign_trust::lines::LinesError;
use countersign_trust::note::{Note, NoteError};
use countersign_trust::statement::enroll::{Batch, What};
use countersign_trust::time::Time;
use countersign_wire::message::Joined;

use super::places::{self, Settle, Take};
use crate::app::{App, Org};
use crate::log::{self, AppendError};
use crate::store::device::DeviceRow;
use crate::store::wish::{self, WishRow};
use crate::store::{StoreError, device, statement};

/// How long a device waits for the log.
const LOG_TIME: Duration = Duration::from_secs(30);

/// How long to wait after a failure that may pass, such as a full disk.
const PAUSE: Duration = Duration::from_secs(5);

/// Joins that go on in the background, by the hash of their text. Who takes a place is in the records before the log has it, and stays
/// there even if it could not be told so: places go by leaf.
#[derive(Debug, Default)]
pub struct Joins(Mutex<HashSet<(OrgId, String)>>);

impl Joins {
    fn later(&self) -> MutexGuard<'_, HashSet<(OrgId, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a device may not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Not a note.
    #[error("the join is no note: {0}")]
    Note(#[from] NoteError),
    /// Not a join.
    #[error("the join: {0}")]
    Text(#[from] LinesError),
    /// It is for another device than the one that is connected.
    #[error("the join is for {found}, the connection is of {expected}")]
    OtherDevice {
        /// The device of the connection.
        expected: DeviceId,
        /// The join's.
        found: DeviceId,
    },
    /// An organization this server does not serve.
    #[error("this server does not serve {0}")]
    Organization(OrgId),
    /// A batch that is not in the log.
    #[error("the batch {0} is not logged here; its enrollment may still wait for signatures")]
    Batch(Sha256),
    /// The batch cannot be read back.
    #[error("the batch cannot be read: {0}")]
    Envelope(#[from] EnvelopeError),
    /// It does not enroll this device.
    #[error(transparent)]
    Enroll(#[from] EnrollError),
    /// The batch has ended.
    #[error("the token was good until {until}, it is {now}")]
    Ended {
        /// The batch's end.
        until: Time,
        /// The server's time.
        now: Time,
    },
    /// The batch is used up.
    #[error("{count} devices have joined with this token, which is all it is good for")]
    UsedUp {
        /// How many may join.
        count: u64,
    },
    /// The device is enrolled by another statement.
    #[error("this device is enrolled already by {held}; a new key makes it another device")]
    Elsewhere {
        /// The enrollment it holds.
        held: String,
    },
    /// The device wished too often, each time something else.
    #[error("{most} other joins of this device are noted, and made no device of it")]
    Wishes {
        /// How many are noted.
        most: usize,
    },
    /// The log does not take it.
    #[error("the join cannot be logged; try again later ({0})")]
    Log(#[from] AppendError),
    /// The log is waiting for its witnesses.
    #[error("the log waits for its witnesses; the same join again goes on where this one stopped")]
    LogTime,
    /// The records cannot be reached.
    #[error("the server cannot reach its records; try again later")]
    Store(#[from] StoreError),
    /// The records did not take it.
    #[error("the server cannot write its records; try again later")]
    NotStored,
    /// The work was not finished.
    #[error("the server is stopping; try again later")]
    Stopping,
}

impl JoinError {
    /// Whether the same join may go well later.
    fn passes(&self) -> bool {
        matches!(self, Self::Log(_) | Self::LogTime | Self::Store(_) | Self::NotStored)
    }
}

/// Joins the device with `key` by the wish in `note`. The same wish again gets the same answer.
///
/// It is finished even if the device does not wait for the answer.
pub async fn join(app: &Arc<App>, key: [u8; 32], note: String) -> Result<Joined, JoinError> {
    let app = app.clone();
    tokio::spawn(async move { wish(&app, key, &note).await }).await.map_err(|_| JoinError::Stopping)?
}

async fn wish(app: &Arc<App>, key: [u8; 32], note: &str) -> Result<Joined, JoinError> {
    let note: Note = note.parse()?;
    let wish: Join = note.text().parse()?;
    let (expected, found) = (DeviceId::of_key(&key), DeviceId::of_key(wish.device.raw()));
    if expected != found {
        return Err(JoinError::OtherDevice { expected, found });
    }
    let org = app.orgs.get(&wish.org).ok_or(JoinError::Organization(wish.org))?;
    let enroll = batch_of(app, &org, &wish.batch).await?;
    if let Some(row) = device::get(&app.db, &org.id.to_string(), &found.to_string()).await? {
        return known(&org, &enroll, &wish, row);
    }
    let batch = { check_wish(&org.chain(), &enroll, &note, &wish)? };
    let now = Time((app.now_ms)() / 1_000);
    if now >= batch.until {
        return Err(JoinError::Ended { until: batch.until, now });
    }
    take_place(app, &org, &enroll, &batch, &note, found).await
}

/// The batch's enrollment with its proof.
async fn batch_of(app: &App, org: &Org, batch: &Sha256) -> Result<Logged, JoinError> {
    let row = statement::get(&app.db, &org.id.to_string(), &batch.to_string()).await?;
    let logged = row.and_then(|row| row.logged()).ok_or(JoinError::Batch(*batch))?;
    Ok(Logged::from_text(&logged)?)
}

/// What was answered before is answered again.
fn known(org: &Org, enroll: &Logged, wish: &Join, row: DeviceRow) -> Result<Joined, JoinError> {
    match row {
        DeviceRow { batch: Some(held), join_proof: Some(proof), retired: false, .. }
            if held == wish.batch.to_string() =>
        {
            Ok(answer(&org.chain(), enroll, proof))
        }
        row => Err(JoinError::Elsewhere { held: row.enroll }),
    }
}

/// What `enrolled_by_join` will check, as far as it can be checked before the join is logged.
fn check_wish(chain: &Chain, enroll: &Logged, note: &Note, wish: &Join) -> Result<Batch, EnrollError> {
    let (body, _) = check_enroll(chain, enroll)?;
    let What::Batch(batch) = body.what else { return Err(EnrollError::NotThat("a batch")) };
    if !note.signed_by(&batch.token) {
        return Err(EnrollError::Unsigned("token's"));
    }
    if !note.signed_by(&wish.device) {
        return Err(EnrollError::Unsigned("device's"));
    }
    let expected = DeviceId::of_key(wish.device.raw());
    if device_key(*wish.device.raw()).ok().as_ref() != Some(&wish.device) {
        return Err(EnrollError::KeyName { expected, found: wish.device.name().to_owned() });
    }
    Ok(batch)
}

/// Logs the join if the batch has a place left.
async fn take_place(
    app: &Arc<App>,
    org: &Arc<Org>,
    enroll: &Logged,
    batch: &Batch,
    note: &Note,
    device: DeviceId,
) -> Result<Joined, JoinError> {
    let wish = wish_row(enroll, note, device);
    places::take(app, org, Take { wish: wish.clone(), count: batch.count }).await?;
    let finished = tokio::time::timeout(LOG_TIME, finish(app, org, enroll, note, &wish)).await;
    match finished.unwrap_or(Err(JoinError::LogTime)) {
        Err(error) if error.passes() => {
            // Its leaf may stand in the log, or will: what becomes of it is noted, whether the device asks again or not.
            finish_later(app, org, wish);
            Err(error)
        }
        finished => finished,
    }
}

fn wish_row(enroll: &Logged, note: &Note, device: DeviceId) -> WishRow {
    WishRow {
        hash: Sha256::of(note.text().as_bytes()).to_string(),
        device: device.to_string(),
        batch: enroll.signed.hash().to_string(),
        note: note.to_string(),
        proof: None,
    }
}

/// Logs a join and stores what becomes of it: a device, or evidence of a leaf that counts for nothing.
async fn finish(
    app: &Arc<App>,
    org: &Arc<Org>,
    enroll: &Logged,
    note: &Note,
    wish: &WishRow,
) -> Result<Joined, JoinError> {
    let (proofs, _held) = log::append_held(app, org, vec![join_leaf(&org.id, note)]).await?;
    let proof = proofs.into_iter().next().ok_or(AppendError::Stopping)?;
    let enrolled = { enrolled_by_join(&org.chain(), enroll, note, &proof) };
    let proof = proof.to_string();
    let settle = Settle { wish: wish.clone(), proof: proof.clone(), enrolled };
    match places::settle(app, org, settle).await? {
        None => Ok(answer(&org.chain(), enroll, proof)),
        Some(row) => known(org, enroll, &note.text().parse()?, row),
    }
}

/// Goes on with a join in the background, once, however long the log takes.
fn finish_later(app: &Arc<App>, org: &Arc<Org>, wish: WishRow) {
    let key = (org.id, wish.hash.clone());
    if !app.gate.joins.later().insert(key.clone()) {
        return;
    }
    let (app, org) = (app.clone(), org.clone());
    tokio::spawn(async move {
        let until_settled = async {
            while let Err(error) = again(&app, &org, &wish).await {
                if !error.passes() {
                    tracing::info!(org.id = %org.id, device.id = wish.device, %error, "join made no device");
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::select! {
            () = until_settled => {}
            () = app.stopping() => {}
        }
        app.gate.joins.later().remove(&key);
    });
}

async fn again(app: &Arc<App>, org: &Arc<Org>, wish: &WishRow) -> Result<(), JoinError> {
    let note: Note = wish.note.parse()?;
    let written: Join = note.text().parse()?;
    let enroll = batch_of(app, org, &written.batch).await?;
    finish(app, org, &enroll, &note, wish).await.map(drop)
}

/// Goes on with joins that the log may have taken before a start.
///
/// # Errors
/// The records cannot be read.
pub async fn go_on(app: &Arc<App>, org: &Arc<Org>) -> Result<(), StoreError> {
    wish::open(&app.db, &org.id.to_string()).await?.into_iter().for_each(|wish| finish_later(app, org, wish));
    Ok(())
}

fn answer(chain: &Chain, enroll: &Logged, proof: String) -> Joined {
    let genesis = chain.policies().first().and_then(|held| {
        held.proof
            .as_ref()
            .map(|proof| Logged { signed: held.signed.clone(), proof: proof.clone() }.to_string())
    });
    let news = News::since(chain, 1).into_iter().map(|news| news.to_string());
    Joined { chain: genesis.into_iter().chain(news).collect(), enroll: enroll.to_string(), proof }
}
