//! Logs what is kept: the root of a tree of receipts is one leaf, and each device hears where its own stand.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_trust::checkpoint::Proof;
use countersign_trust::envelope::leaf;
use countersign_trust::ids::{DeviceId, OrgId, Sha256};
use countersign_trust::merkle::{MerkleError, Tree, leaf_hash};
use countersign_trust::note::{Note, NoteError};
use countersign_wire::message::{Acknowledged, from_server};
use tokio::sync::mpsc;

use crate::app::{App, Org};
use crate::gate::connection::frame;
use crate::log::{self, AppendError};
use crate::queue::gather;
use crate::store::batch::{self, BatchRow};
use crate::store::receipt::{LoggedReceipt, Unlogged};
use crate::store::{StoreError, counted, receipt, stored};

/// How long receipts are collected before they are logged.
const COLLECT: Duration = Duration::from_millis(20);
/// How many receipts go into one batch. Each batch costs a round of the witnesses, and a look at all that wait.
const MOST_IN_A_BATCH: i64 = 2_048;
/// How many receipts a device is told of at once, from the first on that it has not been told of.
const MOST_TOLD: i64 = 256;
/// How long the log is left alone after it failed, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long new proofs for receipts that were logged before are waited for.
const RENEW_TIME: Duration = Duration::from_secs(60);

