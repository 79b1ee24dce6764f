//! `cargo xtask tidy`: what the design asks of the tree and no compiler checks.
//!
//! Every check takes the tree and returns what it found; a finding says where, and what to do instead.

mod arrows;
mod links;
mod maps;
mod names;
mod packages;
mod places;
mod sizes;
mod words;

use crate::shell::{cargo, output};
use anyhow::{Context as _, bail};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs every check and prints what they found; fails if one of them found a fault.
pub fn run(root: &Path) -> anyhow::Result<()> {
    let tree = Tree::of_checkout(root)?;
    let metadata = output(cargo(root).args(["metadata", "--format-version=1", "--no-deps", "--locked"]))?;
    let checks = [
        arrows::check(&metadata)?,
        sizes::check(&tree),
        names::check(&tree),
        words::check(&tree),
        places::check(&tree),
        links::check(&tree),
        maps::check(&tree),
        packages::check(root)?,
    ];
    let findings: Vec<Finding> = checks.into_iter().flatten().collect();
    for finding in &findings {
        println!("{finding}");
    }
    let faults = findings.iter().filter(|finding| finding.weight == Weight::Fault).count();
    if faults > 0 {
        bail!("tidy found {faults} faults in {} files", tree.files.len());
    }
    Ok(())
}

/// Whether a comment of a library holds an example that `cargo test --doc` would run.
pub fn has_doc_tests(root: &Path) -> anyhow::Result<bool> {
    let tree = Tree::of_checkout(root)?;
    let opens_example = |line: &str| {
        let comment = line.trim_start();
        let fence = comment.strip_prefix("/// ```").or_else(|| comment.strip_prefix("//! ```"));
        fence.is_some_and(|kind| ["", "rust", "no_run", "should_panic"].contains(&kind))
    };
    let mut sources = tree.texts().filter(|(path, _)| path.ends_with(".rs"));
    // A closing fence looks like an opening one, so a block of text is taken for an example: cargo then runs none.
    Ok(sources.any(|(_, text)| text.lines().any(opens_example)))
}

/// The files of a checkout: a root and slash-separated paths below it.
struct Tree {
    root: PathBuf,
    files: Vec<String>,
}

impl Tree {
    /// What git tracks, and what it would: a new file is checked before it is added.
    fn of_checkout(root: &Path) -> anyhow::Result<Self> {
        let mut git = Command::new("git");
        git.current_dir(root);
        git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let listed = output(&mut git).context("tidy asks git which files belong to the project")?;
        let mut files: Vec<String> = listed.split_terminator('\0').map(str::to_owned).collect();
        files.retain(|path| root.join(path).is_file());
        files.sort();
        files.dedup();
        Ok(Tree { root: root.to_path_buf(), files })
    }

    /// Path and content of every file that is text.
    fn texts(&self) -> impl Iterator<Item = (&str, String)> {
        self.files.iter().filter_map(|path| {
            let bytes = std::fs::read(self.root.join(path)).ok()?;
            Some((&**path, String::from_utf8(bytes).ok()?))
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Weight {
    Fault,
    Warning,
}

/// Something a person should look at.
#[derive(Debug, Clone, PartialEq)]
struct Finding {
    weight: Weight,
    /// A path, with a line number where there is one, or a crate.
    place: String,
    /// What is wrong and what to do instead.
    what: String,
}

impl Finding {
    fn fault(place: impl Into<String>, what: impl Into<String>) -> Self {
        Finding { weight: Weight::Fault, place: place.into(), what: what.into() }
    }

    fn warning(place: impl Into<String>, what: impl Into<String>) -> Self {
        Finding { weight: Weight::Warning, ..Self::fault(place, what) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = if self.weight == Weight::Fault { "fault" } else { "warning" };
        write!(f, "{weight}: {}: {}", self.place, self.what)
    }
}

/// A tree in a temporary folder, for the tests of the checks.
#[cfg(test)]
fn tree_of(files: &[(&str, &str)]) -> (tempfile::TempDir, Tree) {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let files = files.iter().map(|(path, _)| (*path).to_owned()).collect();
    let tree = Tree { root: folder.path().to_path_buf(), files };
    (folder, tree)
}

/// The places of what was found, for the tests of the checks.
#[cfg(test)]
fn places_of(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| &*finding.place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_belongs_to_the_tree_and_an_ignored_or_deleted_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let git = |args: &[&str]| {
            assert!(Command::new("git").current_dir(&folder).args(args).status().unwrap().success())
        };
        git(&["init", "--quiet"]);
        for (path, text) in
            [(".gitignore", "/target\n"), ("target", "x"), ("kept", "x"), ("gone", "x"), ("new", "x")]
        {
            std::fs::write(folder.path().join(path), text).unwrap();
        }
        git(&["add", ".gitignore", "kept", "gone"]);
        std::fs::remove_file(folder.path().join("gone")).unwrap();
        let tree = Tree::of_checkout(folder.path()).unwrap();
        assert_eq!(tree.files, [".gitignore", "kept", "new"]);
    }

    #[test]
    fn a_finding_reads_as_a_sentence() {
        let finding = Finding::warning("README.md:3", "this is long");
        assert_eq!(finding.to_string(), "warning: README.md:3: this is long");
    }
}
