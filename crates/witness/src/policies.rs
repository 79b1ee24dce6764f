//! Which organizations' policy chains this witness was shown, and what becomes of the next one.

use std::collections::BTreeMap;

use countersign_trust::chain::{Chain, ChainError, Held, Inclusion, RECOVERED, Taken};
use countersign_trust::delivery::{read_sequence, write_sequence};
use countersign_trust::envelope::{EnvelopeError, Logged, Signed};
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::note::{Note, NoteError, VerifierKey};
use countersign_trust::statement::policy::Policy;

/// Every organization's chain, as far as this witness was shown it.
pub type Chains = BTreeMap<OrgId, Chain>;

/// The chain as a sequence that [`judge`] reads: each policy, with the beacons' words that put it in force, and what waits.
pub fn to_keep(chain: &Chain) -> String {
    let policies = chain.policies().iter().chain(chain.waiting());
    let items = policies.flat_map(|held| {
        let words = chain.words(&held.hash).map(ToString::to_string);
        std::iter::once(held.signed.to_string()).chain(words)
    });
    write_sequence(&items.collect::<Vec<_>>())
}

/// How many organizations are taken on where anybody may be. Those that a configuration lists are taken on in any case.
pub const MOST_ORGANIZATIONS: usize = 1_024;

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
    /// One of them begins like a beacon's word and is no note.
    #[error("envelope {number}: {error}")]
    Note {
        /// Counted from 1.
        number: usize,
        /// What is wrong with it.
        error: NoteError,
    },
    /// The configuration does not admit the organization.
    #[error("this witness does not serve {0}: ask its operator to add it to `organizations`")]
    NotServed(OrgId),
    /// A policy, or a beacon's word for one, is refused.
    #[error("envelope {number} of this request, {hash}, is refused: {error}; none of this request was taken")]
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
        "neither policy {number}, the newest of this request, nor the one before it, nor one that waits names this witness, {me}"
    )]
    NotNamed {
        /// The number of the newest policy.
        number: u64,
        /// This witness's key.
        me: VerifierKey,
    },
    /// Anybody's logs may be taken on, and too many are.
    #[error(
        "this witness has taken on {MOST_ORGANIZATIONS} organizations, which is all it can: ask its operator to list whose logs it takes on in `organizations`"
    )]
    TooMany,
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

/// Whether what was judged is this witness's business.
pub fn admit(chains: &Chains, chain: &Chain, me: &VerifierKey) -> Result<(), PoliciesError> {
    asks_for(chain, chains.contains_key(&chain.org()), me)?;
    nobody_elses(chains, chain)
}

/// With a proof or without: the proof is not looked at, since nothing in a new log can have been cosigned.
fn read(text: &str) -> Result<Signed, EnvelopeError> {
    match Signed::from_text(text) {
        Ok(signed) => Ok(signed),
        Err(EnvelopeError::Tail { .. }) => Logged::from_text(text).map(|logged| logged.signed),
        Err(error) => Err(error),
    }
}

/// Adds the policies of `body` to the chain that is held, or begins one, by all but inclusion: whether it is this witness's
/// business is [`admit`]'s.
pub fn judge(held: Option<Chain>, org: OrgId, body: &str) -> Result<Extended, PoliciesError> {
    let texts = read_sequence(body).filter(|texts| !texts.is_empty()).ok_or(PoliciesError::Sequence)?;
    let mut chain = held;
    let mut taken = Vec::new();
    for (text, number) in texts.into_iter().zip(1..) {
        taken.push(take(&mut chain, org, text, number)?);
    }
    chain.map(|chain| Extended { chain, taken }).ok_or(PoliciesError::Sequence)
}

/// Takes one envelope or a beacon's word, the `number`th of its request, or begins the chain with it.
fn take(
    chain: &mut Option<Chain>,
    org: OrgId,
    text: &str,
    number: usize,
) -> Result<(Sha256, Taken), PoliciesError> {
    if text.lines().next() == Some(RECOVERED) {
        return take_word(chain, text, number);
    }
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

/// Beacons' word that a policy of the recovery set is in force. Nothing else puts one in force here: a witness has no clock for it.
fn take_word(chain: &mut Option<Chain>, text: &str, number: usize) -> Result<(Sha256, Taken), PoliciesError> {
    let note: Note = text.parse().map_err(|error| PoliciesError::Note { number, error })?;
    let hash = Sha256::of(text.as_bytes());
    let chain = chain.as_mut().ok_or(PoliciesError::Sequence)?;
    let taken = chain.take_recovered(&note);
    Ok((hash, taken.map_err(|error| PoliciesError::Refused { number, hash, error })?))
}

/// A new organization must ask for this witness, if only by a policy that waits; one that is known is believed also when it takes leave.
fn asks_for(chain: &Chain, known: bool, me: &VerifierKey) -> Result<(), PoliciesError> {
    let names_me = |held: &Held<Policy>| held.body.witnesses.keys.contains(me);
    if known || chain.policies().iter().rev().take(2).chain(chain.waiting()).any(names_me) {
        return Ok(());
    }
    Err(PoliciesError::NotNamed { number: chain.policy().body.number, me: me.clone() })
}

/// A log belongs to the organization that came with it first: else anybody could end or take over another's log.
fn nobody_elses(chains: &Chains, chain: &Chain) -> Result<(), PoliciesError> {
    for policy in chain.policies().iter().chain(chain.waiting()) {
        let origin = policy.body.log.key.name();
        if let Some(owner) = owner(chains, origin).filter(|owner| *owner != chain.org()) {
            return Err(PoliciesError::Claimed { origin: origin.to_owned(), owner });
        }
    }
    Ok(())
}

/// The organization whose policies name the log `origin`, or ever did, or one that waits does.
pub fn owner(chains: &Chains, origin: &str) -> Option<OrgId> {
    let names = |chain: &Chain| {
        let mut policies = chain.policies().iter().chain(chain.waiting());
        policies.any(|held| held.body.log.key.name() == origin)
    };
    chains.iter().find(|(_, chain)| names(chain)).map(|(org, _)| *org)
}
