//! The evidence of a span as the server shows it, each piece checked before it is written. What is there already is not asked for
//! again, so what broke off goes on.

mod log;
mod receipts;

use std::collections::BTreeSet;

use countersign_trust::checkpoint::Proof;
use countersign_trust::delivery::News;
use countersign_trust::ids::Sha256;
use countersign_trust::join::join_leaf;
use countersign_trust::note::Note;
use countersign_trust::statement::Kind;
use countersign_trust::statement::job::{Job, Targets};
use countersign_wire::http::{EnrollmentEvidence, JoinEvidence, StatementView, paths};

use super::leaves::Slot;
use super::marks::{Mark, may_be_within};
use super::read::{Statement, checkpoint_file};
use super::{Folder, Span};
use crate::client::ClientError;
use crate::context::{Context, Session};
use crate::output::{count, plain, short};

/// After so many statements a word of progress is said.
const PROGRESS: usize = 500;

/// Brings everything that the server shows of a span into a folder.
pub struct Collect<'a> {
    /// How to talk.
    pub context: &'a Context,
    /// The organization and its server.
    pub session: &'a Session,
    /// Where to.
    pub folder: &'a Folder,
    /// Of which time.
    pub span: Span,
}

/// A log that was read: its leaves, and which of them may be within the span.
struct ReadLog {
    slots: Vec<Slot>,
    within: std::ops::Range<u64>,
}

