//! Jobs, news and what watchers see of them.

use std::num::NonZeroU8;
use std::time::{Duration, Instant};

use countersign_trust::clear::Clear;
use countersign_trust::delivery::News;
use countersign_trust::device::Input;
use countersign_trust::statement::halt::Scope;
use countersign_trust::statement::job::{TargetLabels, Targets, Wave, Who};
use countersign_wire::http::{DeliveryEvidence, JobEvent};
use countersign_wire::message::{Challenge, from_agent, from_server};

use crate::agent::{Agent, SAID, ending, seed};
use crate::organization::{everything, labels, script, sign};
use crate::wire::Wire;
use crate::world::{World, now, sorted, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_reaches_all_devices_that_are_connected_and_each_tells_its_end() {
    let world = World::new().await;
    let tills = world.tills(["till-1", "till-2", "till-3"]).await;
    world.until_connected(3).await;
    let ids = tills.each_ref().map(Agent::id);
    let job = world.order(&world.job(&ids), &ids).await;
    for till in &tills {
        until("the job ended", async || world.on(&job, &till.id()).await.verdict == "ended").await;
        assert_eq!(till.mind().ran.len(), 1);
        assert_eq!(till.mind().verdicts(), ["accepted", "ended exit 0"]);
        let row = world.on(&job, &till.id()).await;
        assert_eq!(row.because, "exit 0");
        assert_eq!(row.receipt, till.mind().receipts.last().map(ToString::to_string));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_devices_of_a_job_get_the_same_clears_each_with_its_own_place() {
    let world = World::new().await;
    let tills = world.tills(["till-1", "till-2", "till-3"]).await;
    world.until_connected(3).await;
    let ids = tills.each_ref().map(Agent::id);
    let job = world.order(&world.job(&ids), &ids).await;
    let mut seen: Vec<DeliveryEvidence> = Vec::new();
    for id in ids {
        until("it is sent", async || world.on(&job, &id).await.verdict != "waiting").await;
        seen.push(world.get(&format!("jobs/{job}/deliveries/{id}")).await);
    }
    let mut places: Vec<u64> = seen.iter().map(|evidence| evidence.clears[0].index).collect();
    places.sort_unstable();
    assert_eq!(places, [0, 1, 2]);
    for evidence in &seen {
        let notes = |evidence: &DeliveryEvidence| -> Vec<String> {
            evidence.clears.iter().map(|clear| clear.note.clone()).collect()
        };
        assert!(evidence.clears.len() >= 3, "three of four beacons are needed");
        assert_eq!(notes(evidence), notes(&seen[0]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_was_away_gets_its_job_when_it_returns() {
    let world = World::new().await;
    let [here, mut away] = world.tills(["till-1", "till-2"]).await;
    away.disconnect().await;
    world.until_connected(1).await;
    let ids = [here.id(), away.id()];
    let job = world.order(&world.job(&ids), &ids).await;
    until("the first ended", async || world.on(&job, &here.id()).await.verdict == "ended").await;
    assert_eq!(world.on(&job, &away.id()).await.verdict, "waiting");
    away.connect().await;
    until("the second ended", async || world.on(&job, &away.id()).await.verdict == "ended").await;
    assert_eq!(here.mind().ran.len(), 1, "the first was not asked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_has_expired_is_not_brought_any_more() {
    let world = World::new().await;
    let [mut till] = world.tills(["till-1"]).await;
    till.disconnect().await;
    world.until_connected(0).await;
    let ids = [till.id()];
    let mut short = world.job(&ids);
    short.not_after = now().plus(2);
    let over = short.not_after;
    let short = world.order(&short, &ids).await;
    let long = world.order(&world.job(&ids), &ids).await;
    until("it has expired", async || now() >= over).await;
    till.connect().await;
    until("the other ended", async || world.on(&long, &till.id()).await.verdict == "ended").await;
    assert_eq!(world.on(&short, &till.id()).await.verdict, "waiting");
    // The other may be brought twice, if the machine is slow; it runs once.
    assert_eq!(till.mind().ran.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_with_a_later_begin_goes_out_when_it_is_due() {
    let world = World::new().await;
    let [till] = world.tills(["till-1"]).await;
    let ids = [till.id()];
    let mut job = world.job(&ids);
    job.not_before = now().plus(2);
    let begins = job.not_before;
    let job = world.order(&job, &ids).await;
    assert_eq!(till.mind().delivered, 0);
    until("it ended", async || world.on(&job, &till.id()).await.verdict == "ended").await;
    assert!(now() >= begins);
    assert_eq!(till.mind().verdicts(), ["accepted", "ended exit 0"], "it came neither early nor twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_wave_goes_out_after_its_soak() {
    let world = World::new().await;
    let tills = world.tills(["till-1", "till-2", "till-3", "till-4", "till-5", "till-6"]).await;
    let ids = tills.each_ref().map(Agent::id);
    let mut job = world.job(&ids);
    job.waves = vec![Wave { who: Who::Share(5_000), soak: 0 }, Wave { who: Who::Share(10_000), soak: 3 }];
    let start = Instant::now();
    let job = world.order(&job, &ids).await;
    for till in &tills {
        until("it ended", async || world.on(&job, &till.id()).await.verdict == "ended").await;
        assert_eq!(till.mind().verdicts(), ["accepted", "ended exit 0"], "no device was asked too early");
    }
    // Which device is in which wave is drawn by the job's hash: most likely there are some in each.
    assert!(start.elapsed().as_secs() < 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn standing_work_reaches_a_device_that_joins_later() {
    let world = World::new().await;
    let batch = world.batch(2, now().plus(3_600)).await;
    let first = Agent::join(world.server.address, world.org, batch, "till-1").await;
    let mut job = world.job(&[]);
    let wanted = labels(&[("class", "till")]);
    job.targets = Targets::Labels(TargetLabels { labels: wanted, as_of: 1, joins: true });
    let job = world.order(&job, &[]).await;
    until("the first ended", async || world.on(&job, &first.id()).await.verdict == "ended").await;
    let second = Agent::join(world.server.address, world.org, batch, "till-2").await;
    until("the second ended", async || world.on(&job, &second.id()).await.verdict == "ended").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_answered_by_the_newest_challenge() {
    let world = World::new().await;
    let [till] = world.tills(["till-1"]).await;
    let ids = [till.id()];
    let before = till.mind().device.challenge().unwrap();
    // A third of the lifetime of 180 s passes, by the device's clocks.
    till.mind().ahead_ms = 61_000;
    till.hear(Input::Tick);
    let after = till.mind().device.challenge().unwrap();
    assert_ne!(before, after);
    // What is sent over one connection is heard in its order: a receipt behind the challenge shows that it has arrived.
    let first = world.order(&world.job(&ids), &ids).await;
    until("the first ended", async || world.on(&first, &ids[0]).await.verdict == "ended").await;
    let second = world.order(&world.job(&ids), &ids).await;
    until("the second ended", async || world.on(&second, &ids[0]).await.verdict == "ended").await;
    let sent: DeliveryEvidence = world.get(&format!("jobs/{second}/deliveries/{}", ids[0])).await;
    assert_eq!(sent.challenge, countersign_trust::ids::Sha256(after).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_silent_beacon_holds_up_nobody() {
    let mut world = World::new().await;
    world.stop_beacons(1).await;
    let [till] = world.tills(["till-1"]).await;
    let ids = [till.id()];
    let job = world.order(&world.job(&ids), &ids).await;
    until("it ended", async || world.on(&job, &till.id()).await.verdict == "ended").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halt_is_pushed_at_once_and_kills_what_runs() {
    let world = World::new().await;
    let [till, other] = world.tills(["till-1", "till-2"]).await;
    world.until_connected(2).await;
    till.mind().holds = true;
    let ids = [till.id()];
    let job = world.order(&world.job(&ids), &ids).await;
    until("it runs", async || till.mind().ran.len() == 1).await;
    let start = Instant::now();
    let halt = world.halt(everything()).await;
    until("it is killed", async || till.mind().killed.len() == 1).await;
    let took = start.elapsed();
    assert!(took.as_millis() < 1_000, "{took:?}");
    until("all know", async || other.mind().news.len() == 1).await;
    assert!(matches!(&other.mind().news[0], News::Halt(signed) if signed.hash() == halt));
    until("it is told", async || world.on(&job, &till.id()).await.because == "halted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_connects_while_a_halt_is_stored_hears_of_it_too() {
    let mut world = World::new().await;
    let [here, mut late] = world.tills(["till-1", "till-2"]).await;
    late.disconnect().await;
    world.until_connected(1).await;
    // Nobody hears of it from a beacon.
    world.stop_beacons(4).await;
    let org = world.server.app.orgs.get(&world.org).unwrap();
    // As long as this is held the halt is pushed and not in the chain.
    let held = org.intake.lock().await;
    let connecting = async {
        until("who is there has it", async || here.mind().news.len() == 1).await;
        late.connect().await;
        // Without beacons no job goes out by which it could be told that all has come that the chain has.
        world.until_connected(2).await;
        assert_eq!(late.mind().news.len(), 0);
        drop(held);
    };
    let (halt, ()) = tokio::join!(world.halt(everything()), connecting);
    let has_it = |till: &Agent| till.mind().device.ledger().chain().unwrap().halt(&halt).is_some();
    until("who came late has it", async || has_it(&late)).await;
    assert_eq!(here.mind().news.len(), 1, "nobody is told twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_was_away_hears_of_a_halt_first_and_clears_name_it() {
    let world = World::new().await;
    let [here, mut away] = world.tills(["till-1", "till-2"]).await;
    away.disconnect().await;
    let stopped = script(&["rm -rf /till"]);
    let halt = world.halt(Scope::Script(crate::organization::script_hash(&stopped))).await;
    let ids = [here.id(), away.id()];
    let mut job = world.job(&ids);
    job.steps = vec![stopped];
    let job = world.order(&job, &ids).await;
    away.connect().await;
    for till in [&here, &away] {
        until("it is refused", async || world.on(&job, &till.id()).await.verdict == "refused").await;
        assert!(world.on(&job, &till.id()).await.because.contains(&halt.to_string()));
        assert_eq!(till.mind().ran, []);
    }
    let sent: DeliveryEvidence = world.get(&format!("jobs/{job}/deliveries/{}", away.id())).await;
    let note: countersign_trust::note::Note = sent.clears[0].note.parse().unwrap();
    let clear: Clear = note.text().parse().unwrap();
    assert!(clear.halts.contains(&halt));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_a_job_sent_accepted_speaking_and_ended() {
    let world = World::new().await;
    let [mut till] = world.tills(["till-1"]).await;
    till.disconnect().await;
    world.until_connected(0).await;
    let ids = [till.id()];
    let job = world.order(&world.job(&ids), &ids).await;
    let mut events = world.events(&job).await;
    assert_eq!(events.next().await, JobEvent::State { state: "logged".to_owned(), missing: String::new() });
    till.connect().await;
    let ended =
        |event: &JobEvent| matches!(event, JobEvent::Receipt { note, .. } if note.contains("verdict ended"));
    let seen = events.until(ended).await;
    let device = till.id().to_string();
    assert_eq!(seen[0], JobEvent::Sent { device: device.clone() });
    assert!(
        matches!(&seen[1], JobEvent::Receipt { note, .. } if note.contains("verdict accepted")),
        "{seen:?}"
    );
    let output = JobEvent::Output { device, step: 0, stream: 1, offset: 0, bytes: "aGVsbG8K".to_owned() };
    assert_eq!(SAID, b"hello\n");
    assert_eq!(seen[2], output);
    assert_eq!(seen.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_was_lost_with_its_connection_is_brought_again() {
    let world = World::new().await;
    let [mut till] = world.tills(["till-1"]).await;
    till.disconnect().await;
    let ids = [till.id()];
    let job = world.order(&world.job(&ids), &ids).await;
    let mut wire = Wire::connect(world.server.address, &seed("till-1")).await;
    wire.send(from_agent::What::Hello(till.hello())).await;
    wire.send(from_agent::What::Challenge(Challenge { random: vec![3; 32] })).await;
    assert!(matches!(wire.next().await, Some(from_server::What::Delivery(_))));
    drop(wire);
    assert_eq!(world.on(&job, &till.id()).await.verdict, "sent");
    till.connect().await;
    until("it ended", async || world.on(&job, &till.id()).await.verdict == "ended").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_was_too_busy_is_asked_again_when_it_is_free() {
    let world = World::new().await;
    let [till] = world.tills(["till-1"]).await;
    world.until_connected(1).await;
    till.mind().holds = true;
    let ids = [till.id()];
    let mut jobs = Vec::new();
    // The policy allows two steps at once.
    for verdict in ["accepted", "accepted", "refused"] {
        let job = world.order(&world.job(&ids), &ids).await;
        until("it is told", async || world.on(&job, &till.id()).await.verdict == verdict).await;
        jobs.push(job);
    }
    let because = world.on(&jobs[2], &till.id()).await.because;
    assert_eq!(because, "2 steps are running, the policy allows 2");
    let first = till.mind().ran[0];
    till.hear(Input::Ended(first, ending("exit 0")));
    until("the third runs", async || world.on(&jobs[2], &till.id()).await.verdict == "accepted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waited_through_a_policy_goes_out_with_it_and_with_a_proof_that_satisfies_it() {
    let world = World::new().await;
    let [here, mut away] = world.tills(["till-1", "till-2"]).await;
    away.disconnect().await;
    world.until_connected(1).await;
    let ids = [here.id(), away.id()];
    let job = world.order(&world.job(&ids), &ids).await;
    // All four witnesses are asked for from here on; three may have been enough until now.
    world.decide(|next| next.witnesses.need = NonZeroU8::new(4).unwrap()).await;
    until("the other knows", async || here.mind().news.len() == 1).await;
    away.connect().await;
    until("it ended", async || world.on(&job, &away.id()).await.verdict == "ended").await;
    assert_eq!(away.mind().verdicts(), ["accepted", "ended exit 0"]);
    for till in [&here, &away] {
        until("all is acknowledged", async || till.mind().spooled() == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twelve_devices_start_within_a_second_of_the_last_approval() {
    let world = World::new().await;
    let names = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"];
    let tills = world.tills(names).await;
    world.until_connected(12).await;
    let ids = tills.each_ref().map(Agent::id);
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let signed = sign(&world.job(&ids), &["anna", "bo"]);
        let ran = tills[0].mind().ran.len();
        let start = Instant::now();
        world.post(&signed, &sorted(&ids)).await;
        until("all run", async || tills.iter().all(|till| till.mind().ran.len() > ran)).await;
        best = best.min(start.elapsed());
    }
    println!("the last of twelve devices started {best:?} after the last approval");
    assert!(best < Duration::from_secs(1), "{best:?}");
}
