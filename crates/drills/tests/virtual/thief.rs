//! One case: a world, a thief who moves by chance, people who go on, and the laws.

mod held;

use std::collections::{BTreeMap, BTreeSet};

use countersign_drills::organization::{everything, person, script_hash, sign, word};
use countersign_drills::rehearsal::chance::Chance;
use countersign_drills::rehearsal::independent::{alone, lie, root_of};
use countersign_drills::rehearsal::machine::Power;
use countersign_drills::rehearsal::mailman::target;
use countersign_drills::rehearsal::wire::{Letter, Who};
use countersign_drills::rehearsal::{Setup, World};
use countersign_trust::checkpoint::Proof;
use countersign_trust::clear::AnsweredClear;
use countersign_trust::delivery::{Delivery, News};
use countersign_trust::device::Input;
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::receipt::Verdict;
use countersign_trust::statement::halt::Scope;
use countersign_trust::statement::job::{Job, Targets, Wave, Who as Turn};
use countersign_trust::statement::policy::Policy;
use countersign_trust::statement::resume::{Cuts, Lifts};
use countersign_trust::text::Nothing;
use countersign_trust::time::Time;

/// How long a Clear is good, in milliseconds.
const LIFETIME_MS: u64 = 180_000;
/// How many moves there are in a case.
const MOVES: usize = 32;
const MACHINES: usize = 2;
const PEOPLE: [&str; 3] = ["anna", "bo", "cia"];

/// A job that the thief can bring.
struct Known {
    signed: Signed,
    proofs: Vec<Proof>,
    targets: Vec<DeviceId>,
}

/// A job that enough people have signed, when it was first logged, and who signed it.
struct Approved {
    job: Job,
    logged_ms: u64,
    signers: BTreeSet<&'static str>,
}

/// Beacons that say whatever suits the thief.
#[derive(Clone, Copy, Debug)]
pub struct Liars {
    /// How many of the four.
    pub count: usize,
    /// Whether they lie about the time too, and not only about policies, resumes and halts.
    pub about_time: bool,
}

/// A case.
pub struct Case {
    pub world: World,
    pub reboots: usize,
    chance: Chance,
    /// The first beacon that lies; it and all after it do.
    first_liar: usize,
    lie_about_time: bool,
    jobs: Vec<Known>,
    approved: BTreeMap<Sha256, Approved>,
    clears: Vec<AnsweredClear>,
    news: Vec<News>,
    /// Policies by number, and when each beacon was seen to hold it or a later one.
    policies: Vec<(Policy, Sha256, BTreeMap<usize, u64>)>,
    halts: Vec<(Sha256, Scope)>,
    /// When a resume that lifts a halt was made.
    lifted: BTreeMap<Sha256, u64>,
    checked: usize,
    numbers: [u64; MACHINES],
    floors: [Time; MACHINES],
    seqs: [u64; MACHINES],
    /// Enrollments that enough people signed.
    enrolled: BTreeSet<Sha256>,
    /// When enough people advanced the second wave of a job.
    advanced: BTreeMap<Sha256, u64>,
}

impl Case {
    pub fn new(seed: u64, liars: Liars) -> Self {
        let mut world =
            World::found(Setup { seed, machines: MACHINES, policy: people_advance, ..Setup::default() });
        world.steal_server();
        world.tick_ms = 5_000;
        world.hand = hand(seed);
        world.witnesses[3].up = false;
        let of = |machine: usize| world.machines[machine].device().ledger().enrolled().unwrap().enroll;
        let enrolled = (0..MACHINES).map(of).collect();
        let genesis = world.chain.policy();
        let policies = vec![(genesis.body.clone(), genesis.hash, (0..4).map(|beacon| (beacon, 0)).collect())];
        Self {
            world,
            reboots: 0,
            chance: Chance::new(seed ^ 0xbeac_0000),
            first_liar: 4 - liars.count,
            lie_about_time: liars.about_time,
            jobs: Vec::new(),
            approved: BTreeMap::new(),
            clears: Vec::new(),
            news: Vec::new(),
            policies,
            halts: Vec::new(),
            lifted: BTreeMap::new(),
            checked: 0,
            numbers: [1; MACHINES],
            floors: [Time(0); MACHINES],
            seqs: [0; MACHINES],
            enrolled,
            advanced: BTreeMap::new(),
        }
    }

