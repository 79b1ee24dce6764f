//! The power goes while an agent works: takes up jobs, is stopped by a halt, learns of a policy.
//!
//! One device lives through all cuts, so its receipts are one chain from the first to the last. After each cut its ledger is
//! read before anything else touches it, and held against what left the machine: receipts that the server has, and lines
//! that scripts have written beside the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use countersign_agent::disk::ledger::read_ledger;
use countersign_drills::forgetful::Disk;
use countersign_drills::organization::{sign, word};
use countersign_drills::part::{Kind, Part, Stage, now, until};
use countersign_drills::world::{Nonce, World};
use countersign_trust::envelope::Logged;
use countersign_trust::ids::{Sha256, StatementId};
use countersign_trust::ledger::StepKey;
use countersign_trust::receipt::Verdict;
use countersign_trust::statement::halt::{Halt, Scope};
use countersign_trust::statement::policy::Policy;
use countersign_trust::statement::read;
use countersign_trust::statement::resume::{Cuts, Lifts, Resume};
use countersign_trust::text::Nothing;
use countersign_wire::http::{DeviceView, Page};

use crate::cuts::{self, Cut};
use crate::told::{Step, Told};

/// What happens in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// A job of two steps runs.
    Work,
    /// A job that runs is stopped by a halt, which a resume lifts.
    Stop,
    /// The next policy comes, and a job under it.
    Decide,
}

const ROUNDS: [Round; 3] = [Round::Work, Round::Stop, Round::Decide];

/// A device's life.
struct Life {
    disk: Disk,
    world: World,
    told: Told,
    policy: Policy,
    resume: Option<Sha256>,
    /// Where a job's steps leave a line each.
    effects: BTreeMap<Sha256, Nonce>,
}

impl Life {
    fn begin() -> Self {
        let mut world = World::new(1);
        let disk = onto_disk(&mut world.machines[0].agent);
        world.until_connected(1);
        let genesis = Sha256(world.org.0);
        let logged = Logged::from_text(&world.statement(&genesis).envelope).unwrap();
        let policy = read(logged.signed.statement()).unwrap();
        let told = Told::of(genesis);
        Self { disk, world, told, policy, resume: None, effects: BTreeMap::new() }
    }

    /// One round, in which the power goes at `cut`, and the next start of the machine; returns how many operations the disk
    /// saw up to there.
    fn round(&mut self, round: Round, cut: Option<Cut>) -> u64 {
        let before = self.disk.operations();
        if let Some(cut) = cut {
            self.disk.cut_at(cut.at);
        }
        match round {
            Round::Work => self.work(),
            Round::Stop => self.stop(),
            Round::Decide => self.decide(),
        }
        let operations = self.disk.operations() - before;
        let Some(cut) = cut else { return operations };
        self.world.machines[0].agent.kill();
        self.told.read(&self.world, &self.world.machines[0]);
        self.disk.power_returns(cut.survives);
        self.compare();
        self.world.machines[0].agent.start();
        self.settle();
        operations
    }

    fn work(&mut self) {
        let job = self.order(&["0", "1"], "true");
        self.wait_for(&job, 1, Verdict::Ended);
    }

    fn stop(&mut self) {
        // Who loses the job before it is taken up, and takes it up after the resume, comes to an end with it then.
        let over = self.world.nonce();
        let more = format!("until [ -e {} ]; do sleep 0.05; done", over.path().display());
        let job = self.order(&["0"], &more);
        let begun = |life: &Self| life.effects[&job].lines().len() == 1;
        until("it runs", || (self.disk.is_dead() || begun(self)).then_some(()));
        let halt = Halt {
            org: Some(self.world.org),
            id: StatementId(job.0[..16].try_into().unwrap()),
            policy: Some(Sha256(self.world.org.0)),
            scope: Scope::Job(job),
            made: now(),
            reason: word("It takes too long."),
            advisory: word(""),
        };
        let halt = self.world.log(&sign(&halt, &["bo"]), &[]);
        self.wait_for(&job, 0, Verdict::Ended);
        let resume = Resume {
            org: self.world.org,
            policy: self.told.policies[self.told.policies.len() - 1],
            previous: self.resume.into_iter().collect(),
            lifts: Lifts::Halts([halt].into()),
            cuts: Cuts::None(Nothing),
            keeps: [].into(),
            why: word("It is over."),
        };
        self.resume = Some(self.world.log(&sign(&resume, &["anna", "bo"]), &[]));
        fs::write(over.path(), "").unwrap();
    }

