//! `countersign token`: tokens for the server's API. They let somebody look, and bring signed texts; they sign nothing.

use clap::Subcommand;
use countersign_wire::http::{NewToken, paths};
use serde_json::json;

use crate::client::filled;
use crate::context::Context;

/// Tokens for the server's API.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token for a colleague or a program, and show it once.
    #[command(after_long_help = "Example:\n  countersign token create bo > bo.token")]
    Create {
        /// For whom or what.
        name: String,
    },
}

/// Runs it.
pub fn run(context: &Context, command: TokenCommand) -> anyhow::Result<()> {
    let TokenCommand::Create { name } = command;
    let profile = context.profile()?;
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
