//! How devices take their places in a batch.

use countersign_server::store::wish as wishes;
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::note::KeyKind;
use countersign_trust::note::NoteSigner;
use countersign_wire::http::{EnrollmentEvidence, Page};
use countersign_wire::message::{self, from_agent};

use crate::agent::{Agent, ask_to_join, records, seed, wish};
use crate::wire::Wire;
use crate::world::{World, now, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_for_as_many_devices_as_it_says() {
    let world = World::new().await;
    let batch = world.batch(2, now().plus(3_600)).await;
    let (first, second) = tokio::join!(
        Agent::join(world.server.address, world.org, batch, "till-1"),
        Agent::join(world.server.address, world.org, batch, "till-2"),
    );
    let third = ask_to_join(world.server.address, "till-3", &wish(world.org, batch, "till-3")).await;
    assert!(third.unwrap_err().starts_with("2 devices have joined with this token"));
    world.until_connected(2).await;
    drop((first, second));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_do_not_get_more_places_than_there_are() {
    let world = World::new().await;
    let batch = world.batch(3, now().plus(3_600)).await;
    let wishes = (0..8).map(|number| {
        let (server, org) = (world.server.address, world.org);
        tokio::spawn(async move {
            let name = format!("till-{number}");
            ask_to_join(server, &name, &wish(org, batch, &name)).await.is_ok()
        })
    });
    let mut joined = 0;
    for wish in wishes.collect::<Vec<_>>() {
        joined += usize::from(wish.await.unwrap());
    }
    assert_eq!(joined, 3);
    assert_eq!(world.view().await.devices, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_join_again_gets_the_same_answer() {
    let world = World::new().await;
    let batch = world.batch(1, now().plus(3_600)).await;
    let note = wish(world.org, batch, "till-1");
    let first = ask_to_join(world.server.address, "till-1", &note).await.unwrap();
    let size = world.view().await.log_size;
    let again = ask_to_join(world.server.address, "till-1", &note).await.unwrap();
    assert_eq!((&first.chain, &first.enroll, &first.proof), (&again.chain, &again.enroll, &again.proof));
    assert_eq!(world.view().await.log_size, size, "nothing new stands in the log");
    let mut agent =
        Agent::with(world.server.address, world.org, "till-1", &records(world.org, &again, &note));
    agent.connect().await;
    world.until_connected(1).await;
}

/// What the server shows of joins.
async fn joins(world: &World) -> Vec<EnrollmentEvidence> {
    let mut page: Page<EnrollmentEvidence> = world.get("enrollments").await;
    let mut shown = page.items;
    while let Some(next) = page.next {
        page = world.get(&format!("enrollments?after={next}")).await;
        shown.append(&mut page.items);
    }
    shown.into_iter().filter(|evidence| evidence.join.is_some()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_that_nobody_waits_for_any_more_is_finished_after_a_start() {
    let mut world = World::new().await;
    let batch = world.batch(1, now().plus(3_600)).await;
    world.stop_witnesses(2).await;
    let (server, note) = (world.server.address, wish(world.org, batch, "till-1"));
    let asked = tokio::spawn(async move { ask_to_join(server, "till-1", &note).await.is_ok() });
    until("it is noted", async || {
        let rows = wishes::open(&world.server.app.db, &world.org.to_string()).await;
        rows.is_ok_and(|rows| rows.len() == 1)
    })
    .await;
    let other = ask_to_join(server, "till-2", &wish(world.org, batch, "till-2")).await;
    assert!(other.unwrap_err().starts_with("1 devices have joined"), "its place is taken");
    asked.abort();
    let mut world = world.restart().await;
    assert_eq!((world.view().await.devices, joins(&world).await.len()), (0, 0));
    for number in 1..=2 {
        world.revive_witness(number).await;
    }
    until("it is a device", async || world.view().await.devices == 1).await;
    assert_eq!(joins(&world).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_that_the_log_took_too_late_is_shown_and_is_no_device() {
    let mut world = World::new().await;
    let until_then = now().plus(6);
    let batch = world.batch(1, until_then).await;
    world.stop_witnesses(2).await;
    let (server, note) = (world.server.address, wish(world.org, batch, "till-1"));
    let asked = tokio::spawn(async move { ask_to_join(server, "till-1", &note).await.is_ok() });
    until("it is noted, and its token has ended", async || {
        let rows = wishes::open(&world.server.app.db, &world.org.to_string()).await;
        rows.is_ok_and(|rows| rows.len() == 1) && now() > until_then
    })
    .await;
    for number in 1..=2 {
        world.revive_witness(number).await;
    }
    until("it is shown", async || joins(&world).await.len() == 1).await;
    assert!(!asked.await.unwrap());
    assert_eq!(world.view().await.devices, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_and_saying_hello_may_use_one_connection() {
    let world = World::new().await;
    let batch = world.batch(1, now().plus(3_600)).await;
    let mut wire = Wire::connect(world.server.address, &seed("till-1")).await;
    let note = wish(world.org, batch, "till-1").to_string();
    wire.send(from_agent::What::Join(message::Join { note })).await;
    assert!(wire.next().await.is_some());
    let hello = message::Hello { org: world.org.to_string(), policy_number: 1, ..message::Hello::default() };
    wire.send(from_agent::What::Hello(hello)).await;
    world.until_connected(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_is_refused_with_the_reason() {
    let world = World::new().await;
    let server = world.server.address;
    let batch = world.batch(5, now().plus(3_600)).await;
    let over = world.batch(5, now()).await;
    let mut unsigned = wish(world.org, batch, "till-1").text().to_owned();
    let device = crate::organization::device_signer("till-1");
    let thief = NoteSigner::new("countersign-token", KeyKind::Ed25519, &[9; 32]).unwrap();
    let mut stolen = device.note(std::mem::take(&mut unsigned)).unwrap();
    stolen.add(thief.sign(stolen.text()).unwrap()).unwrap();
    let cases = [
        ("another organization", wish(OrgId([7; 32]), batch, "till-1"), "does not serve org-0707"),
        ("a batch nobody made", wish(world.org, Sha256([7; 32]), "till-1"), "the batch 0707"),
        ("a batch that is over", wish(world.org, over, "till-1"), "the token was good until"),
        ("another device's wish", wish(world.org, batch, "till-2"), "the connection is of"),
        ("not by the token", stolen, "not signed by the token's key"),
    ];
    for (name, note, expected) in cases {
        let why = ask_to_join(server, "till-1", &note).await.unwrap_err();
        assert!(why.contains(expected), "{name}: {why}");
    }
    assert_eq!(world.view().await.devices, 0);
}
