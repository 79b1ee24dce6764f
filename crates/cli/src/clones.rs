//! Devices whose key is used in two places. The server says so of some; two receipts that a device signed and that contradict
//! each other prove it, whatever the server says or hides.

use std::collections::{BTreeMap, BTreeSet};

use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::note::Note;
use countersign_trust::receipt::Receipt;
use countersign_wire::http::{DeviceView, paths};

use crate::checked::{Checked, Device};
use crate::cmd::run::site;
use crate::context::{Context, Session};
use crate::output::{Stop, plain, short};
use crate::receipts;

/// What somebody should do about a clone.
const REMEDY: &str = "One of its machines is a copy, or was set back to an earlier state. Retire it with `countersign device retire`, \
and enroll each machine anew under a new key";

/// What a device says of its chain at one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link {
    text: Sha256,
    previous: Option<Sha256>,
}

/// Receipts as they are read, each held against those of its device that were read before.
#[derive(Debug, Default)]
pub struct Chains {
    links: BTreeMap<DeviceId, BTreeMap<u64, Link>>,
    told: BTreeSet<DeviceId>,
}

impl Chains {
    /// Reads a note that `device` signed, and says by which number it contradicts one that was read before. What it did not
    /// sign says nothing of it.
    pub fn read(&mut self, checked: &Checked, device: &DeviceId, note: &str) -> Option<u64> {
        let receipt = receipts::signed(checked, device, note).ok()?;
        let note: Note = note.parse().ok()?;
        self.add(&receipt, Sha256::of(note.text().as_bytes()))
    }

    fn add(&mut self, receipt: &Receipt, text: Sha256) -> Option<u64> {
        let (number, link) = (receipt.number, Link { text, previous: receipt.previous });
        let links = self.links.entry(receipt.device).or_default();
        let before = number.checked_sub(1).and_then(|before| links.get(&before));
        let after = number.checked_add(1).and_then(|after| links.get(&after));
        let torn = before.is_some_and(|before| link.previous != Some(before.text))
            || after.is_some_and(|after| after.previous != Some(text))
            || links.get(&number).is_some_and(|known| known.text != text);
        links.entry(number).or_insert(link);
        torn.then_some(number)
    }

    /// As [`Chains::read`], and says it aloud, once a device.
    pub fn watch(&mut self, context: &Context, session: &Session, device: &DeviceId, note: &str) {
        if let Some(number) = self.read(&session.checked, device, note)
            && self.told.insert(*device)
        {
            context.ui.alarm(&proved(&name(session, device), number));
        }
    }

    /// The numbers that are missing of each device's receipts, of those that were read: the first and the last of each gap.
    pub fn gaps(&self) -> Vec<(DeviceId, u64, u64)> {
        let mut gaps = Vec::new();
        for (device, links) in &self.links {
            let mut next = 1;
            for number in links.keys() {
                if *number > next {
                    gaps.push((*device, next, number.saturating_sub(1)));
                }
                next = number.saturating_add(1);
            }
        }
        gaps
    }

    /// Which devices were found to be clones.
    pub fn found(&self) -> &BTreeSet<DeviceId> {
        &self.told
    }
}

/// How it is known that a device is a clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// It signed two receipts that contradict each other; the number of one.
    Proved(u64),
    /// The server says so, in these words.
    Said(String),
}

impl Known {
    /// What is known of a device by what the server shows.
    pub fn of(checked: &Checked, device: &DeviceId, view: &DeviceView) -> Option<Self> {
        let fact = view.facts.iter().find(|fact| fact.kind == "clone");
        let mut chains = Chains::default();
        let evidence = fact.into_iter().flat_map(|fact| &fact.evidence);
        let torn = evidence.filter_map(|note| chains.read(checked, device, note)).next();
        torn.map(Self::Proved)
            .or_else(|| fact.map(|fact| Self::Said(plain(&fact.words))))
            .or_else(|| view.stopped.then(|| Self::Said("its key is used in two places".to_owned())))
    }

    /// A sentence about the device called `name`.
    pub fn sentence(&self, name: &str) -> String {
        match self {
            Self::Proved(number) => proved(name, *number),
            Self::Said(words) => {
                format!(
                    "{name} is a CLONE, the server says: {words}. It brings nothing to it any more. {REMEDY}"
                )
            }
        }
    }
}

fn proved(name: &str, number: u64) -> String {
    format!(
        "{name} is a CLONE (verified): it signed receipts that contradict each other, at number {number}. {REMEDY}"
    )
}

