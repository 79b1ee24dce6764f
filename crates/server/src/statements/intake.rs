//! A signed statement on its way in: put together with the signatures that are stored, decided, kept.

mod joined;
mod waiting;

use std::sync::Arc;

use countersign_trust::chain::{Place, Taken};
use countersign_trust::delivery::News;
use countersign_trust::envelope::{EnvelopeError, Signed};
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::statement::advance::Advance;
use countersign_trust::statement::{self as statements, Kind};
use countersign_wire::http::JobEvent;
use tokio::task::JoinHandle;

use crate::app::{App, Org};
use crate::statements::decide::{self, Advanced, Decision, Known, Unfit};
use crate::statements::{anew, settle};
use crate::store::statement::StatementRow;
use crate::store::{Db, StoreError, counted, device, statement, stored};
use crate::{dispatch, held, logs};

/// Why a statement is not taken.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// No envelope.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// No signature that counts.
    #[error("no signature by a key of the policy in force")]
    UnknownSigners,
    /// No signature can make it good.
    #[error(transparent)]
    Unfit(Unfit),
    /// The records.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Unfit> for IntakeError {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::UnknownSigners => Self::UnknownSigners,
            other => Self::Unfit(other),
        }
    }
}

/// Takes a statement with whatever signatures it bears. Enough of them, and it is on its way into the log when this
/// returns, by the task that is answered with it; a halt is also on its way to every beacon and agent.
///
/// # Errors
/// Nothing was kept.
pub async fn take(
    app: &Arc<App>,
    org: &Arc<Org>,
    signed: &Signed,
    targets: Vec<DeviceId>,
) -> Result<(StatementRow, Option<JoinHandle<()>>), IntakeError> {
    take_from(app, org, signed, targets, Source::Anybody).await
}

/// The same for a halt that a beacon names: devices take no Clear of that beacon before they have its text, even where here it
/// stops nothing, being its key's seventeenth.
///
/// # Errors
/// Nothing was kept.
pub async fn take_of_beacon(app: &Arc<App>, org: &Arc<Org>, halt: &Signed) -> Result<(), IntakeError> {
    take_from(app, org, halt, Vec::new(), Source::Beacon).await.map(|_| ())
}

/// Hands a vendor's halt to agents and beacons, if it would be obeyed and is new here. It is to be kept by [`keep_of_vendor`].
///
/// # Errors
/// It would stop nothing.
pub fn spread_of_vendor(app: &Arc<App>, org: &Arc<Org>, halt: &Signed) -> Result<(), IntakeError> {
    if stops(org, halt, Source::Vendor)? {
        settle::spread_halt(app, org, halt);
    }
    Ok(())
}

/// Keeps a vendor's halt that [`spread_of_vendor`] has handed on.
///
/// # Errors
/// Nothing was kept.
pub async fn keep_of_vendor(app: &Arc<App>, org: &Arc<Org>, halt: &Signed) -> Result<(), IntakeError> {
    take_from(app, org, halt, Vec::new(), Source::Vendor).await.map(|_| ())
}

/// Who brings a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Anybody,
    Beacon,
    /// A feed: it was handed on before.
    Vendor,
}

async fn take_from(
    app: &Arc<App>,
    org: &Arc<Org>,
    signed: &Signed,
    targets: Vec<DeviceId>,
    source: Source,
) -> Result<(StatementRow, Option<JoinHandle<()>>), IntakeError> {
    let kind = signed.kind()?;
    let spread = kind == Kind::Halt && (stops(org, signed, source)? || source == Source::Vendor);
    // Before it is stored: a full disk keeps a halt from nobody.
    if spread && source != Source::Vendor {
        settle::spread_halt(app, org, signed);
    }
    dispatch::look_for_recovery(app, org).await?;
    let row = {
        let _one_at_a_time = org.intake.lock().await;
        take_alone(app, org, kind, signed, targets, spread).await?
    };
    if spread {
        app.gate.push_halt_to_late(&org.id, signed);
    }
    if !row.missing.is_empty() || row.proof.is_some() {
        return Ok((row, None));
    }
    if kind == Kind::Halt && !spread {
        settle::spread_halt(app, org, signed);
    }
    let settling = settle::spawn(app, org, &row.hash);
    Ok((row, Some(settling)))
}

/// Whether a halt is new, or signed by somebody else too who may, and would be obeyed.
fn stops(org: &Org, signed: &Signed, source: Source) -> Result<bool, IntakeError> {
    let (hash, mut chain) = (signed.hash(), org.chain_now());
    let taken = chain.take_halt(signed).map_err(Unfit::from)?;
    let stops = chain.active_halts().any(|halt| halt.hash == hash);
    match taken {
        Taken::Known | Taken::Moved => Ok(false),
        Taken::New if stops || source == Source::Beacon => Ok(true),
        Taken::New | Taken::Lifted | Taken::Waits => Err(Unfit::StopsNothing(hash).into()),
    }
}

