//! `countersign audit`: the evidence of a job, a folder for each device, to be judged offline by anybody.
//!
//! The layout is that of `crates/trust/vectors/README.md`.

mod judge;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use countersign_trust::chain::Chain;
use countersign_trust::delivery::TargetProof;
use countersign_trust::envelope::Logged;
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::join::enrolled_by_join;
use countersign_trust::merkle::{Tree, leaf_hash};
use countersign_trust::receipt::Receipt;
use countersign_trust::statement::job::Targets;
use countersign_trust::statement::policy::VendorHalts;
use countersign_wire::http::{DeliveryEvidence, EnrollmentEvidence, ReceiptView, paths};
use serde_json::json;

use crate::checked::Device;
use crate::client::ClientError;
use crate::clones::Chains;
use crate::cmd::job::ReadJob;
use crate::context::{Context, Session};
use crate::output::{Stop, count, plain, short, table};
use crate::receipts;
use judge::Sent;

/// Write the evidence of a job into folders that anybody can check offline.
///
/// One folder for each device: the policies, the enrollment, the job with its signatures and its place in the log, the Clears,
/// and the device's receipts. Nothing in them needs to be believed.
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  countersign audit 91c0a4 --out evidence")]
pub struct AuditArgs {
    /// The job, by its hash or the beginning of it.
    job: String,
    /// Only this device.
    #[arg(long)]
    device: Option<String>,
    /// Into which folder; it is made.
    #[arg(long, value_name = "FOLDER", default_value = "evidence")]
    out: PathBuf,
}

/// Runs it.
pub fn run(context: &Context, args: &AuditArgs) -> anyhow::Result<()> {
    let session = context.open()?;
    let read = ReadJob::fetch(&session, &args.job)?;
    let mut targets = read.targets.clone();
    if let Some(device) = &args.device {
        let wanted = session.checked.devices.named(device)?.device;
        targets.retain(|id| *id == wanted);
        if targets.is_empty() {
            return Err(Stop::Usage(format!("{wanted} is no target of this job")).into());
        }
    }
    let all: Vec<EnrollmentEvidence> =
        session.server.pages(&session.path(paths::ENROLLMENTS, &[]), usize::MAX)?;
    let receipts: Vec<ReceiptView> = session.server.pages(&session.path(paths::RECEIPTS, &[]), usize::MAX)?;
    let mut chains = Chains::default();
    for view in &receipts {
        if let Some(id) = targets.iter().find(|id| id.to_string() == view.device) {
            chains.watch(context, &session, id, &view.note);
        }
    }
    let (mut gaps, mut rows, mut json) = (Vec::new(), Vec::new(), Vec::new());
    for id in &targets {
        let folder = args.out.join(short(&read.hash)).join(id.to_string());
        let bundle = Bundle { session: &session, read: &read, id, folder: &folder };
        let found = bundle.write(&all, &receipts)?;
        gaps.extend(found.gaps.iter().map(|gap| format!("{}: {gap}", short(id))));
        json.push(json!({"device": id.to_string(), "judged_again": found.judged, "receipts": found.told, "gaps": found.gaps}));
        rows.push(vec![short(id), plain(&found.judged), plain(&found.told.join(", "))]);
    }
    let into = args.out.join(short(&read.hash)).display().to_string();
    // Whether the vendor was obeyed is a choice that an auditor should see; the policies of the chain in each bundle prove it.
    let vendor = &session.checked.chain.policy().body.vendor;
    let vendor_halts = (!vendor.keys.is_empty()).then(|| vendor.halts.to_string());
    vendor_off(&session.checked.chain).iter().for_each(|word| context.ui.note(word));
    context.ui.answer(&json!({"folder": into, "devices": json, "vendor_halts": vendor_halts}), || {
        let number = count(targets.len(), "device", "devices");
        let rows = table(&["DEVICE", "JUDGED AGAIN HERE", "ITS RECEIPTS SAY (verified)"], &rows);
        format!("{rows}Evidence of {} on {number} is in {into}", short(&read.hash))
    });
    gaps.iter().for_each(|gap| context.ui.warn(&plain(gap)));
    Ok(())
}

/// What came of writing a bundle.
struct Found {
    /// What is missing.
    gaps: Vec<String>,
    /// What the acceptance rule says of it here.
    judged: String,
    /// What the device's receipts say.
    told: Vec<String>,
}

