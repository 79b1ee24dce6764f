//! Sites that fall silent together touch a tripwire; the server's own start, or its being cut off, does not.

use super::{halt_of, touched, touches, tripwire};
use crate::agent::Agent;
use crate::organization::{everything, sign, word};
use crate::world::{World, now, until};
use countersign_trust::statement::enroll::What;
use countersign_trust::statement::policy::{Then, Watched};
use countersign_trust::text::Nothing;
use countersign_trust::time::Time;

/// Within so many seconds, which is also how long they have time to come back.
const WITHIN: u64 = 2;

/// Three sites with a device each, on a server that has been up for longer than the tripwire looks.
async fn three_sites() -> (World, Vec<Agent>) {
    let world = World::with(|policy| {
        policy.tripwires = vec![tripwire(Watched::Silence(Nothing), 3, WITHIN, Then::Halt)];
    })
    .await;
    let up = now();
    let mut tills = Vec::new();
    for site in ["Lund", "Ystad", "Umea"] {
        let mut enroll = world.batch_text(1, now().plus(3_600));
        let What::Batch(batch) = &mut enroll.what else { panic!("a batch") };
        batch.site = word(site);
        let batch = world.log(&sign(&enroll, &["anna", "bo"]), &[]).await;
        tills.push(Agent::join(world.server.address, world.org, batch, &format!("till-{site}")).await);
    }
    world.until_connected(3).await;
    pass(up, WITHIN + 2).await;
    (world, tills)
}

/// Until so many seconds have passed since then: what has not happened until then does not happen.
async fn pass(since: Time, seconds: u64) {
    until("time passes", async || now() >= since.plus(seconds)).await;
}

/// Until a tripwire would have been touched.
async fn watched() {
    pass(now(), 3 * WITHIN).await;
}

mod long {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn three_sites_at_once_are_too_many_and_two_are_not() {
        let (world, mut tills) = three_sites().await;
        for till in &mut tills[..2] {
            till.disconnect().await;
        }
        watched().await;
        assert_eq!(touches(&world).await, []);
        for till in &mut tills[..2] {
            till.connect().await;
        }
        world.until_connected(3).await;
        watched().await;
        for till in &mut tills {
            till.disconnect().await;
        }
        let touch = touched(&world, 1).await;
        assert_eq!(touch.words, "fell silent: 3 sites (Lund, 1 device, Umea, 1 device, Ystad, 1 device)");
        assert_eq!(halt_of(&world, &touch).await.scope, everything());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_started_anew_or_is_cut_off_calls_nobody_silent() {
        let (world, mut tills) = three_sites().await;
        let mut world = world.restart().await;
        watched().await;
        assert_eq!(touches(&world).await, [], "whom it never saw it does not miss");
        for till in &mut tills {
            till.server = world.server.address;
            till.disconnect().await;
            till.connect().await;
        }
        world.until_connected(3).await;
        watched().await;
        // Without its beacons the server is as alone as its devices.
        world.stop_beacons(2).await;
        for till in &mut tills {
            till.disconnect().await;
        }
        watched().await;
        assert_eq!(touches(&world).await, []);
        assert_eq!(world.view().await.halts, Vec::<String>::new());
    }
}
