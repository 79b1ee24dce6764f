//! What must hold after every move.

use countersign_drills::organization::{script_hash, word};
use countersign_drills::rehearsal::machine::Start;
use countersign_trust::ids::DeviceId;
use countersign_trust::join::Labels;
use countersign_trust::statement::halt::Scope;
use countersign_trust::statement::job::Targets;
use countersign_trust::time::Time;

use super::{Approved, Case, LIFETIME_MS, MACHINES};

impl Case {
    pub(super) fn laws(&mut self) -> Result<(), String> {
        self.see_policies();
        for machine in 0..MACHINES {
            self.rise(machine);
            let ledger = self.world.machines[machine].device().ledger();
            let (number, floor) = (ledger.chain().unwrap().policy().body.number, ledger.floor());
            if number < self.numbers[machine] || floor < self.floors[machine] {
                return Err(format!("machine {machine} went back to policy {number}, floor {floor}"));
            }
            (self.numbers[machine], self.floors[machine]) = (number, floor);
            let me = ledger.enrolled().unwrap();
            if me.seq < self.seqs[machine] || !self.enrolled.contains(&me.enroll) {
                return Err(format!("machine {machine} is enrolled by {} with seq {}", me.enroll, me.seq));
            }
            self.seqs[machine] = me.seq;
        }
        while let Some(start) = self.world.starts.get(self.checked).cloned() {
            self.once(&start)?;
            let approved = self.approved.get(&start.key.job);
            let approved = approved.ok_or_else(|| format!("{start:?} ran without a quorum"))?;
            let me = self.world.machines[start.machine].device().ledger().enrolled().unwrap();
            in_time(&start, approved, &me.device, &me.labels)?;
            self.advanced(&start, approved)?;
            self.not_halted(&start, approved)?;
            self.allowed_by_policies(&start, approved)?;
            self.checked += 1;
        }
        Ok(())
    }

    fn once(&self, start: &Start) -> Result<(), String> {
        let earlier = &self.world.starts[..self.checked];
        match earlier.iter().find(|other| (other.machine, other.key) == (start.machine, start.key)) {
            Some(other) => Err(format!("{other:?} ran again: {start:?}")),
            None => Ok(()),
        }
    }

    fn not_halted(&self, start: &Start, approved: &Approved) -> Result<(), String> {
        for (halt, scope) in &self.halts {
            let Some(set_ms) = self.world.set_at_ms(halt) else { continue };
            let lifted = self.lifted.get(halt).is_some_and(|at| *at <= start.at_ms);
            let covered = match scope {
                Scope::Organization(_) => true,
                Scope::Job(job) => *job == start.key.job,
                Scope::Script(script) => approved.job.steps.iter().any(|step| script_hash(step) == *script),
                Scope::Person(person) => needs(approved, person.as_str()),
                Scope::Component(_) => false,
            };
            if covered && !lifted && start.at_ms >= set_ms + LIFETIME_MS {
                let late = start.at_ms - set_ms;
                return Err(format!("{start:?} began {late} ms after it was set that {scope:?} is halted"));
            }
        }
        Ok(())
    }

    /// A policy that enough beacons hold is obeyed a lifetime later, whoever keeps it from machines.
    fn allowed_by_policies(&self, start: &Start, approved: &Approved) -> Result<(), String> {
        let mut newest = None;
        for (policy, _, held) in &self.policies {
            let mut times: Vec<u64> = held.values().copied().collect();
            times.sort_unstable();
            // n-m+2 of four, three needed.
            if times.get(2).is_some_and(|at| at + LIFETIME_MS <= start.at_ms) {
                newest = Some(policy);
            }
        }
        let Some(policy) = newest else { return Ok(()) };
        let counted = approved.signers.iter().filter(|name| policy.people.contains_key(&word(name))).count();
        let need = usize::from(policy.rules[0].approvals) + 1;
        // A later policy may have asked for less again, and the machine holds that one.
        let since = self.policies.iter().filter(|(later, ..)| later.number >= policy.number);
        let some_allows = since.map(|(later, ..)| later).any(|later| {
            let counted =
                approved.signers.iter().filter(|name| later.people.contains_key(&word(name))).count();
            counted > usize::from(later.rules[0].approvals)
        });
        if counted < need && !some_allows {
            return Err(format!("{start:?} began though policy {} no longer allows it", policy.number));
        }
        Ok(())
    }

    fn see_policies(&mut self) {
        for beacon in 0..4 {
            let number = self.world.beacons[beacon].policy_number(self.world.org);
            for (policy, _, held) in &mut self.policies {
                if policy.number <= number {
                    held.entry(beacon).or_insert(self.world.now_ms);
                }
            }
        }
    }

    pub(super) fn receipts_are_a_chain(&self) -> Result<(), String> {
        for machine in &self.world.machines {
            let numbers: Vec<u64> = machine.sent.iter().map(|receipt| receipt.number).collect();
            let whole: Vec<u64> = (1..=u64::try_from(numbers.len()).unwrap()).collect();
            if numbers != whole {
                return Err(format!("{} sent receipts {numbers:?}", machine.name));
            }
        }
        Ok(())
    }

    /// A second wave of a job for two, where one at a time needs nobody, has been advanced by two people.
    fn advanced(&self, start: &Start, approved: &Approved) -> Result<(), String> {
        let me = self.world.machines[start.machine].device().ledger().enrolled().unwrap();
        let wave = approved.job.wave_of(&start.key.job, &me.device, &me.labels);
        let both = matches!(&approved.job.targets, Targets::List(list) if list.count == 2);
        if wave == 0 || approved.job.waves.is_empty() || !both || self.advanced.contains_key(&start.key.job) {
            return Ok(());
        }
        Err(format!("{start:?} began in the second wave, which nobody advanced"))
    }
}

/// Whether a job is not allowed without this person under any policy that asks for at least one approval.
fn needs(approved: &Approved, person: &str) -> bool {
    person == "anna" || (approved.signers.contains(person) && approved.signers.len() <= 2)
}

fn in_time(start: &Start, approved: &Approved, device: &DeviceId, labels: &Labels) -> Result<(), String> {
    let (job, at_s) = (&approved.job, start.at_ms / 1_000);
    if at_s < job.begins(start.key.occurrence).0 || at_s >= job.not_after.0 {
        return Err(format!("{start:?} began outside {}..{}", job.not_before, job.not_after));
    }
    if job.waves.is_empty() {
        return Ok(());
    }
    let wave = job.wave_of(&start.key.job, device, labels);
    let due = job.not_before.max(Time(approved.logged_ms / 1_000)).plus(job.waves[wave].soak);
    if at_s < due.0 {
        return Err(format!("{start:?} began {} s before its wave", due.0 - at_s));
    }
    Ok(())
}
