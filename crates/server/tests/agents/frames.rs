//! What does not belong on a connection: it ends that connection, says why, and harms nobody else.

use std::time::Instant;

use countersign_trust::delivery::News;
use countersign_trust::ids::{Sha256, StatementId};
use countersign_trust::ledger::StepKey;
use countersign_trust::statement::halt::{Halt, Scope};
use countersign_wire::frame::MOST_FROM_AGENT;
use countersign_wire::message::{Challenge, Halted, Hello, from_agent};

use crate::agent::{Agent, frame, output_frame, seed};
use crate::organization::{sign, word};
use crate::wire::{PATIENCE, Wire};
use crate::world::{World, now, until};

/// A connection that has said hello for `till`.
async fn known(world: &World, till: &mut Agent) -> Wire {
    till.disconnect().await;
    let mut wire = Wire::connect(world.server.address, &seed(&till.name)).await;
    wire.send(from_agent::What::Hello(till.hello())).await;
    wire
}

/// The server goes on as if nothing had been.
async fn still_serves(world: &World, till: &Agent) {
    let ids = [till.id()];
    let job = world.order(&world.job(&ids), &ids).await;
    until("it ended", async || world.on(&job, &till.id()).await.verdict == "ended").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_frame_ends_the_connection_with_a_sentence() {
    let world = World::new().await;
    let [mut till, other] = world.tills(["till-1", "till-2"]).await;
    let too_large = u32::try_from(MOST_FROM_AGENT + 1).unwrap().to_be_bytes().to_vec();
    let challenge = frame(from_agent::What::Challenge(Challenge { random: vec![1; 31] }));
    let unknown = output_frame(StepKey { job: Sha256([5; 32]), occurrence: 0, step: 0 }, 0, b"mine");
    let cases = [
        ("too large", too_large, "a frame of 262145 bytes, at most 262144 are accepted"),
        ("garbage", vec![0, 0, 0, 2, 0xff, 0xff], "a frame that is no message"),
        ("a short challenge", challenge, "a challenge of 31 bytes, expected 32"),
        (
            "a halt that is no hash",
            frame(from_agent::What::Halted(Halted { halts: vec![vec![1; 31]] })),
            "a hash: ",
        ),
        (
            "more halts than are read",
            frame(from_agent::What::Halted(Halted { halts: vec![vec![1; 32]; 257] })),
            "257 of them, at most 256",
        ),
        ("output of a job it was not given", unknown, "which this device was not given"),
        ("hello again", frame(from_agent::What::Hello(Hello::default())), "can only come first"),
    ];
    for (name, bytes, expected) in cases {
        let mut wire = known(&world, &mut till).await;
        wire.send_bytes(&bytes).await;
        let why = wire.sorry().await;
        assert!(why.contains(expected), "{name}: {why}");
    }
    still_serves(&world, &other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_breaks_off_is_forgotten_with_its_connection() {
    let world = World::new().await;
    let [mut till, other] = world.tills(["till-1", "till-2"]).await;
    let mut wire = known(&world, &mut till).await;
    world.until_connected(2).await;
    wire.send_bytes(&[0, 0, 1, 0, 1, 2, 3]).await;
    drop(wire);
    world.until_connected(1).await;
    still_serves(&world, &other).await;
    till.connect().await;
    still_serves(&world, &till).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_told_why_it_is_turned_away() {
    let world = World::new().await;
    let [till] = world.tills(["till-1"]).await;
    let others = Hello { org: "org-7".to_owned(), ..till.hello() };
    let cases = [
        ("a key nobody enrolled, in another's words", "stranger", till.hello(), "is not enrolled in"),
        ("another organization", "till-1", others, "does not serve the organization `org-7`"),
    ];
    for (name, key, hello, expected) in cases {
        let mut wire = Wire::connect(world.server.address, &seed(key)).await;
        wire.send(from_agent::What::Hello(hello)).await;
        let why = wire.sorry().await;
        assert!(why.contains(expected), "{name}: {why}");
    }
    let mut wire = Wire::connect(world.server.address, &seed("till-1")).await;
    wire.send_bytes(&frame(from_agent::What::Challenge(Challenge { random: vec![1; 32] }))).await;
    assert!(wire.sorry().await.contains("the first message must be a Hello or a Join"));
    still_serves(&world, &till).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_has_one_connection_the_newest() {
    let world = World::new().await;
    let [till] = world.tills(["till-1"]).await;
    world.until_connected(1).await;
    let mut second = Wire::connect(world.server.address, &seed("till-1")).await;
    second.send(from_agent::What::Hello(till.hello())).await;
    until("the first is dismissed", async || till.mind().sorry.is_some()).await;
    assert!(till.mind().sorry.as_ref().unwrap().contains("connected again elsewhere"));
    assert_eq!(world.view().await.connected, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_dismissed_is_told_why_and_the_others_stay() {
    let world = World::new().await;
    let [till, other] = world.tills(["till-1", "till-2"]).await;
    world.until_connected(2).await;
    world.server.app.gate.dismiss(&world.org, &till.id(), "it has been retired");
    until("it is told", async || till.mind().sorry.as_deref() == Some("it has been retired")).await;
    world.until_connected(1).await;
    still_serves(&world, &other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_does_not_read_is_cut_off_and_the_others_are_not() {
    let world = World::new().await;
    let [mut till, other] = world.tills(["till-1", "till-2"]).await;
    let deaf = known(&world, &mut till).await;
    world.until_connected(2).await;
    let gate = &world.server.app.gate;
    let mut flood: Vec<News> = (0..400).map(|number| halt_of(&world, number)).collect();
    let start = Instant::now();
    // Each frame carries half a megabyte, and something new for everybody; one is sent when the last has been read.
    for number in 400.. {
        flood.push(halt_of(&world, number));
        let heard = flood.len() + other.mind().news.len();
        gate.push_news(&world.org, &flood);
        until("the other reads on", async || other.mind().news.len() >= heard).await;
        if gate.connected(&world.org) == 1 {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "an agent that does not read is never cut off");
    }
    still_serves(&world, &other).await;
    drop(deaf);
}

/// A halt of a job that does not exist.
fn halt_of(world: &World, number: u32) -> News {
    let job = Sha256::of(&number.to_be_bytes());
    let halt = Halt {
        org: Some(world.org),
        id: StatementId(job.0[..16].try_into().unwrap()),
        policy: Some(Sha256(world.org.0)),
        scope: Scope::Job(job),
        made: now(),
        reason: word("A flood."),
        advisory: word(""),
    };
    News::Halt(sign(&halt, &["anna"]))
}
