//! Writing a batch of entries: leaves and tiles in one transaction, on the disk before anybody hears of them.

use std::collections::HashMap;
use std::sync::Arc;

use countersign_trust::ids::Sha256;
use countersign_trust::merkle::leaf_hash;

use super::tiles::Tiles;
use super::{AppendError, OrgLog, Waiting};
use crate::app::{App, Org};
use crate::store::tile::TileRow;
use crate::store::{Db, StoreError, counted, leaf, stored, tile};

/// The tree of a log as the database holds it.
///
/// # Errors
/// The database, or tiles that are not made of hashes.
pub async fn load(db: &Db, org: &str, log: i64) -> Result<Tiles, StoreError> {
    let rows = tile::all(db, org, log).await?;
    let mut tiles = Tiles::default();
    for row in rows.iter().filter(|row| row.level == 0) {
        let (hashes, rest) = row.hashes.as_chunks::<32>();
        if !rest.is_empty() {
            let what = format!("tile 0/{} has {} bytes, no multiple of 32", row.place, row.hashes.len());
            return Err(StoreError::Decode(what.into()));
        }
        hashes.iter().for_each(|hash| tiles.push(Sha256(*hash)));
    }
    Ok(tiles)
}

/// Writes a batch and tells everybody in it their places, or why there are none.
pub(super) async fn write(app: &Arc<App>, org: &Arc<Org>, log: &OrgLog, batch: Vec<Waiting>) {
    if batch.is_empty() {
        return;
    }
    let entries = batch.iter().flat_map(|waiting| &waiting.entries);
    let places = match write_entries(app, org, log, entries).await {
        Ok(places) => places,
        Err(error) => {
            tracing::error!(org.id = %org.id, %error, "log not written");
            for waiting in batch {
                // Who no longer waits need not be told.
                let _ = waiting.places.send(Err(error.clone()));
            }
            return;
        }
    };
    let mut places = places.into_iter();
    for Waiting { entries, places: tell } in batch {
        let _ = tell.send(Ok(places.by_ref().take(entries.len()).collect()));
    }
}

async fn write_entries(
    app: &App,
    org: &Org,
    log: &OrgLog,
    entries: impl Iterator<Item = &String>,
) -> Result<Vec<u64>, AppendError> {
    let id = org.id.to_string();
    reload_if_doubtful(app, log, &id).await?;
    let before = log.read_tiles().size();
    let written = write_in_one(&app.db, log, &id, before, entries).await;
    if written.is_err() {
        log.write_tiles().truncate(before);
        log.queue().doubtful = true;
    }
    Ok(written?)
}

/// A commit that failed may have happened.
async fn reload_if_doubtful(app: &App, log: &OrgLog, id: &str) -> Result<(), AppendError> {
    if log.queue().doubtful {
        let tiles = load(&app.db, id, log.which.number).await?;
        *log.write_tiles() = tiles;
        log.queue().doubtful = false;
    }
    Ok(())
}

async fn write_in_one(
    db: &Db,
    log: &OrgLog,
    id: &str,
    before: u64,
    entries: impl Iterator<Item = &String>,
) -> Result<Vec<u64>, StoreError> {
    let mut tx = db.begin().await?;
    let (mut places, mut new) = (Vec::new(), HashMap::new());
    let (mut size, number) = (before, log.which.number);
    for entry in entries {
        let hash = leaf_hash(entry.as_bytes());
        let printed = hash.to_string();
        let known = match new.get(&hash) {
            Some(place) => Some(*place),
            None => leaf::place(&mut tx, id, number, &printed).await?.map(counted),
        };
        let place = match known {
            Some(place) => place,
            None => {
                leaf::insert(&mut tx, id, number, stored(size), &printed, entry).await?;
                log.write_tiles().push(hash);
                new.insert(hash, size);
                size += 1;
                size - 1
            }
        };
        places.push(place);
    }
    let changed = log.read_tiles().since(before);
    for changed in changed {
        let hashes = changed.hashes.iter().flat_map(|hash| hash.0).collect();
        let number = |place| i64::try_from(place).unwrap_or(i64::MAX);
        let row = TileRow { level: number(changed.level), place: number(changed.place), hashes };
        tile::put(&mut tx, id, log.which.number, &row).await?;
    }
    tx.commit().await?;
    Ok(places)
}
