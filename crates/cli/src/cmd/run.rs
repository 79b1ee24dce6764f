//! `countersign run`: a program or a script on devices.

mod compose;
mod describe;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::{DeviceId, Name};
use countersign_trust::signers::Signers;
use countersign_trust::statement::job::{Job, Step, Wave};
use countersign_trust::statement::{self, Kind};
use serde_json::json;

use crate::approval::{approval, signed_by};
use crate::args::{duration, label, name, part, wave};
use crate::checked::Device;
use crate::clones;
use crate::cmd::job::watch::{self, Watch};
use crate::context::{Context, Session};
use crate::despite::Despite;
use crate::output::{Stop, count, plain, plain_lines, short};

pub use compose::target_list;
use compose::{choose, job, script};
pub use describe::{describe, label_words, site};

/// Run a program or a script on devices.
///
/// The list of devices comes from enrollments that this program has verified; its root is part of what you sign. Without options
/// the program runs as root in /, for at most 10 minutes. Nothing is run before you have seen the list and said yes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  countersign run --on kind=register --why 'printers hang' -- /usr/bin/systemctl restart cups
  countersign run --all --why 'patch' --script patch.sh --wave 5%:0s --wave 100%:1h
  countersign run --on kind=register --why 'patch' --script patch.sh --wave site=lund:0s --wave 100%:1d --halt-above 2%
  countersign run --on kind=register --by-label --joins --every 1d --life 30d --why 'clean up' -- /usr/bin/journalctl --vacuum-time=7d
  countersign run --device dev-4f2a --why 'look' --preview -- /usr/bin/uptime")]
pub struct RunArgs {
    #[command(flatten)]
    /// Where, when and why.
    pub wish: Wish,
    /// A file with lines for an interpreter, instead of a program.
    #[arg(long, value_name = "FILE", conflicts_with = "program")]
    pub script: Option<PathBuf>,
    /// The interpreter; it gets its arguments and then the script as a file.
    #[arg(long, default_value = "/bin/sh", requires = "script")]
    pub interpreter: String,
    /// An argument of the interpreter.
    #[arg(long, value_name = "ARG", requires = "script", allow_hyphen_values = true)]
    pub interpreter_arg: Vec<String>,
    /// As whom: a user of the device.
    #[arg(long, default_value = "root", value_parser = name)]
    pub user: Name,
    /// In which folder of the device.
    #[arg(long, default_value = "/")]
    pub folder: String,
    /// A variable of the environment, which is otherwise empty.
    #[arg(long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// After which it is killed.
    #[arg(long, default_value = "10m", value_parser = duration)]
    pub timeout: u64,
    /// Bytes of output that are kept [default: what the policy allows, at most 1 MiB].
    #[arg(long, value_name = "BYTES")]
    pub output: Option<u64>,
    /// Memory in MiB; 0 means no limit.
    #[arg(long, default_value_t = 0)]
    pub memory: u64,
    /// Processes at a time; 0 means no limit.
    #[arg(long, default_value_t = 0)]
    pub processes: u64,
    /// Percent of one processor; 0 means no limit.
    #[arg(long, default_value_t = 0)]
    pub processor: u64,
    /// The program, with its whole path, and its arguments.
    #[arg(last = true, required_unless_present = "script")]
    pub program: Vec<String>,
}

/// On which devices, when and why: what jobs of every kind are asked with.
#[derive(Debug, Args)]
pub struct Wish {
    /// Devices that carry this label; of several all must hold. The site is the label `site`.
    #[arg(long = "on", value_name = "LABEL=VALUE", value_parser = label)]
    pub on: Vec<(Name, Name)>,
    /// This device, by its id or the beginning of it; repeat it for more.
    #[arg(long = "device", value_name = "ID", conflicts_with = "on")]
    pub devices: Vec<String>,
    /// Every device.
    #[arg(long, conflicts_with_all = ["on", "devices"])]
    pub all: bool,
    /// Why: it is signed, shown to approvers, and kept.
    #[arg(long)]
    pub why: String,
    /// A wave: a cumulative share, or labels, and how long after the start; the last is 100%. Without waves all start at once.
    #[arg(long = "wave", value_name = "SHARE|LABEL=VALUE:SOAK", value_parser = wave)]
    pub waves: Vec<Wave>,
    /// Have the server halt it when more than this part of the devices whose waves have begun failed or refused; `never` for not at
    /// all [default: 10% with waves, never without].
    #[arg(long, value_name = "PART", value_parser = part)]
    pub halt_above: Option<u64>,
    /// Again each time after so long, at least 10 seconds, as long as it lives. Each time needs fresh Clears.
    #[arg(long = "every", value_name = "SPAN", value_parser = duration)]
    pub every: Option<u64>,
    /// For whatever carries the labels of --on when it is brought, instead of a list of devices: each wave after the first then
    /// waits for a person.
    #[arg(long, requires = "on")]
    pub by_label: bool,
    /// Also on devices that are enrolled later.
    #[arg(long, requires = "by_label")]
    pub joins: bool,
    /// For how long it may still start, on devices that come back.
    #[arg(long, default_value = "7d", value_parser = duration)]
    pub life: u64,
    /// Start no earlier than in this time.
    #[arg(long = "in", value_name = "SPAN", default_value = "0s", value_parser = duration)]
    pub delay: u64,
    /// Let a halt wait until a step that runs has finished; takes a rule of kind `finish`.
    #[arg(long)]
    pub finish_on_halt: bool,
    /// Show what would be signed, and stop.
    #[arg(long)]
    pub preview: bool,
    #[command(flatten)]
    /// What to do where the log is not whole.
    pub despite: Despite,
    #[command(flatten)]
    /// How to watch.
    pub watch: WatchArgs,
}

