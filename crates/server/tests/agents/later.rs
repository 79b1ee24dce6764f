//! What cannot go out at once, and does later: after a failure, a halt or a change of witnesses, and with enough Clears.

use std::collections::BTreeSet;
use std::num::NonZeroU8;
use std::time::{Duration, Instant};

use countersign_server::store::Db;
use countersign_trust::ids::Sha256;
use countersign_trust::statement::resume::{Cuts, Lifts, Resume};
use countersign_trust::text::Nothing;

use crate::agent::Agent;
use crate::organization::{everything, sign, word};
use crate::world::{World, until};

async fn resume(world: &World, halt: Sha256) {
    let resume = Resume {
        org: world.org,
        policy: Sha256(world.org.0),
        previous: BTreeSet::new(),
        lifts: Lifts::Halts([halt].into()),
        cuts: Cuts::None(Nothing),
        keeps: BTreeSet::new(),
        why: word("It is over."),
    };
    world.log(&sign(&resume, &["anna", "bo"]), &[]).await;
}

async fn until_verdict(world: &World, job: &Sha256, till: &Agent, verdict: &str) {
    until(&format!("it is {verdict}"), async || world.on(job, &till.id()).await.verdict == verdict).await;
}

/// A policy asks for a fourth witness while the log is at rest: the newest checkpoint has three.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_out_after_a_policy_that_asks_for_more_witnesses_though_the_log_is_at_rest() {
    let world = World::new().await;
    let [here, mut away] = world.tills(["till-1", "till-2"]).await;
    away.disconnect().await;
    world.until_connected(1).await;
    let ids = [away.id()];
    let job = world.order(&world.job(&ids), &ids).await;
    world.decide(|next| next.witnesses.need = NonZeroU8::new(4).unwrap()).await;
    until("the other knows", async || here.mind().news.len() == 1).await;
    away.connect().await;
    until_verdict(&world, &job, &away, "ended").await;
}

/// The command line says of such a device that the job comes later, and of a resume that open jobs run again.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_refused_during_a_halt_runs_after_the_resume() {
    let world = World::new().await;
    let [till] = world.tills(["till-1"]).await;
    world.until_connected(1).await;
    let halt = world.halt(everything()).await;
    let ids = [till.id()];
    let job = world.order(&world.job(&ids), &ids).await;
    until_verdict(&world, &job, &till, "refused").await;
    resume(&world, halt).await;
    until_verdict(&world, &job, &till, "ended").await;
}

/// A notebook that is opened twice while everything is halted has used up all its tries, though the job is good for days.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_refused_for_a_reason_that_passes_is_not_given_up_before_it_is_over() {
    let world = World::new().await;
    let [mut till] = world.tills(["till-1"]).await;
    world.until_connected(1).await;
    let halt = world.halt(everything()).await;
    let ids = [till.id()];
    let job = world.order(&world.job(&ids), &ids).await;
    until_verdict(&world, &job, &till, "refused").await;
    for number in 2..5 {
        till.disconnect().await;
        till.connect().await;
        let other = world.order(&world.job(&ids), &ids).await;
        until_verdict(&world, &other, &till, "refused").await;
        assert_eq!(
            till.mind().delivered,
            number,
            "what is halted is not brought again because a device connects"
        );
    }
    resume(&world, halt).await;
    till.disconnect().await;
    till.connect().await;
    until_verdict(&world, &job, &till, "ended").await;
}

/// The records fail for a moment, as on a full disk, when a job is to go out; its device stays connected.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_could_not_go_out_for_a_moment_goes_out_after_it() {
    let world = World::new().await;
    let [till] = world.tills(["till-1"]).await;
    world.until_connected(1).await;
    let ids = [till.id()];
    let Db::Lite { write, .. } = &world.server.app.db else { panic!("SQLite") };
    let full = "CREATE TRIGGER full BEFORE INSERT ON round BEGIN SELECT RAISE(ABORT, 'full'); END";
    sqlx::query(full).execute(write).await.unwrap();
    let job = world.order(&world.job(&ids), &ids).await;
    // A device that has just connected is looked at once more after two seconds: that fails too.
    let full_since = Instant::now();
    until("it has failed", async || full_since.elapsed() > Duration::from_secs(3)).await;
    assert_eq!(world.on(&job, &till.id()).await.verdict, "waiting");
    sqlx::query("DROP TRIGGER full").execute(write).await.unwrap();
    until_verdict(&world, &job, &till, "ended").await;
}

/// Two of four beacons are away for a moment; the agent here cannot ask beacons itself, as behind many a firewall.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_not_sent_with_fewer_clears_than_the_policy_asks_for_but_tried_again() {
    let mut world = World::new().await;
    let [till] = world.tills(["till-1"]).await;
    world.until_connected(1).await;
    world.stop_beacons(2).await;
    let ids = [till.id()];
    let job = world.order(&world.job(&ids), &ids).await;
    let away_since = Instant::now();
    until("it was tried", async || away_since.elapsed() > Duration::from_secs(2)).await;
    assert_eq!(till.mind().delivered, 0, "it is sent with two Clears of three");
    for number in [1, 2] {
        world.revive_beacon(number).await;
    }
    until_verdict(&world, &job, &till, "ended").await;
}

/// It was away for a moment when a monitor halted something; the server goes on asking it for Clears, and takes those that name no halt.
#[tokio::test(flavor = "multi_thread")]
async fn a_beacon_that_was_away_hears_of_a_halt_once_it_is_back() {
    let mut world = World::new().await;
    let [till] = world.tills(["till-1"]).await;
    world.until_connected(1).await;
    world.stop_beacons(1).await;
    let halt = world.halt(everything()).await;
    let ids = [till.id()];
    let job = world.order(&world.job(&ids), &ids).await;
    until_verdict(&world, &job, &till, "refused").await;
    world.revive_beacon(1).await;
    let job = world.order(&world.job(&ids), &ids).await;
    until_verdict(&world, &job, &till, "refused").await;
    let url = world.policy.addresses.beacons.get(&word("beacon-1.example")).unwrap();
    let state = format!("{url}/v1/orgs/{}/state", world.org);
    until("the beacon has it", async || {
        let said = world.server.app.peers.get(&state).await.map(|answer| answer.text).unwrap_or_default();
        said.contains(&halt.to_string())
    })
    .await;
}
