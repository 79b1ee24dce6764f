//! The tiles of each log: up to 256 hashes of 32 bytes, in their order.

use super::{Db, StoreError, Tx, query, row};

row! {
    /// A tile.
    pub struct TileRow {
        /// 0 for leaf hashes, one more for each 256 to 1 above.
        pub level: i64,
        /// Which of its level, counted from 0.
        pub place: i64,
        /// Its hashes, one after the other.
        pub hashes: Vec<u8>,
    }
}

/// Stores a tile; a fuller one takes its place.
pub async fn put(tx: &mut Tx, org: &str, log: i64, tile: &TileRow) -> Result<u64, StoreError> {
    query!(
        tx: execute tx,
        "INSERT INTO tile (org, log, level, place, hashes) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (org, log, level, place) DO UPDATE SET hashes = excluded.hashes",
        org,
        log,
        tile.level,
        tile.place,
        &tile.hashes,
    )
}

/// All tiles of a log, level by level, in their order.
pub async fn all(db: &Db, org: &str, log: i64) -> Result<Vec<TileRow>, StoreError> {
    query!(
        db: fetch_all TileRow, db,
        "SELECT level, place, hashes FROM tile WHERE org = $1 AND log = $2 ORDER BY level, place",
        org,
        log,
    )
}
