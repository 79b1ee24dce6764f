//! The witness itself: what it remembers, in memory and on disk, and in which order.
//!
//! What is cosigned is on disk before the cosignature leaves; for each log, looking up, judging and writing down are
//! one step that nothing comes between.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use countersign_trust::chain::{Chain, Taken};
use countersign_trust::checkpoint::{AddCheckpoint, Checkpoint};
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::note::{Note, NoteError, NoteSigner, Signature, VerifierKey};
use countersign_trust::time::Time;

use crate::clock::{ClockError, SignedTime};
use crate::config::{Config, ConfigError, Organizations};
use crate::cosign::{Refusal, judge, known_log, read};
use crate::disk::{DiskError, Folder};
use crate::policies::{
    self, Chains, MOST_ORGANIZATIONS, PoliciesError, admit, judge as judge_policies, owner,
};

const POLICIES: &str = "policies";
/// Of logs that a policy in force names or named, by the hash of the origin.
const CHECKPOINTS: &str = "checkpoints";
/// Of logs that only a policy which waits names, by the hash of the key: whoever holds a recovery set's keys can name any log, and
/// what is cosigned under his own key must not stand in the way of who comes with another.
const WAITING: &str = "waiting";

/// Why a witness does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration or the key.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The time cosigned at last.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// A file that says something else than was written.
    #[error(
        "{file} in the data folder is damaged: {reason}; nothing here mends it: \
         keep the folder for the investigation and begin again under a new key"
    )]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
}

