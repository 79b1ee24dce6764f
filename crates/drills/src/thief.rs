//! The thief, ten thousand times: a good job bent in a hundred ways, and brought to real agents.
//!
//! He has the server: its database, its log key, its TLS key, its halt key. He logs what he likes, honest witnesses cosign it and
//! honest beacons answer for it, so that one rule is left to refuse. Beside every bent job its unbent twin runs, once. What ran
//! is counted by what it did on the disk, what was refused by the receipts that the agents signed.

mod account;
pub mod catalogue;
mod lines;
mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use countersign_thief::forge::StolenLog;
use countersign_trust::checkpoint::Proof;
use countersign_trust::clear::AnsweredClear;
use countersign_trust::delivery::{News, TargetProof};
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::merkle::{Tree, leaf_hash};
use countersign_trust::note::Note;
use countersign_trust::receipt::Verdict;
use countersign_trust::statement::job::Job;
use countersign_wire::frame::encode;
use countersign_wire::message::{self, FromServer, from_server};

pub use account::Account;
use catalogue::{Bench, Mutation, On, Parcel, all};
use stage::{PLACES, Robbed};

use crate::http::Http;
use crate::organization::sign;
use crate::part::{Stage, until};
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

/// Something bent, on its way to a machine.
struct Item {
    mutation: Option<usize>,
    machine: usize,
    signed: Signed,
    index: u64,
}

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
        for machine in 0..PLACES.len() {
            let told = self.told.entry(machine).or_default();
            if PLACES[machine] == On::Deaf || *told + TOLD / 2 + 2 > TOLD {
                *told = 0;
                self.robbed.restart(machine);
            }
        }
    }

    /// Bends a job in each of these ways, brings all of it, and then the twins.
    fn round(&mut self, kinds: &[usize]) {
        self.rounds += 1;
        let goods = self.goods();
        let mut items: Vec<Item> = Vec::new();
        if !kinds.is_empty() {
            items.extend(self.fillers(&goods));
        }
        for (turn, kind) in kinds.iter().enumerate() {
            items.push(self.item(*kind, turn, &goods));
        }
        let mut twins = Vec::new();
        for (machine, (job, _)) in goods.iter().filter(|(machine, _)| runs(**machine, kinds.is_empty())) {
            let signed = sign(job, &["anna", "bo"]);
            let index = self.log.append(&signed).unwrap();
            twins.push(Item { mutation: None, machine: *machine, signed, index });
        }
        let checkpoint = self.robbed.world.block_on(self.log.cosigned()).unwrap();
        let clears = self.clears();
        for item in items {
            self.bring(item, &goods, &checkpoint, &clears);
        }
        for twin in twins {
            self.bring_twin(twin, &goods, &checkpoint, &clears);
        }
    }

    /// A good job for every machine, each with a file of its own.
    fn goods(&mut self) -> BTreeMap<usize, (Job, PathBuf)> {
        let mut goods = BTreeMap::new();
        for machine in 0..PLACES.len() {
            let nonce = self.robbed.nonce(&format!("{}-{machine}", self.rounds));
            goods.insert(machine, (self.robbed.good(&nonce, self.chance.bytes()), nonce));
        }
        goods
    }

    /// Fills what may wait for Clears on deaf machines, with jobs that lack their approval too: whatever comes then without
    /// enough Clears is refused at once.
    fn fillers(&mut self, goods: &BTreeMap<usize, (Job, PathBuf)>) -> Vec<Item> {
        let mut items = Vec::new();
        for machine in (0..PLACES.len()).filter(|machine| PLACES[*machine] == On::Deaf) {
            if self.told.get(&machine).is_some_and(|told| *told > 0) {
                continue;
            }
            for _ in 0..WAITING {
                let mut job = goods[&machine].0.clone();
                job.id.0.copy_from_slice(&self.chance.bytes()[..16]);
                let signed = sign(&job, &["anna"]);
                let index = self.log.append(&signed).unwrap();
                items.push(Item { mutation: None, machine, signed, index });
            }
            self.filled.insert(machine);
        }
        items
    }

    fn item(&mut self, kind: usize, turn: usize, goods: &BTreeMap<usize, (Job, PathBuf)>) -> Item {
        let on = self.mutations[kind].on;
        let places: Vec<usize> = (0..PLACES.len()).filter(|machine| PLACES[*machine] == on).collect();
        let machine = places[(turn + self.rounds) % places.len()];
        let sign = self.mutations[kind].sign;
        let mut chance = self.chance.clone();
        let signed = sign(&mut self.bench(machine, goods, &mut chance, &BTreeMap::new()));
        self.chance = chance;
        let index = self.log.append(&signed).unwrap();
        Item { mutation: Some(kind), machine, signed, index }
    }

    fn bench<'b>(
        &'b self,
        machine: usize,
        goods: &'b BTreeMap<usize, (Job, PathBuf)>,
        chance: &'b mut Chance,
        clears: &'b BTreeMap<usize, Vec<AnsweredClear>>,
    ) -> Bench<'b> {
        // Machines on which nothing runs are brought what runs on the first.
        let good = if runs(machine, false) { &goods[&machine].0 } else { &goods[&0].0 };
        Bench {
            found: &self.robbed.found,
            log: &self.log,
            good,
            ran: self.ran.get(&machine).unwrap_or_else(|| &self.ran[&0]),
            chance,
            me: self.robbed.world.machines[machine].id,
            clears: clears.get(&machine).map_or(&[], Vec::as_slice),
            others_clears: clears.get(&0).map_or(&[], Vec::as_slice),
            targets: &self.places,
        }
    }

    /// What all four beacons say to one tree of every machine's challenge.
    fn clears(&self) -> BTreeMap<usize, Vec<AnsweredClear>> {
        let machines = &self.robbed.world.machines;
        let challenges: Vec<[u8; 32]> =
            machines.iter().map(|machine| self.robbed.lines.challenge(&machine.id).unwrap()).collect();
        let tree: Tree = challenges.iter().map(|challenge| leaf_hash(challenge)).collect();
        let notes: Vec<Note> =
            self.robbed.world.beacons.iter().map(|beacon| self.ask(beacon.address, &tree.root())).collect();
        let answer = |machine: usize, note: &Note| {
            let index = u64::try_from(machine).unwrap();
            let path = tree.inclusion(index, tree.size()).unwrap();
            AnsweredClear { clear: note.clone(), index, size: tree.size(), path }
        };
        (0..machines.len())
            .map(|machine| (machine, notes.iter().map(|note| answer(machine, note)).collect()))
            .collect()
    }

    fn ask(&self, address: std::net::SocketAddr, root: &Sha256) -> Note {
        let http = Http { address, token: String::new() };
        let path = format!("/v1/orgs/{}/clear", self.robbed.world.org);
        let (status, answer) = self.robbed.world.block_on(http.ask("POST", &path, format!("{root}\n")));
        assert_eq!(status, 200, "{answer}");
        answer.parse().unwrap()
    }

    fn parcel(&self, item: &Item, checkpoint: &Note, clears: &BTreeMap<usize, Vec<AnsweredClear>>) -> Parcel {
        let inclusion = self.log.tree().inclusion(item.index, self.log.tree().size()).unwrap();
        let proof = Proof { extra: None, index: item.index, inclusion, checkpoint: checkpoint.clone() };
        Parcel {
            job: Logged { signed: item.signed.clone(), proof },
            text: None,
            news: News::since(&self.robbed.found.chain, 1),
            clears: clears[&item.machine][..3].to_vec(),
            target: self.targets.get(&self.robbed.world.machines[item.machine].id).cloned(),
        }
    }

    fn bring(
        &mut self,
        item: Item,
        goods: &BTreeMap<usize, (Job, PathBuf)>,
        checkpoint: &Note,
        clears: &BTreeMap<usize, Vec<AnsweredClear>>,
    ) {
        let mut parcel = self.parcel(&item, checkpoint, clears);
        match item.mutation {
            Some(kind) => {
                let bend = self.mutations[kind].bend;
                let mut chance = self.chance.clone();
                bend(&mut self.bench(item.machine, goods, &mut chance, clears), &mut parcel);
                self.chance = chance;
                self.expect(item.machine, Some(kind));
            }
            None => parcel.clears.clear(),
        }
        self.send(item.machine, parcel);
    }

    fn expect(&mut self, machine: usize, mutation: Option<usize>) {
        self.expected.entry(machine).or_default().push(mutation);
        *self.told.entry(machine).or_default() += 1;
    }

    /// Brings the good job, and waits until it has run.
    fn bring_twin(
        &mut self,
        twin: Item,
        goods: &BTreeMap<usize, (Job, PathBuf)>,
        checkpoint: &Note,
        clears: &BTreeMap<usize, Vec<AnsweredClear>>,
    ) {
        let (machine, nonce) = (twin.machine, goods[&twin.machine].1.clone());
        let parcel = self.parcel(&twin, checkpoint, clears);
        self.send(machine, parcel);
        // Its Clears are good for what waited.
        if self.filled.remove(&machine) {
            (0..WAITING).for_each(|_| self.expect(machine, None));
        }
        let (id, hash) = (self.robbed.world.machines[machine].id, twin.signed.hash());
        until(&format!("the twin {hash} ends on {:?}", PLACES[machine]), || {
            let receipts = self.robbed.lines.receipts(&id);
            receipts
                .iter()
                .find(|(_, receipt)| receipt.job == Some(hash) && receipt.verdict == Verdict::Ended)
                .map(|_| ())
        });
        self.ran.insert(machine, twin.signed);
        self.twins.push(nonce);
    }

    fn send(&self, machine: usize, parcel: Parcel) {
        let Parcel { job, text, news, clears, target } = parcel;
        let delivery =
            countersign_trust::delivery::Delivery { job, news, clears, target, advances: Vec::new() };
        let mut delivery = message::Delivery::from(&delivery);
        if let Some(text) = text {
            delivery.job = text;
        }
        let frame = encode(&FromServer { what: Some(from_server::What::Delivery(delivery)) });
        self.robbed.lines.send(&self.robbed.world.machines[machine].id, frame);
    }

    /// Waits until receipts stand for all that was refused.
    fn until_told(&self, seconds: u64) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
        loop {
            let open: Vec<String> = (0..PLACES.len())
                .filter_map(|machine| {
                    let told = account::told(self, machine);
                    let expected = self.expected.get(&machine).map_or(0, Vec::len);
                    (told != expected as u64)
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

/// Whether twins run on a machine: on the first round where anything runs, later where something is bent beside them.
fn runs(machine: usize, first: bool) -> bool {
    match PLACES[machine] {
        On::Till => true,
        On::Deaf => !first,
        On::Stopped => first,
        _ => false,
    }
}
