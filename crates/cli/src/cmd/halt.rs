//! `countersign halt`: to every beacon and the server at once. Works without the server, from what was kept here.

pub mod room;
pub mod set;

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use countersign_trust::chain::{Chain, Halter};
use countersign_trust::clear::Acknowledgement;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::{Name, Sha256, StatementId};
use countersign_trust::note::{Note, VerifierKey};
use countersign_trust::statement::halt::{Component, Halt, Scope};
use countersign_trust::statement::{self, Kind};
use countersign_trust::text::Nothing;
use countersign_wire::http::{PostStatement, StatementView, paths};
use serde_json::json;

use crate::args::name;
use crate::checked::chain;
use crate::client::{Client, filled};
use crate::cmd::job::ReadJob;
use crate::context::{Context, random};
use crate::home::Profile;
use crate::output::{Paint, Stop, plain, short, time};

use set::Reach;

/// Stop: at once, everywhere, without asking anybody.
///
/// Without a scope everything stops. One signature is enough. The halt goes to every beacon directly and to the server; it is set
/// when so many beacons have it that no quorum of Clears can be had without one that knows of it, even if one lies.
/// Nothing starts later than the lifetime of a challenge after that, whatever the server does.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  countersign halt --reason 'server in the wrong hands'
  countersign halt --job 91c0a4f2… --reason 'wrong script'
  countersign halt --person bo --reason 'laptop stolen'")]
pub struct HaltArgs {
    /// Why.
    #[arg(long)]
    reason: String,
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
}

/// Runs it.
pub fn run(context: &Context, args: HaltArgs) -> anyhow::Result<ExitCode> {
    let scope = match (args.job, args.script, args.person, args.component) {
        (Some(job), ..) => Scope::Job(job),
        (_, Some(script), ..) => Scope::Script(script),
        (_, _, Some(person), _) => Scope::Person(person),
        (.., Some((name, below))) => Scope::Component(Component { name, below }),
        _ => Scope::Organization(Nothing),
    };
    let profile = context.profile()?;
    call(context, &profile, scope, &args.reason, &args.advisory)
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
    call(context, &profile, Scope::Job(job), reason, "")
}

fn call(
    context: &Context,
    profile: &Profile,
    scope: Scope,
    reason: &str,
    advisory: &str,
) -> anyhow::Result<ExitCode> {
    let chain = chain::known(profile)?
        .context("nothing of this organization was verified here yet; run `countersign status` once")?;
    let policy = &chain.policy().body;
    if !policy.people_of(&policy.halt.roles).contains(&profile.me) {
        context.ui.warn(&format!("policy {} does not let {} halt", policy.number, profile.me));
    }
    if !matches!(scope, Scope::Organization(_)) {
        let me = Halter::Person(profile.me.clone());
        room::before(&chain, &me).iter().for_each(|warning| context.ui.warn(warning));
    }
    let halt = Halt {
        org: Some(chain.org()),
        id: StatementId(random()?),
        policy: Some(chain.policy().hash),
        scope,
        made: context.now,
        reason: reason.parse().map_err(|error| Stop::Usage(format!("--reason: {error}")))?,
        advisory: advisory.parse().map_err(|error| Stop::Usage(format!("--advisory: {error}")))?,
    };
    // No question: to stop must be as easy from a script or a phone as at a desk, and a resume lifts it.
    context.ui.note(&format!("Halting {}", words(&halt.scope)));
    let text = statement::write(&halt).0;
    let signed = Signed::new(text.clone(), [context.signer(profile)?.sign(Kind::Halt, &text)?])?;
    let told = tell(profile, &chain, &signed);
    report(context, profile, chain, &signed, &told)
}

/// What a halt stops, in words.
pub fn words(scope: &Scope) -> String {
    match scope {
        Scope::Organization(_) => "the whole organization".to_owned(),
        Scope::Job(job) => format!("the job {}", short(job)),
        Scope::Script(script) => format!("every step with the script {}", short(script)),
        Scope::Person(person) => format!("everything that {person} asks for or approves"),
        Scope::Component(component) => format!("{} below {}", component.name, component.below),
    }
}

/// What a beacon answered: the policy it holds, or why its answer does not count.
struct Told {
    beacons: Vec<(VerifierKey, Result<Sha256, String>)>,
    server: Result<StatementView, String>,
}

