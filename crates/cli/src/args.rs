//! What can be typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use countersign_trust::ids::Name;
use countersign_trust::statement::job::{ALL, Wave, Who};
use countersign_trust::statement::policy::{Canary, Then, Tripwire, Watched};
use countersign_trust::text::Nothing;

use crate::cmd;

/// Operate a fleet that obeys people, not its server.
///
/// Everything this program calls verified it has checked itself: signatures, the witnessed log, enrollments, receipts. What it
/// only heard it calls what the server says.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, propagate_version = true, max_term_width = 100, after_long_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Which organization, by the name of its profile; not needed while there is only one.
    #[arg(
        long,
        short = 'p',
        global = true,
        help_heading = "Global options",
        env = "COUNTERSIGN_PROFILE",
        value_name = "NAME"
    )]
    pub profile: Option<String>,
    /// The key to sign with: id_*.pub, the file beside it, or SHA256:… of a key in the ssh-agent.
    #[arg(
        long,
        short = 'k',
        global = true,
        help_heading = "Global options",
        env = "COUNTERSIGN_KEY",
        value_name = "KEY"
    )]
    pub key: Option<String>,
    /// Answer in JSON; one object a line where things go on.
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// Take every question as answered with yes.
    #[arg(long, short = 'y', global = true, help_heading = "Global options")]
    pub yes: bool,
    /// No colors; they are shown on a terminal only, and never with NO_COLOR.
    #[arg(long, global = true, help_heading = "Global options")]
    pub no_color: bool,
    /// Where profiles are kept [default: ~/.config/countersign].
    #[arg(
        long,
        global = true,
        help_heading = "Global options",
        env = "COUNTERSIGN_HOME",
        value_name = "FOLDER",
        hide = true
    )]
    pub home: Option<PathBuf>,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done; for a job: it ended well on every device
  1  failed; for a job: it failed somewhere
  2  the command makes no sense as written
  3  refused: by a device, a rule, or because too few people have signed
  4  nobody answered
  5  ALARM: what the server shows does not hold

Examples:
  countersign init --help                         # begin an organization
  countersign enroll token --site lund --label kind=register --count 12 --until 2h
  countersign run --on kind=register --why 'printers hang' -- /usr/bin/systemctl restart cups
  countersign service restart nginx.service --on kind=register --why 'new certificate'
  countersign inbox
  countersign halt --reason 'server in the wrong hands'";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    Init(cmd::init::InitArgs),
    Login(cmd::login::LoginArgs),
    Run(cmd::run::RunArgs),
    Service(cmd::service::ServiceArgs),
    /// What became of jobs.
    #[command(subcommand)]
    Job(cmd::job::JobCommand),
    /// What waits for your signature.
    Inbox,
    Approve(cmd::approve::ApproveArgs),
    Halt(cmd::halt::HaltArgs),
    Resume(cmd::resume::ResumeArgs),
    /// Take devices in.
    #[command(subcommand)]
    Enroll(cmd::enroll::EnrollCommand),
    /// Devices, as their enrollments say.
    #[command(subcommand)]
    Device(cmd::device::DeviceCommand),
    /// Who may sign.
    #[command(subcommand)]
    Person(cmd::person::PersonCommand),
    /// Who may do what.
    #[command(subcommand)]
    Policy(cmd::policy::PolicyCommand),
    /// What the server watches for, and what it saw.
    #[command(subcommand)]
    Tripwire(cmd::tripwire::TripwireCommand),
    /// The organization's log.
    #[command(subcommand)]
    Log(cmd::log::LogCommand),
    Audit(cmd::audit::AuditArgs),
    Evidence(cmd::evidence::EvidenceArgs),
    /// Tokens for the server's API.
    #[command(subcommand)]
    Token(cmd::token::TokenCommand),
    /// For whoever makes Countersign: halts of a component, and the feed that carries them.
    #[command(subcommand)]
    Vendor(cmd::vendor::VendorCommand),
    /// The organization at a glance.
    Status,
}

/// `key=value`, both names.
pub fn label(text: &str) -> Result<(Name, Name), String> {
    let (key, value) =
        text.split_once('=').ok_or_else(|| format!("`{text}` is no label; write `key=value`"))?;
    Ok((name(key)?, name(value)?))
}

/// A name.
pub fn name(text: &str) -> Result<Name, String> {
    text.parse().map_err(|error: countersign_trust::ids::IdError| error.to_string())
}

