//! The thief, ten thousand times: a good job bent in a hundred ways, and brought to real agents.
//!
//! He has the server: its database, its log key, its TLS key, its halt key. He logs what he likes, honest witnesses cosign it and
//! honest beacons answer for it, so that one rule is left to refuse. In every round the job that was bent runs unbent, once, on each
//! machine that has a rule for it. What ran
//! is counted by what it did on the disk, what was refused by the receipts that the agents signed.

mod account;
pub mod catalogue;
pub(crate) mod lines;
mod round;
mod stage;
mod twin;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use countersign_thief::forge::StolenLog;
use countersign_trust::clear::AnsweredClear;
use countersign_trust::delivery::TargetProof;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::DeviceId;
use countersign_trust::merkle::{Tree, leaf_hash};

pub use account::Account;
use catalogue::{Mutation, On, all};
use stage::{PLACES, Robbed};

use crate::part::Stage;
use crate::rehearsal::chance::Chance;
use crate::world::sorted;

/// So many deliveries may wait for Clears on a machine.
const WAITING: usize = 16;
/// So many refusals in one life of an agent are told one by one.
const TOLD: usize = 30;
/// So many deliveries are each followed by their own receipt, before the flood.
const ONE_BY_ONE: usize = 350;
/// So many deliveries of a flood are logged and brought together.
const BATCH: usize = 600;

/// What a machine is expected to refuse, in order: which mutation, or none for what only waits.
type Expected = BTreeMap<usize, Vec<Option<usize>>>;

struct Play<'a> {
    robbed: Robbed,
    mutations: Vec<Mutation>,
    log: StolenLog<'a>,
    chance: Chance,
    /// Everything expected so far.
    expected: Expected,
    /// What each machine may still be told one by one in its present life.
    told: BTreeMap<usize, usize>,
    /// Deaf machines on which as much waits as may.
    filled: BTreeSet<usize>,
    /// What was said to the challenges that machines had before they were started again.
    stale: BTreeMap<usize, Vec<AnsweredClear>>,
    /// A job that ran, on each machine that runs any.
    ran: BTreeMap<usize, Signed>,
    /// Files of the twins that were brought.
    twins: Vec<PathBuf>,
    targets: BTreeMap<DeviceId, TargetProof>,
    places: Vec<TargetProof>,
    rounds: usize,
}

/// Plays so many bent deliveries, chosen by `seed`.
///
/// # Panics
/// Something ran that should not have, a twin did not run, or a receipt says something else than it should.
pub fn play(stage: Stage, count: usize, seed: u64) -> Account {
    let robbed = Robbed::new(stage);
    let loot = robbed.loot.clone();
    let listed = sorted(&robbed.listed);
    let tree: Tree = listed.iter().map(|id| leaf_hash(&id.0)).collect();
    let place = |(index, id): (u64, &DeviceId)| {
        (*id, TargetProof { index, path: tree.inclusion(index, tree.size()).unwrap() })
    };
    let mut play = Play {
        robbed,
        mutations: all(),
        log: StolenLog::new(&loot).unwrap(),
        chance: Chance::new(seed),
        expected: BTreeMap::new(),
        told: BTreeMap::new(),
        filled: BTreeSet::new(),
        stale: BTreeMap::new(),
        ran: BTreeMap::new(),
        twins: Vec::new(),
        targets: (0..).zip(&listed).map(place).collect(),
        places: (0..).zip(&listed).map(place).map(|(_, target)| target).collect(),
        rounds: 0,
    };
    play.round(&[]);
    let alone = count.min(ONE_BY_ONE);
    let kinds: Vec<usize> = (0..play.mutations.len()).collect();
    let wanted: Vec<usize> = kinds.iter().copied().cycle().take(count).collect();
    let (first, rest) = wanted.split_at(alone);
    for kinds in first.chunks(play.mutations.len()) {
        play.start_again();
        play.round(kinds);
        play.until_told(30);
        account::one_by_one(&play);
    }
    if !rest.is_empty() {
        play.start_again();
        let deaf = |kind: &usize| play.mutations[*kind].on == On::Deaf;
        let (clears, others): (Vec<usize>, Vec<usize>) = rest.iter().copied().partition(deaf);
        let mut chunks = others.chunks(BATCH);
        let first: Vec<usize> = chunks.next().unwrap_or_default().iter().copied().chain(clears).collect();
        play.round(&first);
        chunks.for_each(|chunk| play.round(chunk));
        play.until_told(150);
    }
    account::close(&play, seed)
}

impl Play<'_> {
    /// Starts every agent again that could not tell the next round one by one, and the deaf ones in any case.
    fn start_again(&mut self) {
        self.stale = self.clears();
        for (machine, on) in PLACES.iter().enumerate() {
            let told = self.told.entry(machine).or_default();
            if *on == On::Deaf || *told + TOLD / 2 + 2 > TOLD {
                *told = 0;
                self.robbed.restart(machine);
            }
        }
    }

    /// Waits until receipts stand for all that was refused.
    fn until_told(&self, seconds: u64) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
        loop {
            let open: Vec<String> = (0..PLACES.len())
                .filter_map(|machine| {
                    let told = account::told(self, machine);
                    let expected = self.expected.get(&machine).map_or(0, Vec::len);
                    (told != account::number(expected))
                        .then(|| format!("{:?} {machine}: {told} of {expected}", PLACES[machine]))
                })
                .collect();
            if open.is_empty() {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "not told: {open:?}\n{}", account::last(self));
            std::thread::park_timeout(std::time::Duration::from_millis(100));
        }
    }
}
