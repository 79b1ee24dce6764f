//! add-checkpoint, rule by rule.

use std::sync::atomic::Ordering;

use countersign_trust::checkpoint::{AddCheckpoint, Checkpoint};
use countersign_trust::ids::Sha256;
use countersign_trust::merkle::EMPTY_ROOT;
use countersign_trust::note::{Note, Signature};
use countersign_trust::time::Time;

use crate::client::{Answer, get};
use crate::organization::{TestLog, log_key};
use crate::{Test, checkpoint_path};

const ORIGIN: &str = "log.example/one";

/// The cosignature in an answer, checked against the checkpoint that was sent.
fn cosigned(test: &Test, request: &AddCheckpoint, answer: &Answer) -> Time {
    assert_eq!((answer.status, answer.kind.as_str()), (200, "text/plain; charset=utf-8"), "{answer:?}");
    let line: Signature = answer.body.strip_suffix('\n').unwrap().parse().unwrap();
    let note = Note::new(request.checkpoint.text().to_owned(), line).unwrap();
    note.cosigned_at(test.signer().verifier()).unwrap()
}

/// A checkpoint that the log signed, whatever its tree says.
fn signed_checkpoint(size: u64, root: Sha256) -> Note {
    log_key(ORIGIN).note(Checkpoint { origin: ORIGIN.to_owned(), size, root }.to_string()).unwrap()
}

#[tokio::test]
async fn a_log_that_only_grows_is_cosigned_and_its_newest_checkpoint_served() {
    let mut test = Test::new().await;
    let log = test.log(ORIGIN, 13).await;
    assert_eq!(get(test.at(), &checkpoint_path(ORIGIN)).await.status, 404);
    for (old, new) in [(0, 0), (0, 1), (1, 1), (1, 8), (8, 13)] {
        let request = log.request(old, new);
        let answer = test.add(&request).await;
        assert_eq!(cosigned(&test, &request, &answer), Time(5_000));
        let served = get(test.at(), &checkpoint_path(ORIGIN)).await;
        let note: Note = served.body.parse().unwrap();
        assert_eq!((served.status, note.text()), (200, request.checkpoint.text()));
        assert!(
            note.signed_by(log.signer.verifier()) && note.cosigned_at(test.signer().verifier()).is_some()
        );
        test.restart().await;
    }
}

#[tokio::test]
async fn every_other_request_is_refused_by_the_status_of_the_specification() {
    let test = Test::new().await;
    let log = test.log(ORIGIN, 20).await;
    let mut fork = TestLog::new(ORIGIN, Vec::new());
    fork.tree.push(Sha256([1; 32]));
    fork.grow(20);
    let stranger = {
        let mut stranger = TestLog::new("log.example/two", Vec::new());
        stranger.grow(20);
        stranger
    };
    assert_eq!(test.add(log.request(0, 8)).await.status, 200);

    let good = log.request(8, 13);
    let with = |note: Note| AddCheckpoint { checkpoint: note, ..good.clone() }.to_string();
    let by_stranger = stranger.signer.sign(good.checkpoint.text()).unwrap();
    let unsigned = with(Note::new(good.checkpoint.text().to_owned(), by_stranger).unwrap());
    let bad_line = {
        let mut note = good.checkpoint.clone();
        note.add(log.signer.sign("something else\n").unwrap()).unwrap();
        with(note)
    };
    let size = |old, new| AddCheckpoint { old, ..log.request(old.min(new), new) }.to_string();
    let many = AddCheckpoint { consistency: vec![Sha256([0; 32]); 64], ..good.clone() }.to_string();
    let short = AddCheckpoint { consistency: good.consistency[1..].to_vec(), ..good.clone() }.to_string();
    let proof_for_nothing =
        AddCheckpoint { consistency: vec![Sha256([0; 32])], ..log.request(8, 8) }.to_string();
    let cases = [
        ("nothing", 400, String::new()),
        ("no checkpoint", 400, "old 8\n".to_owned()),
        ("a leading zero", 400, good.to_string().replace("old 8", "old 08")),
        ("64 proof lines", 400, many),
        ("no text", 400, good.to_string().replace("— ", "- ")),
        ("an unknown log", 404, stranger.request(0, 1).to_string()),
        ("not signed by the log", 403, unsigned),
        ("a bad line in the log's name", 403, bad_line),
        ("an old size above the new", 400, size(14, 13)),
        ("a smaller old size", 409, size(7, 13)),
        ("the first old size", 409, size(0, 13)),
        ("a larger old size", 409, size(9, 13)),
        ("a proof too short", 422, short),
        ("a proof where none belongs", 422, proof_for_nothing),
        ("another tree", 422, fork.request(8, 13).to_string()),
        ("another tree of the same size", 422, fork.request(8, 8).to_string()),
    ];
    for (what, status, request) in cases {
        let answer = test.add(request).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        if status == 409 {
            assert_eq!((answer.kind.as_str(), answer.body.as_str()), ("text/x.tlog.size", "8\n"), "{what}");
        } else {
            assert_eq!(answer.kind, "text/plain; charset=utf-8", "{what}");
        }
    }
    let big = test.add("x".repeat(64 * 1024 + 1)).await;
    assert_eq!((big.status, big.body.as_str()), (413, "the body may have 65536 bytes\n"));
    assert_eq!(test.add(&good).await.status, 200, "and the good one is still good");
}

