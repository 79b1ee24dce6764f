//! Receipts of the span: those whose batch stands in the log within it, and those that stand in no log yet. The server shows them
//! device by device, so one device is held at a time, and what broke off goes on behind the last device that was written.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_trust::chain::Place;
use countersign_trust::checkpoint::Proof;
use countersign_trust::envelope::leaf;
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_wire::http::{Page, ReceiptView, paths};

use super::{Collect, ReadLog};
use crate::evidence::leaves::Slot;
use crate::evidence::read::{ReceiptPlace, ShownReceipt, print_receipts};
use crate::output::{plain, short};

/// After so many receipts a word of progress is said.
const PROGRESS: usize = 10_000;

/// Receipts on their way into the folder.
struct Gathered {
    /// The leaves of batches within the span.
    within: BTreeMap<Sha256, Place>,
    device: Option<DeviceId>,
    receipts: Vec<ShownReceipt>,
    jobs: BTreeSet<Sha256>,
    read: usize,
    left_out: usize,
}

impl Collect<'_> {
    /// Writes them, and answers the jobs of which they speak.
    pub(super) fn receipts(&self, logs: &[ReadLog]) -> anyhow::Result<BTreeSet<Sha256>> {
        let mut gathered = Gathered {
            within: batches(logs),
            device: None,
            receipts: Vec::new(),
            jobs: BTreeSet::new(),
            read: 0,
            left_out: 0,
        };
        let mut after = self.go_on(&mut gathered)?;
        let path = self.session.path(paths::RECEIPTS, &[]);
        loop {
            let from = after
                .as_ref()
                .map(|after| format!("&after={}", after.replace(' ', "%20")))
                .unwrap_or_default();
            let page: Page<ReceiptView> = self.session.server.get(&format!("{path}?limit=1000{from}"))?;
            for view in &page.items {
                self.receipt(&mut gathered, view)?;
            }
            if page.next.is_none() || page.next == after {
                break;
            }
            after = page.next;
        }
        self.device_done(&mut gathered)?;
        if gathered.left_out > 0 {
            let left_out = gathered.left_out;
            self.context
                .ui
                .warn(&format!("{left_out} receipts that the server shows do not hold, and are left out"));
        }
        Ok(gathered.jobs)
    }

    /// What was written before: the jobs of which it speaks, and behind which device to go on.
    fn go_on(&self, gathered: &mut Gathered) -> anyhow::Result<Option<String>> {
        let names = self.folder.names("receipts");
        for name in &names {
            let text = self.folder.text(&format!("receipts/{name}"))?.unwrap_or_default();
            let receipts = crate::evidence::read::parse_receipts(&text)?;
            gathered.jobs.extend(receipts.iter().filter_map(|shown| shown.receipt.job));
        }
        Ok(names.last().map(|device| format!("{device} {}", i64::MAX)))
    }

    fn receipt(&self, gathered: &mut Gathered, view: &ReceiptView) -> anyhow::Result<()> {
        gathered.read += 1;
        if gathered.read.is_multiple_of(PROGRESS) {
            self.context.ui.note(&format!("  {} receipts read", gathered.read));
        }
        let device: Option<DeviceId> = view.device.parse().ok();
        if device != gathered.device {
            self.device_done(gathered)?;
            gathered.device = device;
        }
        match self.checked(gathered, device, view) {
            Ok(shown) => gathered.receipts.extend(shown),
            Err(why) => {
                gathered.left_out += 1;
                let named = format!("receipt {} of {}: {why:#}", view.number, short(&view.device));
                self.context.ui.warn(&plain(&named));
            }
        }
        Ok(())
    }

    /// A receipt that its device signed and that stands where it is shown; none if that is not within the span.
    fn checked(
        &self,
        gathered: &Gathered,
        device: Option<DeviceId>,
        view: &ReceiptView,
    ) -> anyhow::Result<Option<ShownReceipt>> {
        let place = view.place.as_ref().map(|place| {
            let path = place.path.iter().map(|hash| STANDARD.decode(hash).ok()?.try_into().ok().map(Sha256));
            let path = path.collect::<Option<Vec<_>>>()?;
            Some(ReceiptPlace { batch: place.root.parse().ok()?, index: place.index, size: place.size, path })
        });
        let place = match place {
            Some(None) => anyhow::bail!("its place is none"),
            place => place.flatten(),
        };
        if place.as_ref().is_some_and(|place| !gathered.within.contains_key(&place.batch)) {
            return Ok(None);
        }
        let shown = ShownReceipt::read(&view.note, place)?;
        let time = shown.receipt.time;
        if shown.place.is_none() && !(self.span.from..self.span.until).contains(&time) {
            return Ok(None);
        }
        let history = device.and_then(|device| self.session.checked.devices.history.get(&device));
        let Some(enrolled) = history.and_then(|history| history.first()) else {
            anyhow::bail!("its device is not enrolled")
        };
        let is_its = shown.receipt.org == self.span.org && shown.receipt.device == enrolled.device;
        if !is_its || !shown.note.signed_by(&enrolled.key) {
            anyhow::bail!("its device did not sign it");
        }
        if !shown.stands() {
            anyhow::bail!("it does not stand in its batch");
        }
        if let Some(place) = &view.place {
            self.batch(&place.root.parse()?, &place.proof)?;
        }
        Ok(Some(shown))
    }

    fn batch(&self, root: &Sha256, proof: &str) -> anyhow::Result<()> {
        let name = format!("batches/{root}.tlog-proof");
        if self.folder.has(&name) {
            return Ok(());
        }
        let read: Proof = proof.parse()?;
        let entry = leaf(&self.span.org, "receipts", root, &Sha256::of(b""));
        self.session.checked.chain.governing(&entry, &read)?;
        self.folder.put(&name, proof.as_bytes())
    }

    fn device_done(&self, gathered: &mut Gathered) -> anyhow::Result<()> {
        let mut receipts = std::mem::take(&mut gathered.receipts);
        let Some(device) = gathered.device.take().filter(|_| !receipts.is_empty()) else { return Ok(()) };
        receipts.sort_by_key(|shown| shown.receipt.number);
        gathered.jobs.extend(receipts.iter().filter_map(|shown| shown.receipt.job));
        self.folder.put(&format!("receipts/{device}"), print_receipts(&receipts).as_bytes())
    }
}

fn batches(logs: &[ReadLog]) -> BTreeMap<Sha256, Place> {
    let mut within = BTreeMap::new();
    for (log, read) in logs.iter().enumerate() {
        for (index, slot) in (0..).zip(&read.slots) {
            if let Slot::Leaf { kind, statement, .. } = slot
                && kind == "receipts"
                && read.within.contains(&index)
            {
                within.insert(*statement, Place { log, index });
            }
        }
    }
    within
}
