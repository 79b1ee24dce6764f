//! Frames that are huge, endless or slow, and words that are no words.

use countersign_server::config::Database;
use countersign_server::store::Db;
use countersign_trust::ids::Sha256;
use countersign_trust::ledger::StepKey;
use countersign_wire::message::{Hello, StepOutput, from_agent};

use super::{fact, served, view};
use crate::agent::{Agent, frame, output_frame, seed};
use crate::wire::Wire;
use crate::world::{World, until};

/// A connection that says hello as `till`, whose own is closed.
async fn as_till(world: &World, till: &mut Agent) -> Wire {
    till.disconnect().await;
    let mut wire = Wire::connect(world.server.address, &seed(&till.name)).await;
    wire.send(from_agent::What::Hello(till.hello())).await;
    wire
}

/// A message of `bytes` bytes without a content that is known: a newer agent's, for all the server knows.
fn unknown(bytes: usize) -> Vec<u8> {
    // Field 1,000 of the type bytes, and its length as a varint of three bytes.
    let length = bytes - 5;
    let varint = [length & 0x7f | 0x80, length >> 7 & 0x7f | 0x80, length >> 14]
        .map(|part| u8::try_from(part).unwrap());
    let mut body = vec![0xc2, 0x3e];
    body.extend(varint);
    body.resize(bytes, 0);
    [u32::try_from(body.len()).unwrap().to_be_bytes().to_vec(), body].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_enrolled_may_not_say_more_than_a_join() {
    let world = World::new().await;
    let [mut till, honest] = world.tills(["till-1", "honest"]).await;
    let mut stranger = Wire::connect(world.server.address, &seed("stranger")).await;
    stranger.send_bytes(&100_000_u32.to_be_bytes()).await;
    let why = stranger.sorry().await;
    assert!(why.contains("a first frame of 100000 bytes, at most 16384 are read"), "{why}");
    // Who is enrolled may hold that many halts.
    till.disconnect().await;
    let mut wire = Wire::connect(world.server.address, &seed("till-1")).await;
    let holds = (0..2_000_u32).map(|number| Sha256::of(&number.to_be_bytes()).to_string()).collect();
    wire.send(from_agent::What::Hello(Hello { holds, ..till.hello() })).await;
    world.until_connected(2).await;
    served(&world, &honest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_agent_sends_is_noted_against_the_device() {
    let world = World::new().await;
    let [mut till, honest] = world.tills(["till-1", "honest"]).await;
    let nobody = StepKey { job: Sha256([5; 32]), occurrence: 0, step: 0 };
    for bytes in [vec![0xff; 64], vec![0, 0, 0, 2, 0xff, 0xff], output_frame(nobody, 0, b"mine")] {
        let mut wire = as_till(&world, &mut till).await;
        wire.send_bytes(&bytes).await;
        wire.sorry().await;
    }
    until("all is noted", async || {
        fact(&world, &till.id(), "frames").await.is_some_and(|fact| fact.times == 3)
    })
    .await;
    assert!(!view(&world, &till.id()).await.stopped, "it harms nobody but itself");
    served(&world, &honest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_without_end_and_without_content_are_heard_slowly_and_nobody_else_waits() {
    let world = World::new().await;
    let [mut till, honest] = world.tills(["till-1", "honest"]).await;
    let mut wire = as_till(&world, &mut till).await;
    let flood = tokio::spawn(async move {
        let frame = unknown(200_000);
        loop {
            wire.send_bytes(&frame).await;
        }
    });
    for _ in 0..3 {
        served(&world, &honest).await;
    }
    flood.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_machine_says_of_itself_is_text_and_short() {
    let world = World::new().await;
    let [mut till, honest] = world.tills(["till-1", "honest"]).await;
    till.disconnect().await;
    let hostname = "'); DROP TABLE device; --<script>alert(1)</script>\u{1b}[2J\u{1}\r\n".to_owned();
    let bomb = "\u{202e}&#x41;".repeat(1_000);
    let mut wire = Wire::connect(world.server.address, &seed("till-1")).await;
    let hello = Hello { hostname, system: bomb, version: "\u{1b}[31m9".to_owned(), ..till.hello() };
    wire.send(from_agent::What::Hello(hello)).await;
    until("it is known", async || view(&world, &till.id()).await.version == "[31m9").await;
    let shown = view(&world, &till.id()).await;
    assert!(shown.hostname.starts_with("'); DROP TABLE device; --<script>"), "{}", shown.hostname);
    assert!(!shown.hostname.chars().any(char::is_control));
    assert_eq!(shown.system.chars().count(), 100);
    let path = format!("/v1/orgs/{}/devices", world.org);
    let (_, kind, _) = world.http.raw("GET", &path, "").await;
    assert_eq!(kind, "application/json", "no browser takes it for a page");
    served(&world, &honest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_beyond_what_is_kept_is_passed_over_and_noted_however_small_its_pieces() {
    let world = World::with(|policy| policy.limits.output = 8_192).await;
    let [mut till, honest] = world.tills(["till-1", "honest"]).await;
    till.mind().holds = true;
    let ids = [till.id()];
    let job = world.order(&world.job(&ids), &ids).await;
    until("it runs", async || till.mind().ran.len() == 1).await;
    let mut wire = as_till(&world, &mut till).await;
    // Step 1 in pieces of one byte, step 2 in large ones.
    for place in 0..6_000_u64 {
        wire.send(piece(job, 1, place, 1)).await;
    }
    for place in 0..20 {
        wire.send(piece(job, 2, place * 4_000, 4_000)).await;
    }
    until("it is noted", async || {
        fact(&world, &till.id(), "output").await.is_some_and(|fact| fact.times == 2)
    })
    .await;
    served(&world, &honest).await;
    let Db::Lite { read, .. } = &world.server.app.db else { panic!("{:?}", Database::Sqlite) };
    let kept: Vec<(i64, i64, i64)> = sqlx::query_as(
        "SELECT step, COUNT(*), SUM(LENGTH(bytes)) FROM output WHERE step > 0 GROUP BY step ORDER BY step",
    )
    .fetch_all(read)
    .await
    .unwrap();
    assert_eq!(kept, [(1, 4_096 + 512, 4_096 + 512), (2, 2, 8_000)]);
}

fn piece(job: Sha256, step: u64, offset: u64, bytes: usize) -> from_agent::What {
    let (job, bytes) = (job.0.to_vec(), vec![b'x'; bytes]);
    from_agent::What::Output(StepOutput { job, occurrence: 0, step, stream: 1, offset, bytes })
}

/// A frame that has begun takes its time: half a minute here.
mod long {
    use super::*;
    use std::time::{Duration, Instant};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_frame_that_dribbles_ends_the_connection() {
        let world = World::new().await;
        let [mut till, honest] = world.tills(["till-1", "honest"]).await;
        let mut wire = as_till(&world, &mut till).await;
        let begun = Instant::now();
        wire.send_bytes(&[0, 0, 4, 0]).await;
        let why = loop {
            wire.send_bytes(&[0]).await;
            if let Ok(heard) = tokio::time::timeout(Duration::from_secs(1), wire.read()).await {
                break heard;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "it dribbles for ever");
        };
        assert!(format!("{why:?}").contains("a frame that had begun was not whole within 30 s"), "{why:?}");
        served(&world, &honest).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_stranger_that_dribbles_is_gone_in_seconds() {
        let world = World::new().await;
        let [honest] = world.tills(["honest"]).await;
        let mut stranger = Wire::connect(world.server.address, &seed("stranger")).await;
        stranger.send_bytes(&frame(from_agent::What::Hello(Hello::default()))[..3]).await;
        let begun = Instant::now();
        let why = stranger.sorry().await;
        assert!(why.contains("was not whole within 10 s"), "{why}");
        assert!(begun.elapsed() < Duration::from_secs(15));
        served(&world, &honest).await;
    }
}
