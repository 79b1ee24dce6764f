//! `countersign-witness`: reads its configuration, then answers until it is told to stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use countersign_trust::time::Time;
use countersign_witness::clock::confirm;
use countersign_witness::config::{Config, init};
use countersign_witness::disk::Folder;
use countersign_witness::serve::start;
use tokio::signal::unix::{SignalKind, signal};

/// Cosigns the logs of organizations that ask for it, so that they cannot show two faces.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Draws a key, writes it and the configuration file, and prints the key for the policy.
    Init {
        /// The name of the key: best the host name under which this witness is reached.
        #[arg(long)]
        name: String,
        /// The folder for the key, policies and checkpoints.
        #[arg(long, default_value = "/var/lib/countersign-witness")]
        data: PathBuf,
        /// Address and port for HTTPS.
        #[arg(long, default_value = "0.0.0.0:7452")]
        listen: SocketAddr,
    },
    /// Answers until SIGTERM or ctrl-c.
    Run,
    /// Takes your word for this machine's clock. Only while the witness is stopped.
    Clock {
        #[command(subcommand)]
        what: ClockCommand,
    },
}

#[derive(Subcommand)]
enum ClockCommand {
    /// This machine's clock is right, whatever was cosigned at before: from here on it counts.
    ///
    /// Look at the clock first. A time that is wrong and believed stops machines until it has come.
    Confirm,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match args.command {
        Command::Init { name, data, listen } => {
            let config = init(&args.config, &data, &name, listen)?;
            println!("{}", config.signer()?.verifier());
            Ok(())
        }
        Command::Run => run(&Config::read(&args.config)?),
        Command::Clock { what: ClockCommand::Confirm } => confirm_clock(&Config::read(&args.config)?),
    }
}

fn confirm_clock(config: &Config) -> anyhow::Result<()> {
    let now = now();
    match confirm(&Folder::open(&config.data, &[])?, now)? {
        Some(before) => {
            println!("cosigned at {before} before; this clock shows {now}, which counts from here on")
        }
        None => println!("this clock shows {now}, which counts from here on"),
    }
    Ok(())
}

#[tokio::main]
async fn run(config: &Config) -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let running = start(config, now).await?;
    println!("listening on {}", running.address);
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot listen for ctrl-c")?,
    }
    running.stop().await.context("could not stop in order")
}

/// A clock that stands before 1970 counts as 1970.
fn now() -> Time {
    Time(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_of_the_operating_pages_can_be_typed() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operating");
        let mut tried = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            for said in
                text.split('`').map(str::trim).filter(|said| said.contains("countersign-witness --config"))
            {
                let (_, said) = said.split_once("countersign-witness ").unwrap();
                let typed = Args::try_parse_from(
                    std::iter::once("countersign-witness").chain(said.split_whitespace()),
                );
                assert!(typed.is_ok(), "{said}: {}", typed.err().unwrap());
                tried += 1;
            }
        }
        assert!(tried > 0);
    }
}
