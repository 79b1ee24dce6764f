//! What was typed for a resume, understood: which halts, which keys, which jobs are kept; and whether somebody was quicker.

use std::collections::BTreeSet;

use anyhow::Context as _;
use countersign_trust::chain::Chain;
use countersign_trust::ids::Sha256;
use countersign_trust::key::PublicKey;
use countersign_trust::signers::signers;
use countersign_trust::statement::policy::Policy;
use countersign_trust::statement::resume::{Lifts, Resume};
use countersign_trust::statement::{self, Kind};
use countersign_wire::http::{StatementView, paths};

use super::{ResumeArgs, freed};
use crate::cmd::halt::list::named;
use crate::cmd::job::{ReadJob, find, signed_part};
use crate::context::Session;
use crate::output::{Stop, plain, short};
use crate::signer::key_or_file;

/// What a resume follows: the newest here, and those that beacons follow instead of it, so that none is left behind.
pub fn previous(newest: Option<Sha256>, rivals: BTreeSet<Sha256>) -> BTreeSet<Sha256> {
    // A first resume names none.
    let Some(newest) = newest else { return BTreeSet::new() };
    [newest].into_iter().chain(rivals).collect()
}

/// Whether a resume can still be taken after the newest one.
pub fn follows(chain: &Chain, resume: &Resume) -> bool {
    chain.resume().map_or(resume.previous.is_empty(), |newest| resume.previous.contains(&newest))
}

/// Two people who both sign a resume of their own make rivals, of which each waits for a second signature.
pub fn nobody_was_quicker(session: &Session, anew: bool) -> anyhow::Result<()> {
    let path = format!("{}?kind=resume&state=waiting", session.path(paths::STATEMENTS, &[]));
    let shown: Vec<StatementView> = session.server.pages(&path, usize::MAX)?;
    let chain = &session.checked.chain;
    let waiting = shown.iter().filter(|view| view.state == "waiting").find_map(|view| {
        let signed = signed_part(&view.envelope).ok()?;
        let by = signers(&chain.policy().body, Kind::Resume, &signed);
        let resume: Resume = statement::read(signed.statement()).ok()?;
        (follows(chain, &resume) && !by.is_empty()).then(|| (short(&signed.hash()), by))
    });
    let Some((hash, by)) = waiting.filter(|_| !anew) else { return Ok(()) };
    let people: Vec<&str> = by.people().map(|person| person.as_str()).collect();
    let what = match by.contains(&session.profile.me) {
        true => format!(
            "you have signed the resume {hash} already: it waits for others, who run `countersign approve {hash}`; \
             --anew signs another one, which takes its place if it gets its signatures first"
        ),
        false => format!(
            "{} has signed the resume {hash} already: look at it and sign it with `countersign approve {hash}`; \
             a second one beside it would be its rival, --anew signs it all the same",
            people.join(" and ")
        ),
    };
    Err(Stop::Refused(what).into())
}

/// What it lifts. `over` are the halts of jobs that are over.
pub fn lifts(chain: &Chain, args: &ResumeArgs, over: &BTreeSet<Sha256>) -> anyhow::Result<Lifts> {
    if args.over {
        return match over.is_empty() {
            true => Err(Stop::Usage("no active halt stops a job that is over".to_owned()).into()),
            false => Ok(Lifts::Halts(over.clone())),
        };
    }
    if !args.keys.is_empty() {
        let keys = args.keys.iter().map(|wish| key(chain, wish)).collect::<anyhow::Result<_>>()?;
        return Ok(Lifts::Keys(keys));
    }
    let chosen: BTreeSet<Sha256> = match args.halts.as_slice() {
        [] => chain.active_halts().map(|halt| halt.hash).collect(),
        wishes => wishes
            .iter()
            .map(|wish| named(chain, wish).map(|halt| halt.hash))
            .collect::<anyhow::Result<_>>()?,
    };
    if chosen.is_empty() {
        return Err(Stop::Usage("no halt is active: there is nothing to lift".to_owned()).into());
    }
    Ok(Lifts::Halts(chosen))
}

/// A key that may halt, or might once: any other lifts nothing.
fn key(chain: &Chain, wish: &str) -> anyhow::Result<PublicKey> {
    let known = || chain.policies().iter().flat_map(|held| halters(&held.body));
    let found = match wish.starts_with("SHA256:") {
        true => known().find(|key| key.fingerprint() == wish).cloned(),
        false => Some(key_or_file(wish)?).filter(|key| known().any(|other| other == key)),
    };
    let nobody = || {
        Stop::Usage(format!(
            "no policy lets the key {} halt: a resume by it would lift nothing; `countersign halt list` shows the keys of active halts",
            plain(wish)
        ))
    };
    Ok(found.ok_or_else(nobody)?)
}

/// The keys of a policy's people and machines. A vendor's halt is lifted by its hash alone.
fn halters(policy: &Policy) -> impl Iterator<Item = &PublicKey> {
    let people = policy.people.values().flat_map(|person| person.keys.iter().map(|held| &held.key));
    people.chain(policy.halt.machines.values())
}

/// Jobs that are spared, by their whole hashes.
pub fn keeps(session: &Session, wishes: &[String]) -> anyhow::Result<BTreeSet<Sha256>> {
    let hash = |wish: &String| {
        let found = find(session, wish).with_context(|| format!("--keep {}", plain(wish)))?;
        found.parse().context("the server shows a name that is no hash")
    };
    wishes.iter().map(hash).collect()
}

/// A job that is spared, in words.
pub fn kept(session: &Session, job: &Sha256) -> String {
    match ReadJob::fetch(session, &job.to_string()) {
        Ok(read) => freed::line(&read.hash, &read.job),
        Err(_) => format!("{}, WHICH THE SERVER DOES NOT SHOW AS A JOB", short(job)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resume_follows_its_own_newest_and_whatever_rival_a_beacon_follows() {
        let (mine, theirs) = (Sha256([1; 32]), Sha256([2; 32]));
        assert_eq!(previous(None, BTreeSet::new()), BTreeSet::new());
        assert_eq!(previous(None, [theirs].into()), BTreeSet::new(), "a first one names none");
        assert_eq!(previous(Some(mine), BTreeSet::new()), [mine].into());
        assert_eq!(previous(Some(mine), [theirs].into()), [mine, theirs].into());
    }
}
