//! Output of runs that no server has had yet: a file for each run, so that memory stays flat while servers are away, and an
//! agent that dies keeps what was written.
//!
//! A file is pieces one after the other: stream (1 byte), length (4 bytes, big-endian), bytes. It is not synced piece by
//! piece: what a power cut takes was promised to nobody. A piece that is not there whole is none.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::{DiskError, Folder, failed};

const OUTPUT: &str = "output";
const HEAD: u64 = 5;
/// The most bytes that wait in all when a run starts; one that would need more keeps less of its output.
pub const MOST_WAITING: u64 = 64 << 20;
/// The longest piece: a longer one was not written here.
const MOST_IN_A_PIECE: usize = 64 << 10;

/// The folder of these files.
#[derive(Clone, Debug)]
pub struct OutputFolder(PathBuf);

/// The output of one run.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    file: File,
    end: u64,
}

/// Where a piece stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// In the file.
    at: u64,
    /// In the output of both streams.
    pub offset: u64,
}

/// A piece as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// 1 standard output, 2 standard error.
    pub stream: u8,
    /// At most [`MOST_IN_A_PIECE`] bytes.
    pub bytes: Vec<u8>,
}

impl Folder {
    /// Where output waits, made where it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn output(&self) -> Result<OutputFolder, DiskError> {
        let path = self.root().join(OUTPUT);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(failed("create the folder", &path)).map(|()| OutputFolder(path))
    }
}

impl OutputFolder {
    /// An empty file for the run of this name, whatever an earlier one left under it.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn begin(&self, run: &str) -> Result<OutputFile, DiskError> {
        let path = self.0.join(run);
        let opened =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&path);
        Ok(OutputFile { file: opened.map_err(failed("create", &path))?, path, end: 0 })
    }

    /// What earlier lives left and can be read, by the names of the runs, in their order.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn left(&self) -> Result<Vec<(String, OutputFile)>, DiskError> {
        let mut left = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(failed("list", &self.0))? {
            let path = entry.map_err(failed("list", &self.0))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else {
                continue;
            };
            match OutputFile::open(path) {
                Ok(file) => left.push((name, file)),
                // What lies here and cannot be read must not keep an agent from living.
                Err(error) => tracing::warn!(%error, "left output where it is"),
            }
        }
        left.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(left)
    }

    /// How many bytes may still come to wait here.
    pub fn room(&self) -> u64 {
        let files = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let waiting = files.filter_map(|file| file.metadata().ok()).map(|file| file.len());
        MOST_WAITING.saturating_sub(waiting.fold(0, u64::saturating_add))
    }
}

impl OutputFile {
    fn open(path: PathBuf) -> Result<Self, DiskError> {
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed("open", &path))?;
        let end = file.metadata().map_err(failed("read", &path))?.len();
        Ok(Self { path, file, end })
    }

    /// Writes a piece at the end. It is there whole, or after an error not at all.
    ///
    /// # Errors
    /// It is not there.
    pub fn append(&mut self, piece: &Piece) -> Result<(), DiskError> {
        let length = u32::try_from(piece.bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
        let whole = [&[piece.stream], &length[..], &piece.bytes].concat();
        self.file.write_all_at(&whole, self.end).map_err(failed("write", &self.path))?;
        self.end = self.end.saturating_add(u64::try_from(whole.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// The piece at `place` and the place after it; none where no whole piece stands.
    pub fn piece(&self, place: Place) -> Option<(Piece, Place)> {
        let mut head = [0; 5];
        let begin = place.at.checked_add(HEAD).filter(|begin| *begin <= self.end)?;
        self.file.read_exact_at(&mut head, place.at).ok()?;
        let [stream, length @ ..] = head;
        let length = u32::from_be_bytes(length);
        let size = usize::try_from(length).ok().filter(|size| (1..=MOST_IN_A_PIECE).contains(size))?;
        let at = begin.checked_add(u64::from(length)).filter(|at| *at <= self.end)?;
        let mut bytes = vec![0; size];
        self.file.read_exact_at(&mut bytes, begin).ok()?;
        let offset = place.offset.saturating_add(u64::from(length));
        Some((Piece { stream, bytes }, Place { at, offset }))
    }

    /// Takes it away: a server has had it.
    ///
    /// # Errors
    /// It is still there.
    pub fn remove(self) -> Result<(), DiskError> {
        remove(&self.path)
    }
}

fn remove(path: &Path) -> Result<(), DiskError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(file: &OutputFile) -> Vec<(u64, u8, Vec<u8>)> {
        let (mut place, mut pieces) = (Place::default(), Vec::new());
        while let Some((piece, next)) = file.piece(place) {
            pieces.push((place.offset, piece.stream, piece.bytes));
            place = next;
        }
        pieces
    }

    fn piece(stream: u8, bytes: &[u8]) -> Piece {
        Piece { stream, bytes: bytes.to_vec() }
    }

    fn folder() -> (tempfile::TempDir, OutputFolder) {
        let temporary = tempfile::tempdir().unwrap();
        let output = Folder::open(temporary.path()).unwrap().output().unwrap();
        (temporary, output)
    }

    #[test]
    fn pieces_are_read_back_with_their_places_by_this_life_and_the_next() {
        let (_held, output) = folder();
        let mut file = output.begin("run").unwrap();
        assert_eq!(all(&file), []);
        file.append(&piece(1, b"early\n")).unwrap();
        file.append(&piece(2, b"late\n")).unwrap();
        let expected = [(0, 1, b"early\n".to_vec()), (6, 2, b"late\n".to_vec())];
        assert_eq!(all(&file), expected);
        drop(file);
        let (name, file) = output.left().unwrap().pop().unwrap();
        assert_eq!((name.as_str(), all(&file)), ("run", expected.to_vec()));
        file.remove().unwrap();
        fs::create_dir(output.0.join("lost+found")).unwrap();
        assert!(output.left().unwrap().is_empty(), "what is no file does no harm");
    }

    #[test]
    fn a_file_cut_off_anywhere_gives_the_whole_pieces_before_the_cut() {
        let (_held, output) = folder();
        let mut file = output.begin("run").unwrap();
        file.append(&piece(1, b"one")).unwrap();
        file.append(&piece(1, b"two")).unwrap();
        let end = file.end;
        for cut in (0..end).rev() {
            file.file.set_len(cut).unwrap();
            let (_, found) = output.left().unwrap().pop().unwrap();
            assert_eq!(all(&found).len(), usize::from(cut >= 8), "cut at {cut}");
        }
    }

    #[test]
    fn a_length_that_was_never_written_is_no_piece() {
        let (_held, output) = folder();
        for length in [0, u32::MAX] {
            let file = output.begin("run").unwrap();
            file.file.write_all_at(&[&[1][..], &length.to_be_bytes(), &[0; 100]].concat(), 0).unwrap();
            let (_, found) = output.left().unwrap().pop().unwrap();
            assert_eq!(found.piece(Place::default()), None);
        }
    }

    #[test]
    fn what_waits_takes_from_the_room() {
        let (_held, output) = folder();
        assert_eq!(output.room(), MOST_WAITING);
        output.begin("run").unwrap().append(&piece(1, &[0; 1000])).unwrap();
        assert_eq!(output.room(), MOST_WAITING - 1005);
        output.begin("full").unwrap().file.set_len(MOST_WAITING).unwrap();
        assert_eq!(output.room(), 0);
    }
}
