//! Jobs for registers, and what registers signed of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use countersign_trust::envelope::Signed;
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::note::Note;
use countersign_trust::receipt::{Receipt, Verdict};
use countersign_trust::statement::job::{Job, Step};
use countersign_trust::time::Time;
use countersign_wire::http::{JobSummary, JobView, Page};

use super::stores::{Field, Register};
use crate::part::until_within;

/// What registers said of a job: how many stand at each verdict, with each code.
pub type Said = BTreeMap<(String, String), u64>;

impl Field {
    /// A job of Anna's, good from `from` for a day: a script for each list of lines, one after the other.
    pub fn job(&self, devices: &[DeviceId], from: u64, steps: &[&[&str]]) -> Job {
        let mut job = self.world.job(devices, steps[0]);
        for lines in &steps[1..] {
            let mut step = job.steps[0].clone();
            if let (Step::Script(step), Step::Script(other)) = (&mut step, crate::organization::script(lines))
            {
                step.run = other.run;
            }
            job.steps.push(step);
        }
        Job {
            policy: self.policy,
            resume: self.resume,
            not_before: Time(from),
            not_after: Time(from + 86_400),
            ..job
        }
    }

    /// How many devices stand at each verdict, as the server says.
    pub fn counts(&self, job: &Sha256) -> BTreeMap<String, u64> {
        let page: Page<JobSummary> =
            self.world.block_on(self.world.http.get(&self.world.path("jobs?limit=50")));
        let row = page.items.into_iter().find(|row| row.hash == job.to_string());
        row.map(|row| row.counts.into_iter().map(|one| (one.verdict, one.count)).collect())
            .unwrap_or_default()
    }

    /// Waits until so many stand at `verdict`, as the server says; how long after `began` they did.
    pub fn until_counted(&self, job: &Sha256, verdict: Verdict, wanted: usize, began: Instant) -> Duration {
        let (mut seen, verdict) = (BTreeMap::new(), verdict.to_string());
        let pause = Duration::from_millis(if wanted > 500 { 200 } else { 20 });
        until_within(Duration::from_secs(180), pause, &format!("{wanted} say {verdict} of {job}"), || {
            let counts = self.counts(job);
            let took = began.elapsed();
            if counts != seen {
                eprintln!("   … {counts:?}");
                seen = counts;
            }
            let count = seen.get(&verdict).copied().unwrap_or_default();
            (usize::try_from(count) == Ok(wanted)).then_some(took)
        })
    }

    /// Waits until so many have signed that step `last` ended; how long after `began`, and the newest receipt of each. The end of an
    /// earlier step is told with the same word.
    pub fn until_ended(
        &self,
        job: &Sha256,
        wanted: usize,
        last: u64,
        began: Instant,
    ) -> (Duration, BTreeMap<DeviceId, Receipt>) {
        until_within(Duration::from_secs(60), Duration::from_millis(100), "all have ended", || {
            let took = self.until_counted(job, Verdict::Ended, wanted, began);
            let receipts = self.receipts(job);
            let through = receipts.values().filter(|one| one.verdict == Verdict::Ended && one.step == last);
            (through.count() == wanted).then_some((took, receipts))
        })
    }

    /// The newest receipt of each device for a job, from the server, each checked by the device's own key.
    pub fn receipts(&self, job: &Sha256) -> BTreeMap<DeviceId, Receipt> {
        let view: JobView =
            self.world.block_on(self.world.http.get(&self.world.path(&format!("jobs/{job}"))));
        let rows = view.devices.into_iter().filter_map(|row| Some((row.device, row.receipt?)));
        rows.map(|(device, note)| {
            let register = &self.registers[&device.parse::<DeviceId>().unwrap()];
            (register.id, checked(register, &note.parse().unwrap()))
        })
        .collect()
    }

    /// How many runs of the simulated registers there were: a count of their own.
    pub fn ran(&self) -> u64 {
        self.swarm.counts().ran.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Posts a job that two people signed and waits until it is logged; it waits for its time.
    pub fn order(&self, signed: &Signed, devices: &[DeviceId]) -> Sha256 {
        self.world.log(signed, devices)
    }
}

/// A receipt that this register signed.
pub fn checked(register: &Register, note: &Note) -> Receipt {
    assert!(note.signed_by(&register.key), "not signed by {}: {note}", register.id);
    let receipt: Receipt = note.text().parse().unwrap();
    assert_eq!(receipt.device, register.id);
    receipt
}

/// Counts what was said of `job`, by verdict and code.
pub fn said<'a>(receipts: impl IntoIterator<Item = &'a Receipt>, job: &Sha256) -> Said {
    let mut said = Said::new();
    for receipt in receipts.into_iter().filter(|receipt| receipt.job == Some(*job)) {
        let code = receipt.code.as_ref().map(ToString::to_string).unwrap_or_default();
        *said.entry((receipt.verdict.to_string(), code)).or_default() += receipt.count;
    }
    said
}
