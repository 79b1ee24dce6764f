//! `countersign init`: the first policy of an organization.

mod genesis;
mod local;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::{Name, OrgId, Sha256};
use countersign_trust::note::{KeyKind, VerifierKey};
use countersign_trust::signers::signers;
use countersign_trust::statement::policy::Policy;
use countersign_trust::statement::{self, Kind};
use countersign_wire::http::{BeginOrg, PrepareOrg, PreparedOrg, paths};
use serde_json::json;

use crate::args::name;
use crate::checked::Checked;
use crate::client::Client;
use crate::context::Context;
use crate::difference;
use crate::home::{Draft, Profile};
use crate::os::write_private;
use crate::output::{Paint, Stop, indent, plain, short};
use crate::signer::kept;
use crate::weakness::weaknesses;

pub use genesis::person;
use genesis::{Peer, Wish, compose};

/// Begin an organization: compose its first policy, show what is weak about it, sign it and publish it.
///
/// The hash of this policy is the organization's id for ever. With several people it takes the signatures of a quorum: then a
/// draft file is written, which the others sign with `countersign approve FILE`; `countersign init --finish FILE` publishes it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  one person:
    countersign init --name Home --person me --key ~/.ssh/id_ed25519.pub
        --server https://rmm.example:8443 --setup-token setup-token
        --beacon https://b.example:7001 --witness https://w.example:7002
  several people:
    countersign init --name Stores --person anna=anna.pub --person bo=bo.pub
        --key anna.pub --draft stores.txt --server … --setup-token … --beacon … --witness …
    countersign approve stores.txt --key bo.pub     # bo, who gets stores.txt by mail
    countersign init --finish stores.txt")]
pub struct InitArgs {
    /// What people call the organization.
    #[arg(long, required_unless_present = "finish")]
    name: Option<String>,
    /// A person who may sign: `name=KEY`, where KEY is an id_*.pub or its text; repeat it for more keys and people.
    /// `name` alone is you, with the key of --key.
    #[arg(long = "person", value_name = "NAME[=KEY]", required_unless_present = "finish")]
    people: Vec<String>,
    /// Which of the people you are, if there are several.
    #[arg(long, value_parser = name)]
    me: Option<Name>,
    /// The server.
    #[arg(long, value_name = "URL", required_unless_present = "finish")]
    server: Option<String>,
    /// The hash of the key of the server's certificate, as the server prints it at its first start.
    #[arg(long, value_name = "SHA256")]
    pin: Option<Sha256>,
    /// A file with the server's setup token.
    #[arg(long, value_name = "FILE", required_unless_present = "finish")]
    setup_token: Option<PathBuf>,
    /// A beacon, and after a space its key if you know it; 4 by others than the server's operator are recommended.
    #[arg(long = "beacon", value_name = "URL", required_unless_present_any = ["finish", "local"])]
    beacons: Vec<String>,
    /// A witness, and after a space its key if you know it; 4 are recommended.
    #[arg(long = "witness", value_name = "URL", required_unless_present_any = ["finish", "local"])]
    witnesses: Vec<String>,
    /// Start a beacon and a witness on this host: enough to begin at home, and weak.
    #[arg(long, conflicts_with_all = ["beacons", "witnesses", "finish"])]
    local: bool,
    /// How many other people must approve a job [default: 0 for one person, else 1].
    #[arg(long)]
    approvals: Option<u8>,
    /// How many beacons must answer [default: so many that one may lie].
    #[arg(long, value_name = "NUMBER")]
    beacons_needed: Option<u8>,
    /// How many witnesses must cosign [default: so many that one may lie].
    #[arg(long, value_name = "NUMBER")]
    witnesses_needed: Option<u8>,
    /// For how long a device's challenge is good, and at most how late a halt bites.
    #[arg(long, default_value = "180s", value_parser = crate::args::duration)]
    lifetime: u64,
    /// Where the draft goes if more people must sign.
    #[arg(long, value_name = "FILE", default_value = "countersign-genesis.txt")]
    draft: PathBuf,
    /// Publish a draft that enough people have signed.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["people", "server", "beacons", "witnesses"])]
    finish: Option<PathBuf>,
}

/// Runs it.
pub fn run(context: &Context, args: InitArgs) -> anyhow::Result<()> {
    match &args.finish {
        Some(file) => {
            let text =
                std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            let signed = Signed::from_text(&text).with_context(|| file.display().to_string())?;
            let draft = context.home.draft(&signed.hash())?;
            publish(context, &signed, draft)
        }
        None => begin(context, args),
    }
}

