//! Watching a job until every device has said its last word.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::receipt::Receipt;
use countersign_trust::verify::Code;
use countersign_wire::http::{JobEvent, JobView, paths};
use serde_json::json;

use super::show::{because, verdict};
use crate::client::{ClientError, Stream};
use crate::clones::{Chains, Known};
use crate::cmd::run::{WatchArgs, site};
use crate::context::{Context, Session};
use crate::output::{Stop, plain, plain_lines, short};
use crate::receipts::{Outcome, outcome, verified};

/// What to watch.
pub struct Watch {
    /// The job.
    pub hash: Sha256,
    /// How many steps it has.
    pub steps: usize,
    /// Its targets.
    pub targets: Vec<DeviceId>,
    /// For how long, and what to show.
    pub how: WatchArgs,
}

/// How long to wait for a piece of news before looking whether time is up.
const PULSE: Duration = Duration::from_millis(500);
/// How often a broken stream is opened again.
const ATTEMPTS: u32 = 20;

/// Watches until every target has ended or refused, or patience is over. The exit code says how it went.
pub fn watch(context: &Context, session: &Session, wish: &Watch) -> anyhow::Result<ExitCode> {
    if wish.how.detach {
        return Ok(ExitCode::SUCCESS);
    }
    let mut seen = Seen {
        context,
        session,
        wish,
        last: BTreeMap::new(),
        outputs: BTreeMap::new(),
        chains: Chains::default(),
    };
    let until = wish.how.patience.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut attempts = 0;
    loop {
        match follow(&mut seen, until) {
            Ok(true) => return seen.end(),
            Ok(false) => attempts = 0,
            Err(error) => {
                attempts += 1;
                if attempts > ATTEMPTS || !error.is_unreachable() {
                    return Err(error.into());
                }
                context.ui.note(&format!("({}; trying again)", plain(&error.to_string())));
            }
        }
        std::thread::sleep(PULSE);
    }
}

/// Follows one stream of events. True when there is nothing more to wait for.
fn follow(seen: &mut Seen<'_>, until: Option<Instant>) -> Result<bool, ClientError> {
    let (session, hash) = (seen.session, seen.wish.hash.to_string());
    // First the stream, then the picture: what happens in between is told twice rather than not at all.
    let mut events = session.server.stream(&session.path(paths::JOB_EVENTS, &[("hash", &hash)]))?;
    let view: JobView = session.server.get(&session.path(paths::JOB, &[("hash", &hash)]))?;
    for told in &view.devices {
        if let Some(note) = &told.receipt {
            seen.receipt(&told.device, note);
        }
    }
    let mut buffer = Vec::new();
    loop {
        if seen.is_over() || until.is_some_and(|until| Instant::now() >= until) {
            return Ok(true);
        }
        match next_event(&mut events, &mut buffer)? {
            Piece::Event(event) => seen.event(event),
            Piece::Nothing => {}
            Piece::End => return Ok(false),
        }
    }
}

enum Piece {
    Event(JobEvent),
    Nothing,
    End,
}

/// The next server-sent event. Source: WHATWG HTML, "Server-sent events", of which only `data` is used.
fn next_event(events: &mut Stream<'_>, buffer: &mut Vec<u8>) -> Result<Piece, ClientError> {
    loop {
        if let Some(event) = take_event(buffer) {
            return Ok(event.map_or(Piece::Nothing, Piece::Event));
        }
        match events.next(PULSE)? {
            None => return Ok(Piece::End),
            Some(bytes) if bytes.is_empty() => return Ok(Piece::Nothing),
            Some(bytes) => buffer.extend_from_slice(&bytes),
        }
    }
}

/// Takes one whole event out of `buffer`: none if there is none yet, `Some(None)` if it is not of ours.
fn take_event(buffer: &mut Vec<u8>) -> Option<Option<JobEvent>> {
    let end = buffer.windows(2).position(|pair| pair == b"\n\n")?;
    let text: Vec<u8> = buffer.drain(..end + 2).collect();
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().filter_map(|line| line.strip_prefix("data:"));
    let data: Vec<&str> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    Some(serde_json::from_str(&data.join("\n")).ok())
}

struct Seen<'a> {
    context: &'a Context,
    session: &'a Session,
    wish: &'a Watch,
    last: BTreeMap<DeviceId, Receipt>,
    /// How many bytes of each step's output were shown.
    outputs: BTreeMap<(DeviceId, u64, u32), u64>,
    chains: Chains,
}

