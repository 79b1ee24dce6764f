//! When a device is asked again for what it refused: never, if nothing that passes was in the way.
//!
//! Each refusal is a receipt that is kept and logged, so the pauses grow; and many devices are not all asked in the same moment.

use countersign_trust::ids::DeviceId;
use countersign_trust::note::Note;
use countersign_trust::receipt::Receipt;
use countersign_trust::verify::Code;

use super::Work;
use crate::store::counted;
use crate::store::job_device::Waiting;

/// The pause after the first refusal, in milliseconds, and the longest.
const PAUSES_MS: (u64, u64) = (30_000, 3_600_000);
/// How often a device is asked again at once: it has room, or there is a newer proof.
const MOST_AT_ONCE: i64 = 3;
/// What is due within so many milliseconds goes out in one round.
const TOGETHER_MS: u64 = 10_000;

/// When a job that stands in the records is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// In this round.
    Now,
    /// Not before, in milliseconds since 1970.
    At(u64),
    /// Not for this work.
    Never,
}

/// When `work` makes what the row says due, given the time and whether anything is halted.
pub fn when(work: &Work, row: &Waiting, now_ms: u64, halted: bool) -> When {
    match (row.verdict.as_str(), work) {
        ("waiting", Work::Refused(_)) => When::Never,
        ("waiting", _) | ("sent", Work::Unheard(_)) => When::Now,
        ("refused", _) => code(row).map_or(When::Never, |code| refused(work, row, &code, now_ms, halted)),
        _ => When::Never,
    }
}

fn refused(work: &Work, row: &Waiting, code: &Code, now_ms: u64, halted: bool) -> When {
    if !code.may_pass() && !code.lacks_a_proof() {
        return When::Never;
    }
    let has_come = matches!(work, Work::Device(_) | Work::Unheard(_));
    let wants_room = ["busy", "earlier_runs"].contains(&code.as_str());
    let at_once = row.attempts < MOST_AT_ONCE && (code.lacks_a_proof() || has_come && wants_room);
    let was_halted = code.as_str() == "halted";
    if at_once || matches!(work, Work::Anew(_)) || has_come && was_halted && !halted {
        return When::Now;
    }
    // A resume makes it due at once; until then there is no use in asking.
    let pause_ms = if was_halted && halted { PAUSES_MS.1 } else { doubled(row.attempts) };
    let due_ms = counted(row.sent_ms.unwrap_or_default()) + pause_ms + share(&row.device, pause_ms / 2);
    let due_ms = due_ms.next_multiple_of(TOGETHER_MS);
    if due_ms <= now_ms { When::Now } else { When::At(due_ms) }
}

/// The code of the newest receipt. A receipt without one that is known is final.
fn code(row: &Waiting) -> Option<Code> {
    row.note.as_ref()?.parse::<Note>().ok()?.text().parse::<Receipt>().ok()?.code
}

fn doubled(attempts: i64) -> u64 {
    let times = u32::try_from(attempts).unwrap_or(u32::MAX);
    2_u64
        .checked_pow(times)
        .and_then(|times| PAUSES_MS.0.checked_mul(times))
        .map_or(PAUSES_MS.1, |pause| pause.min(PAUSES_MS.1))
}

/// A part of `whole` that differs from device to device.
fn share(device: &str, whole: u64) -> u64 {
    let id: Option<DeviceId> = device.parse().ok();
    let drawn = id.map_or(0, |DeviceId([first, second, ..])| u16::from_be_bytes([first, second]));
    whole * u64::from(drawn) / u64::from(u16::MAX)
}

#[cfg(test)]
mod tests;
