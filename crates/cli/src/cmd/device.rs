//! `countersign device`: devices as their enrollments say, and beside it what the server says.

pub mod moving;

use std::collections::BTreeMap;

use clap::Subcommand;
use countersign_trust::ids::{Name, StatementId};
use countersign_trust::statement::enroll::{Enroll, Retire, What};
use countersign_trust::statement::{self, Kind};
use countersign_wire::http::{DeviceView, paths};
use serde_json::{Value, json};

use crate::args::label;
use crate::checked::{Checked, Device};
use crate::clones::Known;
use crate::cmd::run::site;
use crate::context::{Context, Session, random};
use crate::output::{Paint, Stop, count, plain, short, table, time};

/// Devices, as their enrollments say.
#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// All of them.
    List {
        /// Only those that carry this label; of several all must hold.
        #[arg(long = "on", value_name = "LABEL=VALUE", value_parser = label)]
        on: Vec<(Name, Name)>,
    },
    /// Move one: another site, other labels. Takes the enroll quorum, and people of the rules that read what changes.
    Move(moving::MoveArgs),
    /// Let one go: it is no target any more, and what it says counts for nothing. Takes the enroll quorum.
    Retire {
        /// Its id, or the beginning of it.
        device: String,
    },
    /// One of them.
    Show {
        /// Its id, or the beginning of it.
        device: String,
    },
}

/// Runs it.
pub fn run(context: &Context, command: DeviceCommand) -> anyhow::Result<()> {
    let session = context.open()?;
    if let DeviceCommand::Retire { device } = &command {
        return retire(context, &session, session.checked.devices.named(device)?);
    }
    if let DeviceCommand::Move(args) = &command {
        return moving::run(context, &session, args);
    }
    let views = views(&session)?;
    match command {
        DeviceCommand::Move(_) | DeviceCommand::Retire { .. } => {}
        DeviceCommand::List { on } => {
            let carries =
                |device: &&Device| on.iter().all(|(key, value)| device.labels.get(key) == Some(value));
            let devices: Vec<&Device> = session.checked.devices.enrolled.values().filter(carries).collect();
            list(context, &session.checked, &devices, &views);
        }
        DeviceCommand::Show { device } => {
            show(context, &session.checked, session.checked.devices.named(&device)?, &views);
        }
    }
    for device in session.checked.devices.enrolled.values() {
        let view = views.get(&device.device.to_string());
        if let Some(known) = view.and_then(|view| Known::of(&session.checked, &device.device, view)) {
            context.ui.alarm(&known.sentence(&format!("{} at {}", short(&device.device), site(device))));
        }
    }
    let stray = views
        .keys()
        .filter(|id| !session.checked.devices.enrolled.keys().any(|known| known.to_string() == **id))
        .count();
    if stray > 0 {
        let number = count(stray, "device", "devices");
        context.ui.warn(&format!("the server speaks of {number} whose enrollment does not hold; left out"));
    }
    Ok(())
}

fn retire(context: &Context, session: &Session, device: &Device) -> anyhow::Result<()> {
    let what = What::Retire(Retire { device: device.device });
    let enroll = Enroll { org: session.profile.org, id: StatementId(random()?), what };
    let question = format!("Sign: {} at {} leaves?", device.device, site(device));
    sign(context, session, &enroll, &question, &format!("{} leaves", short(&device.device)))
}

/// Asks, signs an enrollment and posts it; says what is `done` by it, or who else must sign.
fn sign(
    context: &Context,
    session: &Session,
    enroll: &Enroll,
    question: &str,
    done: &str,
) -> anyhow::Result<()> {
    if !context.ui.confirm(question)? {
        return Err(Stop::Refused("nothing was signed".to_owned()).into());
    }
    let (text, hash) = statement::write(enroll);
    let signer = context.signer(&session.profile)?;
    let (_, view) = session.sign_and_post(&signer, Kind::Enroll, text, Vec::new())?;
    let answer = json!({"enroll": hash.to_string(), "state": view.state, "missing": view.missing});
    context.ui.answer(&answer, || match view.missing.as_str() {
        "" => format!("{done}; the server says: {}", plain(&view.state)),
        missing => {
            let hash = short(&hash);
            format!("{hash} waits: {}. They run: countersign approve {hash}", plain(missing))
        }
    });
    Ok(())
}

