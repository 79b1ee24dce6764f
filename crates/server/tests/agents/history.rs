//! An organization that has decided much, and machines that come late.

use crate::agent::Agent;
use crate::organization::word;
use crate::world::{World, now, until};
use countersign_trust::ids::Sha256;
use countersign_wire::frame::MOST_FROM_SERVER;

/// So many names make a policy about as long as one may be.
const GUARDED: usize = 4_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_history_longer_than_a_frame_reaches_who_was_away_and_who_is_new() {
    let world = World::new().await;
    let batch = world.batch(2, now().plus(3_600)).await;
    let mut away = Agent::join(world.server.address, world.org, batch, "till-1").await;
    world.until_connected(1).await;
    away.disconnect().await;
    let (mut previous, mut bytes, mut number) = (Sha256(world.org.0), 0, 1);
    while bytes <= MOST_FROM_SERVER + MOST_FROM_SERVER / 8 {
        number += 1;
        previous = world
            .decide(|policy| {
                policy.number = number;
                policy.previous = [previous].into();
                policy.guarded = (0..GUARDED).map(|name| word(&format!("{number:02}-{name:040}"))).collect();
            })
            .await;
        bytes += GUARDED * 48;
    }
    away.connect().await;
    let new = Agent::join(world.server.address, world.org, batch, "till-2").await;
    for agent in [&away, &new] {
        until("the agent holds the newest policy", async || {
            agent.mind().device.ledger().chain().unwrap().policy().body.number == number
        })
        .await;
    }
}
