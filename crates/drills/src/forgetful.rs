//! A disk that forgets what was not synced: the only honest way to rehearse a power cut.
//!
//! `kill -9` ends a program and keeps the system's page cache: all that was written is there afterwards, synced or not. A
//! power cut keeps what was synced, and of the rest what chance would have it. So here is a small FUSE file system with two
//! states of each file and folder, what was [written](files) and what was synced. It counts every operation that changes or
//! syncs something, and at the one it is told to it goes dead: that operation and all after it fail with an input/output
//! error, as when a disk loses power a moment before the processor does. Then whoever worked on it is killed, and
//! [`Disk::power_returns`] shows what is left.
//!
//! | what a program does | what it can rely on afterwards |
//! | --- | --- |
//! | `write`, `ftruncate` | nothing |
//! | `fsync`, `fdatasync` of a file | its bytes and its length, if its name is there |
//! | `create`, `mkdir`, `rename`, `unlink`, `rmdir` | nothing |
//! | `fsync` of a folder | the names in it, and which files they name |
//!
//! This is what POSIX promises and no more; ext4 and others keep more, and no two the same. A rename is there wholly or
//! not at all, also unsynced, as on every journaling file system. Modes and times are not forgotten.
//!
//! Files mapped into memory work: SQLite's `-shm` is one. Its pages come here as writes when the system feels like it, which
//! makes the count of a server's operations differ by a few from run to run.
//!
//! | file | what it has |
//! | --- | --- |
//! | [`files`] | the two states, and what a power cut leaves of them; no system call |
//! | `fuse` | the kernel's requests, put to the files |

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fuser::{BackgroundSession, MountOption};

pub mod files;
mod fuse;

pub use files::Survives;
use files::{Files, ROOT};

/// A forgetful disk over a folder, until it is dropped; then the folder is as it was before.
#[derive(Debug)]
pub struct Disk {
    place: PathBuf,
    files: Arc<Mutex<Files>>,
    session: Option<BackgroundSession>,
}

impl Disk {
    /// Puts a disk over the folder `place`; what lies there is on it, and synced.
    ///
    /// # Panics
    /// This machine has no FUSE, or this user may not mount.
    pub fn over(place: &Path) -> Self {
        let mut files = Files::new();
        copy_in(&mut files, ROOT, place);
        files.sync_all();
        let mut disk = Self { place: place.to_owned(), files: Arc::new(Mutex::new(files)), session: None };
        disk.mount();
        disk
    }

    /// How many operations have changed or synced something since the power was there.
    pub fn operations(&self) -> u64 {
        self.files().operations()
    }

    /// The power goes at the `operation`-th operation from here on, counted from 1.
    pub fn cut_at(&self, operation: u64) {
        self.files().cut_at(operation);
    }

    /// The power goes, if it has not yet.
    pub fn cut(&self) {
        self.files().cut();
    }

    /// Whether the power is gone.
    pub fn is_dead(&self) -> bool {
        self.files().is_dead()
    }

    /// The next start of the machine: the disk is back with what it still knows. Who worked on it must have ended.
    ///
    /// # Panics
    /// It cannot be mounted again.
    pub fn power_returns(&mut self, survives: Survives) {
        self.cut();
        self.unmount();
        let left = std::mem::take(&mut *self.files()).after_the_cut(survives);
        self.files = Arc::new(Mutex::new(left));
        self.mount();
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mount(&mut self) {
        let owner = fs::metadata(&self.place).unwrap();
        let fuse = fuse::Fuse::new(self.files.clone(), owner.uid(), owner.gid());
        let options = [MountOption::FSName("forgetful".to_owned()), MountOption::DefaultPermissions];
        let mounted = fuser::spawn_mount2(fuse, &self.place, &options);
        self.session = Some(mounted.unwrap_or_else(|error| {
            panic!(
                "this drill needs a FUSE disk and cannot mount one ({error}): it takes /dev/fuse, and root or Debian's \
                 package fuse3, which `cargo xtask install` brings"
            )
        }));
    }

    /// Lazily: a child of a killed program may hold a file for a moment longer, and then sees a dead disk.
    fn unmount(&mut self) {
        let root = Command::new("umount").arg("--lazy").arg(&self.place).output();
        if !root.is_ok_and(|said| said.status.success()) {
            let _user = Command::new("fusermount3").args(["-u", "-z"]).arg(&self.place).output();
        }
        drop(self.session.take());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.cut();
        self.unmount();
    }
}

fn copy_in(files: &mut Files, folder: u64, from: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let (name, mode) = (path.file_name().unwrap(), path.metadata().unwrap().mode());
        if path.is_dir() {
            let made = files.make_folder(folder, name, mode).unwrap();
            copy_in(files, made, &path);
        } else {
            let made = files.make_file(folder, name, mode).unwrap();
            files.write(made, 0, &fs::read(&path).unwrap()).unwrap();
        }
    }
}
