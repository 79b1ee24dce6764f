//! What machines kept, as `countersign-agent evidence` wrote it: bundles, and beside them a folder `device` with all the rest. Nothing
//! of it is believed before its signatures and proofs have been checked.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use countersign_trust::checkpoint::Proof;
use countersign_trust::ids::Sha256;
use countersign_trust::note::Note;

use crate::evidence::read::{ShownReceipt, read_place};
use crate::output::Stop;

/// How deep below what was named folders are looked into: device, job, part of a bundle.
const DEEPEST: usize = 6;

/// What was found.
#[derive(Default)]
pub struct Machines {
    /// Policies, resumes, halts, in the order of their files.
    pub news: Vec<String>,
    /// Envelopes of enrollments, jobs and advances.
    pub envelopes: Vec<String>,
    /// Joins with their proofs.
    pub joins: Vec<(Note, Proof)>,
    /// Batches of receipts by their root.
    pub batches: Vec<(Sha256, Proof)>,
    /// Receipts.
    pub receipts: Vec<ShownReceipt>,
}

/// Reads everything below these folders.
///
/// # Errors
/// One is not there.
pub fn read(folders: &[PathBuf]) -> anyhow::Result<Machines> {
    let mut machines = Machines::default();
    for folder in folders {
        if !folder.is_dir() {
            return Err(Stop::Usage(format!("{} is no folder", folder.display())).into());
        }
        machines.below(folder, DEEPEST)?;
    }
    machines.news.sort_by_key(|text| !text.starts_with("{\n  \"org\": \"\""));
    Ok(machines)
}

impl Machines {
    fn below(&mut self, folder: &Path, deep: usize) -> anyhow::Result<()> {
        if folder.join("org").is_file() {
            self.bundle(folder);
        }
        let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
        let mut below: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        below.retain(|path| path.is_dir() && !path.is_symlink());
        below.sort();
        match deep.checked_sub(1) {
            Some(deep) => below.iter().try_for_each(|path| self.below(path, deep)),
            None => Ok(()),
        }
    }

    fn bundle(&mut self, folder: &Path) {
        self.news.extend(texts(&folder.join("chain"), "txt").into_iter().map(|(_, text)| text));
        self.envelopes.extend(["enroll.txt", "job.txt"].iter().filter_map(|name| text(&folder.join(name))));
        for part in ["anew", "advances"] {
            self.envelopes.extend(texts(&folder.join(part), "txt").into_iter().map(|(_, text)| text));
        }
        let join = text(&folder.join("join.note")).and_then(|text| text.parse().ok());
        let proof = text(&folder.join("join.tlog-proof")).and_then(|text| text.parse().ok());
        self.joins.extend(join.zip(proof));
        for (path, text) in texts(&folder.join("batches"), "tlog-proof") {
            let root = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            self.batches.extend(root.zip(text.parse().ok()));
        }
        for (path, note) in texts(&folder.join("receipts"), "note") {
            let place = text(&path.with_extension("place")).and_then(|text| read_place(&text));
            self.receipts.extend(ShownReceipt::read(&note, place));
        }
    }
}

fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// The files of a folder that end so, in the order of their names.
fn texts(folder: &Path, ending: &str) -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == ending));
    paths.sort();
    paths.into_iter().filter_map(|path| text(&path).map(|text| (path, text))).collect()
}
