//! What a device was sent, read back from the records: the Clears, and the place of the device's challenge in them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_trust::ids::Sha256;
use countersign_trust::merkle::{MerkleError, Tree, leaf_hash};
use countersign_wire::http::ClearEvidence;

use crate::store::job_device::EvidenceRow;

/// Why records do not show what was sent: nothing writes such.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The device's challenge is not among those of its round.
    #[error("the challenge {0} is none of its round")]
    Challenge(String),
    /// A list that cannot be read.
    #[error("what the beacons said cannot be read: {0}")]
    Notes(#[from] serde_json::Error),
    /// A round of no challenges.
    #[error(transparent)]
    Tree(#[from] MerkleError),
}

/// The Clears of a row; of one that names no round those that stand in it.
pub fn clears(row: &EvidenceRow) -> Result<Vec<ClearEvidence>, EvidenceError> {
    let (Some(challenges), Some(notes)) = (&row.challenges, &row.notes) else {
        return Ok(serde_json::from_str(row.clears.as_deref().unwrap_or("[]"))?);
    };
    let unknown = || EvidenceError::Challenge(row.challenge.clone());
    let challenge: Sha256 = row.challenge.parse().map_err(|_| unknown())?;
    let challenges = challenges.as_chunks::<32>().0;
    let place = challenges.iter().position(|other| *other == challenge.0).ok_or_else(unknown)?;
    let tree: Tree = challenges.iter().map(|challenge| leaf_hash(challenge)).collect();
    let (index, size) = (u64::try_from(place).unwrap_or(u64::MAX), tree.size());
    let path: Vec<String> = tree.inclusion(index, size)?.iter().map(|hash| STANDARD.encode(hash.0)).collect();
    let notes: Vec<String> = serde_json::from_str(notes)?;
    Ok(notes.into_iter().map(|note| ClearEvidence { note, index, size, path: path.clone() }).collect())
}
