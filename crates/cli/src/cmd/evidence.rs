//! `countersign evidence`: for a span of time, all that proves who asked for, approved, stopped and ran what.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use countersign_trust::time::Time;
use serde_json::json;

use crate::context::Context;
use crate::evidence::account::{Account, account};
use crate::evidence::collect::Collect;
use crate::evidence::rebuild::Rebuild;
use crate::evidence::span::Moment;
use crate::evidence::{Folder, Source, Span};
use crate::output::{Paint, Stop, count, plain, time};

/// How many lines of what is missing are shown; all of them stand in the folder.
const MOST_SHOWN: usize = 20;

/// Write what proves who asked for, approved, stopped and ran what in a span of time.
///
/// A folder that an auditor judges offline with `audit.py span`: the log leaf by leaf, policies, enrollments, jobs, halts,
/// resumes, and every receipt that devices signed, each checked here first. What the server does not show is named in it.
/// What broke off goes on when the same is typed again. `audit` writes more of one job: what each device decided by.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_long_help = "Examples:\n  countersign evidence --from 24h --to incident\n  countersign evidence --from '2026-11-28 16:00' --until '2026-11-28 18:30' --to incident"
)]
pub struct EvidenceArgs {
    #[command(subcommand)]
    command: Option<EvidenceCommand>,
    /// From when on: `2026-11-28`, `2026-11-28 16:30`, both in UTC, or how long ago: `24h`, `7d`.
    #[arg(long, value_name = "TIME")]
    from: Option<Moment>,
    /// Until when [default: now].
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// Into which folder; it is made.
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
}

/// Where there is no server to ask.
#[derive(Debug, Subcommand)]
enum EvidenceCommand {
    Rebuild(RebuildArgs),
}

/// Put it together without the server: from what machines kept, beacons hold and witnesses saw.
///
/// For when the server's records and log are gone, or cannot be trusted. On each machine: `countersign-agent evidence FOLDER`.
/// What nobody can show is named.
#[derive(Debug, Args)]
struct RebuildArgs {
    /// Folders with what machines kept; bundles that `audit` wrote are read too.
    #[arg(long, value_name = "FOLDER", required = true, num_args = 1..)]
    agents: Vec<PathBuf>,
    /// Ask neither beacons nor witnesses.
    #[arg(long)]
    offline: bool,
    /// Into which folder; it is made anew.
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
}

/// Runs it.
pub fn run(context: &Context, args: &EvidenceArgs) -> anyhow::Result<()> {
    let Some(to) = &args.to else {
        return match &args.command {
            Some(EvidenceCommand::Rebuild(args)) => rebuild(context, args),
            None => Err(Stop::Usage("say into which folder: `--to FOLDER`".to_owned()).into()),
        };
    };
    // Evidence against a server that shows another history is wanted most of all.
    let mut session = context.open_to_mend()?;
    let folder = Folder::at(to)?;
    let org = session.checked.chain.org();
    let there = Span::of(&folder)?;
    let from = args.from.map(|moment| moment.at(context.now)).or(there.map(|span| span.from));
    let Some(from) = from else {
        return Err(Stop::Usage("say from when on, for example `--from 24h`".to_owned()).into());
    };
    // Whoever says how long ago means the moment in which it was typed first.
    let from = match (args.from, there) {
        (Some(Moment::Ago(_)), Some(span)) => span.from,
        _ => from,
    };
    let until = match (args.until, there) {
        (Some(Moment::At(time)), _) => time,
        (_, Some(span)) => span.until,
        (Some(moment), None) => moment.at(context.now),
        // A second begun is a second over: what happened just now is meant too.
        (None, None) => Time(context.now.0.saturating_add(1)),
    };
    if until <= from {
        return Err(Stop::Usage(format!("{} is not before {}", time(from.0), time(until.0))).into());
    }
    let span = Span { org, from, until, source: Source::Server };
    span.begin(&folder)?;
    Collect { context, session: &session, folder: &folder, span }.run()?;
    tell(context, &folder, &account(&folder)?);
    session.checked.set_back.take().map_or(Ok(()), |alarm| Err(alarm.into()))
}

fn rebuild(context: &Context, args: &RebuildArgs) -> anyhow::Result<()> {
    let profile = context.profile()?;
    let until = Time(context.now.0.saturating_add(1));
    let span = Span { org: profile.org, from: Time(0), until, source: Source::Records };
    let folder = Folder::at(&args.to)?;
    Rebuild { ui: &context.ui, profile: &profile, folder: &folder, span, ask: !args.offline }
        .run(&args.agents)?;
    tell(context, &folder, &account(&folder)?);
    Ok(())
}

/// Says what was written and what is missing.
pub fn tell(context: &Context, folder: &Folder, found: &Account) {
    let Account { events, missing, manifest } = found;
    let place = folder.root().display().to_string();
    let answer =
        json!({"folder": place, "events": events, "missing": missing, "manifest": manifest.to_string()});
    context.ui.answer(&answer, || {
        let word = match missing.len() {
            0 => context.ui.paint(Paint::Good, "nothing is missing"),
            number => {
                context.ui.paint(Paint::Bad, &format!("{} MISSING", count(number, "thing is", "things are")))
            }
        };
        format!(
            "{} in {place}/timeline.txt: {word}\nThe hash of {place}/MANIFEST is {manifest}\n\
             Anybody checks it with: python3 audit.py span {place}",
            count(*events, "event", "events")
        )
    });
    for line in missing.iter().take(MOST_SHOWN) {
        context.ui.warn(&format!("missing: {}", plain(line)));
    }
    if let Some(more) = missing.len().checked_sub(MOST_SHOWN).filter(|more| *more > 0) {
        context.ui.warn(&format!("and {more} more, all named in {place}/MANIFEST"));
    }
}
