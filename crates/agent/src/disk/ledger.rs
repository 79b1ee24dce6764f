//! The ledger's file: appended to before anything has an effect, rewritten when most of it is past.
//!
//! A disk that fills up must not lose how a step ended or that somebody called a halt. So the file always has some
//! room held ahead of its end; when that can no longer be had, [`LedgerFile::is_full`] says so and no job is taken.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use countersign_trust::ledger::{Ledger, Record};

use super::frames::{self, BEGIN};
use super::{DiskError, Folder, failed, swap_in, sync_folder_of, write_whole};
use crate::os;

const LEDGER: &str = "ledger";
/// How much room is held ahead of the file's end, in bytes: some hundred receipts and halts.
const ROOM: u64 = 512 << 10;
/// How much room must be left on the disk besides, in bytes.
const LEAST_FREE: u64 = 1 << 20;
/// A file shorter than this is not rewritten.
const WORTH_REWRITING: u64 = 4 << 20;

/// The open ledger file. It belongs to whoever holds the [`Folder`].
#[derive(Debug)]
pub struct LedgerFile {
    path: PathBuf,
    file: File,
    /// Where the last good frame ends.
    end: u64,
    /// Up to where room is held; none where the file system cannot.
    room: Option<u64>,
    /// At which length rewriting it is considered next.
    consider: u64,
}

impl Folder {
    /// Writes the ledger of a device that has just been enrolled: all of it, or none.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin_ledger(&self, records: &[Record]) -> Result<(), DiskError> {
        write_whole(&self.root().join(LEDGER), &whole_file(records))
    }

    /// Opens the ledger and replays it. A torn write at its end is cut off.
    ///
    /// # Errors
    /// There is none, or it is damaged, or cannot be read or cut.
    pub fn open_ledger(&self) -> Result<(LedgerFile, Ledger), DiskError> {
        let path = self.root().join(LEDGER);
        let opened = OpenOptions::new().read(true).write(true).open(&path);
        let file = opened.map_err(|error| not_there_or(error, &path))?;
        // A rewrite may have been cut short between its last two steps: from here on this file is the one that stays.
        sync_folder_of(&path)?;
        let bytes = fs::read(&path).map_err(failed("read", &path))?;
        let found = frames::read(&bytes).map_err(|error| DiskError::Frames { path: path.clone(), error })?;
        let ledger = replay(&path, &found.bodies)?;
        let end = length(found.end);
        if found.end < bytes.len() {
            tracing::warn!(disk.bytes = bytes.len() - found.end, "cut a torn write off the ledger");
            file.set_len(end).and_then(|()| file.sync_all()).map_err(failed("cut", &path))?;
        }
        let mut opened = LedgerFile { path, file, end, room: None, consider: WORTH_REWRITING };
        opened.hold_room();
        Ok((opened, ledger))
    }
}

/// Reads the ledger under `root` without touching it, whether an agent works there or not.
///
/// # Errors
/// There is none, or it is damaged, or cannot be read.
pub fn read_ledger(root: &Path) -> Result<Ledger, DiskError> {
    let path = root.join(LEDGER);
    let bytes = fs::read(&path).map_err(|error| not_there_or(error, &path))?;
    let found = frames::read(&bytes).map_err(|error| DiskError::Frames { path: path.clone(), error })?;
    replay(&path, &found.bodies)
}

impl LedgerFile {
    /// Writes `records` down; they are on disk when this returns. All of them are, or after an error none.
    ///
    /// # Errors
    /// They are not, and this file must not be written any more: open it again.
    pub fn append(&mut self, records: &[Record]) -> Result<(), DiskError> {
        let frame = frames::frame(self.end, &frames::body(records));
        if let Err(error) = self.write_at_end(&frame) {
            // What cannot be cut off either is found torn, or whole and without effect, when it is opened again.
            let _ = self.file.set_len(self.end).and_then(|()| self.file.sync_all());
            return Err(failed("write", &self.path)(error));
        }
        self.end += length(frame.len());
        Ok(())
    }

    fn write_at_end(&mut self, frame: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(frame)?;
        self.file.sync_data()
    }

    /// How long the file is, in bytes.
    pub fn bytes(&self) -> u64 {
        self.end
    }

    /// Whether the disk lacks room for what a job may add. Holds room ahead if it can be had.
    pub fn is_full(&mut self) -> bool {
        self.hold_room();
        let lacks_room = self.room.is_some_and(|until| until < self.end.saturating_add(ROOM / 2));
        // A file system that does not say how much is free is taken by its deeds.
        lacks_room || os::free_bytes(&self.file).is_ok_and(|free| free < LEAST_FREE)
    }

    fn hold_room(&mut self) {
        let half = self.end.saturating_add(ROOM / 2);
        if self.room.is_some_and(|until| until >= half) {
            return;
        }
        let until = self.end.saturating_add(ROOM);
        match os::hold_room(&self.file, self.end, until) {
            Ok(()) => self.room = Some(until),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => self.room = None,
            Err(_) => self.room = Some(self.room.unwrap_or(self.end)),
        }
    }

    /// Writes the file anew if it is long and more than half of it is past. `ledger` is what the file gives.
    ///
    /// # Errors
    /// It is not certain which file stays: this one must not be written any more, open it again. A rewrite that failed
    /// earlier is none: the file goes on as it was.
    pub fn rewrite_if_worth_it(&mut self, ledger: &Ledger) -> Result<(), DiskError> {
        if self.end < self.consider {
            return Ok(());
        }
        let bytes = whole_file(&ledger.rewritten());
        let anew = length(bytes.len());
        self.consider = self.end.saturating_add(WORTH_REWRITING);
        if anew.saturating_mul(2) > self.end {
            return Ok(());
        }
        // What would not give a ledger again must not take the place of one that does.
        let good = frames::read(&bytes).map_err(|error| DiskError::Frames { path: self.path.clone(), error });
        let good = good.and_then(|found| replay(&self.path, &found.bodies));
        match good.and_then(|_| swap_in(&self.path, &bytes)) {
            Ok(()) => self.go_on_in_new_file(anew),
            Err(error) => {
                tracing::error!(%error, "the ledger could not be rewritten; it goes on growing");
                Ok(())
            }
        }
    }

    fn go_on_in_new_file(&mut self, end: u64) -> Result<(), DiskError> {
        sync_folder_of(&self.path)?;
        let opened = OpenOptions::new().read(true).write(true).open(&self.path);
        self.file = opened.map_err(failed("open", &self.path))?;
        (self.end, self.room) = (end, None);
        self.consider = WORTH_REWRITING.max(end.saturating_mul(2));
        self.hold_room();
        tracing::info!(disk.bytes = end, "rewrote the ledger");
        Ok(())
    }
}

fn whole_file(records: &[Record]) -> Vec<u8> {
    let mut bytes = BEGIN.to_vec();
    for record in records {
        bytes.extend(frames::frame(length(bytes.len()), &frames::body(std::slice::from_ref(record))));
    }
    bytes
}

fn replay(path: &Path, bodies: &[&[u8]]) -> Result<Ledger, DiskError> {
    let broken = |error| DiskError::Ledger { path: path.to_owned(), error };
    let mut ledger = Ledger::default();
    for body in bodies {
        for record in frames::records(body).map_err(broken)? {
            ledger.apply(&record).map_err(broken)?;
        }
    }
    Ok(ledger)
}

fn not_there_or(error: io::Error, path: &Path) -> DiskError {
    match error.kind() {
        io::ErrorKind::NotFound => DiskError::NotEnrolled(path.to_owned()),
        _ => failed("open", path)(error),
    }
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
