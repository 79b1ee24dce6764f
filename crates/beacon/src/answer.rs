//! What a beacon may say about one organization: every rule, and nothing but rules. No file, no clock.
//!
//! Source: docs/spec/5-clear.md.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_trust::chain::{
    Chain, ChainError, Held, Inclusion, MAX_HALTS_OF_A_KEY, RECOVERY_WAIT_S, Recovered, Taken,
};
use countersign_trust::clear::{Acknowledgement, Clear, MAX_HALTS};
use countersign_trust::delivery::News;
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::lines::LinesError;
use countersign_trust::note::{Note, VerifierKey};
use countersign_trust::statement::policy::Policy;
use countersign_trust::time::Time;
use countersign_trust::told::Tenure;

/// Why a beacon signs nothing.
#[derive(Debug, thiserror::Error)]
pub enum Silence {
    /// No policy in force has ever named it.
    #[error("no policy up to number {policy} names this beacon's key {me}: ask the beacons that they name")]
    NeverNamed {
        /// The number of the newest policy.
        policy: u64,
        /// This beacon's key.
        me: VerifierKey,
    },
    /// It is new, and does not know yet what the beacons before it know.
    #[error(
        "handover incomplete: {got} of {need} beacons of policy {policy} have handed over their halts and resumes; \
         `countersign status` carries their news here, and then what they answer to GET /v1/orgs/<org>/handover"
    )]
    Handover {
        /// The number of the policy before this beacon's first.
        policy: u64,
        /// Beacons that have.
        got: usize,
        /// Beacons that must.
        need: usize,
    },
    /// More halts than a Clear can name.
    #[error(
        "{active} halts are active and a Clear names at most {MAX_HALTS}: nothing may run until a resume lifts some"
    )]
    Halts {
        /// Active halts.
        active: usize,
    },
}

/// Why a policy, a resume or a halt is not taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// It is not valid.
    #[error(transparent)]
    Refused(#[from] ChainError),
    /// A halt that stops nothing.
    #[error(
        "the halt {0} stops nothing: a resume has lifted it, or its key has \
         {MAX_HALTS_OF_A_KEY} active halts already; a halt of scope organization is always taken"
    )]
    StopsNothing(Sha256),
}

/// Why a handover does not count.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// None is needed.
    #[error("no handover is needed: this beacon was named by the first policy")]
    Unneeded,
    /// Not a Clear.
    #[error("no Clear: {0}")]
    Text(#[from] LinesError),
    /// Another organization's.
    #[error("of organization {0}")]
    Organization(OrgId),
    /// By nobody who has anything to hand over.
    #[error("signed by no beacon of policy {policy}, the one before this beacon was named")]
    UnknownBeacon {
        /// Its number.
        policy: u64,
    },
    /// The other beacon might still take halts under the policy before.
    #[error(
        "it names policy {0}, which is none since this beacon was named: bring the other beacon the policies first"
    )]
    Policy(Sha256),
    /// This beacon lacks something.
    #[error(
        "it names the {what} {hash}, which is not held here: bring both beacons each other's news, and ask again"
    )]
    Missing {
        /// `halt` or `resume`.
        what: &'static str,
        /// Its hash.
        hash: Sha256,
    },
}

/// One organization, as this beacon knows it. A copy is cheap, and a change to one is none to the other: what strangers bring is
/// judged by a copy first, while nobody waits.
#[derive(Clone)]
pub struct Organization {
    chain: Arc<Chain>,
    me: VerifierKey,
    /// What other beacons have handed over, the newest of each.
    handed_over: BTreeMap<VerifierKey, Note>,
    /// When each policy of the recovery set that waits was first held, by this beacon's clock.
    waits_since: BTreeMap<Sha256, Time>,
}

impl Organization {
    /// Begins with the genesis policy, for the beacon with the key `me`.
    pub fn begin(org: OrgId, genesis: &Logged, me: VerifierKey) -> Result<Self, ChainError> {
        let chain = Chain::begin(org, &genesis.signed, Inclusion::Proved(&genesis.proof))?;
        Ok(Self { chain: Arc::new(chain), me, handed_over: BTreeMap::new(), waits_since: BTreeMap::new() })
    }

    /// Policies, resumes and halts.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// What others have handed over.
    pub fn handed_over(&self) -> impl Iterator<Item = &Note> {
        self.handed_over.values()
    }

    /// When each policy that waits was first held.
    pub fn waits_since(&self) -> &BTreeMap<Sha256, Time> {
        &self.waits_since
    }

    /// Remembers since when a policy waits, as it stands on disk.
    pub fn remember_waiting(&mut self, policy: Sha256, since: Time) {
        self.waits_since.insert(policy, since);
    }

    /// Forgets since when: what waits begins to when it is noted again.
    pub fn forget_waiting(&mut self) {
        self.waits_since.clear();
    }

    /// Notes what waits and was not noted before, as held since `now`, and forgets what waits no longer.
    pub fn note_waiting(&mut self, now: Time) {
        let before = std::mem::take(&mut self.waits_since);
        let waiting = self.chain.waiting().iter().map(|held| held.hash);
        self.waits_since = waiting.map(|hash| (hash, before.get(&hash).copied().unwrap_or(now))).collect();
    }

    /// The policy that has waited its time, if one has: of several the one that was held first.
    pub fn ripe(&self, now: Time) -> Option<Sha256> {
        let ripe = self.waits_since.iter().filter(|(_, since)| since.plus(RECOVERY_WAIT_S) <= now);
        ripe.min_by_key(|(_, since)| **since).map(|(hash, _)| *hash)
    }

