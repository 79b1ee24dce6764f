//! Merkle trees over SHA-256 and their proofs, from memory or from any store of nodes.
//!
//! Source: RFC 6962, section 2.1; verification as in RFC 9162, sections 2.1.3.2 and 2.1.4.2.

mod tile;
mod verify;

use alloc::vec::Vec;

use crate::ids::Sha256;
pub use tile::{entries_path, tile_path};
pub use verify::{verify_consistency, verify_inclusion};

/// The root of the tree without leaves: SHA-256 of nothing.
pub const EMPTY_ROOT: Sha256 = Sha256([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
    0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

/// Why a proof does not hold, or cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MerkleError {
    /// The tree has no such leaf.
    #[error("leaf {index} does not stand in a tree of {size} leaves")]
    Index {
        /// The leaf asked for, counted from 0.
        index: u64,
        /// How many leaves the tree has.
        size: u64,
    },
    /// The newer tree is the smaller one.
    #[error("a tree of {old} leaves cannot have become one of {new}")]
    Shrunk {
        /// Leaves before.
        old: u64,
        /// Leaves after.
        new: u64,
    },
    /// A proof of this place has another number of hashes.
    #[error("the proof has {found} hashes, it must have {expected}")]
    Length {
        /// Hashes a proof of this place has.
        expected: usize,
        /// Hashes it has.
        found: usize,
    },
    /// The proof leads to another root (of the newer tree, where there are two).
    #[error("the proof leads to root {found}, the tree's root is {expected}")]
    Root {
        /// The root that was to be reached.
        expected: Sha256,
        /// The root the proof leads to.
        found: Sha256,
    },
    /// The proof leads to another root of the older tree.
    #[error("the proof leads to old root {found}, the older tree's root was {expected}")]
    OldRoot {
        /// The root that was to be reached.
        expected: Sha256,
        /// The root the proof leads to.
        found: Sha256,
    },
    /// The tree in memory has no such node.
    #[error("no complete subtree {index} at level {level}")]
    Missing {
        /// The subtree has 2^level leaves.
        level: u8,
        /// Which of them, counted from 0 at the left.
        index: u64,
    },
}

/// The hash of a leaf with these bytes.
pub fn leaf_hash(leaf: &[u8]) -> Sha256 {
    Sha256::of_parts(&[&[0], leaf])
}

/// The hash of the node above `left` and `right`.
pub fn node_hash(left: &Sha256, right: &Sha256) -> Sha256 {
    Sha256::of_parts(&[&[1], &left.0, &right.0])
}

/// The root of the tree of the first `size` leaves.
///
/// `nodes(level, index)` returns the root of the `index`th complete subtree of 2^level leaves (level 0: leaf
/// hashes); only subtrees that lie wholly below `size` are asked for.
pub fn root_from<E>(size: u64, nodes: &mut impl FnMut(u8, u64) -> Result<Sha256, E>) -> Result<Sha256, E> {
    if size == 0 { Ok(EMPTY_ROOT) } else { subtree(0, size, nodes) }
}

/// The proof that leaf `index` stands in the tree of the first `size` leaves, from the leaf's sibling upwards.
///
/// `nodes` as in [`root_from`].
pub fn inclusion_from<E: From<MerkleError>>(
    index: u64,
    size: u64,
    nodes: &mut impl FnMut(u8, u64) -> Result<Sha256, E>,
) -> Result<Vec<Sha256>, E> {
    if index >= size {
        return Err(MerkleError::Index { index, size }.into());
    }
    let (mut low, mut span) = (0, size);
    let mut path = Vec::new();
    while span > 1 {
        let left = left_part(span);
        if index < low + left {
            path.push(subtree(low + left, span - left, nodes)?);
            span = left;
        } else {
            path.push(subtree(low, left, nodes)?);
            (low, span) = (low + left, span - left);
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of `old` leaves is how the tree of `new` leaves began; empty where `old` is 0 or `new`.
///
/// `nodes` as in [`root_from`].
pub fn consistency_from<E: From<MerkleError>>(
    old: u64,
    new: u64,
    nodes: &mut impl FnMut(u8, u64) -> Result<Sha256, E>,
) -> Result<Vec<Sha256>, E> {
    if old > new {
        return Err(MerkleError::Shrunk { old, new }.into());
    }
    if old == 0 {
        return Ok(Vec::new());
    }
    let (mut low, mut span) = (0, new);
    let mut path = Vec::new();
    while low + span != old {
        let left = left_part(span);
        if old <= low + left {
            path.push(subtree(low + left, span - left, nodes)?);
            span = left;
        } else {
            path.push(subtree(low, left, nodes)?);
            (low, span) = (low + left, span - left);
        }
    }
    // Where the older tree is one complete subtree, the verifier holds this hash already: it is the old root.
    if low > 0 {
        path.push(subtree(low, span, nodes)?);
    }
    path.reverse();
    Ok(path)
}

/// The root over `span` (at least 1) leaves from `low`, a multiple of the first power of two not below `span`.
fn subtree<E>(
    low: u64,
    span: u64,
    nodes: &mut impl FnMut(u8, u64) -> Result<Sha256, E>,
) -> Result<Sha256, E> {
    if span.is_power_of_two() {
        let level = small(span.trailing_zeros());
        return nodes(level, low >> level);
    }
    let left = left_part(span);
    Ok(node_hash(&subtree(low, left, nodes)?, &subtree(low + left, span - left, nodes)?))
}

/// The largest power of two below `span`, which is at least 2.
fn left_part(span: u64) -> u64 {
    1 << (span - 1).ilog2()
}

/// A count of bits of a `u64`, at most 64.
fn small(bits: u32) -> u8 {
    let [low, ..] = bits.to_le_bytes();
    low
}

/// A whole tree in memory, which only grows.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    levels: Vec<Vec<Sha256>>,
    size: u64,
}

impl Tree {
    /// Adds a leaf by its hash (see [`leaf_hash`]).
    pub fn push(&mut self, leaf_hash: Sha256) {
        self.size += 1;
        let mut node = leaf_hash;
        let mut depth = 0;
        loop {
            let Some(level) = self.levels.get_mut(depth) else {
                self.levels.push(alloc::vec![node]);
                return;
            };
            level.push(node);
            let (pairs, []) = level.as_chunks::<2>() else { return };
            let Some([left, right]) = pairs.last() else { return };
            node = node_hash(left, right);
            depth += 1;
        }
    }

    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its root.
    pub fn root(&self) -> Sha256 {
        // What stands unpaired at each level, joined from the right: `root_at` without its error.
        let unpaired = self.levels.iter().filter_map(|level| level.as_chunks::<2>().1.first());
        unpaired
            .fold(None, |right, left| Some(right.map_or(*left, |right| node_hash(left, &right))))
            .unwrap_or(EMPTY_ROOT)
    }

    /// Its root when it had `size` leaves.
    pub fn root_at(&self, size: u64) -> Result<Sha256, MerkleError> {
        root_from(size, &mut |level, index| self.node(level, index))
    }

    /// As [`inclusion_from`].
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Sha256>, MerkleError> {
        inclusion_from(index, size, &mut |level, index| self.node(level, index))
    }

    /// As [`consistency_from`].
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Sha256>, MerkleError> {
        consistency_from(old, new, &mut |level, index| self.node(level, index))
    }

    fn node(&self, level: u8, index: u64) -> Result<Sha256, MerkleError> {
        let place = usize::try_from(index).ok();
        let node = self.levels.get(usize::from(level)).zip(place).and_then(|(nodes, place)| nodes.get(place));
        node.copied().ok_or(MerkleError::Missing { level, index })
    }
}

impl FromIterator<Sha256> for Tree {
    fn from_iter<I: IntoIterator<Item = Sha256>>(leaf_hashes: I) -> Self {
        let mut tree = Self::default();
        leaf_hashes.into_iter().for_each(|leaf| tree.push(leaf));
        tree
    }
}
