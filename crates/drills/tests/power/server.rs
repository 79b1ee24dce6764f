//! The power goes while a server with SQLite takes jobs, keeps the log, and acknowledges receipts.
//!
//! Promised is what it answered with 2xx: a statement is there, and one with enough signatures is logged and comes to run; a
//! token opens the door. A checkpoint that left, to anybody, is part of every later one. A receipt that the device was shown
//! as acknowledged stands in the log.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_agent::disk::ledger::read_ledger;
use countersign_drills::forgetful::Disk;
use countersign_drills::http::Http;
use countersign_drills::organization::sign;
use countersign_drills::part::until;
use countersign_drills::world::{Nonce, World};
use countersign_trust::checkpoint::Checkpoint;
use countersign_trust::envelope::{Signed, leaf};
use countersign_trust::ids::Sha256;
use countersign_trust::merkle::{Tree, leaf_hash, tile_path, verify_inclusion};
use countersign_trust::note::Note;
use countersign_trust::receipt::Verdict;
use countersign_wire::http::{NewToken, Page, PostStatement, ReceiptPlace, ReceiptView, StatementView};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::agent::onto_disk;
use crate::cuts::{self, Cut, while_there_is_power};
use crate::told::Told;

/// A server's life, beside a device that bears witness.
struct Life {
    disk: Disk,
    world: World,
    told: Told,
    promised: Promised,
    /// Where each job leaves a line.
    effects: BTreeMap<Sha256, Nonce>,
}

#[derive(Default)]
struct Promised {
    taken: BTreeSet<Sha256>,
    decided: BTreeSet<Sha256>,
    tokens: Vec<String>,
    checkpoints: BTreeMap<u64, Sha256>,
}

impl Life {
    fn begin() -> Self {
        let mut world = World::new(1);
        let disk = onto_disk(&mut world.server);
        let told = Told::of(Sha256(world.org.0));
        let mut life = Self { disk, world, told, promised: Promised::default(), effects: BTreeMap::new() };
        life.start_agent();
        life
    }

    /// The device connects at once: it is not for this drill how long it would wait.
    fn start_agent(&mut self) {
        self.world.machines[0].agent.stop();
        self.world.machines[0].agent.start();
        self.world.until_connected(1);
    }

    /// One round of work, in which the power goes at `cut`; returns how many operations the disk saw up to there.
    fn round(&mut self, cut: Option<Cut>) -> u64 {
        let before = self.disk.operations();
        if let Some(cut) = cut {
            self.disk.cut_at(cut.at);
        }
        self.work();
        let operations = self.disk.operations() - before;
        if let Some(cut) = cut {
            self.world.server.kill();
            self.disk.power_returns(cut.survives);
            self.world.server.start();
            self.start_agent();
        }
        self.compare();
        operations
    }

    /// A job is asked for and approved, and runs; somebody takes a token, and somebody reads the log.
    fn work(&mut self) {
        let (nonce, devices) = (self.world.nonce(), self.world.all());
        let job = self.world.job(&devices, &[&nonce.line()]);
        let hash = sign(&job, &["anna"]).hash();
        self.effects.insert(hash, nonce);
        self.post(&sign(&job, &["anna"]));
        self.look();
        self.post(&sign(&job, &["bo"]));
        let wish = NewToken { name: "cia".to_owned(), token: String::new() };
        if let Some(made) = self.ask::<NewToken>("POST", "tokens", &wish) {
            self.promised.tokens.push(made.token);
        }
        until("it has run, and every receipt is acknowledged", || {
            let done = self.effects[&hash].lines().len() == 1 && self.acknowledged() == self.written();
            (done || self.disk.is_dead()).then_some(())
        });
        self.look();
    }

    /// Brings a statement, and notes what that promises.
    fn post(&mut self, signed: &Signed) {
        let targets = self.world.all().iter().map(ToString::to_string).collect();
        let body = PostStatement { signed: signed.to_string(), targets };
        let Some(view) = self.ask::<StatementView>("POST", "statements", &body) else { return };
        self.promised.taken.insert(signed.hash());
        if view.missing.is_empty() {
            self.promised.decided.insert(signed.hash());
        }
    }

