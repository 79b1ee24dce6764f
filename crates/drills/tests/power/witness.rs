//! The power goes while a witness takes policies on and cosigns a log.
//!
//! Promised is what left it: a size and root that it cosigned are part of all that it cosigns from there on, its times never
//! fall, and a log that a policy ended stays ended.

use std::path::Path;

use countersign_drills::forgetful::Disk;
use countersign_drills::organization::{LOG, Organization};
use countersign_trust::checkpoint::{AddCheckpoint, Checkpoint};
use countersign_trust::delivery::write_sequence;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::Sha256;
use countersign_trust::merkle::{Tree, leaf_hash};
use countersign_trust::note::{Note, NoteSigner, VerifierKey};
use countersign_trust::time::Time;

use crate::cuts::{self, Cut};
use crate::program::{Program, Setup};

/// The sizes at which the log is shown.
const SIZES: [u64; 5] = [1, 2, 5, 6, 9];
/// Where the policy that names another log ends this one.
const END: u64 = 9;

/// A witness's life, and what it has promised.
struct Story {
    witness: Program,
    key: VerifierKey,
    org: Organization,
    log: NoteSigner,
    tree: Tree,
    promised: Promised,
}

#[derive(Default)]
struct Promised {
    /// The organization was taken on.
    known: bool,
    /// The log was ended.
    ended: bool,
    size: u64,
    time: Time,
}

/// Tells the whole story, with the power going at `cut`; returns how many operations the first life did.
fn tell(cut: Option<Cut>) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("disk");
    std::fs::create_dir(&place).unwrap();
    let mut disk = Disk::over(&place);
    if let Some(cut) = cut {
        disk.cut_at(cut.at);
    }
    let first = setup(folder.path(), "first");
    let key = first.init(&place.join("first"));
    let life = key.clone().and_then(|key| Some(Story::new(first.start()?, key, Promised::default())));
    let promised = life.map(Story::live);
    let operations = disk.operations();
    if let Some(cut) = cut {
        disk.power_returns(cut.survives);
    }
    match key {
        Some(key) => {
            let again = first.start().expect("a witness that has told its key starts");
            Story::new(again, key, promised.unwrap_or_default()).go_on();
        }
        // It never told a key: whoever set it up does it again, in another place.
        None => {
            let again = setup(folder.path(), "again");
            let key = again.init(&place.join("again")).expect("another folder takes a witness");
            Story::new(again.start().unwrap(), key, Promised::default()).go_on();
        }
    }
    operations
}

fn setup(folder: &Path, name: &str) -> Setup {
    Setup { binary: "countersign-witness", config: folder.join(format!("{name}.toml")) }
}

/// The tree of so many leaves of this log; another history if `word` is another.
fn history(size: u64, word: &str) -> Tree {
    (0..size)
        .map(|number| leaf_hash(format!("{} {number}", if number < 4 { "leaf" } else { word }).as_bytes()))
        .collect()
}

impl Story {
    fn new(witness: Program, key: VerifierKey, promised: Promised) -> Self {
        let mut org = Organization::found_with(|policy| {
            policy.witnesses.keys.insert(key.clone());
        });
        org.log.tree = history(END, "leaf");
        let log = org.move_log("log.example/tills-2").signer;
        Self { witness, key, org, log, tree: history(20, "leaf"), promised }
    }

    /// All that is asked, whatever comes of it; then the witness is killed.
    fn live(mut self) -> Promised {
        let genesis = self.org.genesis.signed.clone();
        self.show(&[&genesis]);
        for size in SIZES {
            self.add(self.promised.size, size, "leaf");
        }
        self.end_the_log();
        self.promised
    }

