//! The tree of a log in memory, cut into tiles: a tile of level L holds up to 256 nodes of height 8·L.
//!
//! 32 bytes a leaf: a million leaves take 32 MiB. What stands between two tile levels is computed when it is asked for,
//! from at most 128 hashes.
//!
//! Source: c2sp.org/tlog-tiles, "Merkle Tree".

use countersign_trust::ids::Sha256;
use countersign_trust::merkle::{MerkleError, consistency_from, inclusion_from, node_hash, root_from};

/// How many hashes a full tile holds.
pub const WIDTH: usize = 256;
/// The height of a tile.
const HEIGHT: u8 = 8;

/// All tiles of a log. It only grows.
#[derive(Clone, Debug, Default)]
pub struct Tiles {
    /// The hashes of each level, tile after tile.
    levels: Vec<Vec<Sha256>>,
}

/// A tile that is new or fuller than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// 0 for leaf hashes.
    pub level: usize,
    /// Which of its level, counted from 0.
    pub place: usize,
    /// Its hashes, at most 256.
    pub hashes: Vec<Sha256>,
}

impl Tiles {
    /// The tree of these leaf hashes.
    pub fn of_leaves(hashes: impl IntoIterator<Item = Sha256>) -> Self {
        let mut tiles = Self::default();
        hashes.into_iter().for_each(|hash| tiles.push(hash));
        tiles
    }

    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| u64::try_from(leaves.len()).unwrap_or(u64::MAX))
    }

    /// Adds a leaf by its hash.
    pub fn push(&mut self, leaf_hash: Sha256) {
        let mut node = leaf_hash;
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let Some(hashes) = self.levels.get_mut(level) else { return };
            hashes.push(node);
            let (full, []) = hashes.as_chunks::<WIDTH>() else { return };
            let Some(tile) = full.last() else { return };
            node = complete_root(tile);
        }
    }

    /// Forgets every leaf from the `size`th on.
    pub fn truncate(&mut self, size: u64) {
        for (level, hashes) in self.levels.iter_mut().enumerate() {
            hashes.truncate(nodes_of(size, level));
        }
    }

    /// The hashes of a tile, if it has at least one.
    pub fn tile(&self, level: usize, place: usize) -> Option<&[Sha256]> {
        self.levels.get(level)?.chunks(WIDTH).nth(place)
    }

    /// The tiles that are new or fuller than when the log had `old` leaves.
    pub fn since(&self, old: u64) -> Vec<Tile> {
        let mut changed = Vec::new();
        for (level, hashes) in self.levels.iter().enumerate() {
            let before = nodes_of(old, level);
            if before == hashes.len() {
                continue;
            }
            let tiles = hashes.chunks(WIDTH).enumerate().skip(before / WIDTH);
            changed.extend(tiles.map(|(place, hashes)| Tile { level, place, hashes: hashes.to_vec() }));
        }
        changed
    }

    /// The root when the log had `size` leaves.
    ///
    /// # Errors
    /// It never had that many.
    pub fn root(&self, size: u64) -> Result<Sha256, MerkleError> {
        root_from(size, &mut |level, index| self.node(level, index))
    }

    /// The proof that leaf `index` stands in the log of `size` leaves.
    ///
    /// # Errors
    /// It does not, or the log never had that many.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Sha256>, MerkleError> {
        inclusion_from(index, size, &mut |level, index| self.node(level, index))
    }

    /// The proof that the log of `old` leaves is how the log of `new` leaves began.
    ///
    /// # Errors
    /// The log never had that many.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Sha256>, MerkleError> {
        consistency_from(old, new, &mut |level, index| self.node(level, index))
    }

    /// The root of the `index`th complete subtree of 2^`level` leaves.
    fn node(&self, level: u8, index: u64) -> Result<Sha256, MerkleError> {
        let missing = || MerkleError::Missing { level, index };
        let above = level % HEIGHT;
        let hashes = self.levels.get(usize::from(level / HEIGHT)).ok_or_else(missing)?;
        let first = index.checked_shl(above.into()).and_then(|first| usize::try_from(first).ok());
        let first = first.ok_or_else(missing)?;
        let span = hashes.get(first..first.saturating_add(1 << above)).ok_or_else(missing)?;
        Ok(complete_root(span))
    }
}

/// How many hashes stand at a level of the log of `size` leaves.
pub fn nodes_of(size: u64, level: usize) -> usize {
    let height = u32::from(HEIGHT).saturating_mul(u32::try_from(level).unwrap_or(u32::MAX));
    usize::try_from(size.checked_shr(height).unwrap_or(0)).unwrap_or(usize::MAX)
}

/// The root over a power of two of hashes.
fn complete_root(hashes: &[Sha256]) -> Sha256 {
    let mut row = hashes.to_vec();
    while let (pairs @ [_, ..], []) = row.as_chunks::<2>() {
        row = pairs.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    row.first().copied().unwrap_or(countersign_trust::merkle::EMPTY_ROOT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_trust::merkle::{Tree, leaf_hash};

    fn leaves(count: u32) -> Vec<Sha256> {
        (0..count).map(|number| leaf_hash(&number.to_be_bytes())).collect()
    }

    #[test]
    fn tiles_have_the_roots_and_proofs_of_the_tree_they_are_cut_from() {
        let tree: Tree = leaves(66_000).into_iter().collect();
        let tiles = Tiles::of_leaves(leaves(66_000));
        for size in [0, 1, 2, 3, 255, 256, 257, 511, 1_000, 65_535, 65_536, 65_537, 66_000] {
            assert_eq!(tiles.root(size), tree.root_at(size), "{size}");
        }
        for (index, size) in [(0, 1), (3, 7), (255, 256), (255, 300), (299, 300), (65_000, 66_000)] {
            assert_eq!(tiles.inclusion(index, size), tree.inclusion(index, size), "{index} of {size}");
        }
        for (old, new) in [(1, 2), (3, 7), (256, 257), (300, 65_537), (65_536, 66_000)] {
            assert_eq!(tiles.consistency(old, new), tree.consistency(old, new), "{old} to {new}");
        }
    }

    #[test]
    fn only_tiles_that_changed_are_written_again() {
        let tiles = Tiles::of_leaves(leaves(514));
        let places = |old| tiles.since(old).iter().map(|tile| (tile.level, tile.place)).collect::<Vec<_>>();
        assert_eq!(places(514), []);
        assert_eq!(places(513), [(0, 2)]);
        assert_eq!(places(512), [(0, 2)]);
        assert_eq!(places(511), [(0, 1), (0, 2), (1, 0)]);
        assert_eq!(places(0), [(0, 0), (0, 1), (0, 2), (1, 0)]);
    }

    #[test]
    fn a_tree_cut_back_is_the_tree_it_was() {
        let mut tiles = Tiles::of_leaves(leaves(514));
        tiles.truncate(300);
        assert_eq!((tiles.size(), tiles.root(300)), (300, Tiles::of_leaves(leaves(300)).root(300)));
        leaves(514).into_iter().skip(300).for_each(|leaf| tiles.push(leaf));
        assert_eq!(tiles.root(514), Tiles::of_leaves(leaves(514)).root(514));
    }

    #[test]
    fn what_was_never_there_is_missing_and_no_panic() {
        let tiles = Tiles::of_leaves(leaves(3));
        assert_eq!(tiles.root(4), Err(MerkleError::Missing { level: 2, index: 0 }));
        assert!(tiles.inclusion(u64::MAX - 1, u64::MAX).is_err());
        assert!(tiles.consistency(3, 5).is_err());
    }
}
