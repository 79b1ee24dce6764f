//! Each organization's log: entries that come together are written together, synced, signed, and then shown to the
//! witnesses until enough of them have cosigned.
//!
//! **Invariant:** leaves and tiles are on the disk before the checkpoint that covers them is signed; a checkpoint is
//! given to nobody but witnesses before it is cosigned by the quorum.
//!
//! Source: docs/spec/4-log.md; c2sp.org/tlog-tiles; c2sp.org/tlog-witness.

mod round;
pub mod tiles;
mod witness;
mod write;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use countersign_trust::checkpoint::{LogKeys, Proof, verify_checkpoint};
use countersign_trust::envelope::Signed;
use countersign_trust::ids::Sha256;
use countersign_trust::merkle::MerkleError;
use countersign_trust::note::{Note, NoteError, NoteSigner, VerifierKey};
use countersign_trust::statement::policy::Witnesses;
use tokio::sync::{Notify, oneshot, watch};

use crate::app::{App, Org};
use crate::store::StoreError;
use round::Round;
use tiles::Tiles;
pub use write::load;

/// Why an entry does not stand in the log, or cannot be shown to.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The database did not take it.
    #[error("the log could not be written: {0}")]
    Store(Arc<StoreError>),
    /// The tree in memory is not that of the database.
    #[error("the log's tree: {0}")]
    Tree(#[from] MerkleError),
    /// The log's key refuses.
    #[error("the log's checkpoint: {0}")]
    Sign(#[from] NoteError),
    /// Another log has taken its place, and this entry does not count in it.
    #[error("the log was replaced")]
    Replaced,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

impl From<StoreError> for AppendError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

/// A checkpoint with the cosignatures of a quorum.
#[derive(Clone, Debug)]
pub struct Cosigned {
    /// How many leaves it covers.
    pub size: u64,
    /// The note.
    pub note: Note,
}

/// Entries that wait to be written, and who waits for their places.
struct Waiting {
    entries: Vec<String>,
    places: oneshot::Sender<Result<Vec<u64>, AppendError>>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    /// A task is at it.
    busy: bool,
    /// The newest leaves may not be cosigned yet.
    behind: bool,
    /// Nobody knows whether the last batch was written: the database is read again before the next.
    doubtful: bool,
}

/// Which log of its organization it is.
#[derive(Clone, Debug)]
pub struct Which {
    /// The number under which the records have it.
    pub number: i64,
    /// Which of those that policies have named; 0 for the first.
    pub nth: usize,
    /// The policy that names it and is not in the chain yet. Witnesses are shown it, or they would not know the log.
    pub begun_by: Option<Signed>,
}

/// A log of an organization.
pub struct OrgLog {
    which: Which,
    signer: NoteSigner,
    /// The size at which another took its place.
    end: watch::Sender<Option<u64>>,
    tiles: RwLock<Tiles>,
    queue: Mutex<Queue>,
    cosigned: watch::Sender<Option<Cosigned>>,
    /// Called when other witnesses may be asked for than those of the round that goes on.
    anew: Notify,
    round: tokio::sync::Mutex<Round>,
}

impl std::fmt::Debug for OrgLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OrgLog").field("key", self.signer.verifier()).finish_non_exhaustive()
    }
}

impl OrgLog {
    /// A log as the database holds it.
    pub fn new(which: Which, signer: NoteSigner, tiles: Tiles, newest: Option<Cosigned>) -> Self {
        let behind = newest.as_ref().map_or(0, |newest| newest.size) < tiles.size();
        Self {
            which,
            signer,
            end: watch::Sender::new(None),
            tiles: RwLock::new(tiles),
            queue: Mutex::new(Queue { behind, ..Queue::default() }),
            cosigned: watch::Sender::new(newest),
            anew: Notify::new(),
            round: tokio::sync::Mutex::default(),
        }
    }

    /// Which of its organization's it is.
    pub fn which(&self) -> &Which {
        &self.which
    }

