//! The leaves of every log of the organization, each log to a size at which its root is the one that people or witnesses signed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, anyhow};
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::merkle::{entries_path, leaf_hash};
use countersign_trust::note::Note;
use countersign_wire::http::paths;

use super::Collect;
use crate::checked::log::{BUNDLE, Edge, split_bundle};
use crate::evidence::leaves::{self, Slot};
use crate::evidence::marks::Mark;
use crate::evidence::read::{checkpoint_file, leaves_file};
use crate::output::Stop;

/// After so many leaves a word of progress is said.
const PROGRESS: u64 = 100 * BUNDLE;

impl Collect<'_> {
    /// The leaves of each log, the first one first. A log that is in the folder stays as it is: the evidence is of that moment.
    pub(super) fn logs(&self) -> anyhow::Result<Vec<Vec<Slot>>> {
        let seen = &self.session.checked.log;
        let mut logs = Vec::new();
        for log in &seen.before {
            let path = self.session.path(paths::LOG, &[]);
            let path = path.replace("/log/", &format!("/logs/{}/", Sha256::of(log.origin.as_bytes())));
            let root = log.root().context("what was kept of the log is damaged")?;
            logs.push(self.log(logs.len(), &path, log.size, root)?);
        }
        let path = self.session.path(paths::LOG, &[]);
        let (newest, name) = (logs.len(), checkpoint_file(logs.len(), "checkpoint"));
        let text = match self.folder.text(&name)? {
            Some(text) => text,
            None => self.session.server.get_text(&path.replace("{*path}", "checkpoint"))?,
        };
        let note: Note = text.parse().context("the server's checkpoint")?;
        let mark = Mark::of(&self.session.checked.chain, &note);
        let mark = mark.ok_or_else(|| Stop::Alarm("the server's checkpoint does not hold".to_owned()))?;
        let slots = self.log(newest, &path, mark.size, mark.root)?;
        self.continues(&slots)?;
        self.folder.put(&name, text.as_bytes())?;
        logs.push(slots);
        Ok(logs)
    }

    /// What was read must be what this computer has seen of the log.
    fn continues(&self, slots: &[Slot]) -> anyhow::Result<()> {
        let seen = &self.session.checked.log;
        let size = seen.size.min(u64::try_from(slots.len())?);
        let roots = roots_at(&self.span.org, slots, &BTreeSet::from([size]));
        if size == seen.size && roots.get(&size) != seen.root().as_ref() {
            return Err(Stop::Alarm(format!("the first {size} leaves of the log are not those that were checked before: the server shows two histories")).into());
        }
        Ok(())
    }

    fn log(&self, nth: usize, path: &str, size: u64, root: Sha256) -> anyhow::Result<Vec<Slot>> {
        let kept = self.folder.text(&leaves_file(nth))?;
        let slots = match kept.and_then(|text| leaves::parse(&text, size)) {
            Some(slots) if u64::try_from(slots.len()) == Ok(size) => slots,
            _ => self.read(path, size)?,
        };
        let found = leaves::root(&self.span.org, &slots);
        if found != Some(root) {
            let found = found.map(|root| root.to_string()).unwrap_or_default();
            return Err(Stop::Alarm(format!("the log's {size} leaves have root {found}, witnessed is {root}: the server shows two histories")).into());
        }
        self.folder.put(&leaves_file(nth), leaves::print(&slots).as_bytes())?;
        Ok(slots)
    }

    fn read(&self, path: &str, size: u64) -> anyhow::Result<Vec<Slot>> {
        let mut slots = Vec::new();
        let mut read = 0;
        while read < size {
            let bundle = read / BUNDLE;
            let width = u16::try_from(size.min((bundle + 1) * BUNDLE) - read)?;
            let bytes =
                self.session.server.get_bytes(&path.replace("{*path}", &entries_path(bundle, width)))?;
            let entries = split_bundle(&bytes).filter(|entries| entries.len() == usize::from(width));
            let entries = entries.ok_or_else(|| anyhow!("bundle {bundle} of the log is malformed"))?;
            slots.extend(entries.iter().map(|entry| Slot::read(&self.span.org, entry)));
            read += u64::from(width);
            if read.is_multiple_of(PROGRESS) {
                self.context.ui.note(&format!("  {read} of {size} leaves read"));
            }
        }
        Ok(slots)
    }
}

/// The roots of the tree of these leaves at some of its sizes.
pub fn roots_at(org: &OrgId, slots: &[Slot], sizes: &BTreeSet<u64>) -> BTreeMap<u64, Sha256> {
    let (mut edge, mut roots) = (Edge::default(), BTreeMap::new());
    for (before, slot) in (0..).zip(slots) {
        let Some(entry) = slot.entry(org) else { return roots };
        edge.push(leaf_hash(&entry));
        let size: u64 = before + 1;
        if sizes.contains(&size) {
            roots.insert(size, edge.root());
        }
    }
    roots
}
