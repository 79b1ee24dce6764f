//! `countersign halt`: to every beacon and the server at once. Works without the server, from what was kept here.

pub mod file;
pub mod list;
pub mod room;
pub mod set;
pub mod spread;
pub mod state;
pub mod told;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use countersign_trust::chain::{Chain, Halter, Taken};
use countersign_trust::envelope::Signed;
use countersign_trust::ids::{Name, Sha256, StatementId};
use countersign_trust::note::VerifierKey;
use countersign_trust::statement::halt::{Component, Halt, Scope};
use countersign_trust::statement::{self, Kind};
use countersign_trust::text::Nothing;
use serde_json::json;

use crate::args::name;
use crate::checked::chain;
use crate::cmd::job::ReadJob;
use crate::context::{Context, random};
use crate::home::Profile;
use crate::output::{Stop, short, time};

use set::Reach;
use told::Told;

/// Stop: at once, everywhere, without asking anybody.
///
/// Without a scope everything stops. One signature is enough. The halt goes to every beacon directly and to the server; it is set
/// when so many beacons have it that no quorum of Clears can be had without one that knows of it, even if one lies.
/// Nothing starts later than the lifetime of a challenge after that, whatever the server does.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_long_help = "\
Examples:
  countersign halt --reason 'server in the wrong hands'
  countersign halt --job 91c0a4f2… --reason 'wrong script'
  countersign halt --person bo --reason 'laptop stolen'
  countersign halt --reason 'network in the wrong hands' --file halt.txt   # and on each machine: countersign-agent halt halt.txt
  countersign halt list                                                    # what is stopped, by whom, and who knows"
)]
pub struct HaltArgs {
    #[command(subcommand)]
    look: Option<Look>,
    /// Why.
    #[arg(long, required = true)]
    reason: Option<String>,
    /// The advisory it goes with, such as a vendor's.
    #[arg(long, default_value = "", value_name = "NAME")]
    advisory: String,
    /// Only this job, by its whole hash.
    #[arg(long, value_name = "HASH")]
    job: Option<Sha256>,
    /// Only steps with this script, by its hash.
    #[arg(long, value_name = "HASH", conflicts_with = "job")]
    script: Option<Sha256>,
    /// Only what this person asks for or approves.
    #[arg(long, value_name = "NAME", value_parser = name, conflicts_with_all = ["job", "script"])]
    person: Option<Name>,
    /// Only agents below a version: `countersign-agent=1.2.3`.
    #[arg(long, value_name = "NAME=VERSION", value_parser = crate::args::label, conflicts_with_all = ["job", "script", "person"])]
    component: Option<(Name, Name)>,
    /// Also write it to a file, such as one on a USB stick: `countersign-agent halt FILE` takes it from there.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Do not wait until connected devices have it.
    #[arg(long)]
    no_wait: bool,
}

