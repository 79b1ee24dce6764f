//! What this machine holds, as evidence that others can judge: a bundle for each job that it was brought (docs/spec/8-interfaces.md,
//! "Evidence bundle"), and beside them its chain, its enrollment and every receipt ("What a device keeps").

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_trust::chain::{Chain, Recovered};
use countersign_trust::delivery::News;
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::ledger::{Ledger, Record, StepState};
use countersign_trust::receipt::Receipt;
use countersign_trust::time::Reading;

use crate::disk::kept::read_kept;
use crate::disk::kept::record::{Entry, KeptJudgement, KeptPath, KeptReceipt};
use crate::disk::ledger::read_ledger;
use crate::disk::{DiskError, put_file};

/// What was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The device.
    pub device: DeviceId,
    /// Where.
    pub folder: PathBuf,
    /// How many jobs it was brought.
    pub jobs: usize,
    /// How many receipts it signed.
    pub receipts: usize,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, folder, jobs, receipts } = self;
        writeln!(f, "{device}: {jobs} jobs, {receipts} receipts")?;
        write!(f, "written into {}", folder.display())
    }
}

/// Writes what the agent under `data` holds into a folder below `to` that is named by the device. The agent may be at work.
///
/// # Errors
/// This machine is not enrolled, or the folder cannot be written.
pub fn write(data: &Path, to: &Path) -> Result<Written, DiskError> {
    let ledger = read_ledger(data)?;
    let (Some(chain), Some(enrolled)) = (ledger.chain(), ledger.enrolled()) else {
        return Err(DiskError::NotEnrolled(data.to_owned()));
    };
    let folder = to.join(enrolled.device.to_string());
    let enrollment = enrollment(&ledger);
    let mut writer =
        Writer { chain, enrollment, folder, accepted: BTreeMap::new(), receipts: BTreeSet::new() };
    writer.whole()?;
    let mut failed = Ok(());
    read_kept(data, |entries| {
        if failed.is_ok() {
            failed = writer.entries(&entries);
        }
    });
    failed?;
    for note in ledger.spool() {
        let number = note.text().parse::<Receipt>().map_or(0, |receipt| receipt.number);
        writer.receipts.insert(number);
        writer.put(&format!("device/receipts/{number:09}.note"), &note.to_string())?;
    }
    let (jobs, receipts) = (writer.accepted.len(), writer.receipts.len());
    Ok(Written { device: enrolled.device, folder: writer.folder, jobs, receipts })
}

/// The files of an enrollment, the first and those that followed.
fn enrollment(ledger: &Ledger) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut later = 0;
    for record in ledger.rewritten() {
        match record {
            Record::Enrolled { enroll, join } if files.is_empty() => {
                files.push(("enroll.txt".to_owned(), enroll.to_string()));
                if let Some((note, proof)) = join {
                    files.push(("join.note".to_owned(), note.to_string()));
                    files.push(("join.tlog-proof".to_owned(), proof.to_string()));
                }
            }
            Record::Enrolled { enroll, .. } | Record::Retired(enroll) => {
                later += 1;
                files.push((format!("anew/{later}.txt"), enroll.to_string()));
            }
            _ => {}
        }
    }
    files
}

struct Writer<'a> {
    chain: &'a Chain,
    enrollment: Vec<(String, String)>,
    folder: PathBuf,
    /// The jobs that were written, and whether by the judgement that accepted them.
    accepted: BTreeMap<Sha256, bool>,
    receipts: BTreeSet<u64>,
}

