//! One device key on two machines: both are noticed, and neither gets anything until it is enrolled anew.

use countersign_trust::note::Note;
use countersign_wire::http::{JobEvent, Page, ReceiptView};

use super::{fact, served, view};
use crate::agent::{Agent, ask_to_join, receipt_frame, records, wish};
use crate::receipts::{chain_of, said_of};
use crate::world::{World, now, until};

/// A device and its copy, on two addresses, and an honest neighbour.
async fn twins(world: &World) -> (Agent, Agent, Agent) {
    let batch = world.batch(2, now().plus(3_600)).await;
    let note = wish(world.org, batch, "twin");
    let joined = ask_to_join(world.server.address, "twin", &note).await.unwrap();
    let disk = records(world.org, &joined, &note);
    let mut twins = [(); 2].map(|()| Agent::with(world.server.address, world.org, "twin", &disk));
    twins[1].from = [127, 0, 0, 2];
    let [first, second] = twins;
    let honest = Agent::join(world.server.address, world.org, batch, "honest").await;
    (first, second, honest)
}

/// The agents connect in turn, each once the other has taken its place, until the device is stopped.
async fn take_turns(world: &World, agents: [&mut Agent; 2]) {
    let [first, second] = agents;
    first.connect().await;
    until("the first is there", async || is_in(world, first)).await;
    for _ in 0..2 {
        second.connect().await;
        until("the first is dismissed", async || first.mind().sorry.take().is_some()).await;
        if world.server.app.gate.is_stopped(&world.org, &first.id()) {
            return;
        }
        first.connect().await;
        let heard = async || second.mind().sorry.take().is_some();
        until("the second is dismissed", heard).await;
    }
    panic!("two agents took turns four times, and nobody noticed");
}

fn is_in(world: &World, agent: &Agent) -> bool {
    world.server.app.gate.is_connected(&world.org, &agent.id())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_machine_is_noticed_both_places_are_named_and_neither_runs_anything() {
    let world = World::new().await;
    let (mut first, mut second, honest) = twins(&world).await;
    take_turns(&world, [&mut first, &mut second]).await;
    until("it is noted", async || view(&world, &first.id()).await.stopped).await;
    let noted = fact(&world, &first.id(), "clone").await.unwrap();
    assert!(noted.words.contains("127.0.0.1") && noted.words.contains("127.0.0.2"), "{}", noted.words);
    for twin in [&mut first, &mut second] {
        twin.mind().sorry = None;
        twin.connect().await;
        until("it is told", async || twin.mind().sorry.is_some()).await;
        let why = twin.mind().sorry.clone().unwrap();
        assert!(why.contains("used in two places") && why.contains("under a new key"), "{why}");
    }
    let noted = fact(&world, &first.id(), "clone").await.unwrap();
    assert!(noted.words.contains("127.0.0.1") && noted.words.contains("127.0.0.2"), "{}", noted.words);

    let ids = [first.id(), honest.id()];
    let job = world.order(&world.job(&ids), &ids).await;
    until("the neighbour ended", async || world.on(&job, &honest.id()).await.verdict == "ended").await;
    assert_eq!(world.on(&job, &first.id()).await.verdict, "waiting");
    assert!(first.mind().ran.is_empty() && second.mind().ran.is_empty());
    served(&world, &honest).await;

    // A restart forgives nothing.
    let world = world.restart().await;
    first.server = world.server.address;
    first.mind().sorry = None;
    first.connect().await;
    until("it is told", async || first.mind().sorry.is_some()).await;
    assert!(view(&world, &first.id()).await.stopped);
    assert!(first.mind().ran.is_empty());

    // Under a new key each is a device like any other.
    let batch = world.batch(2, now().plus(3_600)).await;
    for name in ["first-anew", "second-anew"] {
        served(&world, &Agent::join(world.server.address, world.org, batch, name).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_machine_that_connects_and_starts_again_and_again_is_no_clone() {
    let world = World::new().await;
    let (mut first, second, honest) = twins(&world).await;
    drop(second);
    for _ in 0..5 {
        first.connect().await;
        until("it is there", async || is_in(&world, &first)).await;
        first.disconnect().await;
        first.mind().said = 0;
    }
    for _ in 0..5 {
        // The old connection is still open when the new one comes.
        first.connect().await;
        until("it is there", async || is_in(&world, &first)).await;
    }
    served(&world, &first).await;
    served(&world, &honest).await;
    assert_eq!(view(&world, &first.id()).await.facts, []);
}

/// What happens when a device brings these receipts.
async fn bring(world: &World, twin: &Agent, notes: &[Note]) {
    notes.iter().for_each(|note| twin.send(receipt_frame(note)));
    until("it is stopped", async || view(world, &twin.id()).await.stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_receipts_of_one_number_stop_the_device_and_both_are_kept_as_evidence() {
    let world = World::new().await;
    let (mut first, _, honest) = twins(&world).await;
    first.connect().await;
    let (chain, other) = (chain_of(&first, 2), said_of(&first, 1, None, "something else"));
    bring(&world, &first, &[chain[0].clone(), other.clone(), chain[1].clone()]).await;
    let noted = fact(&world, &first.id(), "clone").await.unwrap();
    assert_eq!(noted.evidence, [chain[0].to_string(), other.to_string()]);
    let page: Page<ReceiptView> = world.get("receipts").await;
    assert_eq!(page.items[0].note, chain[0].to_string(), "the first that came is the one");
    until("it is told", async || first.mind().sorry.is_some()).await;
    served(&world, &honest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_names_another_as_the_one_before_stops_the_device() {
    let world = World::new().await;
    let (mut first, _, honest) = twins(&world).await;
    first.connect().await;
    let chain = chain_of(&first, 1);
    let forked = said_of(&first, 2, Some(countersign_trust::ids::Sha256([7; 32])), "after another");
    bring(&world, &first, &[chain[0].clone(), forked.clone()]).await;
    let noted = fact(&world, &first.id(), "clone").await.unwrap();
    assert_eq!(noted.evidence, [chain[0].to_string(), forked.to_string()]);
    served(&world, &honest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_the_next_one_does_not_name_stops_the_device() {
    let world = World::new().await;
    let (mut first, _, honest) = twins(&world).await;
    first.connect().await;
    let chain = chain_of(&first, 2);
    let older = said_of(&first, 1, None, "a machine set back begins again");
    bring(&world, &first, &[chain[1].clone(), older]).await;
    served(&world, &honest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_a_job_hears_that_its_device_was_stopped() {
    let world = World::new().await;
    let (mut first, mut second, _honest) = twins(&world).await;
    let ids = [first.id()];
    let mut later = world.job(&ids);
    later.not_before = now().plus(1_800);
    let job = world.order(&later, &ids).await;
    let mut events = world.events(&job).await;
    take_turns(&world, [&mut first, &mut second]).await;
    let stopped = events.until(|event| matches!(event, JobEvent::Stopped { .. })).await;
    let Some(JobEvent::Stopped { device, why }) = stopped.last() else { panic!("{stopped:?}") };
    assert_eq!(*device, ids[0].to_string());
    assert!(why.contains("127.0.0.1") && why.contains("127.0.0.2"), "{why}");
}
