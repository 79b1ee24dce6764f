//! In whatever order statements reach a party, and however often it starts anew meanwhile: it ends with what everybody else does.
//!
//! Statements by people who are gone are among them, policies that were logged twice, and halts under policies that nobody has. What
//! is not taken is not kept, so everything is told again until nobody takes anything more. Rivals are not among them: of two policies
//! or resumes that both follow what is held, the first is taken.

use std::collections::BTreeSet;

use countersign_trust::chain::{Chain, Inclusion, Place, Recovered};
use countersign_trust::delivery::News;
use countersign_trust::device::Input;
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::Sha256;
use countersign_trust::ledger::Ledger;
use countersign_trust::statement::enroll::{Device as DeviceBody, Enroll, Retire, What};
use countersign_trust::statement::halt::{Component, Scope};
use countersign_trust::statement::policy::{Policy, Recovery};
use countersign_trust::statement::resume::{Cuts, Lifts};
use countersign_trust::text::Nothing;
use proptest::prelude::*;

use crate::life::{Life, replay};
use crate::organization::{
    BEACONS, Enrollment, Organization, TILLS, device_id, device_signer, everything, labels, names, note_key,
    person, sign, ssh_key, word,
};

/// An organization's beginning, the device in question, and all that is told.
struct History {
    org: Organization,
    enrolled: Enrollment,
    news: Vec<News>,
}

impl History {
    fn tell(&mut self, signed: Signed, news: fn(Logged) -> News) -> News {
        let news = news(self.org.log(signed));
        self.news.push(news.clone());
        news
    }

    fn policy(&mut self, keys: &[&str], edit: impl FnOnce(&mut Policy)) -> Signed {
        let mut next = self.org.next_policy();
        edit(&mut next);
        sign(&next, keys)
    }

    /// What everybody honest holds from here on, who hears it at once.
    fn hold(&mut self, news: &News) {
        news.offer(&mut self.org.chain).unwrap();
    }

    fn resume(&mut self, lifts: Lifts, keys: &[&str]) -> Signed {
        sign(&self.org.next_resume(lifts, Cuts::None(Nothing)), keys)
    }

    fn halt(&mut self, policy: Sha256, scope: Scope, keys: &[&str]) {
        let mut halt = self.org.halt_of(scope);
        halt.policy = Some(policy);
        self.news.push(News::Halt(sign(&halt, keys)));
    }

    fn enroll(&mut self, what: What, keys: &[&str]) {
        let enroll = Enroll { org: self.org.org, id: self.org.id(), what };
        let signed = sign(&enroll, keys);
        self.tell(signed, News::Enroll);
    }

    fn moved(&self, region: &str) -> What {
        What::Device(DeviceBody {
            key: device_signer(TILLS[0]).verifier().clone(),
            host_key: word(""),
            site: word("Katterjokk"),
            labels: labels(&[("class", "till"), ("region", region)]),
            seq: 1,
            previous: Some(self.enrolled.enroll.signed.hash()),
        })
    }
}

fn begun() -> History {
    let mut org = Organization::found_with(|policy| {
        let keys: BTreeSet<_> = ["safe 1", "safe 2"].map(|name| ssh_key(name).public_key().clone()).into();
        policy.recovery = Recovery { need: 2, keys };
    });
    let enrolled = org.enroll(TILLS[0]);
    History { org, enrolled, news: Vec::new() }
}

fn cia_and_dan(policy: &mut Policy) {
    policy.people = ["cia", "dan"].map(|name| (word(name), person(&[name]))).into();
    policy.roles = ["operator", "owner"].map(|role| (word(role), names(&["cia", "dan"]))).into();
}

fn by_key(name: &str) -> Lifts {
    Lifts::Keys([ssh_key(name).public_key().clone()].into())
}

/// What Anna and Bo sign who are about to go, or are gone: in the log after the policy that ends them.
fn those_who_are_gone(told: &mut History) {
    let resume = told.resume(by_key("cia"), &["anna", "bo"]);
    told.tell(resume, News::Resume);
    told.enroll(What::Retire(Retire { device: device_id(TILLS[0]) }), &["anna", "bo"]);
    let away = told.moved("south");
    told.enroll(away, &["anna", "bo"]);
}