    fn decide(&mut self) {
        self.policy.org = Some(self.world.org);
        self.policy.number += 1;
        self.policy.previous = [self.told.policies[self.told.policies.len() - 1]].into();
        // Noted first: a device may name it before this hears that it is logged.
        let signed = sign(&self.policy, &["anna", "bo"]);
        self.told.policies.push(signed.hash());
        self.world.log(&signed, &[]);
        let job = self.order(&["0"], "true");
        self.wait_for(&job, 0, Verdict::Ended);
    }

    /// A job whose steps write these lines beside the disk, one each, and then do `more`.
    fn order(&mut self, lines: &[&str], more: &str) -> Sha256 {
        let (nonce, devices) = (self.world.nonce(), self.world.all());
        let line = |line: &&str| format!("echo {line} >> {}", nonce.path().display());
        let mut job = self.world.job(&devices, &["true"]);
        let steps = lines.iter().map(|text| self.world.job(&devices, &[&line(text), more]).steps.remove(0));
        job.steps = steps.collect();
        let hash = sign(&job, &["anna", "bo"]).hash();
        self.effects.insert(hash, nonce);
        self.world.order(&job, &devices)
    }

    /// Until the device says it of a step, or the disk is dead.
    fn wait_for(&self, job: &Sha256, step: u64, verdict: Verdict) {
        until(&format!("{verdict} of step {step} of {job}"), || {
            let receipt = self.world.receipt(job, &self.world.machines[0]);
            let said = receipt.is_some_and(|receipt| (receipt.step, receipt.verdict) == (step, verdict));
            (said || self.disk.is_dead()).then_some(())
        });
    }

    /// What the disk still knows, against what has left the machine. What has left is looked at first.
    fn compare(&self) {
        let ran = self.ran();
        let ledger = read_ledger(&self.world.machines[0].agent.folder).unwrap();
        let told = self.told.receipts.len() as u64;
        assert!(
            ledger.next_receipt().0 > told,
            "it told {told} receipts, next is {:?}",
            ledger.next_receipt()
        );
        let (policies, time) = self.told.floors();
        let held = ledger.chain().unwrap().policies().len();
        assert!(
            held >= policies && ledger.floor() >= time,
            "{held} of {policies}, {} of {time}",
            ledger.floor()
        );
        for (job, step) in ran {
            let key = StepKey { job, occurrence: 0, step };
            assert!(ledger.step(&key).is_some(), "{key:?} had an effect and is not in the ledger");
        }
    }

    /// Every step that had an effect, each of which had it once.
    fn ran(&self) -> BTreeSet<Step> {
        let mut ran = BTreeSet::new();
        for (job, nonce) in &self.effects {
            for line in nonce.lines() {
                assert!(ran.insert((*job, line.parse().unwrap())), "step {line} of {job} ran twice");
            }
        }
        ran
    }

    /// The device goes on: a new job runs, and everything that ran was accepted and has an end, which everybody can read.
    fn settle(&mut self) {
        let job = self.order(&["0"], "true");
        self.wait_for(&job, 0, Verdict::Ended);
        until("every step that ran was accepted, and has an end", || {
            let ran = self.ran();
            self.told.read(&self.world, &self.world.machines[0]);
            let steps = self.told.steps();
            let accepted = ran.iter().all(|step| steps.contains_key(step));
            (accepted && steps.values().all(Option::is_some)).then_some(())
        });
        self.compare();
    }

