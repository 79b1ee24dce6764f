//! Attacks by halts: kept back, secret, too many; and what a resume must not bring back.

use countersign_trust::delivery::{Delivery, News};
use countersign_trust::ids::Sha256;
use countersign_trust::statement::halt::Scope;
use countersign_trust::statement::resume::{Cuts, Lifts};
use countersign_trust::text::Nothing;

use super::play::{EVIL, bent, keep_beacons_from, ran_once, refused, stolen, twin_runs};
use super::{Attack, How, Promise};
use crate::organization::{everything, sign, ssh_key};
use crate::rehearsal::World;
use crate::rehearsal::story::Story;

/// In the order of the list.
pub fn attacks() -> Vec<Attack> {
    vec![
        Attack {
            name: "halt-withheld",
            says: "The thief keeps a halt from the machines, and keeps the machines from the beacons.",
            promise: Promise::Halted,
            how: vec![
                How::Virtual(withheld),
                How::Vectors(&["clears-of-a-halt-withheld"]),
                How::Real(&[(
                    "countersign-drills",
                    "halted::a_halt_that_only_beacons_have_kills_what_runs_and_nothing_starts_any_more",
                )]),
            ],
        },
        Attack {
            name: "secret-halts",
            says: "A lying beacon names halts whose text nobody has, to stop the fleet without a name.",
            promise: Promise::Halted,
            how: vec![How::Virtual(secret), How::Vectors(&["clears-of-a-secret-halt"])],
        },
        Attack {
            name: "halt-flood",
            says: "The thief of the server's halt key calls halts by the dozen, so that a real one finds no room.",
            promise: Promise::Halted,
            how: vec![
                How::Virtual(flood),
                How::Vectors(&[
                    "halt-the-sixteenth",
                    "halt-the-seventeenth",
                    "halt-the-seventeenth-of-everything",
                ]),
            ],
        },
        Attack {
            name: "halted-job-relogged-to-an-agent-that-saw-the-halt",
            says: "After the resume the thief logs the halted job again, with one more signature, for a machine that saw the halt.",
            promise: Promise::Forward,
            how: vec![
                How::Virtual(relogged_seen),
                How::Vectors(&["cut-all", "cut-all-but-this", "cut-the-approver"]),
            ],
        },
        Attack {
            name: "halted-job-relogged-to-an-agent-that-did-not",
            says: "The same for a machine that was switched off from before the halt until after the resume.",
            promise: Promise::Forward,
            how: vec![
                How::Virtual(relogged_unseen),
                How::Vectors(&["cut-by-an-earlier-resume", "cut-names-a-resume-not-held", "cut-by-key"]),
            ],
        },
    ]
}

fn withheld() -> Story {
    let mut world = World::new(2);
    let job = world.job(&[0, 1]);
    let long = world.order(&job, &[0, 1]);
    world.story.call(long, "a long job");
    world.durations.insert(long, 3_600_000);
    world.pass(10);
    ran_once(&world, 0, &long);
    world.steal_server();
    world.tell("a thief", "takes the server, and with the network all that till-02 could hear from beacons");
    keep_beacons_from(&mut world, 1);
    let halt = world.halt(everything(), "bo");
    world.story.call(halt.hash(), "Bo's halt");
    world.tell("Bo", "halts everything, at the beacons only");
    world.halt_at(&halt, &[0, 1, 2, 3]);
    world.pass(1);
    let set = world.set_at_ms(&halt.hash()).unwrap();
    // The thief goes on bringing jobs with whatever Clears it has or gets.
    let mut kept = Vec::new();
    for _ in 0..40 {
        kept.extend(world.clears_for(1, &[0, 1, 2, 3]));
        let job = bent(&mut world, |_| ());
        let signed = sign(&job, &["anna", "bo"]);
        world.story.call(signed.hash(), EVIL);
        let delivery = Delivery { clears: kept.clone(), ..world.forged(signed, 1) };
        world.bring(1, &delivery);
        world.pass(10);
    }
    let late = world.starts.iter().find(|start| start.at_ms >= set + 180_000);
    assert!(late.is_none(), "{late:?} after a lifetime\n{}", world.story);
    let killed = world.kills.iter().find(|(machine, ..)| *machine == 0).unwrap();
    assert!(killed.2.starts_with("halted: the whole organization by bo"), "{}", killed.2);
    world.story
}

