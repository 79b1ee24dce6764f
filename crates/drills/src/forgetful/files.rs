//! Files and folders twice, as they were written and as they were synced, and what a power cut leaves.

mod chance;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use chance::Chance;
use libc::{EEXIST, EIO, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY, c_int};

/// The number of the root folder.
pub const ROOT: u64 = 1;

/// What a cut leaves of that which was written and not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survives {
    /// Nothing: a disk that wrote as late as it may.
    Nothing,
    /// This or that, by the seed: a disk that wrote in an order of its own, and was torn off between two sectors.
    Some(u64),
    /// Everything: no power cut at all, but `kill -9`.
    Everything,
}

/// Something that was written twice: `written` is `synced` with all of `unsynced` done to it.
#[derive(Clone, Debug)]
struct Twice<T, C> {
    written: T,
    synced: T,
    unsynced: Vec<C>,
}

type File = Twice<Vec<u8>, Change>;
type Folder = Twice<BTreeMap<OsString, u64>, Naming>;

/// What can be done to a file.
#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

/// What can be done to a folder, whole or not at all: names, and what they name from there on.
type Naming = Vec<(OsString, Option<u64>)>;

/// One file or folder.
#[derive(Clone, Debug)]
enum Node {
    File(File),
    Folder(Folder),
}

/// What `stat` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Its number.
    pub number: u64,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Bytes, of a file.
    pub length: u64,
    /// Permissions.
    pub mode: u32,
}

/// All files and folders of a disk. A name that is taken away leaves its file: who has it open goes on.
#[derive(Debug)]
pub struct Files {
    nodes: BTreeMap<u64, Node>,
    modes: BTreeMap<u64, u32>,
    next: u64,
    operations: u64,
    /// At which operation the power goes.
    cut_at: u64,
    dead: bool,
}

impl Default for Files {
    fn default() -> Self {
        Self::new()
    }
}

impl Files {
    /// An empty disk with power.
    pub fn new() -> Self {
        let nodes = [(ROOT, Node::Folder(Folder::empty()))].into();
        let modes = [(ROOT, 0o755)].into();
        Self { nodes, modes, next: ROOT + 1, operations: 0, cut_at: u64::MAX, dead: false }
    }

    /// How many operations have changed or synced something.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// The power goes at the `operation`-th from here on: it is begun, and nobody hears that it was done.
    pub fn cut_at(&mut self, operation: u64) {
        self.cut_at = self.operations.saturating_add(operation);
    }

    /// The power goes.
    pub fn cut(&mut self) {
        self.dead = true;
    }

    /// Whether it is gone.
    pub fn is_dead(&self) -> bool {
        self.dead
    }

    /// Counts an operation that is done, but for the word that it is.
    fn done(&mut self) -> Result<(), c_int> {
        self.operations += 1;
        self.dead |= self.operations >= self.cut_at;
        self.alive()
    }

    /// Whether anything can be asked.
    pub fn alive(&self) -> Result<(), c_int> {
        if self.dead { Err(EIO) } else { Ok(()) }
    }