    pub fn refusals(&self) -> usize {
        let sent = self.world.machines.iter().flat_map(|machine| &machine.sent);
        sent.filter(|receipt| receipt.verdict == Verdict::Refused).count()
    }

    pub fn halts_set(&self) -> usize {
        self.halts.iter().filter(|(halt, _)| self.world.set_at_ms(halt).is_some()).count()
    }

    /// Plays all moves.
    ///
    /// # Errors
    /// Which law was broken, and how.
    pub fn play(&mut self) -> Result<(), String> {
        self.people_order();
        for _ in 0..MOVES {
            self.one_move();
            let wait = [0, 20, 1_000, 5_000, 20_000, 61_000][self.chance.index(6)];
            self.world.pass_ms(wait);
            self.laws()?;
        }
        self.receipts_are_a_chain()
    }

    fn one_move(&mut self) {
        match self.chance.below(100) {
            0..8 => self.people_order(),
            8..13 => self.forge(),
            13..28 => self.gather_clears(),
            28..58 => self.bring(),
            58..62 => self.bring_news(),
            62..68 => self.people_halt(),
            68..71 => self.people_resume(),
            71..73 => self.people_decide(),
            73 => self.enroll_anew(),
            96..98 => self.somebody_advances(),
            74..79 => self.honest_beacons_hear(),
            79..85 => self.power(),
            85..89 => self.push_wall_clock(),
            89..92 => self.cut_or_connect(),
            92..94 => self.beacons_fall_and_rise(),
            94..96 => self.rewrite(),
            _ => self.world.pass_ms(61_000),
        }
    }

    fn machine(&mut self) -> usize {
        self.chance.index(MACHINES)
    }

    fn a_job(&mut self) -> Job {
        let targets: &[usize] = if self.chance.percent(80) { &[0, 1] } else { &[0] };
        let mut job = self.world.job(targets);
        let now = self.world.now();
        job.not_before = Time((now.0 + self.chance.below(240)).saturating_sub(120));
        job.not_after = job.not_before.plus(60 + self.chance.below(1_500));
        if self.chance.percent(30) {
            job.waves = [(5_000, 0), (10_000, 60 + self.chance.below(300))]
                .map(|(share, soak)| Wave { who: Turn::Share(share), soak })
                .into();
        }
        if self.chance.percent(30) {
            job.steps.push(job.steps[0].clone());
        }
        if self.chance.percent(20) {
            job.repeat = 60 + self.chance.below(240);
        }
        job
    }

    /// Logs a job; everything that is logged is the thief's to bring.
    fn log(&mut self, signed: Signed, job: &Job) {
        let index = self.world.log_entry(&signed.leaf(&self.world.org).unwrap());
        if self.chance.percent(50) {
            let time = Time(self.chance.below(2) * self.world.now().0);
            self.world.mailman.log.cosigned_by_liar("witness-4", time);
        }
        let proof = self.world.mailman.log.proof(index);
        let all = self.world.ids(&[0, 1]);
        let both = matches!(&job.targets, Targets::List(list) if list.count == 2);
        let targets = if both { all } else { self.world.ids(&[0]) };
        self.jobs.push(Known { signed, proofs: vec![proof], targets });
    }

