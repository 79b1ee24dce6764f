//! The thief deletes the records and locks the people out: what is still known, and by whom.

use std::fs;

use countersign_agent::disk::ledger::read_ledger;
use countersign_trust::chain::{Chain, Inclusion};
use countersign_trust::delivery::{News, read_sequence};
use countersign_trust::envelope::Logged;
use countersign_trust::note::Note;
use countersign_trust::receipt::{Receipt, Verdict};
use countersign_trust::signers::signers;
use countersign_trust::statement::Kind;

use super::facts;
use super::hostile::Hostile;
use super::jobs::{checked, said};
use super::lying::Lying;
use super::stores::Field;
use super::story::{Story, thousands};

/// What an auditor took along on Tuesday: texts, nothing else.
pub struct Kept {
    chain: String,
    job: String,
    receipts: Vec<Note>,
}

/// The auditor asks the honest server for the history, Tuesday's job and all its receipts.
pub fn keep(field: &Field, done: &countersign_trust::ids::Sha256) -> Kept {
    let ask = |rest: &str| {
        field.world.block_on(field.world.http.ask("GET", &field.world.path(rest), String::new())).1
    };
    let view: countersign_wire::http::JobView =
        field.world.block_on(field.world.http.get(&field.world.path(&format!("jobs/{done}"))));
    let receipts = view.devices.into_iter().filter_map(|row| row.receipt?.parse().ok()).collect();
    Kept { chain: ask("news"), job: field.world.statement(done).envelope, receipts }
}

impl Kept {
    /// Who signed the job and what became of it, from these texts alone.
    fn judge(&self, field: &Field) -> (Vec<String>, usize) {
        let news: Vec<News> = read_sequence(&self.chain)
            .unwrap()
            .into_iter()
            .map(|item| News::from_text(item).unwrap())
            .collect();
        let News::Policy(genesis) = &news[0] else { panic!("no genesis policy") };
        let chain =
            Chain::begin(field.world.org, &genesis.signed, Inclusion::Proved(&genesis.proof)).unwrap();
        let job = Logged::from_text(&self.job).unwrap();
        chain.logged(&job.signed.leaf(&field.world.org).unwrap(), &job.proof).unwrap();
        let who = signers(&chain.policy().body, Kind::Job, &job.signed);
        let who = who.people().map(ToString::to_string).collect();
        let ended = self.receipts.iter().filter(|note| {
            let receipt: Receipt = note.text().parse().unwrap();
            let register = &field.registers[&receipt.device];
            checked(register, note).verdict == Verdict::Ended && receipt.job == Some(job.signed.hash())
        });
        (who, ended.count())
    }
}

/// The records go.
pub fn play(field: &Field, thief: Hostile<'_>, lying: &Lying, kept: &Kept, story: &mut Story) {
    story.begin("Records deleted, administrators locked out");
    story.in_2021(facts::DELETED);
    let asked =
        field.world.block_on(field.world.http.try_ask("GET", &field.world.path("devices"), String::new()));
    assert!(asked.is_err(), "the thief answers people: {asked:?}");
    for entry in fs::read_dir(&field.world.server.folder).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    story.here("The thief answers no person, with whatever token, and deletes everything in the server's folder: records, log, keys.");
    let (who, ended) = kept.judge(field);
    assert_eq!(
        (who.as_slice(), ended),
        (["anna".to_owned(), "bo".to_owned()].as_slice(), field.registers.len())
    );
    story.holds(format!(
        "From texts that an auditor took along on Tuesday, without any server: {} signed that job, it stands in a log that three witnesses have cosigned, and {} registers signed that it ran and ended well.",
        who.join(" and "),
        thousands(u64::try_from(ended).unwrap())
    ));
    let (mut refused, evil) = (0, thief.all_receipts(field).len());
    for machine in &field.world.machines {
        let ledger = read_ledger(&machine.agent.folder).unwrap();
        let receipts: Vec<Receipt> =
            ledger.spool().map(|note| checked(&field.registers[&machine.id], note)).collect();
        let waits: u64 = said(&receipts, &lying.waits.hash()).values().sum();
        assert_eq!(waits, 1, "{receipts:?}");
        refused += receipts.iter().filter(|receipt| receipt.verdict == Verdict::Refused).count();
    }
    story.holds(format!(
        "On the disks of the {} whole agents lie {refused} signed refusals of what the thief tried, which no server has acknowledged. The {} receipts of all registers went to the thief only, and each register keeps its own until a log has them.",
        field.world.machines.len(),
        thousands(u64::try_from(evil).unwrap())
    ));
    // SEAM: where evidence of a span of time is rebuilt from agents, beacons and witnesses.
    story.not_played("rebuilding a span of time from agents, beacons and witnesses by one command: not part of this drill yet.");
    thief.leave(field);
    story.here("Somebody pulls the server's cord. The halts stand, for they never lay on it.");
}