impl Seen<'_> {
    fn event(&mut self, event: JobEvent) {
        match event {
            JobEvent::Sent { .. } => {}
            JobEvent::Receipt { device, note } => self.receipt(&device, &note),
            JobEvent::Output { device, step, stream, offset, bytes } => {
                self.output(&device, step, stream, offset, &bytes)
            }
            JobEvent::Stopped { device, why } => {
                let Some(id) = device.parse().ok().filter(|id| self.wish.targets.contains(id)) else {
                    return;
                };
                let at = self.session.checked.devices.enrolled.get(&id).map(site).unwrap_or_default();
                let name = format!("{} at {at}", short(&id));
                self.context.ui.alarm(&Known::Said(plain(&why)).sentence(&name));
            }
            JobEvent::State { state, missing } => {
                let words = format!("the server says: {} {}", plain(&state), plain(&missing));
                self.context.ui.note(words.trim_end());
            }
        }
    }

    fn receipt(&mut self, device: &str, note: &str) {
        let Some(id) = device.parse().ok().filter(|id| self.wish.targets.contains(id)) else { return };
        let receipt = match verified(&self.session.checked, &id, &self.wish.hash, note) {
            Ok(receipt) => receipt,
            Err(fault) => {
                self.context.ui.warn(&format!(
                    "{}: a receipt that does not hold: {}",
                    short(&id),
                    plain(&fault.to_string())
                ));
                return;
            }
        };
        self.chains.watch(self.context, self.session, &id, note);
        if self.last.get(&id).is_some_and(|last| last.number >= receipt.number) {
            return;
        }
        self.tell(&id, &receipt);
        self.last.insert(id, receipt);
    }

    fn tell(&self, id: &DeviceId, receipt: &Receipt) {
        let ui = &self.context.ui;
        if outcome(receipt, self.wish.steps) == Outcome::Open {
            ui.note(&format!("{}  {}", short(id), receipt.verdict));
            return;
        }
        let place = self.session.checked.devices.enrolled.get(id).map(site).unwrap_or_default();
        let json = json!({
            "device": id.to_string(), "verified": true, "verdict": receipt.verdict.to_string(), "step": receipt.step,
            "code": receipt.code.as_ref().map(Code::as_str), "because": receipt.because.as_str(), "number": receipt.number, "time": receipt.time.0,
        });
        let word = verdict(self.context, receipt, self.wish.steps);
        ui.answer(&json, || format!("{}  {place}  {word}  {}  (verified)", short(id), because(receipt)));
    }

    fn output(&mut self, device: &str, step: u64, stream: u32, offset: u64, bytes: &str) {
        let wanted = self.wish.how.show_output || self.wish.targets.len() == 1;
        let Some(id) = device.parse::<DeviceId>().ok().filter(|id| wanted && self.wish.targets.contains(id))
        else {
            return;
        };
        let shown = self.outputs.entry((id, step, stream)).or_default();
        let bytes = STANDARD.decode(bytes).unwrap_or_default();
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if offset < *shown {
            return;
        }
        *shown = offset.saturating_add(length);
        let text = plain_lines(&String::from_utf8_lossy(&bytes));
        if self.wish.targets.len() == 1 {
            self.context.ui.note(text.trim_end_matches('\n'));
        } else {
            text.lines().for_each(|line| self.context.ui.note(&format!("{} | {line}", short(&id))));
        }
    }

    fn outcomes(&self) -> impl Iterator<Item = Outcome> {
        let of = |id| self.last.get(id).map_or(Outcome::Open, |receipt| outcome(receipt, self.wish.steps));
        self.wish.targets.iter().map(of)
    }

    fn is_over(&self) -> bool {
        self.outcomes().all(|outcome| outcome != Outcome::Open)
    }

    fn end(&self) -> anyhow::Result<ExitCode> {
        let number = |wanted: Outcome| self.outcomes().filter(|outcome| *outcome == wanted).count();
        let (well, failed, refused, open) =
            (number(Outcome::Well), number(Outcome::Failed), number(Outcome::Refused), number(Outcome::Open));
        let (later, all) = (number(Outcome::Later), self.wish.targets.len());
        let refused = refused + later;
        let json = json!({"job": self.wish.hash.to_string(), "ended_well": well, "failed": failed, "refused": refused, "may_still_run": later, "open": open});
        let words = format!(
            "{all} devices: {well} ended well, {failed} failed, {refused} refused, {open} open (verified receipts)"
        );
        self.context.ui.answer(&json, || words);
        if later > 0 {
            let job = short(&self.wish.hash);
            self.context.ui.note(&format!(
                "{later} of them refused it for a reason that passes, and may still run it until it ends; for certain not after: countersign job cancel {job}"
            ));
        }
        if failed + open > 0 && refused == 0 {
            return Ok(ExitCode::from(Stop::Failed(String::new()).code()));
        }
        Ok(if refused > 0 { ExitCode::from(Stop::Refused(String::new()).code()) } else { ExitCode::SUCCESS })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_whole_and_others_passed_over() {
        let mut buffer =
            b": keep-alive\n\nevent: x\ndata: {\"event\":\"sent\",\"device\":\"d\"}\n\ndata: {\"ev".to_vec();
        assert_eq!(take_event(&mut buffer), Some(None));
        assert_eq!(take_event(&mut buffer), Some(Some(JobEvent::Sent { device: "d".to_owned() })));
        assert_eq!(take_event(&mut buffer), None);
        assert_eq!(buffer, b"data: {\"ev");
    }
}
