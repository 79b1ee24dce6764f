//! `countersign policy propose --new-log`: the log's key may be in the wrong hands, so the organization goes on in another log.

use countersign_trust::ids::Sha256;
use countersign_trust::note::VerifierKey;
use countersign_trust::statement::policy::Policy;
use countersign_wire::http::{NewLog, NewLogView, paths};

use crate::checked::log::{Leaf, SeenLog};
use crate::checked::witnesses;
use crate::context::{Context, Session};
use crate::output::{Stop, count, plain};

/// How much of the old log counts on, and which key the new one has.
#[derive(Debug, Default, clap::Args)]
pub struct NewLogArgs {
    /// Go on in another log, under a key that the server draws: what to do when the log's key is in the wrong hands.
    #[arg(long)]
    pub new_log: bool,
    /// How many leaves of the log so far count on; all that the server shows, unless the thief was in before that.
    #[arg(long, requires = "new_log", value_name = "LEAVES")]
    pub old_size: Option<u64>,
    /// Another key than the one that the server drew before, which may be stolen too.
    #[arg(long, requires = "new_log")]
    pub another_key: bool,
}

/// Puts another log into `changed`, and says what that gives up.
pub fn replace(
    context: &Context,
    session: &Session,
    args: &NewLogArgs,
    changed: &mut Policy,
) -> anyhow::Result<()> {
    let wish = NewLog { anew: args.another_key };
    let drawn: NewLogView = session.server.post(&session.path(paths::NEW_LOG, &[]), &wish)?;
    let held = &session.checked.chain.policy().body.log.key;
    if drawn.old_key != held.to_string() {
        let what = format!("the server keeps the log {}, the policy names {held}", plain(&drawn.old_key));
        return Err(Stop::Alarm(what).into());
    }
    let key: VerifierKey =
        drawn.key.parse().map_err(|error| Stop::Alarm(format!("the server's new key: {error}")))?;
    let size = args.old_size.unwrap_or(drawn.old_size);
    if size > drawn.old_size {
        let most = drawn.old_size;
        return Err(Stop::Usage(format!(
            "--old-size {size}: the server shows {most} leaves that are cosigned"
        ))
        .into());
    }
    let path = session.path(paths::LOG, &[]);
    let org = &session.profile.org;
    // What is read here is what the root is of; the server's word for it is only held against that.
    let (read, root) = session.checked.log.read_again(size, org, &session.server, &path)?;
    if size == drawn.old_size && drawn.old_root != root.to_string() {
        let what = format!(
            "the log's {size} leaves have the root {root}, the server says {}",
            plain(&drawn.old_root)
        );
        return Err(Stop::Alarm(what).into());
    }
    let shown = SeenLog::default().read_again(drawn.old_size, org, &session.server, &path)?.0;
    tell(context, session, &read, &shown);
    (changed.log.key, changed.log.old_size, changed.log.old_root) = (key, size, Some(root));
    Ok(())
}

/// What counts for nothing any more.
fn tell(context: &Context, session: &Session, read: &SeenLog, shown: &SeenLog) {
    let size = read.size;
    let leaves = |number: u64| count(usize::try_from(number).unwrap_or(usize::MAX), "leaf", "leaves");
    let seen = witnesses::ask(&session.checked.chain).most().unwrap_or(size).max(shown.size);
    context.ui.warn(&format!(
        "of the log so far {} count on. What stands above counts for nothing once this policy is in force: {} that the server shows, \
         and {} that witnesses have seen and it does not show",
        leaves(size),
        leaves(shown.size.saturating_sub(size)),
        leaves(seen.saturating_sub(shown.size)),
    ));
    for leaf in shown.leaves.iter().filter(|leaf| leaf.index >= size) {
        context.ui.note(&format!("  {} counts no more there: {}", leaf.named(), words(leaf)));
    }
    context.ui.note(
        "What the server holds of it, it logs again in the new log: also what is logged until this policy is. A machine whose join \
         stands above and whose token has ended by then must be enrolled again.",
    );
}

fn words(leaf: &Leaf) -> String {
    let hash = leaf.statement.parse::<Sha256>().map(|hash| crate::output::short(&hash)).unwrap_or_default();
    format!("{} {hash}", plain(&leaf.kind))
}
