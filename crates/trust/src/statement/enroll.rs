//! Which device is whose. The only source of labels.

use alloc::collections::BTreeMap;

use crate::ids::{DeviceId, Name, OrgId, Sha256, StatementId};
use crate::note::VerifierKey;
use crate::statement::{Kind, Statement};
use crate::text::{alternative, record};
use crate::time::Time;
use crate::words::Line;

record! {
    /// An enrollment: of one device, of a batch by a token, or the end of one.
    pub struct Enroll {
        /// The organization.
        org: OrgId,
        /// Random.
        id: StatementId,
        /// What is enrolled.
        what: What,
    }
}

impl Statement for Enroll {
    const KIND: Kind = Kind::Enroll;
}

alternative! {
    /// What is enrolled.
    pub enum What {
        /// One device by its key.
        Device(Device) = "device",
        /// The first devices to join with a token.
        Batch(Batch) = "batch",
        /// A device leaves.
        Retire(Retire) = "retire",
    }
}

record! {
    /// One device.
    pub struct Device {
        /// Its receipt key.
        key: VerifierKey,
        /// Its SSH host key, or nothing.
        host_key: Line,
        /// Where it stands.
        site: Name,
        /// Its labels; none is called `site`.
        labels: BTreeMap<Name, Name>,
        /// 1 for the first enrollment of this device, then one more each time.
        seq: u64,
        /// The enrollment this one replaces.
        previous: Option<Sha256>,
    }
}

record! {
    /// A batch of devices that join with one token.
    pub struct Batch {
        /// The token's one-time key.
        token: VerifierKey,
        /// Where they stand.
        site: Name,
        /// Their labels; none is called `site`.
        labels: BTreeMap<Name, Name>,
        /// How many may join: the first so many by leaf.
        count: u64,
        /// Until when.
        until: Time,
    }
}

record! {
    /// A device leaves.
    pub struct Retire {
        /// The device.
        device: DeviceId,
    }
}
