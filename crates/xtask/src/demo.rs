//! `cargo xtask demo`: a fleet on this machine, a server in the wrong hands, and what the devices say.

mod receipts;
mod stage;
mod story;

use crate::install;
use crate::shell::{cargo, run as shell_run, step};
use anyhow::bail;
use stage::Stage;
use std::path::Path;
use std::time::Instant;

/// What `cargo xtask demo` can be told.
#[derive(clap::Args)]
pub struct Args {
    /// Play the story once and leave, instead of staying up to be looked at.
    #[arg(long)]
    once: bool,
}

/// Builds the programs and plays the story.
pub fn run(root: &Path, args: &Args) -> anyhow::Result<()> {
    step("install", || install::run(root))?;
    step("build the programs", || {
        shell_run(cargo(root).args(["build", "--locked", "--workspace", "--bins"]))
    })?;
    let start = Instant::now();
    let mut stage = Stage::new(root)?;
    let cast = story::curtain(&mut stage)?;
    cast.begin(&mut stage)?;
    cast.enroll(&mut stage)?;
    cast.run(&stage)?;
    cast.theft(&mut stage)?;
    cast.halt(&mut stage)?;
    cast.audit(&stage, root)?;
    println!("\nThe story took {:.0} s.", start.elapsed().as_secs_f64());
    if args.once {
        return Ok(());
    }
    cast.stay();
    stay_up(&mut stage)
}

/// Until Ctrl-C, which ends this program and so all it started; or until one of them ends by itself.
fn stay_up(stage: &mut Stage) -> anyhow::Result<()> {
    loop {
        std::thread::park_timeout(std::time::Duration::from_secs(1));
        let ended = stage.ended();
        if !ended.is_empty() {
            bail!("{} ended; see {}/logs", ended.join(", "), stage.folder.display());
        }
    }
}
