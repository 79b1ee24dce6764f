//! `countersign job output`: what a job wrote on a device, held against what the device signed for, step by step.

use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::receipt::{Receipt, Verdict};
use countersign_wire::http::{ReceiptView, paths};
use serde_json::json;

use super::ReadJob;
use crate::context::{Context, Session};
use crate::output::{Stop, plain_lines, short};
use crate::receipts::{Outcome, outcome, verified};

/// How output stands to what its device signed for.
#[derive(Debug, PartialEq, Eq)]
enum Held {
    /// It is that, all of it; so many more bytes were not kept.
    Whole { dropped: u64 },
    /// The steps before this one are; what comes behind is of a step that no receipt ends yet.
    Before { step: u64 },
    /// What this step wrote, by its receipt, is not this.
    Not { step: u64, receipt: Option<Sha256> },
    /// There are more bytes than the job ever wrote.
    More,
    /// No receipt speaks of any of it.
    Unvouched,
}

/// Shows it; each step's part is held against the hash in that step's receipt.
pub fn output(context: &Context, wish: &str, device: Option<&str>) -> anyhow::Result<()> {
    let session = context.open()?;
    let read = ReadJob::fetch(&session, wish)?;
    let id = match (device, read.targets.as_slice()) {
        (Some(device), _) => session.checked.devices.named(device)?.device,
        (None, [only]) => *only,
        (None, all) => {
            return Err(Stop::Usage(format!("the job is on {} devices; say which", all.len())).into());
        }
    };
    let places = [("hash", read.hash.to_string()), ("device", id.to_string())];
    let places: Vec<(&str, &str)> = places.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let bytes = session.server.get_bytes(&session.path(paths::JOB_OUTPUT, &places))?;
    let receipts = receipts(&session, &read, &id)?;
    let word = word(&held(&bytes, &receipts, read.job.steps.len()), &id);
    let text = String::from_utf8_lossy(&bytes);
    context
        .ui
        .answer(&json!({"device": id.to_string(), "output": text, "word": word}), || plain_lines(&text));
    context.ui.note(&format!("({word})"));
    Ok(())
}

/// What the device signed about this job. What does not hold vouches for nothing.
fn receipts(session: &Session, read: &ReadJob, id: &DeviceId) -> anyhow::Result<Vec<Receipt>> {
    // They stand by device: others' are not read.
    let (name, path) = (id.to_string(), session.path(paths::RECEIPTS, &[]));
    let is_of_it = |view: &ReceiptView| view.device == name;
    let all = session.server.pages_from(&path, Some(name.clone()), usize::MAX, is_of_it)?;
    let of_it = all.iter().filter(|view| is_of_it(view));
    Ok(of_it.filter_map(|view| verified(&session.checked, id, &read.hash, &view.note).ok()).collect())
}

/// Of a job that repeats, the server has what the last occurrence wrote that wrote anything.
fn held(bytes: &[u8], receipts: &[Receipt], steps: usize) -> Held {
    let Some(newest) = receipts.iter().map(|receipt| receipt.occurrence).max() else {
        return Held::Unvouched;
    };
    let of = |occurrence: u64| step_by_step(bytes, receipts, occurrence, steps);
    let mut each = (0..=newest).rev().take(receipts.len()).map(of);
    each.find(|held| matches!(held, Held::Whole { .. })).unwrap_or_else(|| of(newest))
}

fn step_by_step(bytes: &[u8], receipts: &[Receipt], occurrence: u64, steps: usize) -> Held {
    let (mut rest, mut lost, mut step, mut last) = (bytes, 0, 0, None);
    let ended = |step: u64| {
        let mut of_it = receipts.iter().filter(|receipt| receipt.occurrence == occurrence);
        of_it.find(|receipt| receipt.step == step && receipt.verdict == Verdict::Ended)
    };
    while let Some(receipt) = ended(step) {
        let is_it = |part: &[u8]| receipt.output.map_or(part.is_empty(), |hash| hash == Sha256::of(part));
        let cut = usize::try_from(receipt.kept).ok().and_then(|kept| rest.split_at_checked(kept));
        let Some((_, behind)) = cut.filter(|(part, _)| is_it(part)) else {
            return Held::Not { step, receipt: receipt.output };
        };
        (rest, lost, last) = (behind, lost + receipt.dropped, Some(receipt));
        step += 1;
    }
    match last {
        None => Held::Unvouched,
        Some(_) if rest.is_empty() => Held::Whole { dropped: lost },
        Some(receipt) if outcome(receipt, steps) != Outcome::Open => Held::More,
        Some(_) => Held::Before { step },
    }
}

