//! The thief: owns everything a server has, and tries to make machines run something.
//!
//! It gets a copy of the server's folder (database, log key, halt key, certificate) and the server's port. It may log
//! whatever it likes and ask the honest witnesses and beacons, which do for it what they would do for the server. It
//! has no key of a person. What comes of it is read from the receipts that the agents sign, which it writes down as they
//! come: it is not asked to judge itself.

mod attempts;
mod forge;
mod https;
mod loot;
mod serve;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;

/// Owns a stolen server and tries to make machines run something.
#[derive(Parser)]
struct Args {
    /// The stolen folder of the server.
    #[arg(long)]
    loot: PathBuf,
    /// The server's address, now free.
    #[arg(long)]
    listen: SocketAddr,
    /// Where to write the receipts that agents send: a note each, in files of their own.
    #[arg(long)]
    receipts: PathBuf,
    /// For how many seconds to try.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    std::fs::create_dir_all(&args.receipts).context("cannot make the folder for receipts")?;
    let loot = loot::Loot::take(&args.loot).await?;
    let attempts = attempts::prepare(&loot).await?;
    for attempt in &attempts {
        println!("prepared {}: {}", attempt.logged.signed.hash(), attempt.what);
    }
    let listener = tokio::net::TcpListener::bind(args.listen).await.context("the server's port is taken")?;
    let trade = serve::Trade { loot, attempts, receipts: args.receipts };
    tokio::time::timeout(Duration::from_secs(args.seconds), serve::serve(listener, trade)).await.ok();
    Ok(())
}
