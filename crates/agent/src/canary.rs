//! Canaries: files that nobody should touch. The agent looks at them now and then, and says so by its own key when one is no longer
//! what it was. It never makes or changes one.
//!
//! Which files is a matter of the policy, so of people: no server can have the agent look at another. What a link leads to is not
//! looked at, and nothing is opened but a plain file. A halt stops nothing of this: observing cannot act.
//!
//! Source: docs/spec/7-receipts.md, "Canaries".

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

use countersign_trust::canary::{CanaryNote, MOST_READ, Sight};
use countersign_trust::ids::{DeviceId, OrgId, Sha256};
use countersign_trust::note::{Note, NoteSigner};
use countersign_trust::time::Time;
use countersign_trust::words::AbsolutePath;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::disk::Folder;
use crate::disk::canaries::{Canaries, Kept, Seen};
use crate::drive::Heard;
use crate::os::{self, Found};

/// How long between two looks.
pub const EACH: Duration = Duration::from_secs(5);
/// After how long a look that does not end is complained of: a file system hangs.
const HANGS: Duration = Duration::from_secs(60);
/// How many notes are kept, those that were acknowledged among them.
const MOST_NOTES: usize = 64;
/// How often something is said of a file in a day. What is not said today is said tomorrow, if it is still so.
const MOST_A_DAY: u64 = 4;
const DAY_MS: u64 = 86_400_000;

/// What is at each place; a place of which that cannot be said at the moment is not in it.
pub type Sights = BTreeMap<AbsolutePath, Sight>;

/// Who says something, and when.
#[derive(Clone, Debug)]
pub struct Said {
    /// The organization.
    pub org: OrgId,
    /// The device.
    pub device: DeviceId,
    /// The newest policy it holds.
    pub policy: Sha256,
    /// The earliest it can be.
    pub time: Time,
    /// The canaries of that policy.
    pub paths: BTreeSet<AbsolutePath>,
    /// What the wall clock says, in milliseconds: only how much is said in a day goes by it.
    pub wall_ms: u64,
}

/// Looks at canaries, one time after the other.
#[derive(Debug)]
pub struct Watch {
    canaries: Canaries,
    signer: NoteSigner,
    to: mpsc::Sender<Heard>,
    looks: Looks,
}

/// Where the looking stands.
#[derive(Clone, Copy, Debug)]
enum Looks {
    /// The next look is due then.
    Next(Instant),
    /// A look began then and has not ended.
    Since { began: Instant, complained: bool },
}

impl Watch {
    /// Goes on from what the disk remembers.
    pub fn new(folder: &Folder, signer: NoteSigner, to: mpsc::Sender<Heard>) -> Self {
        Self { canaries: folder.canaries(), signer, to, looks: Looks::Next(Instant::now()) }
    }

    /// What no server has acknowledged, oldest first.
    pub fn notes(&self) -> impl Iterator<Item = &Note> {
        self.canaries.notes.iter().filter(|kept| !kept.acknowledged).map(|kept| &kept.note)
    }

    /// Begins a look if it is time for one, in a thread of its own: a file system may hang, and nothing else is to wait for it.
    pub fn look(&mut self, paths: BTreeSet<AbsolutePath>) {
        let now = Instant::now();
        match &mut self.looks {
            Looks::Next(due) if now < *due => return,
            Looks::Next(_) => {}
            Looks::Since { began, complained } => {
                if now.duration_since(*began) > HANGS && !*complained {
                    *complained = true;
                    tracing::error!(
                        "a canary lies on a file system that does not answer: none is looked at until it does"
                    );
                }
                return;
            }
        }
        if paths.is_empty() && self.canaries.seen.is_empty() {
            return;
        }
        self.looks = Looks::Since { began: now, complained: false };
        let to = self.to.clone();
        let looking = thread::Builder::new().name("canaries".to_owned());
        let looking = looking.spawn(move || {
            let sights =
                paths.into_iter().filter_map(|path| Some((path.clone(), sight(Path::new(path.as_str()))?)));
            // Nobody listens any more: then nobody needs it.
            let _ = to.blocking_send(Heard::Seen(sights.collect()));
        });
        if let Err(error) = looking {
            tracing::warn!(%error, "canaries cannot be looked at for want of a thread");
            self.looks = Looks::Next(now + EACH);
        }
    }

