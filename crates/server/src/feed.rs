//! A feed that this server serves, from a folder: the same static files that any web server could serve, and whoever asks for the
//! index that it has already is answered as soon as there is another.
//!
//! Nothing in the folder is judged here: followers do that.

mod reports;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use countersign_trust::feed::{MAX_INDEX_BYTES, sequence_of};
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;

use crate::config::Feed;
use crate::disk::{DiskError, Folder};
pub use reports::Reports;

/// How often the folder is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long a question is held: less than what lies between lets a silent connection live.
const HOLD: Duration = Duration::from_secs(25);
/// How many questions are held at a time; others are answered at once, as by a server of static files.
const MOST_HELD: usize = 8_192;
/// The largest file of a feed, in bytes: an advisory.
const MOST_FILE: u64 = 4 * 1024 * 1024;

/// The index as it lies in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Index {
    sequence: u64,
    text: Arc<str>,
}

/// A feed that is served.
#[derive(Debug)]
pub struct Served {
    /// What followers reported.
    pub reports: Reports,
    folder: PathBuf,
    index: watch::Sender<Option<Index>>,
    room: Semaphore,
}

/// What is answered to a question for the index.
#[derive(Debug)]
pub enum Answered {
    /// The index.
    Index(Arc<str>),
    /// There is none newer, and the question was held for a while.
    NothingNew,
    /// There is no index.
    None,
}

impl Served {
    /// Serves what lies in the feed's folder, now and later; it may not be there yet. Reports are kept in `data`.
    ///
    /// # Errors
    /// The disk.
    pub fn start(feed: &Feed, data: &Folder) -> Result<Arc<Self>, DiskError> {
        let (folder, reports) = (&feed.folder, Reports::load(data, &feed.followers)?);
        let index = watch::Sender::new(read_index(folder));
        let served =
            Arc::new(Self { reports, folder: folder.to_owned(), index, room: Semaphore::new(MOST_HELD) });
        tokio::spawn(watch_folder(Arc::downgrade(&served)));
        Ok(served)
    }

    /// The index; if it is the one numbered `after`, the next one, as soon as it comes.
    pub async fn index(&self, after: Option<u64>) -> Answered {
        let mut changes = self.index.subscribe();
        let now = changes.borrow_and_update().clone();
        let is_known = |index: &Option<Index>| index.as_ref().map(|index| index.sequence) == after;
        if after.is_none() || !is_known(&now) {
            return now.map_or(Answered::None, |index| Answered::Index(index.text));
        }
        let Ok(_room) = self.room.try_acquire() else {
            return now.map_or(Answered::None, |index| Answered::Index(index.text));
        };
        let newer = tokio::time::timeout(HOLD, changes.wait_for(|index| !is_known(index)));
        match newer.await {
            Ok(Ok(index)) => index.clone().map_or(Answered::None, |index| Answered::Index(index.text)),
            Ok(Err(_)) | Err(_) => Answered::NothingNew,
        }
    }

    /// A file beside it. `name` is one that cannot lead out of the folder.
    pub async fn file(&self, folder: &'static str, name: String) -> Option<Vec<u8>> {
        let path = self.folder.join(folder).join(name);
        let read = spawn_blocking(move || {
            let small = std::fs::metadata(&path).is_ok_and(|file| file.is_file() && file.len() <= MOST_FILE);
            if small { std::fs::read(&path).ok() } else { None }
        });
        read.await.ok().flatten()
    }
}

async fn watch_folder(served: Weak<Served>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(folder) = served.upgrade().map(|served| served.folder.clone()) else { return };
        let Ok(index) = spawn_blocking(move || read_index(&folder)).await else { continue };
        let Some(served) = served.upgrade() else { return };
        served.index.send_if_modified(|held| {
            let changed = *held != index;
            *held = index;
            changed
        });
    }
}

fn read_index(folder: &Path) -> Option<Index> {
    let path = folder.join("index");
    let small = std::fs::metadata(&path).ok()?.len() <= u64::try_from(MAX_INDEX_BYTES).unwrap_or(u64::MAX);
    let text = if small { std::fs::read_to_string(&path).ok()? } else { return None };
    Some(Index { sequence: sequence_of(&text)?, text: text.into() })
}
