//! Every statement about devices, their jobs, receipts and output, on both engines.

use super::*;
use crate::store::batch::{self, BatchRow};
use crate::store::device::{self, DeviceRow, Said};
use crate::store::enrollment;
use crate::store::fact::{self, FactRow};
use crate::store::org::{self, DraftRow};
use crate::store::output::{self, Kept, OutputRow};
use crate::store::receipt::{self, NewReceipt, Unlogged};
use crate::store::round;
use crate::store::statement::{self, StatementRow};
use crate::store::testing::{Postgres, sqlite};

const ORG: &str = "org-1";
const JOB: &str = "job-1";

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_what_devices_tell() {
    let folder = tempfile::tempdir().unwrap();
    whole_life(&sqlite(folder.path()).await).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_keeps_what_devices_tell() {
    let postgres = Postgres::start();
    whole_life(&postgres.db().await).await.unwrap();
}

async fn whole_life(db: &Db) -> Result<(), StoreError> {
    an_organization_with_a_job(db).await?;
    devices_come_and_go(db).await?;
    a_job_goes_out_and_is_answered(db).await?;
    receipts_are_kept_once_and_logged(db).await?;
    output_is_kept_in_its_order(db).await?;
    facts_are_kept_once_a_kind(db).await?;
    receipts_that_nobody_asked_for_come_back_by_the_day(db).await?;
    many_go_at_once(db).await
}

async fn an_organization_with_a_job(db: &Db) -> Result<(), StoreError> {
    let draft = DraftRow {
        draft: "draft".to_owned(),
        org: None,
        name: "Example Tills".to_owned(),
        log_origin: "log.example".to_owned(),
        log_seed: vec![1; 32],
        halt_seed: vec![2; 32],
    };
    let job = StatementRow {
        hash: JOB.to_owned(),
        kind: "job".to_owned(),
        envelope: String::new(),
        targets: "[]".to_owned(),
        missing: String::new(),
        leaf: None,
        nth_log: 0,
        proof: None,
        received_ms: 0,
    };
    let mut tx = db.begin().await?;
    org::prepare(&mut tx, &draft, 1).await?;
    org::begin(&mut tx, ORG, &draft, 1).await?;
    statement::put(&mut tx, ORG, &job).await?;
    tx.commit().await
}

fn device_row(id: &str, enroll: &str) -> DeviceRow {
    DeviceRow {
        id: id.to_owned(),
        enroll: enroll.to_owned(),
        join_note: Some("note".to_owned()),
        join_proof: None,
        leaf: 3,
        labels: r#"{"site":"Smygehamn 12"}"#.to_owned(),
        version: String::new(),
        hostname: String::new(),
        system: String::new(),
        policy_number: 0,
        last_seen_ms: 0,
        retired: false,
        batch: Some(enroll.to_owned()),
        nth_log: 0,
        seq: 0,
    }
}

async fn devices_come_and_go(db: &Db) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    for id in ["dev-1", "dev-2", "dev-3"] {
        device::insert(&mut tx, ORG, &device_row(id, "batch")).await?;
    }
    device::retire(&mut tx, ORG, "dev-3").await?;
    tx.commit().await?;
    let said = Said { version: "0.1.0".to_owned(), policy_number: 2, ..Said::default() };
    let mut tx = db.begin().await?;
    device::said(&mut tx, ORG, &[("dev-1".to_owned(), said)], 5).await?;
    assert_eq!(device::seen(&mut tx, ORG, &["dev-1".to_owned()], 6).await?, 1);
    tx.commit().await?;
    // Enrolled again, it keeps what it said of itself, its join, and its place in the batch.
    let mut tx = db.begin().await?;
    let anew = DeviceRow { leaf: 9, seq: 1, join_note: None, batch: None, ..device_row("dev-1", "again") };
    device::insert(&mut tx, ORG, &anew).await?;
    for (seq, statement) in [(enrollment::END, JOB), (1, JOB)] {
        enrollment::insert(&mut tx, ORG, "dev-1", seq, statement).await?;
    }
    tx.commit().await?;
    assert_eq!(enrollment::of_device(db, ORG, "dev-1").await?, [], "only what is logged");
    let one = device::get(db, ORG, "dev-1").await?.unwrap();
    assert_eq!(
        (one.enroll.as_str(), one.join_note.as_deref(), one.batch.as_deref()),
        ("again", Some("note"), Some("batch"))
    );
    assert_eq!((one.leaf, one.version.as_str(), one.policy_number, one.last_seen_ms), (9, "0.1.0", 2, 6));
    assert_eq!(one.labels().get("site").map(String::as_str), Some("Smygehamn 12"));
    assert_eq!(device::get(db, "org-2", "dev-1").await?, None);
    assert_eq!((device::count(db, ORG).await?, device::all(db, ORG).await?.len()), (2, 2));
    let mut tx = db.begin().await?;
    assert_eq!(
        device::count_of_enroll(&mut tx, ORG, "batch").await?,
        3,
        "the place stays taken of one that was retired or enrolled anew"
    );
    assert_eq!(
        device::join(&mut tx, ORG, &[device_row("dev-1", "joins"), device_row("dev-4", "joins")]).await?,
        1
    );
    let named =
        device::named(&mut tx, ORG, &["dev-4".to_owned(), "dev-1".to_owned(), "dev-5".to_owned()]).await?;
    let mut named: Vec<_> = named.iter().map(|row| (row.id.as_str(), row.enroll.as_str())).collect();
    named.sort_unstable();
    assert_eq!(named, [("dev-1", "again"), ("dev-4", "joins")]);
    drop(tx);
    let page = device::page(db, ORG, "dev-1", 1).await?;
    assert_eq!(page.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["dev-2"]);
    Ok(())
}