    fn file(&mut self, number: u64) -> Result<&mut File, c_int> {
        match self.nodes.get_mut(&number) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Folder(_)) => Err(EISDIR),
            None => Err(ENOENT),
        }
    }

    fn folder(&mut self, number: u64) -> Result<&mut Folder, c_int> {
        match self.nodes.get_mut(&number) {
            Some(Node::Folder(folder)) => Ok(folder),
            Some(Node::File(_)) => Err(ENOTDIR),
            None => Err(ENOENT),
        }
    }

    /// What is known of a number.
    pub fn about(&self, number: u64) -> Result<About, c_int> {
        self.alive()?;
        let (is_folder, length) = match self.nodes.get(&number).ok_or(ENOENT)? {
            Node::File(file) => (false, file.written.len().try_into().unwrap()),
            Node::Folder(_) => (true, 0),
        };
        Ok(About { number, is_folder, length, mode: self.modes[&number] })
    }

    /// What a name names.
    pub fn find(&mut self, folder: u64, name: &OsStr) -> Result<u64, c_int> {
        self.alive()?;
        self.folder(folder)?.written.get(name).copied().ok_or(ENOENT)
    }

    /// The names in a folder.
    pub fn list(&mut self, folder: u64) -> Result<Vec<(OsString, u64)>, c_int> {
        self.alive()?;
        Ok(self.folder(folder)?.written.clone().into_iter().collect())
    }

    /// At most `length` bytes from `at` on.
    pub fn read(&mut self, file: u64, at: usize, length: usize) -> Result<&[u8], c_int> {
        self.alive()?;
        let bytes = &self.file(file)?.written;
        let from = at.min(bytes.len());
        Ok(&bytes[from..bytes.len().min(from + length)])
    }

    /// Puts bytes into a file.
    pub fn write(&mut self, file: u64, at: usize, bytes: &[u8]) -> Result<(), c_int> {
        self.alive()?;
        self.file(file)?.change(Change::Write { at, bytes: bytes.to_vec() });
        self.done()
    }

    /// Cuts a file off, or makes it longer by zeros.
    pub fn set_length(&mut self, file: u64, length: usize) -> Result<(), c_int> {
        self.alive()?;
        self.file(file)?.change(Change::Length(length));
        self.done()
    }

    /// Gives other permissions.
    pub fn set_mode(&mut self, number: u64, mode: u32) -> Result<(), c_int> {
        self.alive()?;
        self.modes.insert(number, mode);
        Ok(())
    }

    /// A new empty file.
    pub fn make_file(&mut self, folder: u64, name: &OsStr, mode: u32) -> Result<u64, c_int> {
        self.make(folder, name, mode, Node::File(File::empty()))
    }

    /// A new empty folder.
    pub fn make_folder(&mut self, folder: u64, name: &OsStr, mode: u32) -> Result<u64, c_int> {
        self.make(folder, name, mode, Node::Folder(Folder::empty()))
    }

    fn make(&mut self, folder: u64, name: &OsStr, mode: u32, node: Node) -> Result<u64, c_int> {
        self.alive()?;
        let number = self.next;
        let into = self.folder(folder)?;
        if into.written.contains_key(name) {
            return Err(EEXIST);
        }
        into.change(vec![(name.to_owned(), Some(number))]);
        self.next += 1;
        self.nodes.insert(number, node);
        self.modes.insert(number, mode & 0o7777);
        self.done().map(|()| number)
    }

    /// Takes a name away.
    pub fn remove(&mut self, folder: u64, name: &OsStr) -> Result<(), c_int> {
        let number = self.find(folder, name)?;
        if self.folder(number).is_ok_and(|folder| !folder.written.is_empty()) {
            return Err(ENOTEMPTY);
        }
        self.folder(folder)?.change(vec![(name.to_owned(), None)]);
        self.done()
    }

    /// Another name in the same folder; what had it before has it no more. Nobody here moves between folders.
    pub fn rename(&mut self, folder: u64, name: &OsStr, anew: &OsStr) -> Result<(), c_int> {
        let number = self.find(folder, name)?;
        self.folder(folder)?.change(vec![(name.to_owned(), None), (anew.to_owned(), Some(number))]);
        self.done()
    }

    /// Makes what was written to a file, or the names in a folder, last. The sync at which the power goes does nothing.
    pub fn sync(&mut self, number: u64) -> Result<(), c_int> {
        self.alive()?;
        self.done()?;
        match self.nodes.get_mut(&number).ok_or(ENOENT)? {
            Node::File(file) => file.sync(),
            Node::Folder(folder) => folder.sync(),
        }
        Ok(())
    }

    /// Makes everything last.
    pub fn sync_all(&mut self) {
        for node in self.nodes.values_mut() {
            match node {
                Node::File(file) => file.sync(),
                Node::Folder(folder) => folder.sync(),
            }
        }
    }

    /// The disk when the power is back. What no name leads to any more is never seen again.
    pub fn after_the_cut(mut self, survives: Survives) -> Self {
        let mut chance = Chance::new(survives);
        for node in self.nodes.values_mut() {
            match node {
                Node::File(file) => {
                    file.forget(|change, bytes| chance.partly(change).for_each(|c| c.apply(bytes)))
                }
                Node::Folder(folder) => folder.forget(|naming, names| {
                    if chance.keeps() {
                        naming.apply(names);
                    }
                }),
            }
        }
        (self.operations, self.cut_at, self.dead) = (0, u64::MAX, false);
        self
    }
}

/// How a change is done to one of the two states.
trait Apply<T> {
    fn apply(&self, to: &mut T);
}

impl Apply<Vec<u8>> for Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Length(length) => to.resize(*length, 0),
            Self::Write { at, bytes } => {
                let end = at + bytes.len();
                to.resize(to.len().max(end), 0);
                to[*at..end].copy_from_slice(bytes);
            }
        }
    }
}

impl Apply<BTreeMap<OsString, u64>> for Naming {
    fn apply(&self, to: &mut BTreeMap<OsString, u64>) {
        for (name, number) in self {
            match number {
                Some(number) => to.insert(name.clone(), *number),
                None => to.remove(name),
            };
        }
    }
}

impl<T: Clone + Default, C: Apply<T>> Twice<T, C> {
    fn empty() -> Self {
        Self { written: T::default(), synced: T::default(), unsynced: Vec::new() }
    }

    fn change(&mut self, change: C) {
        change.apply(&mut self.written);
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        self.unsynced.drain(..).for_each(|change| change.apply(&mut self.synced));
    }

    /// Goes back to what was synced, and lets `keep` do what it will of the rest.
    fn forget(&mut self, mut keep: impl FnMut(&C, &mut T)) {
        self.unsynced.drain(..).for_each(|change| keep(&change, &mut self.synced));
        self.written = self.synced.clone();
    }
}
