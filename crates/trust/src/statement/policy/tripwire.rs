//! What the server watches for, and whether it halts when it sees it.
//!
//! No verifier obeys a tripwire: it tells an honest server when to use its own halt key, and a dishonest one can leave it
//! out. So they are a faster hand on the halt, never a promise. Source: docs/spec/3-statements.md, "policy".

use alloc::collections::BTreeSet;
use core::fmt;

use crate::text::{Nothing, alternative, keyword, record};
use crate::words::AbsolutePath;

record! {
    /// Something that is seen `count` times within `within` seconds.
    pub struct Tripwire {
        /// What is counted.
        what: Watched,
        /// How often is too often, at least 1.
        count: u64,
        /// Seconds that are looked at together, 1 to 86,400.
        within: u64,
        /// What the server does then.
        then: Then,
    }
}

alternative! {
    /// What a tripwire counts.
    pub enum Watched {
        /// Devices on which a file that nobody should touch has changed or is gone.
        Canary(Canary) = "canary",
        /// Refusals that devices told of by receipts.
        Refusals(Nothing) = "refusals",
        /// Sites whose devices have all fallen silent.
        Silence(Nothing) = "silence",
    }
}

record! {
    /// Files that a device looks at and never writes.
    pub struct Canary {
        /// Which.
        paths: BTreeSet<AbsolutePath>,
    }
}

keyword! {
    /// What the server does about a tripwire that was touched.
    pub enum Then {
        /// It says so.
        Tell = "tell",
        /// It says so and halts the organization with its own key.
        Halt = "halt",
    }
}

/// How many tripwires a policy may have.
pub const MAX_TRIPWIRES: usize = 16;
/// The longest span that a tripwire looks at, in seconds: a day.
pub const MAX_WITHIN_S: u64 = 86_400;
/// How many files a device looks at, of all tripwires together.
pub const MAX_CANARIES: usize = 64;

impl fmt::Display for Tripwire {
    /// In one line, as the tools have it: `refusals:50/300s:halt`, `canary:/srv/a,/srv/b:2/60s:tell`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            Watched::Canary(Canary { paths }) => {
                f.write_str("canary:")?;
                for (place, path) in paths.iter().enumerate() {
                    write!(f, "{}{path}", if place > 0 { "," } else { "" })?;
                }
            }
            Watched::Refusals(_) => f.write_str("refusals")?,
            Watched::Silence(_) => f.write_str("silence")?,
        }
        write!(f, ":{}/{}s:{}", self.count, self.within, self.then)
    }
}
