//! How long a halt takes from the operator's request until the last of many machines refuses everything.
//!
//! A real server process, four witnesses and four beacons, and machines of a swarm in this process. The clock starts before the halt
//! is posted and stops when the last machine's device has taken it and would have it on its disk. Beside it, with as many connections
//! of the same kind: a raw server that pushes as many bytes to each, whose receivers check one Ed25519 signature. Then a halt in the
//! middle of a job's fan-out to the same machines; and at last a server that is stopped by a signal while a job runs, so that only beacons
//! know of the halt. Prints figures for `cargo xtask bench halt` and draws `docs/halt.svg`; with `--quick` 1,000 machines, and
//! neither.
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

#[path = "stand/curve.rs"]
mod curve;
#[path = "stand/field.rs"]
mod field;
#[path = "stand/process.rs"]
mod process;
#[path = "stand/raw.rs"]
mod raw;
#[path = "stand/silence.rs"]
mod silence;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use countersign_drills::organization::{everything, note_key, sign};
use countersign_drills::part::{self, until};
use countersign_server::gate::connection::news_frames;
use countersign_swarm::agent::device_of;
use countersign_swarm::swarm::{Conduct, Moments, Plan, Swarm};
use countersign_trust::delivery::News;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::statement::resume::Lifts;
use field::Field;
use process::figure;
use raw::{Check, Clients, Raw, Then};
use tokio::runtime::Runtime;

const SIZES: [u64; 4] = [1_000, 3_000, 10_000, 18_000];
/// Which size the figures are of.
const NAMED: u64 = 10_000;
const TIMES: usize = 5;
/// How many machines have a thread of their own where a halt comes in the middle of a fan-out.
const APART: u64 = 100;
/// Bytes that an agent says before it falls silent: Hello and challenge.
const FIRST_WORDS: usize = 300;
/// How long everything is left alone before a clock starts.
const SETTLE: Duration = Duration::from_secs(1);

fn main() {
    part::act();
    raw::act();
    let quick = std::env::args().any(|word| word == "--quick");
    let sizes = if quick { &SIZES[..1] } else { &SIZES[..] };
    let mut bench = Bench::new(*sizes.last().unwrap());
    let mut points = Vec::new();
    let mut loaded = None;
    for size in sizes {
        bench.field.join(*size);
        let idle = bench.halts(*size);
        eprintln!("{size} machines: last refusing after {idle:?}");
        if quick || *size == NAMED {
            loaded = Some(bench.under_load(*size));
        }
        points.push(curve::Point { count: *size, halt_ms: median(&idle), raw_ms: 0.0 });
    }
    let loaded = loaded.unwrap();
    eprintln!("in the middle of a fan-out: {}", loaded.in_words());
    bench.against_raw(&mut points);
    for curve::Point { count, halt_ms, raw_ms } in &points {
        eprintln!(
            "{count:>6} machines: halt {halt_ms:>7.1} ms, raw {raw_ms:>7.1} ms, ratio {:.2}, {:.1} us a machine",
            halt_ms / raw_ms,
            halt_ms * 1_000.0 / *count as f64
        );
    }
    drop(bench);
    let late = silence::starts_after_a_lifetime();
    eprintln!("steps begun later than that: {late}");
    if quick {
        return;
    }
    let named = points.iter().find(|point| point.count == NAMED).unwrap();
    let drawn = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/halt.svg");
    std::fs::write(drawn, curve::svg(&points)).unwrap();
    figure("last_refusing_10000_ms", named.halt_ms);
    figure("ratio_to_raw_10000", named.halt_ms / named.raw_ms);
    figure("loaded_10000_ms", loaded.apart_ms);
    figure("jobs_started_after", late as f64);
}

