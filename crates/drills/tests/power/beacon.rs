//! The power goes while a beacon takes halts, policies and a resume, and answers challenges.
//!
//! Promised is what it answered with 200: a halt that it acknowledged is in every Clear from there on, until a resume lifts
//! it; a policy or a resume that it took or named, it never falls behind again; its times never fall.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use countersign_drills::forgetful::Disk;
use countersign_drills::organization::{Organization, everything};
use countersign_trust::clear::Clear;
use countersign_trust::delivery::{News, write_sequence};
use countersign_trust::ids::Sha256;
use countersign_trust::note::{Note, VerifierKey};
use countersign_trust::statement::halt::Scope;
use countersign_trust::statement::resume::{Cuts, Lifts};
use countersign_trust::text::Nothing;
use countersign_trust::time::Time;

use crate::cuts::{self, Cut};
use crate::program::{Program, Setup};

/// What somebody asks of a beacon.
enum Act {
    News(News),
    Halt(News),
    Clear,
}

/// A beacon's life, what it is asked, and what it has promised.
struct Story {
    beacon: Program,
    key: VerifierKey,
    org: Organization,
    acts: Vec<Act>,
    promised: Promised,
}

#[derive(Default)]
struct Promised {
    halts: BTreeSet<Sha256>,
    /// How many policies and resumes of the organization's.
    policies: usize,
    resumes: usize,
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
    let life = key.clone().and_then(|key| Some(Story::new(first.start()?, key)));
    let promised = life.map(Story::live);
    let operations = disk.operations();
    if let Some(cut) = cut {
        disk.power_returns(cut.survives);
    }
    match key {
        Some(key) => {
            let again = first.start().expect("a beacon that has told its key starts");
            let (org, acts) = asked(&key);
            let promised = promised.unwrap_or_default();
            Story { beacon: again, key, org, acts, promised }.go_on();
        }
        // It never told a key: whoever set it up does it again, in another place.
        None => {
            let again = setup(folder.path(), "again");
            let key = again.init(&place.join("again")).expect("another folder takes a beacon");
            Story::new(again.start().unwrap(), key).go_on();
        }
    }
    operations
}

fn setup(folder: &Path, name: &str) -> Setup {
    let config: PathBuf = folder.join(format!("{name}.toml"));
    Setup { binary: "countersign-beacon", config }
}

/// Two halts, one of which is lifted, and a policy; a third halt stops everything. After each something a Clear.
fn asked(key: &VerifierKey) -> (Organization, Vec<Act>) {
    let mut org = Organization::found_with(|policy| {
        policy.beacons.keys.insert(key.clone());
    });
    let genesis = News::Policy(org.genesis.clone());
    let early = org.halt(Scope::Job(Sha256([1; 32])), "bo");
    let policy = org.decide(|policy| policy.name = "Example Tills, renamed".parse().unwrap());
    let late = org.halt(Scope::Job(Sha256([2; 32])), "bo");
    let resume = org.resume(Lifts::Halts([early.hash()].into()), Cuts::None(Nothing), |_| ());
    let last = org.halt(everything(), "cia");
    let acts = [
        Act::News(genesis),
        Act::Halt(early),
        Act::News(policy),
        Act::Halt(late),
        Act::News(resume),
        Act::Halt(last),
    ];
    (org, acts.into_iter().flat_map(|act| [act, Act::Clear]).collect())
}

impl Story {
    fn new(beacon: Program, key: VerifierKey) -> Self {
        let (org, acts) = asked(&key);
        Self { beacon, key, org, acts, promised: Promised::default() }
    }

    /// All that is asked, whatever comes of it; then the beacon is killed.
    fn live(mut self) -> Promised {
        for act in std::mem::take(&mut self.acts) {
            self.ask(&act);
        }
        self.promised
    }

    /// After the cut: it keeps what it promised, and everything that is asked again is granted.
    fn go_on(mut self) {
        if self.promised.policies > 0 {
            self.ask(&Act::Clear).expect("who took a policy answers challenges");
        }
        for act in std::mem::take(&mut self.acts) {
            self.ask(&act).expect("on a good disk everything is granted");
        }
        let all = (self.org.chain.policies().len(), self.org.chain.resumes().len());
        assert_eq!((self.promised.policies, self.promised.resumes), all);
    }

    /// Asks, and notes what is promised; none if it is not granted.
    fn ask(&mut self, act: &Act) -> Option<()> {
        let post =
            |path: &str, body| self.beacon.ask("POST", &format!("/v1/orgs/{}/{path}", self.org.org), body);
        match act {
            Act::News(news) => {
                let (200, lines) = post("news", write_sequence(&[news]))? else { return None };
                assert!(lines.starts_with("taken ") || lines.starts_with("known "), "{lines}");
                self.promise(news.hash());
            }
            Act::Halt(halt) => match post("halts", halt.to_string())? {
                (200, _) => drop(self.promised.halts.insert(halt.hash())),
                (409, words) => assert!(self.lifted().contains(&halt.hash()), "{words}"),
                _ => return None,
            },
            Act::Clear => {
                let (200, note) = post("clear", format!("{}\n", Sha256([9; 32])))? else { return None };
                let note: Note = note.parse().unwrap();
                assert!(note.signed_by(&self.key));
                self.hold_to_its_word(&note.text().parse().unwrap());
            }
        }
        Some(())
    }

    fn promise(&mut self, taken: Sha256) {
        let chain = &self.org.chain;
        if let Some(at) = chain.policies().iter().position(|held| held.hash == taken) {
            self.promised.policies = self.promised.policies.max(at + 1);
        }
        if let Some(at) = chain.resumes().iter().position(|held| held.hash == taken) {
            self.promised.resumes = self.promised.resumes.max(at + 1);
        }
    }

    /// What the resumes lift that it has promised to know.
    fn lifted(&self) -> BTreeSet<Sha256> {
        let known = self.org.chain.resumes().iter().take(self.promised.resumes);
        let lifted = known.map(|held| match &held.body.lifts {
            Lifts::Halts(halts) => halts.clone(),
            Lifts::Keys(_) => BTreeSet::new(),
        });
        lifted.flatten().collect()
    }

    fn hold_to_its_word(&mut self, clear: &Clear) {
        let before = (self.promised.policies, self.promised.resumes);
        (self.promised.policies, self.promised.resumes) = (0, 0);
        self.promise(clear.policy);
        clear.resume.iter().for_each(|resume| self.promise(*resume));
        let now = (self.promised.policies, self.promised.resumes);
        assert!(now.0 >= before.0 && now.1 >= before.1, "policies, resumes: {now:?} after {before:?}");
        assert!(clear.time >= self.promised.time, "{} after {}", clear.time, self.promised.time);
        self.promised.time = clear.time;
        let lifted = self.lifted();
        let missing =
            self.promised.halts.iter().find(|halt| !clear.halts.contains(halt) && !lifted.contains(halt));
        assert_eq!(missing, None, "a halt that was acknowledged is not in {clear}");
    }
}

#[test]
fn a_beacon_keeps_its_word_wherever_the_power_goes() {
    cuts::tell_all(|operations| cuts::some(10, operations), tell);
}

mod long {
    use super::{cuts, tell};

    #[test]
    fn a_beacon_keeps_its_word_at_every_operation() {
        cuts::tell_all(cuts::all, tell);
    }
}
