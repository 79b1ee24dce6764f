//! What was answered stays true: over crashes, full disks and second starts.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use countersign_beacon::beacon::OpenError;
use countersign_beacon::config::{Config, Organizations};
use countersign_beacon::serve::{StartError, start};
use countersign_trust::clear::Clear;
use countersign_trust::delivery::News;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::note::Note;
use countersign_trust::statement::halt::Scope;
use countersign_trust::text::Nothing;
use countersign_trust::time::Time;
use hyper::Method;

use crate::client::{Answer, ask, get};
use crate::program::{Process, SmallDisk};
use crate::stops::{halt, halt_job, resume};
use crate::unrehearsed::not_rehearsed;
use crate::{Known, ROOT, Test, config_in};

const BINARY: &str = env!("CARGO_BIN_EXE_countersign-beacon");

/// What a beacon has promised: the halts it acknowledged, and the highest time it signed.
#[derive(Default)]
struct Promised {
    halts: Mutex<BTreeSet<Sha256>>,
    time: Mutex<Time>,
    count: AtomicUsize,
}

async fn ask_clear(to: SocketAddr, org: OrgId) -> Option<Clear> {
    let path = format!("/v1/orgs/{org}/clear");
    let answer = ask(to, Method::POST, &path, format!("{ROOT}\n")).await.ok()?;
    assert_eq!(answer.status, 200, "{answer:?}");
    Some(answer.body.parse::<Note>().unwrap().text().parse().unwrap())
}

/// Sends halts, and asks for a Clear after each, until the beacon is gone.
async fn send_all(to: SocketAddr, org: OrgId, halts: Vec<Signed>, promised: Arc<Promised>) {
    for halt in halts {
        let answer = ask(to, Method::POST, &format!("/v1/orgs/{org}/halts"), halt.to_string()).await;
        let Ok(Answer { status: 200, .. }) = answer else { return };
        promised.halts.lock().unwrap().insert(halt.hash());
        let Some(clear) = ask_clear(to, org).await else { return };
        check(&promised, &clear);
        promised.count.fetch_add(1, Ordering::SeqCst);
    }
}

fn check(promised: &Promised, clear: &Clear) {
    assert!(clear.halts.is_superset(&promised.halts.lock().unwrap()), "a halt is missing");
    let mut time = promised.time.lock().unwrap();
    assert!(clear.time >= *time, "signed {} after {time}", clear.time);
    *time = clear.time;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_has_forgotten_no_halt_and_its_time_has_not_fallen() {
    let mut test = Test::new().await;
    let known = Known::to(&test).await;
    test.stop().await;
    let config = test.folder.path().join("beacon.toml");
    let promised = Arc::new(Promised::default());
    let all = (1..=60).map(|number| halt(&known.policy, number, Scope::Organization(Nothing)));
    let mut halts: Vec<Signed> = all.collect();
    for round in 1..=24 {
        let process = Process::start(BINARY, &config);
        let sending = send_all(process.address, known.org, halts.clone(), Arc::clone(&promised));
        let sending = tokio::spawn(sending);
        let enough = promised.count.load(Ordering::SeqCst) + 1 + round % 3;
        while promised.count.load(Ordering::SeqCst) < enough && !sending.is_finished() {
            tokio::task::yield_now().await;
        }
        drop(process);
        sending.await.unwrap();
        let process = Process::start(BINARY, &config);
        check(&promised, &ask_clear(process.address, known.org).await.unwrap());
        let done = promised.halts.lock().unwrap().clone();
        halts.retain(|halt| !done.contains(&halt.hash()));
        assert!(process.terminate(), "SIGTERM ends it in order");
    }
    let acknowledged = promised.halts.lock().unwrap().len();
    assert!(acknowledged >= 24, "only {acknowledged} halts were acknowledged");
}

#[tokio::test]
async fn on_a_full_disk_nothing_is_acknowledged_or_cleared_and_it_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let Some(disk) = SmallDisk::mount(&data) else {
        return not_rehearsed("this user may not mount a file system");
    };
    let config = config_in(folder.path(), Organizations::Any);
    let mut test = Test { folder, config, clock: Arc::default(), running: None };
    test.start().await;
    let mut known = Known::to(&test).await;
    let org = known.org;
    let (early, late) = (halt_job(&known.policy, 1), halt_job(&known.policy, 2));
    test.acknowledged(org, &early).await;
    assert_eq!(test.clear(org).await.halts.len(), 1);

    let filler = disk.fill();
    let refused = test.post(org, "halts", &late).await;
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("nothing of this is acknowledged"), "{refused:?}");
    assert!(refused.body.contains("No space left on device"), "{refused:?}");
    assert_eq!(test.ask_clear(org).await.status, 503, "no Clear leaves out a halt that was heard");
    let lifts = resume(&known.policy, None, &[early.hash()]);
    let lifts = News::Resume(known.log.add(org, &lifts));
    assert_eq!(test.tell(org, std::slice::from_ref(&lifts)).await.status, 503);
    std::fs::remove_file(filler).unwrap();
    assert_eq!(test.clear(org).await.halts.into_iter().collect::<Vec<_>>(), [late.hash()]);
    test.acknowledged(org, &late).await;
    test.restart().await;
    assert_eq!(test.clear(org).await.resume, Some(lifts.hash()));

    let filler = disk.fill();
    let lost = halt_job(&known.policy, 3);
    assert_eq!(test.post(org, "halts", &lost).await.status, 503);
    test.restart().await;
    assert_eq!(test.clear(org).await.halts.into_iter().collect::<Vec<_>>(), [late.hash()]);
    test.clock.store(100, Ordering::SeqCst);
    let no_time = test.ask_clear(org).await;
    assert_eq!(no_time.status, 503, "the time cannot be reserved: {no_time:?}");
    std::fs::remove_file(filler).unwrap();
    test.acknowledged(org, &lost).await;
    assert_eq!(test.clear(org).await.time, Time(100));
    test.stop().await;
    drop(disk);
}

