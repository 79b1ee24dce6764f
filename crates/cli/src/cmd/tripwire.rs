//! `countersign tripwire`: what the server watches for, what it saw, and whether the evidence holds.

use clap::Subcommand;
use countersign_trust::canary::CanaryNote;
use countersign_trust::ids::Sha256;
use countersign_trust::note::Note;
use countersign_trust::receipt::Receipt;
use countersign_wire::http::{TouchView, paths};
use serde_json::{Value, json};

use crate::client::ClientError;
use crate::context::{Context, Session};
use crate::difference;
use crate::output::{Paint, Stop, indent, plain, short, time};
use crate::receipts;

/// What the server watches for, and what it saw. A server in the wrong hands sees nothing; evidence that devices signed is checked.
#[derive(Debug, Subcommand)]
pub enum TripwireCommand {
    /// The policy's tripwires by number, and what was touched.
    List,
    /// What was touched, by its number, with all of the evidence.
    Show {
        /// The number.
        number: u64,
    },
}

/// How many touches are listed.
const MOST: usize = 50;

/// Runs it.
pub fn run(context: &Context, command: &TripwireCommand) -> anyhow::Result<()> {
    let session = context.open()?;
    let touches = touches(&session, MOST)?;
    match command {
        TripwireCommand::List => list(context, &session, &touches),
        TripwireCommand::Show { number } => {
            let touch = touches.iter().find(|touch| touch.number == *number);
            let none = || Stop::Usage(format!("the server shows no touch {number} among its newest {MOST}"));
            show(context, &session, touch.ok_or_else(none)?)
        }
    }
    Ok(())
}

/// What the server says was touched, newest first.
pub fn touches(session: &Session, most: usize) -> Result<Vec<TouchView>, ClientError> {
    session.server.pages(&session.path(paths::TRIPWIRES, &[]), most)
}

/// A touch in a line or two.
pub fn words(session: &Session, touch: &TouchView) -> String {
    let over = touch.over.map_or_else(|| "still".to_owned(), |over| format!("until {}", time(over)));
    let halt = match (&touch.halt, touch.unhalted.as_str()) {
        (Some(hash), _) => format!("; halt {}, {}", short(hash), halt_state(session, hash)),
        (None, "") => String::new(),
        (None, why) => format!("; NOT HALTED: {}", plain(why)),
    };
    let since = time(touch.since);
    format!(
        "{} {}: {} (since {since}, {over}{halt})",
        touch.number,
        plain(&touch.tripwire),
        plain(&touch.words)
    )
}

/// As what was verified here has it.
fn halt_state(session: &Session, hash: &str) -> &'static str {
    let chain = &session.checked.chain;
    match hash.parse::<Sha256>() {
        Ok(hash) if chain.active_halts().any(|halt| halt.hash == hash) => "active",
        Ok(hash) if chain.has_lifted(&hash) => "lifted",
        _ => "which nothing verified here shows",
    }
}

/// For programs.
pub fn json(touch: &TouchView) -> Value {
    // A view always prints.
    serde_json::to_value(touch).unwrap_or_default()
}

fn list(context: &Context, session: &Session, touches: &[TouchView]) {
    let tripwires = &session.checked.chain.policy().body.tripwires;
    let answer = json!({
        "tripwires": tripwires.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "the_server_says": {"touches": touches.iter().map(json).collect::<Vec<_>>()},
    });
    context.ui.answer(&answer, || {
        let mut text = String::new();
        for (number, tripwire) in (1..).zip(tripwires) {
            text.push_str(&format!(
                "{number} {tripwire}\n{}",
                indent(&plain(&difference::tripwire(tripwire)))
            ));
        }
        if tripwires.is_empty() {
            text.push_str("The policy has no tripwires.\n");
        }
        let touched = match touches {
            [] => "nothing was touched".to_owned(),
            _ => "touched".to_owned(),
        };
        text.push_str(&format!("The server says: {touched}\n"));
        touches.iter().for_each(|touch| text.push_str(&indent(&words(session, touch))));
        text
    });
}

fn show(context: &Context, session: &Session, touch: &TouchView) {
    let evidence: Vec<Result<String, String>> =
        touch.evidence.iter().map(|note| checked(session, note)).collect();
    let holds: Vec<bool> = evidence.iter().map(Result::is_ok).collect();
    let answer = json!({"the_server_says": json(touch), "evidence_holds": holds});
    context.ui.answer(&answer, || {
        let mut text = format!("The server says: {}\n", words(session, touch));
        for (said, note) in evidence.iter().zip(&touch.evidence) {
            text.push_str(&indent(&match said {
                Ok(said) => format!("{}: {}", context.ui.paint(Paint::Good, "verified"), plain(said)),
                Err(why) => format!("DOES NOT HOLD: {}", plain(why)),
            }));
            text.push_str(&indent(&plain_note(note)));
        }
        if evidence.is_empty() {
            text.push_str("  no device has signed anything that shows it: it is the server's word\n");
        }
        text
    });
}

fn plain_note(note: &str) -> String {
    indent(&note.lines().map(plain).collect::<Vec<_>>().join("\n"))
}

/// What a note says, if a device that was verified here has signed it.
fn checked(session: &Session, text: &str) -> Result<String, String> {
    let note: Note = text.parse().map_err(|error| format!("it is no signed note: {error}"))?;
    let hash = Sha256::of(note.text().as_bytes());
    if let Ok(receipt) = note.text().parse::<Receipt>() {
        receipts::signed(&session.checked, &receipt.device, text).map_err(|error| error.to_string())?;
        let (device, because) = (short(&receipt.device), receipt.because.as_str());
        return Ok(format!("{device} {}: {because} ({})", receipt.verdict, short(&hash)));
    }
    let read: CanaryNote =
        note.text().parse().map_err(|error| format!("it tells of no receipt and no canary: {error}"))?;
    if read.org != session.checked.chain.org() {
        return Err("it speaks of another organization".to_owned());
    }
    let enrolled = session.checked.devices.enrolled.get(&read.device);
    let enrolled = enrolled.ok_or_else(|| {
        format!("its device {} is not enrolled by anything that was verified here", read.device)
    })?;
    if !note.signed_by(&enrolled.key) {
        return Err(format!("it is not signed by the key of {}", read.device));
    }
    let (device, was, is) = (short(&read.device), read.was.words(), read.is.words());
    Ok(format!("{device} {}: was {was}, is {is} ({})", read.path, short(&hash)))
}
