//! `cargo xtask test`: everything that has to hold before a change is accepted.

use crate::shell::{cargo, line_by_line, run as shell_run, step, succeeds};
use crate::unrehearsed::Unrehearsed;
use crate::{install, tidy};
use anyhow::bail;
use std::path::Path;
use std::process::Command;

/// What `cargo xtask test` can be told.
#[derive(clap::Args)]
pub struct Args {
    /// Also run the tests in modules called `long`, which take minutes.
    #[arg(long)]
    long: bool,
}

/// Runs every step, also after one has failed, so that one run shows all there is to mend.
///
/// The tests come last: the runner's own count is then the last of a good run, but for a line for each test that could do nothing here.
pub fn run(root: &Path, args: &Args) -> anyhow::Result<()> {
    step("install", || install::run(root))?;
    let mut failed = Vec::new();
    let mut note = |name: &str, result: anyhow::Result<()>| {
        if let Err(error) = result {
            eprintln!("{error:#}");
            failed.push(name.to_owned());
        }
    };
    note("tidy", step("tidy", || tidy::run(root)));
    note("format", step("format", || shell_run(cargo(root).args(["fmt", "--all", "--check"]))));
    note("clippy", step("clippy", || clippy(root)));
    if succeeds(cargo(root).args(["deny", "--version"])) {
        let deny = ["deny", "--offline", "--locked", "check", "bans", "licenses", "sources"];
        note("deny", step("deny", || shell_run(cargo(root).args(deny))));
    }
    if tidy::has_doc_tests(root)? {
        let doc = ["test", "--workspace", "--locked", "--doc", "--quiet"];
        note("doc tests", step("doc tests", || shell_run(cargo(root).args(doc))));
    }
    let programs = ["build", "--workspace", "--bins", "--locked", "--quiet"];
    note("programs", step("programs", || shell_run(cargo(root).args(programs))));
    note("auditor", step("auditor", || auditor(root)));
    let unrehearsed = Unrehearsed::new(root)?;
    note("tests", tests(root, args.long, &unrehearsed));
    unrehearsed.lines()?.iter().for_each(|line| println!("{line}"));
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn clippy(root: &Path) -> anyhow::Result<()> {
    let args = ["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"];
    shell_run(cargo(root).args(args))
}

/// The second implementation: its own tests, and whether it decides every vector as the first one does.
fn auditor(root: &Path) -> anyhow::Result<()> {
    let python = || {
        let mut command = Command::new(root.join("target/venv/bin/python3"));
        command.current_dir(root);
        command
    };
    shell_run(python().args(["-m", "unittest", "discover", "--quiet", "audit"]))?;
    shell_run(python().args(["audit/audit.py", "vectors", "crates/trust/vectors"]))
}

/// The tests themselves: by `cargo nextest` (settings in `.config/nextest.toml`) where it is installed.
fn tests(root: &Path, long: bool, unrehearsed: &Unrehearsed) -> anyhow::Result<()> {
    println!("== tests{}", if long { ", the long ones too" } else { "" });
    if !succeeds(cargo(root).args(["nextest", "--version"])) {
        return tests_without_nextest(root, long, unrehearsed);
    }
    let mut command = cargo(root);
    command.args(["nextest", "run", "--workspace", "--locked", "--no-fail-fast"]);
    if long {
        command.args(["--profile", "long"]);
    }
    shell_run(unrehearsed.watch(&mut command))
}

/// `cargo test` ends with one count for each test binary, the last of which may be empty: add them up.
fn tests_without_nextest(root: &Path, long: bool, unrehearsed: &Unrehearsed) -> anyhow::Result<()> {
    let mut command = cargo(root);
    command.args(["test", "--workspace", "--locked", "--all-targets", "--no-fail-fast"]);
    if !long {
        command.args(["--", "--skip", "long::"]);
    }
    let mut count = Count::default();
    let result = line_by_line(unrehearsed.watch(&mut command), |line| {
        println!("{line}");
        count.add(line);
    });
    if let Err(error) = &result {
        eprintln!("{error:#}");
    }
    println!("{} passed, {} failed", count.passed, count.failed);
    if count.passed == 0 && result.is_ok() {
        bail!("no test ran");
    }
    result
}

#[derive(Default, Debug, PartialEq)]
struct Count {
    passed: u64,
    failed: u64,
}

impl Count {
    /// Reads `test result: ok. 3 passed; 1 failed; …` and ignores every other line.
    fn add(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else { return };
        let words: Vec<&str> = counts.split([' ', ';', '.']).filter(|word| !word.is_empty()).collect();
        for (number, what) in words.iter().zip(words.iter().skip(1)) {
            let Ok(number) = number.parse::<u64>() else { continue };
            match *what {
                "passed" => self.passed = self.passed.saturating_add(number),
                "failed" => self.failed = self.failed.saturating_add(number),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_several_test_binaries_are_added_up() {
        let mut count = Count::default();
        count.add("running 3 tests");
        count.add(
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out; finished in 0.01s",
        );
        count.add("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out");
        assert_eq!(count, Count { passed: 4, failed: 2 });
    }
}