fn median(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

struct Bench {
    field: Field,
    resume: Option<Sha256>,
    halt: Signed,
}

/// A halt that came while a job was on its way to all.
struct Loaded {
    /// Until the last of the machines on a thread of their own refuses, and the last of all.
    apart_ms: f64,
    all_ms: f64,
    /// The same machines, with nothing on its way.
    idle_ms: f64,
    before: u64,
    after: u64,
    count: u64,
    fan_out_ms: f64,
}

impl Loaded {
    fn in_words(&self) -> String {
        let Self { apart_ms, all_ms, idle_ms, before, after, count, fan_out_ms } = self;
        format!(
            "{before} of {count} machines had the job when somebody halted, {after} once all refused. {APART} machines on a thread of \
             their own, to which the job goes too, refuse after {apart_ms:.0} ms, with nothing on its way after {idle_ms:.0} ms; all \
             others share two threads and judge their deliveries there, and refuse after {all_ms:.0} ms. The same fan-out without a \
             halt takes {fan_out_ms:.0} ms to the last delivery judged"
        )
    }
}

/// Machines that share no thread with the others: what a machine sees that has only its own work.
struct Apart {
    swarm: Swarm,
    runtime: Runtime,
}

impl Apart {
    fn join(field: &Field) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let token = field.world.token_for("apart", &[("kind", "till")], APART.try_into().unwrap());
        // Nobody else of the swarm has these numbers.
        let plan = Plan { conduct: conduct(), first: 1_000_000, ..Plan::new(vec![token]) };
        let mut swarm = Swarm::new(plan).unwrap();
        let inside = runtime.enter();
        swarm.grow(APART);
        drop(inside);
        let connected = || swarm.counts().connected.load(Relaxed) == APART;
        until("those apart are connected", || connected().then_some(()));
        Self { swarm, runtime }
    }
}

fn conduct() -> Conduct {
    Conduct { takes: Duration::ZERO, says: Some("hi\n".to_owned()), ..Conduct::default() }
}

impl Bench {
    fn new(most: u64) -> Self {
        let field = Field::new(most, conduct());
        let halt = field.world.halt(everything(), "bo");
        Self { field, resume: None, halt }
    }

    /// Several halts, each lifted before the next, with how many milliseconds until the last refuses. The first one finds everything
    /// cold and does not count.
    fn halts(&mut self, count: u64) -> Vec<f64> {
        let mut once = || {
            std::thread::sleep(SETTLE);
            let took = self.halt(count);
            self.lift(count);
            took
        };
        once();
        (0..TIMES).map(|_| once()).collect()
    }

    /// Milliseconds from before the post until the last device has taken it.
    fn halt(&mut self, count: u64) -> f64 {
        self.halt = self.field.world.halt(everything(), "bo");
        let halts = &self.field.swarm.counts().halts;
        let all = halts.count() + count;
        let began = Instant::now();
        self.field.world.post(&self.halt, &[]).unwrap();
        let accepted = began.elapsed();
        reaches(halts, all);
        let took = halts.last().into_std() - began;
        eprintln!("    accepted after {accepted:.1?}, last of {count} refusing after {took:.1?}");
        took.as_secs_f64() * 1_000.0
    }

    fn lift(&mut self, count: u64) {
        let resumes = &self.field.swarm.counts().resumes;
        let all = resumes.count() + count;
        let resume = self.field.world.resume(self.resume, Lifts::Halts([self.halt.hash()].into()));
        self.field.world.log(&resume, &[]);
        self.resume = Some(resume.hash());
        reaches(resumes, all);
    }