/// What is stopped now. Works without the server, from what is kept here and what beacons say.
#[derive(Debug, Subcommand)]
pub enum Look {
    /// Every halt that stops something: since when, by whom, why, what it stops, and who has it.
    List {
        /// Also write them all to a file, for `countersign-agent halt FILE`.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// One of them, with every device that does not have it.
    Show {
        /// Its hash, or the beginning of it.
        halt: String,
        /// Also write it to a file, for `countersign-agent halt FILE`.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// How a halt is called.
struct Wish {
    scope: Scope,
    reason: String,
    advisory: String,
    file: Option<PathBuf>,
    wait: bool,
}

/// Runs it.
pub fn run(context: &Context, args: HaltArgs) -> anyhow::Result<ExitCode> {
    if let Some(look) = args.look {
        return list::run(context, look);
    }
    let scope = match (args.job, args.script, args.person, args.component) {
        (Some(job), ..) => Scope::Job(job),
        (_, Some(script), ..) => Scope::Script(script),
        (_, _, Some(person), _) => Scope::Person(person),
        (.., Some((name, below))) => Scope::Component(Component { name, below }),
        _ => Scope::Organization(Nothing),
    };
    let profile = context.profile()?;
    let reason = args.reason.unwrap_or_default();
    call(
        context,
        &profile,
        Wish { scope, reason, advisory: args.advisory, file: args.file, wait: !args.no_wait },
    )
}

/// Stops one job, unless it is over: a halt of it would stop nothing, and take the room of one that does.
pub fn cancel(context: &Context, wish: &str, reason: &str) -> anyhow::Result<ExitCode> {
    let profile = context.profile()?;
    let job = match wish.parse() {
        Ok(hash) => hash,
        Err(_) => {
            let read = ReadJob::fetch(&context.open()?, wish)?;
            if read.is_over(context.now) {
                let (hash, end) = (read.hash, time(read.job.not_after.0));
                return Err(Stop::Usage(format!(
                    "nothing needs to be stopped: the job {} ended at {end}, and nothing can start or run by it any more; \
                     if the clock here is wrong: countersign halt --job {hash} --reason …",
                    short(&hash)
                ))
                .into());
            }
            read.hash
        }
    };
    context.ui.note(&format!("The job is {job}"));
    let wish = Wish {
        scope: Scope::Job(job),
        reason: reason.to_owned(),
        advisory: String::new(),
        file: None,
        wait: true,
    };
    call(context, &profile, wish)
}

fn call(context: &Context, profile: &Profile, wish: Wish) -> anyhow::Result<ExitCode> {
    let chain = chain::known(profile)?
        .context("nothing of this organization was verified here yet; run `countersign status` once")?;
    let policy = &chain.policy().body;
    if !policy.people_of(&policy.halt.roles).contains(&profile.me) {
        context.ui.warn(&format!("policy {} does not let {} halt", policy.number, profile.me));
    }
    if !matches!(wish.scope, Scope::Organization(_)) {
        let me = Halter::Person(profile.me.clone());
        room::before(&chain, &me).iter().for_each(|warning| context.ui.warn(warning));
    }
    let halt = Halt {
        org: Some(chain.org()),
        id: StatementId(random()?),
        policy: Some(chain.policy().hash),
        scope: wish.scope,
        made: context.now,
        reason: wish.reason.parse().map_err(|error| Stop::Usage(format!("--reason: {error}")))?,
        advisory: wish.advisory.parse().map_err(|error| Stop::Usage(format!("--advisory: {error}")))?,
    };
    // No question: to stop must be as easy from a script or a phone as at a desk, and a resume lifts it.
    context.ui.note(&format!("Halting {}", words(&halt.scope)));
    let text = statement::write(&halt).0;
    let signed = Signed::new(text.clone(), [context.signer(profile)?.sign(Kind::Halt, &text)?])?;
    // A disk that is full or gone keeps the halt from nobody.
    let written = wish.file.map(|path| file::write(context, &path, &[&signed]));
    let told = told::tell(profile, &chain, &signed);
    let ended = report(context, profile, chain, &signed, (&told, wish.wait))?;
    written.unwrap_or(Ok(()))?;
    Ok(ended)
}

/// What a halt stops, in the words that every program uses; a hash as far as it must be typed.
pub fn words(scope: &Scope) -> String {
    let text = scope.to_string();
    match scope {
        Scope::Job(hash) | Scope::Script(hash) => text.replace(&hash.to_string(), &short(hash)),
        _ => text,
    }
}

fn report(
    context: &Context,
    profile: &Profile,
    mut chain: Chain,
    signed: &Signed,
    (told, wait): (&Told, bool),
) -> anyhow::Result<ExitCode> {
    let taken = chain.take_halt(signed).context("this halt would not be obeyed")?;
    if taken == Taken::Lifted {
        let what = "nobody obeys this halt: a resume has lifted all that this key halts, until a later policy names the key; \
                    halt with another key, or let somebody else";
        return Err(Stop::Refused(what.to_owned()).into());
    }
    chain::keep(profile, &chain)?;
    told.show(&context.ui);
    let have: Vec<VerifierKey> =
        told.beacons.iter().filter(|(_, said)| said.is_ok()).map(|(key, _)| key.clone()).collect();
    let reached = set::reach(&chain, &have);
    let newest = reached.last().context("no policy is held")?;
    let newer = told
        .beacons
        .iter()
        .filter_map(|(_, said)| said.as_ref().ok())
        .any(|named| chain.policy_by_hash(named).is_none());
    let set = !newer && reached.iter().all(Reach::enough);
    let beacons: Vec<_> = told
        .beacons
        .iter()
        .map(|(key, said)| json!({"beacon": key.name(), "acknowledged": said.is_ok()}))
        .collect();
    let policies: Vec<_> = reached.iter().map(Reach::json).collect();
    let watch = |now: bool| {
        let watched = now && wait && told.server.is_ok();
        watched.then(|| spread::watch(context, profile, &signed.hash())).flatten()
    };
    // A person reads at once whether it is set; a program reads one answer.
    let spread = watch(context.ui.json);
    let answer = json!({
        "halt": signed.hash().to_string(), "set": set, "acknowledged": newest.got(), "needed": newest.wanted(), "of": newest.there,
        "policies": policies, "beacons": beacons, "server": told.server.is_ok(), "the_server_says": spread.as_ref().map(state::says),
    });
    context.ui.answer(&answer, || {
        let halt = format!("Halt {}", short(&signed.hash()));
        match set {
            true => format!("{halt} is SET: {}. {}", newest.words(), promise(&chain)),
            false if newer => format!("{halt} is not yet certain: a beacon holds a newer policy; run `countersign status`, then halt again."),
            false => format!("{halt} is NOT SET. {}", lacking(&reached)),
        }
    });
    let _shown = watch(!context.ui.json);
    Ok(if set { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// What holds once a halt is set. A device may hold any policy, so the longest lifetime counts, and the weakest quorum.
fn promise(chain: &Chain) -> String {
    let beacons = || chain.policies().iter().map(|held| &held.body.beacons);
    let lifetime = beacons().map(|beacons| beacons.lifetime).max().unwrap_or_default();
    let weakest = beacons().map(|beacons| beacons.need.get()).min().unwrap_or_default();
    set::promise(usize::from(weakest), lifetime)
}

/// Which policies' beacons lack a halt, in words.
fn lacking(reached: &[Reach]) -> String {
    let newest = reached.last().map(|reach| reach.policy);
    let mut text = String::new();
    for reach in reached.iter().rev().filter(|reach| !reach.enough()) {
        text.push_str(&format!("{}; missing: {}. ", reach.words(), reach.missing.join(", ")));
        if Some(reach.policy) != newest {
            text.push_str(&format!("A device that still holds policy {} may start work. ", reach.policy));
        }
    }
    text.push_str("Reach the missing ones, or their operators, and halt again.");
    text
}
