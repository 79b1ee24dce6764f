//! `countersign policy`: who may do what.

mod new_log;
mod tripwires;
mod vendor;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use countersign_trust::chain::Chain;
use countersign_trust::signers::signers;
use countersign_trust::statement::policy::Policy;
use countersign_trust::statement::{self, Kind};
use countersign_trust::verify::rules_met;
use countersign_wire::http::{JobSummary, paths};
use serde_json::json;

use crate::cmd::job::ReadJob;
use crate::context::{Context, Session};
use crate::difference;
use crate::os::write_private;
use crate::output::{Stop, count, indent, plain, plain_lines, short};
use crate::prose::brief;
use crate::weakness::weaknesses;
use new_log::NewLogArgs;
use tripwires::TripwireArgs;
use vendor::VendorArgs;

/// Who may do what. A change takes the policy quorum of the old policy and of the new one.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// The newest policy, as it was signed.
    Show,
    /// Change it in your editor ($VISUAL or $EDITOR), look at what that means, and sign it.
    Edit,
    /// Look at a changed policy in a file, and sign it.
    Propose {
        /// The text, as `countersign policy show` prints it; number and previous are filled in. With one of the options below it may
        /// be left out.
        #[arg(required_unless_present_any = ["new_log", "keys", "drop", "need", "halts", "tripwires", "no_tripwires"])]
        file: Option<PathBuf>,
        /// Another log.
        #[command(flatten)]
        log: NewLogArgs,
        /// Another vendor.
        #[command(flatten)]
        vendor: VendorArgs,
        /// Tripwires.
        #[command(flatten)]
        tripwires: TripwireArgs,
    },
}

/// Runs it.
pub fn run(context: &Context, command: PolicyCommand) -> anyhow::Result<()> {
    let session = context.open_to_mend()?;
    let (mut log, mut maker) = (NewLogArgs::default(), VendorArgs::default());
    let mut tripwires = TripwireArgs::default();
    let held = session.checked.chain.policy();
    let text = match command {
        PolicyCommand::Show => {
            let answer = json!({"policy": held.hash.to_string(), "number": held.body.number, "text": held.signed.statement(), "weaknesses": weaknesses(&held.body)});
            context.ui.answer(&answer, || plain_lines(held.signed.statement()));
            weaknesses(&held.body).iter().for_each(|weak| context.ui.warn(&format!("weak: {}", plain(weak))));
            return Ok(());
        }
        PolicyCommand::Edit => edit(context, &statement::write(&session.checked.chain.next_policy()).0)?,
        PolicyCommand::Propose { file, log: wish, vendor, tripwires: wishes } => {
            (log, maker, tripwires) = (wish, vendor, wishes);
            match file {
                None => statement::write(&session.checked.chain.next_policy()).0,
                Some(file) => std::fs::read_to_string(&file)
                    .with_context(|| format!("cannot read {}", file.display()))?,
            }
        }
    };
    let typed: Policy = statement::read(&text).map_err(|error| Stop::Usage(error.to_string()))?;
    let Policy { org, number, previous, resumes, .. } = session.checked.chain.next_policy();
    let mut changed = Policy { org, number, previous, resumes, ..typed };
    if log.new_log {
        new_log::replace(context, &session, &log, &mut changed)?;
    }
    if maker.is_some() {
        vendor::put(context, &maker, &mut changed)?;
    }
    tripwires.put_into(&mut changed)?;
    propose(context, &session, &changed)
}

/// Lets a person change `text` until it is a policy, or is left as it was.
fn edit(context: &Context, text: &str) -> anyhow::Result<String> {
    let editor = context
        .editor
        .clone()
        .ok_or_else(|| Stop::Usage("set EDITOR, or use `countersign policy propose FILE`".to_owned()))?;
    let name = format!(
        "countersign-policy-{}.json",
        short(&countersign_trust::ids::Sha256(crate::context::random()?))
    );
    let path = std::env::temp_dir().join(name);
    write_private(&path, text.as_bytes())?;
    let edited = loop {
        // Through a shell, because EDITOR may hold options.
        let status = Command::new("sh")
            .arg("-c")
            .arg(format!("{editor} \"$1\""))
            .arg("sh")
            .arg(&path)
            .status()
            .context("the editor cannot be started")?;
        if !status.success() {
            bail!("the editor ended with {status}");
        }
        let edited = std::fs::read_to_string(&path)?;
        match statement::read::<Policy>(&edited)
            .map_err(|error| error.to_string())
            .and_then(|policy| policy.check().map_err(|error| error.to_string()))
        {
            Ok(()) => break edited,
            Err(error) => {
                context.ui.fail(&plain(&error));
                if context.ui.yes || !context.ui.confirm("Edit it again?")? {
                    return Err(Stop::Usage("no policy came out of the editor".to_owned()).into());
                }
            }
        }
    };
    std::fs::remove_file(&path)?;
    Ok(edited)
}