    /// All that happened, for people.
    fn sum(&self) -> String {
        let (receipts, steps) = (self.told.receipts.len(), self.told.steps());
        let cut = steps.values().filter(|end| **end == Some(Verdict::Interrupted)).count();
        format!("{receipts} receipts, {} steps accepted, {cut} of them interrupted", steps.len())
    }
}

/// A running part goes on as the program that people install, on a forgetful disk.
pub fn onto_disk(part: &mut Part) -> Disk {
    part.stop();
    let mut program = Part::new(part.kind, part.folder.clone(), Stage::Programs);
    program.address = part.address;
    *part = program;
    let disk = Disk::over(&part.folder);
    part.start();
    disk
}

/// A life with `of` the cuts of each kind of round.
fn live<C: Iterator<Item = Cut>>(of: impl Fn(u64) -> C) {
    let mut life = Life::begin();
    for round in ROUNDS {
        let operations = life.round(round, None);
        println!("{round:?}: {operations} operations");
        for cut in of(operations) {
            println!("{round:?}, {cut:?}");
            life.round(round, Some(cut));
        }
    }
    println!("{}", life.sum());
}

#[test]
fn an_agent_runs_nothing_twice_and_tells_everything_wherever_the_power_goes() {
    live(|operations| cuts::some(4, operations));
}

#[test]
fn an_agent_killed_again_and_again_runs_nothing_twice_and_tells_everything() {
    live(|operations| cuts::kills(5, operations));
}

#[test]
fn a_machine_whose_power_goes_while_it_joins_joins_once() {
    join(|operations| cuts::some(4, operations));
}

/// A machine joins, by the program that people install, with each of these cuts.
fn join<C: Iterator<Item = Cut>>(of: impl Fn(u64) -> C) {
    let mut world = World::new(0);
    let token = world.token(10_000, "till");
    let place = world.folder.path().join("token");
    fs::write(&place, format!("{token}\n")).unwrap();
    cuts::tell_all(of, |cut| join_one(&mut world, &place, cut));
}

/// Returns how many operations the disk saw up to the cut.
fn join_one(world: &mut World, token: &Path, cut: Option<Cut>) -> u64 {
    let before = devices(world);
    let folder = tempfile::tempdir().unwrap();
    let mut disk = Disk::over(folder.path());
    let data = folder.path().join("agent");
    if let Some(cut) = cut {
        disk.cut_at(cut.at);
    }
    let mut agent = Part::new(Kind::Agent, data, Stage::Programs);
    let enroll = |agent: &Part| {
        let mut command = agent.program();
        command.args(["enroll", "--token-file"]).arg(token).status().unwrap().success()
    };
    let enrolled = enroll(&agent);
    let operations = disk.operations();
    if let Some(cut) = cut {
        disk.power_returns(cut.survives);
    }
    assert!(!enrolled || agent.folder.join("ledger").exists(), "it said that it was enrolled, and is not");
    assert!(enroll(&agent), "it can be enrolled");
    agent.start();
    world.until_connected(1);
    assert_eq!(devices(world), before + 1, "one machine joined as several devices");
    agent.kill();
    world.until_connected(0);
    operations
}

fn devices(world: &World) -> usize {
    let page: Page<DeviceView> = world.block_on(world.http.get(&world.path("devices?limit=1000")));
    page.items.len()
}

mod long {
    use super::{cuts, join, live};

    #[test]
    fn an_agent_runs_nothing_twice_at_every_operation() {
        live(cuts::all);
    }

    #[test]
    fn an_agent_killed_a_hundred_times_runs_nothing_twice() {
        live(|operations| cuts::kills(40, operations));
    }

    #[test]
    fn a_machine_joins_once_at_every_operation() {
        join(cuts::all);
    }
}
