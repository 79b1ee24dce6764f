//! What devices say became of a job, each word checked against the key of the device's enrollment.

use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::note::Note;
use countersign_trust::receipt::{Receipt, Verdict};
use countersign_trust::verify::Code;

use crate::checked::Checked;

/// Why a receipt cannot be believed.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptFault {
    /// Not a note.
    #[error("it is no signed note: {0}")]
    Note(#[from] countersign_trust::note::NoteError),
    /// Not a receipt.
    #[error("it is no receipt: {0}")]
    Text(#[from] countersign_trust::lines::LinesError),
    /// Of a device that is not enrolled.
    #[error("its device {0} is not enrolled by anything that was verified here")]
    Stranger(DeviceId),
    /// Not signed by its device.
    #[error("it is not signed by the key of {0}")]
    Unsigned(DeviceId),
    /// Of another organization, device or job.
    #[error("it speaks of another {0}")]
    Other(&'static str),
}

/// Reads a receipt of `device` about `job`, if the device signed it.
pub fn verified(
    checked: &Checked,
    device: &DeviceId,
    job: &Sha256,
    note: &str,
) -> Result<Receipt, ReceiptFault> {
    let receipt = signed(checked, device, note)?;
    if receipt.job == Some(*job) { Ok(receipt) } else { Err(ReceiptFault::Other("job")) }
}

/// Reads a receipt of `device`, if the device signed it.
pub fn signed(checked: &Checked, device: &DeviceId, note: &str) -> Result<Receipt, ReceiptFault> {
    let note: Note = note.parse()?;
    let receipt: Receipt = note.text().parse()?;
    if receipt.org != checked.chain.org() {
        return Err(ReceiptFault::Other("organization"));
    }
    if receipt.device != *device {
        return Err(ReceiptFault::Other("device"));
    }
    let enrolled = checked.devices.enrolled.get(device).ok_or(ReceiptFault::Stranger(*device))?;
    if note.signed_by(&enrolled.key) { Ok(receipt) } else { Err(ReceiptFault::Unsigned(*device)) }
}

/// How a job stands on one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Nothing is known yet, or it runs.
    Open,
    /// The device refused it for a reason that passes: until the job ends, whoever carries it may bring it again.
    Later,
    /// It ended well.
    Well,
    /// The device refused it.
    Refused,
    /// It failed, was killed or was interrupted.
    Failed,
}

/// What a receipt says of a job with `steps` steps.
pub fn outcome(receipt: &Receipt, steps: usize) -> Outcome {
    let last = receipt.step + 1 >= u64::try_from(steps).unwrap_or(u64::MAX);
    match receipt.verdict {
        Verdict::Accepted => Outcome::Open,
        Verdict::Refused => refused(receipt.code.as_ref()),
        Verdict::Interrupted => Outcome::Failed,
        Verdict::Ended if !receipt.ended_well() => Outcome::Failed,
        Verdict::Ended if last => Outcome::Well,
        Verdict::Ended => Outcome::Open,
    }
}

fn refused(code: Option<&Code>) -> Outcome {
    match code {
        Some(code) if code.says_again() => Outcome::Open,
        Some(code) if code.may_pass() || code.lacks_a_proof() => Outcome::Later,
        _ => Outcome::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_with(code: &str) -> Receipt {
        let zero = "0".repeat(64);
        let text = format!(
            "countersign-receipt/v1\norg-{zero}\ndev-{zero}\nnumber 1\nprevious none\njob {zero}\noccurrence 0\n\
             step 0\nverdict refused\ncount 1\ncode {code}\nbecause a sentence\noutput none\nkept 0\ndropped 0\n\
             policy {zero}\nenroll {zero}\ntime 7\n"
        );
        text.parse().unwrap()
    }

    #[test]
    fn what_was_refused_for_a_reason_that_passes_may_still_run() {
        for code in
            ["busy", "disk_full", "spool_full", "not_fresh", "outside_hours", "wave_not_yet", "halted", "log"]
        {
            assert_eq!(outcome(&refused_with(code), 1), Outcome::Later, "{code}");
        }
        for code in ["expired", "approvals", "not_a_target", "of_a_later_version"] {
            assert_eq!(outcome(&refused_with(code), 1), Outcome::Refused, "{code}");
        }
    }

    #[test]
    fn that_it_was_accepted_before_says_nothing_of_how_it_ended() {
        for code in ["again", "passed", "earlier_failed"] {
            assert_eq!(outcome(&refused_with(code), 1), Outcome::Open, "{code}");
        }
    }
}