async fn a_job_goes_out_and_is_answered(db: &Db) -> Result<(), StoreError> {
    let devices = ["dev-1".to_owned(), "dev-2".to_owned()];
    let sent_at = |sent_ms| {
        let (job, device) = (JOB.to_owned(), "dev-1".to_owned());
        [Sent { job, device, challenge: "c".to_owned(), sent_ms }]
    };
    let mut tx = db.begin().await?;
    insert_waiting(&mut tx, ORG, JOB, &devices, 4).await?;
    tx.commit().await?;
    assert_eq!(waiting_for(db, ORG, JOB).await?.len(), 2);
    assert_eq!(output::kept(db, ORG, JOB, "dev-1", (0, 0)).await?, None, "it was not sent");
    assert_eq!(evidence(db, ORG, JOB, "dev-1").await?, None);
    let mut tx = db.begin().await?;
    let first = round::insert(&mut tx, ORG, &[1; 32], "[]").await?;
    sent(&mut tx, ORG, first, &sent_at(7)).await?;
    // Waiting a second time sets nothing back.
    insert_waiting(&mut tx, ORG, JOB, &devices, 4).await?;
    tx.commit().await?;
    let nothing = Some(Kept { newest: 0, bytes: 0, pieces: 0 });
    assert_eq!(output::kept(db, ORG, JOB, "dev-1", (0, 0)).await?, nothing);
    let row = evidence(db, ORG, JOB, "dev-1").await?.unwrap();
    assert_eq!((row.sent_ms, row.challenges, row.clears), (7, Some(vec![1; 32]), None));
    assert_eq!(counts(db, ORG, JOB).await?, [("sent".to_owned(), 1), ("waiting".to_owned(), 1)]);
    let told = |device: &str, receipts, number, verdict: &str| Told {
        job: JOB.to_owned(),
        device: device.to_owned(),
        receipts,
        accepted: verdict == "accepted",
        newest: (number, verdict.to_owned(), "busy".to_owned()),
    };
    let pairs = [(JOB.to_owned(), "dev-1".to_owned()), (JOB.to_owned(), "dev-2".to_owned())];
    let mut tx = db.begin().await?;
    let left = |left| (JOB.to_owned(), "dev-1".to_owned(), left);
    assert_eq!(receipts_left(&mut tx, ORG, &pairs).await?, [left(4)], "the other was not sent it");
    receipts_came(&mut tx, ORG, &[told("dev-1", 1, 2, "refused")]).await?;
    let nothing_new = Told { newest: (0, String::new(), String::new()), ..told("dev-1", 1, 0, "") };
    receipts_came(&mut tx, ORG, &[nothing_new]).await?;
    receipts_came(&mut tx, ORG, &[told("dev-1", 1, 1, "accepted")]).await?;
    assert_eq!(receipts_left(&mut tx, ORG, &pairs).await?, [left(1)]);
    let second = round::insert(&mut tx, ORG, &[2; 32], "[]").await?;
    assert_eq!(round::forget_unused(&mut tx, ORG, &[first, second]).await?, 1, "the first is in use");
    let second = round::insert(&mut tx, ORG, &[2; 32], "[]").await?;
    sent(&mut tx, ORG, second, &sent_at(8)).await?;
    assert_eq!(
        round::forget_unused(&mut tx, ORG, &[first]).await?,
        1,
        "nobody was sent anything by it since"
    );
    tx.commit().await?;
    let open = open_on(db, ORG, &["dev-1".to_owned()]).await?;
    assert_eq!(
        open.iter().map(|row| (row.verdict.as_str(), row.attempts)).collect::<Vec<_>>(),
        [("sent", 1)]
    );
    assert_eq!(open_on(db, ORG, &devices).await?.len(), 2);
    let many: Vec<String> = (3..20).map(|number| format!("dev-{number}")).collect();
    assert_eq!(open_on(db, ORG, &many).await?, []);
    assert_eq!(open_on(db, ORG, &[]).await?, []);
    let mut tx = db.begin().await?;
    receipts_came(&mut tx, ORG, &[told("dev-1", 1, 3, "ended")]).await?;
    assert_eq!(receipts_left(&mut tx, ORG, &pairs).await?, [left(1)], "who is asked again may answer again");
    sent(&mut tx, ORG, second, &sent_at(9)).await?;
    tx.commit().await?;
    assert_eq!(open_on(db, ORG, &devices[..1]).await?, [], "what ended stays so, whatever is sent again");
    Ok(())
}

