//! The program on each machine. Reads its configuration, then does one of a few things.

mod by_hand;
mod status;

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use countersign_agent::config::Config;
use countersign_agent::disk::{self, Folder, MOST_IN_A_LETTER};
use countersign_agent::enroll::{self, device_signer};
use countersign_agent::evidence;
use countersign_trust::delivery::read_sequence;
use countersign_trust::ids::OrgId;
use countersign_trust::join::Enrolled;
use countersign_wire::token::Token;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The program on each machine: runs what its organization has signed, refuses the rest, and says so.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The configuration file, if it is not /etc/countersign/agent.toml.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The folder of key and ledger, instead of the one in the configuration.
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Works until SIGTERM or ctrl-c.
    Run,
    /// Makes this machine a device of an organization.
    Enroll {
        /// `-`: the token, one line that begins with `cst1_`, is read from standard input.
        ///
        /// It is a secret, and what stands in a command line every user of this machine can read: so not here.
        #[arg(value_name = "-", value_parser = from_input, required_unless_present_any = ["token_file", "from"])]
        input: Option<()>,
        /// Reads the token from a file.
        #[arg(long, value_name = "FILE", conflicts_with = "input")]
        token_file: Option<PathBuf>,
        /// Without a token: the genesis policy, what was decided since, and the enrollment of this machine's key.
        #[arg(long, value_name = "FILE", requires = "org", conflicts_with_all = ["input", "token_file"])]
        from: Option<PathBuf>,
        /// The organization that the file must be of.
        #[arg(long, requires = "from")]
        org: Option<OrgId>,
    },
    /// Prints the device's key and id, drawing the key if there is none yet: for an operator who enrolls it.
    Key,
    /// Says what this machine holds, and every halt that stops something here. Asks nobody.
    Status,
    /// Writes what this machine was brought and what it answered into a folder, such as one on a USB stick.
    ///
    /// `audit.py bundle` judges each job in it again; `countersign evidence rebuild` puts it together with what others hold. The agent
    /// may go on working meanwhile.
    Evidence {
        /// The folder; it is made.
        folder: PathBuf,
    },
    /// Takes halts from a file, such as one on a USB stick. Also policies and resumes.
    ///
    /// `countersign halt --file` writes one. The agent need not run. What holds is taken, also if something else in the file does not.
    Halt {
        /// The file.
        file: PathBuf,
    },
}

/// A token has some 200 bytes; a longer line is none.
const MOST_IN_A_TOKEN: u64 = 4096;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let config = Config::read(args.config.as_deref(), args.data)?;
    match args.command {
        Command::Run => run(&config),
        Command::Enroll { input: Some(()), .. } => enroll_by(&config, &token(std::io::stdin().lock())?),
        Command::Enroll { token_file: Some(file), .. } => {
            let opened = File::open(&file).with_context(|| format!("cannot open {}", file.display()))?;
            enroll_by(&config, &token(BufReader::new(opened)).with_context(|| file.display().to_string())?)
        }
        Command::Enroll { from: Some(file), org: Some(org), .. } => enroll_from(&config, org, &file),
        Command::Enroll { .. } => bail!(
            "give `-` and the token on standard input, --token-file FILE, or --from FILE with --org ORG"
        ),
        Command::Key => key(&config.data),
        Command::Status => {
            print!("{}", status::Status::read(&config.data)?);
            Ok(())
        }
        Command::Evidence { folder } => {
            println!("{}", evidence::write(&config.data, &folder)?);
            Ok(())
        }
        Command::Halt { file } => by_hand::take(&config.data, &file),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log).context("`log` in the configuration")?;
    let (log, colours) = (tracing_subscriber::fmt().with_env_filter(filter), std::io::stderr().is_terminal());
    log.with_writer(std::io::stderr).with_ansi(colours).init();
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for ctrl-c")?;
    let shutdown = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    countersign_agent::run(config, shutdown).await.context("the agent stopped")
}

