//! The genesis policy with its defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU8;

use anyhow::{Context as _, anyhow};
use countersign_trust::ids::{Name, Sha256};
use countersign_trust::key::PublicKey;
use countersign_trust::note::VerifierKey;
use countersign_trust::statement::policy::{
    Addresses, Beacons, Halters, Limits, Log, MAX_LIFE_S, Passkeys, Person, PersonKey, Policy, Quorum,
    Quorums, Recovery, Rule, Vendor, VendorHalts, Witnesses,
};
use countersign_wire::http::PreparedOrg;

use crate::args;
use crate::output::Stop;
use crate::signer::key_or_file;

/// A beacon or witness.
pub struct Peer {
    /// Where it is.
    pub url: String,
    /// Its key.
    pub key: VerifierKey,
}

/// What was asked for.
pub struct Wish {
    /// What people call it.
    pub name: String,
    /// Who may sign.
    pub people: BTreeMap<Name, Person>,
    /// Who issues Clears.
    pub beacons: Vec<Peer>,
    /// Who cosigns the log.
    pub witnesses: Vec<Peer>,
    /// How many others must approve.
    pub approvals: Option<u8>,
    /// How many beacons are needed.
    pub beacons_needed: Option<u8>,
    /// How many witnesses are needed.
    pub witnesses_needed: Option<u8>,
    /// Seconds for which a challenge is good.
    pub lifetime: u64,
}

/// A person from `name=KEY`.
pub fn person(wish: &str) -> anyhow::Result<(Name, PublicKey)> {
    let (name, key) =
        wish.split_once('=').ok_or_else(|| Stop::Usage(format!("`{wish}`: write `name=KEY`")))?;
    let name = args::name(name).map_err(Stop::Usage)?;
    Ok((name, key_or_file(key)?))
}

/// The people from `name=KEY` and `name`, the latter with `own`.
pub fn people(wishes: &[String], own: &PublicKey) -> anyhow::Result<BTreeMap<Name, Person>> {
    let mut people: BTreeMap<Name, Person> = BTreeMap::new();
    for wish in wishes {
        let (name, key) = if wish.contains('=') {
            person(wish)?
        } else {
            (args::name(wish).map_err(Stop::Usage)?, own.clone())
        };
        let key = PersonKey { key, same_origin: false };
        people.entry(name).or_insert_with(|| Person { keys: Vec::new() }).keys.push(key);
    }
    Ok(people)
}

/// Which of the people signs: the one named, else the one who has the key.
pub fn me(named: Option<Name>, people: &BTreeMap<Name, Person>, own: &PublicKey) -> anyhow::Result<Name> {
    let has = |person: &Person| person.keys.iter().any(|held| held.key == *own);
    let owner = people.iter().find(|(_, person)| has(person)).map(|(name, _)| name.clone());
    match (named, owner) {
        (Some(named), Some(owner)) if named == owner => Ok(named),
        (None, Some(owner)) => Ok(owner),
        (Some(named), _) => Err(Stop::Usage(format!("--key is not among the keys of {named}")).into()),
        (None, None) => {
            Err(Stop::Usage("--key belongs to none of the people named with --person".to_owned()).into())
        }
    }
}

/// So many of `there` that one may lie without being believed, where there are that many: the smallest k with 2k - n >= 2.
fn quorum_of(there: usize, asked: Option<u8>) -> anyhow::Result<NonZeroU8> {
    let usual = u8::try_from(((there + 3) / 2).min(there)).unwrap_or(u8::MAX);
    NonZeroU8::new(asked.unwrap_or(usual))
        .ok_or_else(|| anyhow!(Stop::Usage("at least 1 is needed".to_owned())))
}

