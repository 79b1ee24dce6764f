//! `countersign run`: a program or a script on devices.

mod compose;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::{DeviceId, Name, Sha256};
use countersign_trust::signers::Signers;
use countersign_trust::statement::job::{Job, Targets};
use countersign_trust::statement::{self, Kind};
use serde_json::json;

use crate::approval::{approval, signed_by};
use crate::args::{duration, label, name, wave};
use crate::checked::Device;
use crate::cmd::job::watch::{self, Watch};
use crate::context::{Context, Session};
use crate::output::{Stop, count, indent, plain, plain_lines, short, span, table};
use crate::resemble;

pub use compose::target_list;
use compose::{choose, job};

/// Run a program or a script on devices.
///
/// The list of devices comes from enrollments that this program has verified; its root is part of what you sign. Without options
/// the program runs as root in /, for at most 10 minutes. Nothing is run before you have seen the list and said yes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  countersign run --on kind=register --why 'printers hang' -- /usr/bin/systemctl restart cups
  countersign run --all --why 'patch' --script patch.sh --wave 5%:0s --wave 100%:1h
  countersign run --device dev-4f2a --why 'look' --preview -- /usr/bin/uptime")]
pub struct RunArgs {
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
    /// A wave: a cumulative share and how long after the start; the last is 100%. Without waves all start at once.
    #[arg(long = "wave", value_name = "SHARE:SOAK", value_parser = wave)]
    pub waves: Vec<(u64, u64)>,
    /// For how long it may still start, on devices that come back.
    #[arg(long, default_value = "7d", value_parser = duration)]
    pub life: u64,
    /// Start no earlier than in this time.
    #[arg(long = "in", value_name = "SPAN", default_value = "0s", value_parser = duration)]
    pub delay: u64,
    /// Let a halt wait until a step that runs has finished.
    #[arg(long)]
    pub finish_on_halt: bool,
    /// Show what would be signed, and stop.
    #[arg(long)]
    pub preview: bool,
    #[command(flatten)]
    /// How to watch.
    pub watch: WatchArgs,
    /// The program, with its whole path, and its arguments.
    #[arg(last = true, required_unless_present = "script")]
    pub program: Vec<String>,
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
    let devices = choose(&session.checked, &args)?;
    let job = job(context, &session, &args, &devices)?;
    send(context, &session, &job, &devices, args.preview, &args.watch)
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

/// Everything that a signer should see of a job: what, where, when, and by which rule.
pub fn describe(
    session: &Session,
    job: &Job,
    hash: &Sha256,
    devices: &[&Device],
    signed: &Signers,
) -> String {
    let mut text = format!("Job {}, asked by {}\n", short(hash), job.requester);
    text.push_str(&indent(&format!("why: {}", plain_lines(&job.why.to_string()))));
    text.push_str(&indent(&steps(job)));
    let life = job.not_after.0.saturating_sub(job.not_before.0);
    text.push_str(&indent(&format!("from {} for {}", crate::output::time(job.not_before.0), span(life))));
    match &job.targets {
        Targets::List(list) => text.push_str(&indent(&format!(
            "on exactly {}, verified enrollments:",
            count(devices.len().min(usize::try_from(list.count).unwrap_or(usize::MAX)), "device", "devices")
        ))),
        Targets::Labels(wanted) => {
            let labels: Vec<String> =
                wanted.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let joins = if wanted.joins { " AND ALL THAT JOIN LATER" } else { "" };
            text.push_str(&indent(&format!("on every device with {}{joins}; now:", labels.join(", "))));
        }
    }
    text.push_str(&indent(&indent(&device_table(devices))));
    text.push_str(&indent(&waves(job, hash, devices)));
    let standing = approval(&session.checked.chain, job, signed, devices);
    text.push_str(&indent(&standing.rules.join("\n")));
    if standing.rules.is_empty() {
        text.push_str(&indent("NO RULE of the policy allows this: every device will refuse it"));
    }
    if !standing.could.is_empty() {
        let people: Vec<&str> = standing.could.iter().map(Name::as_str).collect();
        text.push_str(&indent(&format!("could approve: {}", people.join(", "))));
    }
    for warning in alike(session, job, devices) {
        text.push_str(&indent(&format!("LOOK: {}", plain(&warning))));
    }
    text.trim_end().to_owned()
}

fn steps(job: &Job) -> String {
    use countersign_trust::statement::job::{Run, Step};
    let mut lines = Vec::new();
    for Step::Script(script) in &job.steps {
        let what = match &script.run {
            Run::Program(program) => {
                let words: Vec<String> = program.arguments.iter().map(|word| quoted(word.as_str())).collect();
                format!("runs {} {}", program.path, words.join(" ")).trim_end().to_owned()
            }
            Run::Lines(lines) => {
                let body: Vec<String> = lines.lines.iter().map(|line| format!("  | {line}")).collect();
                let words: Vec<String> = lines.arguments.iter().map(|word| quoted(word.as_str())).collect();
                format!(
                    "runs by {} {} (script {}):\n{}",
                    lines.interpreter,
                    words.join(" "),
                    short(&lines.hash()),
                    body.join("\n")
                )
            }
        };
        let environment: Vec<String> = script
            .environment
            .iter()
            .map(|(key, value)| format!("{key}={}", quoted(value.as_str())))
            .collect();
        let with =
            if environment.is_empty() { String::new() } else { format!(", with {}", environment.join(" ")) };
        lines.push(format!(
            "{what}\nas {} in {}{with}; killed after {}",
            script.user,
            script.folder,
            span(script.timeout)
        ));
    }
    plain_lines(&lines.join("\nthen, if that ended well:\n"))
}

fn quoted(word: &str) -> String {
    let bare =
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&b));
    if bare { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// Ids, sites and labels, as enrollments say.
pub fn device_table(devices: &[&Device]) -> String {
    let row = |device: &&Device| {
        let labels = device.labels.iter().filter(|(key, _)| key.as_str() != "site");
        let labels: Vec<String> = labels.map(|(key, value)| format!("{key}={value}")).collect();
        vec![short(&device.device), site(device), labels.join(" ")]
    };
    let rows: Vec<Vec<String>> = devices.iter().map(row).collect();
    table(&["DEVICE", "SITE", "LABELS"], &rows)
}

/// Where a device stands.
pub fn site(device: &Device) -> String {
    let site = device.labels.iter().find(|(key, _)| key.as_str() == "site");
    site.map(|(_, value)| value.to_string()).unwrap_or_default()
}

fn waves(job: &Job, hash: &Sha256, devices: &[&Device]) -> String {
    if job.waves.is_empty() {
        return "one wave: all at once".to_owned();
    }
    let mut lines = Vec::new();
    for (index, wave) in job.waves.iter().enumerate() {
        let mine: Vec<String> = devices
            .iter()
            .filter(|device| Job::wave_of(hash, &job.waves, &device.device) == index)
            .map(|device| short(&device.device))
            .collect();
        let which = if index == 0 { format!(": {}", mine.join(", ")) } else { String::new() };
        lines.push(format!(
            "wave {} after {}, {}{which}",
            index + 1,
            span(wave.soak),
            count(mine.len(), "device", "devices")
        ));
    }
    lines.join("\n")
}

/// Names in the job that are easily taken for others.
fn alike(session: &Session, job: &Job, devices: &[&Device]) -> Vec<String> {
    let policy = &session.checked.chain.policy().body;
    let people: Vec<&str> = policy.people.keys().map(Name::as_str).collect();
    let mut found = resemble::warnings("person", [job.requester.as_str()], people);
    let mut keys: Vec<&Name> = devices.iter().flat_map(|device| device.labels.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        // A label speaks only where it tells devices apart: all targets share it, and not all devices have it.
        let mut used: Vec<&str> =
            devices.iter().filter_map(|device| device.labels.get(key)).map(Name::as_str).collect();
        used.sort_unstable();
        used.dedup();
        let all: Vec<&str> = session
            .checked
            .devices
            .enrolled
            .values()
            .filter_map(|device| device.labels.get(key))
            .map(Name::as_str)
            .filter(|value| !used.contains(value))
            .collect();
        found.extend(resemble::warnings(key.as_str(), used, all));
    }
    found
}
