//! The beacon's folder: durable writes, and one program at a time.
//!
//! A write is on disk, name and content, when [`Folder::write`] returns; after a power cut at any moment a file is
//! either as it was before or as it was to become.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// Another program holds it.
    #[error("another program runs on {0}: stop it first, two on one folder would contradict each other")]
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
}

/// A folder that this program alone writes to, as long as the value lives.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    _lock: File,
}

const UNFINISHED: &str = ".unfinished";

impl Folder {
    /// Takes hold of the folder `root`, with these folders in it.
    pub fn open(root: &Path, folders: &[&str]) -> Result<Self, DiskError> {
        let lock = root.join("lock");
        let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&lock);
        let file = opened.map_err(failed("open", &lock))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DiskError::Locked(root.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed("lock", &lock)(error)),
        }
        let folder = Self { root: root.to_owned(), _lock: file };
        folders.iter().try_for_each(|name| folder.make(name))?;
        Ok(folder)
    }

    /// Makes a folder in it, and is sure that it is there.
    pub fn make(&self, name: &str) -> Result<(), DiskError> {
        create_folder(&self.root.join(name))
    }

    /// The names of the files in a folder, sorted; what a crash left half written is not among them, and is written
    /// over in time. None if there is no such folder.
    pub fn names(&self, folder: &str) -> Result<Vec<String>, DiskError> {
        let path = self.root.join(folder);
        let mut names = Vec::new();
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
            entries => entries.map_err(failed("list", &path))?,
        };
        for entry in entries {
            let name = entry.map_err(failed("list", &path))?.file_name().to_string_lossy().into_owned();
            if !name.ends_with(UNFINISHED) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// A file's text; none if there is no such file.
    pub fn read(&self, name: &str) -> Result<Option<String>, DiskError> {
        let path = self.root.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    /// Puts `text` into the file `name`, for its owner's eyes only. Two writes of one name must not overlap.
    pub fn write(&self, name: &str, text: &str) -> Result<(), DiskError> {
        let path = self.root.join(name);
        let unfinished = self.root.join(format!("{name}{UNFINISHED}"));
        let written = write_synced(&unfinished, text)
            .and_then(|()| fs::rename(&unfinished, &path).map_err(failed("rename", &unfinished)));
        if let Err(error) = written {
            // Best effort: on a full disk this is what makes room again.
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        sync_folder_of(&path)
    }
}

/// Creates a folder for its owner only, and is sure that its name lasts; one that is there already is fine.
pub fn create_folder(path: &Path) -> Result<(), DiskError> {
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

/// Creates a file that was not there before, readable for its owner only.
pub fn create(path: &Path, text: &str) -> Result<(), DiskError> {
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = created.map_err(failed("create", path))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed("write", path))?;
    sync_folder_of(path)
}

fn write_synced(path: &Path, text: &str) -> Result<(), DiskError> {
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut file = opened.map_err(failed("create", path))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed("write", path))
}

/// Makes the name of what lies at `path` last.
fn sync_folder_of(path: &Path) -> Result<(), DiskError> {
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync", folder))
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    let path = path.to_owned();
    move |error| DiskError::Io { what, path, error }
}
