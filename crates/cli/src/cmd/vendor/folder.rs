//! The folder of a feed: `index`, `halts/<hash>`, `advisories/<name>`. What is published is what lies in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use countersign_trust::envelope::Signed;
use countersign_trust::feed::read_halt;
use countersign_trust::ids::{Name, Sha256};

use crate::os::write_public;
use crate::output::Stop;

/// A feed's folder.
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at `path`, made if it is not there.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        for folder in [path.to_owned(), path.join("halts"), path.join("advisories")] {
            fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        Ok(Self(path.to_owned()))
    }

    /// The index, if one was published.
    pub fn index(&self) -> anyhow::Result<Option<String>> {
        let path = self.0.join("index");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Replaces the index.
    pub fn put_index(&self, text: &str) -> anyhow::Result<()> {
        self.put(&self.0.join("index"), text)
    }

    /// Adds a halt.
    pub fn put_halt(&self, halt: &Signed) -> anyhow::Result<PathBuf> {
        let path = self.0.join("halts").join(halt.hash().to_string());
        self.put(&path, &halt.to_string())?;
        Ok(path)
    }

    fn put(&self, path: &Path, text: &str) -> anyhow::Result<()> {
        write_public(path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The halts that lie here. A file that holds something else than its name says is named, and nothing is published.
    pub fn halts(&self) -> anyhow::Result<BTreeMap<Sha256, Signed>> {
        let mut halts = BTreeMap::new();
        for (name, path) in files(&self.0.join("halts"))? {
            let wrong = |what: String| Stop::Usage(format!("{}: {what}", path.display()));
            let hash: Sha256 = name.parse().map_err(|error| wrong(format!("{error}")))?;
            let text = fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
            let halt = read_halt(&text, &hash).map_err(|error| wrong(error.to_string()))?;
            halts.insert(hash, halt);
        }
        Ok(halts)
    }

    /// The advisories that lie here, by name. Nobody reads what is in them.
    pub fn advisories(&self) -> anyhow::Result<BTreeMap<Name, Sha256>> {
        let mut advisories = BTreeMap::new();
        for (name, path) in files(&self.0.join("advisories"))? {
            let wrong = |what: String| Stop::Usage(format!("{}: {what}", path.display()));
            let name: Name = name.parse().map_err(|error| wrong(format!("{error}")))?;
            let bytes = fs::read(&path).map_err(|error| wrong(error.to_string()))?;
            advisories.insert(name, Sha256::of(&bytes));
        }
        Ok(advisories)
    }
}

/// The files in a folder; what begins with a dot, and what was left half written, is passed over.
fn files(folder: &Path) -> anyhow::Result<BTreeSet<(String, PathBuf)>> {
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with('.') && !name.ends_with(".new") {
            files.insert((name, path));
        }
    }
    Ok(files)
}
