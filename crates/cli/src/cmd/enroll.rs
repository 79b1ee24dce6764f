//! `countersign enroll`: take devices in.

use std::collections::BTreeMap;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use countersign_trust::ids::{Name, StatementId};
use countersign_trust::note::{KeyKind, NoteSigner};
use countersign_trust::statement::enroll::{Batch, Enroll, What};
use countersign_trust::statement::{self, Kind};
use countersign_wire::token::{TOKEN_KEY_NAME, Token};
use serde_json::json;

use crate::args::{duration, label, name};
use crate::context::{Context, random};
use crate::output::{Stop, plain, short, span, table, time};
use crate::resemble;

/// Take devices in.
#[derive(Debug, Subcommand)]
pub enum EnrollCommand {
    /// Make a token with which devices join. Whoever holds it can join devices until it is used up: treat it as a secret.
    Token(TokenArgs),
    /// Batches and how much of them is used.
    List,
}

/// What the devices will carry.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  countersign enroll token --site lund --label kind=register --count 12 --until 2h > token
  countersign-agent enroll --token-file token      # on each of them
  countersign enroll token --site lund | ssh register-7 countersign-agent enroll -")]
pub struct TokenArgs {
    /// Where they stand.
    #[arg(long, value_parser = name)]
    site: Name,
    /// A label they carry.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(Name, Name)>,
    /// How many may join.
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// For how long.
    #[arg(long, default_value = "1d", value_parser = duration)]
    until: u64,
}

/// Runs it.
pub fn run(context: &Context, command: EnrollCommand) -> anyhow::Result<()> {
    match command {
        EnrollCommand::Token(args) => token(context, args),
        EnrollCommand::List => list(context),
    }
}

fn token(context: &Context, args: TokenArgs) -> anyhow::Result<()> {
    let session = context.open()?;
    let labels: BTreeMap<Name, Name> = args.labels.iter().cloned().collect();
    if labels.keys().any(|key| key.as_str() == "site") {
        return Err(Stop::Usage("say the site with --site; no label is called `site`".to_owned()).into());
    }
    let known: Vec<&str> = session
        .checked
        .devices
        .enrolled
        .values()
        .flat_map(|device| device.labels.values())
        .map(Name::as_str)
        .collect();
    let used = std::iter::once(args.site.as_str()).chain(labels.values().map(Name::as_str));
    resemble::warnings("label", used, known).iter().for_each(|warning| context.ui.warn(warning));
    let seed: [u8; 32] = random()?;
    let one_time = NoteSigner::new(TOKEN_KEY_NAME, KeyKind::Ed25519, &seed)?;
    let (count, until) = (args.count, context.now.plus(args.until));
    let batch = Batch { token: one_time.verifier().clone(), site: args.site.clone(), labels, count, until };
    let enroll = Enroll { org: session.profile.org, id: StatementId(random()?), what: What::Batch(batch) };
    let question =
        format!("Sign: up to {count} devices may join at {} within {}?", args.site, span(args.until));
    if !context.ui.confirm(&question)? {
        return Err(Stop::Refused("nothing was signed".to_owned()).into());
    }
    let (text, hash) = statement::write(&enroll);
    let (_, view) =
        session.sign_and_post(&context.signer(&session.profile)?, Kind::Enroll, text, Vec::new())?;
    let servers = &session.checked.chain.policy().body.addresses.servers;
    let (server, pin) = servers.iter().next().context("the policy names no server for agents")?;
    let token = Token { org: session.profile.org, server: server.to_string(), pin: *pin, batch: hash, seed };
    let answer = json!({"token": token.to_string(), "enroll": hash.to_string(), "state": view.state, "missing": view.missing});
    context.ui.answer(&answer, || token.to_string());
    if !view.missing.is_empty() {
        context.ui.note(&format!(
            "The token works once others have signed: {}. They run: countersign approve {}",
            plain(&view.missing),
            short(&hash)
        ));
    }
    Ok(())
}

fn list(context: &Context) -> anyhow::Result<()> {
    let session = context.open()?;
    let batches = &session.checked.devices.batches;
    let json: Vec<_> = batches
        .iter()
        .map(|(hash, used)| {
            let labels: BTreeMap<String, String> = used.batch.labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
            json!({"enroll": hash.to_string(), "site": used.batch.site.to_string(), "labels": labels, "count": used.batch.count,
                "joined": used.joined.iter().map(ToString::to_string).collect::<Vec<_>>(), "until": used.batch.until.0})
        })
        .collect();
    context.ui.answer(&json!({"batches": json}), || {
        let row = |(hash, used): (&countersign_trust::ids::Sha256, &crate::checked::BatchUse)| {
            let labels: Vec<String> =
                used.batch.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let over = if used.batch.until <= context.now { " (over)" } else { "" };
            vec![
                short(hash),
                used.batch.site.to_string(),
                labels.join(" "),
                format!("{} of {}", used.joined.len(), used.batch.count),
                format!("{}{over}", time(used.batch.until.0)),
            ]
        };
        let rows: Vec<Vec<String>> = batches.iter().map(row).collect();
        table(&["BATCH", "SITE", "LABELS", "JOINED", "UNTIL"], &rows)
    });
    Ok(())
}
