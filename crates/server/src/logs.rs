//! The logs of an organization: the one in force, those it replaced, and those that a policy names which is not in force yet.
//!
//! A policy may name another log, because the key of the one in force is in the wrong hands. This server draws the key; people sign
//! the policy; its leaf is the first of the new log, cosigned by the witnesses of the policy before; and once the chain has taken it,
//! what counts no more is logged again ([`again`]). Each step may happen twice.
//!
//! Source: docs/spec/3-statements.md, "The chain"; docs/spec/4-log.md, "Another log"; docs/decisions/0012-another-log.md.

pub mod again;

use std::sync::Arc;

use countersign_trust::chain::Chain;
use countersign_trust::checkpoint::Proof;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::Sha256;
use countersign_trust::merkle::leaf_hash;
use countersign_trust::note::{KeyKind, NoteSigner, VerifierKey};
use countersign_trust::statement;
use countersign_trust::statement::policy::Policy;
use countersign_wire::http::NewLogView;

use crate::app::{App, Org};
use crate::log::tiles::Tiles;
use crate::log::{self, Cosigned, OrgLog, Which};
use crate::orgs::{KeysError, LoadError};
use crate::statements::decide::Unfit;
use crate::statements::intake::IntakeError;
use crate::store::new_log::NewLogRow;
use crate::store::statement::StatementRow;
use crate::store::{Db, StoreError, checkpoint, counted, leaf, new_log, stored};

/// The number of an organization's first log.
pub const FIRST: i64 = 1;
/// How many keys may be drawn that no policy in force names.
const MOST_UNUSED: usize = 16;

/// The logs of an organization that this server has open.
#[derive(Debug)]
pub struct Logs {
    /// The one that the policy in force names.
    pub current: Arc<OrgLog>,
    /// Those before it, the oldest first.
    pub replaced: Vec<Arc<OrgLog>>,
    /// Those that only a policy names which is not in force.
    pub begun: Vec<Arc<OrgLog>>,
}

