//! The day the keys are lost: policies of the recovery set, and the beacons' word that puts one in force.
//!
//! Source: docs/spec/3-statements.md, "Recovery".

use alloc::collections::BTreeMap;
use core::fmt;
use core::str::FromStr;

use super::{Chain, ChainError, Held, Taken};
use crate::ids::{OrgId, Sha256};
use crate::lines::{LineReader, LinesError};
use crate::note::{Note, VerifierKey};
use crate::statement::policy::Policy;

/// How many policies of the recovery set may wait beside the chain.
pub const MAX_WAITING: usize = 4;
/// For how long an honest beacon holds a policy of the recovery set before it takes it, in seconds: 72 hours, in which those
/// whose keys are not lost can sign another one.
pub const RECOVERY_WAIT_S: u64 = 72 * 3_600;

/// A beacon's word that a policy of the recovery set has waited its time there, and that no other follows the one before it.
///
/// It bears no time and answers no challenge: a policy once in force is never left. So it convinces a device that comes back
/// after a year, and a reader of the records, as well as one that was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The organization.
    pub org: OrgId,
    /// The policy of the recovery set.
    pub policy: Sha256,
    /// The policy in whose place it is in force: whose beacons' word counts.
    pub after: Sha256,
}

/// The first line of such a note.
pub const RECOVERED: &str = "countersign-recovered/v1";

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { org, policy, after } = self;
        writeln!(f, "{RECOVERED}\n{org}\npolicy {policy}\nafter {after}")
    }
}

impl FromStr for Recovered {
    type Err = LinesError;
    fn from_str(text: &str) -> Result<Self, LinesError> {
        let mut lines = LineReader::new(text);
        lines.exactly(RECOVERED)?;
        let org = lines.word("an organization")?;
        let (policy, after) = (lines.value("policy")?, lines.value("after")?);
        lines.finish()?;
        Ok(Self { org, policy, after })
    }
}

/// For each policy that waits or came into force without the quorum: the beacons that have given their word, and the word.
pub(super) type Words = BTreeMap<Sha256, BTreeMap<VerifierKey, Note>>;

impl Chain {
    /// Policies of the recovery set that follow the newest and are not in force.
    pub fn waiting(&self) -> &[Held<Policy>] {
        &self.waiting
    }

    /// Takes beacons' word that a policy has waited its time. With that of as many beacons of the policy in force as a Clear
    /// needs, it is in force.
    pub fn take_recovered(&mut self, note: &Note) -> Result<Taken, ChainError> {
        let said: Recovered = note.text().parse()?;
        self.same_org(Some(said.org))?;
        let Some(held) = self.words.get(&said.policy) else {
            // What the quorum signed needs nobody else's word.
            let known = self.policy_by_hash(&said.policy).map(|_| Taken::Known);
            return known.ok_or(ChainError::NotWaiting(said.policy));
        };
        let before = self.before(&said.policy).ok_or(ChainError::NotWaiting(said.policy))?;
        if said.after != before.hash {
            let expected = alloc::format!("{}", before.hash);
            return Err(ChainError::NotNext { expected, found: alloc::vec![said.after] });
        }
        let mut held = held.clone();
        let (had, need) = (held.len(), usize::from(before.body.beacons.need.get()));
        let by: BTreeMap<_, _> =
            before.body.beacons.keys.iter().filter_map(|key| word_of(note, key)).collect();
        if by.is_empty() {
            return Err(ChainError::UnknownSigners);
        }
        for (key, word) in by {
            held.entry(key).or_insert(word);
        }
        let (enough, taken) = (held.len() >= need, if held.len() > had { Taken::New } else { Taken::Known });
        self.words.insert(said.policy, held);
        if enough && self.waits(&said.policy) {
            self.recover(&said.policy)?;
        }
        Ok(taken)
    }

    /// Puts the waiting policy with this hash in force. Whoever calls this is a beacon that has held it for
    /// [`RECOVERY_WAIT_S`]; everybody else goes by [`Chain::take_recovered`].
    pub fn recover(&mut self, hash: &Sha256) -> Result<Taken, ChainError> {
        if self.policy_by_hash(hash).is_some() {
            return Ok(Taken::Known);
        }
        let at = self.waiting.iter().position(|held| held.hash == *hash);
        let policy = self.waiting.swap_remove(at.ok_or(ChainError::NotWaiting(*hash))?);
        self.put_in_force(policy);
        Ok(Taken::New)
    }

    /// The words that were given for a policy, each as a note with one line.
    pub fn words(&self, policy: &Sha256) -> impl Iterator<Item = &Note> {
        self.words.get(policy).into_iter().flat_map(BTreeMap::values)
    }

    /// Whether a policy that is in force came by the recovery set, without the quorum of the one before it.
    pub fn was_recovered(&self, policy: &Sha256) -> bool {
        self.words.contains_key(policy) && !self.waits(policy)
    }

    /// What the beacon `me` has to give its word for and has not: policies of the recovery set that are in force here, and that
    /// follow one which names it.
    pub fn owed_by(&self, me: &VerifierKey) -> alloc::vec::Vec<Recovered> {
        let lacking =
            self.words.iter().filter(|(policy, words)| !self.waits(policy) && !words.contains_key(me));
        let owed = |policy: &Sha256| {
            let before = self.before(policy).filter(|before| before.body.beacons.keys.contains(me))?;
            Some(Recovered { org: self.org, policy: *policy, after: before.hash })
        };
        lacking.filter_map(|(policy, _)| owed(policy)).collect()
    }

    pub(super) fn waits(&self, policy: &Sha256) -> bool {
        self.waiting.iter().any(|held| held.hash == *policy)
    }

    /// A policy that lacks nothing but the quorum.
    pub(super) fn let_wait(&mut self, policy: Held<Policy>) -> Result<Taken, ChainError> {
        if self.waiting.len() >= MAX_WAITING {
            return Err(ChainError::TooManyWait(MAX_WAITING));
        }
        self.words.insert(policy.hash, BTreeMap::new());
        self.waiting.push(policy);
        Ok(Taken::Waits)
    }

    /// A policy that the quorum signed.
    pub(super) fn decide(&mut self, policy: Held<Policy>) -> Taken {
        self.words.remove(&policy.hash);
        self.put_in_force(policy);
        Taken::New
    }

    /// The next policy: what else waited to be the next is forgotten, and what is held is judged by it.
    fn put_in_force(&mut self, policy: Held<Policy>) {
        self.waiting.clear();
        self.policies.push(policy);
        self.forget_words();
        self.judge_resumes_again();
        self.judge_halts_again();
    }

    /// Nothing is kept about what no longer waits and never came into force.
    fn forget_words(&mut self) {
        let policies = &self.policies;
        self.words.retain(|hash, _| policies.iter().any(|held| held.hash == *hash));
    }

    /// The policy that one which waits, or which is in force, follows.
    fn before(&self, policy: &Sha256) -> Option<&Held<Policy>> {
        if self.waits(policy) {
            return Some(self.policy());
        }
        let at = self.policies.iter().position(|held| held.hash == *policy)?;
        self.policies.get(at.checked_sub(1)?)
    }
}

/// The line of `key` alone, if it has signed the note.
fn word_of(note: &Note, key: &VerifierKey) -> Option<(VerifierKey, Note)> {
    let alone = |line: &crate::note::Signature| Note::new(note.text().into(), line.clone()).ok();
    let mut lines = note.signatures().iter().filter(|line| line.name() == key.name()).filter_map(alone);
    lines.find(|word| word.signed_by(key)).map(|word| (key.clone(), word))
}
