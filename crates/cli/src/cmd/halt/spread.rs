//! A halt on its way to connected devices, as the server sees it: live, until all of them have it or the time is over.

use std::thread;
use std::time::{Duration, Instant};

use countersign_trust::ids::Sha256;
use countersign_wire::http::{HaltView, Page, paths};

use super::state;
use crate::client::{Client, filled};
use crate::context::Context;
use crate::home::Profile;

/// How long it is watched: where the server is honest, all have it within a second.
const PATIENCE: Duration = Duration::from_secs(10);
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// Says how many connected devices have it, whenever that changes; what the server said last. None if it does not say.
pub fn watch(context: &Context, profile: &Profile, halt: &Sha256) -> Option<HaltView> {
    let server = profile.client().ok()?.within(PATIENCE);
    let (end, mut last) = (Instant::now() + PATIENCE, None);
    loop {
        let view = look(profile, &server, halt);
        if let Some(view) = view.filter(|view| last.as_ref() != Some(view)) {
            context.ui.note(&format!("  devices, the server says: {}", state::devices(&view)));
            last = Some(view);
        }
        if last.as_ref().is_some_and(|view| view.lack == 0) {
            return last;
        }
        if Instant::now() >= end {
            context
                .ui
                .note("  Not all of them have it yet, as far as the server says: countersign halt list");
            return last;
        }
        thread::sleep(BETWEEN_LOOKS);
    }
}

fn look(profile: &Profile, server: &Client, halt: &Sha256) -> Option<HaltView> {
    let path = filled(paths::HALTS, &[("org", &profile.org.to_string())]);
    let page: Page<HaltView> = server.get(&path).ok()?;
    page.items.into_iter().find(|view| view.halt == halt.to_string())
}
