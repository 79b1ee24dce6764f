//! Resumes: which one follows, and which jobs it cuts off.
//!
//! Source: docs/spec/3-statements.md, "The chain", on resumes and cuts.

use super::{Chain, ChainError, Held, Inclusion, Place, Taken, held, need, read};
use crate::checkpoint::Proof;
use crate::envelope::Signed;
use crate::ids::Sha256;
use crate::signers::{Signers, signers};
use crate::statement::Kind;
use crate::statement::policy::Policy;
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
        let (governing, place, _) = self.governing(&signed.leaf(&self.org)?, proof)?;
        Ok((self.next_resume(governing, signed)?, place))
    }

    /// Whether a resume would be taken if it were logged next.
    ///
    /// # Errors
    /// Why not.
    pub fn would_take_resume(&self, signed: &Signed) -> Result<(), ChainError> {
        self.next_resume(self.policy(), signed).map(|_| ())
    }

    fn next_resume(&self, governing: &Held<Policy>, signed: &Signed) -> Result<Resume, ChainError> {
        let count = signers(&governing.body, Kind::Resume, signed);
        if count.is_empty() {
            return Err(ChainError::UnknownSigners);
        }
        let resume: Resume = read(signed)?;
        self.same_org(Some(resume.org))?;
        if !self.is_next(&resume) {
            let expected = crate::lines::or_none(&self.resume());
            return Err(ChainError::NotNext { expected, found: resume.previous.into_iter().collect() });
        }
        if self.policy_by_hash(&resume.policy).is_none() {
            return Err(ChainError::UnknownPolicy(resume.policy));
        }
        need(&governing.body, &governing.body.quorums.resume, &count)?;
        Ok(resume)
    }

    /// A first resume names none before it: who was not shown those would not know what they cut.
    fn is_next(&self, resume: &Resume) -> bool {
        match self.resume() {
            Some(newest) => resume.previous.contains(&newest),
            None => resume.previous.is_empty(),
        }
    }

    /// Drops the resumes that do not hold by the policies held, now that `since` is where a policy stands, and those that followed them.
    pub(super) fn judge_resumes_again(&mut self, since: Place) {
        for resume in core::mem::take(&mut self.resumes) {
            let as_before = resume.place <= since && self.still_counts(resume.place).is_ok();
            let holds = match &resume.proof {
                _ if as_before => self.is_next(&resume.body),
                Some(proof) => self.judge_resume(&resume.signed, proof).is_ok(),
                None => false,
            };
            if holds {
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
            let all = matches!(resume.body.lifts, Lifts::Keys(_));
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
