//! What a device has told, as the server shows it to anybody: one chain of receipts, held against itself.

use std::collections::BTreeMap;

use countersign_drills::world::{Machine, World};
use countersign_trust::ids::Sha256;
use countersign_trust::note::Note;
use countersign_trust::receipt::{Receipt, Verdict};
use countersign_trust::time::Time;
use countersign_wire::http::{Page, ReceiptView};

/// A step, by its job and its number.
pub type Step = (Sha256, u64);

/// A device's receipts so far.
pub struct Told {
    /// In their order, from number 1.
    pub receipts: Vec<Receipt>,
    last: Option<Sha256>,
    /// The organization's policies in their order, as far as the world has made them.
    pub policies: Vec<Sha256>,
}

impl Told {
    /// Nothing yet, under this genesis policy.
    pub fn of(genesis: Sha256) -> Self {
        Self { receipts: Vec::new(), last: None, policies: vec![genesis] }
    }

    /// Reads what is new. The chain has no gap, and nothing in it goes back: no policy, no time.
    ///
    /// A number used twice shows: the second text is not kept, and the receipt after it names another before it.
    pub fn read(&mut self, world: &World, machine: &Machine) {
        let after = format!("after={}%20{}&limit=1000", machine.id, self.receipts.len());
        let page: Page<ReceiptView> =
            world.block_on(world.http.get(&world.path(&format!("receipts?{after}"))));
        for view in page.items.into_iter().filter(|view| view.device == machine.id.to_string()) {
            let note: Note = view.note.parse().unwrap();
            assert!(note.signed_by(&machine.key), "not signed by {}: {note}", machine.id);
            let receipt: Receipt = note.text().parse().unwrap();
            assert_eq!(receipt.number, self.receipts.len() as u64 + 1, "a gap before {note}");
            assert_eq!(receipt.previous, self.last, "receipt {} names another before it", receipt.number);
            if let Some(before) = self.receipts.last() {
                let back = self.place(&receipt.policy) < self.place(&before.policy);
                assert!(!back && receipt.time >= before.time, "{before} and then {receipt}");
            }
            self.last = Some(Sha256::of(note.text().as_bytes()));
            self.receipts.push(receipt);
        }
    }

    fn place(&self, policy: &Sha256) -> usize {
        self.policies.iter().position(|held| held == policy).expect("a policy of the organization's")
    }

    /// How many policies it has certainly held, and the latest time it has named.
    pub fn floors(&self) -> (usize, Time) {
        let last = self.receipts.last();
        last.map_or((0, Time::default()), |last| (self.place(&last.policy) + 1, last.time))
    }

    /// What became of each step that was accepted: nothing yet, or its one end.
    pub fn steps(&self) -> BTreeMap<Step, Option<Verdict>> {
        let mut steps = BTreeMap::new();
        for receipt in &self.receipts {
            let Some(job) = receipt.job else { continue };
            let step = (job, receipt.step);
            match receipt.verdict {
                Verdict::Accepted => assert_eq!(steps.insert(step, None), None, "accepted twice: {receipt}"),
                Verdict::Ended | Verdict::Interrupted => {
                    let before = steps.insert(step, Some(receipt.verdict));
                    assert_eq!(before, Some(None), "an end without a beginning, or a second: {receipt}");
                }
                Verdict::Refused => {}
            }
        }
        steps
    }
}
