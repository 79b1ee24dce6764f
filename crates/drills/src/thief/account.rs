//! What became of it all: by the disk what ran, by the machines' receipts what was refused and why.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

use countersign_trust::receipt::{Receipt, Verdict};

use super::Play;
use super::catalogue::Mutation;
use super::stage::PLACES;

/// The account of one play.
#[derive(Debug)]
pub struct Account {
    /// The seed.
    pub seed: u64,
    /// For each mutation: its name, what the thief had for it, how often it was tried, and the code of its refusal.
    pub rows: Vec<(&'static str, &'static str, u64, &'static str)>,
    /// How often each code was told, by the counts of the receipts.
    pub codes: BTreeMap<String, u64>,
    /// Twins that were brought, each of which ran once.
    pub twins: u64,
    /// Bent deliveries in all.
    pub tried: u64,
    /// How often something bent ran, by what it would have done to the disk.
    pub ran: u64,
}

/// The code of a refusal, as the machine signed it.
fn code_of(receipt: &Receipt) -> String {
    receipt.code.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn refused(play: &Play<'_>, machine: usize) -> Vec<Receipt> {
    let receipts = play.robbed.lines.receipts(&play.robbed.world.machines[machine].id);
    receipts
        .into_iter()
        .map(|(_, receipt)| receipt)
        .filter(|receipt| receipt.verdict == Verdict::Refused)
        .collect()
}

/// For how many refusals a machine's receipts stand.
pub fn told(play: &Play<'_>, machine: usize) -> u64 {
    refused(play, machine).iter().map(|receipt| receipt.count).sum()
}

/// A length as counts go.
pub fn number(length: usize) -> u64 {
    u64::try_from(length).unwrap()
}

/// The newest words of every machine.
pub fn last(play: &Play<'_>) -> String {
    let words = |machine: usize| {
        let newest: Vec<String> =
            refused(play, machine).iter().rev().take(3).map(|receipt| receipt.because.to_string()).collect();
        format!("{:?} {machine}: {newest:?}", PLACES[machine])
    };
    (0..PLACES.len()).map(words).collect::<Vec<_>>().join("\n")
}

fn expected_code(play: &Play<'_>, mutation: Option<usize>) -> &'static str {
    mutation.map_or("approvals", |kind| play.mutations[kind].code)
}

/// Holds each receipt against the delivery that it answers.
pub fn one_by_one(play: &Play<'_>) {
    for (machine, expected) in &play.expected {
        let refused = refused(play, *machine);
        assert_eq!(refused.len(), expected.len(), "{machine}: one by one");
        for (mutation, receipt) in expected.iter().zip(&refused) {
            let because = receipt.because.as_str();
            let (name, says) = mutation.map_or(("a filler", "0 of 1 approvals"), |kind| {
                (play.mutations[kind].name, play.mutations[kind].says)
            });
            assert!(
                because.contains(says),
                "{:?}: {name}: expected `{says}`, it says: {because}",
                PLACES[*machine]
            );
            assert_eq!(code_of(receipt), expected_code(play, *mutation), "{name}: {because}");
        }
    }
}

/// Every receipt is the machine's own, and none is missing before the last.
fn chained(play: &Play<'_>, machine: usize) {
    let mut previous = None;
    let machine = &play.robbed.world.machines[machine];
    for (number, (note, receipt)) in (1..).zip(play.robbed.lines.receipts(&machine.id)) {
        assert!(note.signed_by(&machine.key));
        assert_eq!((receipt.number, receipt.previous), (number, previous));
        previous = Some(countersign_trust::ids::Sha256::of(note.text().as_bytes()));
    }
}

/// Counts everything.
pub fn close(play: &Play<'_>, seed: u64) -> Account {
    let mut codes: BTreeMap<String, u64> = BTreeMap::new();
    let (mut accepted, mut tries) = (0, vec![0; play.mutations.len()]);
    for (machine, on) in PLACES.iter().enumerate() {
        chained(play, machine);
        let mut told: BTreeMap<String, u64> = BTreeMap::new();
        for receipt in refused(play, machine) {
            *told.entry(code_of(&receipt)).or_default() += receipt.count;
        }
        let mut due: BTreeMap<String, u64> = BTreeMap::new();
        for mutation in play.expected.get(&machine).into_iter().flatten() {
            *due.entry(expected_code(play, *mutation).to_owned()).or_default() += 1;
            mutation.iter().for_each(|kind| tries[*kind] += 1);
        }
        assert_eq!(told, due, "{on:?} {machine}");
        told.iter().for_each(|(code, count)| *codes.entry(code.clone()).or_default() += count);
        let receipts = play.robbed.lines.receipts(&play.robbed.world.machines[machine].id);
        accepted += receipts.iter().filter(|(_, receipt)| receipt.verdict == Verdict::Accepted).count();
    }
    let lines = |path: &std::path::Path| fs::read_to_string(path).unwrap_or_default().lines().count();
    for twin in &play.twins {
        assert_eq!(lines(twin), 1, "{} ran another number of times", twin.display());
    }
    assert_eq!(accepted, play.twins.len(), "something else was accepted");
    let folder = play.robbed.world.folder.path();
    // What a bent job would have written stands in a twin's file, in a file of its own, or where no twin ever wrote.
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let written: usize = files
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with("nonce-") || name == "evil"
        })
        .map(|path| lines(&path))
        .sum();
    let ran = written - play.twins.len();
    let row = |(mutation, tried): (&Mutation, &u64)| (mutation.name, mutation.has, *tried, mutation.code);
    let tried = play.expected.values().map(|expected| number(expected.len())).sum();
    assert_eq!(codes.values().sum::<u64>(), tried);
    Account {
        seed,
        rows: play.mutations.iter().zip(&tries).map(row).collect(),
        codes,
        twins: number(play.twins.len()),
        tried,
        ran: number(ran),
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["bent", "with the server and", "tried", "refused by"];
        writeln!(f, "{:62} {:22} {:>6}  {}", head[0], head[1], head[2], head[3])?;
        for (name, has, tried, code) in &self.rows {
            let has = if has.is_empty() { "nothing else" } else { has };
            writeln!(f, "{name:62} {has:22} {tried:>6}  {code}")?;
        }
        writeln!(f, "\ncode                       told by receipts")?;
        self.codes.iter().try_for_each(|(code, count)| writeln!(f, "{code:26} {count:>6}"))?;
        let waited = self.tried - self.rows.iter().map(|(_, _, tried, _)| tried).sum::<u64>();
        writeln!(
            f,
            "\nseed {}: {} kinds, {} deliveries refused ({waited} of them without an approval, to fill what may wait)",
            self.seed,
            self.rows.len(),
            self.tried
        )?;
        write!(f, "bent jobs that ran: {}; twins brought: {}, each ran once", self.ran, self.twins)
    }
}