fn begin(context: &Context, args: InitArgs) -> anyhow::Result<()> {
    let wanted = |what: &str| Stop::Usage(format!("{what} is needed"));
    let server_url = args.server.clone().ok_or_else(|| wanted("--server"))?;
    let file = args.setup_token.clone().ok_or_else(|| wanted("--setup-token"))?;
    let setup_token = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read {}", file.display()))?
        .trim()
        .to_owned();
    let key = context.key.clone().ok_or_else(|| wanted("--key, with which you sign"))?;
    let signer = context.signer_of(&key)?;
    let people = genesis::people(&args.people, signer.public_key())?;
    let me = genesis::me(args.me.clone(), &people, signer.public_key())?;
    let beacons = ask_peers(context, "beacon", &peers(context, "beacon", &args)?, KeyKind::Ed25519)?;
    let witnesses =
        ask_peers(context, "witness", &peers(context, "witness", &args)?, KeyKind::CosignatureV1)?;
    let server = Client::new(&server_url, args.pin, Some(setup_token.clone()))?;
    let title = args.name.clone().ok_or_else(|| wanted("--name"))?;
    let prepared: PreparedOrg = server.post(paths::ORGS, &PrepareOrg { name: title.clone() })?;
    let pin = check_pin(context, &server, args.pin, &prepared)?;
    let wish = Wish {
        name: title.clone(),
        people,
        beacons,
        witnesses,
        approvals: args.approvals,
        beacons_needed: args.beacons_needed,
        witnesses_needed: args.witnesses_needed,
        lifetime: args.lifetime,
    };
    let policy = compose(&wish, &prepared, pin)?;
    policy.check().context("this policy cannot be used")?;
    let (text, hash) = statement::write(&policy);
    show(context, &policy, &hash);
    if !context.ui.confirm("Sign this as the organization's first policy?")? {
        return Err(Stop::Refused("nothing was signed".to_owned()).into());
    }
    let signed = Signed::new(text, [signer.sign(Kind::Policy, &statement::write(&policy).0)?])?;
    let draft = Draft {
        profile: context.profile.clone().unwrap_or_else(|| profile_name(&title)),
        server: server_url,
        pin: pin.to_string(),
        draft: prepared.draft,
        token: prepared.token,
        setup_token,
        me: me.to_string(),
        key: kept(&key),
    };
    context.home.add_draft(&hash, &draft)?;
    if missing(&policy, &signed) > 0 {
        return leave_draft(context, &args.draft, &policy, &signed);
    }
    publish(context, &signed, draft)
}

/// How many signatures the genesis policy still needs.
pub fn missing(policy: &Policy, signed: &Signed) -> usize {
    let got = signers(policy, Kind::Policy, signed).too_few_for(policy, &policy.quorums.policy);
    got.map_or(0, |got| usize::from(policy.quorums.policy.need.get()).saturating_sub(got))
}