    /// The proof that the leaf at `place` stands in the newest cosigned checkpoint, if it does.
    pub fn proof(&self, place: u64) -> Option<Proof> {
        let Cosigned { size, note } = self.newest().filter(|newest| newest.size > place)?;
        let inclusion = self.read_tiles().inclusion(place, size).ok()?;
        Some(Proof { extra: None, index: place, inclusion, checkpoint: note })
    }

    /// The root when it had `size` leaves.
    ///
    /// # Errors
    /// It never had so many.
    pub fn root(&self, size: u64) -> Result<Sha256, MerkleError> {
        self.read_tiles().root(size)
    }

    /// The size at which another took its place, if one did.
    pub fn end(&self) -> Option<u64> {
        *self.end.borrow()
    }

    /// Another has taken its place: nothing is logged here any more, and what stands at or above `size` counts for nothing.
    pub fn end_at(&self, size: u64) {
        self.end.send_replace(Some(size));
    }

    /// Waits until another has taken its place.
    async fn ended(&self) {
        // An error means that the sender is gone, which is in this very value.
        let _ = self.end.subscribe().wait_for(Option::is_some).await;
    }

    /// The log's key; its name is the origin.
    pub fn key(&self) -> &VerifierKey {
        self.signer.verifier()
    }

    /// The newest checkpoint that a quorum has cosigned.
    pub fn newest(&self) -> Option<Cosigned> {
        self.cosigned.borrow().clone()
    }

    /// Whether a checkpoint of this log has the cosignatures that the newest policy in force asks for.
    fn is_vouched_for(&self, org: &Org, note: &Note) -> bool {
        let chain = org.chain();
        let Witnesses { keys: witnesses, need } = &chain.policy().body.witnesses;
        verify_checkpoint(note, LogKeys { log: self.key(), witnesses, need: *need }).is_ok()
    }

    /// The hashes of a tile as far as the cosigned log reaches, `width` of them.
    pub fn tile(&self, level: usize, place: usize, width: usize) -> Option<Vec<Sha256>> {
        let there = tiles::nodes_of(self.newest()?.size, level);
        let end = place.checked_mul(tiles::WIDTH)?.checked_add(width)?;
        if end > there {
            return None;
        }
        self.read_tiles().tile(level, place)?.get(..width).map(<[Sha256]>::to_vec)
    }

    /// The proof that the log of `old` leaves became that of `new`.
    pub(crate) fn consistency(&self, old: u64, new: u64) -> Result<Vec<Sha256>, MerkleError> {
        self.read_tiles().consistency(old, new)
    }

    fn read_tiles(&self) -> RwLockReadGuard<'_, Tiles> {
        self.tiles.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_tiles(&self) -> RwLockWriteGuard<'_, Tiles> {
        self.tiles.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts entries at the end of the organization's log and waits until enough witnesses have seen them, however long. Where another
/// log takes its place meanwhile, they go there.
///
/// An entry that stands there already keeps its place: whoever does not know whether it was written appends it again.
///
/// # Errors
/// The disk; then nothing was written.
pub async fn append(app: &Arc<App>, org: &Arc<Org>, entries: Vec<String>) -> Result<Vec<Proof>, AppendError> {
    loop {
        let log = org.log();
        match append_to(app, org, &log, entries.clone()).await {
            Err(AppendError::Replaced) => {}
            Ok(proofs) if !proofs.iter().all(|proof| org.still_counts(proof)) => {}
            done => return done,
        }
    }
}

/// The same; as long as the answer's second part is held, no other log takes this one's place. Whoever writes down where something
/// stands holds it until it is written: what is written later, nobody would find to log it again.
///
/// # Errors
/// The disk; then nothing was written.
pub async fn append_held<'a>(
    app: &Arc<App>,
    org: &'a Arc<Org>,
    entries: Vec<String>,
) -> Result<(Vec<Proof>, tokio::sync::RwLockReadGuard<'a, ()>), AppendError> {
    loop {
        let proofs = append(app, org, entries.clone()).await?;
        let held = org.replacing.read().await;
        if proofs.iter().all(|proof| org.still_counts(proof)) {
            return Ok((proofs, held));
        }
    }
}

