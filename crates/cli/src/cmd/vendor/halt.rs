//! `countersign vendor halt`: a halt that names no organization, only a component below a version.

use std::path::PathBuf;

use clap::Args;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::{Name, StatementId};
use countersign_trust::statement::halt::{Component, Halt, Scope};
use countersign_trust::statement::{self, Kind};
use serde_json::json;

use super::folder::Folder;
use super::signer;
use crate::args::name;
use crate::context::{Context, random};
use crate::output::Stop;

/// Which programs look for halts of themselves, and what one does.
const KNOWN: [(&str, &str); 2] = [
    (
        "countersign-agent",
        "agents below it start no job and kill what runs, unless the job and the policy let it finish",
    ),
    ("countersign-server", "servers below it bring no job to any device of such an organization"),
];

/// Sign a halt of a component below a version. Nothing happens until it is published.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  countersign vendor halt feed --key vendor.pub --component countersign-agent --below 1.2.3
      --reason 'anybody on the network can run code as the agent' --advisory CS-2026-01
  countersign vendor publish feed --key vendor.pub")]
pub struct HaltArgs {
    /// The folder of the feed.
    folder: PathBuf,
    /// What stops: countersign-agent or countersign-server.
    #[arg(long, value_parser = name, value_name = "NAME")]
    component: Name,
    /// The first version that does not stop, such as 1.2.3.
    #[arg(long, value_parser = name, value_name = "VERSION")]
    below: Name,
    /// Why, for those whose machines stop.
    #[arg(long)]
    reason: String,
    /// The advisory that says more, by its name.
    #[arg(long, default_value = "")]
    advisory: String,
}

/// Runs it.
pub fn run(context: &Context, args: HaltArgs) -> anyhow::Result<()> {
    let signer = signer(context)?;
    let folder = Folder::open(&args.folder)?;
    let wrong = |what: &str, error: &dyn std::fmt::Display| Stop::Usage(format!("--{what}: {error}"));
    preview(context, &args.component, &args.below);
    let halt = Halt {
        org: None,
        id: StatementId(random()?),
        policy: None,
        scope: Scope::Component(Component { name: args.component, below: args.below }),
        made: context.now,
        reason: args.reason.parse().map_err(|error| wrong("reason", &error))?,
        advisory: args.advisory.parse().map_err(|error| wrong("advisory", &error))?,
    };
    if !context.ui.confirm("Sign this halt?")? {
        return Err(Stop::Refused("nothing was signed".to_owned()).into());
    }
    let text = statement::write(&halt).0;
    let signed = Signed::new(text.clone(), [signer.sign(Kind::Halt, &text)?])?;
    let path = folder.put_halt(&signed)?;
    let (hash, file) = (signed.hash().to_string(), path.display().to_string());
    context.ui.answer(&json!({"halt": hash, "file": file}), || {
        format!(
            "Signed: {file}\nNothing has stopped yet. Publish it:\n  countersign vendor publish {} --key {}",
            args.folder.display(),
            context.key.as_deref().unwrap_or("KEY")
        )
    });
    Ok(())
}

fn preview(context: &Context, component: &Name, below: &Name) {
    let known = KNOWN.iter().find(|(known, _)| component.as_str() == *known);
    match known {
        Some((_, what)) => context.ui.note(&format!(
            "This stops {component} below {below} wherever a policy lists the key and has the vendor's halts on `auto`: {what}. Where it says \
             `ask` people are asked, where it says `off` nothing happens. Monitoring and receipts go on.\n\
             It cannot be taken back: each organization starts again by its own resume quorum, or by a newer version."
        )),
        None => context.ui.warn(&format!(
            "no program looks for a halt of `{component}`: it stops nothing. Programs that do: {}",
            KNOWN.map(|(name, _)| name).join(", ")
        )),
    }
    let numbers = below.as_str().split('.').all(|part| part.parse::<u64>().is_ok());
    if !numbers {
        context
            .ui
            .warn(&format!("`{below}` is no version of numbers and dots: every version counts as below it"));
    }
}
