//! How many packages others have to trust, build and update: the whole tree, and the agent alone.

use super::Finding;
use crate::shell::{cargo, output};
use anyhow::Context as _;
use std::collections::BTreeSet;
use std::path::Path;

const MOST: usize = 400;
const AIM: usize = 350;
const AGENT_AIM: usize = 130;

/// Prints both counts, and finds fault with a tree of more than 400.
pub(super) fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).context("Cargo.lock")?;
    let whole = locked(&lock);
    println!("packages: {whole} locked (aim {AIM}, at most {MOST})");
    let mut findings = judge(whole);
    if root.join("crates/agent/Cargo.toml").is_file() {
        let args =
            ["tree", "--locked", "--package=countersign-agent", "--edges=normal,build", "--prefix=none"];
        let agent = distinct(&output(cargo(root).args(args))?);
        println!("packages: {agent} in the agent (aim {AGENT_AIM})");
        if agent > AGENT_AIM {
            let what =
                format!("needs {agent} packages, the aim is {AGENT_AIM}; say in a decision why it grew");
            findings.push(Finding::warning("crates/agent", what));
        }
    }
    Ok(findings)
}

fn judge(whole: usize) -> Vec<Finding> {
    if whole > MOST {
        let what = format!("locks {whole} packages, at most {MOST} are allowed; do without one");
        return vec![Finding::fault("Cargo.lock", what)];
    }
    Vec::new()
}

fn locked(lock: &str) -> usize {
    lock.lines().filter(|line| *line == "[[package]]").count()
}

/// `cargo tree` prints a package once for each who needs it: `name v1.2.3 (path) (*)`.
fn distinct(tree: &str) -> usize {
    let name_and_version = |line: &str| line.split(' ').take(2).map(str::to_owned).collect::<Vec<_>>();
    tree.lines().filter(|line| !line.is_empty()).map(name_and_version).collect::<BTreeSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::super::Weight;
    use super::*;

    #[test]
    fn packages_are_counted_once() {
        assert_eq!(locked("[[package]]\nname = \"a\"\n\n[[package]]\nname = \"b\"\n"), 2);
        assert_eq!(distinct("agent v0.1.0 (/x)\nring v0.17.1\nbase64 v0.22.1\nring v0.17.1 (*)\n"), 3);
    }

    #[test]
    fn more_than_400_packages_are_a_fault() {
        assert_eq!(judge(400), []);
        let findings = judge(401);
        assert_eq!(findings.first().map(|finding| finding.weight), Some(Weight::Fault));
    }
}
