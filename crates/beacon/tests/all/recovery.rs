//! The day the keys are lost: a policy by the recovery set waits 72 hours, in which the quorum can still object.

use std::sync::atomic::Ordering;

use countersign_beacon::clock::confirm;
use countersign_beacon::disk::Folder;
use countersign_trust::chain::{Chain, Inclusion, RECOVERY_WAIT_S, Recovered};
use countersign_trust::delivery::{News, read_sequence};
use countersign_trust::ids::Sha256;
use countersign_trust::note::Note;
use countersign_trust::statement::policy::Policy;
use countersign_trust::time::Time;

use crate::organization::{SAFE, beacon_key, beacons, following, org_of, recovering, sign, with_recovery};
use crate::program::SmallDisk;
use crate::unrehearsed::not_rehearsed;
use crate::{Known, Test, config_in};

/// An organization with a safe, and its recovery policy, which a beacon holds since its clock showed 5,000.
async fn waiting(test: &Test) -> (Known, News) {
    waiting_with(test, |_| ()).await
}

/// The same, where that policy is changed in one more thing.
async fn waiting_with(test: &Test, edit: impl FnOnce(&mut Policy)) -> (Known, News) {
    let mut known = with_a_safe(test);
    let genesis = known.genesis();
    assert_eq!(test.tell(known.org, &[genesis]).await.status, 200);
    let news = safes(&mut known, edit);
    let answer = test.tell(known.org, std::slice::from_ref(&news)).await;
    assert_eq!(answer.body, format!("waits {}\n", news.hash()));
    (known, news)
}

/// An organization of this beacon and two others, of which two are needed, and a safe.
fn with_a_safe(test: &Test) -> Known {
    let (one, two) = (beacon_key(1), beacon_key(2));
    let mut known = Known::of(&[&test.key(), one.verifier(), two.verifier()]);
    known.policy = with_recovery(known.policy.clone());
    known.org = org_of(&known.policy);
    known
}

fn safes(known: &mut Known, edit: impl FnOnce(&mut Policy)) -> News {
    let (mut next, _) = recovering(&known.policy);
    edit(&mut next);
    News::Policy(known.log.add(known.org, &sign(&next, &[60, 61, SAFE[0], SAFE[1]])))
}

/// What a beacon says that a policy has waited with it, in the place of one that follows the first.
fn word_for(known: &Known, policy: &News) -> Recovered {
    Recovered { org: known.org, policy: policy.hash(), after: Sha256(known.org.0) }
}

/// Another beacon's word.
fn word_of(number: u8, known: &Known, policy: &News) -> News {
    News::Recovered(beacon_key(number).note(word_for(known, policy).to_string()).unwrap())
}

/// The words for a policy that the beacon shows who holds the first.
async fn shown(test: &Test, known: &Known) -> Vec<Note> {
    let text = test.get(known.org, "news?after=1").await.body;
    let news = read_sequence(&text).unwrap().into_iter().map(|item| News::from_text(item).unwrap());
    news.filter_map(|news| if let News::Recovered(word) = news { Some(word) } else { None }).collect()
}

async fn named(test: &Test, known: &Known) -> Sha256 {
    test.clear(known.org).await.policy
}

fn set_clock(test: &Test, time: u64) {
    test.clock.store(time, Ordering::SeqCst);
}

#[tokio::test]
async fn a_recovery_policy_is_named_after_72_hours_and_not_a_second_before() {
    let mut test = Test::new().await;
    let (known, news) = waiting(&test).await;
    let before = named(&test, &known).await;
    set_clock(&test, 5_000 + RECOVERY_WAIT_S - 1);
    test.restart().await;
    assert_eq!(named(&test, &known).await, before);
    set_clock(&test, 5_000 + RECOVERY_WAIT_S);
    assert_eq!(named(&test, &known).await, news.hash());
    test.restart().await;
    assert_eq!(named(&test, &known).await, news.hash(), "a policy once applied is never left");
}

/// When a clock that stood in 1970 is set right.
const TODAY: u64 = 1_800_000_000;