fn views(session: &Session) -> anyhow::Result<BTreeMap<String, DeviceView>> {
    let views: Vec<DeviceView> = session.server.pages(&session.path(paths::DEVICES, &[]), usize::MAX)?;
    Ok(views.into_iter().map(|view| (view.device.clone(), view)).collect())
}

fn json(device: &Device, view: Option<&DeviceView>) -> Value {
    let labels: BTreeMap<String, String> =
        device.labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    json!({
        "device": device.device.to_string(), "labels": labels, "enroll": device.enroll.to_string(), "leaf": device.place.index,
        "the_server_says": view,
    })
}

fn list(context: &Context, checked: &Checked, devices: &[&Device], views: &BTreeMap<String, DeviceView>) {
    let view = |device: &Device| views.get(&device.device.to_string());
    let all: Vec<Value> = devices.iter().map(|device| json(device, view(device))).collect();
    let unexplained = &checked.devices.unexplained;
    unexplained
        .names()
        .iter()
        .for_each(|leaf| context.ui.alarm(&format!("not explained, and no device here: {leaf}")));
    context.ui.answer(&json!({"devices": all, "unexplained": unexplained.json()}), || {
        let row = |device: &&Device| {
            let labels = device.labels.iter().filter(|(key, _)| key.as_str() != "site");
            let labels: Vec<String> = labels.map(|(key, value)| format!("{key}={value}")).collect();
            let says = match view(device) {
                Some(view) if Known::of(checked, &device.device, view).is_some() => {
                    context.ui.paint(Paint::Bad, "CLONE, gets nothing")
                }
                Some(view) if view.connected => format!("connected, {}", plain(&view.hostname)),
                Some(view) if view.last_seen > 0 => format!("last heard {}", time(view.last_seen)),
                _ => "never heard".to_owned(),
            };
            vec![short(&device.device), site(device), labels.join(" "), says]
        };
        let rows: Vec<Vec<String>> = devices.iter().map(row).collect();
        format!(
            "{}\n{}",
            table(&["DEVICE", "SITE", "LABELS", "THE SERVER SAYS"], &rows).trim_end(),
            context.ui.paint(
                Paint::Dim,
                &format!("{} verified", count(devices.len(), "enrollment", "enrollments"))
            )
        )
    });
}

fn show(context: &Context, checked: &Checked, device: &Device, views: &BTreeMap<String, DeviceView>) {
    let view = views.get(&device.device.to_string());
    context.ui.answer(&json(device, view), || {
        let mut text = format!("{}\n  verified: enrolled by {} at leaf {}\n", device.device, short(&device.enroll), device.place.index);
        for (key, value) in &device.labels {
            text.push_str(&format!("    {key}={value}\n"));
        }
        if let Some(view) = view {
            let heard = if view.last_seen == 0 { "never".to_owned() } else { time(view.last_seen) };
            let connected = if view.connected { "connected" } else { "not connected" };
            text.push_str(&format!(
                "  the server says: {connected}, last heard {heard}\n    calls itself {}, {}, agent {}, holds policy {}\n",
                plain(&view.hostname), plain(&view.system), plain(&view.version), view.policy_number
            ));
            for fact in &view.facts {
                text.push_str(&format!(
                    "    noted against it: {}: {}; {}, the last time {}\n",
                    plain(&fact.kind), plain(&fact.words), count(usize::try_from(fact.times).unwrap_or(usize::MAX), "time", "times"), time(fact.last)
                ));
            }
            if let Some(known) = Known::of(checked, &device.device, view) {
                let word = match known {
                    Known::Proved(_) => "verified: a CLONE by its own signatures; it gets nothing from an honest server",
                    Known::Said(_) => "the server says: a CLONE; it gets nothing any more",
                };
                text.push_str(&format!("  {}\n", context.ui.paint(Paint::Bad, word)));
            }
        }
        text
    });
}
