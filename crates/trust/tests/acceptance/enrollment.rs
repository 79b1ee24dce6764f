//! Which device is whose: a batch and a good join, bent in one place.

use countersign_trust::chain::ChainError;
use countersign_trust::checkpoint::LogError;
use countersign_trust::envelope::Logged;
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::join::{
    EnrollError, Enrolled, Join, check_enroll, enrolled_by_join, enrolled_directly, join_leaf, retired,
};
use countersign_trust::note::{KeyKind, NoteSigner};
use countersign_trust::statement::enroll::{Batch, Device, Enroll, Retire, What};
use countersign_trust::time::Time;

use crate::organization::{
    Enrollment, NOON, Organization, TILLS, WITNESSES, device_id, device_signer, labels, names, note_key,
    sign, witness_key, word,
};

fn check(org: &Organization, shown: &Enrollment) -> Result<Enrolled, EnrollError> {
    enrolled_by_join(&org.chain, &shown.enroll, &shown.join, &shown.proof)
}

/// A join of the first till, signed by these and logged.
fn join(
    org: &mut Organization,
    enroll: &Logged,
    signers: &[&NoteSigner],
    bend: impl FnOnce(&mut Join),
) -> Enrollment {
    let (batch, device) = (enroll.signed.hash(), device_signer(TILLS[0]).verifier().clone());
    let mut wish = Join { org: org.org, batch, device, host_key: word("") };
    bend(&mut wish);
    let mut note = signers[0].note(wish.to_string()).unwrap();
    signers[1..].iter().for_each(|signer| note.add(signer.sign(note.text()).unwrap()).unwrap());
    let index = org.log.append(&join_leaf(&org.org, &note));
    Enrollment { enroll: enroll.clone(), join: note, proof: org.log.proof(index, &WITNESSES) }
}

/// A batch as bent, signed by these and logged.
fn batch(org: &mut Organization, keys: &[&str], bend: impl FnOnce(&mut Enroll)) -> Logged {
    let batch = Batch {
        token: note_key("token").verifier().clone(),
        site: word("Smygehamn 12"),
        labels: labels(&[("class", "till")]),
        count: 10,
        until: Time(NOON + 86_400),
    };
    let mut enroll = Enroll { org: org.org, id: org.id(), what: What::Batch(batch) };
    bend(&mut enroll);
    org.log(sign(&enroll, keys))
}

fn both() -> [NoteSigner; 2] {
    [device_signer(TILLS[0]), note_key("token")]
}

#[test]
fn a_join_by_token_and_device_makes_a_device_with_the_batchs_labels() {
    let mut org = Organization::found();
    let shown = org.enroll(TILLS[0]);
    let enrolled = check(&org, &shown).unwrap();
    assert_eq!(enrolled.device, device_id(TILLS[0]));
    let expected = labels(&[("class", "till"), ("region", "south"), ("site", "Smygehamn 12")]);
    assert_eq!(enrolled.labels, expected);
    assert_eq!((enrolled.place.log, enrolled.place.index), (0, 2));
}