#[tokio::test]
async fn what_a_new_beacon_noted_by_a_clock_in_1970_has_not_waited_when_the_clock_is_set() {
    let mut test = Test::new().await;
    let (known, news) = waiting(&test).await;
    set_clock(&test, TODAY);
    for _ in 0..2 {
        let refused = test.ask_clear(known.org).await;
        assert_eq!(refused.status, 503, "{refused:?}");
        assert!(refused.body.contains("clock confirm"), "{refused:?}");
        assert_eq!(shown(&test, &known).await, []);
        test.restart().await;
    }
    test.stop().await;
    let folder = Folder::open(&test.config.data, &[]).unwrap();
    assert!(confirm(&folder, Time(TODAY)).unwrap().is_some());
    drop(folder);
    test.start().await;
    assert_eq!(named(&test, &known).await.0, known.org.0, "it begins to wait");
    set_clock(&test, TODAY + RECOVERY_WAIT_S - 1);
    assert_eq!(named(&test, &known).await.0, known.org.0);
    set_clock(&test, TODAY + RECOVERY_WAIT_S);
    assert_eq!(named(&test, &known).await, news.hash());
}

#[tokio::test]
async fn without_a_time_signed_what_waits_begins_anew() {
    let mut test = Test::new().await;
    let (known, news) = waiting(&test).await;
    test.stop().await;
    std::fs::remove_file(test.config.data.join("time")).unwrap();
    set_clock(&test, TODAY);
    test.start().await;
    assert_eq!(named(&test, &known).await.0, known.org.0);
    set_clock(&test, TODAY + RECOVERY_WAIT_S);
    assert_eq!(named(&test, &known).await, news.hash());
}

#[tokio::test]
async fn people_can_see_what_waits_and_until_when() {
    let test = Test::new().await;
    let (known, news) = waiting(&test).await;
    let state: serde_json::Value = serde_json::from_str(&test.get(known.org, "state").await.body).unwrap();
    let expected = serde_json::json!([{
        "policy": news.hash().to_string(), "since": 5_000, "in_force_from": 5_000 + RECOVERY_WAIT_S,
    }]);
    assert_eq!(state["waiting"], expected);
}

#[tokio::test]
async fn within_72_hours_the_quorum_has_the_last_word() {
    let mut test = Test::new().await;
    let (mut known, news) = waiting(&test).await;
    let objection = known.next(following(&known.policy));
    test.tell(known.org, std::slice::from_ref(&objection)).await;
    set_clock(&test, 5_000 + 2 * RECOVERY_WAIT_S);
    assert_eq!(named(&test, &known).await, objection.hash());
    test.restart().await;
    assert_eq!(named(&test, &known).await, objection.hash());
    let again = test.tell(known.org, &[news]).await;
    assert!(again.body.starts_with("refused"), "{}", again.body);
}

#[tokio::test]
async fn without_its_note_of_when_the_waiting_begins_anew() {
    let mut test = Test::new().await;
    let (known, news) = waiting(&test).await;
    let before = named(&test, &known).await;
    test.stop().await;
    let note = test.folder.path().join(format!("data/organizations/{}/waiting", known.org));
    std::fs::remove_file(note).unwrap();
    set_clock(&test, 5_000 + RECOVERY_WAIT_S);
    test.start().await;
    assert_eq!(named(&test, &known).await, before);
    set_clock(&test, 5_000 + 2 * RECOVERY_WAIT_S);
    assert_eq!(named(&test, &known).await, news.hash());
}

#[tokio::test]
async fn after_72_hours_a_beacon_gives_its_word_also_where_the_policy_dismisses_all_of_them() {
    let mut test = Test::new().await;
    let (five, six) = (beacon_key(5), beacon_key(6));
    let others = beacons(2, &[five.verifier(), six.verifier()]);
    let (known, news) = waiting_with(&test, |policy| policy.beacons = others).await;
    set_clock(&test, 5_000 + RECOVERY_WAIT_S - 1);
    assert_eq!(shown(&test, &known).await, []);
    set_clock(&test, 5_000 + RECOVERY_WAIT_S);
    for _ in 0..2 {
        let words = shown(&test, &known).await;
        assert_eq!(words.len(), 1);
        assert_eq!(words[0].text(), word_for(&known, &news).to_string());
        assert!(words[0].signed_by(&test.key()));
        assert_eq!(
            named(&test, &known).await,
            news.hash(),
            "who asks for Clears under the old policy hears of it"
        );
        test.restart().await;
    }
    // Whoever holds the first policy takes it with one more word, and needs no Clear.
    let first = crate::signed(&known.policy);
    let mut chain = Chain::begin(known.org, &first, Inclusion::WaivedForWitness).unwrap();
    let text = test.get(known.org, "news?after=1").await.body;
    for item in read_sequence(&text).unwrap() {
        News::from_text(item).unwrap().offer(&mut chain).unwrap();
    }
    assert_eq!(chain.policies().len(), 1);
    word_of(2, &known, &news).offer(&mut chain).unwrap();
    assert_eq!(chain.policy().hash, news.hash());
}

