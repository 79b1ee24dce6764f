//! Who may do what, which keys speak for whom, and which log, witnesses and beacons count.

mod tripwire;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::num::NonZeroU8;

use crate::ids::{Name, OrgId, Sha256};
use crate::key::{Algorithm, PublicKey};
use crate::note::{KeyKind, VerifierKey};
use crate::statement::{Kind, Statement};
use crate::text::{keyword, record};
use crate::words::{AbsolutePath, Address, Line};
pub use tripwire::{Canary, MAX_CANARIES, MAX_TRIPWIRES, MAX_WITHIN_S, Then, Tripwire, Watched};

record! {
    /// A policy: the root of everything an agent believes. The hash of the first one is the organization's id.
    pub struct Policy {
        /// The organization; empty in its genesis policy only.
        org: Option<OrgId>,
        /// 1 for the genesis policy, then one more each time.
        number: u64,
        /// The policies this one follows: none, one, or several rivals it heals.
        previous: BTreeSet<Sha256>,
        /// Of the resumes made under the policy before it, those that go on counting. All others are over, whenever they were logged.
        resumes: BTreeSet<Sha256>,
        /// What people call the organization.
        name: Line,
        /// Everybody who may sign, with their keys.
        people: BTreeMap<Name, Person>,
        /// Named sets of people.
        roles: BTreeMap<Name, BTreeSet<Name>>,
        /// What it takes to run something: all rows that fit must be met, and one must fit.
        rules: Vec<Rule>,
        /// How many of whom it takes for the other statements.
        quorums: Quorums,
        /// Who may halt.
        halt: Halters,
        /// The log in which statements stand.
        log: Log,
        /// Who cosigns the log.
        witnesses: Witnesses,
        /// Who says that nobody has called a halt.
        beacons: Beacons,
        /// Whose releases of Countersign itself are accepted, and whether whoever makes it may halt it.
        vendor: Vendor,
        /// Where passkey signatures may come from.
        passkeys: Passkeys,
        /// Bounds on what a job may ask for.
        limits: Limits,
        /// What the server watches for.
        tripwires: Vec<Tripwire>,
        /// What typed kinds may not touch, such as `antivirus`.
        guarded: BTreeSet<Name>,
        /// Where to reach the programs.
        addresses: Addresses,
        /// Offline keys for the day the others are lost.
        recovery: Recovery,
    }
}

impl Statement for Policy {
    const KIND: Kind = Kind::Policy;
}

record! {
    /// A person: one human being, however many keys.
    pub struct Person {
        /// Any of these speaks for the person.
        keys: Vec<PersonKey>,
    }
}

record! {
    /// A key of a person.
    pub struct PersonKey {
        /// The key, as `ssh-keygen` prints it, without a comment.
        key: PublicKey,
        /// Whether it is a passkey of an origin that the server itself serves: then it counts for little.
        same_origin: bool,
    }
}

keyword! {
    /// What a signature must show beyond being valid.
    pub enum Property {
        /// Somebody touched the security key.
        Presence = "presence",
        /// The security key checked who touched it (a PIN, a finger).
        Verification = "verification",
    }
}

record! {
    /// One row of what it takes to run something.
    pub struct Rule {
        /// It fits jobs that have a step of one of these kinds.
        kinds: BTreeSet<Name>,
        /// It fits devices that carry all of these labels; none means every device.
        labels: BTreeMap<Name, Name>,
        /// Roles whose people may ask.
        requesters: BTreeSet<Name>,
        /// Roles whose people may approve.
        approvers: BTreeSet<Name>,
        /// How many people other than the requester must approve.
        approvals: u8,
        /// What each counted signature must show.
        properties: BTreeSet<Property>,
        /// When it may run; none means always.
        hours: Vec<Hours>,
        /// The least number of waves.
        waves: u64,
    }
}

record! {
    /// A part of the week in UTC.
    pub struct Hours {
        /// Minutes since Monday 00:00, 0 to 10,079.
        from: u64,
        /// Exclusive end, 1 to 10,080, later than `from`.
        until: u64,
    }
}

record! {
    /// How many people of a role it takes.
    pub struct Quorum {
        /// The role.
        role: Name,
        /// How many of its people.
        need: NonZeroU8,
    }
}

record! {
    /// The quorums for statements that are not jobs.
    pub struct Quorums {
        /// For the next policy, of this policy and of the next one.
        policy: Quorum,
        /// For enrolling and retiring devices.
        enroll: Quorum,
        /// For lifting halts.
        resume: Quorum,
        /// For starting the next wave.
        promote: Quorum,
    }
}