#[test]
fn a_join_bent_in_one_place_is_refused() {
    let mut org = Organization::found();
    let enroll = batch(&mut org, &["anna", "bo"], |_| ());
    let (own, token) = (device_signer(TILLS[0]), note_key("token"));
    let shown = join(&mut org, &enroll, &[&own, &token], |_| ());
    assert!(check(&org, &shown).is_ok());

    let shown = join(&mut org, &enroll, &[&own], |_| ());
    assert_eq!(check(&org, &shown), Err(EnrollError::Unsigned("token's")), "without the token");
    let shown = join(&mut org, &enroll, &[&token], |_| ());
    assert_eq!(check(&org, &shown), Err(EnrollError::Unsigned("device's")), "for another's key");
    let shown = join(&mut org, &enroll, &[&own, &token], |wish| wish.batch = Sha256([9; 32]));
    let expected = enroll.signed.hash();
    let other = EnrollError::OtherBatch { expected, found: Sha256([9; 32]) };
    assert_eq!(check(&org, &shown), Err(other), "of another batch");
    let shown = join(&mut org, &enroll, &[&own, &token], |wish| wish.org = OrgId([9; 32]));
    let other = EnrollError::OtherBatch { expected, found: expected };
    assert_eq!(check(&org, &shown), Err(other), "of another organization");

    let forged =
        NoteSigner::new("till-number-one", KeyKind::Ed25519, &Sha256::of(TILLS[0].as_bytes()).0).unwrap();
    let shown = join(&mut org, &enroll, &[&forged, &token], |wish| wish.device = forged.verifier().clone());
    let name = EnrollError::KeyName { expected: device_id(TILLS[0]), found: "till-number-one".to_owned() };
    assert_eq!(check(&org, &shown), Err(name), "under another name than its key's hash");

    let mut shown = join(&mut org, &enroll, &[&own, &token], |_| ());
    shown.join = own.note(format!("{}more\n", shown.join.text())).unwrap();
    assert!(matches!(check(&org, &shown), Err(EnrollError::Text(_))), "with a line more");
}

#[test]
fn a_join_that_is_not_in_the_log_is_refused() {
    let mut org = Organization::found();
    let enroll = batch(&mut org, &["anna", "bo"], |_| ());
    let [own, token] = both();
    let mut shown = join(&mut org, &enroll, &[&own, &token], |_| ());
    shown.proof = org.log.proof(shown.proof.index, &WITNESSES[..2]);
    let few = LogError::Witnesses { found: 2, known: 4, need: 3.try_into().unwrap() };
    assert_eq!(check(&org, &shown), Err(EnrollError::Chain(ChainError::Log(few))));
    shown.proof = org.log.proof(0, &WITNESSES);
    assert!(
        matches!(check(&org, &shown), Err(EnrollError::Chain(ChainError::UnknownSigners))),
        "before any policy"
    );
    shown.proof = org.log.proof(1, &WITNESSES);
    let elsewhere = check(&org, &shown);
    assert!(
        matches!(elsewhere, Err(EnrollError::Chain(ChainError::Log(LogError::Inclusion(_))))),
        "{elsewhere:?}"
    );
}

#[test]
fn a_batch_bent_in_one_place_enrolls_nobody() {
    let [own, token] = both();
    let of = |keys: &[&str], bend: fn(&mut Enroll)| {
        let mut org = Organization::found();
        let enroll = batch(&mut org, keys, bend);
        let shown = join(&mut org, &enroll, &[&own, &token], |_| ());
        check(&org, &shown).unwrap_err()
    };
    let quorum = ChainError::Quorum { got: 1, need: 2, role: word("owner"), policy: 1 };
    assert_eq!(of(&["anna"], |_| ()), EnrollError::Chain(quorum));
    assert_eq!(of(&["mallory", "trudy"], |_| ()), EnrollError::Chain(ChainError::UnknownSigners));
    let other = of(&["anna", "bo"], |enroll| enroll.org = OrgId([9; 32]));
    let (expected, found) = (Organization::found().org, OrgId([9; 32]).to_string());
    assert_eq!(other, EnrollError::Chain(ChainError::Organization { expected, found }));
    let site = of(&["anna", "bo"], |enroll| {
        let What::Batch(batch) = &mut enroll.what else { panic!("no batch") };
        batch.labels.insert(word("site"), word("Ystad 1"));
    });
    assert_eq!(site, EnrollError::SiteLabel);
    let token_of_another = of(&["anna", "bo"], |enroll| {
        let What::Batch(batch) = &mut enroll.what else { panic!("no batch") };
        batch.token = note_key("another-token").verifier().clone();
    });
    assert_eq!(token_of_another, EnrollError::Unsigned("token's"));
}

