//! No order of deliveries, Clears, halts, ends, acknowledgements and power cuts breaks what a device promises.

use std::collections::BTreeSet;

use countersign_trust::clear::AnsweredClear;
use countersign_trust::delivery::Delivery;
use countersign_trust::device::{Input, Output};
use countersign_trust::ids::Sha256;
use countersign_trust::ledger::{Record, StepKey};
use countersign_trust::receipt::{Receipt, Verdict};
use countersign_trust::statement::job::OnHalt;
use countersign_trust::statement::resume::{Cuts, Lifts};
use countersign_trust::text::Nothing;
use countersign_trust::time::Time;
use proptest::prelude::*;

use crate::life::{Life, replay, state};
use crate::organization::{WITNESSES, everything, script};

/// One thing that happens to a device.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The server brings job so-and-so, again or not, with Clears or without.
    Deliver { job: usize, with_clears: bool },
    /// Beacons answer, or somebody brings their old answers again.
    Clears { old: bool },
    /// The oldest or newest step that runs ends, well or not.
    End { newest: bool, well: bool },
    /// Seconds pass.
    Pass(u64),
    /// The wall clock is set, so many seconds forward or back.
    SetWallClock(i64),
    /// The beacons' clocks are set back a little.
    SlowBeacons(u64),
    /// The power is cut; the disk may have been rewritten before.
    Restart { rewritten: bool },
    /// The log takes the oldest receipt, or the server only says so.
    Acknowledge { witnessed: bool },
    /// Cia halts everything.
    Halt,
    /// Anna and Bo lift what was halted, cutting what was before or not.
    Resume { cut: bool },
    /// An old halt is sent again.
    OldHalt,
    /// The connection comes back.
    Connect,
}

fn event() -> impl Strategy<Value = Event> {
    let yes = any::<bool>();
    prop_oneof![
        12 => (0..4_usize, prop::bool::weighted(0.7)).prop_map(|(job, with_clears)| Event::Deliver { job, with_clears }),
        3 => yes.prop_map(|old| Event::Clears { old }),
        6 => (yes, prop::bool::weighted(0.8)).prop_map(|(newest, well)| Event::End { newest, well }),
        2 => prop_oneof![1..5_u64, Just(61), Just(181)].prop_map(Event::Pass),
        1 => prop_oneof![Just(-86_400), Just(-30), Just(30), Just(600)].prop_map(Event::SetWallClock),
        1 => (1..59_u64).prop_map(Event::SlowBeacons),
        2 => yes.prop_map(|rewritten| Event::Restart { rewritten }),
        2 => yes.prop_map(|witnessed| Event::Acknowledge { witnessed }),
        1 => Just(Event::Halt),
        2 => prop::bool::weighted(0.1).prop_map(|cut| Event::Resume { cut }),
        1 => Just(Event::OldHalt),
        1 => Just(Event::Connect),
    ]
}

/// A device, four jobs for it, and what the laws need to remember.
struct Trial {
    life: Life,
    jobs: Vec<Delivery>,
    seen_clears: Vec<Vec<AnsweredClear>>,
    running: Vec<StepKey>,
    /// Whether the device knows of an organization halt that nobody lifted.
    halted: bool,
}

impl Trial {
    fn new() -> Self {
        let mut life = Life::where_jobs_may_finish();
        let jobs = (0..4_u64).map(|number| {
            let mut job = life.org.job();
            job.steps = vec![script(&["echo step"]); 1 + number as usize % 3];
            job.on_halt = if number == 3 { OnHalt::Finish } else { OnHalt::Kill };
            job.not_after = Time(job.not_after.0 + number);
            life.delivery(&job)
        });
        let jobs: Vec<Delivery> = jobs.collect();
        Self { life, jobs, seen_clears: Vec::new(), running: Vec::new(), halted: false }
    }