    fn people_order(&mut self) {
        let job = self.a_job();
        let names = &self.world.chain.policy().body.people;
        let others: Vec<&str> =
            PEOPLE[1..].iter().copied().filter(|name| names.contains_key(&word(name))).collect();
        let need = usize::from(self.world.chain.policy().body.rules[0].approvals);
        if others.len() < need {
            return;
        }
        let first = self.chance.index(others.len());
        let signers: Vec<&'static str> =
            std::iter::once("anna")
                .chain((0..need).map(|at| {
                    *PEOPLE.iter().find(|name| **name == others[(first + at) % others.len()]).unwrap()
                }))
                .collect();
        let signed = sign(&job, &signers);
        let hash = signed.hash();
        self.world.durations.insert(hash, 1_000 + self.chance.below(300_000));
        self.log(signed, &job);
        let logged_ms = self.world.now_ms;
        self.world.tell("people", format!("order {} by {signers:?}", self.world.story.name_of(&hash)));
        self.approved.insert(hash, Approved { job, logged_ms, signers: signers.into_iter().collect() });
    }

    /// A job that too few people signed.
    fn forge(&mut self) {
        let mut job = self.a_job();
        let keys: &[&str] = match self.chance.below(5) {
            0 => &["anna"],
            1 => &["anna", "anna spare"],
            2 => &["anna", "server"],
            3 => &["thief"],
            _ => {
                job.requester = word("bo");
                &["anna", "cia"]
            }
        };
        self.log(sign(&job, keys), &job);
    }

    fn gather_clears(&mut self) {
        let machine = self.machine();
        let Some(challenge) = self.world.mailman.challenges.get(&machine).copied() else { return };
        let (root, org, now_ms) = (root_of(&challenge), self.world.org, self.world.now_ms);
        for beacon in 0..self.first_liar {
            if self.chance.percent(75)
                && let Some(note) = self.world.beacons[beacon].clear(org, &root, now_ms)
            {
                self.clears.push(alone(note));
            }
        }
        for beacon in self.first_liar..4 {
            self.tell_lies(beacon, root);
        }
    }

    /// Whatever a beacon could say that suits the thief.
    fn tell_lies(&mut self, beacon: usize, root: Sha256) {
        for _ in 0..2 {
            let mut clear = self.world.true_clear(root);
            let held: Vec<Sha256> = (0..MACHINES)
                .map(|machine| self.world.machines[machine].device().ledger().chain().unwrap().policy().hash)
                .collect();
            if self.chance.percent(70) {
                clear.halts.clear();
            }
            if self.chance.percent(70) {
                clear.policy = held[self.chance.index(held.len())];
                clear.resume = self.world.machines[self.chance.index(MACHINES)]
                    .device()
                    .ledger()
                    .chain()
                    .unwrap()
                    .resume();
            }
            let now = self.world.now();
            clear.time = match self.chance.below(6) {
                _ if !self.lie_about_time => now,
                0 => now.plus(59),
                1 => now.plus(86_400),
                2 => Time(now.0 - 59),
                3 => Time(now.0 - 86_400),
                _ => now,
            };
            let note = lie(&self.world.beacons[beacon].name, &clear);
            self.clears.push(alone(note));
        }
    }

    fn bring(&mut self) {
        let machine = self.machine();
        if self.jobs.is_empty() {
            return;
        }
        // Newer jobs more often than old ones.
        let at =
            self.jobs.len() - 1 - self.chance.index(self.jobs.len()).min(self.chance.index(self.jobs.len()));
        if self.chance.percent(20) {
            let index = self.jobs[at].proofs[0].index;
            let proof = self.world.mailman.log.proof(index);
            self.jobs[at].proofs.push(proof);
        }
        if self.chance.percent(60) {
            self.gather_clears();
        }
        let known = &self.jobs[at];
        let proof = self.chance.one_of(&known.proofs).unwrap().clone();
        let place = if self.chance.percent(90) { machine } else { 1 - machine };
        let job = Logged { signed: known.signed.clone(), proof };
        let target = target(&known.targets, &self.world.machines[place].id);
        let clears = self.some_clears();
        let news = self.some_news();
        let mut advances = self.world.mailman.advances_of(&job.signed.hash());
        advances.retain(|_| self.chance.percent(80));
        self.world.bring(machine, &Delivery { job, news, clears, target, advances });
    }