fn word(held: &Held, device: &DeviceId) -> String {
    let device = short(device);
    match held {
        Held::Whole { dropped: 0 } => format!("verified: it is what {device} signed for"),
        Held::Whole { dropped } => {
            format!("verified: it is what {device} signed for; {dropped} more bytes were not kept")
        }
        Held::Before { step } => format!(
            "verified up to step {step}: that is what {device} signed for; what comes behind the server says, and no receipt vouches for it yet"
        ),
        Held::Not { step, receipt: Some(hash) } => {
            format!("NOT what the device signed for: its receipt of step {} names {hash}", step + 1)
        }
        Held::Not { step, receipt: None } => {
            format!("NOT what the device signed for: its receipt of step {} names no output", step + 1)
        }
        Held::More => "NOT what the device signed for: it is longer".to_owned(),
        Held::Unvouched => "the server says so; there is no receipt yet that vouches for it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use countersign_trust::ids::OrgId;
    use countersign_trust::time::Time;

    use super::*;

    fn ended(occurrence: u64, step: u64, output: &str) -> Receipt {
        Receipt {
            org: OrgId([1; 32]),
            device: DeviceId([2; 32]),
            number: 1,
            previous: None,
            job: Some(Sha256([3; 32])),
            occurrence,
            step,
            verdict: Verdict::Ended,
            count: 1,
            code: None,
            because: "exit 0".parse().unwrap(),
            output: Some(Sha256::of(output.as_bytes())),
            kept: output.len().try_into().unwrap(),
            dropped: 0,
            policy: Sha256([4; 32]),
            enroll: Sha256([5; 32]),
            time: Time(1),
        }
    }

    #[test]
    fn two_steps_that_print_are_each_what_the_device_signed_for() {
        let receipts = [ended(0, 0, "one\n"), ended(0, 1, "two\n")];
        assert_eq!(held(b"one\ntwo\n", &receipts, 2), Held::Whole { dropped: 0 });
        assert_eq!(held(b"one\n", &receipts[..1], 2), Held::Whole { dropped: 0 });
        assert_eq!(held(b"one\ntw", &receipts[..1], 2), Held::Before { step: 1 });
        assert_eq!(held(b"one\n", &[], 2), Held::Unvouched);
    }

    #[test]
    fn what_no_step_wrote_is_seen() {
        let receipts = [ended(0, 0, "one\n"), ended(0, 1, "two\n")];
        for (what, step) in [("ONE\ntwo\n", 0), ("one\nTWO\n", 1), ("one\n", 1), ("two\none\n", 0)] {
            let receipt = receipts[usize::try_from(step).unwrap()].output;
            assert_eq!(held(what.as_bytes(), &receipts, 2), Held::Not { step, receipt }, "{what}");
        }
        assert_eq!(held(b"one\ntwo\nthree\n", &receipts, 2), Held::More);
        let mut failed = ended(0, 0, "one\n");
        failed.because = "exit 1".parse().unwrap();
        assert_eq!(held(b"one\nmore", &[failed], 2), Held::More);
    }

    #[test]
    fn of_a_job_that_repeats_the_last_that_wrote_anything_counts() {
        let mut begun = ended(1, 0, "");
        (begun.verdict, begun.output) = (Verdict::Accepted, None);
        let first = ended(0, 0, "one\n");
        assert_eq!(held(b"one\n", &[first.clone(), begun.clone()], 1), Held::Whole { dropped: 0 });
        assert_eq!(held(b"tw", &[first.clone(), begun], 1), Held::Unvouched);
        let other = ended(1, 0, "two\n");
        assert_eq!(held(b"two\n", &[first, other], 1), Held::Whole { dropped: 0 });
    }
}