/// How to watch a job.
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// Do not wait for what becomes of it.
    #[arg(long)]
    pub detach: bool,
    /// Wait at most so long.
    #[arg(long = "for", value_name = "SPAN", value_parser = duration)]
    pub patience: Option<u64>,
    /// Show the output of every device, each line after the device's id.
    #[arg(long)]
    pub show_output: bool,
}

/// Runs it.
pub fn run(context: &Context, args: RunArgs) -> anyhow::Result<ExitCode> {
    let session = context.open()?;
    let output = session.checked.chain.policy().body.limits.output;
    order(context, &session, &args.wish, vec![Step::Script(script(&args, output)?)])
}

/// Asks for these steps: on the devices of the wish, all verified.
pub fn order(
    context: &Context,
    session: &Session,
    wish: &Wish,
    steps: Vec<Step>,
) -> anyhow::Result<ExitCode> {
    let devices = clones::leave_out(context, session, choose(&session.checked, wish)?)?;
    if !wish.preview {
        wish.despite.ask(context, session)?;
    }
    let job = job(context, session, wish, steps, &devices)?;
    send(context, session, &job, &devices, wish.preview, &wish.watch)
}

/// Shows a job, asks, signs, brings it to the server and watches.
pub fn send(
    context: &Context,
    session: &Session,
    job: &Job,
    devices: &[&Device],
    preview: bool,
    how: &WatchArgs,
) -> anyhow::Result<ExitCode> {
    let policy = &session.checked.chain.policy().body;
    job.check(policy.limits.life)
        .map_err(|error| Stop::Usage(format!("such a job cannot be run: {error}")))?;
    let (text, hash) = statement::write(job);
    statement::read::<Job>(&text).map_err(|error| Stop::Usage(error.to_string()))?;
    context.ui.note(&describe(session, job, &hash, devices, &Signers::default()));
    if preview {
        let ids: Vec<String> = devices.iter().map(|device| device.device.to_string()).collect();
        context
            .ui
            .answer(&json!({"job": hash.to_string(), "text": text, "targets": ids}), || plain_lines(&text));
        return Ok(ExitCode::SUCCESS);
    }
    let question = format!("Sign this for {}?", count(devices.len(), "device", "devices"));
    if !context.ui.confirm(&question)? {
        return Err(Stop::Refused("nothing was signed".to_owned()).into());
    }
    let signer = context.signer(&session.profile)?;
    let targets = devices.iter().map(|device| device.device.to_string()).collect();
    let (signed, view) = session.sign_and_post(&signer, Kind::Job, text, targets)?;
    tell_standing(context, session, job, &signed, devices, &view.state);
    if how.detach {
        let answer = json!({"job": hash.to_string(), "state": view.state, "missing": view.missing});
        context.ui.answer(&answer, || hash.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    let wanted: Vec<DeviceId> = devices.iter().map(|device| device.device).collect();
    watch::watch(context, session, &Watch { hash, steps: job.steps.len(), targets: wanted, how: how.clone() })
}

fn tell_standing(
    context: &Context,
    session: &Session,
    job: &Job,
    signed: &Signed,
    devices: &[&Device],
    state: &str,
) {
    let chain = &session.checked.chain;
    let standing = approval(chain, job, &signed_by(chain, signed), devices);
    let hash = signed.hash();
    context.ui.note(&format!("job {} is signed; the server says: {}", short(&hash), plain(state)));
    if !standing.missing.is_empty() {
        standing.missing.iter().for_each(|what| context.ui.note(&format!("  missing: {what}")));
        let people: Vec<&str> = standing.could.iter().map(Name::as_str).collect();
        context.ui.note(&format!("  could approve: {}", people.join(", ")));
        context.ui.note(&format!("  they run: countersign approve {}", short(&hash)));
    }
}