/// The policy that `wish` and the server's keys make.
pub fn compose(wish: &Wish, prepared: &PreparedOrg, pin: Sha256) -> anyhow::Result<Policy> {
    let fixed = |text: &str| args::name(text).map_err(|error| anyhow!(error));
    let (operator, owner) = (fixed("operator")?, fixed("owner")?);
    let everybody: BTreeSet<Name> = wish.people.keys().cloned().collect();
    let few = u8::try_from(everybody.len().min(2)).unwrap_or(2);
    let quorum = || {
        Ok::<_, anyhow::Error>(Quorum {
            role: owner.clone(),
            need: NonZeroU8::new(few).context("nobody may sign")?,
        })
    };
    let keys = |peers: &[Peer]| peers.iter().map(|peer| peer.key.clone()).collect::<BTreeSet<_>>();
    let urls = |peers: &[Peer]| {
        let entry = |peer: &Peer| Ok((peer.key.name().parse()?, peer.url.parse()?));
        peers.iter().map(entry).collect::<Result<BTreeMap<_, _>, countersign_trust::words::WordsError>>()
    };
    let halt_key: PublicKey = prepared.halt_key.parse().context("the server's halt key")?;
    let rule = Rule {
        kinds: [fixed("script")?, fixed("service")?].into(),
        labels: BTreeMap::new(),
        requesters: [operator.clone()].into(),
        approvers: [operator.clone()].into(),
        approvals: wish.approvals.unwrap_or(u8::from(everybody.len() > 1)),
        properties: BTreeSet::new(),
        hours: Vec::new(),
        waves: 0,
    };
    Ok(Policy {
        org: None,
        number: 1,
        previous: BTreeSet::new(),
        resumes: BTreeSet::new(),
        name: wish.name.parse().context("the organization's name")?,
        people: wish.people.clone(),
        roles: [(operator.clone(), everybody.clone()), (owner.clone(), everybody)].into(),
        rules: vec![rule],
        quorums: Quorums { policy: quorum()?, enroll: quorum()?, resume: quorum()?, promote: quorum()? },
        halt: Halters { roles: [operator, owner].into(), machines: [(fixed("server")?, halt_key)].into() },
        log: Log { key: prepared.log_key.parse().context("the log's key")?, old_size: 0, old_root: None },
        witnesses: Witnesses {
            need: quorum_of(wish.witnesses.len(), wish.witnesses_needed)?,
            keys: keys(&wish.witnesses),
        },
        beacons: Beacons {
            need: quorum_of(wish.beacons.len(), wish.beacons_needed)?,
            lifetime: wish.lifetime,
            keys: keys(&wish.beacons),
        },
        vendor: Vendor { need: 0, keys: BTreeSet::new(), halts: VendorHalts::Auto },
        passkeys: Passkeys { rp_id: None, origins: BTreeSet::new() },
        limits: Limits {
            life: MAX_LIFE_S,
            concurrent: NonZeroU8::new(2).context("two is not zero")?,
            output: 1024 * 1024,
            auto_waves_max: 10_000,
        },
        tripwires: Vec::new(),
        guarded: [fixed("agent")?].into(),
        addresses: Addresses {
            servers: [(prepared.address.parse().context("the server's address")?, Some(pin))].into(),
            beacons: urls(&wish.beacons)?,
            witnesses: urls(&wish.witnesses)?,
        },
        recovery: Recovery { need: 0, keys: BTreeSet::new() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_trust::note::{KeyKind, NoteSigner};
    use countersign_trust::sshsig::SshSigner;

    use crate::weakness::weaknesses;

    fn peer(name: &str, kind: KeyKind, seed: u8, port: u16) -> Peer {
        let key = NoteSigner::new(name, kind, &[seed; 32]).unwrap().verifier().clone();
        Peer { url: format!("https://host{seed}.example:{port}"), key }
    }

    fn own() -> PublicKey {
        SshSigner::from_seed(&[1; 32]).unwrap().public_key().clone()
    }

    fn wish(people_: &[&str], peers: u8) -> Wish {
        let wishes: Vec<String> = (10..)
            .zip(people_)
            .map(|(seed, name)| {
                format!("{name}={} x", SshSigner::from_seed(&[seed; 32]).unwrap().public_key())
            })
            .collect();
        Wish {
            name: "Stores".to_owned(),
            people: people(&wishes, &own()).unwrap(),
            beacons: (0..peers)
                .map(|n| peer(&format!("beacon{n}"), KeyKind::Ed25519, 40 + n, 7_001))
                .collect(),
            witnesses: (0..peers)
                .map(|n| peer(&format!("witness{n}"), KeyKind::CosignatureV1, 60 + n, 7_002))
                .collect(),
            approvals: None,
            beacons_needed: None,
            witnesses_needed: None,
            lifetime: 180,
        }
    }

    fn prepared() -> PreparedOrg {
        let log =
            NoteSigner::new("rmm.example/log", KeyKind::Ed25519, &[90; 32]).unwrap().verifier().to_string();
        PreparedOrg {
            draft: "d".to_owned(),
            log_key: log,
            halt_key: SshSigner::from_seed(&[91; 32]).unwrap().public_key().to_string(),
            address: "rmm.example:8443".to_owned(),
            pin: Sha256([5; 32]).to_string(),
            token: "t".to_owned(),
        }
    }

    #[test]
    fn several_people_approve_each_other_and_three_of_four_witness() {
        let policy = compose(&wish(&["anna", "bo", "cy"], 4), &prepared(), Sha256([5; 32])).unwrap();
        policy.check().unwrap();
        let rule = policy.rules.first().unwrap();
        assert_eq!((rule.approvals, policy.quorums.policy.need.get()), (1, 2));
        assert_eq!((policy.beacons.need.get(), policy.witnesses.need.get()), (3, 3));
        assert!(
            weaknesses(&policy).iter().all(|weak| weak.starts_with("no recovery")),
            "{:?}",
            weaknesses(&policy)
        );
    }

    #[test]
    fn one_person_needs_nobody_and_is_told_every_weakness() {
        let policy = compose(&wish(&["me"], 1), &prepared(), Sha256([5; 32])).unwrap();
        policy.check().unwrap();
        assert_eq!(policy.rules.first().unwrap().approvals, 0);
        let weak = weaknesses(&policy).join("\n");
        for expected in [
            "1 of 1 beacons is enough",
            "1 of 1 witnesses is enough",
            "asks for no approval",
            "1 signature changes the policy",
        ] {
            assert!(weak.contains(expected), "{expected} in {weak}");
        }
    }

    #[test]
    fn two_of_a_kind_on_one_host_are_named() {
        let mut wish = wish(&["anna", "bo"], 4);
        wish.beacons[1].url = wish.beacons[0].url.clone();
        let policy = compose(&wish, &prepared(), Sha256([5; 32])).unwrap();
        assert!(weaknesses(&policy).join("\n").contains("same host host40.example: 2 beacons, 0 witnesses"));
    }

    #[test]
    fn the_quorum_bears_one_liar_where_there_are_enough() {
        let of = |there| quorum_of(there, None).unwrap().get();
        assert_eq!([of(1), of(2), of(3), of(4), of(5), of(6), of(7)], [1, 2, 3, 3, 4, 4, 5]);
    }

    #[test]
    fn the_signer_is_the_person_who_has_the_key() {
        let people = people(&["me".to_owned()], &own()).unwrap();
        assert_eq!(me(None, &people, &own()).unwrap().as_str(), "me");
        assert!(me(Some("bo".parse().unwrap()), &people, &own()).is_err());
    }
}