struct Bundle<'a> {
    session: &'a Session,
    read: &'a ReadJob,
    id: &'a DeviceId,
    folder: &'a Path,
}

impl Bundle<'_> {
    /// Writes it, and judges it again.
    fn write(&self, enrollments: &[EnrollmentEvidence], receipts: &[ReceiptView]) -> anyhow::Result<Found> {
        let chain = &self.session.checked.chain;
        let mut gaps = Vec::new();
        self.put("org", &format!("{}\n", chain.org()))?;
        if Logged::from_text(&self.read.view.envelope).is_err() {
            gaps.push("the job is not in the log yet".to_owned());
        }
        for (number, advance) in (1..).zip(&self.read.advances) {
            self.put(&format!("advances/{number}.txt"), advance)?;
        }
        let target = self.target()?;
        let sent = self.delivery()?;
        self.put("job.txt", &judge::envelope(self.read, sent.as_ref()))?;
        if sent.is_none() {
            gaps.push("it was not delivered yet, as far as the server says".to_owned());
        }
        let news = judge::news_then(chain, sent.as_ref());
        for (number, news) in news.iter().enumerate() {
            self.put(&format!("chain/{number:03}.txt"), &news.to_string())?;
        }
        let receipts = self.receipts(receipts)?;
        let told: Vec<String> = receipts
            .iter()
            .map(|receipt| format!("{} {}", receipt.verdict, receipt.because).trim_end().to_owned())
            .collect();
        if told.is_empty() {
            gaps.push("there is no receipt about this job".to_owned());
        }
        let me = self.enrollment(enrollments, receipts.first().map(|receipt| receipt.enroll))?;
        gaps.extend(me.as_ref().err().cloned());
        let judged = match (me, &sent) {
            (Ok(me), Some(sent)) => judge::again(&news, me, sent, target.as_ref(), self.read)
                .map_or_else(|why| format!("refused: {why}"), |()| "accepted".to_owned()),
            _ => "cannot be judged".to_owned(),
        };
        Ok(Found { gaps, judged, told })
    }

    fn put(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(self.folder))
            .with_context(|| format!("cannot make the folder of {}", path.display()))?;
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Writes the enrollment by which the device came, and those that followed until it judged the job; what it held then,
    /// or what is missing.
    fn enrollment(
        &self,
        all: &[EnrollmentEvidence],
        held_then: Option<Sha256>,
    ) -> anyhow::Result<Result<&Device, String>> {
        let history =
            self.session.checked.devices.history.get(self.id).map(Vec::as_slice).unwrap_or_default();
        // Without a receipt that says what it held, all that is known.
        let last = held_then.and_then(|held| history.iter().position(|device| device.enroll == held));
        let history = history.get(..last.map_or(history.len(), |last| last + 1)).unwrap_or_default();
        let (Some(first), Some(newest)) = (history.first(), history.last()) else {
            return Ok(Err("no enrollment that holds".to_owned()));
        };
        if !self.first_enrollment(all, first)? {
            return Ok(Err("the server shows no evidence of its enrollment".to_owned()));
        }
        for (number, later) in (1..).zip(history.iter().skip(1)) {
            let Some(envelope) = envelope_of(all, &later.enroll) else {
                return Ok(Err(format!(
                    "the server shows no evidence of its enrollment {}",
                    short(&later.enroll)
                )));
            };
            self.put(&format!("anew/{number}.txt"), envelope)?;
        }
        Ok(Ok(newest))
    }

    fn first_enrollment(&self, all: &[EnrollmentEvidence], device: &Device) -> anyhow::Result<bool> {
        let chain = &self.session.checked.chain;
        let by_join = self.session.checked.devices.batches.contains_key(&device.enroll);
        for evidence in all {
            let Ok(enroll) = Logged::from_text(&evidence.enroll) else { continue };
            if enroll.signed.hash() != device.enroll || by_join != evidence.join.is_some() {
                continue;
            }
            if let Some(join) = &evidence.join {
                let same = join
                    .note
                    .parse()
                    .ok()
                    .zip(join.proof.parse().ok())
                    .and_then(|(note, proof)| enrolled_by_join(chain, &enroll, &note, &proof).ok());
                if same.is_none_or(|same| same.device != *self.id) {
                    continue;
                }
                self.put("join.note", &join.note)?;
                self.put("join.tlog-proof", &join.proof)?;
            }
            self.put("enroll.txt", &evidence.enroll)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// The place of the device in the list of targets.
    fn target(&self) -> anyhow::Result<Option<TargetProof>> {
        let (Targets::List(_), Some(index)) =
            (&self.read.job.targets, self.read.targets.iter().position(|id| id == self.id))
        else {
            return Ok(None);
        };
        let tree: Tree = self.read.targets.iter().map(|id| leaf_hash(&id.0)).collect();
        let index = u64::try_from(index)?;
        let path = tree.inclusion(index, tree.size())?;
        let words: Vec<String> = path.iter().map(|hash| STANDARD.encode(hash.0)).collect();
        self.put("target", &lines(&[format!("index {index}")], &words))?;
        Ok(Some(TargetProof { index, path }))
    }

    /// Challenge and Clears. The clocks of the device are not known: `now` is written as if no time had passed.
    fn delivery(&self) -> anyhow::Result<Option<Sent>> {
        let (hash, device) = (self.read.hash.to_string(), self.id.to_string());
        let path = self.session.path(paths::JOB_DELIVERY, &[("hash", &hash), ("device", &device)]);
        let shown: Result<DeliveryEvidence, ClientError> = self.session.server.get(&path);
        let shown = match shown {
            Ok(shown) => shown,
            Err(ClientError::Status { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        self.put("challenge", &format!("{}\n", shown.challenge))?;
        for (number, clear) in (1..).zip(&shown.clears) {
            self.put(&format!("clears/{number}.clear"), &clear.note)?;
            let head = [format!("index {}", clear.index), format!("size {}", clear.size)];
            self.put(&format!("clears/{number}.path"), &lines(&head, &clear.path))?;
        }
        let wall = shown.sent.saturating_mul(1_000);
        let now = format!(
            "drawn_boot_ms 0\ndrawn_wall_ms {wall}\narrived_boot_ms 0\narrived_wall_ms {wall}\nnow_boot_ms 0\nnow_wall_ms {wall}\n\
             floor 0\nversion {}\nrunning 0\nreceipts 0\ndisk room\n",
            env!("CARGO_PKG_VERSION")
        );
        self.put("now", &now)?;
        Ok(Sent::read(&shown))
    }

    /// Writes the receipts about this job that the device signed, and returns them.
    fn receipts(&self, all: &[ReceiptView]) -> anyhow::Result<Vec<Receipt>> {
        let mut told = Vec::new();
        for view in all.iter().filter(|view| view.device == self.id.to_string()) {
            let Ok(receipt) = receipts::verified(&self.session.checked, self.id, &self.read.hash, &view.note)
            else {
                continue;
            };
            told.push(receipt);
            let name = format!("receipts/{:06}", view.number);
            self.put(&format!("{name}.note"), &view.note)?;
            if let Some(place) = &view.place {
                let head = [format!("index {}", place.index), format!("size {}", place.size)];
                self.put(&format!("{name}.path"), &lines(&head, &place.path))?;
                self.put(&format!("{name}.tlog-proof"), &place.proof)?;
            }
        }
        Ok(told)
    }
}

/// The envelope of an enrollment of one device.
fn envelope_of<'a>(all: &'a [EnrollmentEvidence], hash: &Sha256) -> Option<&'a str> {
    let is_it = |evidence: &&EnrollmentEvidence| {
        evidence.join.is_none()
            && Logged::from_text(&evidence.enroll).is_ok_and(|enroll| enroll.signed.hash() == *hash)
    };
    all.iter().find(is_it).map(|evidence| evidence.enroll.as_str())
}

fn lines(head: &[String], rest: &[String]) -> String {
    head.iter().chain(rest).map(|line| format!("{line}\n")).collect()
}

/// Since which policy the vendor's halts are obeyed by nobody, if they are off.
fn vendor_off(chain: &Chain) -> Option<String> {
    let is_off = |halts: &VendorHalts| *halts == VendorHalts::Off;
    let off = chain.policies().iter().rev().take_while(|held| is_off(&held.body.vendor.halts)).last()?;
    let (number, hash) = (off.body.number, short(&off.hash));
    Some(format!(
        "The vendor's halts are off since policy {number} ({hash}): nobody here obeys them (verified)."
    ))
}