    /// Notes the newest checkpoint, which it has shown from there on.
    fn look(&mut self) {
        let path = self.world.path("log/checkpoint");
        let Ok((200, note)) = self.world.block_on(self.world.http.try_ask("GET", &path, String::new()))
        else {
            return;
        };
        let note: Note = note.parse().unwrap();
        let Checkpoint { size, root, .. } = note.text().parse().unwrap();
        let before = self.promised.checkpoints.insert(size, root);
        assert!(before.is_none_or(|before| before == root), "two logs of {size} leaves");
    }

    fn ask<T: DeserializeOwned>(&self, method: &str, path: &str, body: &impl Serialize) -> Option<T> {
        let body = serde_json::to_string(body).unwrap();
        let path = self.world.path(path);
        let asked = self.world.http.try_ask(method, &path, body);
        let (status, text) = self.world.block_on(while_there_is_power(&self.disk, asked))?.ok()?;
        (200..300).contains(&status).then(|| serde_json::from_str(&text).unwrap())
    }

    /// How many receipts the device has written, and up to which it was shown that they are logged.
    fn written(&self) -> u64 {
        read_ledger(&self.world.machines[0].agent.folder).unwrap().next_receipt().0 - 1
    }

    fn acknowledged(&self) -> u64 {
        let ledger = read_ledger(&self.world.machines[0].agent.folder).unwrap();
        ledger.next_receipt().0 - 1 - ledger.spooled() as u64
    }

    /// What it knows, against what it has promised.
    fn compare(&mut self) {
        for token in &self.promised.tokens {
            let http = Http { token: token.clone(), ..self.world.http.clone() };
            let path = format!("/v1/orgs/{}", self.world.org);
            let (status, words) = self.world.block_on(http.ask("GET", &path, String::new()));
            assert_eq!(status, 200, "a token that was given no longer opens: {words}");
        }
        for hash in &self.promised.taken {
            assert_eq!(
                self.world.statement(hash).hash,
                hash.to_string(),
                "a statement that was taken is there"
            );
        }
        for hash in &self.promised.decided {
            until("it is logged", || (self.world.statement(hash).state == "logged").then_some(()));
            let machine = &self.world.machines[0];
            let ran = || !self.effects[hash].lines().is_empty() || self.says_it_was_stopped(hash);
            until(&format!("it has run: {:?}", self.world.on(hash, &machine.id)), || ran().then_some(()));
        }
        for (job, nonce) in &self.effects {
            assert!(nonce.lines().len() < 2, "{job} ran {} times", nonce.lines().len());
        }
        let log = self.log();
        for (size, root) in &self.promised.checkpoints {
            assert_eq!(log.root_at(*size).unwrap(), *root, "the log of {size} leaves was another");
        }
        self.receipts_are_in(&log);
    }

    /// An agent that is started again between taking a job up and the job's one line says so: before the script began, or while it ran.
    fn says_it_was_stopped(&self, job: &Sha256) -> bool {
        let receipt = self.world.receipt(job, &self.world.machines[0]);
        receipt.is_some_and(|receipt| match receipt.verdict {
            Verdict::Interrupted => true,
            Verdict::Ended => receipt.because.as_str() == "the agent was stopped",
            _ => false,
        })
    }

    /// The log as anybody can read it, as soon as it covers all that any witness has seen and anybody was shown.
    fn log(&mut self) -> Tree {
        let seen: Vec<(u64, Sha256)> =
            (0..self.world.witnesses.len()).filter_map(|at| self.seen_by(at)).collect();
        self.promised.checkpoints.extend(seen);
        let most = self.promised.checkpoints.keys().max().copied().unwrap_or_default();
        let size = until("the log is as long as it was", || {
            self.look();
            self.promised.checkpoints.keys().max().copied().filter(|size| *size >= most && self.shows(*size))
        });
        let tree: Tree = (0..size.div_ceil(256)).flat_map(|tile| self.tile(tile, size)).collect();
        assert_eq!(tree.size(), size);
        tree
    }

    fn shows(&self, size: u64) -> bool {
        let path = self.world.path("log/checkpoint");
        let (_, note) = self.world.block_on(self.world.http.ask("GET", &path, String::new()));
        let checkpoint = note.parse::<Note>().ok().and_then(|note| note.text().parse::<Checkpoint>().ok());
        checkpoint.is_some_and(|checkpoint| checkpoint.size >= size)
    }

