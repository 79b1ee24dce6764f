//! `countersign resume`: lift halts, and say what must be signed anew.

pub mod freed;
pub mod wish;

use std::collections::BTreeSet;

use clap::Args;
use countersign_trust::ids::{Name, Sha256};
use countersign_trust::statement::halt::Scope;
use countersign_trust::statement::resume::{Cuts, Lifts, Resume};
use countersign_trust::statement::{self, Kind};
use countersign_trust::text::Nothing;
use serde_json::json;

use crate::args::name;
use crate::cmd::job::ReadJob;
use crate::context::{Context, Session};
use crate::output::{Stop, count, indent, plain, short};
use crate::prose::prose;

use super::halt;

pub use freed::Freed;

/// Lift halts, and say what must be signed anew.
///
/// Takes the resume quorum: others sign with `countersign approve`. What caused the halt must not come back: say with --cut what
/// was signed before and is refused for ever. Where open jobs would run again, one of the three must be said.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  countersign resume --why 'false alarm' --preview      # what would run again; signs nothing
  countersign resume --why 'false alarm'                # where no open job is stopped
  countersign resume --why 'false alarm' --cut-none     # they run again
  countersign resume --cut-person bo --why 'bo lost a laptop; a new key is in the policy'
  countersign resume --cut-all --why 'server rebuilt'
  countersign resume --over --why 'these jobs are over' # makes room for other halts, and starts nothing")]
pub struct ResumeArgs {
    /// Why.
    #[arg(long)]
    why: String,
    /// Only this halt, by its hash or the beginning of it [default: all active ones].
    #[arg(long = "halt", value_name = "HASH")]
    halts: Vec<String>,
    /// Only halts of jobs that are over by the clock here: nothing starts by it.
    #[arg(long, conflicts_with_all = ["halts", "keys"])]
    over: bool,
    /// Every halt this key made under the policies so far, seen or not: a key, its file, or the fingerprint that
    /// `countersign halt list` shows. Cuts all.
    #[arg(long = "halts-by-key", value_name = "KEY", conflicts_with = "halts")]
    keys: Vec<String>,
    /// Jobs that this person asked for or approved are refused for ever.
    #[arg(long = "cut-person", value_name = "NAME", value_parser = name, conflicts_with = "cut_all")]
    cut_people: Vec<Name>,
    /// Every job signed before is refused for ever.
    #[arg(long)]
    cut_all: bool,
    /// What was signed before may run again; the jobs are listed.
    #[arg(long, conflicts_with_all = ["cut_people", "cut_all"])]
    cut_none: bool,
    /// But not this job, by its hash or the beginning of it.
    #[arg(long = "keep", value_name = "HASH")]
    keeps: Vec<String>,
    /// Show what it would do, what would run again and what must be signed anew, and stop.
    #[arg(long)]
    preview: bool,
    /// Sign another one though one waits for signatures already.
    #[arg(long)]
    anew: bool,
}

/// Runs it.
pub fn run(context: &Context, args: ResumeArgs) -> anyhow::Result<()> {
    let session = context.open()?;
    let chain = &session.checked.chain;
    if !args.preview {
        wish::nobody_was_quicker(&session, args.anew)?;
    }
    let over = over(context, &session);
    let resume = Resume {
        org: chain.org(),
        policy: chain.policy().hash,
        previous: wish::previous(chain.resume(), session.checked.reached.rivals(chain)),
        lifts: wish::lifts(chain, &args, &over)?,
        cuts: match (args.cut_all, args.cut_people.is_empty()) {
            (true, _) => Cuts::All(Nothing),
            (false, false) => Cuts::People(args.cut_people.iter().cloned().collect()),
            (false, true) => Cuts::None(Nothing),
        },
        keeps: wish::keeps(&session, &args.keeps)?,
        why: args.why.parse().map_err(|error| Stop::Usage(format!("--why: {error}")))?,
    };
    let freed = Freed::by(&resume, context, &session)?;
    words(&session, &resume, &freed).iter().for_each(|line| context.ui.note(line));
    if !args.over && !over.is_empty() {
        let many = count(over.len(), "halt stops a job that is over", "halts stop jobs that are over");
        context.ui.note(&format!("{many}: `countersign resume --over` lifts these alone"));
    }
    if args.preview {
        let answer = json!({"preview": freed.json()});
        context.ui.answer(&answer, || "Nothing was signed: this was a preview.".to_owned());
        return Ok(());
    }
    chosen(&args, &freed)?;
    if !context.ui.confirm("Sign this resume?")? {
        return Err(Stop::Refused("nothing was signed".to_owned()).into());
    }
    let (text, hash) = statement::write(&resume);
    let (_, view) =
        session.sign_and_post(&context.signer(&session.profile)?, Kind::Resume, text, Vec::new())?;
    session.hand_on(context, Kind::Resume, &view);
    let answer = json!({"resume": hash.to_string(), "state": view.state, "missing": view.missing, "open_jobs": freed.json()});
    context.ui.answer(&answer, || match view.missing.as_str() {
        "" => format!("Resume {}; the server says: {}", short(&hash), plain(&view.state)),
        missing => format!(
            "Resume {} waits: {}. They run: countersign approve {}",
            short(&hash),
            plain(missing),
            short(&hash)
        ),
    });
    Ok(())
}