    /// A halt in the middle of a job's fan-out to all.
    fn under_load(&mut self, count: u64) -> Loaded {
        let apart = Apart::join(&self.field);
        let device = |swarm: &Swarm, place| device_of(&swarm.machine(place)).unwrap();
        let devices: Vec<DeviceId> = (0..count)
            .map(|place| device(&self.field.swarm, place))
            .chain((0..APART).map(|place| device(&apart.swarm, place)))
            .collect();
        let fan_out_ms = self.fan_out(&devices, count, count);
        let idle_ms = self.halt_apart(&apart, count).0;
        self.lift_apart(&apart, count);
        let delivered = || self.field.swarm.counts().delivered.load(Relaxed);
        let none = delivered();
        self.fan_out(&devices, count, count / 10);
        let before = delivered() - none;
        let (apart_ms, all_ms) = self.halt_apart(&apart, count);
        let after = self.field.swarm.counts().delivered.load(Relaxed) - none;
        self.lift_apart(&apart, count);
        let Apart { swarm, runtime } = apart;
        drop(swarm);
        runtime.shutdown_background();
        Loaded { apart_ms, all_ms, idle_ms, before, after, count, fan_out_ms }
    }

    /// A job to all these devices; milliseconds until so many of the swarm's have judged it.
    fn fan_out(&self, devices: &[DeviceId], count: u64, judged: u64) -> f64 {
        let mut job = self.field.world.job(devices, &["echo hi"]);
        job.resume = self.resume;
        std::thread::sleep(SETTLE);
        let delivered = || self.field.swarm.counts().delivered.load(Relaxed);
        let all = delivered() + judged;
        let began = Instant::now();
        self.field.world.post(&sign(&job, &["anna", "bo"]), devices).unwrap();
        until("the job is on its way", || (delivered() >= all).then_some(()));
        let took = began.elapsed();
        if judged == count {
            // What follows the last delivery is over too.
            std::thread::sleep(4 * SETTLE);
        }
        took.as_secs_f64() * 1_000.0
    }

    /// Milliseconds until the last of those apart refuses, and the last of all.
    fn halt_apart(&mut self, apart: &Apart, count: u64) -> (f64, f64) {
        let halts = &apart.swarm.counts().halts;
        let (all, began) = (halts.count() + APART, Instant::now());
        let last = self.halt(count);
        reaches(halts, all);
        ((halts.last().into_std() - began).as_secs_f64() * 1_000.0, last)
    }

    fn lift_apart(&mut self, apart: &Apart, count: u64) {
        let resumes = &apart.swarm.counts().resumes;
        let all = resumes.count() + APART;
        self.lift(count);
        reaches(resumes, all);
    }

    /// The same number of bytes to as many raw clients, which check one signature each.
    fn against_raw(&mut self, points: &mut [curve::Point]) {
        let bytes = news_frames(&[News::Halt(self.halt.clone())])[0].len();
        let pem = self.field.world.server.folder.join("tls.pem");
        let pin = self.field.world.pin();
        self.field.connect(0);
        self.field.world.server.stop();
        let mut raw = Raw::start(&pem);
        let signer = note_key("raw");
        let note = signer.note("x".repeat(bytes - 200) + "\n").unwrap();
        let check = Arc::new(Check { note, key: signer.verifier().clone(), checked: Moments::default() });
        let (mut clients, mut have) = (Clients::default(), 0);
        for point in points {
            let then = Then::Check(check.clone());
            self.field.runtime.block_on(clients.grow(
                point.count - have,
                raw.address,
                pin,
                FIRST_WORDS,
                bytes,
                then,
            ));
            have = point.count;
            let times: Vec<f64> = (0..=TIMES)
                .map(|_| {
                    std::thread::sleep(SETTLE);
                    let all = check.checked.count() + point.count;
                    let began = Instant::now();
                    raw.push(bytes, 0, 0);
                    reaches(&check.checked, all);
                    (check.checked.last().into_std() - began).as_secs_f64() * 1_000.0
                })
                .collect();
            eprintln!("{} raw clients: the last has checked after {times:?}", point.count);
            point.raw_ms = median(&times[1..]);
        }
    }
}

fn reaches(moments: &Moments, count: u64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while moments.count() < count {
        assert!(Instant::now() < deadline, "{} of {count}", moments.count());
        std::thread::sleep(Duration::from_millis(2));
    }
}