/// What the new people sign, and halts of all sorts.
fn those_who_are_there(told: &mut History, keys: [&str; 2]) {
    let newest = told.org.chain.policy().hash;
    let lifts = told.resume(by_key("server"), &keys);
    let resume = told.tell(lifts, News::Resume);
    told.hold(&resume);
    let north = told.moved("north");
    told.enroll(north, &keys);
    told.halt(Sha256([9; 32]), everything(), &["server"]);
    told.halt(Sha256([9; 32]), everything(), &["bo"]);
    told.halt(newest, Scope::Script(Sha256([1; 32])), &["server", keys[0]]);
    told.halt(newest, Scope::Job(Sha256([2; 32])), &["anna"]);
    told.halt(told.org.genesis.signed.hash(), Scope::Job(Sha256([3; 32])), &["cia"]);
    let twice = told.org.halt_of(Scope::Job(Sha256([4; 32])));
    for key in ["server", keys[0]] {
        told.news.push(News::Halt(sign(&twice, &[key])));
    }
    let below = Component { name: word("countersign-agent"), below: word("9") };
    let mut vendors = told.org.halt_of(Scope::Component(below));
    (vendors.org, vendors.policy) = (None, None);
    told.news.push(News::Halt(sign(&vendors, &["vendor"])));
    let lifts = told.resume(by_key("bo"), &keys);
    let resume = told.tell(lifts, News::Resume);
    told.hold(&resume);
}

/// The last policy knows neither the server's key nor the vendor's.
fn last_policy(told: &mut History, keys: [&str; 2]) {
    let policy = told.policy(&keys, |policy| {
        policy.halt.machines.clear();
        policy.vendor.keys = [ssh_key("other vendor").public_key().clone()].into();
    });
    let policy = told.tell(policy, News::Policy);
    told.hold(&policy);
    told.halt(policy.hash(), everything(), &["server"]);
    told.halt(policy.hash(), everything(), &[keys[1]]);
}

/// Anna and Bo are replaced by policy 2, which is logged twice.
fn replaced() -> History {
    let mut told = begun();
    let first = told.resume(Lifts::Halts(BTreeSet::new()), &["anna", "bo"]);
    let first = told.tell(first, News::Resume);
    told.hold(&first);
    let policy = told.policy(&["anna", "bo", "cia", "dan"], cia_and_dan);
    let decided = told.tell(policy.clone(), News::Policy);
    those_who_are_gone(&mut told);
    told.tell(policy, News::Policy);
    told.hold(&decided);
    those_who_are_there(&mut told, ["cia", "dan"]);
    last_policy(&mut told, ["cia", "dan"]);
    told
}

/// All are replaced by a policy of the recovery set, which is logged twice.
fn recovered() -> History {
    let mut told = begun();
    let (anew, safe) = (["anna new", "bo new"], ["safe 1", "safe 2"]);
    let policy = told.policy(&[anew, safe].concat(), |policy| {
        policy.people =
            ["anna", "bo", "cia"].map(|name| (word(name), person(&[&format!("{name} new")]))).into();
    });
    let waits = told.tell(policy.clone(), News::Policy);
    those_who_are_gone(&mut told);
    told.tell(policy, News::Policy);
    told.hold(&waits);
    let said = Recovered { org: told.org.org, policy: waits.hash(), after: told.org.genesis.signed.hash() };
    for beacon in &BEACONS[..3] {
        let word = News::Recovered(note_key(beacon).note(said.to_string()).unwrap());
        told.hold(&word);
        told.news.push(word);
    }
    those_who_are_there(&mut told, anew);
    last_policy(&mut told, anew);
    told
}

/// What a party makes of it, as far as others go by it.
#[derive(Debug, PartialEq)]
struct End {
    policies: Vec<(Sha256, Place)>,
    waiting: Vec<(Sha256, Place)>,
    resumes: Vec<Sha256>,
    active: BTreeSet<(Sha256, String)>,
}

impl End {
    fn of(chain: &Chain) -> Self {
        let place = |held: &countersign_trust::chain::Held<Policy>| (held.hash, held.place);
        Self {
            policies: chain.policies().iter().map(place).collect(),
            waiting: chain.waiting().iter().map(place).collect(),
            resumes: chain.resumes().iter().map(|resume| resume.hash).collect(),
            active: chain.active_halts().map(|halt| (halt.hash, halt.by.to_string())).collect(),
        }
    }
}

