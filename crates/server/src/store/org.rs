//! Organizations, and the keys the server holds for them.

use super::{Db, StoreError, Tx, query, row};

row! {
    /// An organization that has begun, with the server's keys for it.
    pub struct OrgRow {
        /// Its id, printed.
        pub id: String,
        /// What people call it.
        pub name: String,
        /// The origin of its log: the name of the log's key.
        pub log_origin: String,
        /// The seed of the log's key: 32 bytes. Secret.
        pub log_seed: Vec<u8>,
        /// The seed of the server's halt key: 32 bytes. Secret.
        pub halt_seed: Vec<u8>,
    }
}

row! {
    /// Keys for an organization that is prepared or has begun.
    pub struct DraftRow {
        /// A random word.
        pub draft: String,
        /// The organization, once it has begun.
        pub org: Option<String>,
        /// What people call it.
        pub name: String,
        /// The origin of its log: the name of the log's key.
        pub log_origin: String,
        /// The seed of the log's key: 32 bytes. Secret.
        pub log_seed: Vec<u8>,
        /// The seed of the server's halt key: 32 bytes. Secret.
        pub halt_seed: Vec<u8>,
    }
}

/// Keeps keys for an organization to come.
pub async fn prepare(tx: &mut Tx, row: &DraftRow, now_ms: i64) -> Result<u64, StoreError> {
    query!(
        tx: execute tx,
        "INSERT INTO org_key (draft, name, log_origin, log_seed, halt_seed, created_ms) VALUES ($1, $2, $3, $4, $5, $6)",
        &row.draft,
        &row.name,
        &row.log_origin,
        &row.log_seed,
        &row.halt_seed,
        now_ms,
    )
}

/// What was prepared under this word.
pub async fn draft(db: &Db, draft: &str) -> Result<Option<DraftRow>, StoreError> {
    query!(
        db: fetch_optional DraftRow, db,
        "SELECT draft, org, name, log_origin, log_seed, halt_seed FROM org_key WHERE draft = $1",
        draft,
    )
}

/// Begins an organization with the keys of `draft`.
pub async fn begin(tx: &mut Tx, id: &str, draft: &DraftRow, now_ms: i64) -> Result<(), StoreError> {
    query!(
        tx: execute &mut *tx,
        "INSERT INTO org (id, name, log_origin, created_ms) VALUES ($1, $2, $3, $4)",
        id,
        &draft.name,
        &draft.log_origin,
        now_ms,
    )?;
    query!(tx: execute tx, "UPDATE org_key SET org = $1 WHERE draft = $2", id, &draft.draft)?;
    Ok(())
}

/// Every organization that has begun.
pub async fn all(db: &Db) -> Result<Vec<OrgRow>, StoreError> {
    query!(
        db: fetch_all OrgRow, db,
        "SELECT org.id, org.name, org.log_origin, org_key.log_seed, org_key.halt_seed
         FROM org JOIN org_key ON org_key.org = org.id ORDER BY org.id",
    )
}
