//! Start again: a quorum lifts halts, and says what must be signed anew.

use alloc::collections::BTreeSet;

use crate::ids::{Name, OrgId, Sha256};
use crate::key::PublicKey;
use crate::statement::{Kind, Statement};
use crate::text::{Nothing, alternative, record};
use crate::words::Prose;

record! {
    /// A resume. Resumes form a chain; a job names the newest its author knew.
    pub struct Resume {
        /// The organization.
        org: OrgId,
        /// The policy it was made under.
        policy: Sha256,
        /// The resumes this one follows: none, one, or several rivals it heals.
        previous: BTreeSet<Sha256>,
        /// What it lifts.
        lifts: Lifts,
        /// What was signed before and is refused for ever.
        cuts: Cuts,
        /// Jobs that are spared from the cut.
        keeps: BTreeSet<Sha256>,
        /// Why.
        why: Prose,
    }
}

impl Statement for Resume {
    const KIND: Kind = Kind::Resume;
}

alternative! {
    /// What a resume lifts.
    pub enum Lifts {
        /// These halts.
        Halts(BTreeSet<Sha256>) = "halts",
        /// All halts these keys made under this or an earlier policy, seen or not. Cuts all.
        Keys(BTreeSet<PublicKey>) = "keys",
    }
}

alternative! {
    /// What a resume cuts.
    pub enum Cuts {
        /// Nothing.
        None(Nothing) = "none",
        /// Jobs these people asked for or approved.
        People(BTreeSet<Name>) = "people",
        /// Every job signed before it.
        All(Nothing) = "all",
    }
}
