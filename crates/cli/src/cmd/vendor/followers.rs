//! `countersign vendor followers`: who was reached, who has stopped, who is silent.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use countersign_trust::ids::Sha256;
use countersign_wire::http::{FollowerView, paths};
use serde_json::json;

use crate::client::Client;
use crate::context::Context;
use crate::output::{plain, table, time};

/// What the followers on your list report: reached, stopped, silent.
///
/// Followers report if their operators agree, counts only. Who never has, or not since, is shown as silent.
#[derive(Debug, Args)]
pub struct FollowersArgs {
    /// The server that serves your feed.
    #[arg(long, value_name = "URL")]
    server: String,
    /// The hash of the key of its certificate.
    #[arg(long, value_name = "SHA256")]
    pin: Option<Sha256>,
    /// A file with its setup token.
    #[arg(long, value_name = "FILE")]
    setup_token: PathBuf,
}

/// Runs it.
pub fn run(context: &Context, args: &FollowersArgs) -> anyhow::Result<()> {
    let token = std::fs::read_to_string(&args.setup_token)
        .with_context(|| format!("cannot read {}", args.setup_token.display()))?;
    let server = Client::new(&args.server, args.pin, Some(token.trim().to_owned()))?;
    let followers: Vec<FollowerView> = server.get(paths::FEED_FOLLOWERS)?;
    context.ui.answer(&json!({"followers": followers}), || {
        let rows: Vec<Vec<String>> = followers.iter().map(|follower| row(follower, context.now.0)).collect();
        table(
            &["FOLLOWER", "HEARD", "INDEX", "STOPPED", "ASKED", "OFF", "OTHERS", "DEVICES TOLD", "AWAY"],
            &rows,
        )
    });
    Ok(())
}

/// After so many seconds without a report a follower is called silent: they report each minute.
const SILENT_S: u64 = 180;

fn row(follower: &FollowerView, now: u64) -> Vec<String> {
    let name = plain(&follower.name);
    let Some(report) = &follower.report else {
        return [vec![name, "SILENT: never".to_owned()], vec![String::new(); 7]].concat();
    };
    let heard = match now.saturating_sub(follower.heard) {
        age if age > SILENT_S => format!("SILENT since {}", time(follower.heard)),
        _ => time(follower.heard),
    };
    let numbers = [
        report.sequence,
        report.stopped,
        report.asked,
        report.off,
        report.others,
        report.devices_told,
        report.devices_away,
    ];
    [vec![name, heard], numbers.map(|number| number.to_string()).to_vec()].concat()
}
