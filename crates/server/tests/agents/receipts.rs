//! Receipts: acknowledged by cosigned inclusion, whatever order they come in, and forged ones not at all.

use countersign_trust::device::Input;
use countersign_trust::ids::Sha256;
use countersign_trust::receipt::Receipt;
use countersign_trust::verify::Refusal;
use countersign_wire::http::{Page, ReceiptView};
use countersign_wire::message::{Challenge, from_agent};

use crate::agent::{Agent, ending, frame, receipt_frame, seed};
use crate::organization::device_signer;
use crate::wire::Wire;
use crate::world::{World, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_device_lets_go_of_receipts_once_they_stand_in_the_witnessed_log() {
    let world = World::new().await;
    let [till] = world.tills(["till-1"]).await;
    let ids = [till.id()];
    for _ in 0..3 {
        let job = world.order(&world.job(&ids), &ids).await;
        until("it ended", async || world.on(&job, &till.id()).await.verdict == "ended").await;
    }
    until("all are acknowledged", async || till.mind().spooled() == 0).await;
    let page: Page<ReceiptView> = world.get("receipts").await;
    assert_eq!(page.items.len(), 6);
    for (receipt, number) in page.items.iter().zip(1..) {
        assert_eq!(receipt.number, number);
        assert!(receipt.place.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_enough_witnesses_a_device_keeps_its_receipts() {
    let mut world = World::new().await;
    let [mut till] = world.tills(["till-1"]).await;
    let ids = [till.id()];
    till.disconnect().await;
    let job = world.order(&world.job(&ids), &ids).await;
    world.stop_witnesses(2).await;
    till.connect().await;
    until("it ended", async || world.on(&job, &till.id()).await.verdict == "ended").await;
    assert_eq!(till.mind().spooled(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_in_any_order_and_twice_are_kept_once_and_all_acknowledged() {
    let world = World::new().await;
    let [mut till] = world.tills(["till-1"]).await;
    let ids = [till.id()];
    let jobs = [world.job(&ids), world.job(&ids)];
    for job in &jobs {
        let job = world.order(job, &ids).await;
        until("it ended", async || world.on(&job, &till.id()).await.verdict == "ended").await;
    }
    until("all are acknowledged", async || till.mind().spooled() == 0).await;
    let mut receipts = till.mind().receipts.clone();
    receipts.reverse();
    for receipt in receipts.iter().chain(&receipts) {
        till.send(receipt_frame(receipt));
    }
    let third = world.order(&world.job(&ids), &ids).await;
    until("it ended", async || world.on(&third, &till.id()).await.verdict == "ended").await;
    until("all are acknowledged", async || till.mind().spooled() == 0).await;
    till.disconnect().await;
    let page: Page<ReceiptView> = world.get("receipts").await;
    assert_eq!(page.items.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_comes_backwards_is_let_go_of_all_the_same() {
    let world = World::new().await;
    let [till] = world.tills(["till-1"]).await;
    // Five receipts by the device's own key, of which the newest comes first.
    let notes = chain_of(&till, 5);
    for note in notes.iter().rev() {
        till.send(receipt_frame(note));
    }
    until("all stand in the log", async || {
        let page: Page<ReceiptView> = world.get("receipts").await;
        page.items.len() == 5 && page.items.iter().all(|receipt| receipt.place.is_some())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_the_device_has_not_made_ends_the_connection_and_is_not_kept() {
    let world = World::new().await;
    let [till, mut thief] = world.tills(["till-1", "thief"]).await;
    thief.disconnect().await;
    let honest = said_of(&till, 1, None, "a word of till-1");
    let mut by_thief: Receipt = honest.text().parse().unwrap();
    by_thief.because = countersign_trust::receipt::Reason::new("a lie");
    let forged = device_signer("thief").note(by_thief.to_string()).unwrap();
    for (note, expected) in [(honest, "is not signed by"), (forged, "the receipt is of")] {
        let mut wire = Wire::connect(world.server.address, &seed("thief")).await;
        wire.send(from_agent::What::Hello(thief.hello())).await;
        wire.send_bytes(&receipt_frame(&note)).await;
        let why = wire.sorry().await;
        assert!(why.contains(expected), "{why}");
    }
    let page: Page<ReceiptView> = world.get("receipts").await;
    assert_eq!(page.items, []);
    // The device of whom it was is still there.
    let ids = [till.id()];
    till.send(frame(from_agent::What::Challenge(Challenge {
        random: till.mind().device.challenge().unwrap().to_vec(),
    })));
    let job = world.order(&world.job(&ids), &ids).await;
    until("it ended", async || world.on(&job, &till.id()).await.verdict == "ended").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_before_a_restart_is_logged_after_it() {
    let world = World::new().await;
    let [mut till] = world.tills(["till-1"]).await;
    let ids = [till.id()];
    till.mind().holds = true;
    let job = world.order(&world.job(&ids), &ids).await;
    until("it runs", async || world.on(&job, &till.id()).await.verdict == "accepted").await;
    let world = world.restart().await;
    until("it is told to go", async || till.mind().sorry.is_some()).await;
    assert!(till.mind().sorry.as_ref().unwrap().contains("the server is stopping"));
    till.disconnect().await;
    let step = till.mind().ran[0];
    till.mind().hear(Input::Ended(step, ending("exit 0")));
    till.server = world.server.address;
    till.connect().await;
    until("it ended", async || world.on(&job, &till.id()).await.verdict == "ended").await;
    until("all are acknowledged", async || till.mind().spooled() == 0).await;
    assert_eq!(till.mind().ran.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn that_a_job_was_brought_twice_does_not_hide_how_it_ended() {
    let world = World::new().await;
    let [till] = world.tills(["till-1"]).await;
    let ids = [till.id()];
    let job = world.order(&world.job(&ids), &ids).await;
    until("it ended", async || world.on(&job, &till.id()).await.verdict == "ended").await;
    // What the device would say if its server brought it the job again.
    let again = Refusal::Again { step: 1 }.to_string();
    let last = till.mind().receipts.last().map(|note| Sha256::of(note.text().as_bytes()));
    let mut said: Receipt = said_of(&till, 3, last, &again).text().parse().unwrap();
    said.job = Some(job);
    let note = device_signer("till-1").note(said.to_string()).unwrap();
    till.send(receipt_frame(&note));
    until("it is kept", async || world.get::<Page<ReceiptView>>("receipts").await.items.len() == 3).await;
    assert_eq!(world.on(&job, &till.id()).await.verdict, "ended");
}

/// Receipts 1 to `count` of a device, each naming the one before.
pub fn chain_of(agent: &Agent, count: u64) -> Vec<countersign_trust::note::Note> {
    let mut notes: Vec<countersign_trust::note::Note> = Vec::new();
    for number in 1..=count {
        let previous = notes.last().map(|note| Sha256::of(note.text().as_bytes()));
        notes.push(said_of(agent, number, previous, "a test"));
    }
    notes
}

/// A refusal of nothing in particular, signed by the device.
pub fn said_of(
    agent: &Agent,
    number: u64,
    previous: Option<Sha256>,
    why: &str,
) -> countersign_trust::note::Note {
    use countersign_trust::receipt::{Reason, Verdict};
    let mind = agent.mind();
    let ledger = mind.device.ledger();
    let receipt = Receipt {
        org: ledger.chain().unwrap().org(),
        device: agent.id(),
        number,
        previous,
        job: None,
        occurrence: 0,
        step: 0,
        verdict: Verdict::Refused,
        count: 1,
        code: Some("again".parse().unwrap()),
        because: Reason::new(why),
        output: None,
        kept: 0,
        dropped: 0,
        policy: ledger.chain().unwrap().policy().hash,
        enroll: ledger.enrolled().unwrap().enroll,
        time: crate::world::now(),
    };
    device_signer(&agent.name).note(receipt.to_string()).unwrap()
}
