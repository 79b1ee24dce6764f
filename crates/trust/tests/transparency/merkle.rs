//! Trees, their proofs and their tiles.

use countersign_trust::ids::Sha256;
use countersign_trust::merkle::{
    EMPTY_ROOT, MerkleError, Tree, entries_path, inclusion_from, leaf_hash, root_from, tile_path,
    verify_consistency, verify_inclusion,
};
use ct_merkle::mem_backed_tree::MemoryBackedTree;

use crate::{leaf, tree};

const LEAVES: u64 = 70;

#[test]
fn roots_and_proofs_are_those_of_another_implementation() {
    let ours = tree(LEAVES);
    let mut theirs = MemoryBackedTree::<sha2::Sha256, Vec<u8>>::new();
    assert_eq!(
        (Tree::default().root(), ours.root_at(0), Sha256::of(b"")),
        (EMPTY_ROOT, Ok(EMPTY_ROOT), EMPTY_ROOT)
    );
    for size in 1..=LEAVES {
        theirs.push(leaf(size - 1));
        let root = Sha256(theirs.root().as_bytes()[..].try_into().unwrap());
        assert_eq!((tree(size).root(), ours.root_at(size)), (root, Ok(root)));
        for index in 0..size {
            let proof = ours.inclusion(index, size).unwrap();
            assert_eq!(bytes_of(&proof), theirs.prove_inclusion(index.try_into().unwrap()).as_bytes());
            let proof = ours.consistency(size - index, size).unwrap();
            assert_eq!(bytes_of(&proof), theirs.prove_consistency(index.try_into().unwrap()).as_bytes());
        }
    }
}

fn bytes_of(proof: &[Sha256]) -> Vec<u8> {
    proof.iter().flat_map(|hash| hash.0).collect()
}

/// The same proof bent in each place, and too short or too long.
fn bent(proof: &[Sha256]) -> Vec<Vec<Sha256>> {
    let mut all: Vec<Vec<Sha256>> = vec![[proof, &[EMPTY_ROOT]].concat(), [&[EMPTY_ROOT], proof].concat()];
    for place in 0..proof.len() {
        let mut other = proof.to_vec();
        other[place].0[place % 32] ^= 1;
        all.push(other);
        let mut shorter = proof.to_vec();
        shorter.remove(place);
        all.push(shorter);
        if place > 0 {
            let mut swapped = proof.to_vec();
            swapped.swap(place - 1, place);
            all.push(swapped);
        }
    }
    all
}

#[test]
fn every_inclusion_proof_verifies_and_none_that_is_bent() {
    let tree = tree(LEAVES);
    for size in 1..=LEAVES {
        let root = tree.root_at(size).unwrap();
        for index in 0..size {
            let (hash, proof) = (leaf_hash(&leaf(index)), tree.inclusion(index, size).unwrap());
            assert_eq!(verify_inclusion(hash, index, size, &proof, root), Ok(()));
            for bent in bent(&proof) {
                assert!(verify_inclusion(hash, index, size, &bent, root).is_err(), "{index} of {size}");
            }
            for other in (0..=size).filter(|other| *other != index) {
                assert!(
                    verify_inclusion(hash, other, size, &proof, root).is_err(),
                    "{index} of {size} as {other}"
                );
            }
            assert!(verify_inclusion(leaf_hash(b"other"), index, size, &proof, root).is_err());
            assert!(verify_inclusion(hash, index, size, &proof, EMPTY_ROOT).is_err());
        }
    }
}

#[test]
fn every_consistency_proof_verifies_and_none_that_is_bent() {
    let tree = tree(LEAVES);
    for new in 0..=LEAVES {
        let new_root = tree.root_at(new).unwrap();
        for old in 0..=new {
            let (old_root, proof) = (tree.root_at(old).unwrap(), tree.consistency(old, new).unwrap());
            let verify = |old, old_root, new_root, proof: &[_]| {
                verify_consistency(old, old_root, new, new_root, proof)
            };
            assert_eq!(verify(old, old_root, new_root, &proof), Ok(()), "{old} of {new}");
            for bent in bent(&proof) {
                assert!(verify(old, old_root, new_root, &bent).is_err(), "{old} of {new}");
            }
            let other = leaf_hash(b"other");
            assert!(verify(old, other, new_root, &proof).is_err(), "{old} of {new}");
            // From nothing every tree that has leaves follows.
            assert_eq!(verify(old, old_root, other, &proof).is_ok(), old == 0 && new > 0, "{old} of {new}");
        }
        let shrunk = MerkleError::Shrunk { old: new + 1, new };
        assert_eq!(verify_consistency(new + 1, new_root, new, new_root, &[]), Err(shrunk.clone()));
        assert_eq!(tree.consistency(new + 1, new), Err(shrunk));
    }
}

#[test]
fn a_refused_proof_says_both_values() {
    let tree = tree(3);
    let (root, hash) = (tree.root(), leaf_hash(&leaf(0)));
    let wrong = |expected, found| Err(MerkleError::Length { expected, found });
    assert_eq!(verify_inclusion(hash, 0, 3, &[], root), wrong(2, 0));
    assert_eq!(verify_inclusion(hash, 3, 3, &[], root), Err(MerkleError::Index { index: 3, size: 3 }));
    assert_eq!(verify_inclusion(hash, 0, u64::MAX, &[], root), wrong(64, 0));
    assert_eq!(verify_inclusion(hash, u64::MAX - 1, u64::MAX, &[], root), wrong(63, 0));
    assert_eq!(verify_consistency(3, root, 4, root, &[]), wrong(3, 0));
    assert_eq!(verify_consistency(u64::MAX - 1, root, u64::MAX, root, &[]), wrong(64, 0));
    assert_eq!(
        verify_inclusion(hash, 0, 1, &[], root),
        Err(MerkleError::Root { expected: root, found: hash })
    );
    assert_eq!(tree.root_at(4), Err(MerkleError::Missing { level: 2, index: 0 }));
    assert_eq!(tree.inclusion(3, 3), Err(MerkleError::Index { index: 3, size: 3 }));
}

#[test]
fn a_tree_of_any_size_is_answered_from_few_nodes() {
    let mut asked = 0;
    let mut nodes = |level: u8, index: u64| {
        asked += 1;
        Ok::<_, MerkleError>(Sha256::of(format!("{level}/{index}").as_bytes()))
    };
    let (index, size) = (1 << 40 | 12345, (1 << 41) - 1);
    let root = root_from(size, &mut nodes).unwrap();
    let proof = inclusion_from(index, size, &mut nodes).unwrap();
    assert_eq!((proof.len(), root == EMPTY_ROOT), (41, false));
    assert!(asked < 200, "{asked}");
}

#[test]
fn tiles_stand_where_another_implementation_looks_for_them() {
    assert_eq!(tile_path(0, 1_234_067, 256), "tile/0/x001/x234/067");
    assert_eq!(tile_path(0, 1234, 5), "tile/0/x001/234.p/5");
    assert_eq!(entries_path(0, 255), "tile/entries/000.p/255");
    for (level, index, width) in [(0, 0, 1), (1, 999, 256), (2, 1000, 17), (63, u64::MAX, 255)] {
        let theirs = tlog_tiles::tile::Tile::new(8, level, index, width.into(), false).path();
        assert_eq!(tile_path(level, index, width), theirs.replacen("tile/8/", "tile/", 1));
    }
}