/// Why no cosignature is given.
#[derive(Debug, thiserror::Error)]
pub enum CosignError {
    /// A rule.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It has no time to cosign at.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// The disk, so nothing was cosigned.
    #[error("nothing was cosigned, try again later: {0}")]
    Disk(#[from] DiskError),
    /// The note takes no further line.
    #[error("nothing was cosigned: {0}")]
    Note(#[from] NoteError),
}

/// Why policies are not taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// A rule.
    #[error(transparent)]
    Refused(#[from] PoliciesError),
    /// The disk, so nothing was taken.
    #[error("nothing was taken, try again later: {0}")]
    Disk(#[from] DiskError),
}

/// The newest checkpoint cosigned, with the log's signature and this witness's.
#[derive(Clone)]
struct Newest {
    checkpoint: Checkpoint,
    note: Note,
}

type Slot = Arc<Mutex<Option<Newest>>>;

/// The logs of one folder, by the hash that names their files.
struct Slots {
    folder: &'static str,
    slots: Mutex<BTreeMap<Sha256, Slot>>,
}

impl Slots {
    fn load(folder: &Folder, name: &'static str, me: &VerifierKey) -> Result<Self, OpenError> {
        let logs = load_logs(folder, name, me)?;
        let slot = |(hash, newest)| (hash, Arc::new(Mutex::new(Some(newest))));
        Ok(Self { folder: name, slots: Mutex::new(logs.into_iter().map(slot).collect()) })
    }

    fn slot(&self, hash: &Sha256) -> Slot {
        Arc::clone(locked(&self.slots).entry(*hash).or_default())
    }

    fn newest(&self, hash: &Sha256) -> Option<Newest> {
        let slot = locked(&self.slots).get(hash).cloned()?;
        let newest = locked(&slot);
        newest.clone()
    }

    fn all(&self) -> Vec<Newest> {
        let slots: Vec<Slot> = locked(&self.slots).values().cloned().collect();
        slots.iter().filter_map(|slot| locked(slot).clone()).collect()
    }
}

/// A running witness.
pub struct Witness {
    signer: NoteSigner,
    organizations: Organizations,
    folder: Folder,
    chains: RwLock<Chains>,
    /// Held while policies are judged and written, so that two requests cannot both extend the same chain.
    extending: Mutex<()>,
    logs: Slots,
    waiting: Slots,
    time: Mutex<SignedTime>,
}

impl Witness {
    /// Takes hold of the data folder and checks again all that lies in it.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        let signer = config.signer()?;
        let folder = Folder::open(&config.data, &[POLICIES, CHECKPOINTS, WAITING])?;
        let mut chains = load_chains(&folder)?;
        // Whom the operator no longer serves has no claim to a log's name any more.
        chains.retain(|org, _| config.organizations.admits(org));
        let [logs, waiting] =
            [CHECKPOINTS, WAITING].map(|name| Slots::load(&folder, name, signer.verifier()));
        let (logs, waiting) = (logs?, waiting?);
        let mut newest = logs.all();
        newest.extend(waiting.all());
        let cosigned = newest.iter().filter_map(|newest| newest.note.cosigned_at(signer.verifier())).max();
        let time = Mutex::new(SignedTime::load(&folder, cosigned)?);
        Ok(Self {
            organizations: config.organizations.clone(),
            chains: RwLock::new(chains),
            extending: Mutex::new(()),
            logs,
            waiting,
            time,
            signer,
            folder,
        })
    }

    /// The key that cosigns.
    pub fn key(&self) -> &VerifierKey {
        self.signer.verifier()
    }

    /// Goes with the clock while nobody asks.
    ///
    /// # Errors
    /// The clock is behind or far ahead of what was cosigned last, or the disk takes nothing.
    pub fn keep_time(&self, now: Time) -> Result<(), ClockError> {
        locked(&self.time).keep(now, &self.folder)
    }

    /// The data folder.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Answers add-checkpoint: judges, writes down, cosigns at `now`.
    pub fn add_checkpoint(&self, body: &str, now: Time) -> Result<Signature, CosignError> {
        let (request, checkpoint) = read(body)?;
        // Held to the end: once policies that end a log are taken, nothing more of it is cosigned.
        let chains = self.chains.read().unwrap_or_else(PoisonError::into_inner);
        let unknown = || Refusal::Unknown(checkpoint.origin.clone());
        let chain = owner(&chains, &checkpoint.origin).and_then(|org| chains.get(&org));
        let chain = chain.ok_or_else(unknown)?;
        let log = known_log(chain, &checkpoint, self.key()).ok_or_else(unknown)?;
        let by_origin = (&self.logs, Sha256::of(checkpoint.origin.as_bytes()));
        let by_key = (&self.waiting, Sha256::of(log.key.to_string().as_bytes()));
        let (mine, other) = if log.only.is_some() { (by_key, by_origin) } else { (by_origin, by_key) };
        // What was cosigned while its policy waited is where the log goes on once that is in force.
        let before = other.0.newest(&other.1).filter(|newest| newest.note.signed_by(&log.key));
        let slot = mine.0.slot(&mine.1);
        let mut newest = locked(&slot);
        judge(&request, &log, newest.as_ref().or(before.as_ref()).map(|newest| &newest.checkpoint))?;
        let (signature, note) = self.cosign(&request, &log.key, now)?;
        self.folder.write(&format!("{}/{}", mine.0.folder, mine.1), &note.to_string())?;
        *newest = Some(Newest { checkpoint, note });
        Ok(signature)
    }

    fn cosign(
        &self,
        request: &AddCheckpoint,
        log: &VerifierKey,
        now: Time,
    ) -> Result<(Signature, Note), CosignError> {
        let time = locked(&self.time).next(now, &self.folder)?;
        let text = request.checkpoint.text();
        let signature = self.signer.cosign(text, time)?;
        let mut lines = request.checkpoint.signatures().iter();
        let by_log = lines.find(|line| line.name() == log.name() && line.id() == log.id());
        let mut note = Note::new(text.to_owned(), by_log.unwrap_or(&signature).clone())?;
        note.add(signature.clone())?;
        Ok((signature, note))
    }

    /// The newest checkpoint of the log whose origin has this hash; of one that only policies which wait name, one of theirs.
    pub fn newest(&self, origin: &Sha256) -> Option<String> {
        let is_its = |newest: &Newest| Sha256::of(newest.checkpoint.origin.as_bytes()) == *origin;
        let newest = self.logs.newest(origin).or_else(|| self.waiting.all().into_iter().find(is_its));
        newest.map(|newest| newest.note.to_string())
    }

    /// Whether the organization is known, if it is served.
    pub fn knows(&self, org: OrgId) -> Result<bool, PoliciesError> {
        if !self.organizations.admits(&org) {
            return Err(PoliciesError::NotServed(org));
        }
        Ok(self.chains.read().unwrap_or_else(PoisonError::into_inner).contains_key(&org))
    }

    /// Takes policies on; returns a line for each.
    pub fn take_policies(&self, org: OrgId, body: &str) -> Result<String, TakeError> {
        self.knows(org)?;
        let _alone = locked(&self.extending);
        // Nobody who asks for a cosignature waits while strangers' signatures are looked at.
        let held = self.chains.read().unwrap_or_else(PoisonError::into_inner).get(&org).cloned();
        let extended = judge_policies(held, org, body)?;
        self.admit(&extended.chain)?;
        if extended.taken.iter().any(|(_, taken)| *taken != Taken::Known) {
            self.folder.write(&format!("{POLICIES}/{org}"), &policies::to_keep(&extended.chain))?;
            self.chains.write().unwrap_or_else(PoisonError::into_inner).insert(org, extended.chain);
        }
        let word = |taken| match taken {
            Taken::New => "taken",
            Taken::Waits => "waits",
            Taken::Known | Taken::Lifted | Taken::Moved => "known",
        };
        Ok(extended.taken.iter().map(|(hash, taken)| format!("{} {hash}\n", word(*taken))).collect())
    }
}

impl Witness {
    fn admit(&self, chain: &Chain) -> Result<(), PoliciesError> {
        let chains = self.chains.read().unwrap_or_else(PoisonError::into_inner);
        admit(&chains, chain, self.key())?;
        let new = !chains.contains_key(&chain.org());
        if new && matches!(self.organizations, Organizations::Any) && chains.len() >= MOST_ORGANIZATIONS {
            return Err(PoliciesError::TooMany);
        }
        Ok(())
    }
}

fn load_chains(folder: &Folder) -> Result<Chains, OpenError> {
    let mut chains = Chains::new();
    for name in folder.names(POLICIES)? {
        let file = format!("{POLICIES}/{name}");
        let text = folder.read(&file)?.unwrap_or_default();
        let damaged = |reason: String| OpenError::Damaged { file: file.clone(), reason };
        let org = name.parse().map_err(|error| damaged(format!("{error}")))?;
        let judged = policies::judge(None, org, &text).map_err(|error| damaged(error.to_string()))?;
        chains.insert(org, judged.chain);
    }
    Ok(chains)
}

fn load_logs(folder: &Folder, of: &str, me: &VerifierKey) -> Result<BTreeMap<Sha256, Newest>, OpenError> {
    let mut logs = BTreeMap::new();
    for name in folder.names(of)? {
        let file = format!("{of}/{name}");
        let text = folder.read(&file)?.unwrap_or_default();
        let damaged = |reason: String| OpenError::Damaged { file: file.clone(), reason };
        let note: Note = text.parse().map_err(|error| damaged(format!("{error}")))?;
        let checkpoint: Checkpoint = note.text().parse().map_err(|error| damaged(format!("{error}")))?;
        let hash: Sha256 = name.parse().map_err(|error| damaged(format!("{error}")))?;
        // Which key has the other hash is in the policies, if they are held.
        let fits = of == WAITING || hash == Sha256::of(checkpoint.origin.as_bytes());
        if !fits || note.cosigned_at(me).is_none() {
            return Err(damaged(format!(
                "no checkpoint of the log `{}` cosigned by {me}",
                checkpoint.origin
            )));
        }
        logs.insert(hash, Newest { checkpoint, note });
    }
    Ok(logs)
}

/// What a panicking holder left is whole: every value is replaced in one assignment.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
