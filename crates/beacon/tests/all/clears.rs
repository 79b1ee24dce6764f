//! Clears: what they say, and when there is none.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use countersign_trust::clear::Clear;
use countersign_trust::delivery::News;
use countersign_trust::envelope::Signed;
use countersign_trust::statement::policy::Policy;
use countersign_trust::time::Time;

use crate::client::get;
use crate::organization::{beacon_key, beacons, following};
use crate::stops::{halt_job, resume};
use crate::{Known, ROOT, Test};

#[tokio::test]
async fn a_clear_names_all_that_the_beacon_holds_and_a_restart_changes_nothing() {
    let mut test = Test::new().await;
    let mut known = Known::to(&test).await;
    let org = known.org;
    let mut expected = Clear {
        org,
        time: Time(5_000),
        root: ROOT,
        policy: crate::signed(&known.policy).hash(),
        resume: None,
        halts: BTreeSet::new(),
    };
    assert_eq!(test.clear(org).await, expected);

    let halts = [halt_job(&known.policy, 1), halt_job(&known.policy, 2)];
    for halt in &halts {
        test.acknowledged(org, halt).await;
    }
    expected.halts = halts.iter().map(Signed::hash).collect();
    assert_eq!(test.clear(org).await.halts, expected.halts);

    let lifts = resume(&known.policy, None, &[halts[0].hash()]);
    let resume = News::Resume(known.log.add(org, &lifts));
    let second = Policy { resumes: [lifts.hash()].into(), ..following(&known.policy) };
    let second = known.next(second);
    assert_eq!(test.tell(org, &[resume, second]).await.status, 200);
    expected.policy = crate::signed(&known.policy).hash();
    expected.resume = Some(lifts.hash());
    expected.halts.remove(&halts[0].hash());
    for time in [5_007, 5_100] {
        test.clock.store(time, Ordering::SeqCst);
        expected.time = Time(time);
        assert_eq!(test.clear(org).await, expected);
        test.restart().await;
    }
}

#[tokio::test]
async fn what_is_no_root_and_who_is_not_known_gets_a_sentence() {
    let test = Test::new().await;
    let known = Known::to(&test).await;
    for body in [String::new(), format!("{ROOT}"), format!("{ROOT}\n\n"), "AB".repeat(32) + "\n"] {
        let answer = test.post(known.org, "clear", &body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.body.contains("64 lowercase hexadecimal digits and a line feed"), "{answer:?}");
    }
    let nobody = countersign_trust::ids::OrgId([0; 32]);
    assert_eq!(test.ask_clear(nobody).await.status, 404);
    assert_eq!(crate::post(test.at(), "/v1/orgs/acme/clear", "x").await.status, 404);
    let big = test.post(known.org, "clear", "x".repeat(16 * 1024 + 1)).await;
    assert_eq!((big.status, big.body.as_str()), (413, "the body may have 16384 bytes\n"));
}

#[tokio::test]
async fn a_clock_that_went_back_signs_nothing_and_says_how_long() {
    let mut test = Test::new().await;
    let known = Known::to(&test).await;
    assert_eq!(test.clear(known.org).await.time, Time(5_000));
    test.clock.store(4_996, Ordering::SeqCst);
    assert_eq!(test.clear(known.org).await.time, Time(5_000), "a little back is a clock being set");
    test.clock.store(4_000, Ordering::SeqCst);
    let answer = test.ask_clear(known.org).await;
    assert_eq!(answer.status, 503);
    assert!(
        answer.body.contains("shows 4000, it has signed 5000 already: nothing is signed for 995 s"),
        "{answer:?}"
    );
    test.restart().await;
    assert_eq!(test.ask_clear(known.org).await.status, 503, "nor after a restart");
    test.clock.store(5_001, Ordering::SeqCst);
    let time = test.clear(known.org).await.time;
    assert!((5_001..=5_006).contains(&time.0), "{time}");
}

#[tokio::test]
async fn a_clock_that_leapt_a_year_signs_nothing_until_it_is_right_or_confirmed() {
    let mut test = Test::new().await;
    let known = Known::to(&test).await;
    assert_eq!(test.clear(known.org).await.time, Time(5_000));
    let year = 365 * 86_400;
    test.clock.store(5_010 + year, Ordering::SeqCst);
    for _ in 0..2 {
        let answer = test.ask_clear(known.org).await;
        assert_eq!(answer.status, 503);
        assert!(answer.body.contains("a clock 365 days ahead may be wrong"), "{answer:?}");
        assert!(answer.body.contains("clock confirm"), "{answer:?}");
        test.restart().await;
    }
    test.clock.store(5_010, Ordering::SeqCst);
    assert_eq!(test.clear(known.org).await.time, Time(5_010), "right again, it goes on at once");
    for (confirmed, before) in [(5_000 + year, 5_015), (6_000, 5_000 + year)] {
        test.stop().await;
        let folder = countersign_beacon::disk::Folder::open(&test.config.data, &[]).unwrap();
        let found = countersign_beacon::clock::confirm(&folder, Time(confirmed)).unwrap();
        assert_eq!(found, Some(Time(before)));
        drop(folder);
        test.start().await;
        assert_eq!(test.ask_clear(known.org).await.status, 503, "only the time that was confirmed");
        test.clock.store(confirmed, Ordering::SeqCst);
        assert_eq!(test.clear(known.org).await.time, Time(confirmed));
    }
}

#[tokio::test]
async fn a_dismissed_beacon_says_what_it_knows_to_who_missed_its_dismissal_and_takes_what_follows() {
    let mut test = Test::new().await;
    let mut known = Known::to(&test).await;
    let without = |policy: &Policy| {
        let keys = [beacon_key(1), beacon_key(2)];
        Policy { beacons: beacons(2, &[keys[0].verifier(), keys[1].verifier()]), ..following(policy) }
    };
    for _ in 0..2 {
        let news = known.next(without(&known.policy));
        assert_eq!(test.tell(known.org, &[news]).await.status, 200);
        test.restart().await;
        // Nobody who holds this policy counts it: the policy does not name the beacon.
        assert_eq!(test.clear(known.org).await.policy, crate::signed(&known.policy).hash());
        let state = test.get(known.org, "state").await.body;
        assert!(state.contains("\"dismissed\": true"), "{state}");
    }
    let halt = halt_job(&known.policy, 1);
    assert_eq!(test.acknowledged(known.org, &halt).await.policy, crate::signed(&known.policy).hash());
}

#[tokio::test]
async fn people_can_read_the_state_and_the_key() {
    let test = Test::new().await;
    let known = Known::to(&test).await;
    test.acknowledged(known.org, &halt_job(&known.policy, 1)).await;
    let state = test.get(known.org, "state").await;
    assert_eq!(state.status, 200);
    for words in ["\"number\": 1", "\"reason\": \"it looks wrong\"", "\"by\": \"cara\"", "\"silent\": null"] {
        assert!(state.body.contains(words), "{words}: {}", state.body);
    }
    assert_eq!(get(test.at(), "/v1/key").await.body, format!("{}\n", test.key()));
    assert_eq!(get(test.at(), "/v1").await.status, 404);
}
