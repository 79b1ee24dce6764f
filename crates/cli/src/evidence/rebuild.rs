//! The evidence without a server: from what machines kept, what beacons hold, and what witnesses cosigned last.
//!
//! The tree of the log is not rebuilt: a leaf is known where somebody has a proof of it, and how many there were is known from
//! witnesses. The leaves that nobody can show are named. A log that is lost goes on under a new key, by policy.

mod machines;
mod witnesses;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use countersign_trust::chain::{Chain, Place};
use countersign_trust::checkpoint::Proof;
use countersign_trust::delivery::{News, read_sequence};
use countersign_trust::envelope::{Logged, Signed, leaf};
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::join::join_leaf;
use countersign_trust::note::Note;
use countersign_trust::statement::Kind;

use super::collect::statement_file;
use super::leaves::{self, Slot};
use super::marks::Mark;
use super::read::{ShownReceipt, Statement, leaves_file, print_receipts};
use super::{Folder, Span};
use crate::checked::chain;
use crate::client::Client;
use crate::home::Profile;
use crate::output::{Stop, Ui, plain};

/// Puts it together.
pub struct Rebuild<'a> {
    /// How to talk.
    pub ui: &'a Ui,
    /// The organization, and what this computer has checked of it.
    pub profile: &'a Profile,
    /// Where to.
    pub folder: &'a Folder,
    /// Of which time.
    pub span: Span,
    /// Whether beacons and witnesses are asked.
    pub ask: bool,
}

/// What was found of the logs.
#[derive(Default)]
struct Found {
    /// What stands where.
    leaves: BTreeMap<Place, Slot>,
    /// Every checkpoint that a quorum cosigned.
    marks: Vec<(Mark, Note)>,
    receipts: BTreeMap<DeviceId, BTreeMap<u64, ShownReceipt>>,
}