    /// Hears what is there. Returns the notes that are to be sent: they are on disk.
    pub fn seen(&mut self, folder: &Folder, sights: Sights, said: &Said) -> Vec<Note> {
        self.looks = Looks::Next(Instant::now() + EACH);
        let (mut next, mut new) = (self.canaries.clone(), Vec::new());
        next.seen.retain(|path, _| said.paths.contains(path));
        for (path, is) in sights.into_iter().filter(|(path, _)| said.paths.contains(path)) {
            if let Err(error) = self.take(&mut next, path, is, said, &mut new) {
                tracing::error!(%error, "a canary's note cannot be made");
            }
        }
        if next == self.canaries {
            return Vec::new();
        }
        match folder.keep_canaries(&next) {
            Ok(()) => {
                self.canaries = next;
                new
            }
            // Nothing was seen, then: it is seen again at the next look.
            Err(error) => {
                tracing::error!(%error, "what is known of canaries cannot be written down");
                Vec::new()
            }
        }
    }

    fn take(
        &self,
        canaries: &mut Canaries,
        path: AbsolutePath,
        is: Sight,
        said: &Said,
        new: &mut Vec<Note>,
    ) -> Result<(), countersign_trust::note::NoteError> {
        let day = said.wall_ms / DAY_MS;
        let before = canaries.seen.get(&path);
        let was = before.map_or(Sight::None, |seen| seen.sight.clone());
        let told = before.filter(|seen| seen.day == day).map_or(0, |seen| seen.told);
        if was == is {
            return Ok(());
        }
        if was == Sight::None && matches!(is, Sight::File { .. }) {
            canaries.seen.insert(path, Seen { sight: is, day, told });
            return Ok(());
        }
        // What is not said is not remembered either, so that it is seen again and said later.
        if told >= MOST_A_DAY || !make_room(canaries) {
            return Ok(());
        }
        tracing::warn!(canary.path = %path, canary.was = %was, canary.is = %is, "a canary is not what it was");
        canaries.number += 1;
        let note = CanaryNote {
            org: said.org,
            device: said.device,
            number: canaries.number,
            path: path.clone(),
            was,
            is: is.clone(),
            policy: said.policy,
            time: said.time,
        };
        let note = self.signer.note(note.to_string())?;
        canaries.notes.push(Kept { note: note.clone(), acknowledged: false });
        canaries.seen.insert(path, Seen { sight: is, day, told: told + 1 });
        new.push(note);
        Ok(())
    }

    /// A server has written a note down. It stays here among the newest, whatever becomes of that server.
    pub fn kept(&mut self, folder: &Folder, hash: &Sha256) {
        let is_it = |kept: &&mut Kept| !kept.acknowledged && Sha256::of(kept.note.text().as_bytes()) == *hash;
        let Some(kept) = self.canaries.notes.iter_mut().find(is_it) else { return };
        kept.acknowledged = true;
        if let Err(error) = folder.keep_canaries(&self.canaries) {
            tracing::error!(%error, "that a canary's note was acknowledged cannot be written down; it is sent again after a start");
        }
    }
}

/// Makes room for a note, of the oldest that was acknowledged. False if all wait to be.
fn make_room(canaries: &mut Canaries) -> bool {
    if canaries.notes.len() < MOST_NOTES {
        return true;
    }
    let oldest = canaries.notes.iter().position(|kept| kept.acknowledged);
    oldest.map(|oldest| canaries.notes.remove(oldest)).is_some()
}

/// What is at `path`; none if that cannot be said at the moment.
pub fn sight(path: &Path) -> Option<Sight> {
    let seen = os::find(path).and_then(|found| {
        Ok(match found {
            Found::Absent => Sight::Absent,
            Found::File { size, file } => Sight::File { size, begins: begins(file)? },
            Found::Link => Sight::Link,
            Found::Folder => Sight::Folder,
            Found::Other => Sight::Other,
            Found::Unreadable => Sight::Unreadable,
        })
    });
    seen.inspect_err(
        |error| tracing::warn!(canary.path = %path.display(), %error, "a canary cannot be looked at"),
    )
    .ok()
}

fn begins(file: impl io::Read) -> io::Result<Sha256> {
    let mut bytes = Vec::new();
    file.take(MOST_READ).read_to_end(&mut bytes)?;
    Ok(Sha256::of(&bytes))
}