impl Logs {
    /// The first log and no other.
    pub fn first(log: OrgLog) -> Self {
        Self { current: Arc::new(log), replaced: Vec::new(), begun: Vec::new() }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<OrgLog>> {
        [&self.current].into_iter().chain(&self.replaced).chain(&self.begun)
    }

    /// The log that a proof is of.
    pub fn of(&self, proof: &Proof) -> Option<Arc<OrgLog>> {
        let origin = proof.checkpoint.text().lines().next().unwrap_or_default();
        self.all().find(|log| log.key().name() == origin).cloned()
    }

    /// The log with this key.
    pub fn with_key(&self, key: &VerifierKey) -> Option<Arc<OrgLog>> {
        self.all().find(|log| log.key() == key).cloned()
    }

    /// The log whose origin has this hash, if a policy in force names it or once did.
    pub fn named(&self, origin: &Sha256) -> Option<Arc<OrgLog>> {
        let mut named = [&self.current].into_iter().chain(&self.replaced);
        named.find(|log| Sha256::of(log.key().name().as_bytes()) == *origin).cloned()
    }

    /// The log of `key`, which was begun, takes the place of the current one, which ends at `size`.
    fn replace(&mut self, key: &VerifierKey, size: u64) -> Option<Arc<OrgLog>> {
        let at = self.begun.iter().position(|log| log.key() == key)?;
        let ended = std::mem::replace(&mut self.current, self.begun.swap_remove(at));
        ended.end_at(size);
        self.replaced.push(ended.clone());
        Some(ended)
    }
}

impl Logs {
    /// Logs that were begun by policies that came too late, since policy `number` is in force: nothing is cosigned there any more.
    fn forget_late(&mut self, number: u64) {
        let begun = |log: &Arc<OrgLog>| {
            let signed = log.which().begun_by.as_ref()?;
            statement::read::<Policy>(signed.statement()).ok().map(|policy| policy.number)
        };
        for late in self.begun.extract_if(.., |log| begun(log).is_none_or(|begun| begun <= number)) {
            late.end_at(0);
        }
    }
}

/// Why no key is drawn for a new log.
#[derive(Debug, thiserror::Error)]
pub enum DrawError {
    /// As many as may be.
    #[error("{0} keys were drawn for new logs that no policy in force names, which is all there may be")]
    TooMany(usize),
    /// Nothing of the log has been cosigned.
    #[error("the log that is to be replaced has no cosigned checkpoint yet")]
    NoCheckpoint,
    /// The records.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness.
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// The stored key cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

fn signer(row: &NewLogRow) -> Result<NoteSigner, KeysError> {
    let seed = <[u8; 32]>::try_from(row.seed.as_slice()).map_err(|_| KeysError::Seed(row.seed.len()))?;
    Ok(NoteSigner::new(&row.origin, KeyKind::Ed25519, &seed)?)
}

/// The key for a log that is to take the current one's place, and up to where the current one counts: `size`, or all that was cosigned.
/// The same key is answered again until a policy that is in force names it, unless another is asked for.
///
/// # Errors
/// Too many were drawn, or the records cannot be reached.
pub async fn draw(app: &App, org: &Org, anew: bool) -> Result<NewLogView, DrawError> {
    let id = org.id.to_string();
    // One at a time: two would draw the same number.
    let _alone = org.intake.lock().await;
    let current = org.log();
    let newest = current.newest().ok_or(DrawError::NoCheckpoint)?;
    let rows = new_log::all(&app.db, &id).await?;
    let unused = rows.iter().filter(|row| row.log > current.which().number).count();
    let row = match rows.last().filter(|row| !anew && row.log > current.which().number) {
        Some(row) => row.clone(),
        None if unused >= MOST_UNUSED => return Err(DrawError::TooMany(unused)),
        None => {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed)?;
            let log = rows.last().map_or(FIRST, |row| row.log).saturating_add(1);
            let key = NoteSigner::new("drawn", KeyKind::Ed25519, &seed).map_err(KeysError::from)?;
            let unlike = Sha256(*key.verifier().raw()).to_string().chars().take(16).collect::<String>();
            let origin = format!("{}/{unlike}", app.config.address);
            let row = NewLogRow { log, origin, seed: seed.to_vec() };
            let mut tx = app.db.begin().await?;
            new_log::insert(&mut tx, &id, &row, stored((app.now_ms)())).await?;
            tx.commit().await?;
            row
        }
    };
    let root = current.root(newest.size).map_err(|_| DrawError::NoCheckpoint)?;
    Ok(NewLogView {
        key: signer(&row)?.verifier().to_string(),
        old_key: current.key().to_string(),
        old_size: newest.size,
        old_root: root.to_string(),
    })
}

/// A policy that names another log: this server holds its key, and the old log is what the policy says up to where it says.
///
/// # Errors
/// It cannot be taken here.
pub async fn fits(app: &App, org: &Org, signed: &Signed) -> Result<(), IntakeError> {
    let Ok(next) = statement::read::<Policy>(signed.statement()) else { return Ok(()) };
    let current = org.log();
    if next.log.key == *current.key() || org.chain().policy_by_hash(&signed.hash()).is_some() {
        return Ok(());
    }
    row_of(&app.db, org, &next.log.key).await?.ok_or(Unfit::OtherLog)?;
    let size = next.log.old_size;
    let most = current.newest().map_or(0, |newest| newest.size);
    if size > most {
        return Err(Unfit::OldSize { size, most }.into());
    }
    let found = current.root(size).map_err(|_| Unfit::OldSize { size, most })?;
    if next.log.old_root != Some(found) {
        return Err(Unfit::OldRoot { size, found }.into());
    }
    let chain = org.chain();
    let resume = chain.resumes().iter().filter(|resume| resume.place.log == chain.policy().place.log);
    match resume.map(|resume| resume.place.index).max().filter(|index| *index >= size) {
        Some(index) => Err(Unfit::Resumed { index, size }.into()),
        None => Ok(()),
    }
}

/// The drawn key that `key` is, if it may still begin a log.
async fn row_of(db: &Db, org: &Org, key: &VerifierKey) -> Result<Option<NewLogRow>, StoreError> {
    let above = org.log().which().number;
    let rows = new_log::all(db, &org.id.to_string()).await?;
    let is_it = |row: &NewLogRow| {
        row.log > above && row.origin == key.name() && signer(row).is_ok_and(|own| own.verifier() == key)
    };
    Ok(rows.into_iter().find(is_it))
}

/// The log that a policy begins; none, if it is the current one.
///
/// # Errors
/// The records, or no key for it is here.
pub async fn begun_by(app: &App, org: &Org, signed: &Signed) -> Result<Option<Arc<OrgLog>>, LoadError> {
    let Ok(policy) = statement::read::<Policy>(signed.statement()) else { return Ok(None) };
    let key = &policy.log.key;
    // One that came too late is logged like anything else, and binds nobody.
    if key == org.log().key() || policy.number <= org.chain().policy().body.number {
        return Ok(None);
    }
    if let Some(log) = org.logs().with_key(key) {
        return Ok(Some(log));
    }
    let damaged = |what: String| LoadError::Damaged { org: org.id.to_string(), what };
    let row = row_of(&app.db, org, key).await?;
    let row = row.ok_or_else(|| damaged(format!("the key of the log {} is not there", key.name())))?;
    let nth = org.chain().policy().place.log.saturating_add(1);
    let which = Which { number: row.log, nth, begun_by: Some(signed.clone()) };
    let signer = signer(&row).map_err(|error| LoadError::Keys { org: org.id.to_string(), error })?;
    let log = Arc::new(open(&app.db, &org.id.to_string(), which, signer).await?);
    let mut logs = org.logs_mut();
    // Somebody may have been faster.
    if let Some(log) = logs.with_key(key) {
        return Ok(Some(log));
    }
    logs.begun.push(log.clone());
    Ok(Some(log))
}

/// A log as the records have it.
async fn open(db: &Db, org: &str, which: Which, signer: NoteSigner) -> Result<OrgLog, LoadError> {
    let damaged = |what: String| LoadError::Damaged { org: org.to_owned(), what };
    let number = which.number;
    let newest = match checkpoint::newest(db, org, number).await? {
        None => None,
        Some((size, note)) => {
            let note = note.parse().map_err(|error| damaged(format!("its checkpoint: {error}")))?;
            Some(Cosigned { size: counted(size), note })
        }
    };
    let tiles: Tiles = log::load(db, org, number).await?;
    let covered = newest.as_ref().map_or(0, |newest: &Cosigned| newest.size);
    if covered > tiles.size() {
        return Err(damaged(format!("its checkpoint covers {covered} leaves, there are {}", tiles.size())));
    }
    Ok(OrgLog::new(which, signer, tiles, newest))
}

/// The logs that the policies of `chain` have named; `first` is the key of the first.
///
/// # Errors
/// The records, or a key is not there.
pub async fn load(db: &Db, chain: &Chain, first: NoteSigner) -> Result<Logs, LoadError> {
    let org = chain.org().to_string();
    let first_key = first.verifier().clone();
    let mut logs = Logs::first(open(db, &org, Which { number: FIRST, nth: 0, begun_by: None }, first).await?);
    let rows = new_log::all(db, &org).await?;
    for (_, held) in chain.replaced_logs() {
        let key = &held.body.log.key;
        let damaged = || LoadError::Damaged {
            org: org.clone(),
            what: format!("the key of the log {} is not there", key.name()),
        };
        if *key == first_key {
            return Err(damaged());
        }
        let row = rows.iter().find(|row| row.origin == key.name()).ok_or_else(damaged)?;
        let signer = signer(row).map_err(|error| LoadError::Keys { org: org.clone(), error })?;
        let which = Which { number: row.log, nth: held.place.log, begun_by: None };
        logs.begun.push(Arc::new(open(db, &org, which, signer).await?));
        logs.replace(key, held.body.log.old_size).ok_or_else(damaged)?;
    }
    Ok(logs)
}

/// The proof of a statement in the log that `policy` names, if that is another than the one in which the records have it.
///
/// # Errors
/// The records.
pub async fn proof_under(
    db: &Db,
    org: &Org,
    row: &StatementRow,
    policy: &Sha256,
) -> Result<Option<String>, StoreError> {
    let held = { org.chain().policy_by_hash(policy).map(|held| (held.body.log.key.clone(), held.place.log)) };
    let Some((key, nth)) = held.filter(|(_, nth)| i64::try_from(*nth) != Ok(row.nth_log)) else {
        return Ok(None);
    };
    let signed = Signed::from_text(&row.envelope).ok();
    let leaf = signed.and_then(|signed| signed.leaf(&org.id).ok());
    let log = { org.logs().with_key(&key) }.filter(|log| log.which().nth == nth);
    let Some((leaf, log)) = leaf.zip(log) else { return Ok(None) };
    let hash = leaf_hash(leaf.as_bytes()).to_string();
    let place = leaf::find(db, &org.id.to_string(), log.which().number, &hash).await?;
    Ok(place.and_then(|place| log.proof(counted(place))).map(|proof| proof.to_string()))
}

/// Where each log ended that was replaced, as the records have it: which it was, and at what size.
pub fn ends(chain: &Chain) -> Vec<(i64, i64)> {
    let nth = |log: usize| i64::try_from(log).unwrap_or(i64::MAX);
    let ends = chain.replaced_logs();
    ends.map(|(last, next)| (nth(last.place.log), stored(next.body.log.old_size))).collect()
}

/// The log that the newest policy names takes the place of the one before, if it has not yet. To be called with the chain's lock of
/// [`Org::replacing`] held to write.
///
/// # Errors
/// The new log was not begun here.
pub fn follow(org: &Org) -> Result<bool, LoadError> {
    let (key, size, number) = {
        let chain = org.chain();
        let Policy { log, number, .. } = &chain.policy().body;
        (log.key.clone(), log.old_size, *number)
    };
    let mut logs = org.logs_mut();
    if *logs.current.key() == key {
        logs.forget_late(number);
        return Ok(false);
    }
    let what = || format!("the log {} was not begun here", key.name());
    let ended = logs.replace(&key, size);
    let ended = ended.ok_or_else(|| LoadError::Damaged { org: org.id.to_string(), what: what() })?;
    logs.forget_late(number);
    tracing::warn!(org.id = %org.id, log.ended = ended.key().name(), size, log.now = key.name(), "another log has taken the place of the one before");
    Ok(true)
}