record! {
    /// Who may halt: any single one of them.
    pub struct Halters {
        /// Roles whose people may.
        roles: BTreeSet<Name>,
        /// Machines that may, such as the server and monitors: `ssh-ed25519` keys used for nothing else.
        machines: BTreeMap<Name, PublicKey>,
    }
}

record! {
    /// The organization's log.
    pub struct Log {
        /// Its key, whose name is the log's origin: the first line of its checkpoints.
        key: VerifierKey,
        /// If it replaces another: up to which size the old one counts, else 0.
        old_size: u64,
        /// And the old one's root at that size.
        old_root: Option<Sha256>,
    }
}

record! {
    /// Who cosigns the log.
    pub struct Witnesses {
        /// How many must have.
        need: NonZeroU8,
        /// Their cosignature keys.
        keys: BTreeSet<VerifierKey>,
    }
}

record! {
    /// Who issues Clears.
    pub struct Beacons {
        /// How many must have.
        need: NonZeroU8,
        /// For how many seconds a challenge is good, 60 to 3,600.
        lifetime: u64,
        /// Their keys.
        keys: BTreeSet<VerifierKey>,
    }
}

record! {
    /// Who makes Countersign, for this organization.
    pub struct Vendor {
        /// How many must sign; 0 with no keys means that no release is accepted.
        need: u8,
        /// The vendor's keys.
        keys: BTreeSet<PublicKey>,
        /// What a halt by one of these keys is worth.
        halts: VendorHalts,
    }
}

keyword! {
    /// What a vendor's halt is worth.
    pub enum VendorHalts {
        /// It is obeyed on sight, like anybody's who may halt.
        Auto = "auto",
        /// Nobody obeys it; people are shown it and asked whether they halt.
        Ask = "ask",
        /// Nobody obeys it, and nobody is asked.
        Off = "off",
    }
}

record! {
    /// Where passkey signatures may come from.
    pub struct Passkeys {
        /// The relying party id; empty means that passkeys are not accepted.
        rp_id: Option<Address>,
        /// Origins, byte for byte.
        origins: BTreeSet<Address>,
    }
}

record! {
    /// Bounds on what a job may ask for.
    pub struct Limits {
        /// The longest life of a job in seconds, at most 30 days.
        life: u64,
        /// How many steps may run at once on a device.
        concurrent: NonZeroU8,
        /// The most output of a step in bytes that is kept.
        output: u64,
        /// Above this many targets each wave after the first waits for a person.
        auto_waves_max: u64,
    }
}

record! {
    /// Where to reach the programs. None of these is believed more than another.
    pub struct Addresses {
        /// Servers: `host:port`, and the SHA-256 of the certificate's public key if it is to be pinned.
        servers: BTreeMap<Address, Option<Sha256>>,
        /// Beacons: name of the key to URL.
        beacons: BTreeMap<Line, Address>,
        /// Witnesses: name of the key to URL.
        witnesses: BTreeMap<Line, Address>,
    }
}

record! {
    /// Offline keys for the day the others are lost.
    pub struct Recovery {
        /// How many must sign; 0 with no keys means there is none.
        need: u8,
        /// The keys.
        keys: BTreeSet<PublicKey>,
    }
}

/// Why a policy cannot be used, whoever signed it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A genesis policy names an organization or a previous policy, or a later one names none.
    #[error("policy number {number}: only number 1 has no `org` and no `previous`")]
    Genesis {
        /// The number it carries.
        number: u64,
    },
    /// A role speaks of somebody who is not there.
    #[error("role {role} names {person}, who is not among the people")]
    NoSuchPerson {
        /// The role.
        role: Name,
        /// The person.
        person: Name,
    },
    /// A rule or quorum speaks of a role that is not there.
    #[error("{place} names the role {role}, which does not exist")]
    NoSuchRole {
        /// Where.
        place: String,
        /// The role.
        role: Name,
    },
    /// A person without keys.
    #[error("{person} has no key")]
    NoKey {
        /// The person.
        person: Name,
    },
    /// A key in two places: one could sign as two.
    #[error("the key {key} stands twice")]
    KeyTwice {
        /// The key.
        key: String,
    },
    /// More is asked for than there is.
    #[error("{place} needs {need} of {there}")]
    TooFew {
        /// Where.
        place: String,
        /// What it asks for.
        need: usize,
        /// What there is.
        there: usize,
    },
    /// A number outside its range.
    #[error("{place} is {value}, it must be {least} to {most}")]
    Range {
        /// Where.
        place: &'static str,
        /// The value.
        value: u64,
        /// The least allowed.
        least: u64,
        /// The most allowed.
        most: u64,
    },
    /// More of something than there may be.
    #[error("{there} {place}, {most} are allowed")]
    TooMany {
        /// Of what.
        place: &'static str,
        /// How many there are.
        there: usize,
        /// The most allowed.
        most: usize,
    },
    /// A key that cannot sign what it is listed for, so that nothing could ever be logged or cleared.
    #[error("the key {key} of {place} is of kind {found:?}, needed is {needed:?}")]
    NoteKey {
        /// Where.
        place: &'static str,
        /// The key's name.
        key: String,
        /// What it signs.
        found: KeyKind,
        /// What is to be signed.
        needed: KeyKind,
    },
    /// A log whose checkpoints could be taken for another note.
    #[error("the log's origin `{0}` begins with `countersign-`")]
    Origin(String),
    /// A machine's halt key is not an `ssh-ed25519` key.
    #[error("the halt key of {machine} is no ssh-ed25519 key")]
    HaltKey {
        /// The machine.
        machine: Name,
    },
}