    /// After the cut: it keeps what it promised, and goes on to the end.
    fn go_on(mut self) {
        let served = self.served();
        assert!(served >= self.promised.size, "it cosigned {} and knows {served}", self.promised.size);
        if self.promised.known {
            let again = served.max(5);
            // Another history from leaf 4 on, of the size that was cosigned or larger; and a size that is past.
            if served > 4 {
                for size in [served, served + 1] {
                    assert_eq!(
                        self.add(served, size, "other"),
                        None,
                        "a second history of {size} after {served}"
                    );
                }
                assert_eq!(
                    self.add(4, again, "other"),
                    None,
                    "a second history from 4 to {again} after {served}"
                );
            }
            for size in 1..served {
                assert_eq!(self.add(0, size, "leaf"), None, "{size} after {served}");
            }
        }
        if self.promised.ended {
            assert_eq!(self.add(served, END + 1, "leaf"), None, "the log was ended at {END}");
        }
        let genesis = self.org.genesis.signed.clone();
        self.show(&[&genesis]).expect("the organization is taken on");
        for size in SIZES.into_iter().filter(|size| *size > served) {
            let old = self.served();
            self.add(old, size, "leaf").unwrap_or_else(|| panic!("{old} to {size}"));
        }
        self.end_the_log().expect("the log is ended");
        assert_eq!((self.served(), self.add(END, END + 1, "leaf")), (END, None));
    }

    /// The policies from the first to the one that names another log.
    fn end_the_log(&mut self) -> Option<()> {
        let policies: Vec<Signed> =
            self.org.chain.policies().iter().map(|held| held.signed.clone()).collect();
        self.show(&policies.iter().collect::<Vec<_>>())?;
        self.promised.ended = true;
        Some(())
    }

    fn show(&mut self, policies: &[&Signed]) -> Option<()> {
        let path = format!("/v1/orgs/{}/policies", self.org.org);
        let (200, _) = self.witness.ask("POST", &path, write_sequence(policies))? else { return None };
        self.promised.known = true;
        Some(())
    }

    /// Shows the log's step from one size to another, in one history or another; none if it is not cosigned.
    fn add(&mut self, old: u64, size: u64, word: &str) -> Option<()> {
        let tree = if word == "leaf" { self.tree.clone() } else { history(20, word) };
        let (root, consistency) = (tree.root_at(size).unwrap(), tree.consistency(old, size).unwrap());
        let text = Checkpoint { origin: LOG.to_owned(), size, root }.to_string();
        let mut checkpoint = self.log.note(text).unwrap();
        let request = AddCheckpoint { old, consistency, checkpoint: checkpoint.clone() };
        let (200, line) = self.witness.ask("POST", "/add-checkpoint", request.to_string())? else {
            return None;
        };
        checkpoint.add(line.trim_end_matches('\n').parse().unwrap()).unwrap();
        self.cosigned(&checkpoint);
        Some(())
    }

    /// The size of what it serves as cosigned by it, which must be a part of the one history; 0 if it serves nothing.
    fn served(&mut self) -> u64 {
        let path = format!("/{}/checkpoint", Sha256::of(LOG.as_bytes()));
        match self.witness.ask("GET", &path, String::new()).unwrap() {
            (200, note) => {
                self.cosigned(&note.parse().unwrap());
                self.promised.size
            }
            (404, _) => 0,
            other => panic!("{other:?}"),
        }
    }

    fn cosigned(&mut self, note: &Note) {
        let time = note.cosigned_at(&self.key).expect("its own cosignature");
        let checkpoint: Checkpoint = note.text().parse().unwrap();
        assert_eq!(checkpoint.root, self.tree.root_at(checkpoint.size).unwrap(), "another history: {note}");
        let Promised { size, time: before, .. } = self.promised;
        assert!(checkpoint.size >= size && time >= before, "{size} at {before}, then {note}");
        (self.promised.size, self.promised.time) = (checkpoint.size, time);
    }
}

#[test]
fn a_witness_keeps_its_word_wherever_the_power_goes() {
    cuts::tell_all(|operations| cuts::some(10, operations), tell);
}

mod long {
    use super::{cuts, tell};

    #[test]
    fn a_witness_keeps_its_word_at_every_operation() {
        cuts::tell_all(cuts::all, tell);
    }
}