/// Shows what a policy changes, asks, signs it and brings it to the server.
pub fn propose(context: &Context, session: &Session, changed: &Policy) -> anyhow::Result<()> {
    changed.check().map_err(|error| Stop::Usage(format!("this policy cannot be used: {error}")))?;
    show_change(context, session, changed)?;
    if !context.ui.confirm("Sign this policy?")? {
        return Err(Stop::Refused("nothing was signed".to_owned()).into());
    }
    let (text, hash) = statement::write(changed);
    let (_, view) =
        session.sign_and_post(&context.signer(&session.profile)?, Kind::Policy, text, Vec::new())?;
    session.hand_on(context, Kind::Policy, &view);
    let answer = json!({"policy": hash.to_string(), "number": changed.number, "state": view.state, "missing": view.missing});
    context.ui.answer(&answer, || match view.missing.as_str() {
        "" => {
            format!("Policy {} ({}); the server says: {}", changed.number, short(&hash), plain(&view.state))
        }
        missing => format!(
            "Policy {} ({}) waits: {}. They run: countersign approve {}",
            changed.number,
            short(&hash),
            plain(missing),
            short(&hash)
        ),
    });
    Ok(())
}

/// What a policy changes, what is weak about it, and which jobs it would end.
pub fn show_change(context: &Context, session: &Session, changed: &Policy) -> anyhow::Result<()> {
    let held = session.checked.chain.policy();
    if !changed.previous.contains(&held.hash)
        || changed.number != held.body.number + 1
        || changed.org != Some(session.profile.org)
    {
        let what = format!(
            "this policy (number {}) does not follow policy {} ({})",
            changed.number,
            held.body.number,
            short(&held.hash)
        );
        return Err(Stop::Refused(what).into());
    }
    changed.check().map_err(|error| Stop::Refused(format!("this policy cannot be used: {error}")))?;
    let differences = difference::policies(&held.body, changed);
    let words = if differences.is_empty() { "nothing".to_owned() } else { differences.join("\n") };
    context.ui.note(&format!("Policy {} changes:\n{}", changed.number, indent(&words).trim_end()));
    let before = weaknesses(&held.body);
    for weak in weaknesses(changed) {
        let since = if before.contains(&weak) { "weak, as before" } else { "NEWLY weak" };
        context.ui.warn(&format!("{since}: {}", plain(&weak)));
    }
    undone(&session.checked.chain, changed).iter().for_each(|line| context.ui.warn(line));
    new_beacons(&session.checked.chain, changed).iter().for_each(|line| context.ui.warn(line));
    let ended = ends(context, session, changed)?;
    if !ended.is_empty() {
        context
            .ui
            .warn(&format!("this ends jobs that may still run:\n{}", indent(&ended.join("\n")).trim_end()));
    }
    Ok(())
}

/// The resumes that would be over, since the policy does not name them.
fn undone(chain: &Chain, changed: &Policy) -> Option<String> {
    let held = chain.next_policy().resumes;
    let undone: Vec<String> = held.difference(&changed.resumes).map(short).collect();
    (!undone.is_empty()).then(|| {
        format!(
            "this policy does not name {}: what it lifted STOPS AGAIN, what it cut MAY RUN AGAIN. If that is not wanted, propose the \
             policy anew: it will name what there is now",
            count(undone.len(), "resume", "resumes") + " " + &undone.join(", ")
        )
    })
}

/// Which beacons are new, and when they answer: until then devices must do with the others.
fn new_beacons(chain: &Chain, changed: &Policy) -> Option<String> {
    let held = &chain.policy().body;
    let (before, after) = (&held.beacons, &changed.beacons);
    let new: Vec<_> = after.keys.difference(&before.keys).map(|key| plain(key.name())).collect();
    if new.is_empty() {
        return None;
    }
    let stay = after.keys.len() - new.len();
    let mut text = format!(
        "{}: {}. A new beacon answers no device until {} of the {} beacons of policy {} have said to it what they know, those that \
         this policy removes among them. Every command here, and the server, carries that: leave them running until \
         `countersign status` warns of none",
        count(new.len(), "beacon is new", "beacons are new"),
        new.join(", "),
        before.need,
        before.keys.len(),
        held.number,
    );
    if stay < usize::from(after.need.get()) {
        text.push_str(&format!(
            ". {stay} that stay are fewer than the {} that devices need: until then nothing starts anywhere",
            after.need
        ));
    }
    Some(text)
}

/// Jobs whose time is not over and which no device would run under `changed`, of the newest 200.
fn ends(context: &Context, session: &Session, changed: &Policy) -> anyhow::Result<Vec<String>> {
    let listed: Vec<JobSummary> = session.server.pages(&session.path(paths::JOBS, &[]), 200)?;
    let mut ended = Vec::new();
    for summary in listed {
        let Ok(read) = session.statement(&summary.hash).and_then(|view| ReadJob::read(session, view)) else {
            continue;
        };
        if read.job.not_after <= context.now {
            continue;
        }
        let (before, after) = (&session.checked.chain.policy().body, changed);
        let meets = |policy: &Policy| {
            let by = signers(policy, Kind::Job, &read.signed);
            read.devices(session).is_ok_and(|devices| {
                devices.iter().all(|device| rules_met(policy, &device.labels, &read.job, &by).is_ok())
            })
        };
        if meets(before) && !meets(after) {
            ended.push(format!(
                "{} asked by {}: {}",
                short(&read.hash),
                read.job.requester,
                brief(read.job.why.as_str())
            ));
        }
    }
    Ok(ended)
}