/// The longest life a policy may allow a job: 30 days.
pub const MAX_LIFE_S: u64 = 30 * 86_400;
/// Minutes in a week.
pub const WEEK_MINUTES: u64 = 7 * 24 * 60;

impl Policy {
    /// Checks what no signature can make good: that names exist, keys stand once, and rules and quorums can be met
    /// by distinct people.
    pub fn check(&self) -> Result<(), PolicyError> {
        let genesis = self.number == 1;
        if genesis != self.org.is_none() || genesis != self.previous.is_empty() || self.number == 0 {
            return Err(PolicyError::Genesis { number: self.number });
        }
        self.check_people()?;
        self.check_keys()?;
        self.check_ranges()?;
        self.check_quorums()?;
        self.rules.iter().enumerate().try_for_each(|(index, rule)| self.check_rule(index, rule))
    }

    /// The people of `roles` together.
    pub fn people_of<'a>(&'a self, roles: impl IntoIterator<Item = &'a Name>) -> BTreeSet<&'a Name> {
        roles.into_iter().filter_map(|role| self.roles.get(role)).flatten().collect()
    }

    /// The files that devices look at for its tripwires.
    pub fn canaries(&self) -> BTreeSet<&AbsolutePath> {
        let watched = self.tripwires.iter().map(|tripwire| &tripwire.what);
        let paths = watched.filter_map(|what| match what {
            Watched::Canary(canary) => Some(&canary.paths),
            Watched::Refusals(_) | Watched::Silence(_) => None,
        });
        paths.flatten().collect()
    }

    /// Whose key this is.
    pub fn person_of_key(&self, blob: &[u8]) -> Option<(&Name, &PersonKey)> {
        self.people.iter().find_map(|(name, person)| {
            person.keys.iter().find(|held| held.key.blob() == blob).map(|held| (name, held))
        })
    }

    fn check_people(&self) -> Result<(), PolicyError> {
        if let Some((person, _)) = self.people.iter().find(|(_, person)| person.keys.is_empty()) {
            return Err(PolicyError::NoKey { person: person.clone() });
        }
        for (role, people) in &self.roles {
            if let Some(person) = people.iter().find(|person| !self.people.contains_key(*person)) {
                return Err(PolicyError::NoSuchPerson { role: role.clone(), person: person.clone() });
            }
        }
        Ok(())
    }

    /// No key stands twice in a policy, in any role. Ed25519 keys are compared raw: the same key must not sign once
    /// as a person and once as a beacon.
    fn check_keys(&self) -> Result<(), PolicyError> {
        let mut seen = BTreeSet::new();
        let people = self.people.values().flat_map(|person| &person.keys).map(|held| &held.key);
        let machines = self.halt.machines.values();
        for key in people.chain(machines).chain(&self.vendor.keys).chain(&self.recovery.keys) {
            if !seen.insert(key.numbers().to_vec()) {
                return Err(PolicyError::KeyTwice { key: key.fingerprint() });
            }
        }
        let log = core::iter::once(("log", KeyKind::Ed25519, &self.log.key));
        let witnesses = self.witnesses.keys.iter().map(|key| ("witnesses", KeyKind::CosignatureV1, key));
        let beacons = self.beacons.keys.iter().map(|key| ("beacons", KeyKind::Ed25519, key));
        for (place, needed, key) in log.chain(witnesses).chain(beacons) {
            if !seen.insert(key.raw().to_vec()) {
                return Err(PolicyError::KeyTwice { key: key.to_string() });
            }
            if key.kind() != needed {
                let (key, found) = (key.name().to_string(), key.kind());
                return Err(PolicyError::NoteKey { place, key, found, needed });
            }
        }
        if self.log.key.name().starts_with("countersign-") {
            return Err(PolicyError::Origin(self.log.key.name().to_string()));
        }
        let odd = self.halt.machines.iter().find(|(_, key)| key.algorithm() != Algorithm::Ed25519);
        odd.map_or(Ok(()), |(machine, _)| Err(PolicyError::HaltKey { machine: machine.clone() }))
    }