#[tokio::test]
async fn an_empty_tree_has_one_root_and_the_first_step_needs_no_proof() {
    let test = Test::new().await;
    let log = test.log(ORIGIN, 4).await;
    let odd =
        AddCheckpoint { old: 0, consistency: vec![], checkpoint: signed_checkpoint(0, Sha256([7; 32])) };
    assert_eq!(test.add(&odd).await.status, 422);
    let proof = AddCheckpoint { consistency: vec![EMPTY_ROOT], ..log.request(0, 4) };
    assert_eq!(test.add(&proof).await.status, 422);
    let empty = AddCheckpoint { old: 0, consistency: vec![], checkpoint: signed_checkpoint(0, EMPTY_ROOT) };
    assert_eq!(test.add(&empty).await.status, 200);
    assert_eq!(test.add(log.request(0, 4)).await.status, 200);
}

#[tokio::test]
async fn the_time_of_a_cosignature_never_falls_even_over_a_restart() {
    let mut test = Test::new().await;
    let log = test.log(ORIGIN, 9).await;
    for (new, clock, expected) in [(1, 5_000, 5_000), (2, 4_996, 5_000), (3, 6_000, 6_000)] {
        test.clock.store(clock, Ordering::SeqCst);
        let request = log.request(new - 1, new);
        let answer = test.add(&request).await;
        assert_eq!(cosigned(&test, &request, &answer), Time(expected));
        test.restart().await;
    }
}

#[tokio::test]
async fn a_clock_that_went_back_or_leapt_cosigns_nothing_until_it_is_right_or_confirmed() {
    let mut test = Test::new().await;
    let log = test.log(ORIGIN, 9).await;
    assert_eq!(test.add(log.request(0, 1)).await.status, 200);
    test.clock.store(4_000, Ordering::SeqCst);
    let answer = test.add(log.request(1, 2)).await;
    assert_eq!(answer.status, 503);
    let back = "shows 4000, it has cosigned at 5000 already: nothing is cosigned for 995 s";
    assert!(answer.body.contains(back), "{answer:?}");
    let year = 365 * 86_400;
    test.clock.store(5_010 + year, Ordering::SeqCst);
    for _ in 0..2 {
        let answer = test.add(log.request(1, 2)).await;
        assert_eq!(answer.status, 503);
        assert!(answer.body.contains("a clock 365 days ahead may be wrong"), "{answer:?}");
        test.restart().await;
    }
    test.clock.store(5_010, Ordering::SeqCst);
    let request = log.request(1, 2);
    let answer = test.add(&request).await;
    assert_eq!(cosigned(&test, &request, &answer), Time(5_010), "right again, it goes on at once");
    test.stop().await;
    let folder = countersign_witness::disk::Folder::open(&test.config.data, &[]).unwrap();
    let before = countersign_witness::clock::confirm(&folder, Time(5_000 + year)).unwrap();
    assert_eq!(before, Some(Time(5_010)));
    drop(folder);
    test.start().await;
    test.clock.store(5_002 + year, Ordering::SeqCst);
    let request = log.request(2, 3);
    let answer = test.add(&request).await;
    assert_eq!(cosigned(&test, &request, &answer), Time(5_002 + year));
}

#[tokio::test]
async fn of_rival_requests_one_is_cosigned() {
    let test = Test::new().await;
    let log = test.log(ORIGIN, 40).await;
    let requests: Vec<_> = (1..=20).map(|new| log.request(0, new).to_string()).collect();
    let at = test.at();
    let asked = requests.into_iter().map(|body| tokio::spawn(crate::post(at, "/add-checkpoint", body)));
    let mut good = 0;
    for answer in asked.collect::<Vec<_>>() {
        let answer = answer.await.unwrap();
        assert!([200, 409].contains(&answer.status), "{answer:?}");
        good += usize::from(answer.status == 200);
    }
    assert_eq!(good, 1);
}

#[tokio::test]
async fn its_key_is_served_and_what_is_not_there_is_said() {
    let test = Test::new().await;
    let key = get(test.at(), "/v1/key").await;
    assert_eq!((key.status, key.body), (200, format!("{}\n", test.signer().verifier())));
    assert_eq!(get(test.at(), "/").await.status, 404);
    assert_eq!(get(test.at(), "/abc/checkpoint").await.status, 404);
    assert_eq!(get(test.at(), "/add-checkpoint").await.status, 405);
}