/// Whoever keeps a chain as what it would show others, and starts anew after each statement that `starts` says: the command line, a
/// server, a machine that joins.
fn keeper(told: &History, order: &[usize], starts: usize) -> End {
    let begin = |genesis: &Logged| {
        Chain::begin(told.org.org, &genesis.signed, Inclusion::Proved(&genesis.proof)).unwrap()
    };
    let mut chain = begin(&told.org.genesis);
    let tell = |chain: &mut Chain| {
        for (number, at) in order.iter().enumerate() {
            let _ = told.news[*at].offer(chain);
            if number % starts == 0 {
                let mut anew = begin(&told.org.genesis);
                for news in News::since(chain, 1) {
                    news.offer(&mut anew).unwrap();
                }
                *chain = anew;
            }
        }
    };
    let mut before = None;
    while before.as_ref() != Some(&End::of(&chain)) {
        before = Some(End::of(&chain));
        tell(&mut chain);
    }
    End::of(&chain)
}

fn of_device(ledger: &Ledger) -> (End, Option<Sha256>, Option<Sha256>) {
    let enrolled = ledger.enrolled().filter(|_| ledger.retired().is_none());
    (End::of(ledger.chain().unwrap()), ledger.retired(), enrolled.map(|enrolled| enrolled.enroll))
}

/// A device, which judges its own enrollment besides, and is switched off and on.
fn device(told: History, order: &[usize], starts: usize) -> (End, Option<Sha256>, Option<Sha256>) {
    let mut life = Life::of(told.org, told.enrolled);
    let mut before = None;
    while before.as_ref() != Some(&of_device(life.device.ledger())) {
        before = Some(of_device(life.device.ledger()));
        for (number, at) in order.iter().enumerate() {
            life.hear(Input::News(vec![told.news[*at].clone()]));
            if number % starts == 0 {
                life.restart();
            }
            if starts < 9 && number % (2 * starts) == 1 {
                life.rewrite();
            }
        }
    }
    assert_eq!(of_device(&replay(&life.disk)), of_device(life.device.ledger()), "the disk says otherwise");
    of_device(life.device.ledger())
}

/// As it was decided, without what those who are gone signed; then the rest.
fn expected(history: fn() -> History, told: &BTreeSet<usize>) -> (End, Option<Sha256>, Option<Sha256>) {
    let order: Vec<usize> = told.iter().copied().collect();
    device(history(), &order, usize::MAX)
}

fn law(history: fn() -> History, order: &[usize], starts: usize) {
    let told: BTreeSet<usize> = order.iter().copied().collect();
    let end = expected(history, &told);
    assert_eq!(keeper(&history(), order, starts), end.0);
    assert_eq!(device(history(), order, starts), end);
}

/// Some of the statements, in some order: the policy is among them wherever it is logged again, else what follows has rivals.
fn some_in_any_order(
    history: fn() -> History,
    policy: usize,
    again: usize,
) -> impl Strategy<Value = Vec<usize>> {
    let count = history().news.len();
    let lacks = prop::collection::btree_set(0..count, 0..4);
    lacks.prop_flat_map(move |lacks| {
        let told = move |at: &usize| !lacks.contains(at) || *at == policy || *at == again;
        Just((0..count).filter(told).collect::<Vec<_>>()).prop_shuffle()
    })
}

#[test]
fn the_people_who_are_gone_leave_nothing_behind() {
    for (history, number) in [(replaced as fn() -> History, 3), (recovered, 3)] {
        let told = history();
        let all: BTreeSet<usize> = (0..told.news.len()).collect();
        let (end, retired, enrolled) = expected(history, &all);
        assert_eq!((end.policies.len(), retired), (number, None));
        assert_eq!(end.resumes, told.org.chain.resumes().iter().map(|held| held.hash).collect::<Vec<_>>());
        let moved = told.news.iter().filter(|news| matches!(news, News::Enroll(_))).nth(2).unwrap();
        assert_eq!(enrolled, Some(moved.hash()), "the new people moved it");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_hears_of_a_policy_late_ends_like_all_others(order in some_in_any_order(replaced, 1, 5), starts in 1..9_usize) {
        law(replaced, &order, starts);
    }

    #[test]
    fn whoever_hears_of_a_recovery_late_ends_like_all_others(order in some_in_any_order(recovered, 0, 4), starts in 1..9_usize) {
        law(recovered, &order, starts);
    }
}
