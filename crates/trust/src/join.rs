//! How a device takes its place in a batch: a note signed by the token's one-time key and by the device's own.
//!
//! Source: docs/spec/3-statements.md, "Join".

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use crate::chain::{Chain, ChainError, Place, need, read};
use crate::checkpoint::Proof;
use crate::envelope::{Logged, Signed, leaf};
use crate::ids::{DeviceId, Name, OrgId, Sha256};
use crate::lines::{LineReader, LinesError, or_none};
use crate::note::{KeyKind, Note, VerifierKey, VerifierKeyError};
use crate::signers::{Signers, signers};
use crate::statement::Kind;
use crate::statement::enroll::{Device, Enroll, What};
use crate::statement::policy::{Policy, Rule};
use crate::time::Time;
use crate::words::Line;

/// A device's wish to join. Prints as the text of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The organization.
    pub org: OrgId,
    /// The batch's enrollment statement.
    pub batch: Sha256,
    /// The device's key, by which it signs receipts. Its name is the device's id.
    pub device: VerifierKey,
    /// Its SSH host key, or nothing.
    pub host_key: Line,
}

const JOIN: &str = "countersign-join/v1";

impl fmt::Display for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { org, batch, device, host_key } = self;
        writeln!(f, "{JOIN}\n{org}\nbatch {batch}\ndevice {device}\nhost {host_key}")
    }
}

impl FromStr for Join {
    type Err = LinesError;
    fn from_str(text: &str) -> Result<Self, LinesError> {
        let mut lines = LineReader::new(text);
        lines.exactly(JOIN)?;
        let join = Self {
            org: lines.word("an organization")?,
            batch: lines.value("batch")?,
            device: lines.value("device")?,
            host_key: lines.value("host")?,
        };
        lines.finish()?;
        Ok(join)
    }
}

/// The key of a device, named by its id.
pub fn device_key(raw: [u8; 32]) -> Result<VerifierKey, VerifierKeyError> {
    VerifierKey::new(&DeviceId::of_key(&raw).to_string(), KeyKind::Ed25519, raw)
}

/// The log entry of a join.
pub fn join_leaf(org: &OrgId, note: &Note) -> String {
    leaf(org, "join", &Sha256::of(note.text().as_bytes()), &Sha256::of(b""))
}

/// A device's labels, the site among them under `site`.
pub type Labels = BTreeMap<Name, Name>;

/// Who a device is, as an enrollment says that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// The device.
    pub device: DeviceId,
    /// Its key.
    pub key: VerifierKey,
    /// Its labels, the site among them under `site`.
    pub labels: Labels,
    /// The enrollment statement.
    pub enroll: Sha256,
    /// The leaf by which the device is enrolled: of the statement, or of the join.
    pub place: Place,
    /// Which enrollment of this device it is: 0 for one that joined a batch.
    pub seq: u64,
}

/// Why a device is not enrolled by what is shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnrollError {
    /// The enrollment statement does not hold.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The join is no join.
    #[error("the join: {0}")]
    Text(#[from] LinesError),
    /// The join lacks a signature.
    #[error("the join is not signed by the {0} key")]
    Unsigned(&'static str),
    /// The join names another batch or organization.
    #[error("the join is for {found}, the batch is {expected}")]
    OtherBatch {
        /// The enrollment shown.
        expected: Sha256,
        /// What the join names.
        found: Sha256,
    },
    /// A device's name is not the hash of its key.
    #[error("the key is named {found}, its device is {expected}")]
    KeyName {
        /// The device of the key.
        expected: DeviceId,
        /// The key's name.
        found: String,
    },
    /// The statement enrolls no device in this way.
    #[error("the statement is no enrollment of {0}")]
    NotThat(&'static str),
    /// The token had ended when the witnesses saw the join.
    #[error("the token was good until {until}, the join was witnessed at {time}")]
    TooLate {
        /// When the token ended.
        until: Time,
        /// When the join was witnessed.
        time: Time,
    },
    /// A label called `site`: the site has a field of its own.
    #[error("a label is called `site`")]
    SiteLabel,
    /// It is another device's.
    #[error("it is for {found}, this device is {mine}")]
    OtherDevice {
        /// Mine.
        mine: DeviceId,
        /// Its.
        found: DeviceId,
    },
    /// It does not follow the enrollment that is held.
    #[error("enrollment {seq} follows {}, held is enrollment {held_seq}, {held}", or_none(previous))]
    NotNext {
        /// Its number.
        seq: u64,
        /// What it follows.
        previous: Option<Sha256>,
        /// The number of the one that is held.
        held_seq: u64,
        /// The one that is held.
        held: Sha256,
    },
    /// The device has left, for ever.
    #[error("this device was retired by {0}: it needs a new key and a new enrollment")]
    Retired(Sha256),
    /// It changes a label that a rule reads, and too few signed it to run something under that rule.
    #[error(
        "it changes the label {label}, which rule {rule} of policy {policy} reads: not signed by as many as that rule asks for"
    )]
    Relabels {
        /// The label.
        label: Name,
        /// Which row, counted from 1.
        rule: usize,
        /// The policy's number.
        policy: u64,
    },
}