fn name(session: &Session, device: &DeviceId) -> String {
    let at = session.checked.devices.enrolled.get(device).map(site).unwrap_or_default();
    format!("{} at {at}", short(device))
}

/// The clones among `devices`, as far as the server shows it.
pub fn among(session: &Session, devices: &[&Device]) -> anyhow::Result<BTreeMap<DeviceId, Known>> {
    let views: Vec<DeviceView> = session.server.pages(&session.path(paths::DEVICES, &[]), usize::MAX)?;
    let asked: BTreeSet<DeviceId> = devices.iter().map(|device| device.device).collect();
    let known = views.iter().filter_map(|view| {
        let device = view.device.parse().ok().filter(|device| asked.contains(device))?;
        Some((device, Known::of(&session.checked, &device, view)?))
    });
    Ok(known.collect())
}

/// Says which of `devices` are clones.
pub fn tell(context: &Context, session: &Session, devices: &[&Device]) -> anyhow::Result<()> {
    for (device, known) in among(session, devices)? {
        context.ui.alarm(&known.sentence(&name(session, &device)));
    }
    Ok(())
}

/// Says which of `devices` are clones, and leaves out those that are by their own signatures. The server's word alone leaves
/// out nobody: it must not choose what people sign for.
///
/// # Errors
/// None is left.
pub fn leave_out<'a>(
    context: &Context,
    session: &Session,
    mut devices: Vec<&'a Device>,
) -> anyhow::Result<Vec<&'a Device>> {
    for (device, known) in among(session, &devices)? {
        let sentence = known.sentence(&name(session, &device));
        if matches!(known, Known::Proved(_)) {
            devices.retain(|other| other.device != device);
            context.ui.alarm(&format!("{sentence}. It is left out"));
        } else {
            context.ui.alarm(&sentence);
        }
    }
    match devices.is_empty() {
        true => Err(Stop::Refused("there is no device left that is not a clone".to_owned()).into()),
        false => Ok(devices),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_trust::ids::OrgId;
    use countersign_trust::receipt::{Reason, Verdict};
    use countersign_trust::time::Time;

    fn receipt(number: u64, previous: Option<Sha256>, because: &str) -> (Receipt, Sha256) {
        let receipt = Receipt {
            org: OrgId([1; 32]),
            device: DeviceId([2; 32]),
            number,
            previous,
            job: None,
            occurrence: 0,
            step: 0,
            verdict: Verdict::Refused,
            count: 1,
            code: None,
            because: Reason::new(because),
            output: None,
            kept: 0,
            dropped: 0,
            policy: Sha256([3; 32]),
            enroll: Sha256([4; 32]),
            time: Time(5),
        };
        let text = Sha256::of(receipt.to_string().as_bytes());
        (receipt, text)
    }

    #[test]
    fn a_chain_that_is_whole_is_no_clones_in_any_order_and_with_gaps() {
        let first = receipt(1, None, "a");
        let second = receipt(2, Some(first.1), "b");
        let third = receipt(3, Some(second.1), "c");
        let ninth = receipt(9, Some(Sha256([9; 32])), "i");
        for order in [[&first, &second, &third, &ninth], [&ninth, &third, &first, &second]] {
            let mut chains = Chains::default();
            let told: Vec<_> =
                order.iter().chain(&order).map(|(receipt, text)| chains.add(receipt, *text)).collect();
            assert_eq!(told, [None; 8]);
            assert_eq!(chains.gaps(), [(DeviceId([2; 32]), 4, 8)]);
        }
    }

    #[test]
    fn receipts_that_contradict_each_other_are_noticed_in_any_order() {
        let first = receipt(1, None, "a");
        let second = receipt(2, Some(first.1), "b");
        let cases = [
            ("one number, two texts", receipt(2, Some(first.1), "not b")),
            ("naming another as the one before", receipt(3, Some(Sha256([7; 32])), "c")),
            ("named as another by the one after", receipt(1, None, "not a")),
        ];
        for (name, (bent, text)) in cases {
            let mut chains = Chains::default();
            chains.add(&first.0, first.1);
            chains.add(&second.0, second.1);
            assert_eq!(chains.add(&bent, text), Some(bent.number), "{name}");
            let mut chains = Chains::default();
            chains.add(&bent, text);
            let told = [chains.add(&second.0, second.1), chains.add(&first.0, first.1)];
            assert!(told.iter().any(Option::is_some), "{name}, the other way round");
        }
    }
}
