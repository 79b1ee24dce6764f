//! How long a job takes from its last approval until the last of many machines' receipts is stored.
//!
//! A real server process, four witnesses and four beacons, and machines of a swarm in this process, which truly verify what they
//! are brought. The clock starts before the last approval is posted and stops when the server's database, read from outside,
//! holds two receipts of every machine: that it accepted the job, and how it ended. Beside it: a raw server that pushes as many
//! bytes to as many connections of the same kind, and waits for as many bytes from each; and the same rows written again into the
//! same database, alone. Prints figures for `cargo xtask bench fanout`; none with fewer machines, by COUNTERSIGN_BENCH_MOST.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    missing_docs,
    dead_code,
    reason = "a bench that meets the unexpected should stop there"
)]

#[path = "stand/field.rs"]
mod field;
#[path = "stand/process.rs"]
mod process;
#[path = "stand/raw.rs"]
mod raw;
#[path = "stand/records.rs"]
mod records;

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use countersign_drills::organization::sign;
use countersign_drills::part;
use countersign_swarm::agent::device_of;
use countersign_swarm::swarm::Conduct;
use countersign_trust::ids::{DeviceId, Sha256};
use field::Field;
use process::{cpu_s, figure};
use raw::{Clients, Raw, Then};
use records::Records;

const SMALL: u64 = 1_000;
const LARGE: u64 = 10_000;
/// Bytes that an agent says before it falls silent: Hello and challenge.
const FIRST_WORDS: usize = 300;
/// How long everything is left alone before a clock starts.
const SETTLE: Duration = Duration::from_secs(4);

fn main() {
    part::act();
    raw::act();
    let most = std::env::var("COUNTERSIGN_BENCH_MOST").ok().and_then(|most| most.parse().ok());
    let large = most.unwrap_or(LARGE);
    let conduct = Conduct { takes: Duration::ZERO, says: Some("hi\n".to_owned()), ..Conduct::default() };
    let mut field = Field::new(large, conduct);
    field.join(SMALL.min(large));
    once(&field, SMALL.min(large)).tell("small");
    field.join(large);
    // The first job to all of them finds everything cold; the second is the one that counts.
    once(&field, large).tell("cold");
    let job = once(&field, large);
    job.tell("counts");
    let pem = field.world.server.folder.join("tls.pem");
    let pin = field.world.pin();
    field.connect(0);
    field.world.server.stop();
    let (raw, raw_cpu) = push(&field, &pem, pin, large, &job);
    let storage = field.runtime.block_on(Records::at(&field.world.server.folder).write_again(&job.hash));
    let (bar, last) = ((raw + storage).as_secs_f64(), job.last.as_secs_f64());
    eprintln!(
        "raw push of {} bytes and reply of {} bytes: {raw:.0?}; storage alone: {storage:.0?}; together {bar:.3} s",
        job.pushed, job.replied
    );
    let judging = job.swarm_cpu_s - raw_cpu;
    eprintln!(
        "the machines' own work beyond that of raw clients: {judging:.2} s of processor, {:.0} us each; without it, spread over two cores, the \
         ratio would be {:.2}",
        judging * 1e6 / large as f64,
        (last - judging / 2.0) / bar
    );
    let server_us = job.server_cpu_s * 1e6 / large as f64;
    if large != LARGE {
        return eprintln!(
            "with {large} machines instead of {LARGE}: {:.0} ms, {:.2} times the bar, {server_us:.0} us of the server each",
            last * 1_000.0,
            last / bar
        );
    }
    figure("last_receipt_10000_ms", last * 1_000.0);
    figure("ratio_to_raw_10000", last / bar);
    figure("server_cpu_us_per_agent_job", server_us);
}

/// What one job took.
struct Took {
    hash: Sha256,
    count: u64,
    last: Duration,
    server_cpu_s: f64,
    swarm_cpu_s: f64,
    others_cpu_s: f64,
    judged: Duration,
    pushed: usize,
    replied: usize,
}

impl Took {
    fn tell(&self, name: &str) {
        eprintln!(
            "{name}: {} machines, last receipt after {:.0?}; processor seconds: server {:.2} ({:.0} us each), swarm {:.2} (devices {:.2}), \
             beacons and witnesses {:.2}",
            self.count,
            self.last,
            self.server_cpu_s,
            self.server_cpu_s * 1e6 / self.count as f64,
            self.swarm_cpu_s,
            self.judged.as_secs_f64(),
            self.others_cpu_s
        );
    }
}

/// One job of two people on the first `count` machines.
fn once(field: &Field, count: u64) -> Took {
    let devices: Vec<DeviceId> =
        (0..count).map(|place| device_of(&field.swarm.machine(place)).unwrap()).collect();
    let records = Records::at(&field.world.server.folder);
    let job = field.world.job(&devices, &["echo hi"]);
    field.world.post(&sign(&job, &["anna"]), &devices).unwrap();
    let approval = sign(&job, &["bo"]);
    let hash = approval.hash();
    std::thread::sleep(SETTLE);
    let (server, swarm, others) = (field.server(), std::process::id(), field.others());
    let spent = || (cpu_s(server), cpu_s(swarm), others.iter().map(|pid| cpu_s(*pid)).sum::<f64>());
    let counts = field.swarm.counts();
    let told = || {
        [&counts.delivered, &counts.delivered_bytes, &counts.said_bytes, &counts.judged_us]
            .map(|count| count.load(Relaxed))
    };
    let (before, told_before) = (spent(), told());
    let began = Instant::now();
    field.world.post(&approval, &[]).unwrap();
    let last = field.runtime.block_on(records.wait_for(&hash, count * 2, began));
    let told_now = told();
    // What follows the last receipt, such as its place in the log, is the server's work for this job too.
    std::thread::sleep(SETTLE);
    let after = spent();
    let [delivered, pushed, replied, judged] = [0, 1, 2, 3].map(|at| told_now[at] - told_before[at]);
    assert_eq!(delivered, count, "deliveries");
    let each = |bytes: u64| usize::try_from(bytes / count).unwrap();
    Took {
        hash,
        count,
        last,
        server_cpu_s: after.0 - before.0,
        swarm_cpu_s: after.1 - before.1,
        others_cpu_s: after.2 - before.2,
        judged: Duration::from_micros(judged),
        pushed: each(pushed),
        replied: each(replied),
    }
}

/// The same bytes without any rule: how long, and how many processor seconds the clients took.
fn push(field: &Field, pem: &std::path::Path, pin: Sha256, count: u64, job: &Took) -> (Duration, f64) {
    let mut raw = Raw::start(pem);
    let mut clients = Clients::default();
    let growing = clients.grow(count, raw.address, pin, FIRST_WORDS, job.pushed, Then::Reply(job.replied));
    field.runtime.block_on(growing);
    std::thread::sleep(SETTLE);
    let number = usize::try_from(count).unwrap();
    raw.push(job.pushed, job.replied, number);
    let before = cpu_s(std::process::id());
    let took = raw.push(job.pushed, job.replied, number);
    (took, cpu_s(std::process::id()) - before)
}