/// Checks an enrollment: quorum under the policy in force at its leaf. Returns it with that leaf's place.
pub fn check_enroll(chain: &Chain, enroll: &Logged) -> Result<(Enroll, Place), EnrollError> {
    let leaf = enroll.signed.leaf(&chain.org()).map_err(ChainError::from)?;
    let (governing, place, _) = chain.governing(&leaf, &enroll.proof)?;
    let count = signers(&governing.body, Kind::Enroll, &enroll.signed);
    if count.is_empty() {
        return Err(ChainError::UnknownSigners.into());
    }
    let body: Enroll = read(&enroll.signed)?;
    if body.org != chain.org() {
        let found = body.org.to_string();
        return Err(ChainError::Organization { expected: chain.org(), found }.into());
    }
    need(&governing.body, &governing.body.quorums.enroll, &count)?;
    Ok((body, place))
}

/// The device that a statement enrolls by itself.
pub fn enrolled_directly(chain: &Chain, enroll: &Logged) -> Result<Enrolled, EnrollError> {
    let (body, place) = check_enroll(chain, enroll)?;
    let What::Device(device) = body.what else { return Err(EnrollError::NotThat("one device")) };
    named_by_its_key(&device.key)?;
    let labels = with_site(device.labels, device.site)?;
    let id = DeviceId::of_key(device.key.raw());
    Ok(Enrolled { device: id, key: device.key, labels, enroll: enroll.signed.hash(), place, seq: device.seq })
}

/// The enrollment that follows the one held: of the same device, naming the one held, with a higher number, so that an older one is
/// never taken again. Where it changes a label that rules read, the rules that fit before and after have their say. This is how whoever
/// reads the log judges it; a device that is brought it asks more, see [`taken_anew`].
pub fn enrolled_anew(chain: &Chain, held: &Enrolled, enroll: &Logged) -> Result<Enrolled, EnrollError> {
    let next = enrolled_directly(chain, enroll)?;
    if next.device != held.device {
        return Err(EnrollError::OtherDevice { mine: held.device, found: next.device });
    }
    let (body, _) = check_enroll(chain, enroll)?;
    let What::Device(Device { previous, seq, .. }) = body.what else {
        return Err(EnrollError::NotThat("one device"));
    };
    if seq <= held.seq || previous != Some(held.enroll) {
        return Err(EnrollError::NotNext { seq, previous, held_seq: held.seq, held: held.enroll });
    }
    may_relabel(governing(chain, enroll)?, &held.labels, &next.labels, &enroll.signed)?;
    Ok(next)
}

/// The same for a device that is brought it: those rules of the newest policy have their say too, so that nobody moves a machine by a
/// policy that is over; and who is halted has none, since a stolen key must not move machines either.
///
/// Which policy was the newest then, and who was halted, nobody can say who reads the log later.
pub fn taken_anew(chain: &Chain, held: &Enrolled, enroll: &Logged) -> Result<Enrolled, EnrollError> {
    let next = enrolled_anew(chain, held, enroll)?;
    let halted: BTreeSet<&Name> = chain.active_halts().filter_map(|halt| halt.body.scope.person()).collect();
    let governing = governing(chain, enroll)?;
    let signed_by = |policy: &Policy| signers(policy, Kind::Enroll, &enroll.signed).without(&halted);
    need(governing, &governing.quorums.enroll, &signed_by(governing))?;
    for policy in [governing, &chain.policy().body] {
        relabels(policy, &held.labels, &next.labels, signed_by(policy))?;
    }
    Ok(next)
}

