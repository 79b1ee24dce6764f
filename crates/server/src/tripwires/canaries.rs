//! What devices tell of files that nobody should touch: notes that they signed are checked, kept and acknowledged.

use std::sync::Arc;

use countersign_trust::canary::CanaryNote;
use countersign_trust::ids::{DeviceId, OrgId, Sha256};
use countersign_trust::join::device_key;
use countersign_trust::lines::LinesError;
use countersign_trust::note::{Note, NoteError, VerifierKeyError};
use countersign_wire::message::{CanaryKept, from_server};

use crate::app::{App, Org};
use crate::facts::{self, Fact, Kind};
use crate::gate::connection::{Connection, frame};
use crate::store::canary::{self, CanaryRow};
use crate::store::{StoreError, stored};

/// The longest note, in bytes.
const MOST_NOTE: usize = 4 * 1024;
/// How many notes of a device are kept, and how many it may bring in a day: 64 files, each of which an agent tells of four times.
const MOST_OF_A_DEVICE: i64 = 256;
const DAY_MS: i64 = 86_400_000;

/// Why a note is none of the device that sent it.
#[derive(Debug, thiserror::Error)]
pub enum CanaryError {
    /// No such note is as long.
    #[error("a canary's note of {found} bytes, at most {MOST_NOTE} are read")]
    Long {
        /// Its bytes.
        found: usize,
    },
    /// Not a note.
    #[error("the canary's note is none: {0}")]
    Note(#[from] NoteError),
    /// Not about a canary.
    #[error("the canary's note: {0}")]
    Text(#[from] LinesError),
    /// The device's key makes no note key.
    #[error(transparent)]
    Key(#[from] VerifierKeyError),
    /// Not signed by the device.
    #[error("the canary's note is not signed by {0}")]
    Unsigned(DeviceId),
    /// It speaks for another device.
    #[error("the canary's note is of {found}, the connection is of {expected}")]
    Device {
        /// The device of the connection.
        expected: DeviceId,
        /// The note's.
        found: DeviceId,
    },
    /// It speaks of another organization.
    #[error("the canary's note is of {found}, the connection is of {expected}")]
    Organization {
        /// The connection's.
        expected: OrgId,
        /// The note's.
        found: OrgId,
    },
    /// Nobody asked the device to look at that file.
    #[error("policy {policy} names no canary `{path}`")]
    NotACanary {
        /// The policy that the note names.
        policy: Sha256,
        /// The file.
        path: String,
    },
    /// Nothing has become of it.
    #[error("the canary's note tells of no change: {0}")]
    Unchanged(String),
}

/// What a connection has brought.
#[derive(Debug, Default)]
pub struct Canaries {
    /// That it brings too much is noted once.
    too_many: bool,
}

impl Canaries {
    /// Takes a note that came over `connection`. One that cannot be kept is not acknowledged: the device brings it again.
    pub async fn take(
        &mut self,
        app: &Arc<App>,
        org: &Arc<Org>,
        connection: &Connection,
        note: &str,
    ) -> Result<(), CanaryError> {
        let (note, read) = check(org.id, connection, note)?;
        // A policy that is not known here yet may name it: a beacon may have told the device first.
        if !is_named(org, &read)? {
            return Ok(());
        }
        let (device, hash) = (connection.device, Sha256::of(note.text().as_bytes()));
        match keep(app, org, &note, &read, &hash).await {
            Ok(Kept::Too) if self.too_many => {}
            Ok(Kept::Too) => {
                self.too_many = true;
                let words = format!(
                    "it told of more than {MOST_OF_A_DEVICE} changes of canaries in a day; what is beyond is not kept"
                );
                facts::note(app, org, &Fact::new(device, Kind::Canaries, words)).await;
            }
            Ok(kept) => {
                let kept_frame = frame(from_server::What::Kept(CanaryKept { hash: hash.0.to_vec() }));
                connection.send(&kept_frame);
                if matches!(kept, Kept::New) {
                    tracing::warn!(device.id = %device, canary.path = %read.path, canary.is = %read.is, "a canary is not what it was");
                    app.tripwires.ring(&org.id);
                }
            }
            Err(error) => {
                tracing::error!(device.id = %device, %error, "a canary's note is not kept");
                connection.dismiss("the server cannot reach its records; try again later".to_owned());
            }
        }
        Ok(())
    }
}

fn check(org: OrgId, connection: &Connection, note: &str) -> Result<(Note, CanaryNote), CanaryError> {
    if note.len() > MOST_NOTE {
        return Err(CanaryError::Long { found: note.len() });
    }
    let note: Note = note.parse()?;
    let device = connection.device;
    if !note.signed_by(&device_key(connection.key)?) {
        return Err(CanaryError::Unsigned(device));
    }
    let read: CanaryNote = note.text().parse()?;
    if read.device != device {
        return Err(CanaryError::Device { expected: device, found: read.device });
    }
    if read.org != org {
        return Err(CanaryError::Organization { expected: org, found: read.org });
    }
    if read.was == read.is {
        return Err(CanaryError::Unchanged(read.is.to_string()));
    }
    Ok((note, read))
}

/// Whether the policy that it names has the device look there; false if that is not known here.
fn is_named(org: &Org, read: &CanaryNote) -> Result<bool, CanaryError> {
    let chain = org.chain();
    let Some(held) = chain.policy_by_hash(&read.policy) else { return Ok(false) };
    if held.body.canaries().contains(&read.path) {
        return Ok(true);
    }
    Err(CanaryError::NotACanary { policy: read.policy, path: read.path.to_string() })
}

/// What became of a note.
enum Kept {
    New,
    Known,
    /// It is one too many.
    Too,
}

async fn keep(
    app: &App,
    org: &Org,
    note: &Note,
    read: &CanaryNote,
    hash: &Sha256,
) -> Result<Kept, StoreError> {
    let (id, now_ms) = (org.id.to_string(), stored((app.now_ms)()));
    let row = CanaryRow {
        device: read.device.to_string(),
        hash: hash.to_string(),
        path: read.path.to_string(),
        touched: read.is_touch(),
        note: note.to_string(),
        received_ms: now_ms,
    };
    let (today, known) = canary::known(&app.db, &id, &row.device, &row.hash, now_ms - DAY_MS).await?;
    if known > 0 {
        return Ok(Kept::Known);
    }
    if today >= MOST_OF_A_DEVICE {
        return Ok(Kept::Too);
    }
    let mut tx = app.db.begin().await?;
    canary::insert(&mut tx, &id, &row, MOST_OF_A_DEVICE).await?;
    tx.commit().await?;
    Ok(Kept::New)
}
