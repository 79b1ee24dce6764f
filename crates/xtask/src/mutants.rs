//! `cargo xtask mutants`: changes the acceptance rule in one place at a time and looks whether a test of `trust` notices.
//!
//! `cargo mutants` makes the changes, in a copy of the tree. One job at a time: it builds `trust` and its tests for each.
//! What no test notices has to stand in `crates/trust/mutants.md` with the reason why it may.

mod outcomes;
mod survivors;

use crate::shell::{cargo, run as shell_run, succeeds};
use anyhow::{Context as _, bail};
use outcomes::Outcomes;
use std::fs;
use std::path::Path;
use std::process::Command;
use survivors::Survivors;

/// What `cargo xtask mutants` can be told.
#[derive(clap::Args)]
pub struct Args {
    /// Only files whose path below `crates/trust/src` begins so, such as `clear` or `sshsig/`.
    files: Option<String>,
    /// Only one part of many, such as `1/8`: all of them take hours.
    #[arg(long)]
    shard: Option<String>,
}

/// What decides whether a machine obeys.
const FILES: [&str; 15] = [
    "verify.rs",
    "verify/*.rs",
    "sshsig.rs",
    "sshsig/*.rs",
    "statement/policy.rs",
    "clear.rs",
    "signers.rs",
    "chain.rs",
    "chain/halts.rs",
    "chain/places.rs",
    "chain/policies.rs",
    "chain/resumes.rs",
    "join.rs",
    "key.rs",
    "key/*.rs",
];

/// Runs them; fails for one that no test noticed and nobody explained.
pub fn run(root: &Path, args: &Args) -> anyhow::Result<()> {
    if !succeeds(cargo(root).args(["mutants", "--version"])) {
        shell_run(cargo(root).args(["install", "cargo-mutants", "--locked"]))?;
    }
    let explained = Survivors::read(&root.join("crates/trust/mutants.md"))?;
    let wanted = args.files.as_deref().unwrap_or_default();
    let files: Vec<&str> = FILES.into_iter().filter(|file| file.starts_with(wanted)).collect();
    if files.is_empty() {
        bail!("{wanted} begins none of {}", FILES.join(", "));
    }
    let mut mutants = command(root, &files);
    mutants.args(args.shard.iter().map(|shard| format!("--shard={shard}")));
    mutants.args(["--", "--profile=mutants", "--lib", "--test=acceptance", "--test=sshsig"]);
    let status = mutants.status().context("`cargo mutants` could not be started")?;
    // What no test noticed, and what ran for ever, is judged below; anything else says that the run was none.
    if !matches!(status.code(), Some(0 | 2 | 3)) {
        bail!("`cargo mutants` failed: {status}");
    }
    let outcomes =
        fs::read_to_string(root.join("target/mutants.out/outcomes.json")).context("the outcomes")?;
    let outcomes = Outcomes::read(&outcomes)?;
    print!("{outcomes}");
    explained.allow(&outcomes, args.shard.is_none())
}

fn command(root: &Path, files: &[&str]) -> Command {
    let mut mutants = cargo(root);
    // Nobody reads a backtrace here, and linking without debug information is half of the time.
    mutants.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_PROFILE_TEST_DEBUG", "0");
    mutants.args(["mutants", "--package=countersign-trust", "--test-tool=nextest", "--jobs=1"]);
    // The tests are slower so, and the build that comes before them each time is quicker by more.
    mutants.arg("--cargo-arg=--config=profile.dev.package.countersign-trust.opt-level=1");
    mutants.args(["--output=target", "--timeout=120"]);
    mutants.args(files.iter().map(|file| format!("--file=crates/trust/src/{file}")));
    mutants
}