fn leave_draft(context: &Context, path: &Path, policy: &Policy, signed: &Signed) -> anyhow::Result<()> {
    write_private(path, signed.to_string().as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    let (file, still) = (path.display().to_string(), missing(policy, signed));
    let answer = json!({"draft": file, "org": format!("org-{}", signed.hash()), "missing": still});
    context.ui.answer(&answer, || {
        format!(
            "{still} more of {} must sign {file}. Give it to them; it holds no secret. They run:\n  \
             countersign approve {file} --key THEIR_KEY\nThen, here:\n  countersign init --finish {file}",
            policy.quorums.policy.role
        )
    });
    Ok(())
}

fn publish(context: &Context, signed: &Signed, draft: Draft) -> anyhow::Result<()> {
    let policy: Policy = statement::read(signed.statement())?;
    let still = missing(&policy, signed);
    if still > 0 {
        let what = format!("{still} more of role {} must sign this policy first", policy.quorums.policy.role);
        return Err(Stop::Refused(what).into());
    }
    let pin: Sha256 = draft.pin.parse().context("the draft's pin is damaged")?;
    let server = Client::new(&draft.server, Some(pin), Some(draft.setup_token.clone()))?;
    let body = BeginOrg { draft: draft.draft.clone(), genesis: signed.to_string() };
    let _view: serde_json::Value = server.post(paths::BEGIN, &body)?;
    let org = OrgId(signed.hash().0);
    let (me, key) = (draft.me.parse()?, draft.key.clone());
    let profile = Profile::new(draft.profile.clone(), draft.server, Some(pin), org, me, key, draft.token);
    let profile = context.home.add(profile)?;
    // Only after the profile is kept: until then the draft holds the one copy of the API token.
    context.home.remove_draft(&signed.hash())?;
    let checked = Checked::fetch(&profile, &profile.client()?)
        .context("the organization has begun, but cannot be verified yet")?;
    checked.warn(&context.ui);
    let answer = json!({"org": org.to_string(), "profile": profile.name, "log_size": checked.log.size});
    context.ui.answer(&answer, || {
        let verified = context.ui.paint(Paint::Good, "verified");
        format!(
            "The organization has begun, {verified}: its first policy stands in the log and is cosigned.\n  {org}\n\
             Kept as profile `{}`. Next:\n  countersign enroll token --site SITE --count 10",
            plain(&profile.name)
        )
    });
    Ok(())
}

/// Asks each beacon or witness for its key, or holds it against the one that was given.
/// The beacons or witnesses that were named, or one that is started here.
fn peers(context: &Context, kind: &str, args: &InitArgs) -> anyhow::Result<Vec<String>> {
    match (args.local, kind) {
        (true, _) => Ok(vec![local::start(context.home.folder(), kind)?]),
        (false, "beacon") => Ok(args.beacons.clone()),
        (false, _) => Ok(args.witnesses.clone()),
    }
}

fn ask_peers(context: &Context, what: &str, given: &[String], kind: KeyKind) -> anyhow::Result<Vec<Peer>> {
    let mut peers = Vec::new();
    for wish in given {
        let (url, known) = match wish.trim().split_once(' ') {
            Some((url, key)) => {
                (url, Some(key.trim().parse::<VerifierKey>().with_context(|| format!("the key of {url}"))?))
            }
            None => (wish.trim(), None),
        };
        let line = Client::new(url, None, None)?.get_text("/v1/key")?;
        let key: VerifierKey =
            line.trim().parse().with_context(|| format!("the {what} at {url} showed no key"))?;
        if key.kind() != kind {
            bail!("{url} showed a key of kind {:?}; a {what} has one of kind {kind:?}", key.kind());
        }
        match known {
            Some(known) if known != key => {
                let what = format!("the {what} at {url} shows the key {key}, you gave {known}");
                return Err(Stop::Alarm(what).into());
            }
            Some(_) => context.ui.note(&format!("{what} {url}: {key} (as you gave it)")),
            None => context.ui.note(&format!("{what} {url}: {key} (seen now for the first time)")),
        }
        peers.push(Peer { url: url.to_owned(), key });
    }
    if given.iter().any(|wish| !wish.trim().contains(' ')) {
        context.ui.warn(&format!(
            "keys of the {what} seen for the first time came over the network and nobody has vouched for them; compare them with what its operator tells you, now: they become part of the policy"
        ));
    }
    Ok(peers)
}

fn check_pin(
    context: &Context,
    server: &Client,
    given: Option<Sha256>,
    prepared: &PreparedOrg,
) -> anyhow::Result<Sha256> {
    let named: Sha256 = prepared.pin.parse().context("the server names a pin that is no hash")?;
    let seen = server.seen_pin().unwrap_or(named);
    if seen != named {
        let what = format!(
            "the server names {named} as the key of its certificate, the connection showed {seen}: somebody stands between"
        );
        return Err(Stop::Alarm(what).into());
    }
    if given.is_none() {
        context.ui.warn(&format!("the server's certificate has key {seen}, seen now for the first time; compare it with what the server printed at its first start"));
    }
    Ok(seen)
}

/// A genesis policy in words, with its weaknesses.
pub fn show(context: &Context, policy: &Policy, hash: &Sha256) {
    let people = policy.people.iter().map(|(name, person)| {
        let keys: Vec<String> = person.keys.iter().map(|held| held.key.fingerprint()).collect();
        format!("{name}: {}", keys.join(", "))
    });
    let mut text = format!("First policy of `{}` ({})\n", plain(policy.name.as_str()), short(hash));
    text.push_str(&indent(&people.collect::<Vec<_>>().join("\n")));
    let rules = policy.rules.iter().map(|rule| format!("may run: {}", difference::rule(rule)));
    text.push_str(&indent(&rules.collect::<Vec<_>>().join("\n")));
    text.push_str(&indent(&format!(
        "policy changes, enrollments and resumes: {} of {}; halts: anyone, and the server\n\
         beacons: {} of {}, witnesses: {} of {}; a halt bites after at most {} s",
        policy.quorums.policy.need,
        policy.quorums.policy.role,
        policy.beacons.need,
        policy.beacons.keys.len(),
        policy.witnesses.need,
        policy.witnesses.keys.len(),
        policy.beacons.lifetime
    )));
    context.ui.note(text.trim_end());
    for weak in weaknesses(policy) {
        context.ui.warn(&format!("weak: {}", plain(&weak)));
    }
}

/// What a profile is called: the organization's name, in letters that are easily typed.
fn profile_name(title: &str) -> String {
    let easy = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = title.chars().map(easy).collect();
    let name = name.trim_matches('-').to_owned();
    if name.is_empty() { "default".to_owned() } else { name }
}
