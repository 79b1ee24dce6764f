//! `countersign job rerun`: the same again, as a new job; on no device on which the old one may still run.

use std::process::ExitCode;

use clap::Args;
use countersign_trust::ids::{DeviceId, StatementId};
use countersign_trust::statement::job::{Job, Targets};
use countersign_trust::time::Time;
use countersign_wire::http::JobDevice;

use super::ReadJob;
use crate::checked::Device;
use crate::clones;
use crate::cmd::run::{WatchArgs, send, target_list};
use crate::context::{Context, Session, random};
use crate::despite::Despite;
use crate::output::{Stop, short, time};
use crate::receipts::{Outcome, outcome, verified};

/// What to run again.
#[derive(Debug, Args)]
pub struct RerunArgs {
    /// Which.
    job: String,
    /// Only on devices that signed that it failed or that they refused it.
    #[arg(long)]
    failed: bool,
    /// Why [default: as before].
    #[arg(long)]
    why: Option<String>,
    /// Show what would be signed, and stop.
    #[arg(long)]
    preview: bool,
    #[command(flatten)]
    despite: Despite,
    #[command(flatten)]
    how: WatchArgs,
}

/// Runs it.
pub fn rerun(context: &Context, args: &RerunArgs) -> anyhow::Result<ExitCode> {
    let session = context.open()?;
    let (old, said) = ReadJob::fetch_with_devices(&session, &args.job)?;
    let enrolled = &session.checked.devices.enrolled;
    let mut devices: Vec<&Device> = old.targets.iter().filter_map(|id| enrolled.get(id)).collect();
    if args.failed {
        devices = failed(context, &session, &old, &said, devices);
    }
    if devices.is_empty() {
        return Err(Stop::Usage("there is no device left to run it on".to_owned()).into());
    }
    let devices = clones::leave_out(context, &session, devices)?;
    if !args.preview {
        args.despite.ask(context, &session)?;
    }
    let job = again(context, &session, args, old.job)?;
    let job = Job { targets: Targets::List(target_list(&devices)), ..job };
    send(context, &session, &job, &devices, args.preview, &args.how)
}

/// The same job, asked for by me and as of now.
fn again(context: &Context, session: &Session, args: &RerunArgs, old: Job) -> anyhow::Result<Job> {
    let chain = &session.checked.chain;
    let life = old.not_after.0.saturating_sub(old.not_before.0);
    let not_before = Time(context.now.0.saturating_sub(120));
    Ok(Job {
        id: StatementId(random()?),
        requester: session.profile.me.clone(),
        policy: chain.policy().hash,
        resume: chain.resume(),
        not_before,
        not_after: not_before.plus(life),
        why: match &args.why {
            Some(why) => why.parse().map_err(|error| Stop::Usage(format!("--why: {error}")))?,
            None => old.why.clone(),
        },
        ..old
    })
}

/// What stands between a device and the same job again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It ended well there.
    Well,
    /// It failed, or was refused and cannot be brought again.
    Over,
    /// It was refused, and only a new policy or enrollment, or a new proof, could change that, until it ends.
    Refused,
    /// It may run there, or be brought again.
    MayRun,
}

/// How a job stands that is over if `expired`, after these outcomes of one device.
fn standing(outcomes: &[Outcome], expired: bool) -> Standing {
    let any = |wanted: Outcome| outcomes.contains(&wanted);
    match outcomes {
        _ if any(Outcome::Well) => Standing::Well,
        _ if any(Outcome::Failed) => Standing::Over,
        // It may have begun before it ended, and run now.
        _ if any(Outcome::Open) || outcomes.is_empty() => Standing::MayRun,
        _ if expired => Standing::Over,
        _ if any(Outcome::Later) => Standing::MayRun,
        _ => Standing::Refused,
    }
}

/// Those of `devices` on which the job failed, or was refused for good; it says whom it leaves out, and what could still happen.
fn failed<'a>(
    context: &Context,
    session: &Session,
    old: &ReadJob,
    said: &[JobDevice],
    devices: Vec<&'a Device>,
) -> Vec<&'a Device> {
    // What a resume has cut off starts no more than what has ended.
    let expired = old.is_over(context.now) || old.is_cut(session);
    let told = |id: &DeviceId| {
        let shown = said.iter().filter(|told| told.device == id.to_string());
        let notes = shown.filter_map(|told| told.receipt.as_deref());
        let receipts = notes.filter_map(|note| verified(&session.checked, id, &old.hash, note).ok());
        let outcomes: Vec<Outcome> = receipts.map(|receipt| outcome(&receipt, old.job.steps.len())).collect();
        standing(&outcomes, expired)
    };
    let stands: Vec<(&Device, Standing)> =
        devices.into_iter().map(|device| (device, told(&device.device))).collect();
    let named = |wanted: Standing| {
        let which = stands.iter().filter(|(_, standing)| *standing == wanted);
        which.map(|(device, _)| short(&device.device)).collect::<Vec<_>>().join(", ")
    };
    let (running, refused) = (named(Standing::MayRun), named(Standing::Refused));
    let (job, end) = (short(&old.hash), time(old.job.not_after.0));
    if !running.is_empty() {
        context.ui.note(&format!(
            "Left out, for no receipt that verifies says how it ended there, or it was refused for a reason that passes; it may still run: {running}"
        ));
        if !expired {
            context.ui.note(&format!(
                "It is brought to nobody after {end}, or after: countersign job cancel {job}"
            ));
        }
    }
    if !refused.is_empty() {
        context.ui.note(&format!(
            "Refused it by what they hold; a new policy or enrollment could let it run until {end}, besides the new one, unless you first: countersign job cancel {job}. These are: {refused}"
        ));
    }
    let stays = |standing: &Standing| matches!(standing, Standing::Over | Standing::Refused);
    stands.into_iter().filter(|(_, standing)| stays(standing)).map(|(device, _)| device).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_run_again_only_where_the_old_one_cannot_run_any_more() {
        let cases: [(&[Outcome], bool, Standing); 9] = [
            (&[], false, Standing::MayRun),
            (&[], true, Standing::MayRun),
            (&[Outcome::Open], true, Standing::MayRun),
            (&[Outcome::Later], false, Standing::MayRun),
            (&[Outcome::Later], true, Standing::Over),
            (&[Outcome::Refused], false, Standing::Refused),
            (&[Outcome::Refused], true, Standing::Over),
            (&[Outcome::Failed], false, Standing::Over),
            (&[Outcome::Failed, Outcome::Well], false, Standing::Well),
        ];
        for (outcomes, expired, expected) in cases {
            assert_eq!(standing(outcomes, expired), expected, "{outcomes:?}, expired {expired}");
        }
    }
}
