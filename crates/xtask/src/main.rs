//! `cargo xtask`: everything a checkout can be told to do, a file for each command.

mod bench;
mod demo;
mod drill;
mod fuzz;
mod install;
mod mutants;
mod shell;
mod test;
mod tidy;
mod unrehearsed;

use anyhow::Context as _;
use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The project's own chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Chore {
    /// Install what is missing, then run every check and test.
    Test(test::Args),
    /// Check what no compiler checks: arrows between crates, sizes, words, links.
    Tidy,
    /// Install what the tests need: OpenSSH, PostgreSQL, a Python with `cryptography`.
    Install,
    /// Measure one thing and print its figures.
    Bench(bench::Args),
    /// Look for bytes that break a law of a parser.
    Fuzz(fuzz::Args),
    /// Change the acceptance rule in one place at a time, and see whether a test notices.
    Mutants(mutants::Args),
    /// Play the story: a hijacked server gives an order, and the devices refuse.
    Demo(demo::Args),
    /// Rehearse an attack by its name, or list all attacks.
    Drill(drill::Args),
}

fn main() -> ExitCode {
    let chore = Chore::parse();
    match root().and_then(|root| start(&chore, &root)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(chore: &Chore, root: &Path) -> anyhow::Result<()> {
    match chore {
        Chore::Test(args) => test::run(root, args),
        Chore::Tidy => tidy::run(root),
        Chore::Install => install::run(root),
        Chore::Bench(args) => bench::run(root, args),
        Chore::Fuzz(args) => fuzz::run(root, args),
        Chore::Mutants(args) => mutants::run(root, args),
        Chore::Demo(args) => demo::run(root, args),
        Chore::Drill(args) => drill::run(root, args),
    }
}

/// The folder that holds the workspace's `Cargo.lock`. Cargo says where this crate is when it starts us; a
/// binary started by hand looks upwards from the current folder.
fn root() -> anyhow::Result<PathBuf> {
    let from = match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(manifest) => PathBuf::from(manifest),
        None => std::env::current_dir().context("the current folder cannot be read")?,
    };
    let root = from.ancestors().find(|folder| folder.join("Cargo.lock").is_file());
    let root = root.with_context(|| format!("no Cargo.lock in {} or above it", from.display()))?;
    Ok(root.to_path_buf())
}
