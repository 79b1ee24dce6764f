//! What somebody can do who has the server: its keys, its log, its wires, and whatever went through it.

use countersign_trust::clear::{AnsweredClear, Clear};
use countersign_trust::delivery::Delivery;
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::Sha256;
use countersign_trust::statement::job::{Job, Targets};

use super::World;
use super::independent::{alone, lie, root_of};
use super::mailman::{parcel, target};
use super::wire::{Letter, Who};
use crate::organization::sign;

impl World {
    /// From here on the server does only what the thief wants.
    pub fn steal_server(&mut self) {
        self.mailman.silent = true;
    }

    /// Honest Clears for the challenge that a machine left with the server.
    pub fn clears_for(&mut self, machine: usize, beacons: &[usize]) -> Vec<AnsweredClear> {
        let challenge = self.mailman.challenges[&machine];
        let (org, now_ms) = (self.org, self.now_ms);
        let root = root_of(&challenge);
        let notes = beacons.iter().filter_map(|beacon| self.beacons[*beacon].clear(org, &root, now_ms));
        notes.map(alone).collect()
    }

    /// What an honest beacon would say of a machine's challenge, bent, in the name of one whose key the thief has.
    pub fn lie_for(&self, machine: usize, beacon: usize, bend: impl FnOnce(&mut Clear)) -> AnsweredClear {
        let mut clear = self.true_clear(root_of(&self.mailman.challenges[&machine]));
        bend(&mut clear);
        alone(lie(&self.beacons[beacon].name, &clear))
    }

    /// What a beacon would say that holds all that was decided.
    pub fn true_clear(&self, root: Sha256) -> Clear {
        Clear {
            org: self.org,
            time: self.now(),
            root,
            policy: self.chain.policy().hash,
            resume: self.chain.resume(),
            halts: self.chain.active_halts().map(|halt| halt.hash).collect(),
        }
    }

    /// A signed job, logged, with all that a machine needs and three honest Clears.
    pub fn forged(&mut self, signed: Signed, machine: usize) -> Delivery {
        let body: Option<Job> = countersign_trust::statement::read(signed.statement()).ok();
        let logged = self.logged(signed);
        self.good_delivery(logged, body.as_ref(), machine)
    }

    /// What a machine needs for a logged job: its place among the targets, all news, three honest Clears.
    pub fn good_delivery(&mut self, job: Logged, body: Option<&Job>, machine: usize) -> Delivery {
        let is_list = body.is_none_or(|job| matches!(job.targets, Targets::List(_)));
        let ids = self.ids(&(0..self.machines.len()).collect::<Vec<_>>());
        let target = if is_list { target(&ids, &self.machines[machine].id) } else { None };
        let clears = self.clears_for(machine, &[0, 1, 2]);
        let advances = self.mailman.advances_of(&job.signed.hash());
        Delivery { job, news: self.mailman.news.clone(), clears, target, advances }
    }

    /// Brings something to a machine over the server's wire, and lets it be heard.
    pub fn bring(&mut self, machine: usize, delivery: &Delivery) {
        let letter = Letter { from: Who::Server, to: Who::Machine(machine), parcel: parcel(delivery) };
        self.put(self.now_ms, letter);
        self.pass_ms(0);
    }

    /// Signs a job for all machines and brings it to one; its hash.
    pub fn try_job(&mut self, job: &Job, keys: &[&str], machine: usize) -> Sha256 {
        let signed = sign(job, keys);
        let hash = signed.hash();
        let delivery = self.forged(signed, machine);
        self.bring(machine, &delivery);
        hash
    }
}
