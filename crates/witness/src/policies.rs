//! Which organizations' policy chains this witness was shown, and what becomes of the next one.

use std::collections::{BTreeMap, BTreeSet};

use countersign_trust::chain::{Chain, ChainError, Inclusion, Taken};
use countersign_trust::delivery::{read_sequence, write_sequence};
use countersign_trust::envelope::{EnvelopeError, Logged, Signed};
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::note::VerifierKey;

/// Every organization's chain, as far as this witness was shown it.
pub type Chains = BTreeMap<OrgId, Chain>;

/// How an item of a kept sequence begins that says which policy of the recovery set, before it, came into force.
const RECOVERED: &str = "recovered ";

/// The chain as a sequence that [`replay`] reads. A policy that was recovered did not have the quorum's signatures, so it is
/// followed by a line that says so.
pub fn to_keep(chain: &Chain, recovered: &BTreeSet<Sha256>) -> String {
    let mut items = Vec::new();
    for held in chain.policies() {
        items.push(held.signed.to_string());
        if recovered.contains(&held.hash) {
            items.push(format!("{RECOVERED}{}\n", held.hash));
        }
    }
    items.extend(chain.waiting().iter().map(|held| held.signed.to_string()));
    write_sequence(&items)
}

/// Reads what [`to_keep`] wrote: the chain, and which of its policies were recovered.
pub fn replay(org: OrgId, text: &str) -> Result<(Chain, BTreeSet<Sha256>), PoliciesError> {
    let (mut chain, mut recovered) = (None, BTreeSet::new());
    for (item, number) in read_sequence(text).ok_or(PoliciesError::Sequence)?.into_iter().zip(1..) {
        match item.strip_prefix(RECOVERED).map(|hash| hash.trim_end().parse::<Sha256>()) {
            Some(hash) => {
                let hash = hash.map_err(|_| PoliciesError::Sequence)?;
                let held: &mut Chain = chain.as_mut().ok_or(PoliciesError::Sequence)?;
                held.recover(&hash).map_err(|error| PoliciesError::Refused { number, hash, error })?;
                recovered.insert(hash);
            }
            None => {
                take(&mut chain, org, item, number)?;
            }
        }
    }
    chain.map(|chain| (chain, recovered)).ok_or(PoliciesError::Sequence)
}

/// Why policies are not taken. Of one request either all are taken or none.
#[derive(Debug, thiserror::Error)]
pub enum PoliciesError {
    /// Not a sequence of envelopes.
    #[error(
        "no sequence of envelopes: write `envelope <length in bytes>` before each, and send at least one"
    )]
    Sequence,
    /// One of them is no envelope.
    #[error("envelope {number}: {error}")]
    Envelope {
        /// Counted from 1.
        number: usize,
        /// What is wrong with it.
        error: EnvelopeError,
    },
    /// The configuration does not admit the organization.
    #[error("this witness does not serve {0}: ask its operator to add it to `organizations`")]
    NotServed(OrgId),
    /// A policy is refused.
    #[error("policy {number} of this request, {hash}, is refused: {error}; none of this request was taken")]
    Refused {
        /// Counted from 1.
        number: usize,
        /// Its hash.
        hash: Sha256,
        /// Why.
        error: ChainError,
    },
    /// The policies do not ask this witness for anything.
    #[error(
        "neither policy {number}, the newest of this request, nor the one before it names this witness, {me}"
    )]
    NotNamed {
        /// The number of the newest policy.
        number: u64,
        /// This witness's key.
        me: VerifierKey,
    },
    /// Another organization's log has that name.
    #[error("the log `{origin}` was taken on for {owner} before: give this organization's log another name")]
    Claimed {
        /// The log's name.
        origin: String,
        /// Whose it is.
        owner: OrgId,
    },
}

/// A chain with what a request adds to it.
pub struct Extended {
    /// The whole chain.
    pub chain: Chain,
    /// For each envelope of the request its hash and what became of it.
    pub taken: Vec<(Sha256, Taken)>,
}

/// Reads and judges policies by all but inclusion: from the genesis policy on, or those that follow what is held.
pub fn extend(chains: &Chains, org: OrgId, body: &str, me: &VerifierKey) -> Result<Extended, PoliciesError> {
    let extended = judge(chains.get(&org).cloned(), org, body)?;
    asks_for(&extended.chain, chains.contains_key(&org), me)?;
    nobody_elses(chains, &extended.chain)?;
    Ok(extended)
}

/// With a proof or without: the proof is not looked at, since nothing in a new log can have been cosigned.
fn read(text: &str) -> Result<Signed, EnvelopeError> {
    match Signed::from_text(text) {
        Ok(signed) => Ok(signed),
        Err(EnvelopeError::Tail { .. }) => Logged::from_text(text).map(|logged| logged.signed),
        Err(error) => Err(error),
    }
}

/// Adds the policies of `body` to the chain that is held, or begins one: whether it is this witness's business is
/// not asked.
pub fn judge(held: Option<Chain>, org: OrgId, body: &str) -> Result<Extended, PoliciesError> {
    let texts = read_sequence(body).filter(|texts| !texts.is_empty()).ok_or(PoliciesError::Sequence)?;
    let mut chain = held;
    let mut taken = Vec::new();
    for (text, number) in texts.into_iter().zip(1..) {
        taken.push(take(&mut chain, org, text, number)?);
    }
    chain.map(|chain| Extended { chain, taken }).ok_or(PoliciesError::Sequence)
}

/// Takes one envelope, the `number`th of its request, or begins the chain with it.
fn take(
    chain: &mut Option<Chain>,
    org: OrgId,
    text: &str,
    number: usize,
) -> Result<(Sha256, Taken), PoliciesError> {
    let signed = &read(text).map_err(|error| PoliciesError::Envelope { number, error })?;
    let hash = signed.hash();
    let refused = |error| PoliciesError::Refused { number, hash, error };
    let outcome = match chain {
        Some(chain) => chain.take_policy(signed, Inclusion::WaivedForWitness).map_err(refused)?,
        None => {
            *chain = Some(Chain::begin(org, signed, Inclusion::WaivedForWitness).map_err(refused)?);
            Taken::New
        }
    };
    Ok((hash, outcome))
}

/// A new organization must ask for this witness; one that is known is believed also when it takes leave.
fn asks_for(chain: &Chain, known: bool, me: &VerifierKey) -> Result<(), PoliciesError> {
    let mut last_two = chain.policies().iter().rev().take(2);
    if known || last_two.any(|held| held.body.witnesses.keys.contains(me)) {
        return Ok(());
    }
    Err(PoliciesError::NotNamed { number: chain.policy().body.number, me: me.clone() })
}

/// A log belongs to the organization that came with it first: else anybody could end or take over another's log.
fn nobody_elses(chains: &Chains, chain: &Chain) -> Result<(), PoliciesError> {
    for policy in chain.policies() {
        let origin = policy.body.log.key.name();
        if let Some(owner) = owner(chains, origin).filter(|owner| *owner != chain.org()) {
            return Err(PoliciesError::Claimed { origin: origin.to_owned(), owner });
        }
    }
    Ok(())
}

/// The organization whose policies name the log `origin`, or ever did.
pub fn owner(chains: &Chains, origin: &str) -> Option<OrgId> {
    let names = |chain: &Chain| chain.policies().iter().any(|held| held.body.log.key.name() == origin);
    chains.iter().find(|(_, chain)| names(chain)).map(|(org, _)| *org)
}
