//! A halt that several called, in whatever order their signatures come: it is everybody's.

use countersign_trust::delivery::{Delivery, News};
use countersign_trust::device::Input;
use countersign_trust::ids::Sha256;
use countersign_trust::statement::halt::Scope;
use countersign_trust::statement::resume::{Cuts, Lifts};
use countersign_trust::text::Nothing;

use crate::life::Life;
use crate::organization::{Organization, TILLS, everything, sign, ssh_key, word};

#[test]
fn a_halt_that_a_thief_signed_too_is_not_lifted_with_the_thiefs() {
    let mut life = Life::new();
    let halt = life.org.halt_of(Scope::Person(word("anna")));
    let hash = sign(&halt, &["cia"]).hash();
    for key in ["server", "cia"] {
        let news = News::Halt(sign(&halt, &[key]));
        life.org.take(news.clone());
        life.tell(news);
    }
    assert!(life.org.chain.active_halts().any(|halt| halt.hash == hash), "beacons acknowledge it to Cia");
    let lifts = Lifts::Keys([ssh_key("server").public_key().clone()].into());
    let resume = sign(&life.org.next_resume(lifts, Cuts::None(Nothing)), &["bo", "cia"]);
    let resume = News::Resume(life.org.log(resume));
    life.org.take(resume.clone());
    life.tell(resume);
    let job = life.org.job();
    let delivery = life.org.deliver(&job, &["anna", "bo"], TILLS[0]);
    let delivery = Delivery { clears: life.clears(), ..delivery };
    life.hear(Input::Delivered(Box::new(delivery)));
    assert_eq!(life.ran, [], "what Anna asks for runs, and nobody lifted Cia's halt");
}

#[test]
fn whose_halt_it_is_does_not_depend_on_which_signature_came_first() {
    let mut org = Organization::found();
    let halt = org.halt_of(everything());
    let [mut one, mut other] = [org.chain.clone(), org.chain.clone()];
    for (chain, keys) in [(&mut one, ["server", "cia"]), (&mut other, ["cia", "server"])] {
        for key in keys {
            chain.take_halt(&sign(&halt, &[key])).unwrap();
        }
    }
    let lifts = Lifts::Keys([ssh_key("server").public_key().clone()].into());
    let resume = sign(&org.next_resume(lifts, Cuts::None(Nothing)), &["bo", "cia"]);
    let resume = News::Resume(org.log(resume));
    let active = [&mut one, &mut other].map(|chain| {
        resume.offer(chain).unwrap();
        chain.active_halts().count()
    });
    assert_eq!(active[0], active[1], "the same statements in another order");
}

/// The thief's key has called sixteen already, so that what it signs stops nothing.
#[test]
fn a_halt_that_a_thief_signed_too_stops_what_runs() {
    let mut life = Life::new();
    let key = life.run(|_| ());
    for number in 0..16 {
        let halt = life.org.halt_of(Scope::Job(Sha256([number; 32])));
        life.tell(News::Halt(sign(&halt, &["server"])));
    }
    let halt = life.org.halt_of(Scope::Job(key.job));
    life.tell(News::Halt(sign(&halt, &["server"])));
    assert!(life.killed.is_empty(), "its seventeenth");
    life.tell(News::Halt(sign(&halt, &["cia"])));
    assert_eq!(life.killed.len(), 1, "Cia's first is obeyed on sight");
}

#[test]
fn a_halt_with_two_signatures_is_lifted_by_neither_key_alone() {
    for key in ["server", "cia"] {
        let mut org = Organization::found();
        let halt = org.halt_of(everything());
        let halt = org.take(News::Halt(sign(&halt, &["server", "cia"])));
        let lifts = Lifts::Keys([ssh_key(key).public_key().clone()].into());
        let resume = sign(&org.next_resume(lifts, Cuts::None(Nothing)), &["anna", "bo"]);
        let resume = News::Resume(org.log(resume));
        org.take(resume);
        assert!(org.chain.active_halts().any(|held| held.hash == halt.hash()), "lifted by {key}'s");
    }
}