impl Collect<'_> {
    /// Does it.
    ///
    /// # Errors
    /// The server does not answer, or shows two histories, or the folder cannot be written.
    pub fn run(&self) -> anyhow::Result<()> {
        self.folder.clear("chain")?;
        for (number, news) in News::since(&self.session.checked.chain, 0).iter().enumerate() {
            self.folder.put(&format!("chain/{number:03}.txt"), news.to_string().as_bytes())?;
        }
        let logs = self.logs()?;
        let logs = self.bound(logs)?;
        let wanted = wanted(&logs);
        self.enrollments(&logs)?;
        let number = count(wanted.len(), "statement", "statements");
        self.context.ui.note(&format!("{number} may be of this time"));
        for (done, hash) in wanted.iter().enumerate() {
            if done > 0 && done.is_multiple_of(PROGRESS) {
                self.context.ui.note(&format!("  {done} of {number}"));
            }
            self.statement(hash)?;
        }
        for job in self.receipts(&logs)? {
            self.statement(&job)?;
        }
        Ok(())
    }

    /// Bounds the span in each log by two checkpoints that witnesses signed.
    fn bound(&self, logs: Vec<Vec<Slot>>) -> anyhow::Result<Vec<ReadLog>> {
        let notes = self.checkpoints()?;
        let mut bounded = Vec::new();
        for (log, slots) in logs.into_iter().enumerate() {
            let size = u64::try_from(slots.len())?;
            let mut marks: Vec<(Mark, &Note)> =
                notes.iter().filter(|(mark, _)| mark.log == log).map(|(mark, note)| (*mark, note)).collect();
            let roots =
                log::roots_at(&self.span.org, &slots, &marks.iter().map(|(mark, _)| mark.size).collect());
            // One that does not continue into what was read is another history; `log verify` says so.
            marks.retain(|(mark, _)| roots.get(&mark.size) == Some(&mark.root));
            let of = |mark: &Mark| marks.iter().find(|(other, _)| other == mark).map(|(_, note)| *note);
            let before = marks
                .iter()
                .map(|(mark, _)| *mark)
                .filter(|mark| mark.time < self.span.from)
                .max_by_key(|mark| mark.size);
            let after = marks
                .iter()
                .map(|(mark, _)| *mark)
                .filter(|mark| mark.time >= self.span.until)
                .min_by_key(|mark| mark.size);
            for (which, mark) in [("before", before), ("after", after)] {
                if let Some(note) = mark.as_ref().and_then(of) {
                    self.folder.put(&checkpoint_file(log, which), note.to_string().as_bytes())?;
                }
            }
            let bounds: Vec<Mark> = before.into_iter().chain(after).collect();
            bounded.push(ReadLog {
                within: may_be_within(&bounds, log, size, self.span.from, self.span.until),
                slots,
            });
        }
        Ok(bounded)
    }

    /// Every checkpoint that the server shows beneath a statement or enrollment, and what it says.
    fn checkpoints(&self) -> anyhow::Result<Vec<(Mark, Note)>> {
        let session = self.session;
        let mut notes = Vec::new();
        for log in 0..=session.checked.chain.policy().place.log {
            notes.extend(
                self.folder.text(&checkpoint_file(log, "checkpoint"))?.and_then(|text| text.parse().ok()),
            );
        }
        let views: Vec<StatementView> =
            session.server.pages(&session.path(paths::STATEMENTS, &[]), usize::MAX)?;
        let statements =
            views.iter().filter_map(|view| Statement::read(&self.span.org, &view.envelope).ok()?.proof);
        notes.extend(statements.map(|proof| proof.checkpoint));
        let enrollments: Vec<EnrollmentEvidence> =
            session.server.pages(&session.path(paths::ENROLLMENTS, &[]), usize::MAX)?;
        let joins =
            enrollments.iter().filter_map(|evidence| evidence.join.as_ref()?.proof.parse::<Proof>().ok());
        notes.extend(joins.map(|proof| proof.checkpoint));
        let mark = |note: Note| Some((Mark::of(&session.checked.chain, &note)?, note));
        Ok(notes.into_iter().filter_map(mark).collect())
    }

    /// Writes a statement, if the server shows it as it was logged.
    fn statement(&self, hash: &Sha256) -> anyhow::Result<()> {
        if self.folder.has(&statement_file(hash)) {
            return Ok(());
        }
        let path = self.session.path(paths::STATEMENT, &[("hash", &hash.to_string())]);
        let view: StatementView = match self.session.server.get(&path) {
            Ok(view) => view,
            Err(ClientError::Status { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if let Some(job) = self.put_statement(Some(hash), &view.envelope)? {
            let ids: Vec<String> = view.targets;
            let tree: countersign_trust::merkle::Tree = ids
                .iter()
                .filter_map(|id| id.parse::<countersign_trust::ids::DeviceId>().ok())
                .map(|id| countersign_trust::merkle::leaf_hash(&id.0))
                .collect();
            if let Targets::List(list) = &job.targets
                && tree.root() == list.root
                && tree.size() == list.count
            {
                let text: String = ids.iter().map(|id| format!("{id}\n")).collect();
                self.folder.put(&format!("targets/{hash}"), text.as_bytes())?;
            }
        }
        Ok(())
    }

    /// Writes an envelope whose proof holds, under its hash; a job is answered. What does not hold is said and left out.
    fn put_statement(&self, wanted: Option<&Sha256>, envelope: &str) -> anyhow::Result<Option<Job>> {
        let found = Statement::read(&self.span.org, envelope);
        let checked = found.and_then(|shown| {
            let hash = shown.signed.hash();
            if wanted.is_some_and(|wanted| *wanted != hash) {
                anyhow::bail!("it is {hash}");
            }
            let proof = shown.proof.as_ref();
            // A policy's own place was judged when the chain took it.
            if let Some(proof) = proof.filter(|_| shown.kind != Kind::Policy) {
                self.session.checked.chain.governing(&shown.entry, proof)?;
            } else if proof.is_none() {
                anyhow::bail!("it has no proof that it is logged");
            }
            Ok((hash, shown))
        });
        let (hash, shown) = match checked {
            Ok(checked) => checked,
            Err(error) => {
                let name = wanted.map(short).unwrap_or_default();
                self.context
                    .ui
                    .warn(&plain(&format!("the server shows {name}, and it does not hold: {error:#}")));
                return Ok(None);
            }
        };
        self.folder.put(&statement_file(&hash), envelope.as_bytes())?;
        let is_job = shown.kind == Kind::Job;
        Ok(is_job.then(|| countersign_trust::statement::read(shown.signed.statement()).ok()).flatten())
    }

    /// Writes every enrollment and join that the server shows and that stands where the log has it.
    fn enrollments(&self, logs: &[ReadLog]) -> anyhow::Result<()> {
        let session = self.session;
        let shown: Vec<EnrollmentEvidence> =
            session.server.pages(&session.path(paths::ENROLLMENTS, &[]), usize::MAX)?;
        let stands: BTreeSet<Vec<u8>> = logs
            .iter()
            .flat_map(|log| &log.slots)
            .filter(|slot| slot.is("enroll") || slot.is("join"))
            .filter_map(|slot| slot.entry(&self.span.org))
            .collect();
        for EnrollmentEvidence { enroll, join } in &shown {
            let Ok(statement) = Statement::read(&self.span.org, enroll) else { continue };
            let hash = statement.signed.hash();
            if stands.contains(statement.entry.as_bytes()) && !self.folder.has(&statement_file(&hash)) {
                self.put_statement(Some(&hash), enroll)?;
            }
            let Some(JoinEvidence { note, proof }) = join else { continue };
            let (Ok(read), Ok(path)) = (note.parse::<Note>(), proof.parse::<Proof>()) else { continue };
            let entry = join_leaf(&self.span.org, &read);
            if stands.contains(entry.as_bytes()) && session.checked.chain.governing(&entry, &path).is_ok() {
                let name = format!("joins/{}", Sha256::of(read.text().as_bytes()));
                self.folder.put(&format!("{name}.tlog-proof"), proof.as_bytes())?;
                self.folder.put(&format!("{name}.note"), note.as_bytes())?;
            }
        }
        Ok(())
    }
}

/// Where a statement stands in the folder.
pub fn statement_file(hash: &Sha256) -> String {
    format!("statements/{hash}.txt")
}

/// The statements that the evidence has to show: those that may be within the span, and every enrollment before its end.
fn wanted(logs: &[ReadLog]) -> BTreeSet<Sha256> {
    let mut wanted = BTreeSet::new();
    for log in logs {
        for (index, slot) in (0..).zip(&log.slots) {
            let Slot::Leaf { kind, statement, .. } = slot else { continue };
            let asked = match kind.as_str() {
                "join" | "receipts" => false,
                "enroll" => index < log.within.end,
                _ => log.within.contains(&index),
            };
            if asked {
                wanted.insert(*statement);
            }
        }
    }
    wanted
}