/// Why a batch is not logged.
#[derive(Debug, thiserror::Error)]
enum BatchError {
    #[error(transparent)]
    Log(#[from] AppendError),
    #[error("the records cannot be reached: {0}")]
    Store(#[from] StoreError),
    #[error("a receipt in the records is no note: {0}")]
    Note(#[from] NoteError),
    #[error(transparent)]
    Tree(#[from] MerkleError),
    #[error("a path cannot be written down: {0}")]
    Path(#[from] serde_json::Error),
}

/// Logs what is kept, each time somebody calls.
pub async fn run(app: Weak<App>, org: Arc<Org>, mut calls: mpsc::Receiver<()>) {
    let mut pause = PAUSES.0;
    while calls.recv().await.is_some() {
        tokio::time::sleep(COLLECT).await;
        loop {
            let Some(app) = app.upgrade() else { return };
            let logged = log_batch(&app, &org).await;
            drop(app);
            match logged {
                Ok(0) => break,
                Ok(count) => {
                    pause = PAUSES.0;
                    gather(count).await;
                }
                Err(error) => {
                    tracing::error!(org.id = %org.id, %error, "receipts not logged; devices keep them until they are");
                    tokio::time::sleep(pause).await;
                    pause = PAUSES.1.min(pause * 2);
                }
            }
        }
    }
}

/// Logs one batch, tells its devices, and returns how many receipts it had.
async fn log_batch(app: &Arc<App>, org: &Arc<Org>) -> Result<usize, BatchError> {
    let id = org.id.to_string();
    let rows = receipt::unlogged(&app.db, &id, MOST_IN_A_BATCH).await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let tree = rows.iter().map(leaf_of).collect::<Result<Tree, _>>()?;
    let root = tree.root();
    let (proofs, _held) = log::append_held(app, org, vec![batch_leaf(&org.id, &root)]).await?;
    let Some(proof) = proofs.into_iter().next() else { return Ok(0) };
    let (nth_log, leaf) = org.place_of(&proof);
    let batch = BatchRow {
        root: root.to_string(),
        size: stored(tree.size()),
        leaf,
        nth_log,
        proof: proof.to_string(),
    };
    let mut stand = Vec::with_capacity(rows.len());
    for (row, place) in rows.iter().zip(0..) {
        stand.push(Stands { row, place, path: tree.inclusion(place, tree.size())? });
    }
    let written: Result<Vec<_>, _> = stand.iter().map(Stands::written).collect();
    let mut tx = app.db.begin().await?;
    batch::put(&mut tx, &id, &batch).await?;
    receipt::logged(&mut tx, &id, &batch.root, &written?).await?;
    tx.commit().await?;
    tell(app, org, &batch, root, stand).await;
    Ok(rows.len())
}

/// Where a receipt stands in its batch.
struct Stands<'a> {
    row: &'a Unlogged,
    place: u64,
    path: Vec<Sha256>,
}

impl<'a> Stands<'a> {
    /// As the records keep it.
    fn written(&self) -> Result<(&'a Unlogged, i64, String), serde_json::Error> {
        let path: Vec<String> = self.path.iter().map(|hash| STANDARD.encode(hash.0)).collect();
        Ok((self.row, stored(self.place), serde_json::to_string(&path)?))
    }

    /// As the device hears it.
    fn shown(self, batch: &BatchRow, root: Sha256) -> Acknowledged {
        Acknowledged {
            number: counted(self.row.number),
            index: self.place,
            size: counted(batch.size),
            path: self.path.iter().map(|hash| hash.0.to_vec()).collect(),
            root: root.0.to_vec(),
            proof: batch.proof.clone(),
        }
    }
}

fn leaf_of(row: &Unlogged) -> Result<Sha256, NoteError> {
    let note: Note = row.note.parse()?;
    Ok(leaf_hash(note.text().as_bytes()))
}

/// The leaf of a batch with this root.
pub fn batch_leaf(org: &OrgId, root: &Sha256) -> String {
    leaf(org, "receipts", root, &Sha256::of(b""))
}

/// Tells all devices of a batch that was just logged.
///
/// A device lets go of its oldest only, so those behind are told again when one before them was late.
async fn tell(app: &App, org: &Org, batch: &BatchRow, root: Sha256, stand: Vec<Stands<'_>>) {
    let mut told: BTreeMap<String, BTreeMap<u64, Acknowledged>> = BTreeMap::new();
    for stands in stand {
        let of_device = told.entry(stands.row.device.clone()).or_default();
        of_device.insert(counted(stands.row.number), stands.shown(batch, root));
    }
    match receipt::logged_behind(&app.db, &org.id.to_string(), &batch.root, MOST_TOLD).await {
        Ok(behind) => {
            for row in behind {
                let shown = shown(&row, row.proof.clone());
                let of_device = told.entry(row.device).or_default();
                of_device.extend(shown.map(|shown| (shown.number, shown)));
            }
        }
        Err(error) => {
            tracing::error!(org.id = %org.id, %error, "receipts not acknowledged; devices ask again when they connect");
        }
    }
    for (device, shown) in told {
        let Some(connection) = device.parse().ok().and_then(|device| app.gate.connection(&org.id, &device))
        else {
            continue;
        };
        let least = shown.keys().next().copied().unwrap_or_default();
        for (_, shown) in shown.into_iter().take_while(|(number, _)| number - least < counted(MOST_TOLD)) {
            connection.send(&frame(from_server::What::Acknowledged(shown)));
        }
    }
}

/// Tells devices, as far as they are connected, where their receipts from a number on stand, in their order; with new proofs where
/// those in the records convince no more. Devices that are not reached in time ask again when they connect.
pub async fn acknowledge(app: &Arc<App>, org: &Arc<Org>, from: BTreeMap<DeviceId, u64>) {
    let all = async {
        for (device, from) in from {
            if let Err(error) = try_acknowledge(app, org, &device, from).await {
                tracing::error!(device.id = %device, %error, "receipts not acknowledged");
            }
        }
    };
    tokio::select! {
        in_time = tokio::time::timeout(RENEW_TIME, all) => if in_time.is_err() {
            tracing::warn!(org.id = %org.id, "the log has made no new proofs in time; receipts wait to be acknowledged");
        },
        () = app.stopping() => {}
    }
}

async fn try_acknowledge(
    app: &Arc<App>,
    org: &Arc<Org>,
    device: &DeviceId,
    from: u64,
) -> Result<(), BatchError> {
    let Some(connection) = app.gate.connection(&org.id, device) else { return Ok(()) };
    let (id, from) = (org.id.to_string(), stored(from));
    let rows = receipt::logged_from(&app.db, &id, &device.to_string(), from, MOST_TOLD).await?;
    let mut renewed = HashMap::new();
    for row in &rows {
        if !renewed.contains_key(&row.root) {
            renewed.insert(row.root.clone(), renew(app, org, row).await?);
        }
        let proof = renewed.get(&row.root).cloned().flatten().unwrap_or_else(|| row.proof.clone());
        if let Some(shown) = shown(row, proof) {
            connection.send(&frame(from_server::What::Acknowledged(shown)));
        }
    }
    Ok(())
}

/// A new proof, if the one in the records no longer convinces who holds the newest policy.
async fn renew(app: &Arc<App>, org: &Arc<Org>, row: &LoggedReceipt) -> Result<Option<String>, BatchError> {
    let (Ok(root), Ok(proof)) = (row.root.parse(), row.proof.parse::<Proof>()) else { return Ok(None) };
    if { org.chain().logged(&batch_leaf(&org.id, &root), &proof) }.is_ok() {
        return Ok(None);
    }
    let (proofs, _held) = log::append_held(app, org, vec![batch_leaf(&org.id, &root)]).await?;
    let Some(proof) = proofs.into_iter().next() else { return Ok(None) };
    let mut tx = app.db.begin().await?;
    batch::renew(&mut tx, &org.id.to_string(), &row.root, org.place_of(&proof), &proof.to_string()).await?;
    tx.commit().await?;
    Ok(Some(proof.to_string()))
}

/// The message, if the records hold what they should.
fn shown(row: &LoggedReceipt, proof: String) -> Option<Acknowledged> {
    let root: Sha256 = row.root.parse().ok()?;
    Some(Acknowledged {
        number: u64::try_from(row.number).ok()?,
        index: u64::try_from(row.place).ok()?,
        size: u64::try_from(row.size).ok()?,
        path: row.path()?,
        root: root.0.to_vec(),
        proof,
    })
}