    /// Puts a policy that has waited in force.
    pub fn recover(&mut self, policy: &Sha256) -> Result<Taken, ChainError> {
        Arc::make_mut(&mut self.chain).recover(policy)
    }

    /// The words that this beacon owes: for each policy of the recovery set that is in force here, in whose place it was asked.
    pub fn owed(&self) -> Vec<Recovered> {
        self.chain.owed_by(&self.me)
    }

    /// Takes a policy, a resume or a halt.
    pub fn take(&mut self, news: &News) -> Result<Taken, TakeError> {
        match news {
            News::Halt(signed) => self.take_halt(signed),
            News::Policy(_) | News::Resume(_) | News::Enroll(_) | News::Recovered(_) => {
                Ok(news.offer(Arc::make_mut(&mut self.chain))?)
            }
        }
    }

    /// Takes a halt; one that stops nothing is not kept, so that nobody can fill the disk with such.
    pub fn take_halt(&mut self, signed: &Signed) -> Result<Taken, TakeError> {
        let hash = signed.hash();
        // What is known makes nobody copy the chain, nor does whoever may halt nothing.
        if self.chain.has_halt(signed) || !self.chain.is_by_a_halter(signed) {
            self.chain.halt(&hash).ok_or(ChainError::NotAHalter)?;
            return stops(&self.chain, &hash).map(|()| Taken::Known);
        }
        let mut chain = Chain::clone(&self.chain);
        let taken = chain.take_halt(signed)?;
        stops(&chain, &hash)?;
        if taken == Taken::New {
            self.chain = Arc::new(chain);
        }
        Ok(taken)
    }

    /// The word that `halt` is known here. It may be given once the halt is on disk.
    pub fn acknowledgement(&self, halt: Sha256) -> Acknowledgement {
        Acknowledgement { org: self.chain.org(), halt, policy: self.chain.policy().hash }
    }

    /// Whether this beacon may say what it knows: also once a policy has dismissed it, or who missed that policy would never
    /// hear of it, and all beacons of a policy could never be replaced. Agents do not count what it says then: it is no beacon of
    /// the policy it names.
    pub fn may_clear(&self) -> Result<(), Silence> {
        let Some(tenure) = self.tenure() else {
            return Err(Silence::NeverNamed { policy: self.chain.policy().body.number, me: self.me.clone() });
        };
        if let Some(before) = tenure.before {
            let (got, need) = (self.count_handed_over(&tenure), usize::from(before.body.beacons.need.get()));
            if got < need {
                return Err(Silence::Handover { policy: before.body.number, got, need });
            }
        }
        let active = self.chain.active_halts().count();
        if active > MAX_HALTS { Err(Silence::Halts { active }) } else { Ok(()) }
    }

    /// Whether the newest policy names this beacon.
    pub fn is_dismissed(&self) -> bool {
        !self.chain.policy().body.beacons.keys.contains(&self.me)
    }

    /// What this beacon knows at `time`, in answer to `root`. Whether it may say so is [`Organization::may_clear`]'s.
    pub fn clear(&self, root: Sha256, time: Time) -> Clear {
        let halts = self.chain.active_halts().map(|halt| halt.hash).collect();
        let (org, policy, resume) = (self.chain.org(), self.chain.policy().hash, self.chain.resume());
        Clear { org, time, root, policy, resume, halts }
    }

    /// Counts another beacon's Clear as handed over, if this beacon holds all that it names.
    pub fn hand_over(&mut self, note: Note) -> Result<(), HandoverError> {
        let tenure = self.tenure().ok_or(HandoverError::Unneeded)?;
        let before = tenure.before.ok_or(HandoverError::Unneeded)?;
        let by = before.body.beacons.keys.iter().find(|key| note.signed_by(key)).cloned();
        let by = by.ok_or(HandoverError::UnknownBeacon { policy: before.body.number })?;
        let clear: Clear = note.text().parse()?;
        if clear.org != self.chain.org() {
            return Err(HandoverError::Organization(clear.org));
        }
        if !self.chain.is_since(&tenure, &clear.policy) {
            return Err(HandoverError::Policy(clear.policy));
        }
        let resumes = self.chain.resumes();
        if let Some(hash) = clear.resume.filter(|hash| !resumes.iter().any(|held| held.hash == *hash)) {
            return Err(HandoverError::Missing { what: "resume", hash });
        }
        if let Some(hash) = clear.halts.into_iter().find(|halt| self.chain.halt(halt).is_none()) {
            return Err(HandoverError::Missing { what: "halt", hash });
        }
        self.handed_over.insert(by, note);
        Ok(())
    }

    /// Whether some policy held names this beacon, or one that waits to be in force.
    pub fn was_ever_named(&self) -> bool {
        let names_me = |held: &Held<Policy>| held.body.beacons.keys.contains(&self.me);
        self.tenure().is_some() || self.chain.waiting().iter().any(names_me)
    }

    fn tenure(&self) -> Option<Tenure<'_>> {
        self.chain.tenure(&self.me)
    }

    /// What was handed over for an earlier tenure names an earlier policy, and does not count.
    fn count_handed_over(&self, tenure: &Tenure<'_>) -> usize {
        let counts = |key: &&VerifierKey| {
            let clear = self.handed_over.get(key).and_then(|note| note.text().parse::<Clear>().ok());
            clear.is_some_and(|clear| self.chain.is_since(tenure, &clear.policy))
        };
        tenure.before.map_or(0, |before| before.body.beacons.keys.iter().filter(counts).count())
    }
}

fn stops(chain: &Chain, hash: &Sha256) -> Result<(), TakeError> {
    let stops = chain.active_halts().any(|halt| halt.hash == *hash);
    if stops { Ok(()) } else { Err(TakeError::StopsNothing(*hash)) }
}
