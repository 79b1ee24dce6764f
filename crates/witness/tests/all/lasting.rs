//! What was answered stays true: over crashes, full disks and second starts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use countersign_trust::checkpoint::Checkpoint;
use countersign_trust::note::Note;
use countersign_witness::config::{Config, Organizations};
use countersign_witness::serve::{StartError, start};
use countersign_witness::witness::OpenError;
use hyper::Method;

use crate::client::{ask, get, post};
use crate::organization::{TestLog, signed};
use crate::program::{Process, SmallDisk};
use crate::unrehearsed::not_rehearsed;
use crate::{Test, checkpoint_path, config_in};

const ORIGIN: &str = "log.example/one";
const BINARY: &str = env!("CARGO_BIN_EXE_countersign-witness");

/// Sends checkpoint after checkpoint until the witness is gone; counts in `seen` up to where they were cosigned.
async fn send_all(log: Arc<TestLog>, to: std::net::SocketAddr, seen: Arc<AtomicU64>) {
    loop {
        let old = seen.load(Ordering::SeqCst);
        let request = log.request(old, old + 1).to_string();
        match ask(to, Method::POST, "/add-checkpoint", request).await {
            Ok(answer) if answer.status == 200 => seen.store(old + 1, Ordering::SeqCst),
            // The one before was written and its answer lost.
            Ok(answer) if answer.status == 409 => {
                let size = answer.body.trim().parse().unwrap();
                assert!(size > old, "the witness went back from {old} to {size}");
                seen.store(size, Ordering::SeqCst);
            }
            Ok(answer) => panic!("{answer:?}"),
            Err(_) => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_has_forgotten_no_cosignature() {
    let mut test = Test::new().await;
    let mut log = test.log(ORIGIN, 0).await;
    log.grow(5_000);
    let log = Arc::new(log);
    test.stop().await;
    let config = test.folder.path().join("witness.toml");
    let seen = Arc::new(AtomicU64::new(0));
    for round in 1..=24 {
        let process = Process::start(BINARY, &config);
        let sending = tokio::spawn(send_all(Arc::clone(&log), process.address, Arc::clone(&seen)));
        let enough = seen.load(Ordering::SeqCst) + 1 + round % 5;
        while seen.load(Ordering::SeqCst) < enough {
            tokio::task::yield_now().await;
        }
        drop(process);
        sending.await.unwrap();
        let process = Process::start(BINARY, &config);
        let served: Note = get(process.address, &checkpoint_path(ORIGIN)).await.body.parse().unwrap();
        let size = served.text().parse::<Checkpoint>().unwrap().size;
        let seen = seen.load(Ordering::SeqCst);
        assert!(size == seen || size == seen + 1, "round {round}: cosigned up to {seen}, kept {size}");
        assert!(process.terminate(), "SIGTERM ends it in order");
    }
}

#[tokio::test]
async fn on_a_full_disk_nothing_is_cosigned_or_lost_and_it_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let Some(disk) = SmallDisk::mount(&data) else {
        return not_rehearsed("this user may not mount a file system");
    };
    let config = config_in(folder.path(), Organizations::Any);
    let mut test = Test { folder, config, clock: Arc::default(), running: None };
    test.start().await;
    let log = test.log(ORIGIN, 9).await;
    assert_eq!(test.add(log.request(0, 4)).await.status, 200);
    let filler = disk.fill();
    let refused = test.add(log.request(4, 5)).await;
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("nothing was cosigned, try again later: cannot"), "{refused:?}");
    assert!(refused.body.contains("No space left on device"), "{refused:?}");
    let mut other = test.policy("log.example/two");
    other.name = "Two".parse().unwrap();
    assert_eq!(test.show(&[&other]).await.status, 503);
    test.restart().await;
    let served = get(test.at(), &checkpoint_path(ORIGIN)).await;
    assert!(served.body.starts_with(log.checkpoint(4).text()), "{served:?}");
    std::fs::remove_file(filler).unwrap();
    assert_eq!(test.add(log.request(4, 5)).await.status, 200);
    assert_eq!(test.show(&[&other]).await.status, 200);
    test.stop().await;
    drop(disk);
}

#[tokio::test]
async fn two_witnesses_never_run_on_one_folder() {
    let mut test = Test::new().await;
    let second = start(&test.config, || countersign_trust::time::Time(1)).await;
    let Err(error) = second else { panic!("it started") };
    assert!(error.to_string().contains("another program runs on"), "{error}");
    test.restart().await;
}

#[tokio::test]
async fn a_damaged_file_stops_the_start_and_is_named() {
    let mut test = Test::new().await;
    let log = test.log(ORIGIN, 3).await;
    assert_eq!(test.add(log.request(0, 3)).await.status, 200);
    test.stop().await;
    let policy = test.policy(ORIGIN);
    let files = [
        format!("policies/{}", crate::org_of(&policy)),
        checkpoint_path(ORIGIN).replace("/checkpoint", "").replace('/', "checkpoints/"),
    ];
    for file in files {
        let path = test.config.data.join(&file);
        let good = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, good.replace(['3', 'e'], "4")).unwrap();
        let Err(StartError::Open(OpenError::Damaged { file: named, .. })) =
            start(&test.config, || countersign_trust::time::Time(1)).await
        else {
            panic!("{file}: it started");
        };
        assert_eq!(named, file);
        std::fs::write(&path, good).unwrap();
    }
    test.start().await;
}

#[tokio::test]
async fn the_program_is_set_up_and_run_by_its_commands() {
    let folder = tempfile::tempdir().unwrap();
    let (file, data) = (folder.path().join("w.toml"), folder.path().join("data"));
    let init = || {
        let mut command = std::process::Command::new(BINARY);
        command.arg("--config").arg(&file).args(["init", "--name", "w.example", "--listen", "127.0.0.1:0"]);
        command.arg("--data").arg(&data).output().unwrap()
    };
    let made = init();
    let key = String::from_utf8(made.stdout).unwrap();
    assert!(made.status.success() && key.starts_with("w.example+"), "{key}");
    let again = init();
    let words = String::from_utf8(again.stderr).unwrap();
    assert!(!again.status.success() && words.contains("is there already"), "{words}");
    let process = Process::start(BINARY, &file);
    assert_eq!(get(process.address, "/v1/key").await.body, key);
    let policy = signed(&Test::new().await.policy(ORIGIN));
    let body = countersign_trust::delivery::write_sequence(&[policy]);
    let org = format!("/v1/orgs/org-{}/policies", "0".repeat(64));
    assert_eq!(post(process.address, &org, body).await.status, 422);
    assert!(process.terminate());
    assert_eq!(Config::read(&file).unwrap().data, data);
}