/// Only `-`: whoever types a token learns at once not to.
fn from_input(word: &str) -> Result<(), String> {
    match word {
        "-" => Ok(()),
        _ => Err("a token in a command line can be read by every user of this machine: \
                  give `-` and the token on standard input, or --token-file FILE"
            .to_owned()),
    }
}

/// The token in the first line.
fn token(from: impl BufRead) -> anyhow::Result<Token> {
    let mut line = String::new();
    from.take(MOST_IN_A_TOKEN).read_line(&mut line).context("cannot read the token")?;
    Ok(line.parse()?)
}

#[tokio::main(flavor = "current_thread")]
async fn enroll_by(config: &Config, token: &Token) -> anyhow::Result<()> {
    let enrolled = match enroll::enrolled_already(&config.data, token.org)? {
        Some(enrolled) => enrolled,
        None => {
            let folder = Folder::open(&config.data)?;
            enroll::enroll(&folder, token).await.context("this machine was not enrolled")?
        }
    };
    welcome(&enrolled);
    Ok(())
}

fn enroll_from(config: &Config, org: OrgId, file: &Path) -> anyhow::Result<()> {
    let folder = Folder::open(&config.data)?;
    let text = read(file)?;
    let envelopes =
        read_sequence(&text).with_context(|| format!("{} is no sequence of envelopes", file.display()))?;
    welcome(&enroll::enroll_offline(&folder, org, &envelopes).context("this machine was not enrolled")?);
    Ok(())
}

fn welcome(enrolled: &Enrolled) {
    println!("{}", enrolled.device);
    for (key, value) in &enrolled.labels {
        println!("{key}: {value}");
    }
}

fn key(data: &Path) -> anyhow::Result<()> {
    let seed = match disk::read_seed(data)? {
        Some(seed) => seed,
        None => Folder::open(data)?.seed()?,
    };
    let signer = device_signer(&seed)?;
    println!("{}\n{}", signer.verifier(), signer.verifier().name());
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let opened = File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
    let read = opened.take(MOST_IN_A_LETTER).read_to_string(&mut text);
    read.with_context(|| format!("cannot read {}", file.display()))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use countersign_trust::ids::Sha256;

    use super::*;

    #[test]
    fn every_command_of_the_operating_pages_can_be_typed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operating");
        let mut tried = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let quoted = text.split('`').map(str::trim);
            for said in text
                .lines()
                .map(str::trim)
                .chain(quoted)
                .filter(|said| said.starts_with("countersign-agent "))
            {
                let typed = Args::try_parse_from(said.lines().next().unwrap().split_whitespace());
                assert!(typed.is_ok(), "{said}: {}", typed.err().unwrap());
                tried += 1;
            }
        }
        assert!(tried >= 3, "{tried} commands");
    }

    fn enroll(words: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from([&["countersign-agent", "enroll"], words].concat())
    }

    #[test]
    fn a_token_is_taken_from_standard_input_or_a_file_and_never_from_the_command_line() {
        for words in [&["-"][..], &["--token-file", "token"]] {
            assert!(enroll(words).is_ok(), "{words:?}");
        }
        for words in [&[][..], &["cst1_AAAA"], &["-", "--token-file", "token"], &["-", "--from", "file"]] {
            assert!(enroll(words).is_err(), "{words:?}");
        }
        let refused = enroll(&["cst1_AAAA"]).err().unwrap().to_string();
        assert!(refused.contains("can be read by every user of this machine"), "{refused}");
    }

    #[test]
    fn the_first_line_is_the_token() {
        let (org, batch) = (OrgId([1; 32]), Sha256([2; 32]));
        let made = Token { org, server: "127.0.0.1:1".to_owned(), pin: None, batch, seed: [4; 32] };
        assert_eq!(token(format!("{made}\r\nmore\n").as_bytes()).unwrap(), made);
        assert_eq!(token(made.to_string().as_bytes()).unwrap(), made);
        assert!(token(&b""[..]).unwrap_err().to_string().contains("begins with `cst1_`"));
        assert!(token(&b"\xff\n"[..]).unwrap_err().to_string().contains("cannot read the token"));
    }
}
