//! What a folder of evidence shows, read from its files and from nothing else.

mod devices;
mod receipts;

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context as _, anyhow, bail};
use countersign_trust::chain::{Chain, Inclusion, Place};
use countersign_trust::checkpoint::Proof;
use countersign_trust::delivery::News;
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::{DeviceId, OrgId, Sha256};
use countersign_trust::join::Enrolled;
use countersign_trust::note::Note;
use countersign_trust::statement::Kind;

use super::leaves::{self, Slot};
use super::marks::{Mark, may_be_within};
use super::{Folder, Span, span};

pub use receipts::{Batch, ReceiptPlace, ShownReceipt, parse as parse_receipts, print_receipts, read_place};

/// What a folder shows.
pub struct Evidence {
    /// Which time it is of.
    pub span: Span,
    /// Policies, resumes and halts.
    pub chain: Chain,
    /// The organization's logs, the first one first.
    pub logs: Vec<ShownLog>,
    /// Statements by their hash.
    pub statements: BTreeMap<Sha256, Statement>,
    /// Joins by the hash of their text.
    pub joins: BTreeMap<Sha256, (Note, Option<Proof>)>,
    /// The targets of jobs with a list, by the job.
    pub targets: BTreeMap<Sha256, Vec<DeviceId>>,
    /// Every device that an enrollment or join shown enrolls, with all of them.
    pub devices: BTreeMap<DeviceId, Vec<Enrolled>>,
    /// The receipts of each device, by number.
    pub receipts: BTreeMap<DeviceId, Vec<ShownReceipt>>,
    /// Batches of receipts by their root.
    pub batches: BTreeMap<Sha256, Batch>,
    /// How long the logs were when.
    pub marks: Vec<Mark>,
}

/// A log as far as it is shown.
pub struct ShownLog {
    /// What stands at each place.
    pub slots: Vec<Slot>,
    /// Which of them may have been logged within the span.
    pub within: Range<u64>,
}

/// A statement that is shown.
pub struct Statement {
    /// What it is.
    pub kind: Kind,
    /// Its bytes and signatures.
    pub signed: Signed,
    /// Where it stands; a halt may have none.
    pub proof: Option<Proof>,
    /// Its entry in a log.
    pub entry: String,
}

impl Evidence {
    /// Reads a folder.
    ///
    /// # Errors
    /// A file is damaged, or does not hold.
    pub fn read(folder: &Folder) -> anyhow::Result<Self> {
        let span = span::needed(folder)?;
        let chain = chain(folder, span.org)?;
        let statements = statements(folder, &span.org)?;
        let joins = joins(folder)?;
        let mut evidence = Self {
            span,
            logs: Vec::new(),
            marks: marks(folder, &chain, &statements, &joins)?,
            targets: targets(folder)?,
            devices: BTreeMap::new(),
            receipts: BTreeMap::new(),
            batches: BTreeMap::new(),
            chain,
            statements,
            joins,
        };
        evidence.logs = evidence.read_logs(folder)?;
        evidence.devices = devices::enrolled(&evidence);
        receipts::read_all(folder, &mut evidence)?;
        Ok(evidence)
    }

    /// The leaves within the span, in the order of the logs.
    pub fn within(&self) -> impl Iterator<Item = (Place, &Slot)> {
        (0..).zip(&self.logs).flat_map(|(log, shown)| {
            let slots = (0..).zip(&shown.slots).skip_while(|(index, _)| *index < shown.within.start);
            slots
                .take_while(|(index, _)| *index < shown.within.end)
                .map(move |(index, slot)| (Place { log, index }, slot))
        })
    }

    fn read_logs(&self, folder: &Folder) -> anyhow::Result<Vec<ShownLog>> {
        let mut logs = Vec::new();
        for log in 0..=self.chain.policy().place.log {
            let name = leaves_file(log);
            let text = folder.text(&name)?.with_context(|| format!("{name} is not there"))?;
            let slots = leaves::parse(&text, u64::MAX).with_context(|| format!("{name} is damaged"))?;
            let size = u64::try_from(slots.len())?;
            let bounds = bounds(folder, &self.chain, log)?;
            logs.push(ShownLog {
                slots,
                within: may_be_within(&bounds, log, size, self.span.from, self.span.until),
            });
        }
        Ok(logs)
    }
}

/// The file of a log's leaves.
pub fn leaves_file(log: usize) -> String {
    format!("logs/{log}.leaves")
}

/// A checkpoint of a log: `checkpoint`, the newest; `before` or `after`, by which the span is bounded.
pub fn checkpoint_file(log: usize, which: &str) -> String {
    format!("logs/{log}.{which}")
}

