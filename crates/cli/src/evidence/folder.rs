//! The files of a folder of evidence: each is there whole or not at all, so that what broke off goes on where it was.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use countersign_trust::ids::Sha256;

use crate::output::Stop;

/// The list of all other files.
pub const MANIFEST: &str = "MANIFEST";
/// The page for people.
pub const TIMELINE: &str = "timeline.txt";
const UNFINISHED: &str = ".unfinished";

/// A folder of evidence.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The folder at `root`, which is made.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn at(root: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(root).with_context(|| format!("cannot make the folder {}", root.display()))?;
        Ok(Self { root: root.to_owned() })
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a file: all of it, or it stays what it was.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn put(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.root.join(name);
        let unfinished = self.root.join(format!("{name}{UNFINISHED}"));
        let above = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(above)
            .and_then(|()| fs::write(&unfinished, bytes))
            .and_then(|()| fs::rename(&unfinished, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Whether a file is there.
    pub fn has(&self, name: &str) -> bool {
        self.root.join(name).is_file()
    }

    /// The text of a file; none if it is not there.
    ///
    /// # Errors
    /// It cannot be read, or is no UTF-8.
    pub fn text(&self, name: &str) -> anyhow::Result<Option<String>> {
        match fs::read_to_string(self.root.join(name)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(error).with_context(|| format!("cannot read {}", self.root.join(name).display()))
            }
        }
    }

    /// The names of the files in a folder below it, sorted; none if there is no such folder.
    pub fn names(&self, below: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(below)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.retain(|name| !name.ends_with(UNFINISHED));
        names.sort();
        names
    }

    /// Takes a file away, if it is there.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self, name: &str) -> anyhow::Result<()> {
        match fs::remove_file(self.root.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.root.join(name).display()))
            }
            _ => Ok(()),
        }
    }

    /// Takes a folder below it away, with all that is in it.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn clear(&self, below: &str) -> anyhow::Result<()> {
        let path = self.root.join(below);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Writes the list of all files with their hashes, as `sha256sum --check` reads it, below lines of comment. Answers its hash.
    ///
    /// # Errors
    /// A file cannot be read, or the list not be written.
    pub fn seal(&self, comments: &[String]) -> anyhow::Result<Sha256> {
        let mut hashes = BTreeMap::new();
        self.hash_all("", &mut hashes)?;
        let mut text: String = comments.iter().map(|line| format!("# {line}\n")).collect();
        for (name, hash) in hashes {
            text.push_str(&format!("{hash}  {name}\n"));
        }
        self.put(MANIFEST, text.as_bytes())?;
        Ok(Sha256::of(text.as_bytes()))
    }

    fn hash_all(&self, below: &str, hashes: &mut BTreeMap<String, Sha256>) -> anyhow::Result<()> {
        let path = self.root.join(below);
        for entry in fs::read_dir(&path).with_context(|| format!("cannot list {}", path.display()))? {
            let entry = entry?;
            let name = entry.file_name().into_string();
            let name = name.map_err(|name| Stop::Failed(format!("a file is called {}", name.display())))?;
            let name = if below.is_empty() { name } else { format!("{below}/{name}") };
            if entry.file_type()?.is_dir() {
                self.hash_all(&name, hashes)?;
            } else if name.ends_with(UNFINISHED) {
                fs::remove_file(entry.path())?;
            } else if name != MANIFEST {
                let hash = hash_of(&entry.path());
                hashes.insert(name, hash.with_context(|| format!("cannot read {}", entry.path().display()))?);
            }
        }
        Ok(())
    }
}

/// Piece by piece: the file of a log's leaves may be large.
fn hash_of(path: &Path) -> io::Result<Sha256> {
    let mut file = BufReader::new(fs::File::open(path)?);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Sha256::of(&bytes))
}
