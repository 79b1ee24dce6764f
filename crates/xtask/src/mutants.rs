//! `cargo xtask mutants`: changes the acceptance rule in one place at a time and looks whether a test of `trust` notices.
//!
//! `cargo mutants` makes the changes, in a copy of the tree. One job at a time: it builds `trust` and its tests for each.

use crate::shell::{cargo, run as shell_run, succeeds};
use anyhow::bail;
use std::path::Path;

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
const FILES: [&str; 10] = [
    "verify.rs",
    "verify/*.rs",
    "sshsig.rs",
    "sshsig/*.rs",
    "statement/policy.rs",
    "clear.rs",
    "signers.rs",
    "chain.rs",
    "key.rs",
    "key/*.rs",
];

/// Runs them; what no test noticed stands in `target/mutants.out/missed.txt`.
pub fn run(root: &Path, args: &Args) -> anyhow::Result<()> {
    if !succeeds(cargo(root).args(["mutants", "--version"])) {
        shell_run(cargo(root).args(["install", "cargo-mutants", "--locked"]))?;
    }
    let wanted = args.files.as_deref().unwrap_or_default();
    let files: Vec<&str> = FILES.into_iter().filter(|file| file.starts_with(wanted)).collect();
    if files.is_empty() {
        bail!("{wanted} begins none of {}", FILES.join(", "));
    }
    let mut mutants = cargo(root);
    // Nobody reads a backtrace here, and linking without debug information is half of the time.
    mutants.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_PROFILE_TEST_DEBUG", "0");
    mutants.args([
        "mutants",
        "--package=countersign-trust",
        "--test-tool=nextest",
        "--jobs=1",
        "--output=target",
    ]);
    mutants.args(["--baseline=skip", "--timeout=120"]);
    mutants.args(files.iter().map(|file| format!("--file=crates/trust/src/{file}")));
    mutants.args(args.shard.iter().map(|shard| format!("--shard={shard}")));
    mutants.args([
        "--",
        "--profile=mutants",
        "--lib",
        "--test=acceptance",
        "--test=sshsig",
        "--test=transparency",
    ]);
    shell_run(&mut mutants)
}
