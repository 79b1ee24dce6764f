//! When a witness cosigns: every rule, and nothing but rules. No file, no clock.
//!
//! Source: c2sp.org/tlog-witness, "add-checkpoint", for all that is not about an organization's policies.

use countersign_trust::chain::{Chain, Held};
use countersign_trust::checkpoint::{AddCheckpoint, Checkpoint, LogError, signed_checkpoint};
use countersign_trust::ids::Sha256;
use countersign_trust::merkle::{EMPTY_ROOT, MerkleError, leaf_hash, verify_consistency};
use countersign_trust::note::{Note, VerifierKey};
use countersign_trust::statement::policy::Policy;

/// Why a checkpoint is not cosigned.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Not a request.
    #[error("no request: {0}")]
    Read(String),
    /// No policy that counts names this log and this witness.
    #[error(
        "no log `{0}` is known here: send the policies of its organization to /v1/orgs/<org>/policies; \
         the newest must name this log and this witness's key"
    )]
    Unknown(String),
    /// The log has not signed, or somebody wrote a bad line in its name.
    #[error("not signed by the log: {0}")]
    Unsigned(LogError),
    /// A line that claims to be the log's and is not.
    #[error("signature line {number} bears the log's key {log} and does not verify")]
    BadLine {
        /// Counted from 1.
        number: usize,
        /// The log's key.
        log: VerifierKey,
    },
    /// The log was replaced by a policy.
    #[error("policy {policy} ended this log at {last} leaves; a checkpoint of {found} is not cosigned")]
    Ended {
        /// The policy that names another log.
        policy: u64,
        /// Up to where this one counts.
        last: u64,
        /// The size asked for.
        found: u64,
    },
    /// The log of a policy that waits, with more in it than that policy.
    #[error(
        "the policy of the recovery set that names this log waits for the word of enough beacons; until then nothing is \
         cosigned in it but that policy, as its only leaf"
    )]
    Waits,
    /// A proof that goes backwards.
    #[error("the old size {old} is larger than the checkpoint's, {new}")]
    Backwards {
        /// The old size.
        old: u64,
        /// The checkpoint's size.
        new: u64,
    },
    /// Not the checkpoint seen last.
    #[error("{0}\n")]
    OldSize(u64),
    /// The tree is not what it was.
    #[error("not consistent with what was seen before: {0}")]
    Inconsistent(#[from] MerkleError),
    /// It ends elsewhere than the policy that replaced it says.
    #[error("policy {policy} says that this log ended with root {expected}, this checkpoint has {found}")]
    EndRoot {
        /// The policy that names another log.
        policy: u64,
        /// The root it states.
        expected: Sha256,
        /// The checkpoint's.
        found: Sha256,
    },
}

/// A log that this witness cosigns, by an organization's policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownLog {
    /// Its key.
    pub key: VerifierKey,
    /// Where it ended, if a policy has replaced it.
    pub end: Option<LogEnd>,
    /// The root to which it is held, of one leaf, while the policy that names it waits: that policy's own.
    pub only: Option<Sha256>,
}

/// Where a log ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEnd {
    /// The number of the policy that names another log.
    pub policy: u64,
    /// Up to which size the log counts.
    pub size: u64,
    /// Its root at that size, if stated.
    pub root: Option<Sha256>,
}

/// The log of `chain` that a checkpoint speaks of, if the witness `me` is to cosign it.
///
/// The policy that names the log, or the one before it, must name `me`: the first leaf of a new policy is cosigned by
/// the witnesses of the old one, or no policy could ever replace them.
pub fn known_log(chain: &Chain, checkpoint: &Checkpoint, me: &VerifierKey) -> Option<KnownLog> {
    let policies = chain.policies();
    let names_it = |held: &Held<Policy>| held.body.log.key.name() == checkpoint.origin;
    let Some(at) = policies.iter().rposition(names_it) else { return waiting_log(chain, checkpoint, me) };
    let (upto, later) = policies.split_at_checked(at + 1)?;
    if !upto.iter().rev().take(2).any(|held| names(held, me)) {
        return None;
    }
    let end = later.first().map(|next| LogEnd {
        policy: next.body.number,
        size: next.body.log.old_size,
        root: next.body.log.old_root,
    });
    Some(KnownLog { key: upto.last()?.body.log.key.clone(), end, only: None })
}

