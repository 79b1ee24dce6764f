//! Waves: in which order a job's devices take their turns.
//!
//! Source: docs/spec/3-statements.md, "job", and docs/spec/6-acceptance.md, "Waves".

use alloc::collections::BTreeMap;

use super::{Job, JobError};
use crate::ids::{DeviceId, Name, Sha256};
use crate::text::{alternative, record};

record! {
    /// A wave: whose turn it is, and how long after the job's start.
    pub struct Wave {
        /// Of those whom no earlier wave took.
        who: Who,
        /// Seconds after the job's start.
        soak: u64,
    }
}

alternative! {
    /// Whose turn it is.
    pub enum Who {
        /// A cumulative share in hundredths of a percent, drawn from the job's hash; the last wave's is 10,000.
        Share(u64) = "share",
        /// Devices that carry all of these labels.
        Labels(BTreeMap<Name, Name>) = "labels",
    }
}

/// All devices: the share of the last wave.
pub const ALL: u64 = 10_000;

impl Job {
    pub(super) fn check_waves(&self) -> Result<(), JobError> {
        let (mut taken, mut soaked) = (0, 0);
        for (index, Wave { who, soak }) in self.waves.iter().enumerate() {
            let follows = match who {
                Who::Share(share) => core::mem::replace(&mut taken, *share) < *share && *share <= ALL,
                Who::Labels(labels) => !labels.is_empty(),
            };
            let is_last = index + 1 == self.waves.len();
            if !follows || *soak < soaked || is_last != (*who == Who::Share(ALL)) {
                return Err(JobError::Waves(index + 1));
            }
            soaked = *soak;
        }
        Ok(())
    }

    /// In which wave the turn of a device with these labels comes, counted from 0. `hash` is the job's.
    ///
    /// Source: docs/spec/6-acceptance.md, "Waves".
    pub fn wave_of(&self, hash: &Sha256, device: &DeviceId, labels: &BTreeMap<Name, Name>) -> usize {
        let text = alloc::format!("countersign-wave/v1\n{hash}\n{device}\n");
        let digest = Sha256::of(text.as_bytes()).0;
        let b = digest.iter().take(8).fold(0_u128, |value, byte| value << 8 | u128::from(*byte));
        let place = (b * u128::from(ALL)) >> 64;
        let takes = |wave: &Wave| match &wave.who {
            Who::Share(share) => place < u128::from(*share),
            Who::Labels(wanted) => wanted.iter().all(|(key, value)| labels.get(key) == Some(value)),
        };
        self.waves.iter().position(takes).unwrap_or(0)
    }
}
