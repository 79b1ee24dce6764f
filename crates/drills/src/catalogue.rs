//! Every attack that a build must survive, by name: who attacks and how, what he attacks, and how it is rehearsed.
//!
//! The list that this must hold, in the order of the design, is `crates/drills/attacks.txt`; a test compares the two. An attack that is
//! played returns its story, and stops with the difference where a promise does not hold.
//!
//! | file | attacks by |
//! | --- | --- |
//! | [`texts`] | the bytes of a statement |
//! | [`signers`] | who signed |
//! | [`times`] | the clocks |
//! | [`policies`] | what the organization has decided |
//! | [`logs`] | the log and its witnesses |
//! | [`clears`] | challenges and beacons |
//! | [`halts`] | halts and resumes |
//! | [`waves`] | when a device's turn comes |
//! | [`enrollments`] | which device is whose |
//! | [`replays`] | what was before: replays, power cuts |
//! | [`records`] | receipts, and agents that attack |
//! | [`recovery`] | the recovery set |
//! | [`clocks`] | nobody: wrong clocks |
//! | [`incidents`] | whole incidents with real programs |

pub mod clears;
pub mod clocks;
pub mod enrollments;
pub mod halts;
pub mod incidents;
pub mod logs;
mod play;
pub mod policies;
pub mod records;
pub mod recovery;
pub mod replays;
pub mod signers;
pub mod texts;
pub mod times;
pub mod vectors;
pub mod waves;

use std::fmt;

use crate::rehearsal::story::Story;

/// An attack.
#[derive(Clone, Debug)]
pub struct Attack {
    /// Its name, as on the command line.
    pub name: &'static str,
    /// Who attacks and how, in a sentence.
    pub says: &'static str,
    /// What he attacks.
    pub promise: Promise,
    /// How it is rehearsed: one way or several.
    pub how: Vec<How>,
}

/// A way to rehearse an attack.
#[derive(Clone, Copy)]
pub enum How {
    /// Played in a world without sockets; stops if the promise does not hold.
    Virtual(fn() -> Story),
    /// These folders of `crates/trust/vectors`, judged again.
    Vectors(&'static [&'static str]),
    /// Tests with real parts: package and test, as `cargo nextest` names them.
    Real(&'static [(&'static str, &'static str)]),
    /// Not yet, for this reason.
    Missing(&'static str),
}

impl fmt::Debug for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl How {
    /// In a word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Virtual(_) => "virtual",
            Self::Vectors(_) => "vectors",
            Self::Real(_) => "real",
            Self::Missing(_) => "missing",
        }
    }
}

/// What is promised; the numbers are those of SECURITY.md, "What is promised".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// 1
    Signed,
    /// 2
    Logged,
    /// 3
    Halted,
    /// 4
    Once,
    /// 5
    Forward,
    /// 6
    Timely,
    /// 7
    Told,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signed => "no run without the people",
            Self::Logged => "no hidden run",
            Self::Halted => "a halt outlives a hostile server",
            Self::Once => "no replay",
            Self::Forward => "no rollback",
            Self::Timely => "no run before its time",
            Self::Told => "a refusal leaves a trace",
        })
    }
}

/// All attacks, in the order of the list; then whole incidents.
pub fn all() -> Vec<Attack> {
    [
        texts::first(),
        signers::attacks(),
        texts::second(),
        times::first(),
        policies::attacks(),
        logs::first(),
        clears::first(),
        times::second(),
        clears::second(),
        halts::attacks(),
        waves::attacks(),
        enrollments::attacks(),
        replays::first(),
        texts::third(),
        incidents::not_built(),
        logs::second(),
        records::first(),
        replays::second(),
        records::second(),
        recovery::all(),
        incidents::beyond_the_list(),
        clocks::attacks(),
    ]
    .concat()
}