    fn some_clears(&mut self) -> Vec<AnsweredClear> {
        let recent = self.clears.len().saturating_sub(24);
        let wanted = 55 + 20 * self.chance.below(3);
        let mut some: Vec<AnsweredClear> = Vec::new();
        for clear in &self.clears[recent..] {
            if self.chance.percent(wanted.min(100)) {
                some.push(clear.clone());
            }
        }
        if self.chance.percent(50) {
            some.reverse();
        }
        some
    }

    fn some_news(&mut self) -> Vec<News> {
        let wanted = [0, 50, 100][self.chance.index(3)];
        let mut some = self.news.clone();
        some.retain(|_| self.chance.percent(wanted));
        some
    }

    fn bring_news(&mut self) {
        let (machine, news) = (self.machine(), self.some_news());
        if !news.is_empty() && self.world.machines[machine].is_up() {
            self.world.push_news(machine, &news);
        }
    }

    fn people_halt(&mut self) {
        if self.halts.len() > 9 {
            return;
        }
        let scope = match self.chance.below(5) {
            0 => match self.jobs.last() {
                Some(known) => Scope::Job(known.signed.hash()),
                None => everything(),
            },
            1 => Scope::Person(word(["bo", "cia"][self.chance.index(2)])),
            2 if !self.approved.is_empty() => {
                let job = &self.approved.values().next().unwrap().job;
                Scope::Script(script_hash(&job.steps[0]))
            }
            _ => everything(),
        };
        let halt = self.world.halt(scope.clone(), ["anna", "cia", "server"][self.chance.index(3)]);
        self.world.tell("somebody", format!("halts {scope:?}"));
        self.world.halt_at(&halt, &[0, 1, 2, 3]);
        self.halts.push((halt.hash(), scope));
        self.news.push(halt);
    }

    fn people_resume(&mut self) {
        let active: BTreeSet<Sha256> = self.world.chain.active_halts().map(|halt| halt.hash).collect();
        if active.is_empty() {
            return;
        }
        let cuts = if self.chance.percent(50) { Cuts::All(Nothing) } else { Cuts::None(Nothing) };
        for halt in &active {
            self.lifted.entry(*halt).or_insert(self.world.now_ms);
        }
        let resume = self.world.resume_by(&["anna", "cia"], Lifts::Halts(active), cuts);
        self.world.tell("people", "resume");
        self.world.tell_beacons(&resume, &[0, 1, 2, 3]);
        self.news.push(resume);
    }

    fn people_decide(&mut self) {
        if self.policies.len() > 4 {
            return;
        }
        let kind = self.chance.below(3);
        let mut words = "";
        let policy = self.world.decide_by(&["anna", "cia"], |policy| match kind {
            0 => {
                words = "dismiss Bo";
                policy.people.remove(&word("bo"));
                for people in policy.roles.values_mut() {
                    people.remove(&word("bo"));
                }
                policy.rules[0].approvals = 1;
            }
            1 => {
                words = "take Bo on";
                policy.people.insert(word("bo"), person(&["bo"]));
                for people in policy.roles.values_mut() {
                    people.insert(word("bo"));
                }
            }
            _ => {
                words = "ask for more approvals where there are people";
                let others = u8::try_from(policy.people.len() - 1).unwrap();
                policy.rules[0].approvals = others;
            }
        });
        let held = self.world.chain.policy();
        self.policies.push((held.body.clone(), held.hash, BTreeMap::new()));
        self.world.tell("people", words);
        self.world.tell_beacons(&policy, &[0, 1, 2, 3]);
        self.news.push(policy);
    }

    /// Somebody carries all news to all beacons, past the hand.
    fn honest_beacons_hear(&mut self) {
        let all = countersign_trust::delivery::write_sequence(&self.news);
        if !self.news.is_empty() {
            self.world.beacons.iter().for_each(|beacon| beacon.take(self.world.org, &all, self.world.now_ms));
        }
        let halts: Vec<News> =
            self.news.iter().filter(|news| matches!(news, News::Halt(_))).cloned().collect();
        for halt in halts {
            self.world.halt_at(&halt, &[0, 1, 2, 3]);
        }
    }

