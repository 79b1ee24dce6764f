//! How an organization begins on this server, and how it is found again after a start.

use std::sync::Arc;

use countersign_trust::chain::{Chain, ChainError, Inclusion};
use countersign_trust::envelope::{EnvelopeError, Signed};
use countersign_trust::ids::OrgId;
use countersign_trust::key::KeyError;
use countersign_trust::note::{KeyKind, NoteSigner, VerifierKey, VerifierKeyError};
use countersign_trust::sshsig::SshSigner;
use countersign_trust::statement::Kind;

use crate::app::{App, Org};
use crate::held;
use crate::log::{self, OrgLog, Which};
use crate::logs::{self, Logs};
use crate::store::org::{DraftRow, OrgRow};
use crate::store::statement::StatementRow;
use crate::store::{Db, StoreError, api_token, org, statement, stored};
use crate::tripwires;

/// Why an organization does not begin.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// Nothing was prepared under this word.
    #[error("nothing was prepared under this draft: POST /v1/orgs first")]
    Draft,
    /// The draft is used up.
    #[error("this draft has become an organization already")]
    Begun,
    /// No envelope.
    #[error("the genesis policy: {0}")]
    Envelope(#[from] EnvelopeError),
    /// A genesis policy that does not hold.
    #[error("the genesis policy: {0}")]
    Chain(#[from] ChainError),
    /// It names another log.
    #[error("the genesis policy names the log key {found}, this server keeps the log under {expected}")]
    LogKey {
        /// Of the draft.
        expected: VerifierKey,
        /// Of the policy.
        found: VerifierKey,
    },
    /// The stored keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The records.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why stored keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// Not 32 bytes.
    #[error("a stored seed has {0} bytes instead of 32")]
    Seed(usize),
    /// The log's key.
    #[error("the log's key: {0}")]
    Log(#[from] VerifierKeyError),
    /// The halt key.
    #[error("the server's halt key: {0}")]
    Halt(#[from] KeyError),
}

/// Why an organization is not found again.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The records.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys.
    #[error("{org}: {error}")]
    Keys {
        /// Which.
        org: String,
        /// What is wrong.
        error: KeysError,
    },
    /// Something stored does not hold: the database was changed by another hand.
    #[error("{org}: the records do not hold: {what}")]
    Damaged {
        /// Which.
        org: String,
        /// What is wrong.
        what: String,
    },
}

/// The server's keys for an organization: its log's and its own for halts.
///
/// # Errors
/// What is stored is no key.
pub fn keys(origin: &str, log_seed: &[u8], halt_seed: &[u8]) -> Result<(NoteSigner, SshSigner), KeysError> {
    let seed = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).map_err(|_| KeysError::Seed(bytes.len()));
    let log = NoteSigner::new(origin, KeyKind::Ed25519, &seed(log_seed)?)?;
    Ok((log, SshSigner::from_seed(&seed(halt_seed)?)?))
}

/// Begins the organization whose genesis policy this is, with the keys prepared under `draft`.
///
/// Its log has no leaf yet: the genesis policy is decided and waits for the log like any other statement. The same request
/// again finds it begun.
///
/// # Errors
/// Nothing was prepared, or the policy does not hold.
pub async fn begin(app: &Arc<App>, draft: &str, genesis: &str) -> Result<Arc<Org>, BeginError> {
    let signed = Signed::from_text(genesis)?;
    let id = OrgId(signed.hash().0);
    let draft = org::draft(&app.db, draft).await?.ok_or(BeginError::Draft)?;
    if let Some(begun) = &draft.org {
        let same = app.orgs.get(&id).filter(|org| org.id.to_string() == *begun);
        return same.ok_or(BeginError::Begun);
    }
    let chain = Chain::begin(id, &signed, Inclusion::WaivedForWitness)?;
    let (log, halt) = keys(&draft.log_origin, &draft.log_seed, &draft.halt_seed)?;
    let found = &chain.policy().body.log.key;
    if found != log.verifier() {
        return Err(BeginError::LogKey { expected: log.verifier().clone(), found: found.clone() });
    }
    store_begin(app, &id, &draft, &signed).await?;
    let which = Which { number: logs::FIRST, nth: 0, begun_by: None };
    let log = OrgLog::new(which, log, log::tiles::Tiles::default(), None);
    let org = Arc::new(Org::new(draft.name, chain, Logs::first(log), halt));
    app.orgs.insert(org.clone());
    tripwires::keep_watch(app, &org);
    Ok(org)
}

async fn store_begin(app: &App, id: &OrgId, draft: &DraftRow, genesis: &Signed) -> Result<(), StoreError> {
    let (id, now_ms) = (id.to_string(), stored((app.now_ms)()));
    let mut tx = app.db.begin().await?;
    org::begin(&mut tx, &id, draft, now_ms).await?;
    api_token::begin(&mut tx, &draft.draft, &id).await?;
    let row = StatementRow {
        hash: genesis.hash().to_string(),
        kind: Kind::Policy.to_string(),
        envelope: genesis.to_string(),
        targets: "[]".to_owned(),
        // Decided: nobody's signature is missing.
        missing: String::new(),
        leaf: None,
        nth_log: 0,
        proof: None,
        received_ms: now_ms,
    };
    statement::put(&mut tx, &id, &row).await?;
    tx.commit().await
}

/// Every organization, as the records have it.
///
/// # Errors
/// The records cannot be read, or do not hold.
pub async fn load_all(db: &Db) -> Result<Vec<Arc<Org>>, LoadError> {
    let mut orgs = Vec::new();
    for row in org::all(db).await? {
        orgs.push(Arc::new(load(db, row).await?));
    }
    Ok(orgs)
}

async fn load(db: &Db, row: OrgRow) -> Result<Org, LoadError> {
    let damaged = |what: String| LoadError::Damaged { org: row.id.clone(), what };
    let id: OrgId = row.id.parse().map_err(|error| damaged(format!("{error}")))?;
    let (signer, halt) = keys(&row.log_origin, &row.log_seed, &row.halt_seed)
        .map_err(|error| LoadError::Keys { org: row.id.clone(), error })?;
    let chain = held::load(db, id).await?;
    let logs = logs::load(db, &chain, signer).await?;
    Ok(Org::new(row.name, chain, logs, halt))
}
