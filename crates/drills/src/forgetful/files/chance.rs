//! What survives of that which was not synced.

use super::{Change, Survives};

/// Disks write this much at once or not at all.
const SECTOR: usize = 512;

/// Decides what survives. Each cut has its own luck: with some little survives, with others nearly all.
pub(super) struct Chance {
    state: u64,
    /// Of 256.
    luck: u64,
}

impl Chance {
    pub(super) fn new(survives: Survives) -> Self {
        let (state, luck) = match survives {
            Survives::Nothing => (0, 0),
            Survives::Everything => (0, 256),
            Survives::Some(seed) => (seed, 32 + 64 * (seed % 4)),
        };
        Self { state, luck }
    }

    /// SplitMix64. Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn keeps(&mut self) -> bool {
        self.next() % 256 < self.luck
    }

    /// The sectors of a write that arrived; a new length arrives or does not.
    pub(super) fn partly<'a>(&'a mut self, change: &Change) -> Box<dyn Iterator<Item = Change> + 'a> {
        match change {
            Change::Length(length) => Box::new(self.keeps().then_some(Change::Length(*length)).into_iter()),
            Change::Write { at, bytes } => {
                let pieces: Vec<Change> = sectors(*at, bytes).collect();
                Box::new(pieces.into_iter().filter(|_| self.keeps()))
            }
        }
    }
}

/// A write, cut where sectors end.
fn sectors(at: usize, bytes: &[u8]) -> impl Iterator<Item = Change> {
    let first = (SECTOR - at % SECTOR).min(bytes.len());
    let (head, rest) = bytes.split_at(first);
    let rest = rest.chunks(SECTOR).enumerate().map(move |(n, piece)| (at + first + n * SECTOR, piece));
    std::iter::once((at, head)).chain(rest).map(|(at, piece)| Change::Write { at, bytes: piece.to_vec() })
}
