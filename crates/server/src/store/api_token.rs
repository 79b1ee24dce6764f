//! Tokens by which programs speak for an organization. Only their SHA-256 is kept.

use super::{Db, StoreError, Tx, query, row};

row! {
    /// Whose token it is.
    pub struct TokenRow {
        /// The organization; none before it has begun.
        pub org: Option<String>,
        /// The draft it was made with; none for a later token.
        pub draft: Option<String>,
    }
}

row! {
    /// A token in a list.
    pub struct ListedRow {
        /// Its SHA-256.
        pub hash: String,
        /// For whom or what it was made.
        pub name: String,
        /// When, milliseconds since 1970.
        pub created_ms: i64,
    }
}

/// Keeps a token by its hash, for an organization or for a draft of one.
pub async fn insert(
    tx: &mut Tx,
    hash: &str,
    of: &TokenRow,
    name: &str,
    now_ms: i64,
) -> Result<u64, StoreError> {
    query!(
        tx: execute tx,
        "INSERT INTO api_token (hash, org, draft, name, created_ms) VALUES ($1, $2, $3, $4, $5)",
        hash,
        &of.org,
        &of.draft,
        name,
        now_ms,
    )
}

/// Whose token has this hash.
pub async fn get(db: &Db, hash: &str) -> Result<Option<TokenRow>, StoreError> {
    query!(db: fetch_optional TokenRow, db, "SELECT org, draft FROM api_token WHERE hash = $1", hash)
}

/// Gives the tokens of a draft to the organization it became.
pub async fn begin(tx: &mut Tx, draft: &str, org: &str) -> Result<u64, StoreError> {
    query!(tx: execute tx, "UPDATE api_token SET org = $1 WHERE draft = $2", org, draft)
}

/// How many tokens an organization has.
pub async fn count(db: &Db, org: &str) -> Result<i64, StoreError> {
    let row = query!(db: fetch_one (i64,), db, "SELECT COUNT(*) FROM api_token WHERE org = $1", org)?;
    Ok(row.0)
}

/// The tokens of an organization, by hash.
pub async fn all(db: &Db, org: &str) -> Result<Vec<ListedRow>, StoreError> {
    query!(
        db: fetch_all ListedRow, db,
        "SELECT hash, name, created_ms FROM api_token WHERE org = $1 ORDER BY hash",
        org,
    )
}

/// Takes a token of an organization back; the number of those that there were.
pub async fn delete(tx: &mut Tx, org: &str, hash: &str) -> Result<u64, StoreError> {
    query!(tx: execute tx, "DELETE FROM api_token WHERE org = $1 AND hash = $2", org, hash)
}
