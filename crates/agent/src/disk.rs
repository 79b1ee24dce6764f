//! The agent's folder: the only durable writes.
//!
//! | file | what it is |
//! | --- | --- |
//! | `device-key` | the 32 bytes from which the device's key is made; never replaced |
//! | `ledger` | what the device must remember, see [`ledger`] |
//! | `kept/` | what it was brought and what it answered, as evidence, see [`kept`] |
//! | `output/` | what runs wrote and no server has had, see [`output`] |
//! | `canaries` | what was at the places where nobody should touch anything, and the notes about it, see [`canaries`] |
//! | `inbox/` | halts that somebody brought by hand, see [`Folder::take_letters`] |
//! | `lock` | held by the one agent that works here |

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

pub mod canaries;
pub mod frames;
pub mod kept;
pub mod ledger;
pub mod output;

use countersign_trust::ledger::LedgerError;
use frames::FramesError;

const KEY: &str = "device-key";
const INBOX: &str = "inbox";
const LOCK: &str = "lock";
const UNFINISHED: &str = ".unfinished";
/// How often the lock is tried, and how long between two tries: for a second in all.
const LOCK_TRIES: u32 = 50;
const BETWEEN_TRIES: Duration = Duration::from_millis(20);
/// The largest letter in bytes: more than any policy with its proof.
pub const MOST_IN_A_LETTER: u64 = 1 << 20;
/// How many letters are taken at a time.
const MOST_LETTERS: usize = 16;

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// Another agent works here.
    #[error("another agent works on {0}: two on one folder would run things twice")]
    Locked(PathBuf),
    /// The operating system refused.
    #[error("cannot {what} {path}: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A key of another length.
    #[error(
        "{path} has {found} bytes, a device key has 32; without its key this machine must be enrolled anew"
    )]
    Key {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: usize,
    },
    /// No random numbers for a new key.
    #[error("the system gives no random numbers for a device key")]
    Random,
    /// The ledger is not there.
    #[error("{0} is not there: this machine is not enrolled; run `countersign-agent enroll -`")]
    NotEnrolled(PathBuf),
    /// The ledger cannot be read.
    #[error("{path}: {error}")]
    Frames {
        /// The file.
        path: PathBuf,
        /// Where and why.
        error: FramesError,
    },
    /// The ledger says what cannot be.
    #[error("{path}: {error}")]
    Ledger {
        /// The file.
        path: PathBuf,
        /// What.
        error: LedgerError,
    },
}

/// The agent's folder, in the hands of this program alone as long as the value lives.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    _lock: File,
}

/// Something brought by hand.
#[derive(Clone, Debug)]
pub struct Letter {
    path: PathBuf,
    /// What it says; none if it is too long or no text.
    pub text: Option<String>,
}

impl Folder {
    /// Takes hold of the folder at `root`, making it where it is missing, for its owner only.
    ///
    /// # Errors
    /// Another agent holds it, or it cannot be made or written.
    pub fn open(root: &Path) -> Result<Self, DiskError> {
        create_folder(root)?;
        let path = root.join(LOCK);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let lock = lock.map_err(failed("open", &path))?;
        for tries in (0..LOCK_TRIES).rev() {
            match lock.try_lock() {
                Ok(()) => break,
                // A program that a killed agent was just starting holds its lock until it notices.
                Err(TryLockError::WouldBlock) if tries > 0 => thread::sleep(BETWEEN_TRIES),
                Err(TryLockError::WouldBlock) => return Err(DiskError::Locked(root.to_owned())),
                Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
            }
        }
        create_folder(&root.join(INBOX))?;
        Ok(Self { root: root.to_owned(), _lock: lock })
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where it is, whatever links lead there.
    pub fn real_path(&self) -> Result<PathBuf, DiskError> {
        self.root.canonicalize().map_err(failed("find", &self.root))
    }

    /// The device's seed; the first time it is drawn and written down.
    ///
    /// # Errors
    /// It cannot be read or written, or what is there is no seed.
    pub fn seed(&self) -> Result<[u8; 32], DiskError> {
        if let Some(seed) = read_seed(&self.root)? {
            return Ok(seed);
        }
        let mut seed = [0; 32];
        let random = ring::rand::SystemRandom::new();
        ring::rand::SecureRandom::fill(&random, &mut seed).map_err(|_| DiskError::Random)?;
        write_whole(&self.root.join(KEY), &seed)?;
        Ok(seed)
    }

    /// Some of what was brought by hand, oldest name first. A letter stays until it is thrown away.
    pub fn take_letters(&self) -> Result<Vec<Letter>, DiskError> {
        let inbox = self.root.join(INBOX);
        let mut paths = Vec::new();
        for entry in fs::read_dir(&inbox).map_err(failed("list", &inbox))? {
            let entry = entry.map_err(failed("list", &inbox))?;
            // Folders, links and pipes that somebody copied there too are no letters.
            if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                paths.push(entry.path());
            }
        }
        paths.retain(|path| !path.to_string_lossy().ends_with(UNFINISHED));
        paths.sort();
        Ok(paths
            .into_iter()
            .take(MOST_LETTERS)
            .map(|path| Letter { text: read_letter(&path), path })
            .collect())
    }

