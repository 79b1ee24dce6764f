//! Halts: acknowledged once they bind, and only then.

use countersign_trust::chain::MAX_HALTS_OF_A_KEY;
use countersign_trust::clear::MAX_HALTS;
use countersign_trust::delivery::News;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::Name;
use countersign_trust::statement::halt::Scope;
use countersign_trust::statement::policy::{Person, PersonKey, Policy};
use countersign_trust::text::Nothing;

use crate::organization::{ANNA, following, signed, ssh};
use crate::stops::{halt, halt_by, halt_job, resume};
use crate::{Known, Test};

#[tokio::test]
async fn a_halt_is_acknowledged_as_often_as_it_comes_and_stands_in_every_clear_after() {
    let mut test = Test::new().await;
    let known = Known::to(&test).await;
    let halt = halt_job(&known.policy, 1);
    for _ in 0..3 {
        let acknowledged = test.acknowledged(known.org, &halt).await;
        assert_eq!(acknowledged.org, known.org);
        assert_eq!(acknowledged.halt, halt.hash());
        assert_eq!(acknowledged.policy, signed(&known.policy).hash());
        assert_eq!(test.clear(known.org).await.halts.into_iter().collect::<Vec<_>>(), [halt.hash()]);
        test.restart().await;
    }
}

#[tokio::test]
async fn what_is_no_halt_or_by_nobody_who_may_is_refused() {
    let test = Test::new().await;
    let mut known = Known::to(&test).await;
    let stranger = Known::of(&[&test.key()]);
    let others = halt_job(&stranger.policy, 1);
    let by_anna = halt_by(&known.policy, 1, Scope::Organization(Nothing), ANNA);
    let altered = halt_job(&known.policy, 1).to_string().replace("wrong", "right");
    let logged = known.genesis();
    let cases = [
        ("nothing", 400, String::new(), "must be the envelope of a halt"),
        ("a policy", 400, signed(&known.policy).to_string(), "this is a policy"),
        ("with a proof", 400, logged.to_string(), "expected nothing after the signatures"),
        ("by one of no halting role", 403, by_anna.to_string(), "signed by nobody who may halt"),
        ("altered", 403, altered, "signed by nobody who may halt"),
        ("another organization's", 422, others.to_string(), "not acknowledged: of organization"),
    ];
    for (what, status, body, words) in cases {
        let answer = test.post(known.org, "halts", body).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert!(answer.body.contains(words), "{what}: {answer:?}");
    }
    assert!(test.clear(known.org).await.halts.is_empty());
}

#[tokio::test]
async fn a_seventeenth_halt_of_a_key_is_not_acknowledged_but_an_organization_halt_always_is() {
    let mut test = Test::new().await;
    let mut known = Known::to(&test).await;
    let halts: Vec<Signed> = (1..=17).map(|number| halt_job(&known.policy, number)).collect();
    for halt in &halts[..MAX_HALTS_OF_A_KEY] {
        test.acknowledged(known.org, halt).await;
    }
    let answer = test.post(known.org, "halts", &halts[16]).await;
    assert_eq!(answer.status, 409);
    assert!(answer.body.contains("has 16 active halts already"), "{answer:?}");
    test.restart().await;
    assert_eq!(test.clear(known.org).await.halts.len(), 16);
    test.acknowledged(known.org, &halt(&known.policy, 18, Scope::Organization(Nothing))).await;
    assert_eq!(test.clear(known.org).await.halts.len(), 17);

    // Once a resume has lifted others there is room for it again, but not for what was lifted.
    let lifts = resume(&known.policy, None, &[halts[0].hash(), halts[1].hash()]);
    let news = News::Resume(known.log.add(known.org, &lifts));
    assert_eq!(test.tell(known.org, &[news]).await.status, 200);
    let lifted = test.post(known.org, "halts", &halts[0]).await;
    assert_eq!(lifted.status, 409);
    assert!(lifted.body.contains("a resume has lifted it"), "{lifted:?}");
    test.acknowledged(known.org, &halts[16]).await;
    test.restart().await;
    assert_eq!(test.clear(known.org).await.halts.len(), 16);
}

#[tokio::test]
async fn beyond_64_halts_nothing_is_signed_and_a_flood_does_not_fill_the_disk() {
    let mut test = Test::new().await;
    let mut known = Known::to(&test).await;
    let org = known.org;
    let all = |number| halt(&known.policy, number, Scope::Organization(Nothing));
    let flood: Vec<News> = (1..=81).map(|number| News::Halt(all(number))).collect();
    assert_eq!(test.tell(org, &flood[..MAX_HALTS]).await.status, 200);
    assert_eq!(test.clear(org).await.halts.len(), MAX_HALTS);
    let rest = test.tell(org, &flood[MAX_HALTS..]).await;
    assert_eq!(rest.body.lines().filter(|line| line.starts_with("taken")).count(), 16);
    assert!(rest.body.contains("80 active halts of this key are kept, 80 is the most"), "{rest:?}");
    let answer = test.ask_clear(org).await;
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("80 halts are active and a Clear names at most 64"), "{answer:?}");
    assert_eq!(test.post(org, "halts", all(81)).await.status, 409);

    // Another halter is still heard, and the resume that lifts the flood leaves that halt standing.
    let next = with_another_halter(&known.policy);
    let second = known.next(next);
    let honest = halt_by(&known.policy, 1, Scope::Organization(Nothing), 50);
    assert_eq!(test.tell(org, &[second]).await.status, 200);
    test.acknowledged(org, &honest).await;
    let hashes: Vec<_> = flood.iter().map(News::hash).collect();
    let lifts = resume(&known.policy, None, &hashes);
    let lifts = News::Resume(known.log.add(org, &lifts));
    assert_eq!(test.tell(org, &[lifts]).await.status, 200);
    test.restart().await;
    assert_eq!(test.clear(org).await.halts.into_iter().collect::<Vec<_>>(), [honest.hash()]);
}

fn with_another_halter(policy: &Policy) -> Policy {
    let mut next = following(policy);
    let dora: Name = "dora".parse().unwrap();
    let key = PersonKey { key: ssh(50).public_key().clone(), same_origin: false };
    next.people.insert(dora.clone(), Person { keys: vec![key] });
    next.roles.get_mut(&"halting".parse().unwrap()).unwrap().insert(dora);
    next
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clear_asked_for_after_an_acknowledgement_names_the_halt_whatever_is_under_way() {
    let test = Test::new().await;
    let known = Known::to(&test).await;
    let (at, org) = (test.at(), known.org);
    for number in 1..=10 {
        let halt = halt_job(&known.policy, number);
        let ask = move || async move {
            crate::post(at, &format!("/v1/orgs/{org}/clear"), format!("{}\n", crate::ROOT)).await
        };
        let under_way: Vec<_> = (0..8).map(|_| tokio::spawn(ask())).collect();
        test.acknowledged(org, &halt).await;
        assert!(test.clear(org).await.halts.contains(&halt.hash()));
        for clear in under_way {
            assert_eq!(clear.await.unwrap().status, 200);
        }
    }
}