    fn check_ranges(&self) -> Result<(), PolicyError> {
        let in_range = |place, value, least, most| {
            let fits = (least..=most).contains(&value);
            if fits { Ok(()) } else { Err(PolicyError::Range { place, value, least, most }) }
        };
        in_range("beacons.lifetime", self.beacons.lifetime, 60, 3_600)?;
        in_range("limits.life", self.limits.life, 1, MAX_LIFE_S)?;
        for hours in self.rules.iter().flat_map(|rule| &rule.hours) {
            in_range("hours.until", hours.until, 1, WEEK_MINUTES)?;
            in_range("hours.from", hours.from, 0, hours.until - 1)?;
        }
        for tripwire in &self.tripwires {
            in_range("tripwires.count", tripwire.count, 1, u32::MAX.into())?;
            in_range("tripwires.within", tripwire.within, 1, MAX_WITHIN_S)?;
        }
        let at_most = |place, there, most| {
            if there <= most { Ok(()) } else { Err(PolicyError::TooMany { place, there, most }) }
        };
        at_most("tripwires", self.tripwires.len(), MAX_TRIPWIRES)?;
        at_most("canaries", self.canaries().len(), MAX_CANARIES)
    }

    fn check_quorums(&self) -> Result<(), PolicyError> {
        let enough = |place: &str, need: usize, there: usize| {
            let place = place.to_string();
            if need <= there { Ok(()) } else { Err(PolicyError::TooFew { place, need, there }) }
        };
        let quorums = [
            ("quorums.policy", &self.quorums.policy),
            ("quorums.enroll", &self.quorums.enroll),
            ("quorums.resume", &self.quorums.resume),
            ("quorums.promote", &self.quorums.promote),
        ];
        for (place, quorum) in quorums {
            self.role_exists(place, &quorum.role)?;
            let there =
                self.people_of([&quorum.role]).into_iter().filter(|person| self.is_independent(person));
            enough(place, quorum.need.get().into(), there.count())?;
        }
        for role in &self.halt.roles {
            self.role_exists("halt", role)?;
        }
        enough("witnesses", self.witnesses.need.get().into(), self.witnesses.keys.len())?;
        enough("beacons", self.beacons.need.get().into(), self.beacons.keys.len())?;
        enough("vendor", self.vendor.need.into(), self.vendor.keys.len())?;
        enough("recovery", self.recovery.need.into(), self.recovery.keys.len())
    }

    /// A rule must have a requester who finds enough other people to approve.
    fn check_rule(&self, index: usize, rule: &Rule) -> Result<(), PolicyError> {
        let place = alloc::format!("rule {}", index + 1);
        for role in rule.requesters.iter().chain(&rule.approvers) {
            self.role_exists(&place, role)?;
        }
        let able = |roles| self.people_of(roles).into_iter().filter(|person| self.can_sign(person, rule));
        let approvers: BTreeSet<&Name> = able(&rule.approvers).collect();
        let others = |requester: &Name| approvers.iter().filter(|person| **person != requester).count();
        let need = usize::from(rule.approvals);
        match able(&rule.requesters).map(others).max() {
            Some(there) if there >= need => Ok(()),
            Some(there) => Err(PolicyError::TooFew { place: place + ", approvers", need, there }),
            None => Err(PolicyError::TooFew { place: place + ", requesters", need: 1, there: 0 }),
        }
    }

    /// Whether `person` has a key that counts where the server's own pages must not be able to ask for it.
    fn is_independent(&self, person: &Name) -> bool {
        self.people.get(person).is_some_and(|person| person.keys.iter().any(|held| !held.same_origin))
    }

    /// Whether one key of `person` can show all that a rule asks of a signature.
    fn can_sign(&self, person: &Name, rule: &Rule) -> bool {
        let can_show = |held: &PersonKey| {
            let token = held.key.application().is_some();
            (token || rule.properties.is_empty()) && (rule.approvals > 0 || !held.same_origin)
        };
        self.people.get(person).is_some_and(|person| person.keys.iter().any(can_show))
    }

    fn role_exists(&self, place: &str, role: &Name) -> Result<(), PolicyError> {
        if self.roles.contains_key(role) {
            return Ok(());
        }
        Err(PolicyError::NoSuchRole { place: place.to_string(), role: role.clone() })
    }
}
