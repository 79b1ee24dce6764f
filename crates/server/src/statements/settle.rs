//! What follows once enough people have signed: the log, and then whoever must know.
//!
//! Every step may happen twice: after a start, what was decided and is not logged is settled again.

use std::sync::Arc;
use std::time::Duration;

use countersign_trust::chain::{ChainError, Taken};
use countersign_trust::checkpoint::Proof;
use countersign_trust::delivery::News;
use countersign_trust::envelope::{EnvelopeError, Logged, Signed};
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::join::{EnrollError, check_enroll};
use countersign_trust::note::Note;
use countersign_trust::statement::advance::Advance;
use countersign_trust::statement::enroll::What;
use countersign_trust::statement::job::Job;
use countersign_trust::statement::{self as statements, Kind, StatementError};
use tokio::sync::RwLockReadGuard;
use tokio::task::JoinHandle;

use crate::app::{App, Org};
use crate::gate::join;
use crate::log::{self, AppendError};
use crate::logs::{self, again};
use crate::orgs::LoadError;
use crate::statements::{anew, decide, intake};
use crate::store::device::DeviceRow;
use crate::store::statement::StatementRow;
use crate::store::{StoreError, Tx, device, enrollment, job_device, statement, stored};
use crate::{dispatch, held, reach, receipts};

/// How long to wait after a failure that may pass, such as a full disk.
const PAUSE: Duration = Duration::from_secs(5);