/// The two marks by which the span is bounded in a log.
fn bounds(folder: &Folder, chain: &Chain, log: usize) -> anyhow::Result<Vec<Mark>> {
    let mut marks = Vec::new();
    for which in ["before", "after"] {
        if let Some(text) = folder.text(&checkpoint_file(log, which))? {
            let mark = Mark::of(chain, &text.parse()?);
            marks.push(
                mark.with_context(|| {
                    format!("the checkpoint {} does not hold", checkpoint_file(log, which))
                })?,
            );
        }
    }
    Ok(marks)
}

fn chain(folder: &Folder, org: OrgId) -> anyhow::Result<Chain> {
    let mut chain: Option<Chain> = None;
    for name in folder.names("chain") {
        let text = folder.text(&format!("chain/{name}"))?.unwrap_or_default();
        let news = News::from_text(&text).with_context(|| format!("chain/{name}"))?;
        match (chain.as_mut(), news) {
            (Some(chain), news) => {
                news.offer(chain).with_context(|| format!("chain/{name}"))?;
            }
            (None, News::Policy(genesis)) => {
                chain = Some(Chain::begin(org, &genesis.signed, Inclusion::Proved(&genesis.proof))?);
            }
            (None, _) => bail!("chain/{name} comes before any policy"),
        }
    }
    chain.ok_or_else(|| anyhow!("there is no genesis policy"))
}

fn statements(folder: &Folder, org: &OrgId) -> anyhow::Result<BTreeMap<Sha256, Statement>> {
    let mut statements = BTreeMap::new();
    for name in folder.names("statements") {
        let text = folder.text(&format!("statements/{name}"))?.unwrap_or_default();
        let statement = Statement::read(org, &text).with_context(|| format!("statements/{name}"))?;
        let hash = statement.signed.hash();
        if name != format!("{hash}.txt") {
            bail!("statements/{name} holds the statement {hash}");
        }
        statements.insert(hash, statement);
    }
    Ok(statements)
}

impl Statement {
    /// Reads an envelope, with or without a proof.
    ///
    /// # Errors
    /// It is none.
    pub fn read(org: &OrgId, text: &str) -> anyhow::Result<Self> {
        let (signed, proof) = match Logged::from_text(text) {
            Ok(Logged { signed, proof }) => (signed, Some(proof)),
            Err(_) => (Signed::from_text(text)?, None),
        };
        let (kind, entry) = (signed.kind()?, signed.leaf(org)?);
        Ok(Self { kind, signed, proof, entry })
    }

    /// With its proof.
    pub fn logged(&self) -> Option<Logged> {
        self.proof.as_ref().map(|proof| Logged { signed: self.signed.clone(), proof: proof.clone() })
    }
}

fn joins(folder: &Folder) -> anyhow::Result<BTreeMap<Sha256, (Note, Option<Proof>)>> {
    let mut joins = BTreeMap::new();
    for name in folder.names("joins") {
        let Some(hash) = name.strip_suffix(".note") else { continue };
        let note: Note = folder.text(&format!("joins/{name}"))?.unwrap_or_default().parse()?;
        let proof = folder.text(&format!("joins/{hash}.tlog-proof"))?;
        let proof = proof.map(|text| text.parse()).transpose().with_context(|| format!("joins/{name}"))?;
        joins.insert(Sha256::of(note.text().as_bytes()), (note, proof));
    }
    Ok(joins)
}

fn targets(folder: &Folder) -> anyhow::Result<BTreeMap<Sha256, Vec<DeviceId>>> {
    let mut targets = BTreeMap::new();
    for name in folder.names("targets") {
        let text = folder.text(&format!("targets/{name}"))?.unwrap_or_default();
        let ids: Result<Vec<DeviceId>, _> = text.lines().map(str::parse).collect();
        targets.insert(name.parse()?, ids.with_context(|| format!("targets/{name}"))?);
    }
    Ok(targets)
}

/// What every proof and checkpoint in the folder says of how long a log was when.
fn marks(
    folder: &Folder,
    chain: &Chain,
    statements: &BTreeMap<Sha256, Statement>,
    joins: &BTreeMap<Sha256, (Note, Option<Proof>)>,
) -> anyhow::Result<Vec<Mark>> {
    let proofs = statements.values().filter_map(|statement| statement.proof.as_ref());
    let proofs = proofs.chain(joins.values().filter_map(|(_, proof)| proof.as_ref()));
    let mut notes: Vec<Note> = proofs.map(|proof| proof.checkpoint.clone()).collect();
    for name in folder.names("batches") {
        let proof: Proof = folder.text(&format!("batches/{name}"))?.unwrap_or_default().parse()?;
        notes.push(proof.checkpoint);
    }
    for name in folder.names("logs").iter().filter(|name| !name.ends_with(".leaves")) {
        notes.push(folder.text(&format!("logs/{name}"))?.unwrap_or_default().parse()?);
    }
    let mut marks: Vec<Mark> = notes.iter().filter_map(|note| Mark::of(chain, note)).collect();
    marks.sort_unstable();
    marks.dedup();
    Ok(marks)
}