    fn tile(&self, tile: u64, size: u64) -> Vec<Sha256> {
        let width = u16::try_from((size - tile * 256).min(256)).unwrap();
        let path = self.world.path(&format!("log/{}", tile_path(0, tile, width)));
        let fetched = self.world.block_on(self.world.http.fetch("GET", &path, String::new()));
        let (status, bytes) = fetched.unwrap();
        assert_eq!(status, 200, "{path}");
        bytes.chunks(32).map(|hash| Sha256(hash.try_into().unwrap())).collect()
    }

    /// What a witness has cosigned of this log: it left the server, whether anybody else was shown it or not.
    fn seen_by(&self, witness: usize) -> Option<(u64, Sha256)> {
        let http = Http { address: self.world.witnesses[witness].address, token: String::new() };
        let path = format!("/{}/checkpoint", Sha256::of(self.origin().as_bytes()));
        let (200, note) = self.world.block_on(http.ask("GET", &path, String::new())) else { return None };
        let note: Note = note.parse().unwrap();
        let Checkpoint { size, root, .. } = note.text().parse().unwrap();
        Some((size, root))
    }

    fn origin(&self) -> String {
        let path = self.world.path("log/checkpoint");
        let (_, note) = self.world.block_on(self.world.http.ask("GET", &path, String::new()));
        note.lines().next().unwrap().to_owned()
    }

    /// One chain, of which each receipt that the device let go of stands in the log.
    fn receipts_are_in(&mut self, log: &Tree) {
        let through = self.acknowledged();
        self.told.read(&self.world, &self.world.machines[0]);
        assert!(self.told.receipts.len() as u64 >= through, "{through} were acknowledged");
        let mut after = String::new();
        loop {
            let path = self.world.path(&format!("receipts?limit=1000&after={after}"));
            let page: Page<ReceiptView> = self.world.block_on(self.world.http.get(&path));
            for view in page.items.iter().filter(|view| view.number <= through) {
                let place = view.place.as_ref().expect("a receipt that was acknowledged is logged");
                self.stands(&view.note, place, log);
            }
            let Some(next) = page.next else { break };
            after = next.replace(' ', "%20");
        }
    }

    fn stands(&self, note: &str, place: &ReceiptPlace, log: &Tree) {
        let note: Note = note.parse().unwrap();
        let path = place.path.iter().map(|hash| Sha256(STANDARD.decode(hash).unwrap().try_into().unwrap()));
        let root: Sha256 = place.root.parse().unwrap();
        let hash = leaf_hash(note.text().as_bytes());
        verify_inclusion(hash, place.index, place.size, &path.collect::<Vec<_>>(), root).unwrap();
        let proof: countersign_trust::checkpoint::Proof = place.proof.parse().unwrap();
        let batch = leaf_hash(leaf(&self.world.org, "receipts", &root, &Sha256::of(b"")).as_bytes());
        // One that was logged after this reader came by is for the next round.
        let Ok(inclusion) = log.inclusion(proof.index, log.size()) else { return };
        verify_inclusion(batch, proof.index, log.size(), &inclusion, log.root()).unwrap();
    }
}

/// A life with `of` the cuts.
fn live<C: Iterator<Item = Cut>>(of: impl Fn(u64) -> C) {
    let mut life = Life::begin();
    // The first round is longer: it ends what the start has begun.
    let operations = life.round(None).min(life.round(None));
    println!("{operations} operations");
    for cut in of(operations) {
        println!("{cut:?}");
        life.round(Some(cut));
    }
    let Promised { taken, decided, tokens, checkpoints } = &life.promised;
    let (taken, decided, tokens) = (taken.len(), decided.len(), tokens.len());
    println!(
        "{taken} statements taken, {decided} decided, {tokens} tokens, {} checkpoints",
        checkpoints.len()
    );
    println!("{} receipts", life.told.receipts.len());
}

#[test]
fn a_server_keeps_its_word_wherever_the_power_goes() {
    live(|operations| cuts::some(6, operations));
}

#[test]
fn a_server_killed_again_and_again_keeps_its_word() {
    live(|operations| cuts::kills(6, operations));
}

mod long {
    use super::{cuts, live};

    #[test]
    fn a_server_keeps_its_word_at_every_operation() {
        live(cuts::each);
    }

    #[test]
    fn a_server_killed_a_hundred_times_keeps_its_word() {
        live(|operations| cuts::kills(100, operations));
    }
}
