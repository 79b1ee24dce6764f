//! What is changed: the files that decide whether a machine obeys.

use anyhow::{Context as _, bail};
use std::fs;
use std::path::Path;

/// Each a file below `crates/trust/src` without its ending, and the folder of the same name if there is one.
const RULE: [&str; 8] = ["verify", "sshsig", "statement/policy", "clear", "signers", "chain", "join", "key"];

/// Those files whose path has `wanted` in it, in order.
pub fn files(root: &Path, wanted: &str) -> anyhow::Result<Vec<String>> {
    let source = root.join("crates/trust/src");
    let mut files = Vec::new();
    for name in RULE {
        let file = format!("{name}.rs");
        if !source.join(&file).is_file() {
            bail!("{} is no file: the list in crates/xtask/src/mutants/scope.rs is out of date", file);
        }
        files.push(file);
        files.extend(beside(&source, name)?);
    }
    files.retain(|file| file.contains(wanted));
    if files.is_empty() {
        bail!("no file of the acceptance rule has `{wanted}` in its path; there are {}", RULE.join(", "));
    }
    Ok(files)
}

/// The files in the folder of this name. Tests are none of the rule, and `cargo mutants` leaves them out.
fn beside(source: &Path, name: &str) -> anyhow::Result<Vec<String>> {
    let folder = source.join(name);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        if file.ends_with(".rs") && file != "tests.rs" {
            files.push(format!("{name}/{file}"));
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
    }

    #[test]
    fn a_word_names_a_file_and_its_folder() {
        let files_of = |wanted: &str| files(here(), wanted).unwrap();
        assert_eq!(files_of("policy"), ["statement/policy.rs", "statement/policy/tripwire.rs"]);
        let key = ["key.rs", "key/algorithm.rs", "key/curve.rs", "key/error.rs"];
        assert_eq!(files_of("key"), key, "and none of its tests");
        let all = files_of("");
        assert!(RULE.iter().all(|name| all.contains(&format!("{name}.rs"))), "{all:?}");
        assert!(all.contains(&"chain/recovery.rs".to_owned()), "{all:?}");
    }

    #[test]
    fn a_word_that_names_nothing_is_refused_with_what_there_is() {
        let error = files(here(), "clock").unwrap_err().to_string();
        assert!(
            error.ends_with("there are verify, sshsig, statement/policy, clear, signers, chain, join, key")
        );
    }
}
