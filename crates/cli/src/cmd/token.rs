//! `countersign token`: tokens for the server's API. They let somebody look, and bring signed texts; they sign nothing.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use countersign_trust::ids::Sha256;
use countersign_wire::http::{NewToken, TokenView, paths};
use serde_json::json;

use crate::client::{Client, filled};
use crate::context::Context;
use crate::home::Profile;
use crate::output::{Stop, plain, short, table, time};

/// Tokens for the server's API.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token for a colleague or a program, and show it once.
    #[command(after_long_help = "Example:\n  countersign token create bo > bo.token")]
    Create {
        /// For whom or what.
        name: String,
    },
    /// List the tokens that there are: for whom, and since when.
    #[command(after_long_help = "Example:\n  countersign token list")]
    List,
    /// Take a token back: of somebody who has left, or that was stolen.
    ///
    /// Only who has the server's setup token takes back somebody else's; of those that have a token each takes back their own.
    #[command(after_long_help = "\
Examples:
  countersign token revoke 5d1c02 --setup-token setup-token
  countersign token revoke bo --setup-token setup-token")]
    Revoke {
        /// The name of a token, its hash, or the beginning of it.
        #[arg(value_name = "NAME|HASH")]
        which: String,
        /// A file with the server's setup token.
        #[arg(long, value_name = "FILE")]
        setup_token: Option<PathBuf>,
    },
}

/// Runs it.
pub fn run(context: &Context, command: TokenCommand) -> anyhow::Result<()> {
    let profile = context.profile()?;
    match command {
        TokenCommand::Create { name } => create(context, &profile, name),
        TokenCommand::List => list(context, &profile),
        TokenCommand::Revoke { which, setup_token } => revoke(context, &profile, &which, setup_token),
    }
}

fn create(context: &Context, profile: &Profile, name: String) -> anyhow::Result<()> {
    let path = filled(paths::TOKENS, &[("org", &profile.org.to_string())]);
    let made: NewToken = profile.client()?.post(&path, &NewToken { name, token: String::new() })?;
    let pin = profile.pin.map(|pin| format!(" --pin {pin}")).unwrap_or_default();
    context.ui.note(&format!(
        "For a colleague:\n  countersign login --server {}{pin} --org {} --me NAME --token FILE --key KEY",
        profile.server, profile.org
    ));
    context.ui.answer(&json!({"name": made.name, "token": made.token}), || made.token.clone());
    Ok(())
}

fn tokens(profile: &Profile) -> anyhow::Result<Vec<TokenView>> {
    Ok(profile.client()?.get(&filled(paths::TOKENS, &[("org", &profile.org.to_string())]))?)
}

fn list(context: &Context, profile: &Profile) -> anyhow::Result<()> {
    let tokens = tokens(profile)?;
    context.ui.answer(&json!({"tokens": tokens}), || {
        let row =
            |token: &TokenView| vec![plain(&short(&token.hash)), time(token.created), plain(&token.name)];
        table(&["HASH", "MADE", "FOR"], &tokens.iter().map(row).collect::<Vec<_>>())
    });
    Ok(())
}

fn revoke(
    context: &Context,
    profile: &Profile,
    which: &str,
    setup_token: Option<PathBuf>,
) -> anyhow::Result<()> {
    let tokens = tokens(profile)?;
    let named: Vec<&TokenView> =
        tokens.iter().filter(|token| token.name == which || token.hash.starts_with(which)).collect();
    let token = match named.as_slice() {
        [token] => *token,
        [] => return Err(Stop::Usage(format!("no token is named {which} or has such a hash")).into()),
        several => {
            return Err(
                Stop::Usage(format!("{} tokens are meant by {which}: give the hash", several.len())).into()
            );
        }
    };
    let client = match setup_token {
        None => profile.client()?,
        Some(file) => {
            let token =
                std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            Client::new(&profile.server, profile.pin, Some(token.trim().to_owned()))?
        }
    };
    // It goes into a path: the server's word is read before it is used.
    let hash: Sha256 = token.hash.parse().context("the server lists a token under what is no hash")?;
    client
        .delete(&filled(paths::TOKEN, &[("org", &profile.org.to_string()), ("hash", &hash.to_string())]))?;
    context.ui.answer(&json!({"hash": token.hash, "name": token.name}), || {
        format!("The token {} for {} is taken back.", plain(&short(&token.hash)), plain(&token.name))
    });
    Ok(())
}
