//! `cargo xtask mutants`: changes the acceptance rule in one place at a time and looks whether a test of `trust` notices.
//!
//! `cargo mutants` makes the changes, in a copy of the tree. One job at a time: it builds `trust` and its tests for each.
//! What no test notices has to stand in `crates/trust/mutants.md` with the reason why it may, and of all that compile
//! [`FEWEST_NOTICED_PERCENT`] have to be noticed.

mod outcomes;
mod scope;
mod survivors;
mod tool;

use anyhow::{Context as _, bail};
use outcomes::Outcomes;
use std::fs;
use std::path::Path;
use survivors::Survivors;

/// What `cargo xtask mutants` can be told.
#[derive(clap::Args)]
pub struct Args {
    /// Only files with this in their path below `crates/trust/src`, such as `clear`, `policy` or `sshsig/`.
    files: Option<String>,
    /// Only one part of many, `0/8` to `7/8`: all of them take hours.
    #[arg(long)]
    shard: Option<String>,
}

/// With fewer, the tests are not what the rule needs, whatever the reasons are.
const FEWEST_NOTICED_PERCENT: usize = 95;

/// Runs them; fails for one that no test noticed and nobody explained, and for too many that were explained.
pub fn run(root: &Path, args: &Args) -> anyhow::Result<()> {
    let files = scope::files(root, args.files.as_deref().unwrap_or_default())?;
    let explained = Survivors::read(&root.join("crates/trust/mutants.md"))?;
    let outcomes = root.join("target/mutants.out/outcomes.json");
    // Else those of an earlier run would be read where this one writes none.
    let _absent = fs::remove_file(&outcomes);
    println!("changing {}: a line for each change that compiles, a table at the end", files.join(", "));
    tool::run(root, &files, args.shard.as_deref())?;
    let outcomes = fs::read_to_string(&outcomes).with_context(|| format!("{}", outcomes.display()))?;
    let outcomes = Outcomes::read(&outcomes)?;
    print!("{outcomes}");
    explained.allow(&outcomes, args.shard.is_none())?;
    match outcomes.noticed_percent() {
        None => bail!("nothing that was changed compiled, so no test was tried"),
        // Of a part, which may be three changes, a share says nothing.
        Some(percent) if args.shard.is_none() && percent < FEWEST_NOTICED_PERCENT => {
            bail!("{percent} % were noticed: fewer than {FEWEST_NOTICED_PERCENT} %")
        }
        Some(_) => Ok(()),
    }
}
