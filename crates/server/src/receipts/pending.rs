//! What a transaction is about to write of what devices told: gathered, so that many rows go into one statement.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use countersign_trust::receipt::{Receipt, Verdict};

use super::chain::Newest;
use super::{Piece, Report};
use crate::dispatch;
use crate::store::job_device::{self, Told};
use crate::store::output::{self, OutputRow};
use crate::store::receipt::{self, Neighbour, NewReceipt};
use crate::store::refusal::{self, NewRefusal};
use crate::store::{StoreError, Tx, device, stored};
use crate::tripwires::MOST_WITHIN_MS;

/// A job and a device, printed.
type Pair = (String, String);
/// Where a piece of output goes: job, device, step and place.
type Place = (String, String, i64, i64);

/// What is gathered.
pub struct Pending<'a> {
    tx: &'a mut Tx,
    org: &'a str,
    /// How many more receipts may come.
    left: HashMap<Pair, i64>,
    told: BTreeMap<Pair, Told>,
    receipts: Vec<NewReceipt>,
    /// Those of them that count for tripwires.
    refusals: Vec<NewRefusal>,
    outputs: Vec<(String, String, &'a OutputRow)>,
    new_outputs: HashSet<Place>,
}

impl<'a> Pending<'a> {
    /// Nothing yet; knows from here on what the records say of the jobs and devices of `reports`.
    pub async fn of(
        tx: &'a mut Tx,
        org: &'a str,
        reports: &[Report],
        newest: &mut Newest,
    ) -> Result<Self, StoreError> {
        let (mut pairs, mut strangers) = (BTreeSet::new(), BTreeSet::new());
        for report in reports {
            let Report::Receipt(heard) = report else { continue };
            let device = heard.receipt.device.to_string();
            pairs.extend(heard.receipt.job.map(|job| (job.to_string(), device.clone())));
            if !newest.knows(&device) {
                strangers.insert(device);
            }
        }
        let strangers: Vec<String> = strangers.into_iter().collect();
        let found = receipt::newest(tx, org, &strangers).await?;
        newest.learn(strangers, found);
        let pairs: Vec<Pair> = pairs.into_iter().collect();
        let left = job_device::receipts_left(tx, org, &pairs).await?;
        let left = left.into_iter().map(|(job, device, left)| ((job, device), left)).collect();
        let (told, receipts, refusals) = (BTreeMap::new(), Vec::new(), Vec::new());
        let (outputs, new_outputs) = (Vec::new(), HashSet::new());
        Ok(Self { tx, org, left, told, receipts, refusals, outputs, new_outputs })
    }

    /// What is known of a device's receipts from the one before `number` on.
    pub async fn around(&mut self, device: &str, number: i64) -> Result<Vec<Neighbour>, StoreError> {
        receipt::insert(self.tx, self.org, &std::mem::take(&mut self.receipts)).await?;
        receipt::around(self.tx, self.org, device, number).await
    }

    /// Whether the device may bring this receipt: about a job it was sent while there is room for one, and beyond that some.
    pub async fn takes(&mut self, receipt: &Receipt, row: &NewReceipt) -> Result<bool, StoreError> {
        if let Some(job) = &row.job {
            let pair = (job.clone(), row.device.clone());
            if let Some(left) = self.left.get_mut(&pair).filter(|left| **left > 0) {
                *left -= 1;
                let told = self.told.entry(pair.clone()).or_insert_with(|| Told::nothing(pair));
                note(told, receipt, row.number);
                return Ok(true);
            }
        }
        Ok(device::take_receipt(self.tx, self.org, &row.device, row.received_ms).await? > 0)
    }

    /// A receipt that is kept.
    pub fn receipt(&mut self, row: NewReceipt) {
        self.receipts.push(row);
    }

    /// A receipt that is kept and tells of refusals that count.
    pub fn refusal(&mut self, receipt: &Receipt, row: &NewReceipt) {
        let (device, number) = (row.device.clone(), row.number);
        let code = receipt.code.as_ref().map(ToString::to_string).unwrap_or_default();
        self.refusals.push(NewRefusal { device, number, code, times: stored(receipt.count) });
    }

    /// A piece of output that is kept if it is new.
    pub async fn output(&mut self, piece: &'a Piece) -> Result<(), StoreError> {
        let (job, device) = (piece.job.to_string(), piece.device.to_string());
        if piece.row.occurrence > 0 {
            // What was gathered before may be of the occurrence that goes.
            self.write_outputs().await?;
            output::forget_before(self.tx, self.org, &job, &device, piece.row.occurrence).await?;
        }
        self.outputs.push((job, device, &piece.row));
        Ok(())
    }

    /// Writes all of it, which came at `now_ms`; the transaction is for the caller to end. Answers which output is new.
    pub async fn write(mut self, now_ms: i64) -> Result<HashSet<Place>, StoreError> {
        self.write_outputs().await?;
        receipt::insert(self.tx, self.org, &self.receipts).await?;
        let least_ms = now_ms.saturating_sub(MOST_WITHIN_MS);
        refusal::insert(self.tx, self.org, &self.refusals, now_ms, least_ms).await?;
        let told: Vec<Told> = self.told.into_values().collect();
        job_device::receipts_came(self.tx, self.org, &told).await?;
        Ok(self.new_outputs)
    }

    async fn write_outputs(&mut self) -> Result<(), StoreError> {
        let new = output::insert(self.tx, self.org, &std::mem::take(&mut self.outputs)).await?;
        self.new_outputs.extend(new);
        Ok(())
    }
}

/// The newest receipt says how a job stands, but for one: that a step was brought again and did not run again.
fn note(told: &mut Told, receipt: &Receipt, number: i64) {
    told.receipts += 1;
    if dispatch::says_again(receipt) {
        return;
    }
    told.accepted |= receipt.verdict == Verdict::Accepted;
    if number > told.newest.0 {
        told.newest = (number, receipt.verdict.to_string(), receipt.because.as_str().to_owned());
    }
}
