//! Tests that could do nothing on this machine: they pass, and are named at the end.

use anyhow::Context as _;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

/// As `crates/drills/src/unrehearsed.rs` has it.
const NOT_REHEARSED: &str = "COUNTERSIGN_NOT_REHEARSED";

/// The file to which such tests add a line each.
pub struct Unrehearsed(PathBuf);

impl Unrehearsed {
    /// Nothing is in it yet.
    pub fn new(root: &Path) -> anyhow::Result<Self> {
        let file = root.join("target/not-rehearsed");
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("{} cannot be removed", file.display()))
            }
            _ => Ok(Self(file)),
        }
    }

    /// Tells the command where the file is.
    pub fn watch<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env(NOT_REHEARSED, &self.0)
    }

    /// A sentence for each test that did nothing, each once.
    pub fn lines(&self) -> anyhow::Result<Vec<String>> {
        let text = match fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", self.0.display())),
        };
        let mut lines: Vec<String> = text.lines().map(|line| format!("not rehearsed here: {line}")).collect();
        lines.sort();
        lines.dedup();
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_rehearsed_is_told_once_with_its_reason_and_not_by_the_next_run() {
        let root = std::env::temp_dir().join(format!("countersign-unrehearsed-{}", std::process::id()));
        fs::create_dir_all(root.join("target")).unwrap();
        let unrehearsed = Unrehearsed::new(&root).unwrap();
        assert_eq!(unrehearsed.lines().unwrap(), Vec::<String>::new());
        let mut says = Command::new("sh");
        says.args(["-c", r#"for i in 1 2; do echo "a_full_disk, because only root can" >> "$COUNTERSIGN_NOT_REHEARSED"; done"#]);
        assert!(unrehearsed.watch(&mut says).status().unwrap().success());
        let lines = unrehearsed.lines().unwrap();
        assert_eq!(lines, ["not rehearsed here: a_full_disk, because only root can"]);
        assert_eq!(Unrehearsed::new(&root).unwrap().lines().unwrap(), Vec::<String>::new());
        fs::remove_dir_all(root).unwrap();
    }
}