    fn happen(&mut self, event: Event) {
        let outputs = match event {
            Event::Deliver { job, with_clears } => {
                let clears = if with_clears { self.life.clears() } else { Vec::new() };
                self.seen_clears.push(clears.clone());
                let news = self.life.org.news.clone();
                self.halted = self.life.org.chain.active_halts().count() > 0;
                self.life.hear(Input::Delivered(Box::new(Delivery {
                    clears,
                    news,
                    ..self.jobs[job].clone()
                })))
            }
            Event::Clears { old } => {
                let first = self.seen_clears.first().cloned();
                let clears = first.filter(|_| old).unwrap_or_else(|| self.life.clears());
                self.seen_clears.push(clears.clone());
                self.life.hear(Input::Clears(clears))
            }
            Event::End { newest, well } => {
                let at = if newest { self.running.len().checked_sub(1) } else { Some(0) };
                let Some(key) = at.and_then(|at| self.running.get(at).copied()) else { return };
                self.running.retain(|other| *other != key);
                self.life.end(key, well)
            }
            Event::Pass(seconds) => return self.pass(seconds),
            Event::SetWallClock(seconds) => {
                let wall = i64::try_from(self.life.now.wall_ms).unwrap() + seconds * 1_000;
                self.life.now.wall_ms = u64::try_from(wall).unwrap();
                return;
            }
            Event::SlowBeacons(seconds) => {
                self.life.org.time = Time(self.life.org.time.0 - seconds);
                return;
            }
            Event::Restart { rewritten } => return self.restart(rewritten),
            Event::Acknowledge { witnessed } => return self.acknowledge(witnessed),
            Event::Halt => {
                let news = self.life.org.halt(everything(), "cia");
                self.halted = true;
                self.life.tell(news)
            }
            Event::Resume { cut } => return self.resume(cut),
            Event::OldHalt => {
                let Some(news) = self.life.org.news.first().cloned() else { return };
                let lifted = self.life.org.chain.active_halts().all(|halt| halt.hash != news.hash());
                self.halted |= !lifted;
                self.life.tell(news)
            }
            Event::Connect => self.life.hear(Input::Connected),
        };
        self.note(&outputs);
    }

    fn note(&mut self, outputs: &[Output]) {
        for output in outputs {
            if let Output::Run(job) = output {
                assert!(!self.halted, "something started though everything is halted");
                self.running.push(job.key());
            }
        }
    }

    fn pass(&mut self, seconds: u64) {
        let before = self.life.ran.len();
        self.life.pass(seconds);
        assert_eq!(self.life.ran.len(), before, "time alone starts nothing");
    }

    fn restart(&mut self, rewritten: bool) {
        if rewritten {
            self.life.rewrite();
        }
        let before = self.life.state();
        assert_eq!(state(&replay(&self.life.disk)), before, "the disk gives what the device held");
        self.running.clear();
        let ran = self.life.ran.len();
        self.life.restart();
        assert_eq!(self.life.ran.len(), ran, "a restart starts nothing");
        assert_eq!(self.life.device.ledger().started(), [], "what was found started is closed");
    }

    fn acknowledge(&mut self, witnessed: bool) {
        let oldest = self.life.device.ledger().spool().next().cloned();
        let Some(number) = oldest.map(|note| note.text().parse::<Receipt>().unwrap().number) else { return };
        let seen_by = if witnessed { &WITNESSES[..3] } else { &WITNESSES[..2] };
        let shown = self.life.acknowledge(number, seen_by);
        self.life.hear(Input::Acknowledged(Box::new(shown)));
        assert_eq!(self.life.device.ledger().receipt(number).is_none(), witnessed);
    }

    fn resume(&mut self, cut: bool) {
        let active: BTreeSet<Sha256> = self.life.org.chain.active_halts().map(|halt| halt.hash).collect();
        let cuts = if cut { Cuts::All(Nothing) } else { Cuts::None(Nothing) };
        self.life.org.resume(Lifts::Halts(active), cuts, |_| ());
        // The server brings all that was decided: the device may have missed the halt itself.
        let news = self.life.org.news.clone();
        self.halted = false;
        let outputs = self.life.hear(Input::News(news));
        self.note(&outputs);
    }

    /// What must hold after everything.
    fn laws(&self) {
        let ran = &self.life.ran;
        assert_eq!(ran.iter().collect::<BTreeSet<_>>().len(), ran.len(), "a step ran twice");
        let receipts = self.life.receipts();
        for (one, next) in receipts.iter().zip(receipts.iter().skip(1)) {
            assert_eq!(next.number, one.number + 1);
            assert_eq!(next.previous, Some(Sha256::of(one.to_string().as_bytes())), "the chain is whole");
            assert!(
                next.time >= one.time,
                "the lower bound of the time fell: {} after {}",
                next.time,
                one.time
            );
        }
        let accepted = receipts.iter().filter(|receipt| receipt.verdict == Verdict::Accepted);
        let accepted: Vec<(Option<Sha256>, u64)> =
            accepted.map(|receipt| (receipt.job, receipt.step)).collect();
        let ran: Vec<(Option<Sha256>, u64)> = ran.iter().map(|key| (Some(key.job), key.step)).collect();
        assert_eq!(accepted, ran, "every step that ran has its receipt, and nothing else");
        assert_eq!(state(&replay(&self.life.disk)), self.life.state());
        let rewritten: Vec<Vec<u8>> =
            self.life.device.ledger().rewritten().iter().map(Record::encode).collect();
        assert_eq!(state(&replay(&rewritten)), self.life.state());
        assert_eq!(replay(&rewritten).next_receipt(), self.life.device.ledger().next_receipt());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_runs_twice_or_unsaid_or_halted_whatever_happens(
        events in prop::collection::vec(event(), 1..60)
    ) {
        let mut trial = Trial::new();
        for event in events {
            trial.happen(event);
        }
        trial.laws();
    }
}
