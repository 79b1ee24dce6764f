//! A job of which more fails than its author lets fail is halted by the server, and no other.

use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::note::Note;
use countersign_trust::receipt::Receipt;
use countersign_trust::statement::halt::Scope;
use countersign_trust::statement::job::{Job, Wave, Who};
use countersign_trust::statement::write;

use super::{halt_of, obeys, touched, touches};
use crate::agent::Agent;
use crate::organization::everything;
use crate::world::{World, until};

async fn ended(world: &World, job: &Sha256, till: &Agent) {
    until("it ended", async || world.on(job, &till.id()).await.verdict == "ended").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_above_its_part_is_halted_once_with_the_evidence() {
    let world = World::new().await;
    let tills = world.tills(["till-1", "till-2", "till-3", "till-4"]).await;
    let ids = tills.each_ref().map(Agent::id);
    tills[0].mind().ends = "exit 3";
    tills[1].mind().holds = true;
    tills[2].mind().holds = true;
    let mut job = world.job(&ids);
    job.halt_above = 2_500;
    let job = world.order(&job, &ids).await;
    ended(&world, &job, &tills[0]).await;
    ended(&world, &job, &tills[3]).await;
    assert_eq!(touches(&world).await, [], "one of four is not more than a quarter");

    let key = tills[1].mind().ran[0];
    tills[1].hear(countersign_trust::device::Input::Ended(key, crate::agent::ending("signal 9")));
    let touch = touched(&world, 1).await;
    assert_eq!((touch.tripwire.as_str(), touch.count), (format!("job {job}").as_str(), 2));
    assert!(touch.words.starts_with("2 of 4 devices whose waves have begun"), "{}", touch.words);
    let halt = halt_of(&world, &touch).await;
    assert_eq!(halt.scope, Scope::Job(job));
    let failed = [&tills[0], &tills[1]].map(|till| till.mind().receipts.last().unwrap().clone());
    for note in failed {
        assert!(touch.evidence.contains(&note.to_string()), "{note}");
        assert!(
            halt.reason.as_str().contains(&Sha256::of(note.text().as_bytes()).to_string()),
            "{}",
            halt.reason
        );
    }
    // The third is killed by it, which is no failure of the job's; and it is halted once.
    until("it is killed", async || tills[2].mind().killed.len() == 1).await;
    ended(&world, &job, &tills[2]).await;
    assert!(tills.iter().all(|till| obeys(till, &Scope::Job(job))));
    let other = world.order(&world.job(&ids), &ids).await;
    ended(&world, &other, &tills[3]).await;
    let world = world.restart().await;
    assert_eq!(touches(&world).await, [touch]);
    assert_eq!(world.view().await.halts.len(), 1);
}

/// Devices of the first and of the second wave.
fn waves<'a>(job: &Job, tills: &'a [Agent]) -> (Vec<&'a Agent>, Vec<&'a Agent>) {
    let hash = write(job).1;
    let no_labels = Default::default();
    tills.iter().partition(|till| job.wave_of(&hash, &till.id(), &no_labels) == 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_in_its_first_wave_never_begins_the_second() {
    let world = World::new().await;
    let tills = world.tills(["till-1", "till-2", "till-3", "till-4", "till-5", "till-6"]).await;
    let ids = tills.each_ref().map(Agent::id);
    let mut job = world.job(&ids);
    job.waves = vec![Wave { who: Who::Share(5_000), soak: 0 }, Wave { who: Who::Share(10_000), soak: 3 }];
    job.halt_above = 1_000;
    while { waves(&job, &tills) }.0.len() != 3 {
        job.id = world.id();
    }
    let (first, second) = waves(&job, &tills);
    first.iter().for_each(|till| till.mind().ends = "exit 1");
    let hash = world.order(&job, &ids).await;
    let touch = touched(&world, 1).await;
    assert!(touch.words.contains("of 3 devices whose waves have begun"), "{}", touch.words);
    // What the second wave is brought in its time, it refuses; that counts no more.
    for till in &second {
        until("it refused", async || world.on(&hash, &till.id()).await.verdict == "refused").await;
        let note: Note = world.on(&hash, &till.id()).await.receipt.unwrap().parse().unwrap();
        let receipt: Receipt = note.text().parse().unwrap();
        assert_eq!(receipt.code.unwrap().as_str(), "halted");
        assert!(till.mind().ran.is_empty());
    }
    assert_eq!(touches(&world).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_halt_makes_fail_or_a_busy_device_refuses_halts_no_job() {
    let world = World::new().await;
    let tills = world.tills(["till-1", "till-2"]).await;
    let ids: [DeviceId; 2] = tills.each_ref().map(Agent::id);
    tills.iter().for_each(|till| till.mind().holds = true);
    let strict = || {
        let mut job = world.job(&ids);
        job.halt_above = 0;
        job
    };
    let first = world.order(&strict(), &ids).await;
    until("it runs", async || world.on(&first, &ids[0]).await.verdict == "accepted").await;
    world.halt(everything()).await;
    for till in &tills {
        ended(&world, &first, till).await;
        assert!(till.mind().verdicts().last().unwrap().starts_with("ended halted"));
    }
    let second = world.order(&strict(), &ids).await;
    until("it refused", async || world.on(&second, &ids[0]).await.verdict == "refused").await;
    assert_eq!(touches(&world).await, []);
    assert_eq!(world.view().await.halts.len(), 1);
}
