//! Who signed: the one place where signatures are counted.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::envelope::Signed;
use crate::ids::Name;
use crate::sshsig::PasskeyRules;
use crate::statement::Kind;
use crate::statement::policy::{Policy, Property, Quorum};

/// The people whose signatures under a statement are good, each once, however many keys they used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signers(BTreeMap<Name, Shown>);

/// The best that a person's signatures show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shown {
    present: bool,
    verified: bool,
    /// At least one signature is by a key that the server's own pages cannot ask for.
    independent: bool,
}

/// Counts the good signatures under `signed` by keys of `policy`, in the namespace of `kind`.
pub fn signers(policy: &Policy, kind: Kind, signed: &Signed) -> Signers {
    let namespace = kind.namespace();
    let rules = passkey_rules(policy);
    let mut people: BTreeMap<Name, Shown> = BTreeMap::new();
    for signature in signed.signatures() {
        let Some((person, held)) = policy.person_of_key(signature.key_blob()) else { continue };
        let Ok(facts) = signature.verify(&held.key, &namespace, signed.statement().as_bytes(), &rules) else {
            continue;
        };
        let shown = people.entry(person.clone()).or_default();
        shown.present |= facts.user_present;
        shown.verified |= facts.user_verified;
        shown.independent |= !held.same_origin;
    }
    Signers(people)
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

    /// Without these people.
    pub fn without(mut self, people: &BTreeSet<&Name>) -> Self {
        self.0.retain(|person, _| !people.contains(person));
        self
    }

    /// Only those whose signatures show all of `properties`.
    pub fn showing(mut self, properties: &BTreeSet<Property>) -> Self {
        self.0.retain(|_, shown| {
            properties.iter().all(|property| match property {
                Property::Presence => shown.present,
                Property::Verification => shown.verified,
            })
        });
        self
    }

    /// Only those with a signature that the server's own pages could not have asked for.
    pub fn independent(mut self) -> Self {
        self.0.retain(|_, shown| shown.independent);
        self
    }

    /// How many of `people` signed.
    pub fn count(&self, people: &BTreeSet<&Name>) -> usize {
        self.0.keys().filter(|person| people.contains(person)).count()
    }

    /// How many people of the quorum's role signed with an independent key, if they are too few.
    pub fn too_few_for(&self, policy: &Policy, quorum: &Quorum) -> Option<usize> {
        let got = self.clone().independent().count(&policy.people_of([&quorum.role]));
        (got < usize::from(quorum.need.get())).then_some(got)
    }
}