/// Puts entries at the end of one log, and waits until enough witnesses have seen them.
///
/// # Errors
/// The disk; then nothing was written. Or another log has taken this one's place.
pub async fn append_to(
    app: &Arc<App>,
    org: &Arc<Org>,
    log: &Arc<OrgLog>,
    entries: Vec<String>,
) -> Result<Vec<Proof>, AppendError> {
    let (places, written) = oneshot::channel();
    log.queue().waiting.push(Waiting { entries, places });
    kick(app, org, log);
    let places = written.await.map_err(|_| AppendError::Stopping)??;
    let mut proofs = Vec::with_capacity(places.len());
    for place in places {
        proofs.push(prove(org, log, place).await?);
    }
    Ok(proofs)
}

/// The proof that the leaf at `place` stands in the newest cosigned log; waits until there is one that convinces who holds the newest
/// policy.
///
/// # Errors
/// The log has no such leaf, or is replaced before.
async fn prove(org: &Org, log: &OrgLog, place: u64) -> Result<Proof, AppendError> {
    let mut cosigned = log.cosigned.subscribe();
    let Cosigned { size, note } = loop {
        let newest = cosigned.borrow_and_update().clone().filter(|newest| newest.size > place);
        if let Some(newest) = newest.filter(|newest| log.is_vouched_for(org, &newest.note)) {
            break newest;
        }
        tokio::select! {
            biased;
            changed = cosigned.changed() => changed.map_err(|_| AppendError::Stopping)?,
            () = log.ended() => return Err(AppendError::Replaced),
        }
    };
    let inclusion = log.read_tiles().inclusion(place, size)?;
    Ok(Proof { extra: None, index: place, inclusion, checkpoint: note })
}

/// The newest policy may ask for other witnesses than have cosigned: has them asked, also while the log is at rest.
pub fn look_again(app: &Arc<App>, org: &Arc<Org>) {
    let log = org.log();
    log.queue().behind = true;
    log.anew.notify_one();
    kick(app, org, &log);
}

/// Starts a log's task if there is work for it and it is not at it: what waits, or leaves that a start found without a cosigned
/// checkpoint.
pub fn kick(app: &Arc<App>, org: &Arc<Org>, log: &Arc<OrgLog>) {
    let mut queue = log.queue();
    if !queue.busy && (queue.behind || !queue.waiting.is_empty()) {
        queue.busy = true;
        tokio::spawn(work_off(app.clone(), org.clone(), log.clone()));
    }
}

/// Writes what waits and shows it to the witnesses, until nothing waits or the server stops.
async fn work_off(app: Arc<App>, org: Arc<Org>, log: Arc<OrgLog>) {
    while let Some(batch) = next_batch(&log) {
        if log.end().is_some() {
            // Who no longer waits need not be told.
            batch.into_iter().for_each(|waiting| drop(waiting.places.send(Err(AppendError::Replaced))));
            continue;
        }
        write::write(&app, &org, &log, batch).await;
        tokio::select! {
            cosigned = round::cosign(&app, &org, &log) => if let Err(error) = cosigned {
                tracing::error!(org.id = %org.id, %error, "log not cosigned");
            },
            () = log.anew.notified() => log.queue().behind = true,
            () = log.ended() => log.round.lock().await.dismiss(),
            () = app.stopping() => return,
        }
    }
}

/// What waits; none, and the task is no longer busy, if nothing does.
fn next_batch(log: &OrgLog) -> Option<Vec<Waiting>> {
    let mut queue = log.queue();
    let behind = std::mem::take(&mut queue.behind);
    if queue.waiting.is_empty() && !behind {
        queue.busy = false;
        return None;
    }
    Some(std::mem::take(&mut queue.waiting))
}
