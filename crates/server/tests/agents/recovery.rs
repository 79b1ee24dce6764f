//! The day the keys are lost: a policy of the recovery set, the words of beacons, and what the server does about both.

use std::collections::BTreeSet;

use countersign_trust::chain::Recovered;
use countersign_trust::delivery::{News, write_sequence};
use countersign_trust::ids::Sha256;
use countersign_trust::statement::policy::{Policy, Recovery};

use crate::agent::Agent;
use crate::organization::{note_key, person, sign, ssh_key, word};
use crate::world::{World, now, until};

const SAFE: [&str; 2] = ["safe 1", "safe 2"];
const NEW_KEYS: [&str; 2] = ["anna new", "bo new"];

fn with_a_safe(policy: &mut Policy) {
    let keys = SAFE.map(|name| ssh_key(name).public_key().clone()).into();
    policy.recovery = Recovery { need: 2, keys };
    policy.beacons.need = std::num::NonZeroU8::new(3).unwrap();
}

/// New keys for everybody, and one beacon that nobody has heard of in the place of all the old ones; logged.
async fn safes(world: &World) -> Sha256 {
    let mut next = world.policy.clone();
    (next.org, next.number) = (Some(world.org), 2);
    next.previous = [Sha256(world.org.0)].into();
    next.people = ["anna", "bo", "cia"].map(|name| (word(name), person(&[&format!("{name} new")]))).into();
    next.beacons.need = std::num::NonZeroU8::MIN;
    next.beacons.keys = [note_key("beacon-5").verifier().clone()].into();
    next.recovery = Recovery { need: 0, keys: BTreeSet::new() };
    world.log(&sign(&next, &[&SAFE[..], &NEW_KEYS[..]].concat()), &[]).await
}

/// What the first so many beacons sign after 72 hours.
fn words(world: &World, policy: Sha256, count: u8) -> Vec<News> {
    let said = Recovered { org: world.org, policy, after: Sha256(world.org.0) };
    let word = |number| News::Recovered(world.beacon_key(number).note(said.to_string()).unwrap());
    (1..=count).map(word).collect()
}

fn number(world: &World) -> u64 {
    world.server.app.orgs.get(&world.org).unwrap().chain().policy().body.number
}

fn number_at(till: &Agent) -> u64 {
    till.mind().device.ledger().chain().unwrap().policy().body.number
}

/// Whoever is asked for a signature makes the server look.
async fn post_something(world: &World) {
    world.halt(countersign_trust::statement::halt::Scope::Job(Sha256::of(b"none"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beacons_words_are_brought_to_machines_and_outlive_the_server_and_the_beacons() {
    let mut world = World::with(with_a_safe).await;
    let [till] = world.tills(["till-1"]).await;
    let policy = safes(&world).await;
    let url = world.policy.addresses.beacons.values().next().unwrap().to_string();
    let peers = world.server.app.peers.clone();
    let tell = async |news: &[News]| {
        let path = format!("{url}/v1/orgs/{}/news", world.org);
        assert_eq!(peers.post(&path, write_sequence(news)).await.unwrap().status, 200);
    };
    let words = words(&world, policy, 4);
    tell(&words[..2]).await;
    post_something(&world).await;
    assert_eq!((number(&world), number_at(&till)), (1, 1), "two of three");
    tell(&words[2..]).await;
    post_something(&world).await;
    assert_eq!(number(&world), 2);
    until("the machine has taken it", async || number_at(&till) == 2).await;

    // The beacons it dismissed may go; the records have their word, for whoever comes later.
    world.stop_beacons(4).await;
    let world = world.restart().await;
    assert_eq!(number(&world), 2);
    let batch = world.batch_by(&NEW_KEYS, 1, now().plus(3_600)).await;
    let late = Agent::join(world.server.address, world.org, batch, "till-2").await;
    assert_eq!(number_at(&late), 2);
}
