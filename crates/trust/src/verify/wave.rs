//! Step 10: when a device's turn comes.

use super::{Refusal, SignedBy, fitting};
use crate::chain::{Chain, ChainError, Held, HeldHalt, need, read};
use crate::envelope::Logged;
use crate::ids::{Name, Sha256};
use crate::join::{Enrolled, Labels};
use crate::signers::{Signers, signers};
use crate::statement::Kind;
use crate::statement::advance::Advance;
use crate::statement::job::{Job, Targets};
use crate::statement::policy::Policy;
use crate::time::Time;
use alloc::collections::BTreeSet;

/// Why an advance sets no wave free.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdvanceFault {
    /// Nobody known signed it, it is no advance, another organization's, too few signed, or it is not logged.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// It names a policy that is not held.
    #[error("it names policy {0}, which this device does not hold")]
    UnknownPolicy(Sha256),
    /// A resume cuts it off.
    #[error("signed before the resume {0}, which cuts it off")]
    Cut(Sha256),
    /// It names a resume that is not held.
    #[error("it names the resume {0}, which this device does not hold")]
    UnknownResume(Sha256),
    /// The one who asked for the job may not look at it alone where the job needs approvals.
    #[error("signed by {0} alone, who asked for the job")]
    RequesterAlone(Name),
}

/// Time shows only that people could have looked; above the policy's limit a person must have. Answers the advance that counted,
/// where one was asked for.
pub(super) fn my_wave<'a>(
    turn: &Turn<'_>,
    advances: &'a [Logged],
    lo: Time,
) -> Result<Option<&'a Logged>, Refusal> {
    let Turn { chain, me, hash, job, begins, .. } = turn;
    if job.waves.is_empty() {
        return Ok(None);
    }
    let index = job.wave_of(hash, &me.device, &me.labels);
    let soak = job.waves.get(index).map(|wave| wave.soak).unwrap_or_default();
    let starts = begins.plus(soak);
    if lo < starts {
        return Err(Refusal::WaveNotYet { wave: index + 1, starts, lo });
    }
    if index > 0 && needs_people(&chain.policy().body, job) {
        turn.advanced(advances, index + 1).map(Some)
    } else {
        Ok(None)
    }
}

/// Whether each wave of `job` after the first waits for an advance.
pub fn needs_people(policy: &Policy, job: &Job) -> bool {
    match &job.targets {
        Targets::Labels(_) => true,
        Targets::List(list) => list.count > policy.limits.auto_waves_max,
    }
}

/// What it depends on whether it is this device's turn.
pub(super) struct Turn<'a> {
    pub chain: &'a Chain,
    pub me: &'a Enrolled,
    pub halts: &'a [&'a HeldHalt],
    pub hash: &'a Sha256,
    pub job: &'a Job,
    /// The later of the job's begin and the time by which enough witnesses had seen it.
    pub begins: Time,
}

impl Turn<'_> {
    /// One of the advances must hold. If several are for this wave and none holds, the first one's fault is told.
    fn advanced<'a>(&self, advances: &'a [Logged], wave: usize) -> Result<&'a Logged, Refusal> {
        let mut fault = None;
        for logged in advances {
            match self.sets_free(logged, wave) {
                Ok(true) => return Ok(logged),
                Ok(false) => {}
                Err(error) => fault = fault.or(Some(error)),
            }
        }
        Err(fault.map_or(Refusal::WaveNeedsAdvance { wave }, |fault| Refusal::Advance { wave, fault }))
    }

    /// Whether it is for this job and wave, and holds.
    fn sets_free(&self, logged: &Logged, wave: usize) -> Result<bool, AdvanceFault> {
        let known = |held: &Held<Policy>| !signers(&held.body, Kind::Advance, &logged.signed).is_empty();
        if !self.chain.policies().iter().rev().any(known) {
            return Err(ChainError::UnknownSigners.into());
        }
        let advance: Advance = read(&logged.signed)?;
        self.chain.same_org(Some(advance.org))?;
        if advance.job != *self.hash || usize::try_from(advance.wave) != Ok(wave) {
            return Ok(false);
        }
        self.signed_well(&advance, logged)?;
        let leaf = logged.signed.leaf(&self.chain.org()).map_err(ChainError::from)?;
        self.chain.logged(&leaf, &logged.proof)?;
        Ok(true)
    }

    /// By enough people under the policy it names and under the newest, and not cut: as a job.
    fn signed_well(&self, advance: &Advance, logged: &Logged) -> Result<(), AdvanceFault> {
        let Advance { policy, resume, .. } = advance;
        let named = self.chain.policy_by_hash(policy).ok_or(AdvanceFault::UnknownPolicy(*policy))?;
        let signed_by = SignedBy::under(self.chain, named, Kind::Advance, &logged.signed);
        match self.chain.cut_by(&logged.signed.hash(), *resume, &signed_by.everybody()) {
            Ok(None) => {}
            Ok(Some(resume)) => return Err(AdvanceFault::Cut(resume)),
            Err(unknown) => return Err(AdvanceFault::UnknownResume(unknown)),
        }
        let halted: BTreeSet<&Name> = self.halts.iter().filter_map(|halt| halt.body.scope.person()).collect();
        let [by_named, by_newest] = signed_by.without(&halted);
        promoted(&named.body, &self.me.labels, self.job, by_named)?;
        promoted(&self.chain.policy().body, &self.me.labels, self.job, by_newest)
    }
}

/// Whether `signed_by`, none of them halted, are enough for an advance of `job` on a device with these `labels`.
///
/// # Errors
/// Too few, or where the job needs approvals there nobody but who asked for it.
pub fn promoted(policy: &Policy, labels: &Labels, job: &Job, signed_by: Signers) -> Result<(), AdvanceFault> {
    need(policy, &policy.quorums.promote, &signed_by)?;
    let requester = &job.requester;
    let approved = fitting(policy, labels, job).any(|(_, rule)| rule.approvals > 0);
    let mut others = policy.people_of([&policy.quorums.promote.role]);
    others.remove(requester);
    match approved && signed_by.independent().count(&others) == 0 {
        true => Err(AdvanceFault::RequesterAlone(requester.clone())),
        false => Ok(()),
    }
}