#[test]
fn one_device_is_enrolled_by_name_and_only_so() {
    let mut org = Organization::found();
    let device = Device {
        key: device_signer(TILLS[0]).verifier().clone(),
        host_key: word(""),
        site: word("Ystad 1"),
        labels: labels(&[]),
        seq: 1,
        previous: None,
    };
    let enroll = Enroll { org: org.org, id: org.id(), what: What::Device(device) };
    let enroll = org.log(sign(&enroll, &["bo", "cia"]));
    let enrolled = enrolled_directly(&org.chain, &enroll).unwrap();
    assert_eq!((enrolled.device, enrolled.labels), (device_id(TILLS[0]), labels(&[("site", "Ystad 1")])));
    let shown = join(&mut org, &enroll, &[&device_signer(TILLS[0]), &note_key("token")], |_| ());
    assert_eq!(check(&org, &shown), Err(EnrollError::NotThat("a batch")));
    let whole_batch = batch(&mut org, &["anna", "bo"], |_| ());
    assert_eq!(enrolled_directly(&org.chain, &whole_batch), Err(EnrollError::NotThat("one device")));
}

#[test]
fn an_enrollment_is_judged_under_the_policy_in_force_at_its_leaf() {
    let mut org = Organization::found();
    let early = batch(&mut org, &["anna", "cia"], |_| ());
    org.decide(|policy| {
        policy.people.remove(&word("cia"));
        policy.roles.values_mut().for_each(|people| *people = names(&["anna", "bo"]));
    });
    let late = batch(&mut org, &["anna", "cia"], |_| ());
    let [own, token] = both();
    let shown = join(&mut org, &early, &[&own, &token], |_| ());
    assert!(check(&org, &shown).is_ok(), "Cia was there when it was logged");
    let shown = join(&mut org, &late, &[&own, &token], |_| ());
    let quorum = ChainError::Quorum { got: 1, need: 2, role: word("owner"), policy: 2 };
    assert_eq!(check(&org, &shown), Err(EnrollError::Chain(quorum)), "and not any more");
}

#[test]
fn an_enrollment_is_seen_by_the_witnesses_in_force_or_later_ones() {
    let mut org = Organization::found();
    let early = batch(&mut org, &["anna", "bo"], |_| ());
    let old_index = early.proof.index;
    let new = ["witness-5", "witness-6", "witness-7", "witness-8"];
    org.decide(|policy| {
        policy.witnesses.keys = new.iter().map(|name| witness_key(name).verifier().clone()).collect();
    });
    let late = batch(&mut org, &["anna", "bo"], |_| ());
    let shown = |logged: &Logged, index: u64, witnesses: &[&str]| {
        let proof = org.log.proof(index, witnesses);
        check_enroll(&org.chain, &Logged { proof, ..logged.clone() }).map(|_| ())
    };
    assert_eq!(shown(&early, old_index, &WITNESSES), Ok(()), "by those of then");
    assert_eq!(shown(&early, old_index, &new), Ok(()), "by those of a later policy");
    assert_eq!(shown(&late, late.proof.index, &new), Ok(()));
    let few = LogError::Witnesses { found: 0, known: 4, need: 3.try_into().unwrap() };
    let retired = Err(EnrollError::Chain(ChainError::Log(few)));
    assert_eq!(shown(&late, late.proof.index, &WITNESSES), retired, "by those who had retired");
}

#[test]
fn the_end_of_another_device_is_not_this_ones() {
    let mut org = Organization::found();
    let shown = org.enroll(TILLS[0]);
    let held = check(&org, &shown).unwrap();
    let mut gone = |till: &str| {
        let what = What::Retire(Retire { device: device_id(till) });
        let enroll = Enroll { org: org.org, id: org.id(), what };
        org.log(sign(&enroll, &["anna", "bo"]))
    };
    let (mine, others) = (gone(TILLS[0]), gone(TILLS[1]));
    assert_eq!(retired(&org.chain, &held, &mine), Ok(mine.signed.hash()));
    let other = EnrollError::OtherDevice { mine: device_id(TILLS[0]), found: device_id(TILLS[1]) };
    assert_eq!(retired(&org.chain, &held, &others), Err(other));
    let batch = batch(&mut org, &["anna", "bo"], |_| ());
    let not_that = EnrollError::NotThat("a device that leaves");
    assert_eq!(retired(&org.chain, &held, &batch), Err(not_that));
}
