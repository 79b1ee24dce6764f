//! Strangers who bring as much as they can, as many as they can: the witness stays small, and goes on cosigning.

use std::net::SocketAddr;
use std::time::Duration;

use countersign_trust::delivery::write_sequence;
use countersign_trust::note::NoteSigner;
use countersign_witness::config::Organizations;
use hyper::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{ask, connect, post, reach};
use crate::config_in;
use crate::organization::{TestLog, beacon_key, beacons, genesis, log_key, org_of, signed, witnesses};
use crate::program::Process;

const MIB: usize = 1024 * 1024;
const ORIGIN: &str = "log.example/one";

/// Begins to post `bytes`, all but the last, and says whether they were not answered at once.
async fn bring(to: SocketAddr, path: String, bytes: usize) -> bool {
    let mut stream = connect(to, [127, 0, 0, 2]).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: w\r\ncontent-length: {bytes}\r\n\r\n");
    let piece = vec![b'x'; MIB - 1];
    let mut whole = stream.write_all(head.as_bytes()).await;
    for _ in 0..bytes / MIB {
        whole = whole.and(stream.write_all(&piece).await);
    }
    let read = tokio::time::timeout(Duration::from_secs(2), stream.read(&mut [0; 4096])).await;
    let held = read.is_err() && whole.is_ok();
    if held {
        // Held for as long as the witness lets it: the test's own end ends it.
        tokio::spawn(async move {
            let _stream = stream;
            std::future::pending::<()>().await;
        });
    }
    held
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_brings_all_they_can_fills_nothing_and_who_says_nothing_shuts_no_door() {
    let folder = tempfile::tempdir().unwrap();
    let signer: NoteSigner = config_in(folder.path(), Organizations::Any).signer().unwrap();
    let process =
        Process::start(env!("CARGO_BIN_EXE_countersign-witness"), &folder.path().join("witness.toml"));
    let (to, log) = (process.address, log_key(ORIGIN));
    let policy =
        genesis(log.verifier(), witnesses(&[signer.verifier()]), beacons(1, &[beacon_key(1).verifier()]));
    let known = format!("/v1/orgs/{}/policies", org_of(&policy));
    assert_eq!(post(to, &known, write_sequence(&[signed(&policy)])).await.status, 200);
    let (mut log, mut size, before, mut held) =
        (TestLog::new(ORIGIN, Vec::new()), 0, process.most_memory(), 0);
    for path in [format!("/v1/orgs/org-{}/policies", "0".repeat(64)), known] {
        let mut bringing = tokio::task::JoinSet::new();
        for _ in 0..64 {
            bringing.spawn(bring(to, path.clone(), 4 * MIB));
        }
        while let Some(ended) = bringing.join_next().await {
            held += usize::from(ended.unwrap());
            log.grow(size + 1);
            let request = log.request(size, size + 1).to_string();
            let answer = ask(to, Method::POST, "/add-checkpoint", request).await.unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
            size += 1;
        }
    }
    let mut there = Vec::new();
    for _ in 0..300 {
        there.push(reach(to, [127, 0, 0, 3]).await.unwrap());
    }
    // Each is counted by a task of its own, so the last to come may be counted first.
    let shut = async {
        while connect(to, [127, 0, 0, 3]).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), shut).await.expect("256 are enough");
    log.grow(size + 1);
    let answer = post(to, "/add-checkpoint", log.request(size, size + 1)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let after = process.most_memory();
    println!(
        "VmHWM {before} KiB before, {after} KiB with 128 bodies of 4 MiB offered, {held} not answered; {} checkpoints cosigned beside",
        size + 1
    );
    assert!(after < before + 64 * 1024, "{before} KiB, then {after} KiB");
}