/// Whether enough people signed an enrollment that changes labels so, under `policy`: it need not stand in the log yet.
///
/// # Errors
/// Too few did: the device keeps the labels it has.
pub fn may_relabel(
    policy: &Policy,
    before: &Labels,
    after: &Labels,
    enroll: &Signed,
) -> Result<(), EnrollError> {
    relabels(policy, before, after, signers(policy, Kind::Enroll, enroll))
}

fn governing<'a>(chain: &'a Chain, enroll: &Logged) -> Result<&'a Policy, EnrollError> {
    let leaf = enroll.signed.leaf(&chain.org()).map_err(ChainError::from)?;
    let (governing, _, _) = chain.governing(&leaf, &enroll.proof)?;
    Ok(&governing.body)
}

/// Whether enough people signed to run something under each rule that reads a label which changes, before and after: else the
/// role that enrolls could move a machine to where nobody has to approve.
fn relabels(policy: &Policy, before: &Labels, after: &Labels, signed_by: Signers) -> Result<(), EnrollError> {
    let signed_by = signed_by.independent();
    let fits =
        |rule: &Rule, labels: &Labels| rule.labels.iter().all(|(key, value)| labels.get(key) == Some(value));
    for (rule, row) in (1..).zip(&policy.rules).filter(|(_, row)| fits(row, before) || fits(row, after)) {
        let changed = row.labels.keys().find(|key| before.get(*key) != after.get(*key));
        if let Some(label) = changed.filter(|_| !signed_by.could_run(policy, row)) {
            return Err(EnrollError::Relabels { label: label.clone(), rule, policy: policy.number });
        }
    }
    Ok(())
}

/// Checks that a statement retires the device that is held. It does so for ever: whoever comes back needs a new key. Halted people's
/// signatures count: the end of a machine is no less a stop than a halt.
pub fn retired(chain: &Chain, held: &Enrolled, enroll: &Logged) -> Result<Sha256, EnrollError> {
    let (body, _) = check_enroll(chain, enroll)?;
    match body.what {
        What::Retire(retire) if retire.device == held.device => Ok(enroll.signed.hash()),
        What::Retire(retire) => Err(EnrollError::OtherDevice { mine: held.device, found: retire.device }),
        _ => Err(EnrollError::NotThat("a device that leaves")),
    }
}

/// The device that joined a batch. Whether it is among the first `count` only a reader of the whole log can say.
pub fn enrolled_by_join(
    chain: &Chain,
    enroll: &Logged,
    join: &Note,
    proof: &Proof,
) -> Result<Enrolled, EnrollError> {
    let (body, _) = check_enroll(chain, enroll)?;
    let What::Batch(batch) = body.what else { return Err(EnrollError::NotThat("a batch")) };
    let wish: Join = join.text().parse()?;
    let expected = enroll.signed.hash();
    if wish.batch != expected || wish.org != chain.org() {
        return Err(EnrollError::OtherBatch { expected, found: wish.batch });
    }
    if !join.signed_by(&batch.token) {
        return Err(EnrollError::Unsigned("token's"));
    }
    named_by_its_key(&wish.device)?;
    if !join.signed_by(&wish.device) {
        return Err(EnrollError::Unsigned("device's"));
    }
    let (_, place, witnessed) = chain.governing(&join_leaf(&chain.org(), join), proof)?;
    if witnessed.time() >= batch.until {
        return Err(EnrollError::TooLate { until: batch.until, time: witnessed.time() });
    }
    let labels = with_site(batch.labels, batch.site)?;
    let id = DeviceId::of_key(wish.device.raw());
    Ok(Enrolled { device: id, key: wish.device, labels, enroll: expected, place, seq: 0 })
}

fn named_by_its_key(key: &VerifierKey) -> Result<(), EnrollError> {
    let expected = DeviceId::of_key(key.raw());
    if key.name() == expected.to_string() && key.kind() == KeyKind::Ed25519 {
        return Ok(());
    }
    Err(EnrollError::KeyName { expected, found: key.name().to_string() })
}

/// Labels with the site among them, as rules and jobs read them.
pub fn with_site(mut labels: Labels, site: Name) -> Result<Labels, EnrollError> {
    let key: Name = "site".parse().map_err(|_| EnrollError::SiteLabel)?;
    match labels.insert(key, site) {
        None => Ok(labels),
        Some(_) => Err(EnrollError::SiteLabel),
    }
}
