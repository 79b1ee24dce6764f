//! Stop: any one who may, at once, without waiting for anything.

use core::fmt;

use crate::ids::{Name, OrgId, Sha256, StatementId};
use crate::statement::{Kind, Statement};
use crate::text::{Nothing, alternative, record};
use crate::time::Time;
use crate::words::{Line, Prose};

record! {
    /// A halt. Obeyed on sight, until a resume lifts it.
    pub struct Halt {
        /// The organization; empty in a vendor's halt of a component.
        org: Option<OrgId>,
        /// Random, so that what was lifted can be halted again.
        id: StatementId,
        /// The policy it was made under; empty in a vendor's.
        policy: Option<Sha256>,
        /// What stops.
        scope: Scope,
        /// When its author says it was made; nothing depends on it.
        made: Time,
        /// Why.
        reason: Prose,
        /// The advisory it goes with, or nothing.
        advisory: Line,
    }
}

impl Statement for Halt {
    const KIND: Kind = Kind::Halt;
}

alternative! {
    /// What stops.
    pub enum Scope {
        /// Everything.
        Organization(Nothing) = "organization",
        /// One job.
        Job(Sha256) = "job",
        /// Every step with this script.
        Script(Sha256) = "script",
        /// Whatever this person asked for or approved.
        Person(Name) = "person",
        /// Agents of this component below a version.
        Component(Component) = "component",
    }
}

/// What it covers, in the words that every program uses.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organization(_) => f.write_str("the whole organization"),
            Self::Job(job) => write!(f, "the job {job}"),
            Self::Script(script) => write!(f, "every step with the script {script}"),
            Self::Person(person) => write!(f, "everything that {person} asks for or approves"),
            Self::Component(component) => write!(f, "{} below {}", component.name, component.below),
        }
    }
}

impl Scope {
    /// The person it stops, if it stops one.
    pub fn person(&self) -> Option<&Name> {
        match self {
            Self::Person(person) => Some(person),
            _ => None,
        }
    }
}

record! {
    /// A component below a version.
    pub struct Component {
        /// Its name, such as `countersign-agent`.
        name: Name,
        /// The first version that is not halted.
        below: Name,
    }
}
