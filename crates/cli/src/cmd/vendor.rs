//! `countersign vendor`: for whoever makes Countersign. A halt of a component, and the feed by which it reaches every server and beacon
//! that follows it. Needs no organization and no server.

mod folder;
mod followers;
mod halt;
mod publish;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::json;

use crate::context::Context;
use crate::output::Stop;
use crate::signer::{Signer, public_key};

/// The vendor's own road: stop a component below a version, everywhere at once.
#[derive(Debug, Subcommand)]
pub enum VendorCommand {
    /// The vendor's key, as policies list it, and how customers take it in.
    #[command(after_long_help = "\
Examples:
  countersign vendor key --create vendor            # draws a key: vendor, vendor.pub
  countersign vendor key --key vendor.pub")]
    Key {
        /// Draw a key with ssh-keygen first, which asks for a passphrase: the private half goes into this file.
        #[arg(long, value_name = "FILE")]
        create: Option<PathBuf>,
    },
    Halt(halt::HaltArgs),
    Publish(publish::PublishArgs),
    Followers(followers::FollowersArgs),
}

/// Runs it.
pub fn run(context: &Context, command: VendorCommand) -> anyhow::Result<ExitCode> {
    match command {
        VendorCommand::Key { create } => key(context, create)?,
        VendorCommand::Halt(args) => halt::run(context, args)?,
        VendorCommand::Publish(args) => publish::run(context, &args)?,
        VendorCommand::Followers(args) => followers::run(context, &args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The key with which the vendor signs. It is no person's, so no profile says it.
fn signer(context: &Context) -> anyhow::Result<Signer> {
    let wish = context.key.as_deref();
    let wish = wish.ok_or_else(|| Stop::Usage("say which key is the vendor's: --key FILE".to_owned()))?;
    context.signer_of(wish)
}

fn key(context: &Context, create: Option<PathBuf>) -> anyhow::Result<()> {
    let key = match create {
        None => signer(context)?.public_key().clone(),
        Some(file) => {
            if file.exists() {
                let what = format!("{} is there already, and a key is never replaced", file.display());
                return Err(Stop::Refused(what).into());
            }
            let status = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-C", "countersign-vendor", "-f"])
                .arg(&file)
                .status()
                .context("`ssh-keygen` cannot be started; install OpenSSH")?;
            if !status.success() {
                bail!("ssh-keygen ended with {status}");
            }
            public_key(&file.display().to_string())?
        }
    };
    context.ui.note(&format!(
        "With this key a halt of a component can be called in every organization whose policy lists it, and nothing else can be done: \
         it starts nothing. Whoever steals it can stop all of them. Keep it offline, or in a security key.\n\
         Customers take it in by their policy quorum:\n  \
         countersign policy propose --vendor-key '{key}' --vendor-halts auto\n\
         and their servers and beacons follow the feed by a line in their own configuration:\n  \
         [vendor]\n  keys = [\"{key}\"]\n  feeds = [\"https://YOUR.HOST/feed\"]"
    ));
    context.ui.answer(&json!({"key": key.to_string(), "fingerprint": key.fingerprint()}), || key.to_string());
    Ok(())
}
