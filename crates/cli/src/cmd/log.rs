//! `countersign log`: the whole log, leaf by leaf.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use countersign_trust::ids::Sha256;
use countersign_trust::merkle::{leaf_hash, verify_inclusion};
use countersign_trust::note::Note;
use countersign_wire::http::{ReceiptView, paths};
use serde_json::json;

use crate::checked::SeenLog;
use crate::checked::log::Leaf;
use crate::clones::Chains;
use crate::cmd::job::signed_part;
use crate::context::{Context, Session};
use crate::output::{Paint, Stop, count, plain, short};
use crate::receipts;

/// The organization's log.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Read it whole: its root, and that what every leaf stands for can be had and holds.
    ///
    /// A leaf whose text nobody shows is an alarm: something was signed, or run, in secret.
    Verify,
}

/// Runs it.
pub fn run(context: &Context, command: LogCommand) -> anyhow::Result<()> {
    let LogCommand::Verify = command;
    let session = context.open()?;
    let whole = SeenLog::default().advance(
        &session.checked.chain,
        &session.server,
        &session.path(paths::LOG, &[]),
    )?;
    if !whole.continues(&session.checked.log) {
        return Err(Stop::Alarm(
            "the log read from its start is not the one that was read piece by piece".to_owned(),
        )
        .into());
    }
    let mut missing = Vec::new();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for leaf in whole.all_leaves() {
        *kinds.entry(&leaf.kind).or_default() += 1;
        // Enrollments and joins were held against their evidence when the organization was opened.
        if !["enroll", "join"].contains(&leaf.kind.as_str())
            && let Err(why) = explained(&session, leaf)
        {
            missing.push(format!("{} ({}): {why}", leaf.named(), plain(&leaf.kind)));
        }
    }
    missing.extend(session.checked.devices.unexplained.names());
    let of_receipts = whole.all_batches();
    kinds.insert("receipts", of_receipts.len());
    let receipts: Vec<ReceiptView> = session.server.pages(&session.path(paths::RECEIPTS, &[]), usize::MAX)?;
    missing.extend(batches(&session, &of_receipts, &receipts));
    let mut chains = Chains::default();
    for view in &receipts {
        if let Ok(device) = view.device.parse() {
            chains.watch(context, &session, &device, &view.note);
        }
    }
    for (device, first, last) in chains.gaps() {
        context.ui.warn(&format!(
            "the server shows later receipts of {} and not {first} to {last}: they were hidden, or lost",
            short(&device)
        ));
    }
    let clones: Vec<String> = chains.found().iter().map(ToString::to_string).collect();
    let replaced: Vec<u64> = whole.before.iter().map(|log| log.size).collect();
    let answer = json!({"size": whole.size, "replaced": replaced, "leaves": kinds, "missing": missing, "clones": clones});
    context.ui.answer(&answer, || {
        let kinds: Vec<String> =
            kinds.iter().map(|(kind, number)| format!("{number} {}", plain(kind))).collect();
        let word = if missing.is_empty() {
            context.ui.paint(Paint::Good, "verified")
        } else {
            context.ui.paint(Paint::Bad, "NOT WHOLE")
        };
        let before: Vec<String> = (1..)
            .zip(&replaced)
            .map(|(number, size)| {
                format!("log {number} to its end at {size} leaves, as the policy that replaced it says; ")
            })
            .collect();
        let size = replaced.iter().sum::<u64>().saturating_add(whole.size);
        let before = before.concat();
        format!("{before}{size} leaves ({}), root witnessed and continued: {word}", kinds.join(", "))
    });
    match missing.as_slice() {
        [] => Ok(()),
        [first, ..] => {
            missing.iter().for_each(|what| context.ui.warn(&plain(what)));
            let number = count(missing.len(), "leaf cannot be explained", "leaves cannot be explained");
            Err(Stop::Alarm(format!("{number}; the first: {}", plain(first))).into())
        }
    }
}

/// That the server shows the statement of a leaf with exactly the signatures that were logged.
fn explained(session: &Session, leaf: &Leaf) -> Result<(), String> {
    let view = session
        .statement(&leaf.statement)
        .map_err(|error| format!("the server does not show it: {error:#}"))?;
    let signed = signed_part(&view.envelope).map_err(|error| format!("{error:#}"))?;
    let found = signed.leaf(&session.checked.chain.org()).map_err(|error| error.to_string())?;
    if leaf.print(&session.checked.chain.org()).as_deref() == Some(found.as_str()) {
        return Ok(());
    }
    Err(format!("the server shows {} with other signatures than were logged", short(&signed.hash())))
}

/// That every batch of receipts can be had whole, each signed by its device.
fn batches(session: &Session, leaves: &[Leaf], views: &[ReceiptView]) -> Vec<String> {
    let mut whole: BTreeMap<String, (u64, BTreeSet<u64>)> = BTreeMap::new();
    let mut faults = Vec::new();
    for view in views {
        match receipt_place(session, view) {
            Ok(Some((root, index, size))) => {
                whole.entry(root).or_insert((size, BTreeSet::new())).1.insert(index);
            }
            Ok(None) => {}
            Err(why) => faults.push(format!("receipt {} of {}: {why}", view.number, plain(&view.device))),
        }
    }
    for leaf in leaves {
        let held = whole.get(&leaf.statement).map_or((0, 0), |(size, indices)| (*size, indices.len()));
        if held.0 == 0 || u64::try_from(held.1) != Ok(held.0) {
            faults.push(format!(
                "{} (receipts): the server shows {} of its {} receipts",
                leaf.named(),
                held.1,
                held.0
            ));
        }
    }
    faults
}

fn receipt_place(session: &Session, view: &ReceiptView) -> Result<Option<(String, u64, u64)>, String> {
    let device = view.device.parse().map_err(|_| "of no device".to_owned())?;
    receipts::signed(&session.checked, &device, &view.note).map_err(|fault| fault.to_string())?;
    let Some(place) = &view.place else { return Ok(None) };
    let note: Note = view.note.parse().map_err(|_| "no note".to_owned())?;
    let root: Sha256 = place.root.parse().map_err(|_| "no root".to_owned())?;
    let path: Option<Vec<Sha256>> =
        place.path.iter().map(|hash| STANDARD.decode(hash).ok()?.try_into().ok().map(Sha256)).collect();
    let path = path.ok_or("no path")?;
    verify_inclusion(leaf_hash(note.text().as_bytes()), place.index, place.size, &path, root)
        .map_err(|error| error.to_string())?;
    Ok(Some((place.root.clone(), place.index, place.size)))
}