#[tokio::test]
async fn two_beacons_never_run_on_one_folder() {
    let mut test = Test::new().await;
    let Err(error) = start(&test.config, || Time(1)).await else { panic!("it started") };
    assert!(error.to_string().contains("another program runs on"), "{error}");
    test.restart().await;
}

#[tokio::test]
async fn a_damaged_or_missing_file_stops_the_start_and_is_named() {
    let mut test = Test::new().await;
    let known = Known::to(&test).await;
    for number in 1..=3 {
        test.acknowledged(known.org, &halt_job(&known.policy, number)).await;
    }
    test.stop().await;
    let file = |number: u8| format!("organizations/{}/{number:08}", known.org);
    for (broken, named) in [(1, 1), (3, 3)] {
        let path = test.config.data.join(file(broken));
        let good = std::fs::read_to_string(&path).unwrap();
        for bad in [None, Some(""), Some("half of it")] {
            match bad {
                None => std::fs::remove_file(&path).unwrap(),
                Some(text) => std::fs::write(&path, text).unwrap(),
            }
            let named = if bad.is_none() { named + 1 } else { named };
            let Err(StartError::Open(OpenError::Damaged { file: found, .. })) =
                start(&test.config, || Time(1)).await
            else {
                panic!("it started without file {broken}");
            };
            assert_eq!(found, file(named));
        }
        std::fs::write(&path, good).unwrap();
    }
    test.start().await;
    assert_eq!(test.clear(known.org).await.halts.len(), 3);
}

#[tokio::test]
async fn the_program_is_set_up_and_run_by_its_commands() {
    let folder = tempfile::tempdir().unwrap();
    let (file, data) = (folder.path().join("b.toml"), folder.path().join("data"));
    let init = || {
        let mut command = std::process::Command::new(BINARY);
        command.arg("--config").arg(&file).args(["init", "--name", "b.example", "--listen", "127.0.0.1:0"]);
        command.arg("--data").arg(&data).output().unwrap()
    };
    let made = init();
    let key = String::from_utf8(made.stdout).unwrap();
    assert!(made.status.success() && key.starts_with("b.example+"), "{key}");
    let words = String::from_utf8(init().stderr).unwrap();
    assert!(words.contains("is there already"), "{words}");
    let process = Process::start(BINARY, &file);
    assert_eq!(get(process.address, "/v1/key").await.body, key);
    assert!(process.terminate());
    assert_eq!(Config::read(&file).unwrap().data, data);
}
