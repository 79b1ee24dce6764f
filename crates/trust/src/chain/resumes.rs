//! Resumes: which one follows, and which jobs it cuts off.
//!
//! Source: docs/spec/3-statements.md, "The chain", on resumes and cuts.

use super::{Chain, ChainError, Held, Inclusion, Place, Taken, held, need, read};
use crate::checkpoint::Proof;
use crate::envelope::Signed;
use crate::ids::Sha256;
use crate::signers::{Signers, signers};
use crate::statement::Kind;
use crate::statement::resume::{Cuts, Lifts, Resume};

impl Chain {
    /// All resumes, oldest first.
    pub fn resumes(&self) -> &[Held<Resume>] {
        &self.resumes
    }

    /// The hash of the newest resume.
    pub fn resume(&self) -> Option<Sha256> {
        self.resumes.last().map(|resume| resume.hash)
    }

    /// Takes the next resume.
    pub fn take_resume(&mut self, signed: &Signed, proof: &Proof) -> Result<Taken, ChainError> {
        let hash = signed.hash();
        if self.resumes.iter().any(|resume| resume.hash == hash) {
            return Ok(Taken::Known);
        }
        let (resume, place) = self.judge_resume(signed, proof)?;
        self.resumes.push(held(signed, resume, Inclusion::Proved(proof), place));
        Ok(Taken::New)
    }

    fn judge_resume(&self, signed: &Signed, proof: &Proof) -> Result<(Resume, Place), ChainError> {
        let (resume, at) = self.next_resume(signed)?;
        let place = self.place(proof)?;
        self.logged_since(at, &signed.leaf(&self.org)?, proof)?;
        Ok((resume, place))
    }

    /// Whether a resume would be taken if it were logged next.
    ///
    /// # Errors
    /// Why not.
    pub fn would_take_resume(&self, signed: &Signed) -> Result<(), ChainError> {
        self.next_resume(signed).map(|_| ())
    }

    /// A resume that follows, and which of the policies it was made under: that one's people sign it, and the one after it says
    /// whether it goes on counting. So it matters to nobody at which leaves they were shown either.
    fn next_resume(&self, signed: &Signed) -> Result<(Resume, usize), ChainError> {
        let knows = |policy: &Held<_>| !signers(&policy.body, Kind::Resume, signed).is_empty();
        if !self.policies.iter().rev().any(knows) {
            return Err(ChainError::UnknownSigners);
        }
        let resume: Resume = read(signed)?;
        self.same_org(Some(resume.org))?;
        let mut policies = self.policies.iter().enumerate();
        let named = policies.find(|(_, policy)| policy.hash == resume.policy);
        let (at, Held { body, .. }) = named.ok_or(ChainError::UnknownPolicy(resume.policy))?;
        self.goes_on(&signed.hash(), at)?;
        if !self.is_next(&resume) {
            let expected = crate::lines::or_none(&self.resume());
            return Err(ChainError::NotNext { expected, found: resume.previous.into_iter().collect() });
        }
        need(body, &body.quorums.resume, &signers(body, Kind::Resume, signed))?;
        Ok((resume, at))
    }

    /// Whether a resume made under the policy `at` counts by the one that followed it, if one has.
    fn goes_on(&self, resume: &Sha256, at: usize) -> Result<(), ChainError> {
        match self.policies.get(at + 1) {
            Some(next) if !next.body.resumes.contains(resume) => {
                Err(ChainError::NotNamed { policy: next.body.number })
            }
            _ => Ok(()),
        }
    }

    /// A first resume names none before it: who was not shown those would not know what they cut.
    fn is_next(&self, resume: &Resume) -> bool {
        match self.resume() {
            Some(newest) => resume.previous.contains(&newest),
            None => resume.previous.is_empty(),
        }
    }

    /// Drops the resumes that a policy which has come does not name or whose leaf counts no more, and those that followed them.
    pub(super) fn judge_resumes_again(&mut self) {
        for resume in core::mem::take(&mut self.resumes) {
            let under = self.policies.iter().position(|policy| policy.hash == resume.body.policy);
            let named = under.is_some_and(|at| self.goes_on(&resume.hash, at).is_ok());
            if named && self.is_next(&resume.body) && self.still_counts(resume.place).is_ok() {
                self.resumes.push(resume);
            }
        }
    }

    /// Which resume cuts a job off: one newer than the job knew, that does not keep it.
    ///
    /// # Errors
    /// The resume that the job knew, if it is not held: then nobody can say.
    pub fn cut_by(
        &self,
        job: &Sha256,
        knew: Option<Sha256>,
        signed_by: &Signers,
    ) -> Result<Option<Sha256>, Sha256> {
        let known = match knew {
            None => 0,
            Some(hash) => {
                let at = self.resumes.iter().position(|resume| resume.hash == hash);
                at.ok_or(hash)? + 1
            }
        };
        let cuts = |resume: &&Held<Resume>| {
            // Of rivals each party took one, and knows nothing of what the others cut.
            let all = matches!(resume.body.lifts, Lifts::Keys(_)) || resume.body.previous.len() > 1;
            let cut = match &resume.body.cuts {
                Cuts::None(_) => all,
                Cuts::People(people) => all || people.iter().any(|person| signed_by.contains(person)),
                Cuts::All(_) => true,
            };
            cut && !resume.body.keeps.contains(job)
        };
        Ok(self.resumes.iter().skip(known).find(cuts).map(|resume| resume.hash))
    }
}
