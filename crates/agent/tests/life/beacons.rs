//! Beacons asked directly.

use countersign_trust::ids::Sha256;
use countersign_trust::receipt::Verdict;
use countersign_trust::statement::halt::Scope;

use crate::organization::{BEACONS, everything};
use crate::world::{World, until};

#[tokio::test]
async fn a_halt_that_the_server_withholds_comes_from_the_beacons() {
    let world = World::new().await;
    world.organization(|org| org.halt(everything(), "bo"));
    let agent = world.start();
    // The server keeps silent; the first thing an agent does is to ask the beacons.
    let _server = world.server.accept().await;
    until("the halt is on disk", || world.ledger().chain().unwrap().active_halts().next().map(|_| ())).await;
    assert!(world.beacons.asked.lock().unwrap().iter().any(|path| path.ends_with("/news?after=1")));
    agent.stop().await;
}

#[tokio::test]
async fn a_job_without_clears_waits_until_the_agent_has_asked_for_them_itself() {
    let world = World::new().await;
    let agent = world.start();
    let mut server = world.server.accept().await;
    let job = world.job(&["true"]);
    let mut delivery = world.delivery(&job, server.challenge().await);
    delivery.clears.clear();
    server.deliver(&delivery).await;
    assert_eq!(server.receipt().await.verdict, Verdict::Accepted);
    agent.stop().await;
}

#[tokio::test]
async fn a_clear_counts_though_the_news_it_speaks_of_are_to_be_had_from_another_beacon_only() {
    let world = World::new().await;
    // Another job is halted, and only the first beacon says so in words that can be read.
    world.organization(|org| org.halt(Scope::Job(Sha256([9; 32])), "bo"));
    world.beacons.garbled.lock().unwrap().extend(BEACONS[1..].iter().map(|name| (*name).to_owned()));
    let agent = world.start();
    let mut server = world.server.accept().await;
    let job = world.job(&["true"]);
    let mut delivery = world.delivery(&job, server.challenge().await);
    delivery.clears.clear();
    delivery.news.clear();
    server.deliver(&delivery).await;
    assert_eq!(server.receipt().await.verdict, Verdict::Accepted);
    agent.stop().await;
}
