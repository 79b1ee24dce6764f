//! Strangers who bring as much as they can, as many as they can: the beacon stays small, and whoever asks for a Clear has one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use countersign_beacon::config::Organizations;
use countersign_trust::chain::MAX_HALTS_OF_A_KEY;
use countersign_trust::delivery::write_sequence;
use countersign_trust::ids::StatementId;
use countersign_trust::statement::halt::{Halt, Scope};
use countersign_trust::text::Nothing;
use countersign_trust::time::Time;
use hyper::Method;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{ask, connect, post, reach};
use crate::organization::{beacon_key, sign};
use crate::program::Process;
use crate::stops::halt_job;
use crate::{Known, ROOT, config_in};

const MIB: usize = 1024 * 1024;
/// The longest that an agent waits for a beacon.
const PATIENCE: Duration = Duration::from_secs(3);

/// The real program, which knows one organization.
struct Served {
    process: Process,
    known: Known,
    _folder: TempDir,
}

impl Served {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = config_in(folder.path(), Organizations::Any);
        let process =
            Process::start(env!("CARGO_BIN_EXE_countersign-beacon"), &folder.path().join("beacon.toml"));
        let (one, two) = (beacon_key(1), beacon_key(2));
        let signer = config.signer().unwrap();
        let mut known = Known::of(&[signer.verifier(), one.verifier(), two.verifier()]);
        let genesis = known.genesis();
        let path = format!("/v1/orgs/{}/news", known.org);
        assert_eq!(post(process.address, &path, write_sequence(&[genesis])).await.status, 200);
        Self { process, known, _folder: folder }
    }

    fn at(&self) -> SocketAddr {
        self.process.address
    }

    /// An honest client's Clear, and how long it took.
    async fn clear(&self) -> Duration {
        let (path, began) = (format!("/v1/orgs/{}/clear", self.known.org), Instant::now());
        let answer = ask(self.at(), Method::POST, &path, format!("{ROOT}\n")).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        began.elapsed()
    }

    /// How many Clears an honest client gets in a second, one after the other, and the longest that one took.
    async fn clears(&self, time: Duration) -> (f64, Duration) {
        let (began, mut count, mut longest) = (Instant::now(), 0_u32, Duration::ZERO);
        while began.elapsed() < time {
            longest = longest.max(self.clear().await);
            count += 1;
        }
        (f64::from(count) / began.elapsed().as_secs_f64(), longest)
    }
}

/// Begins to post `bytes` to `org`, all but the last, and says whether they were not answered at once.
async fn bring(to: SocketAddr, org: String, bytes: usize) -> bool {
    let mut stream = connect(to, [127, 0, 0, 2]).await.unwrap();
    let head = format!("POST /v1/orgs/{org}/news HTTP/1.1\r\nhost: b\r\ncontent-length: {bytes}\r\n\r\n");
    let piece = vec![b'x'; MIB - 1];
    let mut whole = stream.write_all(head.as_bytes()).await;
    for _ in 0..bytes / MIB {
        whole = whole.and(stream.write_all(&piece).await);
    }
    let read = tokio::time::timeout(Duration::from_secs(2), stream.read(&mut [0; 4096])).await;
    let held = read.is_err() && whole.is_ok();
    if held {
        // Held for as long as the beacon lets it: the test's own end ends it.
        tokio::spawn(async move {
            let _stream = stream;
            std::future::pending::<()>().await;
        });
    }
    held
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_who_bring_four_mebibytes_each_fill_nothing() {
    let served = Served::new().await;
    let (before, unknown) = (served.process.most_memory(), format!("org-{}", "0".repeat(64)));
    let mut held = 0;
    for org in [unknown, served.known.org.to_string()] {
        let mut bringing = tokio::task::JoinSet::new();
        for _ in 0..64 {
            bringing.spawn(bring(served.at(), org.clone(), 4 * MIB));
        }
        while let Some(ended) = bringing.join_next().await {
            held += usize::from(ended.unwrap());
            assert!(served.clear().await < PATIENCE);
        }
    }
    let after = served.process.most_memory();
    println!("VmHWM {before} KiB before, {after} KiB with 128 bodies of 4 MiB offered, {held} not answered");
    assert!(after < before + 64 * 1024, "{before} KiB, then {after} KiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_fills_the_door_from_one_address_shuts_nobody_elses() {
    let served = Served::new().await;
    let mut there = Vec::new();
    for _ in 0..1_100 {
        there.push(reach(served.at(), [127, 0, 0, 2]).await.unwrap());
    }
    // Each is counted by a task of its own, so the last to come may be counted first.
    let shut = async {
        while connect(served.at(), [127, 0, 0, 2]).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), shut).await.expect("the thousandth is enough");
    assert!(served.clear().await < PATIENCE);
    println!("VmHWM {} KiB with 1,024 connections that say nothing", served.process.most_memory());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_for_a_clear_does_not_wait_for_strangers_halts() {
    let served = Served::new().await;
    let path = format!("/v1/orgs/{}/halts", served.known.org);
    // One key has all the halts it may have: what it calls from here on is well signed, and stops nothing.
    let most = u8::try_from(MAX_HALTS_OF_A_KEY).unwrap();
    for number in 1..=most {
        assert_eq!(post(served.at(), &path, halt_job(&served.known.policy, number)).await.status, 200);
    }
    let halt = Halt {
        org: Some(served.known.org),
        id: StatementId([77; 16]),
        policy: None,
        scope: Scope::Organization(Nothing),
        made: Time(1),
        reason: "it looks wrong".parse().unwrap(),
        advisory: "".parse().unwrap(),
    };
    let keys: Vec<u8> = (1..=32).collect();
    let forged = sign(&halt, &keys).to_string().replace("wrong", "right");
    assert!(forged.len() < 16 * 1024, "{}", forged.len());
    let idle = halt_job(&served.known.policy, most + 1).to_string();
    let (quiet, _) = served.clears(Duration::from_secs(2)).await;
    let (stop, posted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut hostile = tokio::task::JoinSet::new();
    for number in 0..64 {
        let (to, path, stop, posted) = (served.at(), path.clone(), stop.clone(), posted.clone());
        let (body, expected) = if number % 2 == 0 { (forged.clone(), 403) } else { (idle.clone(), 409) };
        hostile.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                if let Ok(answer) = ask(to, Method::POST, &path, body.clone()).await {
                    assert_eq!(answer.status, expected, "{answer:?}");
                    posted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    let (beside, longest) = served.clears(Duration::from_secs(4)).await;
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = hostile.join_next().await {
        ended.unwrap();
    }
    println!(
        "{quiet:.0} Clears/s alone, {beside:.0} beside 64 connections that posted {} halts of {} KiB; the longest took {longest:?}",
        posted.load(Ordering::Relaxed),
        forged.len() / 1024,
    );
    assert!(longest < PATIENCE, "{longest:?}");
}
