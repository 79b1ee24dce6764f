//! Devices that are enrolled anew, or leave: whether an enrollment follows the one that is held, and bringing it to the device.
//!
//! The device judges for itself. What is decided here is what the records say, and whom to ask for one more signature.
//!
//! Source: docs/spec/3-statements.md, "Enrolled anew".

use std::sync::Arc;
use std::time::Duration;

use countersign_trust::chain::Place;
use countersign_trust::delivery::News;
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::join::{
    EnrollError, Enrolled, enrolled_anew, enrolled_directly, may_relabel, with_site,
};
use countersign_trust::note::VerifierKey;
use countersign_trust::statement as statements;
use countersign_trust::statement::enroll::{Device, Enroll, What};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::app::{App, Org};
use crate::gate::connection::news_frames;
use crate::statements::decide::{Known, Unfit};
use crate::statements::intake::IntakeError;
use crate::store::device::DeviceRow;
use crate::store::{StoreError, counted, device, enrollment};

/// How long a device may take to hear of its end.
const FAREWELL: Duration = Duration::from_secs(5);

/// What an enrollment of one device lacks besides the quorum: people of the rules that read a label it changes.
///
/// # Errors
/// No signature can make it follow.
pub fn missing(known: Known<'_>, wish: &Device, signed: &Signed) -> Result<Option<String>, Unfit> {
    let id = DeviceId::of_key(wish.key.raw());
    let Some(held) = known.devices.iter().find(|device| device.id == id) else {
        return wish.previous.map_or(Ok(None), |previous| Err(Unfit::Replaces(previous)));
    };
    if held.enroll == signed.hash() {
        return Ok(None);
    }
    let (seq, previous) = (wish.seq, wish.previous);
    if seq <= held.seq || previous != Some(held.enroll) {
        return Err(EnrollError::NotNext { seq, previous, held_seq: held.seq, held: held.enroll }.into());
    }
    let labels = with_site(wish.labels.clone(), wish.site.clone())?;
    let may = may_relabel(&known.chain.policy().body, &held.labels, &labels, signed);
    Ok(may.err().map(|error| error.to_string()))
}

/// Who was retired does not come back: devices would not take it.
///
/// # Errors
/// It was, or the records cannot be reached.
pub async fn not_retired(app: &App, org: &Org, signed: &Signed) -> Result<(), IntakeError> {
    let Ok(Enroll { what: What::Device(wish), .. }) = statements::read(signed.statement()) else {
        return Ok(());
    };
    let id = DeviceId::of_key(wish.key.raw());
    match device::get(&app.db, &org.id.to_string(), &id.to_string()).await? {
        Some(row) if row.retired => Err(Unfit::Retired(id).into()),
        _ => Ok(()),
    }
}

/// The row of a device as this logged enrollment makes it; none, if the enrollment counts for nothing.
pub async fn row(app: &App, org: &Org, logged: &Logged) -> Result<Option<DeviceRow>, StoreError> {
    let directly = { enrolled_directly(&org.chain(), logged) };
    let Ok(next) = directly else { return Ok(None) };
    let held = device::get(&app.db, &org.id.to_string(), &next.device.to_string()).await?;
    let taken = match held {
        None => Ok(next),
        Some(row) if row.enroll == next.enroll.to_string() => Ok(next),
        Some(row) => match held_by(&row, next.key) {
            Some(held) => enrolled_anew(&org.chain(), &held, logged),
            None => return Ok(None),
        },
    };
    match taken {
        Ok(taken) => Ok(Some(DeviceRow::enrolled(&taken, None))),
        Err(why) => {
            tracing::warn!(org.id = %org.id, statement.hash = %logged.signed.hash(), %why, "logged enrollment counts for nothing");
            Ok(None)
        }
    }
}

/// What a device holds, as far as [`enrolled_anew`] asks; none of one that has left.
fn held_by(row: &DeviceRow, key: VerifierKey) -> Option<Enrolled> {
    let labels = row.labels();
    let labels = labels.iter().map(|(key, value)| Some((key.parse().ok()?, value.parse().ok()?)));
    let held = Enrolled {
        device: row.id.parse().ok()?,
        key,
        labels: labels.collect::<Option<_>>()?,
        enroll: row.enroll.parse().ok()?,
        place: Place { log: usize::try_from(row.nth_log).unwrap_or_default(), index: counted(row.leaf) },
        seq: counted(row.seq),
    };
    (!row.retired).then_some(held)
}

/// What a device that holds `held` is to be brought: each later enrollment, and its end.
pub async fn lacks(
    app: &App,
    org: &Org,
    device: &DeviceId,
    held: Option<Sha256>,
) -> Result<Vec<News>, StoreError> {
    let rows = enrollment::of_device(&app.db, &org.id.to_string(), &device.to_string()).await?;
    let held = held.map(|held| held.to_string());
    let at = rows.iter().position(|row| Some(&row.hash) == held.as_ref());
    let later = rows.iter().skip(at.map_or(0, |at| at + 1));
    Ok(later.filter_map(|row| News::from_text(&format!("{}{}", row.envelope, row.proof)).ok()).collect())
}

/// Brings a device that is connected what was just logged of it.
pub fn bring(app: &Arc<App>, org: &Org, device: &DeviceId, logged: &Logged) {
    if let Some(connection) = app.gate.connection(&org.id, device) {
        news_frames(&[News::Enroll(logged.clone())]).iter().for_each(|frame| connection.send(frame));
    }
}

/// Brings a device that has left its end, and the policies to judge it by, before the connection is closed.
pub async fn farewell(
    app: &App,
    org: &Org,
    device: &DeviceId,
    policy_number: u64,
    write: &mut (impl AsyncWrite + Unpin),
) {
    let mut news = { News::since(&org.chain(), policy_number) };
    match lacks(app, org, device, None).await {
        Ok(end) => news.extend(end),
        Err(error) => tracing::error!(device.id = %device, %error, "a device's end not brought to it"),
    }
    // Who does not hear it is turned away all the same.
    let told = async {
        for frame in news_frames(&news) {
            write.write_all(&frame).await?;
        }
        write.flush().await
    };
    let _ = timeout(FAREWELL, told).await;
}
