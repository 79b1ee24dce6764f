//! The command line of Countersign: author, sign, approve, halt, query, audit.

mod approval;
mod args;
mod checked;
mod client;
mod clones;
mod cmd;
mod context;
mod despite;
mod difference;
mod evidence;
mod home;
mod os;
mod output;
mod prose;
mod receipts;
mod resemble;
mod signer;
mod weakness;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;
use clap::Parser as _;
use countersign_trust::time::Time;

use crate::args::Cli;
use crate::client::ClientError;
use crate::context::Context;
use crate::home::{Home, default_home};
use crate::output::{Stop, Ui, plain_lines};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let color =
        !cli.no_color && variable("NO_COLOR").is_none() && variable("TERM").as_deref() != Some("dumb");
    let ui = Ui::new(cli.json, cli.yes, color);
    let made = context(&cli, ui.clone(), variable);
    match made.and_then(|context| cmd::run(&context, cli.command)) {
        Ok(code) => code,
        Err(error) => {
            ui.fail(&plain_lines(&format!("{error:#}")));
            ExitCode::from(code_of(&error))
        }
    }
}

fn context(cli: &Cli, ui: Ui, variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Context> {
    let folder = cli.home.clone().or_else(|| default_home(&variable));
    let folder = folder.context("no home folder: set COUNTERSIGN_HOME")?;
    let since_1970 =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(Context {
        ui,
        home: Home::at(folder),
        now: Time(since_1970.as_secs()),
        profile: cli.profile.clone(),
        key: cli.key.clone(),
        agent: variable("SSH_AUTH_SOCK").map(PathBuf::from),
        editor: variable("VISUAL").or_else(|| variable("EDITOR")),
    })
}

/// The exit code of an error, as `countersign --help` documents them.
fn code_of(error: &anyhow::Error) -> u8 {
    let stop = error.chain().find_map(|cause| cause.downcast_ref::<Stop>()).map(Stop::code);
    let call = error.chain().find_map(|cause| cause.downcast_ref::<ClientError>());
    let call = call.map(|error| match error {
        ClientError::Unreachable { .. } => 4,
        ClientError::Url(_) => 2,
        ClientError::Status { .. } => 3,
        ClientError::Answer { .. } => 1,
    });
    stop.or(call).unwrap_or(1)
}