/// What becomes of open jobs is chosen by a person, and not by what was left out.
fn chosen(args: &ResumeArgs, freed: &Freed) -> Result<(), Stop> {
    if args.cut_none || args.cut_all || !args.cut_people.is_empty() || freed.number() == 0 {
        return Ok(());
    }
    Err(Stop::Usage(format!(
        "{} may run again by this: say --cut-person NAME or --cut-all to refuse for ever what was signed before, or --cut-none if it shall run",
        count(freed.number(), "open job", "open jobs")
    )))
}

/// Active halts of jobs that are over. One whose job the server does not show, and that no signature vouches for, is not among them.
fn over(context: &Context, session: &Session) -> BTreeSet<Sha256> {
    let is_over = |job: &Sha256| {
        let read = ReadJob::fetch(session, &job.to_string());
        read.is_ok_and(|read| read.is_over(context.now))
    };
    let halts = session.checked.chain.active_halts();
    halts
        .filter(|halt| matches!(&halt.body.scope, Scope::Job(job) if is_over(job)))
        .map(|halt| halt.hash)
        .collect()
}

/// What a resume does, a line each.
pub fn words(session: &Session, resume: &Resume, freed: &Freed) -> Vec<String> {
    let chain = &session.checked.chain;
    let said = |text: &str| {
        indent(&prose(text, "the rest stands in the exact text: countersign approve HASH --look"))
            .trim_end()
            .to_owned()
    };
    let mut lines = vec![format!("A resume, because:\n{}", said(resume.why.as_str()))];
    if resume.previous.len() > 1 {
        let rivals: Vec<String> = resume.previous.iter().map(short).collect();
        lines.push(format!(
            "  follows {}, which are rivals: after this one everybody goes on together",
            rivals.join(" and ")
        ));
    }
    match &resume.lifts {
        Lifts::Halts(halts) => lines.extend(halts.iter().map(|hash| match chain.halt(hash) {
            Some(halt) => format!(
                "  lifts the halt {} of {} by {}, called because:\n{}",
                short(hash),
                halt::words(&halt.body.scope),
                halt.by,
                indent(&said(halt.body.reason.as_str())).trim_end()
            ),
            None => format!("  lifts the halt {}, WHICH IS NOT KNOWN HERE", short(hash)),
        })),
        Lifts::Keys(keys) => lines
            .extend(keys.iter().map(|key| {
                format!("  lifts every halt that {} made so far, seen or not", key.fingerprint())
            })),
    }
    lines.push(match (&resume.cuts, &resume.lifts) {
        (Cuts::All(_), _) | (_, Lifts::Keys(_)) => "  EVERY job signed before is refused for ever".to_owned(),
        (Cuts::People(people), _) => {
            let people: Vec<&str> = people.iter().map(Name::as_str).collect();
            format!("  jobs that {} asked for or approved before are refused for ever", people.join(", "))
        }
        (Cuts::None(_), _) => {
            "  what was signed before may run again: what caused the halt can come back".to_owned()
        }
    });
    lines
        .extend(resume.keeps.iter().map(|job| format!("  but kept is the job {}", wish::kept(session, job))));
    lines.extend(freed.words());
    lines
}
