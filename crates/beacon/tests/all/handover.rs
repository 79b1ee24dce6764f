//! Handover: a beacon that is new to a policy signs nothing until it knows what those before it knew.

use countersign_trust::clear::Clear;
use countersign_trust::delivery::News;
use countersign_trust::ids::Sha256;
use countersign_trust::note::{Note, VerifierKey};
use countersign_trust::statement::policy::Policy;
use countersign_trust::time::Time;

use crate::organization::{beacon_key, beacons, following, signed};
use crate::stops::{halt_job, resume};
use crate::{Known, Test};

/// Beacons 1 to 3 in the first policy, two needed; in the second, `named` in place of beacon 3.
async fn taken_over(test: &Test, named: &[&VerifierKey]) -> Known {
    let old = [beacon_key(1), beacon_key(2), beacon_key(3)];
    let mut known = Known::of(&[old[0].verifier(), old[1].verifier(), old[2].verifier()]);
    let genesis = known.genesis();
    let second = known.next(Policy { beacons: beacons(2, named), ..following(&known.policy) });
    let told = test.tell(known.org, &[genesis, second]).await;
    assert_eq!(told.status, 200, "{told:?}");
    known
}

/// What beacon `number` hands over if it knows these halts and this resume.
fn word_of(number: u8, known: &Known, policy: Sha256, resume: Option<Sha256>, halts: &[Sha256]) -> Note {
    let halts = halts.iter().copied().collect();
    let clear = Clear { org: known.org, time: Time(1), root: Sha256([0; 32]), policy, resume, halts };
    beacon_key(number).note(clear.to_string()).unwrap()
}

#[tokio::test]
async fn a_new_beacon_is_silent_until_enough_of_those_before_it_have_handed_over() {
    let mut test = Test::new().await;
    let mut known = taken_over(&test, &[&test.key(), beacon_key(1).verifier()]).await;
    let org = known.org;
    let (first, second) = (*known.policy.previous.first().unwrap(), signed(&known.policy).hash());
    let silent = test.ask_clear(org).await;
    assert_eq!(silent.status, 503);
    assert!(silent.body.contains("handover incomplete: 0 of 2 beacons of policy 1"), "{silent:?}");
    assert_eq!(test.get(org, "handover").await.status, 503);
    let halt = halt_job(&known.policy, 1);
    let secret = halt_job(&known.policy, 2);
    test.acknowledged(org, &halt).await;
    let lifts = resume(&known.policy, None, &[Sha256([1; 32])]);

    let good = word_of(1, &known, second, None, &[halt.hash()]);
    let mut other = Known::of(&[&test.key()]);
    other.org = countersign_trust::ids::OrgId([2; 32]);
    let cases = [
        ("no note", 400, "hello".to_owned(), "as a signed note"),
        ("no Clear", 400, beacon_key(1).note("hello\n".to_owned()).unwrap().to_string(), "no Clear"),
        ("another organization's", 400, word_of(1, &other, second, None, &[]).to_string(), "of organization"),
        ("of a stranger", 403, word_of(4, &known, second, None, &[]).to_string(), "no beacon of policy 1"),
        (
            "of this beacon itself",
            403,
            test.signer().note(good.text().to_owned()).unwrap().to_string(),
            "no beacon",
        ),
        (
            "under the old policy",
            409,
            word_of(1, &known, first, None, &[]).to_string(),
            "bring the other beacon",
        ),
        (
            "a halt unknown here",
            409,
            word_of(1, &known, second, None, &[secret.hash()]).to_string(),
            "the halt",
        ),
        (
            "a resume unknown here",
            409,
            word_of(1, &known, second, Some(lifts.hash()), &[]).to_string(),
            "the resume",
        ),
    ];
    for (what, status, body, words) in cases {
        let answer = test.post(org, "handover", body).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert!(answer.body.contains(words), "{what}: {answer:?}");
    }

    for _ in 0..2 {
        let one = test.post(org, "handover", &good).await;
        assert_eq!(one.status, 200);
        assert!(one.body.starts_with("counted: handover incomplete: 1 of 2"), "{one:?}");
        test.restart().await;
        assert_eq!(test.ask_clear(org).await.status, 503, "one beacon counts once");
    }
    test.acknowledged(org, &secret).await;
    let lifts_news = News::Resume(known.log.add(org, &lifts));
    assert_eq!(test.tell(org, &[lifts_news]).await.status, 200);
    let two =
        test.post(org, "handover", word_of(3, &known, second, Some(lifts.hash()), &[secret.hash()])).await;
    assert_eq!(two.body, "counted: this beacon answers challenges\n");
    for _ in 0..2 {
        assert_eq!(test.clear(org).await.halts.len(), 2);
        test.restart().await;
    }
    // Further policies that name it need nothing more.
    let third = known.next(following(&known.policy));
    assert_eq!(test.tell(org, &[third]).await.status, 200);
    assert_eq!(test.ask_clear(org).await.status, 200);
}

#[tokio::test]
async fn all_beacons_can_be_replaced_because_the_dismissed_still_hand_over() {
    let (old, other) = (Test::new().await, Test::new().await);
    let new = Test::new().await;
    let mut known = Known::of(&[&old.key(), &other.key()]);
    let org = known.org;
    let genesis = known.genesis();
    let halt = halt_job(&known.policy, 1);
    let second = known.next(Policy { beacons: beacons(1, &[&new.key()]), ..following(&known.policy) });
    for test in [&old, &other] {
        assert_eq!(test.tell(org, std::slice::from_ref(&genesis)).await.status, 200);
        test.acknowledged(org, &halt).await;
        assert_eq!(test.tell(org, std::slice::from_ref(&second)).await.status, 200);
        assert_eq!(test.clear(org).await.policy, second.hash());
    }
    assert_eq!(new.tell(org, &[genesis, second]).await.status, 200);
    for (test, status) in [(&old, 503), (&other, 200)] {
        let news = test.get(org, "news").await.body;
        assert_eq!(new.post(org, "news", news).await.status, 200);
        let word = test.get(org, "handover").await;
        assert_eq!(new.post(org, "handover", test.note(&word)).await.status, 200);
        assert_eq!(new.ask_clear(org).await.status, status);
    }
    assert!(new.clear(org).await.halts.contains(&halt.hash()));
    let unneeded = old.post(org, "handover", old.get(org, "handover").await.body).await;
    assert_eq!(unneeded.status, 409, "{unneeded:?}");
}

#[tokio::test]
async fn a_beacon_that_comes_back_is_new_again() {
    let test = Test::new().await;
    let one = beacon_key(1);
    let mut known = Known::of(&[&test.key(), one.verifier()]);
    let genesis = known.genesis();
    let with =
        |policy: &Policy, keys: &[&VerifierKey]| Policy { beacons: beacons(1, keys), ..following(policy) };
    let dismissed = known.next(with(&known.policy, &[one.verifier()]));
    let again = known.next(with(&known.policy, &[&test.key(), one.verifier()]));
    assert_eq!(test.tell(known.org, &[genesis]).await.status, 200);
    assert_eq!(test.ask_clear(known.org).await.status, 200);
    assert_eq!(test.tell(known.org, &[dismissed, again]).await.status, 200);
    let silent = test.ask_clear(known.org).await;
    assert!(silent.body.contains("0 of 1 beacons of policy 2"), "{silent:?}");
    let word = word_of(1, &known, signed(&known.policy).hash(), None, &[]);
    assert_eq!(test.post(known.org, "handover", word).await.status, 200);
    assert_eq!(test.ask_clear(known.org).await.status, 200);
}
