//! What the command line does at every command, by the same rules of `trust`: each beacon is brought what it lacks, and a new one the
//! words of those before it. The thief has no hand on these wires; with people cut off from every beacon there is no halt either.

use countersign_trust::clear::Clear;
use countersign_trust::ids::Sha256;
use countersign_trust::note::Note;
use countersign_trust::told::{Holds, brought};

use super::World;

impl World {
    /// Somebody types a command.
    pub fn reach(&mut self) {
        self.tell("people", "look at the organization: their tool brings beacons what they lack");
        for at in 0..self.beacons.len() {
            self.bring_to(at);
        }
        for at in 0..self.beacons.len() {
            if self.beacon_says(at).is_none() {
                self.hand_over_to(at);
            }
        }
    }

    fn beacon_says(&mut self, at: usize) -> Option<(Note, Clear)> {
        let (org, now_ms) = (self.org, self.now_ms);
        let note = self.beacons[at].clear(org, &Sha256([9; 32]), now_ms)?;
        let clear = note.text().parse().unwrap();
        Some((note, clear))
    }

    fn bring_to(&mut self, at: usize) {
        let said = self.beacon_says(at);
        let holds = said.map(|(_, clear)| Holds::by(&self.chain, &clear)).unwrap_or_default();
        let key = self.beacons[at].key().clone();
        for piece in brought(&self.chain, &holds, &key) {
            self.beacons[at].take(self.org, &piece, self.now_ms);
        }
    }

    fn hand_over_to(&mut self, at: usize) {
        let chain = self.chain.clone();
        let key = self.beacons[at].key().clone();
        let Some(tenure) = chain.tenure(&key) else { return };
        for other in 0..self.beacons.len() {
            let Some((note, clear)) = self.beacon_says(other) else { continue };
            if chain.hands_over(&tenure, self.beacons[other].key(), &clear) {
                // What it does not count it says, and is asked again the next time.
                let _ = self.beacons[at].hand_over(self.org, &note);
            }
        }
    }
}
