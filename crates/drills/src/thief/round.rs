//! One round: good jobs, bent in each of some ways, logged, cosigned, cleared and brought, and their twins after them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use countersign_trust::checkpoint::Proof;
use countersign_trust::clear::AnsweredClear;
use countersign_trust::delivery::News;
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::Sha256;
use countersign_trust::merkle::{Tree, leaf_hash};
use countersign_trust::note::Note;
use countersign_trust::receipt::Verdict;
use countersign_trust::statement::job::Job;
use countersign_wire::frame::encode;
use countersign_wire::message::{self, FromServer, from_server};

use super::catalogue::{Bench, On, Parcel};
use super::stage::PLACES;
use super::{Play, WAITING, twin};
use crate::http::Http;
use crate::organization::sign;
use crate::part::until;
use crate::rehearsal::chance::Chance;

/// Something on its way to a machine: bent, or not.
struct Item {
    mutation: Option<usize>,
    machine: usize,
    signed: Signed,
    index: u64,
}

impl Play<'_> {
    /// Bends a job in each of these ways, brings all of it, and then the twins.
    pub fn round(&mut self, kinds: &[usize]) {
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
            let me = self.robbed.world.machines[*machine].id;
            let Some(signed) = twin::signed(job.clone(), PLACES[*machine], &me) else { continue };
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
        // Machines with a rule of their own are brought what runs on the first.
        let plain = matches!(PLACES[machine], On::Till | On::Deaf);
        let good = if plain { &goods[&machine].0 } else { &goods[&0].0 };
        Bench {
            found: &self.robbed.found,
            log: &self.log,
            good,
            ran: self.ran.get(&machine).unwrap_or_else(|| &self.ran[&0]),
            chance,
            me: self.robbed.world.machines[machine].id,
            clears: clears.get(&machine).map_or(&[], Vec::as_slice),
            stale_clears: self.stale.get(&machine).map_or(&[], Vec::as_slice),
            others_clears: clears.get(&0).map_or(&[], Vec::as_slice),
            targets: &self.places,
        }
    }

    /// What all four beacons say to one tree of every machine's challenge.
    pub fn clears(&self) -> BTreeMap<usize, Vec<AnsweredClear>> {
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
        let mut parcel = self.parcel(&twin, checkpoint, clears);
        parcel.target = twin::target(PLACES[machine]).or(parcel.target);
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
}

/// Whether twins run on a machine in the first round, where nothing is bent, and in later ones.
fn runs(machine: usize, first: bool) -> bool {
    match PLACES[machine] {
        On::Deaf => !first,
        On::Stopped => first,
        _ => true,
    }
}
