//! Who signed: the one place where signatures are counted.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::envelope::Signed;
use crate::ids::Name;
use crate::key::PublicKey;
use crate::sshsig::PasskeyRules;
use crate::statement::Kind;
use crate::statement::policy::{Policy, Property, Quorum, Rule};

/// The people whose signatures under a statement are good, each once, however many keys they used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signers(BTreeMap<Name, Vec<Shown>>);

/// What one signature shows. A person's signatures are kept apart: one must not lend another what it lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shown {
    present: bool,
    verified: bool,
    /// By a key that the server's own pages cannot ask for.
    independent: bool,
}

/// Counts the good signatures under `signed` by keys of `policy`, in the namespace of `kind`.
pub fn signers(policy: &Policy, kind: Kind, signed: &Signed) -> Signers {
    let namespace = kind.namespace();
    let rules = passkey_rules(policy);
    let mut people: BTreeMap<Name, Vec<Shown>> = BTreeMap::new();
    for signature in signed.signatures() {
        let Some((person, held)) = policy.person_of_key(signature.key_blob()) else { continue };
        let Ok(facts) = signature.verify(&held.key, &namespace, signed.statement().as_bytes(), &rules) else {
            continue;
        };
        let (present, verified) = (facts.user_present, facts.user_verified);
        let shown = Shown { present, verified, independent: !held.same_origin };
        people.entry(person.clone()).or_default().push(shown);
    }
    Signers(people)
}

/// How many of `keys`, which belong to nobody in particular (a recovery set, a vendor), signed.
pub fn keys_signed(policy: &Policy, keys: &BTreeSet<PublicKey>, kind: Kind, signed: &Signed) -> usize {
    let (namespace, rules) = (kind.namespace(), passkey_rules(policy));
    let verifies = |key: &&PublicKey| {
        let mut by_it = signed.signatures().iter().filter(|signature| signature.key_blob() == key.blob());
        by_it
            .any(|signature| signature.verify(key, &namespace, signed.statement().as_bytes(), &rules).is_ok())
    };
    keys.iter().filter(verifies).count()
}

/// Where `policy` lets passkey signatures come from.
pub fn passkey_rules(policy: &Policy) -> PasskeyRules<'_> {
    PasskeyRules {
        rp_id: policy.passkeys.rp_id.as_ref().map(|id| id.as_str()).unwrap_or_default(),
        origins: &policy.passkeys.origins,
    }
}

impl Signers {
    /// Nobody of this policy signed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The people who signed.
    pub fn people(&self) -> impl Iterator<Item = &Name> {
        self.0.keys()
    }

    /// Whether `person` signed.
    pub fn contains(&self, person: &Name) -> bool {
        self.0.contains_key(person)
    }

    /// These and those of `others`.
    pub fn and(mut self, others: &Self) -> Self {
        for (person, shown) in &others.0 {
            self.0.entry(person.clone()).or_default().extend(shown);
        }
        self
    }

    /// Without these people.
    pub fn without(mut self, people: &BTreeSet<&Name>) -> Self {
        self.0.retain(|person, _| !people.contains(person));
        self
    }

    /// Only signatures that show all of `properties`.
    pub fn showing(self, properties: &BTreeSet<Property>) -> Self {
        self.only(|shown| {
            properties.iter().all(|property| match property {
                Property::Presence => shown.present,
                Property::Verification => shown.verified,
            })
        })
    }

    /// Only signatures that the server's own pages could not have asked for.
    pub fn independent(self) -> Self {
        self.only(|shown| shown.independent)
    }

    /// Only such signatures, and the people who have one left.
    fn only(mut self, counts: impl Fn(&Shown) -> bool) -> Self {
        self.0.retain(|_, shown| {
            shown.retain(&counts);
            !shown.is_empty()
        });
        self
    }

    /// How many of `people` signed.
    pub fn count(&self, people: &BTreeSet<&Name>) -> usize {
        self.0.keys().filter(|person| people.contains(person)).count()
    }

    /// Whether one of them could have asked for something under `rule` and enough others approved it.
    pub fn could_run(&self, policy: &Policy, rule: &Rule) -> bool {
        let shown = self.clone().showing(&rule.properties);
        let requesters = policy.people_of(&rule.requesters);
        shown.people().filter(|person| requesters.contains(person)).any(|requester| {
            let mut approvers = policy.people_of(&rule.approvers);
            approvers.remove(requester);
            shown.count(&approvers) >= usize::from(rule.approvals)
        })
    }

    /// How many people of the quorum's role signed with an independent key, if they are too few.
    pub fn too_few_for(&self, policy: &Policy, quorum: &Quorum) -> Option<usize> {
        let got = self.clone().independent().count(&policy.people_of([&quorum.role]));
        (got < usize::from(quorum.need.get())).then_some(got)
    }
}
