//! What an agent takes of a machine: its memory at its peak, and the size of its program.
//!
//! The real release program works for a real server, four beacons and four witnesses, each a process of its own: a hundred
//! jobs of 64 KiB of output each, five connections that break, and a job whose output is written while no server is
//! there. Challenges are drawn each 20 s, which is as fast as a policy may ask, and counted by what the jobs were delivered with;
//! `--long` spreads the jobs over the 20 minutes that sixty challenges take, and fails with fewer. Prints figures for `cargo xtask bench agent`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench that meets the unexpected should stop there"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use countersign_agent::disk::ledger::read_ledger;
use countersign_drills::organization::sign;
use countersign_drills::part::{Stage, act, until};
use countersign_drills::world::World;
use countersign_trust::receipt::Verdict;
use countersign_wire::http::DeliveryEvidence;

const JOBS: u32 = 100;
/// After so many jobs the connection breaks.
const BREAKS_EACH: u32 = 20;
const OUTPUT: u64 = 65_536;
/// The shortest lifetime of a Clear that a policy may ask for; a challenge is drawn each third of it.
const LIFETIME_S: u64 = 60;
const CHALLENGES: u32 = 60;

fn main() {
    act();
    let long = std::env::args().any(|word| word == "--long");
    // A few more: some are drawn while the server is away, and no job is delivered with them.
    let whole_time =
        if long { Duration::from_secs(LIFETIME_S / 3) * (CHALLENGES + 4) } else { Duration::ZERO };
    let mut world = World::set_up(Stage::Processes, |_| ());
    world.join(1);
    world.machines[0].agent.stop();
    let program = program();
    let mut agent = Agent::start(&program, &world.machines[0].agent.folder);
    world.until_connected(1);
    shorten_lifetime(&world);
    let (started, mut challenges) = (Instant::now(), BTreeSet::new());
    for number in 1..=JOBS {
        challenges.insert(one_job(&world));
        if number % BREAKS_EACH == 0 {
            server_away(&mut world);
        }
        while started.elapsed() < whole_time * number / JOBS {
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    let (breaks, challenges) = (JOBS / BREAKS_EACH, u32::try_from(challenges.len()).unwrap());
    eprintln!("{JOBS} jobs, {breaks} breaks, {challenges} challenges seen in {:?}", started.elapsed());
    assert!(!long || challenges >= CHALLENGES, "{challenges} challenges seen, {CHALLENGES} are to be");
    let peak_kib = agent.peak_kib();
    let size = u32::try_from(fs::metadata(&program).unwrap().len()).unwrap();
    println!("{{\"figure\": \"resident_mib\", \"value\": {:.3}}}", f64::from(peak_kib) / 1024.0);
    println!("{{\"figure\": \"binary_mib\", \"value\": {:.3}}}", f64::from(size) / 1_048_576.0);
}

/// The program beside this example's folder, built before by whoever runs this.
fn program() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let program = here.parent().and_then(Path::parent).unwrap().join("countersign-agent");
    assert!(program.is_file(), "{} is not built", program.display());
    program
}

/// The running program; it ends with the value.
struct Agent(Child);

impl Agent {
    fn start(program: &Path, folder: &Path) -> Self {
        let mut command = Command::new(program);
        command.arg("--data").arg(folder).arg("run").stdin(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// The most memory it ever had resident. It still runs, so that the kernel knows.
    fn peak_kib(&mut self) -> u32 {
        assert!(self.0.try_wait().unwrap().is_none(), "the agent ended");
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        for name in ["VmHWM", "VmRSS", "RssAnon", "RssFile", "Threads"] {
            eprintln!("{}", status.lines().find(|line| line.starts_with(name)).unwrap());
        }
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// Anna and Bo decide that challenges are drawn as often as may be, and the agent hears of it.
fn shorten_lifetime(world: &World) {
    let held = || read_ledger(&world.machines[0].agent.folder).unwrap().chain().unwrap().policy().clone();
    let mut next = held().body.clone();
    next.previous = [held().hash].into();
    next.org = Some(world.org);
    next.number += 1;
    next.beacons.lifetime = LIFETIME_S;
    world.log(&sign(&next, &["anna", "bo"]), &[]);
    until("the agent holds the next policy", || (held().body.number == next.number).then_some(()));
}

/// A job of two people, from its order to its end. Returns the challenge that the Clears beside it answered.
fn one_job(world: &World) -> String {
    let devices = world.all();
    let hash = world.order(&world.job(&devices, &[&format!("head -c {OUTPUT} /dev/urandom")]), &devices);
    let receipt = world.says(Verdict::Ended, &hash, &world.machines[0]);
    assert_eq!((receipt.because.as_str(), receipt.kept, receipt.dropped), ("exit 0", OUTPUT, 0));
    let path = format!("/v1/orgs/{}/jobs/{hash}/deliveries/{}", world.org, world.machines[0].id);
    let delivered: DeliveryEvidence = world.block_on(world.http.get(&path));
    delivered.challenge
}

/// A job writes its output while the server is away; once it is back it gets all of it.
fn server_away(world: &mut World) {
    let (devices, go, folder) = (world.all(), world.nonce(), world.machines[0].agent.folder.clone());
    let wait = format!("while [ ! -e {} ]; do sleep 0.05; done", go.path().display());
    let job = world.job(&devices, &[&wait, &format!("head -c {OUTPUT} /dev/urandom")]);
    let hash = world.order(&job, &devices);
    world.says(Verdict::Accepted, &hash, &world.machines[0]);
    world.server.stop();
    fs::write(go.path(), "").unwrap();
    let waiting =
        || fs::read_dir(folder.join("output")).unwrap().flatten().map(|file| file.metadata().unwrap().len());
    until("the output waits on the disk", || (waiting().sum::<u64>() >= OUTPUT).then_some(()));
    world.server.start();
    world.until_connected(1);
    world.says(Verdict::Ended, &hash, &world.machines[0]);
    until("a server has had the output", || (waiting().count() == 0).then_some(()));
}