impl Writer<'_> {
    fn put(&self, name: &str, text: &str) -> Result<(), DiskError> {
        put_file(&self.folder.join(name), text.as_bytes())
    }

    /// Everything that the device holds of its organization.
    fn whole(&self) -> Result<(), DiskError> {
        self.put("device/org", &format!("{}\n", self.chain.org()))?;
        for (number, news) in News::since(self.chain, 0).iter().enumerate() {
            self.put(&format!("device/chain/{number:03}.txt"), &news.to_string())?;
        }
        self.enrollment.iter().try_for_each(|(name, text)| self.put(&format!("device/{name}"), text))
    }

    /// What stands in one record; the long texts that it names stand in the same segment, and came before or with it.
    fn entries(&mut self, entries: &[Entry]) -> Result<(), DiskError> {
        for entry in entries {
            match entry {
                // A segment has each text once, and its records may name it much later: so it is written down at once.
                Entry::Text(text) => self.put(&text_file(&Sha256::of(text.as_bytes())), text)?,
                Entry::Judged(judged) => self.judged(judged)?,
                Entry::Receipt(receipt) => self.receipt(receipt)?,
            }
        }
        Ok(())
    }

    fn text(&self, hash: &Sha256) -> Option<String> {
        std::fs::read_to_string(self.folder.join(text_file(hash))).ok()
    }

    /// A bundle: of the judgement by which the device first accepted the job, or the last by which it refused it.
    fn judged(&mut self, judged: &KeptJudgement) -> Result<(), DiskError> {
        let job = judged.job;
        if self.accepted.get(&job) == Some(&true) {
            return Ok(());
        }
        let Some(envelope) = self.text(&judged.envelope) else { return Ok(()) };
        self.accepted.insert(job, judged.accepted);
        let put = |name: &str, text: &str| self.put(&format!("{job}/{name}"), text);
        put("org", &format!("{}\n", self.chain.org()))?;
        let old = self.folder.join(job.to_string());
        for stale in ["chain", "clears", "advances", "challenge"] {
            crate::disk::remove_all(&old.join(stale))?;
        }
        for (number, news) in self.chain_then(judged).iter().enumerate() {
            put(&format!("chain/{number:03}.txt"), &news.to_string())?;
        }
        self.enrollment.iter().try_for_each(|(name, text)| put(name, text))?;
        put("job.txt", &envelope)?;
        for (number, advance) in (1..).zip(judged.advances.iter().filter_map(|hash| self.text(hash))) {
            put(&format!("advances/{number}.txt"), &advance)?;
        }
        if let Some(target) = &judged.target {
            put("target", &format!("index {}\n{}", target.index, base64_lines(&target.path)))?;
        }
        if let Some(clears) = &judged.clears {
            put("challenge", &format!("{}\n", clears.challenge))?;
            for (number, (note, place)) in (1..).zip(&clears.answers) {
                put(&format!("clears/{number}.clear"), note)?;
                put(&format!("clears/{number}.path"), &place_lines(place))?;
            }
        }
        put("now", &now_lines(judged))
    }

    /// The chain as the device held it then: up to the policy and the resume, with the halts that were active.
    fn chain_then(&self, judged: &KeptJudgement) -> Vec<News> {
        let upto = |hashes: Vec<Sha256>, last: Option<Sha256>| -> BTreeSet<Sha256> {
            let end =
                last.and_then(|last| hashes.iter().position(|hash| *hash == last)).map_or(0, |at| at + 1);
            hashes.into_iter().take(end).collect()
        };
        let policies =
            upto(self.chain.policies().iter().map(|held| held.hash).collect(), Some(judged.policy));
        let resumes = upto(self.chain.resumes().iter().map(|held| held.hash).collect(), judged.resume);
        let was_there = |news: &News| match news {
            News::Policy(_) => policies.contains(&news.hash()),
            News::Resume(_) => resumes.contains(&news.hash()),
            News::Halt(_) => judged.halts.contains(&news.hash()),
            News::Recovered(word) => {
                word.text().parse::<Recovered>().is_ok_and(|said| policies.contains(&said.policy))
            }
            News::Enroll(_) => false,
        };
        News::since(self.chain, 0).into_iter().filter(was_there).collect()
    }

    fn receipt(&mut self, kept: &KeptReceipt) -> Result<(), DiskError> {
        let KeptReceipt { note, root, place, proof, .. } = kept;
        let said = note.split("\n\n").next().and_then(|text| format!("{text}\n").parse::<Receipt>().ok());
        let (Some(receipt), Some(proof)) = (said, self.text(proof)) else { return Ok(()) };
        let name = format!("device/receipts/{:09}", receipt.number);
        self.receipts.insert(receipt.number);
        self.put(&format!("{name}.note"), note)?;
        self.put(&format!("{name}.place"), &format!("batch {root}\n{}", place_lines(place)))?;
        self.put(&format!("device/batches/{root}.tlog-proof"), &proof)?;
        let Some(job) = receipt.job else { return Ok(()) };
        let name = format!("{job}/receipts/{:09}", receipt.number);
        self.put(&format!("{name}.note"), note)?;
        self.put(&format!("{name}.path"), &place_lines(place))?;
        self.put(&format!("{name}.tlog-proof"), &proof)
    }
}

fn text_file(hash: &Sha256) -> String {
    format!("device/texts/{hash}")
}

fn base64_lines(hashes: &[Sha256]) -> String {
    hashes.iter().map(|hash| format!("{}\n", STANDARD.encode(hash.0))).collect()
}

fn place_lines(KeptPath { index, size, path }: &KeptPath) -> String {
    format!("index {index}\nsize {size}\n{}", base64_lines(path))
}

fn now_lines(judged: &KeptJudgement) -> String {
    let nothing = Reading { boot_ms: 0, wall_ms: 0 };
    let (drawn, arrived) =
        judged.clears.as_ref().map_or((nothing, nothing), |held| (held.drawn, held.arrived));
    let mut text = String::new();
    for (what, at) in [("drawn", drawn), ("arrived", arrived), ("now", judged.now)] {
        text.push_str(&format!("{what}_boot_ms {}\n{what}_wall_ms {}\n", at.boot_ms, at.wall_ms));
    }
    let KeptJudgement { floor, version, running, receipts, .. } = judged;
    text.push_str(&format!("floor {floor}\nversion {version}\nrunning {running}\nreceipts {receipts}\n"));
    text.push_str(if judged.disk_full { "disk full\n" } else { "disk room\n" });
    for (occurrence, step, state) in &judged.steps {
        let state = match state {
            StepState::Started => "started",
            StepState::EndedWell => "ended-well",
            StepState::Failed => "failed",
        };
        text.push_str(&format!("step {occurrence} {step} {state}\n"));
    }
    text
}
