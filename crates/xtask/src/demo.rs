//! `cargo xtask demo`: a fleet on this machine, a server in the wrong hands, and what the devices say.

use crate::shell::{cargo, run as shell_run, step};
use anyhow::bail;
use std::path::Path;

/// What `cargo xtask demo` can be told.
#[derive(clap::Args)]
pub struct Args {
    /// Play the story once and leave, instead of staying up to be looked at.
    #[arg(long)]
    once: bool,
}

/// The programs the story needs: folder under `crates/`, and who it is in the story.
const PARTS: [(&str, &str); 5] = [
    ("agent", "the device that refuses"),
    ("server", "the mailman, later in the wrong hands"),
    ("cli", "the operators who sign, approve and halt"),
    ("beacon", "the one who says that nobody has said stop"),
    ("witness", "the one who has seen the log"),
];

/// Builds what exists, and says honestly what the story still lacks.
pub fn run(root: &Path, args: &Args) -> anyhow::Result<()> {
    let (here, missing): (Vec<_>, Vec<_>) = PARTS.iter().partition(|(folder, _)| exists(root, folder));
    for (folder, _) in here {
        let package = format!("countersign-{folder}");
        step(&format!("build {package}"), || {
            shell_run(cargo(root).args(["build", "--locked", "-p", &package]))
        })?;
    }
    println!();
    for (folder, role) in &missing {
        println!("not here yet: crates/{folder}, {role}");
    }
    println!("not here yet: the story itself");
    let wish = if args.once { "play it once" } else { "play it and stay up" };
    bail!("the demo cannot {wish}: {} of {} programs are missing, and the story", missing.len(), PARTS.len());
}

fn exists(root: &Path, folder: &str) -> bool {
    root.join("crates").join(folder).join("src/main.rs").is_file()
}
