//! The program that fills a server with machines.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use countersign_swarm::swarm::{Conduct, Plan, Swarm};
use countersign_swarm::{cast, place};
use countersign_wire::token::Token;
use tokio::time::sleep;

/// Fills a server with machines that are none: for load tests, and to see a console with a fleet in it.
///
/// The machines' device keys are made from the seed, so anybody can speak for them: never let a swarm join an organization that
/// matters.
#[derive(Debug, Parser)]
#[command(name = "countersign-swarm", version)]
struct Arguments {
    #[command(subcommand)]
    command: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Join machines by enrollment tokens and keep them connected, until it is ended.
    Join(JoinArgs),
    /// Print the commands that make the tokens for so many machines in so many sites.
    Sites(SitesArgs),
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  countersign enroll token --site lund-01 --label kind=till --count 500 > tokens
  countersign-swarm join --token-file tokens --devices 500

Started again with the same seed and tokens, the same machines come back, but what they ran before is forgotten.")]
struct JoinArgs {
    /// A file with enrollment tokens, one a line; machines take them in turns. `-` reads them from standard input.
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// How many machines.
    #[arg(long)]
    devices: NonZeroU64,
    /// From which machines are drawn: the same seed gives the same machines.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The number of the first machine.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// How long a step takes at most, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 2_000)]
    takes: u64,
    /// What a step prints; if it is not said, each machine prints what it runs on.
    #[arg(long, value_name = "TEXT")]
    says: Option<String>,
    /// Ask beacons directly when a device wants it: a TLS connection to each beacon, each time.
    #[arg(long)]
    ask_beacons: bool,
    /// How many machines may be connecting or joining at a time.
    #[arg(long, value_name = "COUNT", default_value_t = 512)]
    at_a_time: usize,
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  countersign-swarm sites --sites 40 --devices 1000 | sh > tokens
  countersign-swarm join --token-file tokens --devices 1000")]
struct SitesArgs {
    /// How many sites, each with a token of its own.
    #[arg(long)]
    sites: NonZeroU64,
    /// How many machines in all of them together.
    #[arg(long)]
    devices: NonZeroU64,
    /// From which sites are drawn.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let obeyed = match Arguments::parse().command {
        Order::Join(args) => join(args),
        Order::Sites(args) => {
            sites(&args);
            Ok(())
        }
    };
    match obeyed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("countersign-swarm: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn sites(args: &SitesArgs) {
    let count = args.devices.get().div_ceil(args.sites.get());
    for number in 0..args.sites.get() {
        let cast::Site { name, kind, size } = cast::site(args.seed, number);
        println!(
            "countersign enroll token --site {name} --label kind={kind} --label size={size} --count {count} --yes"
        );
    }
}

fn join(args: JoinArgs) -> anyhow::Result<()> {
    let tokens = read_tokens(&args)?;
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let room = place::room(&limits).unwrap_or(args.devices.get()).max(1);
    let mine = args.devices.get().min(room);
    let others = Others::start(&args, mine, room)?;
    let conduct = Conduct {
        takes: Duration::from_millis(args.takes),
        says: args.says,
        asks_beacons: args.ask_beacons,
        ..Conduct::default()
    };
    let (seed, first, at_a_time) = (args.seed, args.first, args.at_a_time.max(1));
    let plan = Plan { tokens, seed, first, conduct, at_a_time };
    let runtime = tokio::runtime::Runtime::new().context("the runtime does not start")?;
    let ended = runtime.block_on(async {
        let mut swarm = Swarm::new(plan)?;
        swarm.grow(mine);
        tokio::select! {
            failed = tell(&swarm, first) => failed,
            interrupted = tokio::signal::ctrl_c() => interrupted.context("signals cannot be waited for"),
        }
    });
    drop(others);
    ended
}

fn read_tokens(args: &JoinArgs) -> anyhow::Result<Vec<Token>> {
    let path = &args.token_file;
    let text = if path.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin()).context("standard input cannot be read")?
    } else {
        std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?
    };
    let mut tokens = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let token: Token = line.parse().with_context(|| format!("{}, line {number}", path.display()))?;
        tokens.push(token);
    }
    if tokens.is_empty() {
        bail!("{} holds no enrollment token; make one with `countersign enroll token`", path.display());
    }
    Ok(tokens)
}

/// Further processes, for machines that this one has no descriptors for. They end with it.
struct Others(Vec<Child>);

impl Others {
    fn start(args: &JoinArgs, mine: u64, room: u64) -> anyhow::Result<Self> {
        let (mut others, mut done) = (Self(Vec::new()), mine);
        while done < args.devices.get() {
            if args.token_file.as_os_str() == "-" {
                bail!(
                    "more than {room} machines need further processes, which cannot share standard input: write the tokens into a file"
                );
            }
            let count = room.min(args.devices.get() - done);
            let program = std::env::current_exe().context("this program cannot be found")?;
            let mut command = Command::new(program);
            command.arg("join").arg("--token-file").arg(&args.token_file).stdin(Stdio::null());
            let first = args.first.saturating_add(done);
            let numbers = [
                ("--devices", count),
                ("--seed", args.seed),
                ("--first", first),
                ("--takes", args.takes),
                ("--at-a-time", u64::try_from(args.at_a_time).unwrap_or(u64::MAX)),
            ];
            for (name, number) in numbers {
                command.arg(name).arg(number.to_string());
            }
            if let Some(says) = &args.says {
                command.arg("--says").arg(says);
            }
            if args.ask_beacons {
                command.arg("--ask-beacons");
            }
            others.0.push(command.spawn().context("a further process does not start")?);
            done += count;
        }
        Ok(others)
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Tells how it goes, each time that something has changed; an error once nothing comes about at all.
async fn tell(swarm: &Swarm, first: u64) -> anyhow::Result<()> {
    let mut told = String::new();
    loop {
        let counts = swarm.counts();
        let [joined, connected, ran, receipts, failed] =
            [&counts.joined, &counts.connected, &counts.ran, &counts.receipts, &counts.failed]
                .map(|count| count.load(Relaxed));
        let line = format!(
            "machines {first} to {}: {connected} connected, {joined} joined, {ran} steps run, {receipts} receipts sent, {failed} connections failed",
            first + u64::try_from(swarm.size()).unwrap_or(0)
        );
        if line != told {
            eprintln!("{line}");
            told = line;
        }
        if let Some(why) = swarm.take_failure() {
            eprintln!("a connection failed: {why}");
            if joined == 0 && failed >= u64::try_from(swarm.size().min(10)).unwrap_or(1) {
                bail!("no machine could join: {why}");
            }
        }
        sleep(Duration::from_secs(1)).await;
    }
}
