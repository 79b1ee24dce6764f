//! Receipts that nobody asked for, without end, hidden, and forged.

use std::time::Duration;

use countersign_server::store::Db;
use countersign_trust::ids::Sha256;
use countersign_trust::note::Note;
use countersign_wire::http::{Page, ReceiptView};
use countersign_wire::message::{self, from_agent};

use super::{fact, served, view};
use crate::agent::{Agent, receipt_frame, seed};
use crate::organization::device_signer;
use crate::receipts::{chain_of, said_of};
use crate::wire::Wire;
use crate::world::{World, until};

/// As whoever owns the database: what a device may still bring about nothing it was given.
async fn leave(world: &World, till: &Agent, receipts: i64) {
    let Db::Lite { write, .. } = &world.server.app.db else { panic!("SQLite") };
    // Of a day that never comes, so that no midnight gives it more.
    let left = "UPDATE device SET receipts_day = 999999, receipts_left = ? WHERE id = ?";
    let left = sqlx::query(left).bind(receipts).bind(till.id().to_string()).execute(write).await.unwrap();
    assert_eq!(left.rows_affected(), 1);
}

async fn kept(world: &World, till: &Agent) -> i64 {
    let Db::Lite { read, .. } = &world.server.app.db else { panic!("SQLite") };
    let count = "SELECT COUNT(*) FROM receipt WHERE device = ?";
    sqlx::query_scalar(count).bind(till.id().to_string()).fetch_one(read).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_that_nobody_asked_for_are_kept_up_to_a_number_and_then_the_device_is_cut_off() {
    let world = World::new().await;
    let [till, honest] = world.tills(["till-1", "honest"]).await;
    leave(&world, &till, 100).await;
    let invented = chain_of(&till, 150);
    invented.iter().for_each(|note| till.send_if_there(receipt_frame(note)));
    until("it is cut off", async || till.mind().sorry.is_some()).await;
    assert!(till.mind().sorry.as_ref().unwrap().contains("more receipts than it was asked for"));
    assert!(fact(&world, &till.id(), "receipts").await.is_some());
    assert_eq!(kept(&world, &till).await, 100);
    served(&world, &honest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_about_a_job_have_a_number_too_and_one_that_was_not_given_counts_for_nothing() {
    let world = World::new().await;
    let [till, honest] = world.tills(["till-1", "honest"]).await;
    let ids = [till.id()];
    let job = world.order(&world.job(&ids), &ids).await;
    until("it ended", async || world.on(&job, &till.id()).await.verdict == "ended").await;
    until("all are acknowledged", async || till.mind().spooled() == 0).await;
    leave(&world, &till, 0).await;
    // A job of one step: 4 and 64 beside, of which two were used.
    let mut last = till.mind().receipts.last().cloned().unwrap();
    for number in 3..80 {
        last = about(&till, number, &last, job);
        till.send_if_there(receipt_frame(&last));
    }
    until("it is cut off", async || till.mind().sorry.is_some()).await;
    assert_eq!(kept(&world, &till).await, 68);
    served(&world, &honest).await;
}

/// A refusal of `job`.
fn about(till: &Agent, number: u64, last: &Note, job: Sha256) -> Note {
    let last = Sha256::of(last.text().as_bytes());
    let said =
        said_of(till, number, Some(last), "invented").text().replace("job none", &format!("job {job}"));
    device_signer(&till.name).note(said).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_is_left_out_is_noted() {
    let world = World::new().await;
    let [till, honest] = world.tills(["till-1", "honest"]).await;
    let chain = chain_of(&till, 4);
    for hidden in [&chain[0], &chain[3]] {
        till.send(receipt_frame(hidden));
    }
    until("it is noted", async || fact(&world, &till.id(), "gaps").await.is_some()).await;
    let noted = fact(&world, &till.id(), "gaps").await.unwrap();
    assert!(noted.words.contains("its receipt 4 came and the one before it is not here"), "{}", noted.words);
    assert!(!view(&world, &till.id()).await.stopped);
    served(&world, &honest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_short_and_written_in_one_way() {
    let world = World::new().await;
    let [mut till, honest] = world.tills(["till-1", "honest"]).await;
    till.disconnect().await;
    let good = said_of(&till, 1, None, "short");
    let padded = format!("{good}{}", "— other.example AAAAAAAA\n".repeat(60)).repeat(2);
    let wordy = good.text().replace("because short", &format!("because {}", "x".repeat(600)));
    let wordy = device_signer("till-1").note(wordy).unwrap().to_string();
    let cases = [("padded", padded, "at most 4096 are read"), ("wordy", wordy, "expected `because")];
    for (name, note, expected) in cases {
        let mut wire = Wire::connect(world.server.address, &seed("till-1")).await;
        wire.send(from_agent::What::Hello(till.hello())).await;
        wire.send(from_agent::What::Receipt(message::Receipt { note })).await;
        let why = wire.sorry().await;
        assert!(why.contains(expected), "{name}: {why}");
    }
    assert_eq!(kept(&world, &till).await, 0);
    assert_eq!(fact(&world, &till.id(), "frames").await.unwrap().times, 2);
    served(&world, &honest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_devices_receipts_are_nobodys_and_the_liar_is_named() {
    let world = World::new().await;
    let [till, mut thief, honest] = world.tills(["till-1", "thief", "honest"]).await;
    thief.disconnect().await;
    let by_till = said_of(&till, 1, None, "a word of till-1");
    let by_thief = device_signer("thief").note(by_till.text().to_owned()).unwrap();
    for note in [by_till, by_thief] {
        let mut wire = Wire::connect(world.server.address, &seed("thief")).await;
        wire.send(from_agent::What::Hello(thief.hello())).await;
        wire.send_bytes(&receipt_frame(&note)).await;
        wire.sorry().await;
    }
    let page: Page<ReceiptView> = world.get("receipts").await;
    assert_eq!(page.items, []);
    assert_eq!(fact(&world, &thief.id(), "frames").await.unwrap().times, 2);
    assert_eq!(view(&world, &till.id()).await.facts, []);
    served(&world, &honest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_receipt_again_and_again_takes_no_room_and_nobody_waits() {
    let world = World::new().await;
    let [mut till, honest] = world.tills(["till-1", "honest"]).await;
    let first = chain_of(&till, 1).remove(0);
    till.disconnect().await;
    let mut wire = Wire::connect(world.server.address, &seed("till-1")).await;
    wire.send(from_agent::What::Hello(till.hello())).await;
    let flood = tokio::spawn(async move {
        loop {
            wire.send_bytes(&receipt_frame(&first)).await;
            let _ = tokio::time::timeout(Duration::ZERO, wire.read()).await;
        }
    });
    for _ in 0..3 {
        served(&world, &honest).await;
    }
    flood.abort();
    assert_eq!(kept(&world, &till).await, 1);
}

/// As many as a device may really bring.
mod long {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_device_that_invents_receipts_without_end_fills_no_disk() {
        let world = World::new().await;
        let [till, honest] = world.tills(["till-1", "honest"]).await;
        let mut last = None;
        for number in 1..=9_000 {
            let note = said_of(&till, number, last, "invented");
            last = Some(Sha256::of(note.text().as_bytes()));
            till.send(receipt_frame(&note));
        }
        served(&world, &honest).await;
        until("it is cut off", async || till.mind().sorry.is_some()).await;
        assert_eq!(kept(&world, &till).await, 8_192);
        served(&world, &honest).await;
    }
}
