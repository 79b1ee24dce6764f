//! News: policies, resumes and halts, in and out.

use std::collections::BTreeSet;

use countersign_beacon::config::Organizations;
use countersign_trust::delivery::{News, read_sequence, write_sequence};
use countersign_trust::ids::OrgId;
use countersign_trust::statement::policy::Policy;

use crate::organization::{TestLog, beacon_key, following, signed, witness_key};
use crate::stops::{halt_job, resume};
use crate::{Known, Test};

fn hashes(sequence: &str) -> Vec<countersign_trust::ids::Sha256> {
    read_sequence(sequence).unwrap().iter().map(|item| News::from_text(item).unwrap().hash()).collect()
}

#[tokio::test]
async fn what_one_beacon_serves_another_takes() {
    let mut test = Test::new().await;
    let other = Test::new().await;
    let mut known = Known::of(&[&test.key(), &other.key(), beacon_key(1).verifier()]);
    let org = known.org;
    let halts = [halt_job(&known.policy, 1), halt_job(&known.policy, 2)];
    let lifts = resume(&known.policy, None, &[halts[0].hash()]);
    let news = [
        known.genesis(),
        News::Halt(halts[0].clone()),
        News::Halt(halts[1].clone()),
        News::Resume(known.log.add(org, &lifts)),
        known.next(Policy { resumes: [lifts.hash()].into(), ..following(&known.policy) }),
    ];
    let told = test.tell(org, &news).await;
    let expected: String = news.iter().map(|news| format!("taken {}\n", news.hash())).collect();
    assert_eq!((told.status, told.body), (200, expected));
    test.restart().await;
    let again = test.tell(org, &news).await;
    let lifted = format!("refused {} ", halts[0].hash());
    assert!(
        again.body.lines().all(|line| line.starts_with("known") || line.starts_with(&lifted)),
        "{again:?}"
    );

    let all = test.get(org, "news?after=0").await;
    assert_eq!((all.status, hashes(&all.body).len()), (200, 5));
    let since = test.get(org, "news?after=1").await;
    assert_eq!(
        hashes(&since.body)[..2],
        [news[4].hash(), news[3].hash()],
        "policies, and then what they judge"
    );
    assert_eq!(hashes(&since.body).len(), 4, "policy 2, the resume and both halts");
    assert_eq!(test.get(org, "news").await.body, all.body);
    assert_eq!(test.get(org, "news?after=first").await.status, 400);

    assert_eq!(other.post(org, "news", all.body).await.status, 200);
    let (ours, theirs) = (test.clear(org).await, other.clear(org).await);
    assert_eq!((ours.policy, ours.resume, ours.halts), (theirs.policy, theirs.resume, theirs.halts));
}

#[tokio::test]
async fn the_first_valid_next_policy_is_taken_and_no_other() {
    let mut test = Test::new().await;
    let mut known = Known::to(&test).await;
    let genesis = known.policy.clone();
    let rival = |name: &str| Policy { name: name.parse().unwrap(), ..following(&genesis) };
    let first = known.next(rival("First"));
    let second = known.next(rival("Second"));
    assert_eq!(
        test.tell(known.org, std::slice::from_ref(&first)).await.body,
        format!("taken {}\n", first.hash())
    );
    test.restart().await;
    let answer = test.tell(known.org, &[second.clone(), first.clone()]).await;
    let lines: Vec<&str> = answer.body.lines().collect();
    assert!(lines[0].starts_with(&format!("refused {} it follows", second.hash())), "{lines:?}");
    assert_eq!(lines[1], format!("known {}", first.hash()));
    assert_eq!(test.clear(known.org).await.policy, first.hash());
}

#[tokio::test]
async fn what_is_refused_is_named_and_the_rest_is_taken() {
    let test = Test::new().await;
    let mut known = Known::to(&test).await;
    let org = known.org;
    let unwitnessed = {
        let mut log = TestLog::new(crate::ORIGIN, vec![witness_key(2)]);
        News::Policy(log.add(org, &signed(&following(&known.policy))))
    };
    let good = known.next(following(&known.policy));
    let halt = halt_job(&known.policy, 1);
    let items = ["no\nenvelope".to_owned(), unwitnessed.to_string(), good.to_string(), halt.to_string()];
    let answer = test.post(org, "news", write_sequence(&items)).await;
    let lines: Vec<&str> = answer.body.lines().collect();
    assert_eq!((answer.status, lines.len()), (200, 4), "{answer:?}");
    assert!(lines[0].starts_with("refused none "), "{lines:?}");
    assert!(lines[1].contains("cosigned by 0 of 1 witnesses, needed are 1"), "{lines:?}");
    assert_eq!(lines[2..], [format!("taken {}", good.hash()), format!("taken {}", halt.hash())]);
}

#[tokio::test]
async fn an_organization_begins_with_its_genesis_policy_and_for_its_own_beacons_only() {
    let test = Test::new().await;
    let mut known = Known::of(&[&test.key(), beacon_key(1).verifier()]);
    let mut foreign = Known::of(&[beacon_key(1).verifier(), beacon_key(2).verifier()]);
    let (org, elsewhere) = (known.org, foreign.org);
    let genesis = known.genesis();
    let later = known.next(following(&known.policy));
    let halt = News::Halt(halt_job(&known.policy, 1));
    let unlogged = signed(&known.policy).to_string();
    let one = |news: &News| write_sequence(std::slice::from_ref(news));
    let cases = [
        ("nothing", 400, org, String::new(), "no sequence of envelopes"),
        ("no sequence", 400, org, genesis.to_string(), "no sequence of envelopes"),
        ("a halt first", 422, org, one(&halt), "the first envelope holds no policy"),
        ("not logged", 422, org, write_sequence(&[unlogged]), "expected a proof after the signatures"),
        ("a later policy first", 422, org, one(&later), "of organization"),
        ("under another name", 422, OrgId([1; 32]), one(&genesis), "of organization"),
        ("for other beacons", 403, elsewhere, one(&foreign.genesis()), "names this beacon's key"),
    ];
    for (what, status, org, body, words) in cases {
        let answer = test.post(org, "news", body).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert!(answer.body.contains(words), "{what}: {answer:?}");
        assert_eq!(test.get(org, "state").await.status, 404, "{what}");
    }
    let closed = Test::with(Organizations::Only(BTreeSet::from([elsewhere]))).await;
    let answer = closed.tell(org, &[genesis]).await;
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("ask its operator"), "{answer:?}");
    let big = test.post(org, "news", "x".repeat(4 * 1024 * 1024 + 1)).await;
    assert_eq!((big.status, big.body.as_str()), (413, "the body may have 4194304 bytes\n"));
}