impl Rebuild<'_> {
    /// Does it.
    ///
    /// # Errors
    /// Nothing shows the organization's beginning, or the folder cannot be written.
    pub fn run(&self, agents: &[PathBuf]) -> anyhow::Result<()> {
        for stale in ["chain", "logs", "statements", "joins", "targets", "receipts", "batches"] {
            self.folder.clear(stale)?;
        }
        self.folder.remove("span")?;
        self.span.begin(self.folder)?;
        let machines = machines::read(agents)?;
        let (chain, halts) = self.chain(&machines)?;
        for (number, news) in News::since(&chain, 0).iter().enumerate() {
            self.folder.put(&format!("chain/{number:03}.txt"), news.to_string().as_bytes())?;
        }
        let mut found = Found::default();
        self.of_chain(&chain, &mut found)?;
        self.halts(&chain, halts)?;
        for envelope in &machines.envelopes {
            self.statement(&chain, &mut found, envelope)?;
        }
        for (note, proof) in &machines.joins {
            self.join(&chain, &mut found, note, proof)?;
        }
        for (root, proof) in &machines.batches {
            self.batch(&chain, &mut found, root, proof)?;
        }
        let known = |root: &Sha256| {
            found.leaves.values().any(|slot| matches!(slot, Slot::Leaf { kind, statement, .. } if kind == "receipts" && statement == root))
        };
        let mut receipts: BTreeMap<DeviceId, BTreeMap<u64, ShownReceipt>> = BTreeMap::new();
        for shown in machines.receipts {
            let place = shown.place.clone().filter(|place| known(&place.batch));
            let of_device = receipts.entry(shown.receipt.device).or_default();
            let better = place.is_some() || !of_device.contains_key(&shown.receipt.number);
            if better {
                of_device.insert(shown.receipt.number, ShownReceipt { place, ..shown });
            }
        }
        found.receipts = receipts;
        self.put_receipts(&found)?;
        let seen = if self.ask { witnesses::ask(self.ui, &chain) } else { Vec::new() };
        self.logs(&chain, found, seen)
    }

    /// What this computer holds, machines kept and beacons show, each part judged as it is taken.
    fn chain(&self, machines: &machines::Machines) -> anyhow::Result<(Chain, Vec<Signed>)> {
        let mut held = chain::known(self.profile)?;
        let mut halts: Vec<Signed> = machines.news.iter().filter_map(|item| halt_of(item)).collect();
        for item in &machines.news {
            // What does not hold, or comes before what it follows, is shown by another machine, or by nobody.
            let _ = chain::take(self.span.org, &mut held, item);
        }
        let beacons =
            held.as_ref().map(|chain| chain.policy().body.addresses.beacons.clone()).unwrap_or_default();
        for (name, url) in beacons.iter().filter(|_| self.ask) {
            let path = format!("/v1/orgs/{}/news?after=0", self.span.org);
            let told = Client::new(url.as_str(), None, None)
                .map(|client| client.within(witnesses::LIMIT).get_text(&path));
            match told {
                Ok(Ok(text)) => {
                    for item in read_sequence(&text).unwrap_or_default() {
                        halts.extend(halt_of(item));
                        let _ = chain::take(self.span.org, &mut held, item);
                    }
                }
                Ok(Err(error)) => self.ui.warn(&plain(&format!("the beacon {name} shows nothing: {error}"))),
                Err(error) => self.ui.warn(&plain(&format!("the beacon {name} shows nothing: {error:#}"))),
            }
        }
        let chain = held.ok_or_else(|| Stop::Failed("nobody shows the genesis policy".to_owned()))?;
        halts.extend(chain.halts().map(|halt| halt.signed.clone()));
        Ok((chain, halts))
    }

    /// The statements that the chain holds: policies and resumes with their places, halts without.
    fn of_chain(&self, chain: &Chain, found: &mut Found) -> anyhow::Result<()> {
        for held in chain.policies() {
            let proof = held.proof.clone().context("a policy without proof")?;
            let logged = Logged { signed: held.signed.clone(), proof };
            self.put_leaf(found, held.place, &held.signed.leaf(&self.span.org)?);
            found.marks.extend(
                Mark::of(chain, &logged.proof.checkpoint).map(|mark| (mark, logged.proof.checkpoint.clone())),
            );
            self.folder.put(&statement_file(&held.hash), logged.to_string().as_bytes())?;
        }
        for held in chain.resumes() {
            let Some(proof) = held.proof.clone() else { continue };
            self.statement(chain, found, &Logged { signed: held.signed.clone(), proof }.to_string())?;
        }
        Ok(())
    }

    /// Halts by somebody who may, also those that a resume has lifted and that no chain holds any more.
    fn halts(&self, chain: &Chain, halts: Vec<Signed>) -> anyhow::Result<()> {
        for halt in halts.iter().filter(|halt| chain.called_by(halt).is_ok()) {
            let name = statement_file(&halt.hash());
            if !self.folder.has(&name) {
                self.folder.put(&name, halt.to_string().as_bytes())?;
            }
        }
        Ok(())
    }

    fn put_leaf(&self, found: &mut Found, place: Place, entry: &str) {
        let slot = Slot::read(&self.span.org, entry.as_bytes());
        if let Some(there) = found.leaves.get(&place).filter(|there| **there != slot) {
            let Place { log, index } = place;
            self.ui.alarm(&format!(
                "two leaves are proved at {log}:{index}: the log had two histories: {there:?} and {slot:?}"
            ));
            return;
        }
        found.leaves.insert(place, slot);
    }

    /// What stands where its proof says; none if it does not.
    fn placed(&self, chain: &Chain, found: &mut Found, entry: &str, proof: &Proof) -> Option<()> {
        let (_, place, _) = chain.governing(entry, proof).ok()?;
        self.put_leaf(found, place, entry);
        found.marks.extend(Mark::of(chain, &proof.checkpoint).map(|mark| (mark, proof.checkpoint.clone())));
        Some(())
    }

    fn statement(&self, chain: &Chain, found: &mut Found, envelope: &str) -> anyhow::Result<()> {
        let Ok(shown) = Statement::read(&self.span.org, envelope) else { return Ok(()) };
        let name = statement_file(&shown.signed.hash());
        let Some(proof) = shown.proof.filter(|_| shown.kind != Kind::Policy && !self.folder.has(&name))
        else {
            return Ok(());
        };
        match self.placed(chain, found, &shown.entry, &proof) {
            Some(()) => self.folder.put(&name, envelope.as_bytes()),
            None => Ok(()),
        }
    }

    fn join(&self, chain: &Chain, found: &mut Found, note: &Note, proof: &Proof) -> anyhow::Result<()> {
        if self.placed(chain, found, &join_leaf(&self.span.org, note), proof).is_none() {
            return Ok(());
        }
        let name = format!("joins/{}", Sha256::of(note.text().as_bytes()));
        self.folder.put(&format!("{name}.note"), note.to_string().as_bytes())?;
        self.folder.put(&format!("{name}.tlog-proof"), proof.to_string().as_bytes())
    }

    fn batch(&self, chain: &Chain, found: &mut Found, root: &Sha256, proof: &Proof) -> anyhow::Result<()> {
        let entry = leaf(&self.span.org, "receipts", root, &Sha256::of(b""));
        match self.placed(chain, found, &entry, proof) {
            Some(()) => self.folder.put(&format!("batches/{root}.tlog-proof"), proof.to_string().as_bytes()),
            None => Ok(()),
        }
    }

    fn put_receipts(&self, found: &Found) -> anyhow::Result<()> {
        for (device, receipts) in &found.receipts {
            let receipts: Vec<ShownReceipt> =
                receipts.values().filter(|shown| shown.stands()).cloned().collect();
            self.folder.put(&format!("receipts/{device}"), print_receipts(&receipts).as_bytes())?;
        }
        Ok(())
    }

    /// Each log as far as it is known: as long as a policy, a quorum of witnesses, or at least one of them says.
    fn logs(&self, chain: &Chain, found: Found, seen: Vec<Note>) -> anyhow::Result<()> {
        let newest = chain.policy().place.log;
        for log in 0..=newest {
            let ended = chain.replaced_logs().find(|(last, _)| last.place.log == log);
            let marks: Vec<&(Mark, Note)> = found.marks.iter().filter(|(mark, _)| mark.log == log).collect();
            let proved =
                found.leaves.range(Place { log, index: 0 }..=Place { log, index: u64::MAX }).next_back();
            let proved = proved.map_or(0, |(place, _)| place.index.saturating_add(1));
            let marked = marks.iter().map(|(mark, _)| mark.size).max().unwrap_or(0);
            let witnessed = if log == newest { witnesses::longest(chain, &seen) } else { None };
            let size = match ended {
                Some((_, next)) => next.body.log.old_size,
                None => proved.max(marked).max(witnessed.as_ref().map_or(0, |(size, _)| *size)),
            };
            let slot = |index| found.leaves.get(&Place { log, index }).cloned().unwrap_or(Slot::Unknown);
            let slots: Vec<Slot> = (0..size).map(slot).collect();
            self.folder.put(&leaves_file(log), leaves::print(&slots).as_bytes())?;
            let of_size = marks.iter().find(|(mark, _)| mark.size == size).map(|(_, note)| note);
            let note = witnessed.as_ref().filter(|(seen, _)| *seen == size).map(|(_, note)| note).or(of_size);
            if let Some(note) = note.filter(|note| ended.is_none() && Mark::of(chain, note).is_some()) {
                self.folder.put(&format!("logs/{log}.checkpoint"), note.to_string().as_bytes())?;
            }
        }
        Ok(())
    }
}

/// The halt that an envelope is, if it is one.
fn halt_of(item: &str) -> Option<Signed> {
    match News::from_text(item) {
        Ok(News::Halt(signed)) => Some(signed),
        _ => None,
    }
}