/// The log that only a policy which waits names. What it is to replace goes on meanwhile: those who object are logged there, and
/// everybody can see what waits.
fn waiting_log(chain: &Chain, checkpoint: &Checkpoint, me: &VerifierKey) -> Option<KnownLog> {
    let naming = |held: &&Held<Policy>| held.body.log.key.name() == checkpoint.origin;
    let alone = |held: &Held<Policy>| Some(leaf_hash(held.signed.leaf(&chain.org()).ok()?.as_bytes()));
    let is_it = |held: &&Held<Policy>| alone(held) == Some(checkpoint.root);
    let mut named = chain.waiting().iter().filter(naming).filter(|_| names(chain.policy(), me));
    let first = named.next()?;
    let held = named.find(is_it).unwrap_or(first);
    Some(KnownLog { key: held.body.log.key.clone(), end: None, only: Some(alone(held)?) })
}

fn names(policy: &Held<Policy>, me: &VerifierKey) -> bool {
    policy.body.witnesses.keys.contains(me)
}

/// What a request is about; the origin is as yet only claimed.
pub fn read(text: &str) -> Result<(AddCheckpoint, Checkpoint), Refusal> {
    let request: AddCheckpoint = text.parse().map_err(|error| Refusal::Read(format!("{error}")))?;
    let checkpoint = request.checkpoint.text().parse();
    let checkpoint: Checkpoint = checkpoint.map_err(|error| Refusal::Read(format!("{error}")))?;
    Ok((request, checkpoint))
}

/// Judges a request against the log's key and the newest checkpoint that was cosigned; good ones may be cosigned.
pub fn judge(request: &AddCheckpoint, log: &KnownLog, newest: Option<&Checkpoint>) -> Result<(), Refusal> {
    let checkpoint = signed_checkpoint(&request.checkpoint, &log.key).map_err(Refusal::Unsigned)?;
    no_bad_line(&request.checkpoint, &log.key)?;
    let (old, new) = (request.old, checkpoint.size);
    if old > new {
        return Err(Refusal::Backwards { old, new });
    }
    if log.only.is_some_and(|only| new != 1 || only != checkpoint.root) {
        return Err(Refusal::Waits);
    }
    if let Some(end) = log.end.as_ref().filter(|end| new > end.size) {
        return Err(Refusal::Ended { policy: end.policy, last: end.size, found: new });
    }
    let (seen, seen_root) = newest.map_or((0, EMPTY_ROOT), |newest| (newest.size, newest.root));
    if old != seen {
        return Err(Refusal::OldSize(seen));
    }
    verify_consistency(seen, seen_root, new, checkpoint.root, &request.consistency)?;
    match &log.end {
        Some(LogEnd { policy, size, root: Some(root) }) if *size == new && *root != checkpoint.root => {
            Err(Refusal::EndRoot { policy: *policy, expected: *root, found: checkpoint.root })
        }
        _ => Ok(()),
    }
}

/// A line that bears the log's name and id and does not verify makes the whole note malformed, says signed-note. Agents
/// are more lenient, so that no line can deny; here only the log itself sends, and it had better be right.
fn no_bad_line(note: &Note, log: &VerifierKey) -> Result<(), Refusal> {
    let claims = note
        .signatures()
        .iter()
        .zip(1..)
        .filter(|(line, _)| line.name() == log.name() && line.id() == log.id());
    for (line, number) in claims {
        let alone = Note::new(note.text().to_owned(), line.clone());
        if !alone.is_ok_and(|alone| alone.signed_by(log)) {
            return Err(Refusal::BadLine { number, log: log.clone() });
        }
    }
    Ok(())
}