    /// A machine is enrolled anew, or the thief tries to.
    fn enroll_anew(&mut self) {
        let machine = self.machine();
        let region = ["north", "south", "west"][self.chance.index(3)];
        let honest = self.chance.percent(50);
        let keys: &[&str] = if honest { &["anna", "cia"] } else { &["anna", "server"] };
        let news = self.world.enroll_anew(machine, &[("class", "till"), ("region", region)], keys);
        if honest {
            self.enrolled.insert(news.hash());
        }
        self.news.push(news);
    }

    /// People let a second wave begin, or somebody alone tries to.
    fn somebody_advances(&mut self) {
        let Some(at) = self.jobs.len().checked_sub(1).map(|last| self.chance.index(last + 1)) else { return };
        let hash = self.jobs[at].signed.hash();
        if self.chance.percent(50) {
            self.world.advance(hash, 2, &["anna", "cia"]);
            self.advanced.entry(hash).or_insert(self.world.now_ms);
        } else {
            self.world.advance(hash, 2, &["anna"]);
        }
    }

    fn power(&mut self) {
        let machine = self.machine();
        match self.chance.below(3) {
            0 => self.world.machines[machine].power = Power::GoesAfterWriting,
            1 => self.world.machines[machine].power = Power::GoesBeforeWriting,
            _ => self.world.switch_off(machine),
        }
        if self.chance.percent(50) {
            self.world.pass_ms(30_000);
        }
        self.rise(machine);
    }

    fn rise(&mut self, machine: usize) {
        if !self.world.machines[machine].is_up() {
            self.reboots += 1;
            self.world.switch_on(machine);
        }
    }

    fn push_wall_clock(&mut self) {
        let machine = self.machine();
        let by = [-86_400_000, -200_000, -30_000, 0, 30_000, 200_000, 86_400_000][self.chance.index(7)];
        self.world.machines[machine].wall_ahead_ms = by;
        let name = self.world.machines[machine].name.clone();
        self.world.tell(&name, format!("has a wall clock that is {by} ms ahead"));
    }

    fn cut_or_connect(&mut self) {
        let machine = self.machine();
        if !self.world.machines[machine].is_up() {
            self.rise(machine);
        } else if self.world.machines[machine].connected {
            self.world.machines[machine].connected = false;
            self.world.hear(machine, Input::Disconnected);
        } else {
            self.world.connect(machine);
        }
    }

    fn beacons_fall_and_rise(&mut self) {
        let beacon = self.chance.index(4);
        if self.chance.percent(50) {
            self.world.beacons[beacon].restart();
        } else {
            self.world.beacons[beacon].up ^= true;
        }
    }

    fn rewrite(&mut self) {
        let machine = self.machine();
        if self.world.machines[machine].is_up() {
            self.world.machines[machine].rewrite();
        }
    }
}

/// One machine at a time needs nobody; a wave of more needs people.
fn people_advance(policy: &mut Policy) {
    policy.limits.auto_waves_max = 1;
}

/// A hand that drops, delays, repeats and misdirects letters.
fn hand(seed: u64) -> countersign_drills::rehearsal::wire::Hand {
    let mut chance = Chance::new(seed ^ 0x4a4d_0000);
    Box::new(move |letter| {
        let late = [0, 0, 0, 500, 5_000, 70_000][chance.index(6)];
        match chance.below(20) {
            0..4 => Vec::new(),
            4..6 => vec![(0, letter.clone()), (late, letter)],
            6 => {
                let to = match letter.to {
                    Who::Machine(machine) => Who::Machine(1 - machine),
                    other => other,
                };
                vec![(late, Letter { to, ..letter })]
            }
            _ => vec![(late, letter)],
        }
    })
}