const LIMIT: Duration = Duration::from_secs(10);

/// Hands the halt to every beacon of every policy held, and to the server, all at once.
fn tell(profile: &Profile, chain: &Chain, signed: &Signed) -> Told {
    let mut places: Vec<(VerifierKey, String)> = Vec::new();
    for held in chain.policies().iter().rev() {
        for key in &held.body.beacons.keys {
            let url = held.body.addresses.beacons.iter().find(|(name, _)| name.as_str() == key.name());
            let known = places.iter().any(|(other, _)| other == key);
            if let (false, Some((_, url))) = (known, url) {
                places.push((key.clone(), url.to_string()));
            }
        }
    }
    thread::scope(|scope| {
        let server = scope.spawn(|| tell_server(profile, signed));
        let calls: Vec<_> = places
            .into_iter()
            .map(|(key, url)| {
                let call_key = key.clone();
                (key, scope.spawn(move || tell_beacon(chain, &call_key, &url, signed)))
            })
            .collect();
        let broken = || Err("the call broke off".to_owned());
        let beacons =
            calls.into_iter().map(|(key, call)| (key, call.join().unwrap_or_else(|_| broken()))).collect();
        Told { beacons, server: server.join().unwrap_or_else(|_| Err("the call broke off".to_owned())) }
    })
}

fn tell_beacon(chain: &Chain, key: &VerifierKey, url: &str, signed: &Signed) -> Result<Sha256, String> {
    let client = Client::new(url, None, None).map_err(|error| error.to_string())?.within(LIMIT);
    let path = format!("/v1/orgs/{}/halts", chain.org());
    let answer = client.post_text(&path, signed.to_string()).map_err(|error| error.to_string())?;
    let note: Note = answer.parse().map_err(|error| format!("no acknowledgement: {error}"))?;
    if !note.signed_by(key) {
        return Err("its acknowledgement is not signed by its key".to_owned());
    }
    let said: Acknowledgement =
        note.text().parse().map_err(|error| format!("no acknowledgement: {error}"))?;
    if said.org != chain.org() || said.halt != signed.hash() {
        return Err("it acknowledges another halt".to_owned());
    }
    Ok(said.policy)
}

fn tell_server(profile: &Profile, signed: &Signed) -> Result<StatementView, String> {
    let client = profile.client().map_err(|error| error.to_string())?.within(LIMIT);
    let path = filled(paths::STATEMENTS, &[("org", &profile.org.to_string())]);
    let body = PostStatement { signed: signed.to_string(), targets: Vec::new() };
    client.post(&path, &body).map_err(|error| error.to_string())
}

fn report(
    context: &Context,
    profile: &Profile,
    mut chain: Chain,
    signed: &Signed,
    told: &Told,
) -> anyhow::Result<ExitCode> {
    chain.take_halt(signed).context("this halt would not be obeyed")?;
    chain::keep(profile, &chain)?;
    show_answers(context, told);
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
    let answer = json!({"halt": signed.hash().to_string(), "set": set, "acknowledged": newest.got(), "needed": newest.wanted(), "of": newest.there, "policies": policies, "beacons": beacons, "server": told.server.is_ok()});
    context.ui.answer(&answer, || {
        let halt = format!("Halt {}", short(&signed.hash()));
        match set {
            true => format!("{halt} is SET: {}. {}", newest.words(), promise(&chain)),
            false if newer => format!("{halt} is not yet certain: a beacon holds a newer policy; run `countersign status`, then halt again."),
            false => format!("{halt} is NOT SET. {}", lacking(&reached)),
        }
    });
    Ok(if set { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn show_answers(context: &Context, told: &Told) {
    for (key, said) in &told.beacons {
        let word = match said {
            Ok(_) => format!("has it ({})", context.ui.paint(Paint::Good, "verified")),
            Err(why) => format!("HAS NOT: {}", plain(why)),
        };
        context.ui.note(&format!("  beacon {}: {word}", plain(key.name())));
    }
    match &told.server {
        Ok(view) => context.ui.note(&format!("  the server says: {}", plain(&view.state))),
        Err(why) => context.ui.note(&format!("  server: HAS NOT: {}", plain(why))),
    }
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