/// A span of time in seconds: `90`, `90s`, `10m`, `2h`, `7d`, `1w`.
pub fn duration(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no span of time; write for example `30s`, `10m`, `2h`, `7d`");
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        Some('w') => 604_800,
        _ => return text.parse().map_err(|_| wrong()),
    };
    let digits = text.get(..text.len() - 1).unwrap_or_default();
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(unit).ok_or_else(wrong)
}

/// `who:soak`: a cumulative share in percent, with up to two decimals, or labels; and how long after the start.
pub fn wave(text: &str) -> Result<Wave, String> {
    let wrong = || {
        format!(
            "`{text}` is no wave; write `share:soak` or `label=value:soak`, for example `region=south:0s`, `25%:1h` and `100%:4h`"
        )
    };
    let (who, soak) = text.rsplit_once(':').ok_or_else(wrong)?;
    let who = match who.contains('=') {
        true => Who::Labels(who.split(',').map(label).collect::<Result<_, _>>()?),
        false => Who::Share(share(who).ok_or_else(wrong)?),
    };
    Ok(Wave { who, soak: duration(soak)? })
}

/// Hundredths of a percent.
fn share(share: &str) -> Option<u64> {
    let share = share.strip_suffix('%').unwrap_or(share);
    let (whole, decimals) = share.split_once('.').unwrap_or((share, ""));
    if decimals.len() > 2 || whole.len() > 3 {
        return None;
    }
    let hundredths: u64 = format!("{decimals:0<2}").parse().ok()?;
    let whole: u64 = whole.parse().ok()?;
    Some(whole * 100 + hundredths).filter(|share| (1..=ALL).contains(share))
}

/// A part in hundredths of a percent: `10%`, `0.5%`, `0%`, or `never`, which is all.
pub fn part(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no part; write for example `10%`, `0.5%`, or `never`");
    match text {
        "never" => Ok(ALL),
        "0" | "0%" => Ok(0),
        _ => share(text).ok_or_else(wrong),
    }
}

