//! `cargo xtask drill NAME`: one attack of the catalogue, played and told line by line.

use crate::shell::{cargo, run as shell_run};
use anyhow::bail;
use std::path::Path;

/// The drill that is a whole story, of any size.
const JULY: &str = "july-2";

/// What `cargo xtask drill` can be told.
#[derive(clap::Args)]
pub struct Args {
    /// Which attack; `--list` names them.
    name: Option<String>,
    /// Every attack with how it is rehearsed and what it shows.
    #[arg(long)]
    list: bool,
    /// How many bent deliveries the attack `thief` plays.
    #[arg(long, requires = "name")]
    count: Option<u64>,
    /// What the attack `thief` draws its places and values by.
    #[arg(long, requires = "name")]
    seed: Option<u64>,
    /// How many stores the drill `july-2` has.
    #[arg(long, requires = "name")]
    stores: Option<u64>,
    /// How many registers it has.
    #[arg(long, requires = "name")]
    registers: Option<u64>,
}

/// Starts the program of the drills, which holds the catalogue.
pub fn run(root: &Path, args: &Args) -> anyhow::Result<()> {
    if args.count.is_some() || args.seed.is_some() {
        return thief(root, args);
    }
    let told = match (&args.name, args.list) {
        (None, true) => "--list",
        (Some(name), false) => name,
        _ => bail!("name one attack, or say --list"),
    };
    let mut command = cargo(root);
    command.args(["run", "--quiet", "--locked", "--package=countersign-drills", "--bin=countersign-drill"]);
    // Six thousand registers, and times that are to say something.
    command.args((told == JULY).then_some("--release")).args(["--", told]);
    for (name, count) in [("--stores", args.stores), ("--registers", args.registers)] {
        match count {
            Some(_) if told != JULY => bail!("{name} is for the drill `{JULY}`"),
            Some(count) => command.args([name, &count.to_string()]),
            None => &mut command,
        };
    }
    shell_run(&mut command)
}

/// Plays the thief as often as one likes, every part of it a process.
fn thief(root: &Path, args: &Args) -> anyhow::Result<()> {
    if args.name.as_deref() != Some("thief") {
        bail!("--count and --seed are for the attack `thief`");
    }
    let (count, seed) = (args.count.unwrap_or(10_000).to_string(), args.seed.unwrap_or(1).to_string());
    let program =
        ["run", "--quiet", "--locked", "--package=countersign-drills", "--example=drill_thief", "--"];
    shell_run(cargo(root).args(program).args(["--count", &count, "--seed", &seed]))
}
