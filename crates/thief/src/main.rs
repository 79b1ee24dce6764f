//! The thief: owns everything a server has, and tries to make machines run something.
//!
//! It gets a copy of the server's folder (database, log key, halt key, certificate) and the server's port. It may log
//! whatever it likes and ask the honest witnesses and beacons, which do for it what they would do for the server. It
//! has no key of a person. What comes of it is read from the receipts that the agents sign, which it writes down as they
//! come: it is not asked to judge itself.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use countersign_thief::Thief;

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
    let thief = Thief::prepare(args.loot, args.receipts, args.listen).await?;
    for (job, what) in thief.attempts() {
        println!("prepared {job}: {what}");
    }
    tokio::time::timeout(Duration::from_secs(args.seconds), thief.work()).await.ok();
    Ok(())
}