/// Why a decided statement is not settled.
#[derive(Debug, thiserror::Error)]
enum SettleError {
    /// May pass.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// May pass.
    #[error(transparent)]
    Log(#[from] AppendError),
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    #[error(transparent)]
    Statement(#[from] StatementError),
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Enroll(#[from] EnrollError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("the statement is not there")]
    Gone,
}

/// Settles a decided statement in the background; tries again as long as the disk or the log fails.
pub fn spawn(app: &Arc<App>, org: &Arc<Org>, hash: &str) -> JoinHandle<()> {
    let (app, org, hash) = (app.clone(), org.clone(), hash.to_owned());
    tokio::spawn(async move {
        let until_settled = async {
            let mut stored = false;
            while let Err(error) = settle(&app, &org, &hash, &mut stored).await {
                let passes = match &error {
                    SettleError::Store(_) | SettleError::Log(_) => true,
                    SettleError::Load(error) => matches!(error, LoadError::Store(_)),
                    _ => false,
                };
                tracing::error!(org.id = %org.id, statement.hash = hash, %error, again = passes, "statement not settled");
                if !passes {
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::select! {
            () = until_settled => {}
            () = app.stopping() => {}
        }
    })
}

/// Settles again what was decided before a start, and lets follow again what the program may not have come to.
///
/// # Errors
/// The records cannot be read.
pub async fn go_on(app: &Arc<App>, org: &Arc<Org>) -> Result<(), StoreError> {
    log::look_again(app, org);
    // What another log's end took is not logged until it stands in the one that took its place.
    again::give_up(app, org).await?;
    for row in statement::open(&app.db, &org.id.to_string()).await? {
        if row.missing.is_empty() {
            spawn(app, org, &row.hash);
        }
    }
    join::go_on(app, org).await?;
    if org.chain().policy().place.log > 0 {
        again::spawn(app, org);
    }
    let (app, org) = (app.clone(), org.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = follow_again(&app, &org) => {}
            () = app.stopping() => {}
        }
    });
    Ok(())
}

/// What follows a policy or a resume, whether it had when the program ended or not: nobody has written that down, and all of it
/// may happen twice. Agents hear the rest when they connect.
async fn follow_again(app: &Arc<App>, org: &Arc<Org>) {
    let chain = org.chain_now();
    app.peers.tell_witnesses(&chain).await;
    reach::bring(app, org).await;
    if let Err(error) = judge_again(app, org).await {
        tracing::error!(org.id = %org.id, %error, "what waits for signatures was not looked at again");
    }
}

/// Hands a halt to agents and beacons, without waiting for either.
pub fn spread_halt(app: &Arc<App>, org: &Arc<Org>, signed: &Signed) {
    app.gate.push_halt(&org.id, signed);
    let (app, org, chain, signed) = (app.clone(), org.clone(), org.chain_now(), signed.clone());
    tokio::spawn(async move {
        let mut acknowledged_by_all = true;
        for (beacon, acknowledged) in app.peers.halt(&chain, &signed).await {
            if let Err(error) = acknowledged {
                tracing::error!(beacon.name = beacon, why = %error, "halt not acknowledged by a beacon");
                acknowledged_by_all = false;
            }
        }
        if !acknowledged_by_all {
            reach::bring(&app, &org).await;
        }
    });
}

/// Logs a statement and stores its proof, unless this very task has, and lets follow what follows. The proof of another task is
/// followed up by that.
async fn settle(app: &Arc<App>, org: &Arc<Org>, hash: &str, stored: &mut bool) -> Result<(), SettleError> {
    let row = statement::get(&app.db, &org.id.to_string(), hash).await?.ok_or(SettleError::Gone)?;
    if let Some(text) = row.logged() {
        if !*stored {
            return Ok(());
        }
        let logged = Logged::from_text(&text)?;
        return follow(app, org, logged.signed.kind()?, &row, logged).await;
    }
    let signed = Signed::from_text(&row.envelope)?;
    let (kind, entries) = (signed.kind()?, vec![signed.leaf(&org.id)?]);
    if kind == Kind::Policy {
        let proofs = match logs::begun_by(app, org, &signed).await? {
            Some(begun) => log::append_to(app, org, &begun, entries).await?,
            None => log::append(app, org, entries).await?,
        };
        let logged = Logged { signed, proof: first(proofs)? };
        store(app, org, kind, &row, &logged).await?;
        *stored = true;
        return take_policy(app, org, logged).await;
    }
    let (proofs, unreplaced) = log::append_held(app, org, entries).await?;
    let logged = Logged { signed, proof: first(proofs)? };
    store(app, org, kind, &row, &logged).await?;
    *stored = true;
    if kind == Kind::Resume {
        return take_resume(app, org, logged, Some(unreplaced)).await;
    }
    drop(unreplaced);
    follow(app, org, kind, &row, logged).await
}

fn first(proofs: Vec<Proof>) -> Result<Proof, AppendError> {
    proofs.into_iter().next().ok_or(AppendError::Stopping)
}

/// Stores the proof, and in the same transaction what a job or an enrollment changes in the records.
async fn store(
    app: &App,
    org: &Org,
    kind: Kind,
    row: &StatementRow,
    logged: &Logged,
) -> Result<(), SettleError> {
    let id = org.id.to_string();
    let (waiting, receipts) = match kind {
        Kind::Job => targets(app, org, row, &logged.signed).await?,
        _ => (Vec::new(), 0),
    };
    let enrolled = match kind {
        Kind::Enroll => enrollment(app, org, logged).await.or_else(counts_for_nothing)?,
        _ => Enrollment::Nothing,
    };
    let mut tx = app.db.begin().await?;
    statement::logged(&mut tx, &id, &row.hash, org.place_of(&logged.proof), &logged.proof.to_string())
        .await?;
    job_device::insert_waiting(&mut tx, &id, &row.hash, &waiting, stored(receipts)).await?;
    store_enrollment(&mut tx, &id, &row.hash, &enrolled).await?;
    tx.commit().await?;
    Ok(())
}

/// The enrolled devices that a job is for, and how many receipts each may bring about it.
async fn targets(
    app: &App,
    org: &Org,
    row: &StatementRow,
    signed: &Signed,
) -> Result<(Vec<String>, u64), SettleError> {
    let job: Job = statements::read(signed.statement())?;
    let (devices, targets) = (intake::devices(&app.db, org).await?, row.devices());
    let waiting = {
        let chain = org.chain();
        decide::devices_of(&chain, &job, &devices, &targets).map(|device| device.id.to_string()).collect()
    };
    Ok((waiting, receipts::most_about(&job)))
}

/// What an enrollment changes in the records.
enum Enrollment {
    Nothing,
    Device(Box<DeviceRow>),
    Retired(DeviceId),
}

async fn enrollment(app: &App, org: &Org, logged: &Logged) -> Result<Enrollment, SettleError> {
    let (enroll, _) = { check_enroll(&org.chain(), logged)? };
    Ok(match enroll.what {
        What::Batch(_) => Enrollment::Nothing,
        What::Device(_) => match anew::row(app, org, logged).await? {
            Some(row) => Enrollment::Device(Box::new(row)),
            None => Enrollment::Nothing,
        },
        What::Retire(retire) => Enrollment::Retired(retire.device),
    })
}

/// An enrollment that was decided under a policy, and logged under one that asks for more. It is stored with its proof all the
/// same: its leaf stands in the log, and whoever reads that asks what it is.
fn counts_for_nothing(error: SettleError) -> Result<Enrollment, SettleError> {
    match error {
        SettleError::Enroll(EnrollError::Chain(ChainError::Quorum { .. } | ChainError::UnknownSigners)) => {
            tracing::warn!(%error, "enrollment counts for nothing under the policy in force at its leaf");
            Ok(Enrollment::Nothing)
        }
        error => Err(error),
    }
}

async fn store_enrollment(
    tx: &mut Tx,
    org: &str,
    statement: &str,
    changes: &Enrollment,
) -> Result<(), StoreError> {
    match changes {
        Enrollment::Nothing => {}
        Enrollment::Device(row) => {
            device::insert(tx, org, row).await?;
            enrollment::insert(tx, org, &row.id, row.seq, statement).await?;
        }
        Enrollment::Retired(id) => {
            device::retire(tx, org, &id.to_string()).await?;
            enrollment::insert(tx, org, &id.to_string(), enrollment::END, statement).await?;
        }
    }
    Ok(())
}

/// Tells whoever must know.
async fn follow(
    app: &Arc<App>,
    org: &Arc<Org>,
    kind: Kind,
    row: &StatementRow,
    logged: Logged,
) -> Result<(), SettleError> {
    let hash = logged.signed.hash();
    match kind {
        Kind::Policy => take_policy(app, org, logged).await?,
        Kind::Resume => take_resume(app, org, logged, None).await?,
        Kind::Enroll => enrolled(app, org, &logged).await,
        Kind::Job => {
            let row = StatementRow { proof: Some(logged.proof.to_string()), ..row.clone() };
            intake::publish(app, org, &hash, &row);
            dispatch::job_logged(app, org, &hash).await;
        }
        Kind::Advance => {
            let advance: Advance = statements::read(logged.signed.statement())?;
            dispatch::job_logged(app, org, &advance.job).await;
        }
        Kind::Halt => {}
    }
    Ok(())
}

/// `unreplaced` is let go once it is held.
async fn take_resume(
    app: &Arc<App>,
    org: &Arc<Org>,
    logged: Logged,
    unreplaced: Option<RwLockReadGuard<'_, ()>>,
) -> Result<(), SettleError> {
    let news = News::Resume(logged);
    held::offer(&app.db, org, &news, None).await??;
    drop(unreplaced);
    spread(app, org, news).await;
    dispatch::decided(app, org);
    Ok(())
}

async fn take_policy(app: &Arc<App>, org: &Arc<Org>, logged: Logged) -> Result<(), SettleError> {
    let news = News::Policy(logged);
    if news.hash() == Sha256(org.id.0) {
        // It was held without its proof until now.
        held::again(&app.db, org).await?;
    } else {
        let replacing = org.replacing.write().await;
        held::offer(&app.db, org, &news, None).await??;
        follow_log(app, org)?;
        drop(replacing);
    }
    // Before anything is logged under the new policy its witnesses should know it; a new one is told again if it does not.
    app.peers.tell_witnesses(&org.chain_now()).await;
    log::look_again(app, org);
    spread(app, org, news).await;
    dispatch::decided(app, org);
    judge_again(app, org).await?;
    Ok(())
}

/// Goes on in the log that the newest policy names, and logs there again what counts no more in the one before. To be called with
/// [`Org::replacing`] held to write.
fn follow_log(app: &Arc<App>, org: &Arc<Org>) -> Result<(), LoadError> {
    if logs::follow(org)? {
        log::kick(app, org, &org.log());
        again::spawn(app, org);
    }
    Ok(())
}

/// Keeps beacons' word for a policy of the recovery set. With enough of them it is in force, and whoever goes by this server's
/// word hears of it.
///
/// # Errors
/// It cannot be kept, or what waited for signatures cannot be looked at again.
pub async fn recovered(app: &Arc<App>, org: &Arc<Org>, word: &Note) -> Result<(), StoreError> {
    let before = org.chain_now();
    let replacing = org.replacing.write().await;
    let taken = held::offer(&app.db, org, &News::Recovered(word.clone()), None).await?;
    if taken != Ok(Taken::New) || org.chain().policies().len() == before.policies().len() {
        return Ok(());
    }
    if let Err(error) = follow_log(app, org) {
        tracing::error!(org.id = %org.id, %error, "the log of the policy in force is not followed; a start follows it");
    }
    drop(replacing);
    let chain = org.chain_now();
    tracing::warn!(org.id = %org.id, statement.hash = %chain.policy().hash, "a policy of the recovery set is in force");
    app.gate.push_news(&org.id, &News::since(&chain, before.policy().body.number));
    app.tripwires.ring(&org.id);
    app.peers.tell_witnesses(&chain).await;
    log::look_again(app, org);
    reach::bring(app, org).await;
    dispatch::decided(app, org);
    judge_again(app, org).await
}

/// Tells agents at once and waits for the beacons: who sees a policy as logged may ask for Clears under it.
async fn spread(app: &Arc<App>, org: &Arc<Org>, news: News) {
    app.gate.push_news(&org.id, &[news]);
    app.tripwires.ring(&org.id);
    reach::bring(app, org).await;
}

/// The device hears it before any job that is for it only now.
async fn enrolled(app: &Arc<App>, org: &Arc<Org>, logged: &Logged) {
    let enroll = { check_enroll(&org.chain(), logged) };
    match enroll.map(|(enroll, _)| enroll.what) {
        Ok(What::Device(device)) => {
            let device = DeviceId::of_key(device.key.raw());
            anew::bring(app, org, &device, logged);
            dispatch::device_enrolled(app, org, &device).await;
        }
        Ok(What::Retire(retire)) => {
            anew::bring(app, org, &retire.device, logged);
            app.gate.dismiss(&org.id, &retire.device, "this device was retired");
        }
        Ok(What::Batch(_)) | Err(_) => {}
    }
}

/// What waited may have enough signatures under the new policy.
async fn judge_again(app: &Arc<App>, org: &Arc<Org>) -> Result<(), StoreError> {
    for row in statement::open(&app.db, &org.id.to_string()).await? {
        let Ok(signed) = Signed::from_text(&row.envelope) else { continue };
        if row.missing.is_empty() {
            continue;
        }
        // A refusal here leaves the statement as it is: it waits until it expires.
        if let Err(error) = Box::pin(intake::take(app, org, &signed, row.devices())).await {
            tracing::info!(org.id = %org.id, statement.hash = row.hash, why = %error, "statement cannot go on");
        }
    }
    Ok(())
}
