//! `countersign approve`: check anew what others have signed, and sign it too.

mod earlier;
mod look;

use std::path::Path;

use anyhow::Context as _;
use clap::Args;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::signers::passkey_rules;
use countersign_trust::statement::policy::Policy;
use countersign_trust::statement::{self, Kind};
use countersign_wire::http::StatementView;
use serde_json::json;

use crate::cmd::init;
use crate::cmd::job::{find, signed_part};
use crate::context::{Context, Session};
use crate::despite::Despite;
use crate::os::write_private;
use crate::output::{Stop, plain, short};
use crate::prose::exact;
use crate::signer::Signer;

/// Check something that others have signed, and sign it too.
///
/// Everything is checked anew: the exact text, the list of devices against the root in the text, the enrollments, who has signed.
/// The difference to the last job that holds is shown, and names that are easily taken for others.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  countersign inbox
  countersign approve 91c0a4
  countersign approve stores.txt --key ~/.ssh/id_ed25519.pub     # a new organization's first policy")]
pub struct ApproveArgs {
    /// The hash of a statement, or the beginning of it, or a file.
    #[arg(value_name = "HASH|FILE")]
    what: String,
    /// Only look and check.
    #[arg(long)]
    look: bool,
    #[command(flatten)]
    despite: Despite,
}

/// Runs it.
pub fn run(context: &Context, args: &ApproveArgs) -> anyhow::Result<()> {
    let path = Path::new(&args.what);
    if path.is_file() {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let signed = signed_part(&text).with_context(|| path.display().to_string())?;
        if let Some(genesis) = genesis(&signed) {
            return sign_genesis(context, args, path, &signed, &genesis);
        }
        let session = context.open_to_mend()?;
        // The server may know more signatures, and knows the list of targets.
        let view = session.statement(&signed.hash().to_string()).ok();
        let targets = view.map(|view| view.targets).unwrap_or_default();
        return sign_known(context, args, &session, &signed, targets);
    }
    let session = context.open_to_mend()?;
    let hash = find(&session, &args.what)?;
    let view: StatementView = session.statement(&hash)?;
    let signed = signed_part(&view.envelope)?;
    if signed.hash().to_string() != hash {
        return Err(Stop::Alarm(format!(
            "the server shows the statement {} under the name {hash}",
            signed.hash()
        ))
        .into());
    }
    sign_known(context, args, &session, &signed, view.targets)
}

fn genesis(signed: &Signed) -> Option<Policy> {
    let policy: Policy =
        (signed.kind() == Ok(Kind::Policy)).then(|| statement::read(signed.statement()).ok()).flatten()?;
    (policy.number == 1).then_some(policy)
}

/// The first policy of an organization that has not begun: signatures gather in the file.
fn sign_genesis(
    context: &Context,
    args: &ApproveArgs,
    path: &Path,
    signed: &Signed,
    policy: &Policy,
) -> anyhow::Result<()> {
    policy.check().context("this policy cannot be used")?;
    init::show(context, policy, &signed.hash());
    context.ui.note(&exact(signed.statement()));
    let org = OrgId(signed.hash().0);
    if args.look {
        return Ok(());
    }
    let key = context
        .key
        .clone()
        .ok_or_else(|| Stop::Usage("--key is needed: the key with which you sign".to_owned()))?;
    let signer = context.signer_of(&key)?;
    let person = policy.person_of_key(signer.public_key().blob()).map(|(name, _)| name.clone());
    let person = person.ok_or_else(|| {
        Stop::Usage(format!("the policy lists {} for nobody", signer.public_key().fingerprint()))
    })?;
    if !context.ui.confirm(&format!("Sign this as {person}, as the first policy of {}?", short(&org)))? {
        return Err(Stop::Refused("nothing was signed".to_owned()).into());
    }
    let mine = Signed::new(signed.statement().to_owned(), [signer.sign(Kind::Policy, signed.statement())?])?;
    // Of two by one key the first is kept: what stands in the file under mine may be none of mine.
    let both = mine.join(signed)?;
    write_private(path, both.to_string().as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    let still = init::missing(policy, &both);
    context.ui.answer(&json!({"org": org.to_string(), "missing": still}), || match still {
        0 => format!(
            "Signed, and enough people have: whoever began it runs `countersign init --finish {}`.",
            path.display()
        ),
        still => format!("Signed; {still} more must sign {}.", path.display()),
    });
    Ok(())
}

fn sign_known(
    context: &Context,
    args: &ApproveArgs,
    session: &Session,
    signed: &Signed,
    targets: Vec<String>,
) -> anyhow::Result<()> {
    let kind = signed.kind()?;
    if kind != Kind::Policy
        && let Some(alarm) = &session.checked.set_back
    {
        return Err(alarm.clone().into());
    }
    look::look(context, session, signed, &targets)?;
    if args.look {
        return Ok(());
    }
    let signer = context.signer(&session.profile)?;
    counts(context, session, &signer);
    if has_signed(&session.checked.chain.policy().body, kind, signed, &signer) {
        context.ui.note("You have signed this already.");
        return Ok(());
    }
    // What enrolls, halts, resumes or changes the policy mends what is wrong; these two start something on devices.
    if matches!(kind, Kind::Job | Kind::Advance) {
        args.despite.ask(context, session)?;
    }
    if !context.ui.confirm(&format!("Sign this {kind}?"))? {
        return Err(Stop::Refused("nothing was signed".to_owned()).into());
    }
    let mine = Signed::new(signed.statement().to_owned(), [signer.sign(kind, signed.statement())?])?;
    // Mine first, and alone where there is no room: others may have put what counts for nothing in my place, or in all.
    let view = session.post(&mine.join(signed).unwrap_or(mine), targets)?;
    session.hand_on(context, kind, &view);
    let hash: Sha256 = signed.hash();
    let answer = json!({"hash": hash.to_string(), "kind": kind.to_string(), "state": view.state, "missing": view.missing});
    context.ui.answer(&answer, || {
        let missing =
            if view.missing.is_empty() { String::new() } else { format!(", {}", plain(&view.missing)) };
        format!("Signed {kind} {}; the server says: {}{missing}", short(&hash), plain(&view.state))
    });
    Ok(())
}

/// Whether a signature by this key verifies. That one names the key says nothing: anybody may have put it there.
fn has_signed(policy: &Policy, kind: Kind, signed: &Signed, signer: &Signer) -> bool {
    let (key, namespace, rules) = (signer.public_key(), kind.namespace(), passkey_rules(policy));
    let text = signed.statement().as_bytes();
    signed.signatures().iter().any(|signature| signature.verify(key, &namespace, text, &rules).is_ok())
}

/// Says so when a signature will count for nothing.
fn counts(context: &Context, session: &Session, signer: &Signer) {
    let policy = &session.checked.chain.policy().body;
    match policy.person_of_key(signer.public_key().blob()) {
        Some((name, _)) if *name == session.profile.me => {}
        Some((name, _)) => context.ui.warn(&format!(
            "this key speaks for {name}, the profile says that you are {}",
            session.profile.me
        )),
        None if policy.recovery.keys.contains(signer.public_key()) => context
            .ui
            .warn("this is a key of the recovery set: what it signs waits 72 hours, in which the policy quorum can object"),
        None => context.ui.warn(&format!(
            "policy {} lists {} for nobody: your signature counts only under another one",
            policy.number,
            signer.public_key().fingerprint()
        )),
    }
}
