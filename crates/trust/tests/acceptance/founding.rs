//! How an organization begins: a good genesis policy, bent in one place.

use countersign_trust::chain::{Chain, ChainError, Inclusion};
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::statement::policy::{Policy, PolicyError};

use crate::organization::{LOG, Log, WITNESSES, genesis_policy, sign};

fn begin(edit: impl FnOnce(&mut Policy)) -> Result<u64, ChainError> {
    let mut policy = genesis_policy();
    edit(&mut policy);
    let signed = sign(&policy, &["anna", "bo"]);
    let org = OrgId(signed.hash().0);
    let mut log = Log::new(LOG);
    let index = log.append(&signed.leaf(&org).unwrap());
    let proof = log.proof(index, &WITNESSES);
    Chain::begin(org, &signed, Inclusion::Proved(&proof)).map(|chain| chain.policy().body.number)
}

#[test]
fn it_is_the_first_of_no_organization_and_follows_nothing() {
    assert_eq!(begin(|_| ()), Ok(1));
    let genesis = |number| Err(ChainError::Policy(PolicyError::Genesis { number }));
    assert_eq!(begin(|policy| policy.number = 0), genesis(0), "number 0");
    assert_eq!(begin(|policy| policy.number = 2), genesis(2), "number 2");
    assert_eq!(begin(|policy| policy.org = Some(OrgId([9; 32]))), genesis(1), "of an organization");
    let another = Sha256::of(b"another policy");
    assert_eq!(begin(|policy| policy.previous = [another].into()), genesis(1), "after another");
    let second = |policy: &mut Policy| {
        (policy.number, policy.org, policy.previous) = (0, Some(OrgId([9; 32])), [another].into());
    };
    assert_eq!(begin(second), genesis(0), "number 0 that names both");
}
