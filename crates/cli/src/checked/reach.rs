//! Beacons hear of policies, resumes and halts from this tool too: a server in the wrong hands would tell them of none.
//!
//! Each beacon says by a Clear what it holds, signed with its key; it is brought what it lacks; and a new one is brought the words of
//! those before it, without which it answers nobody. Asked are the beacons of the newest policy and of the one before: a device
//! that has missed the newest goes by the Clears of the latter.

mod call;
mod proven;
mod words;

use std::collections::BTreeSet;
use std::thread;

use countersign_trust::chain::Chain;
use countersign_trust::clear::Clear;
use countersign_trust::ids::Sha256;
use countersign_trust::note::{Note, VerifierKey};
use countersign_trust::statement::policy::Policy;
use countersign_trust::told::Holds;

use crate::context::random;
use crate::home::Profile;
use crate::output::plain;
use call::{Call, Silent};
use proven::Proven;

/// How far the newest policy and resume came with beacons, as they say themselves.
pub struct Reached {
    visits: Vec<Visit>,
    proven: Proven,
}

/// What one beacon said in the end, and whether it was brought something before.
struct Visit {
    key: VerifierKey,
    url: String,
    said: Result<(Note, Clear), Silent>,
    told: bool,
    /// What it would not take, in its words.
    refused: Option<String>,
}

impl Reached {
    /// Of each beacon that was asked, whether its signed word names an active halt; or why it gave none.
    pub fn names(&self, halt: &Sha256) -> Vec<(&VerifierKey, Result<bool, String>)> {
        let said = |visit: &Visit| match &visit.said {
            Ok((_, clear)) => Ok(clear.halts.contains(halt)),
            Err(silent) => Err(plain(&silent.to_string())),
        };
        self.visits.iter().map(|visit| (&visit.key, said(visit))).collect()
    }

    /// Resumes that beacons name and that do not stand in `chain`, though these beacons were asked for all they know: its rivals.
    pub fn rivals(&self, chain: &Chain) -> BTreeSet<Sha256> {
        let named = self.visits.iter().filter_map(|visit| visit.said.as_ref().ok()?.1.resume);
        named.filter(|named| chain.resumes().iter().all(|held| held.hash != *named)).collect()
    }
}

/// Brings beacons what they lack of `chain`, and takes from those whom nobody has asked yet what they know besides.
pub fn reach(profile: &Profile, chain: &Chain) -> anyhow::Result<Reached> {
    let mut proven = Proven::of(profile, chain);
    let mut visits = visit_all(chain, places(chain, &proven))?;
    hand_over(chain, &mut visits)?;
    proven.add(chain, visits.iter().filter_map(|visit| Some((&visit.key, &visit.said.as_ref().ok()?.1))));
    proven.keep(profile)?;
    Ok(Reached { visits, proven })
}

/// All beacons of the newest policy, and those of the one before that are not known to have what is newest.
fn places(chain: &Chain, proven: &Proven) -> Vec<(VerifierKey, String)> {
    let mut places = addressed(&chain.policy().body);
    let before = chain.policies().iter().rev().nth(1).map(|held| addressed(&held.body)).unwrap_or_default();
    for (key, url) in before {
        if !proven.has(&key) && places.iter().all(|(other, _)| *other != key) {
            places.push((key, url));
        }
    }
    places
}

fn addressed(policy: &Policy) -> Vec<(VerifierKey, String)> {
    let with_url = |key: &VerifierKey| Some((key.clone(), policy.address_of_beacon(key)?.to_string()));
    policy.beacons.keys.iter().filter_map(with_url).collect()
}

fn visit_all(chain: &Chain, places: Vec<(VerifierKey, String)>) -> anyhow::Result<Vec<Visit>> {
    let root = Sha256(random()?);
    let visits = thread::scope(|scope| {
        let calls: Vec<_> = places
            .into_iter()
            .map(|(key, url)| {
                scope.spawn(move || visit(chain, Call::new(chain.org(), &key, &url, root), key, url))
            })
            .collect();
        calls.into_iter().filter_map(|call| call.join().ok()).collect()
    });
    Ok(visits)
}

fn visit(chain: &Chain, call: Call, key: VerifierKey, url: String) -> Visit {
    let said = call.clear();
    let holds = match &said {
        Ok((_, clear)) => Holds::by(chain, clear),
        Err(Silent::Away(_)) => return Visit { key, url, said, told: false, refused: None },
        Err(Silent::Stranger(_)) => Holds::default(),
        Err(Silent::Mute(_)) => call.state(chain).unwrap_or_default(),
    };
    let told = call.tell(chain, &holds);
    let said = if told.is_ok() || said.is_err() { call.clear() } else { said };
    match told {
        Ok(told) => Visit { key, url, said, told: told.is_some(), refused: told.flatten() },
        Err(why) => Visit { key, url, said, told: false, refused: Some(why) },
    }
}

/// A beacon that a policy names anew answers nobody until so many of those before it have said what they know.
fn hand_over(chain: &Chain, visits: &mut Vec<Visit>) -> anyhow::Result<()> {
    let is_new = |visit: &&Visit| {
        matches!(visit.said, Err(Silent::Mute(_))) && chain.policy().body.beacons.keys.contains(&visit.key)
    };
    let new: Vec<VerifierKey> = visits.iter().filter(is_new).map(|visit| visit.key.clone()).collect();
    for key in new {
        let Some(tenure) = chain.tenure(&key) else { continue };
        let Some(before) = tenure.before else { continue };
        let unasked: Vec<_> = addressed(&before.body)
            .into_iter()
            .filter(|(other, _)| visits.iter().all(|visit| visit.key != *other))
            .collect();
        visits.extend(visit_all(chain, unasked)?);
        let said = visits.iter().filter_map(|visit| Some((&visit.key, visit.said.as_ref().ok()?)));
        let counts = said.filter(|(key, (_, clear))| chain.hands_over(&tenure, key, clear));
        let notes: Vec<Note> = counts.map(|(_, (note, _))| note.clone()).collect();
        let Some(visit) = visits.iter_mut().find(|visit| visit.key == key) else { continue };
        let root = Sha256(random()?);
        let call = Call::new(chain.org(), &key, &visit.url, root);
        visit.refused =
            notes.iter().filter_map(|note| call.hand_over(note).err()).next_back().or(visit.refused.take());
        visit.said = call.clear();
    }
    Ok(())
}
