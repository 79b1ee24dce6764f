//! What beacons are told by whoever tells them: what they lack and no more, in pieces; and who hands over to a new one.
//!
//! A beacon says by its Clear what it holds, signed. So nobody needs to trust whoever told it, and a history of any size costs those
//! who hold it nothing.
//!
//! Source: docs/spec/8-interfaces.md, "Who tells beacons".

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::chain::{Chain, Held};
use crate::clear::Clear;
use crate::delivery::{News, write_sequence};
use crate::ids::Sha256;
use crate::note::VerifierKey;
use crate::statement::policy::Policy;
use crate::words::Address;

/// How many bytes of news go to a beacon at once; one that is larger goes alone.
pub const MOST_AT_ONCE: usize = 1024 * 1024;

/// The latest unbroken run of policies that name a beacon.
#[derive(Clone, Copy, Debug)]
pub struct Tenure<'a> {
    /// Where it begins among the policies.
    pub first: usize,
    /// The policy before it, whose beacons hand over; none if it begins with the genesis policy.
    pub before: Option<&'a Held<Policy>>,
}

impl Chain {
    /// Since when a beacon with this key is one; none if no policy in force has ever named it.
    pub fn tenure(&self, beacon: &VerifierKey) -> Option<Tenure<'_>> {
        let policies = self.policies();
        let names_it = |held: &Held<Policy>| held.body.beacons.keys.contains(beacon);
        let last = policies.iter().rposition(names_it)?;
        let run = policies.get(..=last)?.iter().rev().take_while(|held| names_it(held)).count();
        let first = last + 1 - run;
        Some(Tenure { first, before: first.checked_sub(1).and_then(|at| policies.get(at)) })
    }

    /// Whether the policy with this hash is one of that tenure, or later.
    pub fn is_since(&self, tenure: &Tenure<'_>, policy: &Sha256) -> bool {
        self.policies().iter().skip(tenure.first).any(|held| held.hash == *policy)
    }

    /// Whether the Clear of `beacon` hands over to one with that tenure: it is of those before, and has heard of the change.
    pub fn hands_over(&self, tenure: &Tenure<'_>, beacon: &VerifierKey, clear: &Clear) -> bool {
        let is_before = tenure.before.is_some_and(|before| before.body.beacons.keys.contains(beacon));
        is_before && self.is_since(tenure, &clear.policy)
    }
}

impl Policy {
    /// Where the beacon with this key is asked.
    pub fn address_of_beacon(&self, key: &VerifierKey) -> Option<&Address> {
        let named = self.addresses.beacons.iter().find(|(name, _)| name.as_str() == key.name());
        named.map(|(_, address)| address)
    }
}

/// What a beacon was found to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    /// The number of its newest policy; 0 if it knows nothing of the organization.
    pub policy: u64,
    /// Its newest resume.
    pub resume: Option<Sha256>,
    /// The active halts it names.
    pub halts: BTreeSet<Sha256>,
}

impl Holds {
    /// What a Clear says. Whoever names a policy that is not in `chain` needs none of those that are.
    pub fn by(chain: &Chain, clear: &Clear) -> Self {
        let named = chain.policy_by_hash(&clear.policy).unwrap_or(chain.policy());
        Self { policy: named.body.number, resume: clear.resume, halts: clear.halts.clone() }
    }
}

/// What `beacon`, which has `holds`, is to be brought of `chain`, piece after piece; nothing if it lacks nothing.
pub fn brought(chain: &Chain, holds: &Holds, beacon: &VerifierKey) -> Vec<String> {
    let news = lacking(chain, holds);
    let opening = if holds.policy == 0 { opening(chain, &news, beacon) } else { 0 };
    pieces(&news, opening)
}

/// What somebody with `holds` lacks of `chain`, in the order in which it can be taken. What a resume has lifted nobody needs.
pub fn lacking(chain: &Chain, holds: &Holds) -> Vec<News> {
    let at = chain.resumes().iter().position(|resume| Some(resume.hash) == holds.resume);
    let resumed: Vec<Sha256> =
        chain.resumes().iter().take(at.map_or(0, |at| at + 1)).map(|r| r.hash).collect();
    let active: BTreeSet<Sha256> = chain.active_halts().map(|halt| halt.hash).collect();
    let lacks = |news: &News| match news {
        News::Resume(_) => !resumed.contains(&news.hash()),
        News::Halt(_) => active.contains(&news.hash()) && !holds.halts.contains(&news.hash()),
        News::Policy(_) | News::Recovered(_) | News::Enroll(_) => true,
    };
    News::since(chain, holds.policy).into_iter().filter(lacks).collect()
}

/// The same news as sequences of at most [`MOST_AT_ONCE`] bytes each, in the same order.
///
/// A beacon takes an organization on only by news that name it, so what a beacon that knows nothing lacks up to the policy that
/// names it first, `opening` items, is not cut.
pub fn pieces(news: &[News], opening: usize) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    for (at, item) in news.iter().enumerate() {
        let item = write_sequence(&[item.to_string()]);
        match pieces.last_mut() {
            Some(last) if at < opening || last.len() + item.len() <= MOST_AT_ONCE => last.push_str(&item),
            _ => pieces.push(item),
        }
    }
    pieces
}

/// How many of these news a beacon that knows nothing must be told at once: up to the first policy that names it.
pub fn opening(chain: &Chain, news: &[News], beacon: &VerifierKey) -> usize {
    let names_it = |news: &News| {
        let policies = chain.policies().iter().chain(chain.waiting());
        let mut this = policies.filter(|held| held.hash == news.hash());
        this.any(|held| held.body.beacons.keys.contains(beacon))
    };
    news.iter().position(names_it).map_or(0, |at| at + 1)
}
