//! The next wave may start: people have looked at what the earlier ones did.

use crate::ids::{OrgId, Sha256, StatementId};
use crate::statement::{Kind, Statement};
use crate::text::record;
use crate::words::Prose;

record! {
    /// An advance. It adds to a wave's soak time and does not replace it.
    ///
    /// What its author saw is there to be checked by people and auditors; a device can see no other device's receipts.
    pub struct Advance {
        /// The organization.
        org: OrgId,
        /// Random.
        id: StatementId,
        /// The policy its author knew.
        policy: Sha256,
        /// The newest resume its author knew.
        resume: Option<Sha256>,
        /// The job.
        job: Sha256,
        /// Which wave may start, counted from 1.
        wave: u64,
        /// RFC 6962 root of the texts of the newest receipt of each device of the earlier waves, ascending by device id.
        root: Sha256,
        /// Devices of the earlier waves whose job ended well.
        well: u64,
        /// Devices of the earlier waves on which it failed or was refused.
        failed: u64,
        /// Devices of the earlier waves that have not said how it ended; they count as failed.
        missing: u64,
        /// Why it may go on.
        why: Prose,
    }
}

impl Statement for Advance {
    const KIND: Kind = Kind::Advance;
}
