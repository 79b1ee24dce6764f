//! The server program.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::{Parser, Subcommand};
use countersign_server::config::Config;
use countersign_server::{api, start};
use tracing_subscriber::EnvFilter;

/// Carries what people signed, keeps the log, decides nothing.
#[derive(Debug, Parser)]
#[command(name = "countersign-server", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Run {
        /// The configuration file.
        #[arg(long, default_value = "/etc/countersign/server.toml", conflicts_with = "data")]
        config: PathBuf,
        /// Without a configuration file: the data folder. The database is SQLite in it.
        #[arg(long, value_name = "FOLDER")]
        data: Option<PathBuf>,
        /// Without a configuration file: where to listen, and where agents and people reach it.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443", requires = "data")]
        listen: SocketAddr,
    },
    /// Print the description of the HTTP interface (OpenAPI).
    Openapi,
}

fn main() -> ExitCode {
    match obey() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("countersign-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn obey() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Openapi => {
            print!("{}", api::description());
            Ok(())
        }
        Command::Run { config, data, listen } => {
            let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
            tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
            let config = match data {
                Some(data) => Config::at_home(data, listen),
                None => Config::read(&config)?,
            };
            tokio::runtime::Runtime::new().context("the runtime does not start")?.block_on(run(config))
        }
    }
}

async fn run(config: Config) -> anyhow::Result<()> {
    let data = config.data.clone();
    let running = start(config, now_ms).await?;
    tracing::info!(listen.address = %running.address, tls.pin = %running.app.tls_pin, data.folder = %data.display(), "serving");
    ended().await.context("signals cannot be waited for")?;
    tracing::info!("stopping");
    let stopped = tokio::time::timeout(Duration::from_secs(10), running.stop()).await;
    stopped.context("the database was not let go within 10 s")
}

async fn ended() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted,
    }
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
