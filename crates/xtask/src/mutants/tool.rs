//! `cargo mutants` itself: installed where it is missing, and told what to change and which tests to run.

use crate::shell::{cargo, run as shell_run, succeeds};
use anyhow::{Context as _, bail};
use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

/// The one that was tried: others word a change otherwise, and `mutants.md` names changes by their words.
const VERSION: &str = "27.1.0";

/// Runs it over these files. What it found stands in `target/mutants.out`.
pub fn run(root: &Path, files: &[String], shard: Option<&str>) -> anyhow::Result<()> {
    install(root)?;
    let mut mutants = command(root, files, shard)?;
    let status = mutants.status().context("`cargo mutants` could not be started")?;
    // What no test noticed, and what ran for ever, is judged by who called; anything else says that the run was none.
    if !matches!(status.code(), Some(0 | 2 | 3)) {
        bail!("`cargo mutants` failed: {status}; target/mutants.out/log says how");
    }
    Ok(())
}

/// Puts it in `target/mutants-tool`, where it touches nobody's own.
fn install(root: &Path) -> anyhow::Result<()> {
    let home = root.join("target/mutants-tool");
    if succeeds(Command::new(home.join("bin/cargo-mutants")).args(["mutants", "--version"])) {
        return Ok(());
    }
    println!("installing cargo-mutants {VERSION} into target/mutants-tool");
    let mut install = cargo(root);
    install.args(["install", "cargo-mutants", "--locked", "--quiet", "--version", VERSION, "--root"]);
    shell_run(install.arg(&home))
        .context("`cargo xtask mutants` needs cargo-mutants, which could not be installed")
}

fn command(root: &Path, files: &[String], shard: Option<&str>) -> anyhow::Result<Command> {
    let mut mutants = cargo(root);
    mutants.env("PATH", path(root)?);
    // Nobody reads a backtrace here, and linking without debug information is half of the time.
    mutants.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_PROFILE_TEST_DEBUG", "0");
    // What `trust` needs is the same each time: the copy of the tree is built where the one before it was.
    mutants.env("CARGO_TARGET_DIR", root.join("target/mutants-build"));
    mutants.args(["mutants", "--package=countersign-trust", "--jobs=1", "--output=target", "--timeout=120"]);
    mutants.args(["--caught", "--colors=never"]);
    // The tests are slower so, and the build that comes before them each time is quicker by more.
    mutants.arg("--cargo-arg=--config=profile.dev.package.countersign-trust.opt-level=1");
    mutants.args(files.iter().map(|file| format!("--file=crates/trust/src/{file}")));
    mutants.args(shard.map(|shard| format!("--shard={shard}")));
    let tests = ["--lib", "--test=acceptance", "--test=sshsig"];
    if succeeds(cargo(root).args(["nextest", "--version"])) {
        mutants.args(["--test-tool=nextest", "--", "--profile=mutants"]).args(tests);
    } else {
        mutants.args(["--test-tool=cargo", "--"]).args(tests).args(["--", "--skip", "long::"]);
    }
    Ok(mutants)
}

fn path(root: &Path) -> anyhow::Result<OsString> {
    let tool = root.join("target/mutants-tool/bin");
    let others = env::var_os("PATH").unwrap_or_default();
    env::join_paths(std::iter::once(tool).chain(env::split_paths(&others))).context("PATH")
}
