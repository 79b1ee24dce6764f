//! What an idle agent costs the server, beside what a connection costs a server that does nothing but TLS.
//!
//! A real server process, four witnesses and four beacons; machines of a swarm in this process, and after them as many raw
//! clients with the same keys against a raw server with the same TLS configuration. Memory is what each server's process holds
//! beyond what it held before the first came, divided by how many there are. Prints figures for `cargo xtask
//! bench connections`; none with fewer machines, by COUNTERSIGN_BENCH_MOST.
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

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use countersign_drills::part;
use countersign_swarm::swarm::Conduct;
use field::Field;
use process::{cpu_s, figure, resident_kib};
use raw::{Clients, Raw, Then};

const STEPS: [u64; 4] = [1_000, 5_000, 10_000, 18_000];
/// Which step the figures are of.
const NAMED: u64 = 10_000;
/// How long a server is left alone before its memory is read: what is put off for a connection's beginning is over by then.
const SETTLE: Duration = Duration::from_secs(4);
/// Bytes that an agent says before it falls silent: Hello and challenge.
const FIRST_WORDS: usize = 300;

fn main() {
    part::act();
    raw::act();
    let most = std::env::var("COUNTERSIGN_BENCH_MOST").ok().and_then(|most| most.parse().ok());
    let steps: Vec<u64> = STEPS.into_iter().filter(|step| *step <= most.unwrap_or(u64::MAX)).collect();
    let all = *steps.last().unwrap();
    let mut field = Field::new(all, Conduct::default());
    let before = cpu_s(field.server());
    let took = field.join(all);
    let joined = cpu_s(field.server()) - before;
    eprintln!(
        "{all} machines joined in {:.1} s: {:.0} a second, {:.2} ms of the server each",
        took.as_secs_f64(),
        all as f64 / took.as_secs_f64(),
        joined * 1_000.0 / all as f64
    );
    // A server that has just come up, and machines that have joined before.
    field.restart();
    let server = measure(&steps, field.server(), |count| field.connect(count));
    let pem = field.world.server.folder.join("tls.pem");
    let pin = field.world.pin();
    field.connect(0);
    field.world.server.stop();
    let raw = Raw::start(&pem);
    let (mut clients, mut have) = (Clients::default(), 0);
    let against = measure(&steps, raw.process.id(), |count| {
        field.runtime.block_on(clients.grow(count - have, raw.address, pin, FIRST_WORDS, 0, Then::Reply(0)));
        have = count;
    });
    eprintln!(
        "{:>8} {:>18} {:>18} {:>8} {:>14} {:>14}",
        "agents", "server KiB/agent", "raw KiB/conn.", "ratio", "server /cpu s", "raw /cpu s"
    );
    for (ours, raw) in server.iter().zip(&against) {
        eprintln!(
            "{:>8} {:>18.2} {:>18.2} {:>8.2} {:>14.0} {:>14.0}",
            ours.count,
            ours.kib_each,
            raw.kib_each,
            ours.kib_each / raw.kib_each,
            ours.per_cpu_s,
            raw.per_cpu_s
        );
    }
    let named = |measured: &[Measured]| measured.iter().rfind(|step| step.count <= NAMED).copied().unwrap();
    let (ours, raw) = (named(&server), named(&against));
    let failed = field.swarm.counts().failed.load(Relaxed);
    eprintln!("{failed} connections failed on the way");
    if ours.count == NAMED {
        figure("server_kib_per_agent", ours.kib_each);
        figure("raw_kib_per_connection", raw.kib_each);
        figure("handshake_ratio", ours.per_cpu_s / raw.per_cpu_s);
    }
}

#[derive(Clone, Copy)]
struct Measured {
    count: u64,
    kib_each: f64,
    /// Connections that came about in one second of processor, from none on.
    per_cpu_s: f64,
}

fn measure(steps: &[u64], pid: u32, mut connect: impl FnMut(u64)) -> Vec<Measured> {
    std::thread::sleep(SETTLE);
    let (empty, idle) = (resident_kib(pid), cpu_s(pid));
    eprintln!("nobody connected: {empty:.0} KiB");
    let mut settling = 0.0;
    steps
        .iter()
        .map(|count| {
            connect(*count);
            let spent = cpu_s(pid) - idle - settling;
            let before = cpu_s(pid);
            std::thread::sleep(SETTLE);
            settling += cpu_s(pid) - before;
            let kib_each = (resident_kib(pid) - empty) / *count as f64;
            Measured { count: *count, kib_each, per_cpu_s: *count as f64 / spent }
        })
        .collect()
}
