//! The records: the same on PostgreSQL, and what happens when the disk is full.

use countersign_server::config::Database;
use countersign_server::log;
use countersign_server::store::Db;
use countersign_trust::chain::log_keys;
use countersign_trust::checkpoint::verify_logged;
use countersign_wire::http::{Page, PostStatement, ReceiptView, StatementView};

use crate::organization::sign;
use crate::postgres::Postgres;
use crate::world::{World, now, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_comes_to_its_end_with_records_in_postgresql() {
    let postgres = Postgres::start();
    let world = World::with_records(Database::Postgres(postgres.database()), |_| ()).await;
    let tills = world.tills(["till-1", "till-2"]).await;
    let ids = tills.each_ref().map(crate::agent::Agent::id);
    let job = world.order(&world.job(&ids), &ids).await;
    for id in ids {
        until("it ended", async || world.on(&job, &id).await.verdict == "ended").await;
    }
    until("receipts are logged", async || {
        let receipts: Page<ReceiptView> = world.get("receipts").await;
        receipts.items.len() == 4 && receipts.items.iter().all(|receipt| receipt.place.is_some())
    })
    .await;
    let world = world.restart().await;
    assert_eq!(world.on(&job, &ids[0]).await.verdict, "ended");
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_in_a_sentence_and_nothing_is_lost() {
    let world = World::new().await;
    let Db::Lite { write, .. } = &world.server.app.db else { panic!("SQLite") };
    let pages = async |most: i64| {
        let pragma = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {most}"));
        sqlx::query(pragma).execute(write).await.unwrap();
    };
    // Less than there is: SQLite takes what there is.
    pages(1).await;
    let mut job = world.job(&[]);
    job.why = crate::organization::word(&"x".repeat(400));
    job.steps = vec![crate::organization::script(&["y".repeat(300).as_str(); 100])];
    let signed = sign(&job, &["anna", "bo"]);
    let body = PostStatement { signed: signed.to_string(), targets: Vec::new() };
    let path = format!("/v1/orgs/{}/statements", world.org);
    let problem = world.http.refused("POST", &path, &serde_json::to_string(&body).unwrap()).await;
    assert_eq!((problem.status, problem.code.as_str()), (507, "disk_full"));
    assert!(problem.detail.contains("free some space"), "{}", problem.detail);
    // The connection that met the full disk is not used again, and the next one knows no bound.
    let view: StatementView = world.http.post(&path, &body).await;
    assert_eq!(view.state, "logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_met_a_full_disk_goes_on_as_the_records_have_it() {
    let world = World::new().await;
    let (app, org) = (&world.server.app, world.server.app.orgs.get(&world.org).unwrap());
    let Db::Lite { write, .. } = &app.db else { panic!("SQLite") };
    sqlx::query("PRAGMA max_page_count = 1").execute(write).await.unwrap();
    let entries = |name: &str| (0..500).map(|number| format!("{name} {number}\n")).collect::<Vec<_>>();
    let full = log::append(app, &org, entries("lost")).await.unwrap_err().to_string();
    assert!(full.contains("full"), "{full}");
    let proofs = log::append(app, &org, entries("kept")).await.unwrap();
    let keys = log_keys(&world.policy, &world.policy.witnesses);
    let last = verify_logged(&proofs[499], b"kept 499\n", keys).unwrap();
    assert_eq!((last.index(), last.size()), (500, 501));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_policy_makes_enough_goes_on_though_the_server_stopped_between_the_policy_and_that() {
    let mut world = World::new().await;
    let batch = world.batch_text(5, now().plus(3_600));
    let waits = sign(&batch, &["anna"]);
    assert!(world.post(&waits, &[]).await.missing.starts_with("1 of 2"));
    let silent = world.silence_witness().await;
    world.decide(|policy| policy.quorums.enroll.need = std::num::NonZeroU8::MIN).await;
    // The policy has its proof, and the witness that says nothing is being told of it before anything else follows.
    let path = format!("statements/{}", waits.hash());
    assert!(world.get::<StatementView>(&path).await.missing.starts_with("1 of 2"));
    let world = world.restart().await;
    drop(silent);
    until("one is enough now", async || world.get::<StatementView>(&path).await.state == "logged").await;
}
