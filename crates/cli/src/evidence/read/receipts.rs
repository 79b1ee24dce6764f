//! Receipts as a file for each device: a sequence of envelopes, of each receipt its note and then its place, which is empty while it
//! stands in no log.

use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_trust::delivery::{read_sequence, write_sequence};
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::merkle::{leaf_hash, verify_inclusion};
use countersign_trust::note::Note;
use countersign_trust::receipt::Receipt;

use super::{Evidence, Folder};

/// A receipt that is shown.
#[derive(Clone, Debug)]
pub struct ShownReceipt {
    /// What it says.
    pub receipt: Receipt,
    /// The note.
    pub note: Note,
    /// Where it stands.
    pub place: Option<ReceiptPlace>,
}

/// The place of a receipt in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptPlace {
    /// The batch's root.
    pub batch: Sha256,
    /// Which leaf of it.
    pub index: u64,
    /// Of how many.
    pub size: u64,
    /// From the leaf's sibling upwards.
    pub path: Vec<Sha256>,
}

/// A batch as far as its receipts are shown.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// How many receipts it has.
    pub size: u64,
    /// Those that are shown: the device, and which of its receipts.
    pub receipts: BTreeMap<u64, (DeviceId, usize)>,
}

impl ShownReceipt {
    /// Reads a note, whoever signed it.
    ///
    /// # Errors
    /// It is no receipt.
    pub fn read(note: &str, place: Option<ReceiptPlace>) -> anyhow::Result<Self> {
        let note: Note = note.parse()?;
        let receipt: Receipt = note.text().parse()?;
        Ok(Self { receipt, note, place })
    }

    /// Whether it stands where it is shown to stand in its batch.
    pub fn stands(&self) -> bool {
        self.place.as_ref().is_none_or(|place| {
            let leaf = leaf_hash(self.note.text().as_bytes());
            verify_inclusion(leaf, place.index, place.size, &place.path, place.batch).is_ok()
        })
    }
}

/// Prints the receipts of one device.
pub fn print_receipts(receipts: &[ShownReceipt]) -> String {
    let items: Vec<String> = receipts
        .iter()
        .flat_map(|shown| [shown.note.to_string(), shown.place.as_ref().map(print_place).unwrap_or_default()])
        .collect();
    write_sequence(&items)
}

fn print_place(ReceiptPlace { batch, index, size, path }: &ReceiptPlace) -> String {
    let path: String = path.iter().map(|hash| format!("{}\n", STANDARD.encode(hash.0))).collect();
    format!("batch {batch}\nindex {index}\nsize {size}\n{path}")
}

/// Reads where a receipt stands, as it was printed.
pub fn read_place(text: &str) -> Option<ReceiptPlace> {
    let mut lines = text.lines();
    let batch = lines.next()?.strip_prefix("batch ")?.parse().ok()?;
    let index = lines.next()?.strip_prefix("index ")?.parse().ok()?;
    let size = lines.next()?.strip_prefix("size ")?.parse().ok()?;
    let path =
        lines.map(|line| STANDARD.decode(line).ok()?.try_into().ok().map(Sha256)).collect::<Option<_>>()?;
    Some(ReceiptPlace { batch, index, size, path }).filter(|place| print_place(place) == text)
}

/// Reads the receipts of one device, as they were printed.
///
/// # Errors
/// The text is damaged.
pub fn parse(text: &str) -> anyhow::Result<Vec<ShownReceipt>> {
    let items = read_sequence(text).ok_or_else(|| anyhow!("it is no sequence"))?;
    let mut receipts = Vec::new();
    for pair in items.chunks(2) {
        let [note, place] = pair else { bail!("a receipt without a place") };
        let place = match *place {
            "" => None,
            text => Some(read_place(text).context("a place that is none")?),
        };
        receipts.push(ShownReceipt::read(note, place)?);
    }
    Ok(receipts)
}

/// Reads all receipts of a folder, each of a device that is enrolled, signed by it, and standing where it is shown.
pub(super) fn read_all(folder: &Folder, evidence: &mut Evidence) -> anyhow::Result<()> {
    for name in folder.names("receipts") {
        let text = folder.text(&format!("receipts/{name}"))?.unwrap_or_default();
        let receipts = parse(&text).with_context(|| format!("receipts/{name}"))?;
        let device: DeviceId = name.parse()?;
        let enrolled = evidence.devices.get(&device).and_then(|all| all.first());
        let key = &enrolled.with_context(|| format!("receipts/{name} is of no device that is enrolled"))?.key;
        for (at, shown) in receipts.iter().enumerate() {
            let is_its = shown.receipt.device == device && shown.receipt.org == evidence.span.org;
            if !is_its || !shown.note.signed_by(key) || !shown.stands() {
                bail!("receipts/{name}: receipt {} does not hold", shown.receipt.number);
            }
            if let Some(place) = &shown.place {
                let batch = evidence.batches.entry(place.batch).or_default();
                batch.size = place.size;
                batch.receipts.insert(place.index, (device, at));
            }
        }
        evidence.receipts.insert(device, receipts);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_trust::note::{KeyKind, NoteSigner};

    #[test]
    fn receipts_read_back_with_and_without_a_place() {
        let zero = "0".repeat(64);
        let text = format!(
            "countersign-receipt/v1\norg-{zero}\ndev-{zero}\nnumber 1\nprevious none\njob {zero}\noccurrence 0\n\
             step 0\nverdict accepted\ncount 1\ncode none\nbecause \noutput none\nkept 0\ndropped 0\n\
             policy {zero}\nenroll {zero}\ntime 7\n"
        );
        let note = NoteSigner::new("device", KeyKind::Ed25519, &[1; 32]).unwrap().note(text.clone()).unwrap();
        let batch = leaf_hash(text.as_bytes());
        let place = ReceiptPlace { batch, index: 0, size: 1, path: Vec::new() };
        let shown = [
            ShownReceipt::read(&note.to_string(), Some(place.clone())).unwrap(),
            ShownReceipt::read(&note.to_string(), None).unwrap(),
        ];
        let printed = print_receipts(&shown);
        let read = parse(&printed).unwrap();
        assert_eq!(
            read.iter().map(|shown| shown.place.clone()).collect::<Vec<_>>(),
            [Some(place.clone()), None]
        );
        assert!(read.iter().all(ShownReceipt::stands));
        assert!(
            !ShownReceipt { place: Some(ReceiptPlace { size: 2, ..place }), ..shown[0].clone() }.stands()
        );
        assert!(parse("envelope 1\na").is_err() && parse("envelope 1\na\n").is_err());
    }
}