async fn take_alone(
    app: &App,
    org: &Org,
    kind: Kind,
    signed: &Signed,
    targets: Vec<DeviceId>,
    calls_anew: bool,
) -> Result<StatementRow, IntakeError> {
    let (id, hash) = (org.id.to_string(), signed.hash());
    let known = statement::get(&app.db, &id, &hash.to_string()).await?;
    let known = match known {
        // Decided: its signatures are what the log's leaf names.
        Some(row) if row.missing.is_empty() && !calls_anew => return Ok(row),
        other => other,
    };
    let earlier = known.as_ref().map(|row| Signed::from_text(&row.envelope)).transpose()?;
    let signed = match kind {
        // `stops` has judged it.
        Kind::Halt => with_all_who_called(org, signed),
        _ => joined::joined(&org.chain_now(), kind, signed, earlier.as_ref())?,
    };
    let targets = known.iter().fold(targets, either);
    let decision = judge(app, org, kind, &signed, &targets).await?;
    let over = match (&known, &decision) {
        (None, Decision::Waiting(_)) => waiting::make_room(app, org, &signed).await?,
        _ => Vec::new(),
    };
    let row = StatementRow {
        hash: hash.to_string(),
        kind: kind.to_string(),
        envelope: signed.to_string(),
        targets: printed(&targets),
        missing: match decision {
            Decision::Enough => String::new(),
            Decision::Waiting(missing) => missing,
        },
        leaf: None,
        nth_log: 0,
        proof: None,
        received_ms: known.map_or(stored((app.now_ms)()), |row| row.received_ms),
    };
    if kind == Kind::Halt {
        held::offer(&app.db, org, &News::Halt(signed), Some(&row)).await?.map_err(Unfit::from)?;
    } else {
        let mut tx = app.db.begin().await?;
        for hash in over {
            statement::forget(&mut tx, &id, &hash).await?;
        }
        statement::put(&mut tx, &id, &row).await?;
        tx.commit().await?;
    }
    publish(app, org, &hash, &row);
    Ok(row)
}

/// A halt with the signatures of all who called it, as the chain keeps it: else a restart would forget those who came before.
fn with_all_who_called(org: &Org, signed: &Signed) -> Signed {
    let mut chain = org.chain_now();
    // What it does not take it does not hold either.
    let _taken = chain.take_halt(signed);
    chain.halt(&signed.hash()).map_or_else(|| signed.clone(), |held| held.signed.clone())
}

async fn judge(
    app: &App,
    org: &Org,
    kind: Kind,
    signed: &Signed,
    targets: &[DeviceId],
) -> Result<Decision, IntakeError> {
    if kind == Kind::Halt {
        // `stops` has judged it.
        return Ok(Decision::Enough);
    }
    if kind == Kind::Policy {
        logs::fits(app, org, signed).await?;
    }
    if kind == Kind::Enroll {
        anew::not_retired(app, org, signed).await?;
    }
    let devices = devices(&app.db, org).await?;
    let advanced = if kind == Kind::Advance { Some(advanced(app, org, signed).await?) } else { None };
    let chain = org.chain();
    let known = Known { chain: &chain, devices: &devices, now: app.now() };
    Ok(decide::decide(known, kind, signed, targets, advanced.as_ref())?)
}

/// The advances of a job, with what they say, in the order they came.
pub async fn advances(db: &Db, org: &str, job: &Sha256) -> Result<Vec<(Advance, StatementRow)>, StoreError> {
    let rows = statement::of_kind(db, org, &Kind::Advance.to_string()).await?;
    let read = |row: StatementRow| {
        let signed = Signed::from_text(&row.envelope).ok()?;
        let advance: Advance = statements::read(signed.statement()).ok()?;
        (advance.job == *job).then_some((advance, row))
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

/// The job that an advance is of; it must be logged.
async fn advanced(app: &App, org: &Org, signed: &Signed) -> Result<Advanced, IntakeError> {
    let advance: Advance = statements::read(signed.statement()).map_err(Unfit::from)?;
    let row = statement::get(&app.db, &org.id.to_string(), &advance.job.to_string()).await?;
    let row = row.filter(|row| row.proof.is_some() && row.kind == Kind::Job.to_string());
    let row = row.ok_or(Unfit::NoSuchJob(advance.job))?;
    let job = statements::read(Signed::from_text(&row.envelope)?.statement()).map_err(Unfit::from)?;
    Ok(Advanced { job, targets: row.devices() })
}

/// The organization's devices as the rules see them.
pub async fn devices(db: &Db, org: &Org) -> Result<Vec<decide::Device>, StoreError> {
    let rows = device::all(db, &org.id.to_string()).await?;
    Ok(rows.iter().filter_map(as_the_rules_see).collect())
}

/// One of them; none if the records hold something else.
pub fn as_the_rules_see(row: &device::DeviceRow) -> Option<decide::Device> {
    let labels = row.labels();
    let labels = labels.iter().map(|(key, value)| Some((key.parse().ok()?, value.parse().ok()?)));
    Some(decide::Device {
        id: row.id.parse().ok()?,
        labels: labels.collect::<Option<_>>()?,
        place: Place { log: usize::try_from(row.nth_log).unwrap_or_default(), index: counted(row.leaf) },
        enroll: row.enroll.parse().ok()?,
        seq: counted(row.seq),
    })
}

/// The ids of this post, or those that an earlier one brought.
fn either(targets: Vec<DeviceId>, row: &StatementRow) -> Vec<DeviceId> {
    if targets.is_empty() { row.devices() } else { targets }
}

fn printed(targets: &[DeviceId]) -> String {
    let ids: Vec<String> = targets.iter().map(DeviceId::to_string).collect();
    // A list of strings always prints.
    serde_json::to_string(&ids).unwrap_or_default()
}

/// Tells who watches where a job stands.
pub fn publish(app: &App, org: &Org, hash: &Sha256, row: &StatementRow) {
    let event = JobEvent::State { state: row.state().to_owned(), missing: row.missing.clone() };
    app.events.publish(&org.id, hash, event);
}