    /// Throws a letter away, once what it says is on disk elsewhere.
    pub fn throw_away(&self, letter: &Letter) -> Result<(), DiskError> {
        fs::remove_file(&letter.path).map_err(failed("remove", &letter.path))
    }
}

/// Leaves `text` for the agent that works on `root`, or will. The same text twice is one letter. It belongs to whom the folder
/// belongs: an agent that could not read what root left for it would throw it away.
///
/// # Errors
/// There is no such folder, or it cannot be written.
pub fn leave_letter(root: &Path, text: &str) -> Result<(), DiskError> {
    let inbox = root.join(INBOX);
    create_folder(&inbox)?;
    let name = countersign_trust::ids::Sha256::of(text.as_bytes()).to_string();
    let (path, owner) = (inbox.join(name), fs::metadata(root).map_err(failed("look at", root))?);
    let unfinished = PathBuf::from(format!("{}{UNFINISHED}", path.display()));
    write_synced(&unfinished, text.as_bytes())?;
    for left in [&inbox, &unfinished] {
        chown(left, Some(owner.uid()), Some(owner.gid())).map_err(failed("hand over", left))?;
    }
    fs::rename(&unfinished, &path).map_err(failed("rename", &unfinished))?;
    sync_folder_of(&path)
}

/// Whether an agent works on `root` just now.
///
/// # Errors
/// It cannot be found out.
pub fn is_worked_on(root: &Path) -> Result<bool, DiskError> {
    let path = root.join(LOCK);
    let lock = match File::open(&path) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed("open", &path)(error)),
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
    }
}

/// The device's seed, if it was ever drawn.
///
/// # Errors
/// It cannot be read, or what is there is no seed.
pub fn read_seed(root: &Path) -> Result<Option<[u8; 32]>, DiskError> {
    let path = root.join(KEY);
    match fs::read(&path) {
        Ok(bytes) => {
            let found = bytes.len();
            bytes.try_into().map(Some).map_err(|_| DiskError::Key { path, found })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", &path)(error)),
    }
}

fn read_letter(path: &Path) -> Option<String> {
    let mut text = String::new();
    let read = File::open(path).ok()?.take(MOST_IN_A_LETTER + 1).read_to_string(&mut text).ok()?;
    u64::try_from(read).is_ok_and(|read| read <= MOST_IN_A_LETTER).then_some(text)
}

/// Writes a file of a folder that is made for somebody else, such as one on a USB stick: nothing depends on it.
///
/// # Errors
/// It cannot be written.
pub fn put_file(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let above = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(above).map_err(failed("create the folder", above))?;
    fs::write(path, bytes).map_err(failed("write", path))
}

/// Takes a file or folder away that was made so, if it is there.
///
/// # Errors
/// It cannot be removed.
pub fn remove_all(path: &Path) -> Result<(), DiskError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Creates a folder for its owner only, and is sure that its name lasts; one that is there already is fine.
fn create_folder(path: &Path) -> Result<(), DiskError> {
    let missing = path.ancestors().take_while(|folder| !folder.is_dir()).count();
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("create the folder", path))?;
    if missing == 0 {
        // Who was killed just after making it has not synced its name. Who may not open the folder above has not made it.
        return match sync_folder_of(path) {
            Err(DiskError::Io { error, .. }) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            synced => synced,
        };
    }
    path.ancestors().take(missing).try_for_each(sync_folder_of)
}

/// Makes the file at `path` hold these bytes, for its owner only: all of them, or it stays what it was.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    swap_in(path, bytes)?;
    sync_folder_of(path)
}

/// Puts a synced file with these bytes in the place of the one at `path`. After an error that one is still there; after
/// success either may be, if the power is cut before [`sync_folder_of`].
fn swap_in(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let unfinished = PathBuf::from(format!("{}{UNFINISHED}", path.display()));
    let written = write_synced(&unfinished, bytes)
        .and_then(|()| fs::rename(&unfinished, path).map_err(failed("rename", &unfinished)));
    if written.is_err() {
        // On a full disk this is what makes room again.
        let _ = fs::remove_file(&unfinished);
    }
    written
}

fn sync_folder_of(path: &Path) -> Result<(), DiskError> {
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync", folder))
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut file = opened.map_err(failed("create", path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed("write", path))
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    let path = path.to_owned();
    move |error| DiskError::Io { what, path, error }
}
