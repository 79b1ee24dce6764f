//! `countersign login`: a profile of an organization that others have begun.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use countersign_trust::ids::{Name, OrgId, Sha256};
use serde_json::json;

use crate::args::name;
use crate::checked::Checked;
use crate::client::Client;
use crate::context::Context;
use crate::home::Profile;
use crate::output::{Stop, plain};
use crate::signer::{Signer, kept};

/// Join an organization that others have begun: save where it is and who you are.
///
/// Get the organization's id and the pin from a colleague, not from the server: they are what everything is checked against.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  countersign login --server https://rmm.example:8443 --pin 4f… --org org-91… --me bo --token bo.token \\
      --key ~/.ssh/id_ed25519.pub --profile stores")]
pub struct LoginArgs {
    /// The server.
    #[arg(long, value_name = "URL")]
    server: String,
    /// The hash of the key of the server's certificate.
    #[arg(long, value_name = "SHA256")]
    pin: Option<Sha256>,
    /// The organization's id.
    #[arg(long)]
    org: OrgId,
    /// Who you are in its policy.
    #[arg(long, value_parser = name)]
    me: Name,
    /// A file with the API token that a colleague made with `countersign token create`.
    #[arg(long, value_name = "FILE")]
    token: PathBuf,
}

/// Runs it.
pub fn run(context: &Context, args: LoginArgs) -> anyhow::Result<()> {
    let key = context
        .key
        .clone()
        .ok_or_else(|| Stop::Usage("--key is needed: the key with which you sign".to_owned()))?;
    let token = std::fs::read_to_string(&args.token)
        .with_context(|| format!("cannot read {}", args.token.display()))?;
    let pin = match args.pin {
        Some(pin) => Some(pin),
        None => first_seen(context, &args.server)?,
    };
    let title = context.profile.clone().unwrap_or_else(|| "default".to_owned());
    let profile =
        Profile::new(title, args.server, pin, args.org, args.me, kept(&key), token.trim().to_owned());
    let profile = context.home.place(profile)?;
    let checked = Checked::fetch(&profile, &profile.client()?)
        .context("no profile was kept, because this could not be verified")?;
    let profile = context.home.add(profile)?;
    checked.warn(&context.ui);
    let policy = &checked.chain.policy().body;
    match public_key_of_mine(
        context,
        &profile,
        policy.people.get(&profile.me).map(|person| person.keys.as_slice()),
    ) {
        Ok(()) => {}
        Err(what) => context.ui.warn(&what),
    }
    let answer = json!({"profile": profile.name, "org": profile.org.to_string(), "policy": policy.number, "devices": checked.devices.enrolled.len()});
    context.ui.answer(&answer, || {
        let devices = checked.devices.enrolled.len();
        format!(
            "Profile `{}`: `{}`, policy {}, {devices} devices, all verified.",
            plain(&profile.name),
            plain(policy.name.as_str()),
            policy.number
        )
    });
    Ok(())
}

fn first_seen(context: &Context, url: &str) -> anyhow::Result<Option<Sha256>> {
    let client = Client::new(url, None, None)?;
    client.get_text(countersign_wire::http::paths::ABOUT)?;
    let seen = client.seen_pin();
    if let Some(seen) = seen {
        context.ui.warn(&format!("the server's certificate has key {seen}, seen now for the first time; ask a colleague whether it is that"));
    }
    Ok(seen)
}

fn public_key_of_mine(
    context: &Context,
    profile: &Profile,
    listed: Option<&[countersign_trust::statement::policy::PersonKey]>,
) -> Result<(), String> {
    let listed = listed.ok_or_else(|| {
        format!("the policy names no {}; you can look, but your signature counts for nothing", profile.me)
    })?;
    let signer: Signer = context.signer(profile).map_err(|error| format!("{error:#}"))?;
    let known = listed.iter().any(|held| held.key == *signer.public_key());
    if known {
        Ok(())
    } else {
        Err(format!("the policy does not list {} for {}", signer.public_key().fingerprint(), profile.me))
    }
}
