//! Checking proofs. Their shape follows from the sizes alone, so that their length is known before anything is hashed.

use super::{EMPTY_ROOT, MerkleError, node_hash, small};
use crate::ids::Sha256;

/// Checks that the leaf with hash `leaf_hash` is number `index` of the tree with this size and root.
///
/// A proof alone also fits some other sizes: the size must come from where the root comes from.
pub fn verify_inclusion(
    leaf_hash: Sha256,
    index: u64,
    size: u64,
    proof: &[Sha256],
    root: Sha256,
) -> Result<(), MerkleError> {
    if index >= size {
        return Err(MerkleError::Index { index, size });
    }
    let climb = Climb::of(index, size);
    length_is(climb.length(), proof)?;
    let found = climb.root(leaf_hash, proof, false);
    if found == root { Ok(()) } else { Err(MerkleError::Root { expected: root, found }) }
}

/// Checks that the tree of `old_size` leaves with `old_root` is how the tree of `new_size` leaves with `new_root`
/// began. The proof is empty where `old_size` is 0 or `new_size`; a tree without leaves has [`EMPTY_ROOT`].
pub fn verify_consistency(
    old_size: u64,
    old_root: Sha256,
    new_size: u64,
    new_root: Sha256,
    proof: &[Sha256],
) -> Result<(), MerkleError> {
    if old_size > new_size {
        return Err(MerkleError::Shrunk { old: old_size, new: new_size });
    }
    if old_size == 0 || old_size == new_size {
        length_is(0, proof)?;
        if old_size == 0 && old_root != EMPTY_ROOT {
            return Err(MerkleError::OldRoot { expected: old_root, found: EMPTY_ROOT });
        }
        return if old_size == 0 && new_size > 0 || old_root == new_root {
            Ok(())
        } else {
            Err(MerkleError::Root { expected: new_root, found: old_root })
        };
    }
    let climb = Climb::of(old_size - 1, new_size).above(old_size.trailing_zeros());
    let (expected, (seed, path)) = match proof.split_first() {
        _ if old_size.is_power_of_two() => (climb.length(), (old_root, proof)),
        Some((seed, path)) => (climb.length() + 1, (*seed, path)),
        None => (climb.length() + 1, (old_root, proof)),
    };
    length_is(expected, proof)?;
    let found = climb.root(seed, path, true);
    if found != old_root {
        return Err(MerkleError::OldRoot { expected: old_root, found });
    }
    let found = climb.root(seed, path, false);
    if found == new_root { Ok(()) } else { Err(MerkleError::Root { expected: new_root, found }) }
}

fn length_is(expected: usize, proof: &[Sha256]) -> Result<(), MerkleError> {
    let found = proof.len();
    if found == expected { Ok(()) } else { Err(MerkleError::Length { expected, found }) }
}

/// The way from a place in a tree up to its root.
struct Climb {
    /// Bit i says whether the sibling at step i stands to the left, below `inner`; beyond, all do.
    lefts: u64,
    inner: usize,
    border: usize,
}

impl Climb {
    fn of(index: u64, size: u64) -> Self {
        let inner = u64::BITS - (index ^ (size - 1)).leading_zeros();
        let border = index.checked_shr(inner).unwrap_or(0).count_ones();
        Self { lefts: index, inner: small(inner).into(), border: small(border).into() }
    }

    /// The same way, begun `levels` steps higher.
    fn above(self, levels: u32) -> Self {
        let inner = self.inner.saturating_sub(small(levels).into());
        Self { lefts: self.lefts >> levels, inner, border: self.border }
    }

    fn length(&self) -> usize {
        self.inner + self.border
    }

    /// The root reached from `seed`; `before`: as it was when nothing stood to the right of `seed` yet.
    fn root(&self, seed: Sha256, path: &[Sha256], before: bool) -> Sha256 {
        path.iter().enumerate().fold(seed, |node, (step, sibling)| {
            if step >= self.inner || self.lefts >> step & 1 == 1 {
                node_hash(sibling, &node)
            } else if before {
                node
            } else {
                node_hash(&node, sibling)
            }
        })
    }
}