/// `what:count/span:then`: how much of what, within which time, and whether the server tells or halts.
pub fn tripwire(text: &str) -> Result<Tripwire, String> {
    let wrong = || {
        format!(
            "`{text}` is no tripwire; write for example `refusals:50/5m:halt`, `silence:3/10m:tell` or \
             `canary:/srv/a.xlsx,/srv/b.xlsx:2/60s:halt`"
        )
    };
    let (rest, then) = text.rsplit_once(':').ok_or_else(wrong)?;
    let (what, much) = rest.rsplit_once(':').ok_or_else(wrong)?;
    let (count, within) = much.split_once('/').ok_or_else(wrong)?;
    let then: Then = then.parse().map_err(|_| wrong())?;
    let what = match what.split_once(':') {
        None if what == "refusals" => Watched::Refusals(Nothing),
        None if what == "silence" => Watched::Silence(Nothing),
        Some(("canary", paths)) => {
            let read = |path: &str| path.parse().map_err(|error| format!("`{path}`: {error}"));
            Watched::Canary(Canary { paths: paths.split(',').map(read).collect::<Result<_, _>>()? })
        }
        _ => return Err(wrong()),
    };
    Ok(Tripwire { what, count: count.parse().map_err(|_| wrong())?, within: duration(within)?, then })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }

    /// The words of a line as a shell would see them, up to a comment, a pipe or a redirection.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut inside) = (vec![String::new()], false);
        for c in line.chars() {
            match c {
                '\'' => inside = !inside,
                '#' | '|' | '>' if !inside => break,
                ' ' if !inside => words.push(String::new()),
                c => words.last_mut().unwrap().push(c),
            }
        }
        words.into_iter().filter(|word| !word.is_empty()).collect()
    }

    #[test]
    fn what_the_documents_say_can_be_typed() {
        let files = [
            ("README.md", include_str!("../../../README.md")),
            ("audit/README.md", include_str!("../../../audit/README.md")),
            ("audit/audit.py", include_str!("../../../audit/audit.py")),
        ];
        let mut tried = BTreeSet::new();
        for (file, text) in files {
            if try_all(file, text) > 0 {
                tried.insert(file);
            }
        }
        assert_eq!(tried.len(), files.len());
    }

    /// Tries every command of this program in a text, each as it stands there, with a hash where it says HASH. Answers how many.
    fn try_all(file: &str, text: &str) -> usize {
        let text = text.replace("\\\n", " ").replace("HASH", &"a".repeat(64));
        // What stands between fences is read by lines, what stands in a sentence by its quotes, which may go over the end of a line.
        let (mut lines, mut prose) = (Vec::new(), Vec::new());
        for (number, block) in text.split("```").enumerate() {
            match number % 2 {
                1 => lines.extend(block.lines().map(|line| line.trim().to_owned())),
                _ => prose.extend(block.split_whitespace()),
            }
        }
        let prose = prose.join(" ");
        let quoted: Vec<String> = prose.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let is_ours = |said: &&String| said.starts_with("countersign ");
        let (lines, quoted) = (lines.iter().filter(is_ours), quoted.iter().filter(is_ours));
        let wrong = |said: &String| {
            Cli::try_parse_from(words(said)).err().map(|error| format!("{file}: {said}\n{error}"))
        };
        // A sentence may name a command and leave out what belongs behind it.
        let named = |said: &&String| {
            Cli::try_parse_from(words(&format!("{said} --help")))
                .is_err_and(|error| error.kind() == clap::error::ErrorKind::DisplayHelp)
        };
        let is_name = |said: &&String| !said.contains(" -") && named(said);
        let faults: Vec<String> =
            lines.clone().chain(quoted.clone().filter(|said| !is_name(said))).filter_map(wrong).collect();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        lines.count() + quoted.count()
    }

    #[test]
    fn every_command_of_the_operating_pages_can_be_typed() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operating");
        let mut tried = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let (name, text) = (path.display().to_string(), std::fs::read_to_string(&path).unwrap());
            tried += try_all(&name, &text);
        }
        assert!(tried > 100, "{tried} commands");
    }

    #[test]
    fn spans_of_time_have_a_unit() {
        for (text, seconds) in
            [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7_200), ("7d", 604_800), ("1w", 604_800)]
        {
            assert_eq!(duration(text), Ok(seconds), "{text}");
        }
        for bad in ["", "h", "1.5h", "-1s", "1y", "999999999999999999w"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn waves_are_shares_in_percent_and_a_soak_time() {
        for (text, wave_) in [
            ("5%:0s", (500, 0)),
            ("100:4h", (10_000, 14_400)),
            ("0.5%:60", (50, 60)),
            ("12.25:1m", (1_225, 60)),
        ] {
            assert_eq!(wave(text), Ok(Wave { who: Who::Share(wave_.0), soak: wave_.1 }), "{text}");
        }
        let labels = [("kind", "till"), ("region", "south")]
            .map(|(key, value)| (key.parse().unwrap(), value.parse().unwrap()));
        let south = Wave { who: Who::Labels(labels.into()), soak: 0 };
        assert_eq!(wave("region=south,kind=till:0s"), Ok(south));
        for bad in ["5%", "0:0", "101:0", "1.234:0", "x:0", "5:x", "5:", "region=:0s"] {
            assert!(wave(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_part_is_a_percentage_or_never() {
        for (text, hundredths) in
            [("10%", 1_000), ("0.5%", 50), ("0%", 0), ("100%", 10_000), ("never", 10_000)]
        {
            assert_eq!(part(text), Ok(hundredths), "{text}");
        }
        for bad in ["", "101%", "ten", "-1%", "0.001%"] {
            assert!(part(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_tripwire_is_read_as_it_is_printed() {
        for (text, printed) in [
            ("refusals:50/5m:halt", "refusals:50/300s:halt"),
            ("silence:3/90:tell", "silence:3/90s:tell"),
            ("canary:/srv/a b:c.xlsx:2/60s:halt", "canary:/srv/a b:c.xlsx:2/60s:halt"),
            ("canary:/srv/b,/srv/a:1/1h:tell", "canary:/srv/a,/srv/b:1/3600s:tell"),
        ] {
            let read = tripwire(text).unwrap();
            assert_eq!(read.to_string(), printed);
            assert_eq!(tripwire(printed), Ok(read));
        }
        for bad in [
            "",
            "refusals",
            "refusals:50/5m",
            "refusals:x/5m:halt",
            "noise:1/5m:halt",
            "canary:srv:1/5m:halt",
            "refusals:5/5m:stop",
        ] {
            assert!(tripwire(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn labels_are_two_names() {
        assert_eq!(label("kind=register"), Ok(("kind".parse().unwrap(), "register".parse().unwrap())));
        for bad in ["kind", "=x", "kind=", "kind=å"] {
            assert!(label(bad).is_err(), "{bad}");
        }
    }
}
