//! Proofs of places in trees.

use countersign_trust::ids::Sha256;
use countersign_trust::merkle::{Tree, leaf_hash, verify_consistency, verify_inclusion};
use countersign_trust::sshwire::Reader;

/// Any numbers and hashes at all are judged without an accident; in a small tree, a proof holds only if it is the one the
/// tree makes, or one of another number of leaves that has the same shape.
pub fn proofs(data: &[u8]) {
    let mut reader = Reader::new(data);
    let (Ok(first), Ok(second)) = (reader.u64(), reader.u64()) else { return };
    let (Ok(left), Ok(right)) = (reader.array().map(Sha256), reader.array().map(Sha256)) else { return };
    let (hashes, _) = reader.rest().as_chunks::<32>();
    let proof: Vec<Sha256> = hashes.iter().map(|bytes| Sha256(*bytes)).collect();
    refused_or_small(verify_inclusion(left, first, second, &proof, right).err());
    refused_or_small(verify_consistency(first, left, second, right, &proof).err());

    let size = second % 40 + 1;
    let tree: Tree = (0..size).map(|leaf| leaf_hash(&leaf.to_be_bytes())).collect();
    let index = first % size;
    let leaf = leaf_hash(&index.to_be_bytes());
    let holds = verify_inclusion(leaf, index, size, &proof, tree.root()).is_ok();
    assert_eq!(holds, tree.inclusion(index, size).as_ref() == Ok(&proof), "leaf {index} of {size}");
    let old = tree.root_at(index).unwrap();
    let holds = verify_consistency(index, old, size, tree.root(), &proof).is_ok();
    assert_eq!(holds, tree.consistency(index, size).as_ref() == Ok(&proof), "{index} to {size}");
}

fn refused_or_small(error: Option<impl std::fmt::Display>) {
    error.iter().for_each(super::says_little);
}