fn secret() -> Story {
    let mut world = stolen(1);
    keep_beacons_from(&mut world, 0);
    world.pass(200);
    let job = bent(&mut world, |_| ());
    let signed = sign(&job, &["anna", "bo"]);
    world.story.call(signed.hash(), "a job");
    let mut delivery = world.forged(signed.clone(), 0);
    let lie = world.lie_for(0, 3, |clear| {
        clear.halts.insert(Sha256([9; 32]));
    });
    world.tell("beacon-4", "names a halt that there is not");
    delivery.clears = [world.clears_for(0, &[0, 1]), vec![lie.clone()]].concat();
    world.bring(0, &delivery);
    world.pass(180);
    refused(&world, 0, &signed.hash(), "2 of 3 Clears; beacon-4: it names the halt");
    world.tell("beacon-3", "answers too: one liar stops nobody");
    delivery.clears = [world.clears_for(0, &[0, 1, 2]), vec![lie]].concat();
    world.bring(0, &delivery);
    world.pass(5);
    ran_once(&world, 0, &signed.hash());
    world.story
}

fn flood() -> Story {
    let mut world = World::new(1);
    world.tell("a thief", "of the server's halt key calls 70 halts, each of another script");
    for number in 0..70_u8 {
        let halt = world.halt(Scope::Script(Sha256([number; 32])), "server");
        world.tell_all(&halt);
        world.pass_ms(100);
    }
    world.pass(5);
    let chain = world.machines[0].device().ledger().chain().unwrap();
    assert_eq!(chain.active_halts().count(), 16, "the seventeenth of a key stops nothing");
    let job = world.ordinary(&[0], "a job meanwhile");
    world.pass(5);
    ran_once(&world, 0, &job);
    let halt = world.halt(everything(), "cia");
    world.story.call(halt.hash(), "Cia's halt");
    world.tell("Cia", "halts everything");
    world.tell_all(&halt);
    world.pass(2);
    let set = world.set_at_ms(&halt.hash());
    assert!(set.is_some(), "Cia's halt finds no room at the beacons");
    let job = world.ordinary(&[0], "a job after it");
    world.pass(200);
    refused(&world, 0, &job, "halted: the whole organization by cia");
    let keys = [ssh_key("server").public_key().clone(), ssh_key("cia").public_key().clone()];
    world.tell("Anna and Bo", "lift all that these two keys halted");
    let resume = world.resume(Lifts::Keys(keys.into()), Cuts::All(Nothing));
    world.tell_all(&resume);
    world.pass(2);
    let job = world.ordinary(&[0], "a job after the resume");
    world.pass(5);
    ran_once(&world, 0, &job);
    world.story
}

fn relogged_seen() -> Story {
    relogged(true)
}

fn relogged_unseen() -> Story {
    relogged(false)
}

fn relogged(seen: bool) -> Story {
    let mut world = stolen(1);
    let job = bent(&mut world, |_| ());
    let signed = sign(&job, &["anna", "bo"]);
    let hash = signed.hash();
    world.story.call(hash, EVIL);
    keep_beacons_from(&mut world, 0);
    if !seen {
        world.switch_off(0);
    }
    let halt = world.halt(Scope::Job(hash), "cia");
    world.tell("Cia", "halts the ransom job, which Anna and Bo were tricked into signing");
    world.tell_all(&halt);
    world.pass(1);
    if seen {
        world.push_news(0, std::slice::from_ref(&halt));
        world.pass(1);
        let delivery = world.forged(signed.clone(), 0);
        world.bring(0, &delivery);
        refused(&world, 0, &hash, "halted: this job by cia");
    }
    let resume = world.resume(Lifts::Halts([halt.hash()].into()), Cuts::All(Nothing));
    world.story.call(resume.hash(), "the resume");
    world.tell("Anna and Bo", "lift the halt and cut all that was signed before");
    world.tell_all(&resume);
    world.pass(1);
    if !seen {
        world.tell("till-01", "is switched on again");
        world.switch_on(0);
        world.pass(1);
    }
    world.tell("a thief", "logs the ransom job again, with a third signature, and says nothing of the halt");
    let mut delivery = world.forged(sign(&job, &["anna", "bo", "cia"]), 0);
    delivery.news.retain(|news| matches!(news, News::Resume(_)));
    world.bring(0, &delivery);
    refused(&world, 0, &hash, "signed before the resume");
    twin_runs(&mut world);
    world.story
}