#[tokio::test]
async fn on_the_word_of_enough_others_a_beacon_takes_it_and_gives_its_own() {
    let mut test = Test::new().await;
    let (known, news) = waiting(&test).await;
    let before = named(&test, &known).await;
    test.tell(known.org, &[word_of(1, &known, &news)]).await;
    assert_eq!(named(&test, &known).await, before, "one of two");
    assert_eq!(shown(&test, &known).await.len(), 1, "this beacon has not waited");
    test.restart().await;
    test.tell(known.org, &[word_of(2, &known, &news)]).await;
    assert_eq!(named(&test, &known).await, news.hash());
    test.restart().await;
    assert_eq!((named(&test, &known).await, shown(&test, &known).await.len()), (news.hash(), 3));
}

#[tokio::test]
async fn a_beacon_that_only_the_waiting_policy_names_is_taken_on_and_says_nothing_yet() {
    let (old, new) = (Test::new().await, Test::new().await);
    let (me, one) = (new.key(), beacon_key(1));
    let (known, news) =
        waiting_with(&old, |policy| policy.beacons = beacons(1, &[&me, one.verifier()])).await;
    let all = old.get(known.org, "news").await.body;
    assert_eq!(new.post(known.org, "news", &all).await.status, 200);
    assert_eq!(new.ask_clear(known.org).await.status, 410, "no policy in force names it");
    set_clock(&new, 5_000 + 2 * RECOVERY_WAIT_S);
    assert_eq!(shown(&new, &known).await, [], "whom the old policy does not name has no word to give");
    let words = [word_of(1, &known, &news), word_of(2, &known, &news)];
    assert_eq!(new.tell(known.org, &words).await.status, 200);
    let silent = new.ask_clear(known.org).await;
    assert!(silent.body.contains("handover incomplete: 0 of 2 beacons of policy 1"), "{silent:?}");
}

#[tokio::test]
async fn with_the_quorums_signatures_too_it_waits_no_longer() {
    let test = Test::new().await;
    let (mut known, news) = waiting(&test).await;
    let (next, _) = recovering(&known.policy);
    let decided = sign(&next, &[60, 61, crate::organization::ANNA, crate::organization::BERT]);
    let decided = News::Policy(known.log.add(known.org, &decided));
    assert_eq!(decided.hash(), news.hash());
    assert_eq!(test.tell(known.org, &[decided]).await.body, format!("taken {}\n", news.hash()));
    assert_eq!(named(&test, &known).await, news.hash());
    assert_eq!(shown(&test, &known).await, [], "nobody's word is needed");
}

#[tokio::test]
async fn since_when_it_waits_is_written_down_as_soon_as_the_disk_has_room() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let Some(disk) = SmallDisk::mount(&data) else {
        return not_rehearsed("this user may not mount a file system");
    };
    let config = config_in(folder.path(), crate::Organizations::Any);
    let clock = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(5_000));
    let mut test = Test { folder, config, clock, running: None };
    test.start().await;
    let mut known = with_a_safe(&test);
    let genesis = known.genesis();
    assert_eq!(test.tell(known.org, &[genesis]).await.status, 200);
    test.clear(known.org).await;
    let news = safes(&mut known, |_| ());
    let filler = disk.fill();
    assert_eq!(test.tell(known.org, std::slice::from_ref(&news)).await.status, 503);
    std::fs::remove_file(filler).unwrap();
    set_clock(&test, 5_004);
    test.clear(known.org).await;
    set_clock(&test, 5_000 + RECOVERY_WAIT_S);
    test.restart().await;
    assert_eq!(named(&test, &known).await, news.hash(), "it has waited since it was first held");
    test.stop().await;
    drop(disk);
}
