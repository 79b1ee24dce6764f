//! `cargo xtask drill NAME`: one attack of the catalogue, played and told line by line.

use crate::shell::{cargo, run as shell_run};
use anyhow::bail;
use std::path::Path;

/// What `cargo xtask drill` can be told.
#[derive(clap::Args)]
pub struct Args {
    /// Which attack; `--list` names them.
    name: Option<String>,
    /// Every attack with how it is rehearsed and what it shows.
    #[arg(long)]
    list: bool,
}

/// Starts the program of the drills, which holds the catalogue.
pub fn run(root: &Path, args: &Args) -> anyhow::Result<()> {
    let told = match (&args.name, args.list) {
        (None, true) => "--list",
        (Some(name), false) => name,
        _ => bail!("name one attack, or say --list"),
    };
    let program =
        ["run", "--quiet", "--locked", "--package=countersign-drills", "--bin=countersign-drill", "--", told];
    shell_run(cargo(root).args(program))
}
