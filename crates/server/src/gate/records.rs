//! What the gate writes down of devices: what they say of themselves, when they were there. Many in one transaction,
//! since each transaction waits for the disk and devices come back by the thousand.

use std::sync::{Arc, Weak};

use countersign_trust::ids::DeviceId;
use tokio::sync::mpsc;

use crate::app::{App, Org};
use crate::queue::gather;
use crate::store::device::{self, Said};
use crate::store::{StoreError, stored};

/// How many rows go into one transaction.
const MOST_AT_ONCE: usize = 256;

/// Something to write down.
#[derive(Debug)]
pub enum Row {
    /// A device connected, and says this of itself.
    Said(DeviceId, Box<Said>),
    /// A device left.
    Seen(DeviceId),
}

/// Has a row written down with the next others.
pub async fn write(app: &Arc<App>, org: &Arc<Org>, row: Row) {
    let (weak, of) = (Arc::downgrade(app), org.clone());
    let queue = app.gate.records.of(&org.id, |rows| drop(tokio::spawn(run(weak, of, rows))));
    if queue.send(row).await.is_err() {
        tracing::error!(org.id = %org.id, "the task that writes down who is there has died");
    }
}

/// Works off the queue until it is closed.
async fn run(app: Weak<App>, org: Arc<Org>, mut rows: mpsc::Receiver<Row>) {
    let mut these = Vec::new();
    while rows.recv_many(&mut these, MOST_AT_ONCE).await > 0 {
        let Some(app) = app.upgrade() else { return };
        if let Err(error) = write_down(&app, &org, &these).await {
            tracing::error!(org.id = %org.id, rows = these.len(), %error, "what the gate knows of devices is not stored");
        }
        drop(app);
        gather(these.len()).await;
        these.clear();
    }
}

async fn write_down(app: &App, org: &Org, rows: &[Row]) -> Result<(), StoreError> {
    let (id, now_ms) = (org.id.to_string(), stored((app.now_ms)()));
    let mut tx = app.db.begin().await?;
    let (mut said, mut seen) = (Vec::new(), Vec::new());
    for row in rows {
        match row {
            Row::Said(device, words) => said.push((device.to_string(), (**words).clone())),
            Row::Seen(device) => seen.push(device.to_string()),
        }
    }
    // Who connects twice in one batch would stand twice in one statement: the last word counts.
    said.reverse();
    said.sort_by(|one, other| one.0.cmp(&other.0));
    said.dedup_by(|one, other| one.0 == other.0);
    device::said(&mut tx, &id, &said, now_ms).await?;
    device::seen(&mut tx, &id, &seen, now_ms).await?;
    tx.commit().await
}