fn new_receipt(number: i64, hash: &str, previous: Option<&str>) -> NewReceipt {
    NewReceipt {
        device: "dev-1".to_owned(),
        number,
        hash: hash.to_owned(),
        previous: previous.map(str::to_owned),
        job: Some(JOB.to_owned()),
        note: format!("note {number}"),
        received_ms: 10,
    }
}

async fn receipts_are_kept_once_and_logged(db: &Db) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    let first = [new_receipt(1, "a", None), new_receipt(2, "b", None), new_receipt(3, "c", Some("b"))];
    receipt::insert(&mut tx, ORG, &first).await?;
    receipt::insert(&mut tx, ORG, &[new_receipt(9, "i", Some("h"))]).await?;
    let numbers = |rows: Vec<receipt::Neighbour>| rows.iter().map(|row| row.number).collect::<Vec<_>>();
    assert_eq!(numbers(receipt::around(&mut tx, ORG, "dev-1", 2).await?), [1, 2, 3]);
    assert_eq!(numbers(receipt::around(&mut tx, ORG, "dev-1", 4).await?), [3, 9], "the newest is seen");
    assert_eq!(numbers(receipt::around(&mut tx, ORG, "dev-1", 8).await?), [9]);
    assert_eq!(numbers(receipt::around(&mut tx, ORG, "dev-2", 2).await?), [0; 0]);
    tx.commit().await?;
    let unlogged = receipt::unlogged(db, ORG, 2).await?;
    assert_eq!(unlogged.iter().map(|row| row.number).collect::<Vec<_>>(), [1, 2]);
    let proof = |text: &str| BatchRow {
        root: "root".to_owned(),
        size: 2,
        leaf: 4,
        nth_log: 0,
        proof: text.to_owned(),
    };
    let mut tx = db.begin().await?;
    batch::put(&mut tx, ORG, &proof("first")).await?;
    batch::put(&mut tx, ORG, &proof("second")).await?;
    let stand: Vec<_> =
        unlogged.iter().zip(0..).map(|(row, place)| (row, place, r#"["AAAA"]"#.to_owned())).collect();
    receipt::logged(&mut tx, ORG, "root", &stand).await?;
    batch::renew(&mut tx, ORG, "root", (0, 4), "third").await?;
    tx.commit().await?;
    let mut tx = db.begin().await?;
    assert!(receipt::around(&mut tx, ORG, "dev-1", 1).await?[0].batch.is_some());
    assert!(receipt::insert(&mut tx, ORG, &[new_receipt(1, "z", None)]).await.is_err(), "a number has one");
    drop(tx);
    let logged = receipt::logged_from(db, ORG, "dev-1", 2, 10).await?;
    assert_eq!(
        logged.iter().map(|row| (row.number, row.place, row.proof.as_str())).collect::<Vec<_>>(),
        [(2, 1, "third")]
    );
    assert_eq!(logged[0].path(), Some(vec![vec![0, 0, 0]]));
    assert_eq!(
        receipt::logged_behind(db, ORG, "root", 10).await?,
        [],
        "all behind the first is of the same batch"
    );
    let rest: Vec<Unlogged> = receipt::unlogged(db, ORG, 10).await?;
    assert_eq!(rest.iter().map(|row| row.number).collect::<Vec<_>>(), [3, 9]);
    let first = receipt::page(db, ORG, "", 3).await?;
    let next = receipt::page(db, ORG, &first[2].cursor(), 3).await?;
    assert_eq!(next.iter().map(|row| row.number).collect::<Vec<_>>(), [9]);
    assert!(first[0].clone().view().place.is_some() && next[0].clone().view().place.is_none());
    assert_eq!(receipt::of_job(db, ORG, JOB).await?.len(), 4);
    let rows = of_job(db, ORG, JOB).await?;
    assert_eq!(rows.iter().map(|row| row.note.as_deref()).collect::<Vec<_>>(), [Some("note 3"), None]);
    Ok(())
}

/// Seventy-four rows are a statement of sixty-four, one of eight and two of one.
async fn many_go_at_once(db: &Db) -> Result<(), StoreError> {
    let names: Vec<String> = (10..84).map(|number| format!("dev-{number}")).collect();
    let mut tx = db.begin().await?;
    for name in &names {
        device::insert(&mut tx, ORG, &device_row(name, "many")).await?;
    }
    let said: Vec<_> = names
        .iter()
        .map(|name| {
            (name.clone(), Said { hostname: format!("host of {name}"), policy_number: 7, ..Said::default() })
        })
        .collect();
    device::said(&mut tx, ORG, &said, 77).await?;
    insert_waiting(&mut tx, ORG, JOB, &names, 4).await?;
    let going: Vec<Sent> = names
        .iter()
        .zip(100..)
        .map(|(name, sent_ms)| {
            let (job, device) = (JOB.to_owned(), name.clone());
            Sent { job, device, challenge: format!("c {name}"), sent_ms }
        })
        .collect();
    let third = round::insert(&mut tx, ORG, &[3; 64], "[]").await?;
    sent(&mut tx, ORG, third, &going).await?;
    let receipts: Vec<NewReceipt> = names
        .iter()
        .map(|name| NewReceipt {
            device: name.clone(),
            job: None,
            ..new_receipt(1, &format!("h {name}"), None)
        })
        .collect();
    receipt::insert(&mut tx, ORG, &receipts).await?;
    let newest =
        receipt::newest(&mut tx, ORG, &["dev-1".to_owned(), "dev-2".to_owned(), "dev-10".to_owned()]).await?;
    let mut newest: Vec<_> =
        newest.iter().map(|row| (row.device.as_str(), row.number, row.hash.as_str())).collect();
    newest.sort_unstable();
    assert_eq!(newest, [("dev-1", 9, "i"), ("dev-10", 1, "h dev-10")]);
    tx.commit().await?;
    for name in &names {
        let row = device::get(db, ORG, name).await?.unwrap();
        let expected = (format!("host of {name}"), 7, 77);
        assert_eq!((row.hostname, row.policy_number, row.last_seen_ms), expected);
        assert_eq!(device::retired(db, ORG, name).await?, Some(false));
    }
    let of_dev_1 = device::get(db, ORG, "dev-1").await?.unwrap();
    assert_eq!(of_dev_1.last_seen_ms, 6, "nobody else has said anything");
    assert_eq!(device::retired(db, ORG, "dev-3").await?, Some(true));
    assert_eq!(device::retired(db, ORG, "dev-99").await?, None);
    for sent in &going {
        let row = evidence(db, ORG, JOB, &sent.device).await?.unwrap();
        assert_eq!((row.challenge, row.sent_ms), (sent.challenge.clone(), sent.sent_ms));
    }
    let unlogged = receipt::unlogged(db, ORG, 100).await?;
    let unlogged: Vec<&Unlogged> = unlogged.iter().filter(|row| names.contains(&row.device)).collect();
    assert_eq!(unlogged.len(), names.len());
    let proof =
        BatchRow { root: "many".to_owned(), size: 74, leaf: 9, nth_log: 0, proof: "proof".to_owned() };
    let stand: Vec<_> =
        unlogged.iter().zip(0..).map(|(row, place)| (*row, place, format!("{place}"))).collect();
    let mut tx = db.begin().await?;
    batch::put(&mut tx, ORG, &proof).await?;
    receipt::logged(&mut tx, ORG, "many", &stand).await?;
    tx.commit().await?;
    for (row, place, path) in &stand {
        let found = receipt::logged_from(db, ORG, &row.device, 1, 9).await?;
        let found: Vec<_> = found.into_iter().map(|row| (row.number, row.place, row.path)).collect();
        assert_eq!(found, [(1, *place, path.clone())]);
    }
    late_receipts_are_told_with_those_behind(db).await?;
    assert_eq!(open_on(db, ORG, &names).await?.len(), names.len());
    Ok(())
}

/// Receipts 3 and 9 of a device are logged after another that came before them.
async fn late_receipts_are_told_with_those_behind(db: &Db) -> Result<(), StoreError> {
    for (root, numbers) in [("behind", [9]), ("late", [3])] {
        let unlogged = receipt::unlogged(db, ORG, 100).await?;
        let unlogged: Vec<_> = unlogged.iter().filter(|row| numbers.contains(&row.number)).collect();
        let stand: Vec<_> = unlogged.iter().map(|row| (*row, 0, "[]".to_owned())).collect();
        assert_eq!(stand.len(), 1);
        let proof =
            BatchRow { root: root.to_owned(), size: 1, leaf: 10, nth_log: 0, proof: "proof".to_owned() };
        let mut tx = db.begin().await?;
        batch::put(&mut tx, ORG, &proof).await?;
        receipt::logged(&mut tx, ORG, root, &stand).await?;
        tx.commit().await?;
    }
    let behind = receipt::logged_behind(db, ORG, "late", 10).await?;
    assert_eq!(behind.iter().map(|row| (row.number, row.root.as_str())).collect::<Vec<_>>(), [(9, "behind")]);
    assert_eq!(receipt::logged_behind(db, ORG, "late", 6).await?, [], "too far behind");
    Ok(())
}

async fn output_is_kept_in_its_order(db: &Db) -> Result<(), StoreError> {
    let piece =
        |place, bytes: &[u8]| OutputRow { occurrence: 0, step: 0, place, stream: 1, bytes: bytes.to_vec() };
    let (first, second) = (piece(0, b"hello "), piece(6, b"world"));
    let mut tx = db.begin().await?;
    let other = piece(0, b"other");
    fn row(row: &OutputRow) -> (String, String, &OutputRow) {
        (JOB.to_owned(), "dev-1".to_owned(), row)
    }
    let is_new = |place| (JOB.to_owned(), "dev-1".to_owned(), 0, place);
    assert_eq!(output::insert(&mut tx, ORG, &[row(&second), row(&first)]).await?, [is_new(6), is_new(0)]);
    assert_eq!(output::insert(&mut tx, ORG, &[row(&other)]).await?, [], "a place has one");
    tx.commit().await?;
    let kept = |newest, bytes, pieces| Some(Kept { newest, bytes, pieces });
    assert_eq!(output::kept(db, ORG, JOB, "dev-1", (0, 0)).await?, kept(0, 11, 2));
    assert_eq!(output::kept(db, ORG, JOB, "dev-1", (0, 1)).await?, kept(0, 0, 0));
    assert_eq!(output::of(db, ORG, JOB, "dev-1").await?, [first, second]);
    let again = OutputRow { occurrence: 3, ..piece(0, b"again") };
    let mut tx = db.begin().await?;
    assert_eq!(output::forget_before(&mut tx, ORG, JOB, "dev-1", 3).await?, 2);
    assert_eq!(output::insert(&mut tx, ORG, &[row(&again)]).await?, [is_new(0)]);
    tx.commit().await?;
    assert_eq!(output::kept(db, ORG, JOB, "dev-1", (0, 0)).await?, kept(3, 0, 0));
    assert_eq!(output::of(db, ORG, JOB, "dev-1").await?, [again]);
    Ok(())
}

async fn facts_are_kept_once_a_kind(db: &Db) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    let rows = [
        ("dev-1", "frames", "one", "[]", 5),
        ("dev-1", "frames", "two", r#"["n"]"#, 7),
        ("dev-2", "clone", "c", "[]", 8),
    ];
    for (device, kind, words, evidence, at) in rows {
        assert_eq!(fact::put(&mut tx, ORG, device, kind, words, evidence, at).await?, 1);
    }
    tx.commit().await?;
    let frames = FactRow {
        device: "dev-1".to_owned(),
        kind: "frames".to_owned(),
        words: "two".to_owned(),
        evidence: r#"["n"]"#.to_owned(),
        times: 2,
        first_ms: 5,
        last_ms: 7,
    };
    assert_eq!(fact::between(db, ORG, "dev-1", "dev-1").await?, [frames]);
    assert_eq!(fact::between(db, ORG, "dev-1", "dev-9").await?.len(), 2);
    assert_eq!(fact::devices(db, ORG, "clone").await?, [("dev-2".to_owned(),)]);
    assert!(device::is_known(db, "dev-1").await? && !device::is_known(db, "dev-9").await?);
    Ok(())
}

/// A device that has used up what it may bring unasked may bring some more the next day, and never more than at first.
async fn receipts_that_nobody_asked_for_come_back_by_the_day(db: &Db) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    for (left_then, day, may) in [
        (1, 20_000, 1),
        (0, 20_001, device::UNASKED.1),
        (5, 20_001, device::UNASKED.1 + 5),
        // A clock that went back.
        (0, 19_000, 0),
        (0, 20_365, device::UNASKED.0),
        (device::UNASKED.0, 20_365, device::UNASKED.0),
    ] {
        query!(
            tx: execute &mut tx,
            "UPDATE device SET receipts_left = $1, receipts_day = 20000 WHERE org = $2 AND id = 'dev-1'",
            left_then,
            ORG,
        )?;
        let took = device::take_receipt(&mut tx, ORG, "dev-1", day * 86_400_000).await?;
        let row = query!(tx: fetch_one (i64,), &mut tx, "SELECT receipts_left FROM device WHERE org = $1 AND id = 'dev-1'", ORG)?;
        assert_eq!(
            (i64::try_from(took).ok(), row.0),
            (Some(may.min(1)), (may - 1).max(0)),
            "{left_then} on {day}"
        );
    }
    drop(tx);
    Ok(())
}
