//! Three of four beacons are needed, each a process of its own. One is gone and one lies at the same time.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use countersign_drills::organization::{everything, word};
use countersign_drills::part::{Kind, Part, Stage, until};
use countersign_drills::world::{World, beacon_key, named};
use countersign_trust::ids::Sha256;
use countersign_trust::receipt::Verdict;
use countersign_trust::statement::resume::Lifts;

/// How long it is watched that nothing starts.
const WATCHED: Duration = Duration::from_secs(3);
const TWO_DAYS_MS: u64 = 2 * 86_400_000;

fn order(world: &World, line: &str, resume: Option<Sha256>) -> Sha256 {
    let mut job = world.job(&world.all(), &[line]);
    job.resume = resume;
    world.order(&job, &world.all())
}

fn all_end(world: &World, job: &Sha256) {
    for machine in &world.machines {
        world.says(Verdict::Ended, job, machine);
    }
}

#[test]
fn one_gone_and_one_that_lies_about_the_time_start_nothing_and_the_liar_alone_holds_up_nobody() {
    let mut world = World::set_up(Stage::Programs, |_| ());
    world.join(2);
    let waits = world.nonce();
    world.beacons[3].kill();
    world.beacons[0].stop();
    world.beacons[0].stage = Stage::Threads;
    world.beacons[0].ahead_ms.store(TWO_DAYS_MS, Ordering::Relaxed);
    world.beacons[0].start();
    // Nobody holds Clears of before.
    world.restart_agents();
    let job = order(&world, &waits.line(), None);
    until("it is sent to both", || {
        world.all().iter().all(|device| world.on(&job, device).verdict == "sent").then_some(())
    });
    let sent = Instant::now();
    until("they had time to start", || (sent.elapsed() > WATCHED).then_some(()));
    assert_eq!(waits.lines().len(), 0, "nothing starts by two beacons and a liar");
    world.beacons[3].start();
    all_end(&world, &job);
    assert_eq!(waits.lines().len(), 2);
}

#[test]
fn a_beacon_restored_from_an_old_backup_is_not_believed_and_comes_back_under_a_new_key() {
    let mut world = World::set_up(Stage::Programs, |_| ());
    world.join(2);
    let (halted, after) = (world.nonce(), world.nonce());
    let backup = world.folder.path().join("backup");
    world.beacons[0].stop();
    copy(&world.beacons[0].folder, &backup);
    world.beacons[0].start();

    // It forgets a policy and a halt; another is gone.
    world.beacons[3].kill();
    world.decide(|policy| policy.name = word("Example Tills and Scales"));
    let halt = world.halt(everything(), "cia");
    world.beacons[..3].iter().for_each(|beacon| world.halt_at(&halt, beacon));
    world.beacons[0].stop();
    fs::remove_dir_all(&world.beacons[0].folder).unwrap();
    copy(&backup, &world.beacons[0].folder);
    world.beacons[0].start();
    world.restart_agents();
    let job = order(&world, &halted.line(), None);
    for machine in &world.machines {
        let because = world.says(Verdict::Refused, &job, machine).because;
        assert!(
            because.as_str().starts_with("halted: the whole organization by cia"),
            "{}",
            because.as_str()
        );
    }

    // The rule: a restored beacon comes back under a new key, by a policy, and those before it hand over.
    world.beacons[0].stop();
    world.beacons[3].start();
    let gone = world.beacons.remove(0);
    let mut new = Part::new(Kind::Beacon, world.folder.path().join("beacon-5"), Stage::Programs);
    let (key, (name, url)) = (beacon_key(&new), named(&new));
    new.start();
    let old = named(&gone).0;
    world.decide(|policy| {
        policy.beacons.keys.retain(|key| key.name() != old);
        policy.beacons.keys.insert(key);
        policy.addresses.beacons.remove(&word(&old));
        policy.addresses.beacons.insert(word(&name), word(&url));
    });
    world.beacons.push(new);
    // Now another is gone: without the new one there are too few.
    world.beacons[2].kill();
    let resume = world.resume(None, Lifts::Halts([halt.hash()].into()));
    world.log(&resume, &[]);
    let job = order(&world, &after.line(), Some(resume.hash()));
    all_end(&world, &job);
    assert_eq!((halted.lines().len(), after.lines().len()), (0, 2));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

mod long {
    use countersign_drills::part::{signal, until_within};

    use super::*;

    /// The shortest lifetime that a policy may name, in seconds: how long a device waits for Clears before it refuses.
    const LIFETIME: u64 = 60;

    #[test]
    fn two_of_four_beacons_frozen_for_a_lifetime_stop_everything_until_they_go_on() {
        let shortest =
            |policy: &mut countersign_trust::statement::policy::Policy| policy.beacons.lifetime = LIFETIME;
        let mut world = World::set_up_with(Stage::Programs, |_| (), shortest);
        world.join(2);
        let (given_up, after) = (world.nonce(), world.nonce());
        let frozen = [0, 1].map(|beacon| world.beacons[beacon].pid().unwrap());
        frozen.iter().for_each(|pid| signal(*pid, "STOP"));
        // Nobody holds Clears of before.
        world.restart_agents();
        let job = order(&world, &given_up.line(), None);
        for machine in &world.machines {
            let refusal = until_within(
                Duration::from_secs(LIFETIME + 60),
                Duration::from_millis(20),
                "a refusal",
                || world.receipt(&job, machine).filter(|receipt| receipt.verdict == Verdict::Refused),
            );
            let because = refusal.because;
            assert!(because.as_str().starts_with("2 of 3 Clears"), "{}", because.as_str());
        }
        assert_eq!(given_up.lines().len(), 0, "nothing starts without a third Clear");
        frozen.iter().for_each(|pid| signal(*pid, "CONT"));
        let job = order(&world, &after.line(), None);
        all_end(&world, &job);
        assert_eq!(after.lines().len(), 2);
    }
}
