//! The day the keys are lost, and the day somebody finds those of the safe.

use std::collections::BTreeMap;

use countersign_trust::chain::RECOVERY_WAIT_S;
use countersign_trust::delivery::{News, read_sequence, write_sequence};
use countersign_trust::ids::Sha256;
use countersign_trust::statement::policy::{Policy, Recovery};

use super::play::{EVIL, bent, ran_once, refused, twin_runs};
use super::{Attack, How, Promise};
use crate::organization::{note_key, person, sign, ssh_key, word};
use crate::rehearsal::story::Story;
use crate::rehearsal::{Setup, World};

/// The old beacons; the recovery policy names four others.
const OLD: [usize; 4] = [0, 1, 2, 3];
const NEW: [usize; 4] = [4, 5, 6, 7];
const NEW_KEYS: [&str; 2] = ["anna new", "bo new"];

/// Recovery.
pub fn all() -> Vec<Attack> {
    vec![
        Attack {
            name: "recovery-by-the-thief",
            says: "Somebody who found a key of the recovery set, or the whole set, signs a policy of his own.",
            promise: Promise::Forward,
            how: vec![
                How::Virtual(objected),
                How::Vectors(&[
                    "recovery-by-too-few-keys",
                    "recovery-waits",
                    "recovery-waits-and-new-keys-count-for-nothing",
                    "recovery-overtaken",
                    "recovery-after-another-policy",
                    "recovery-with-one-word-too-few",
                    "recovery-with-one-beacons-word-twice",
                    "recovery-by-the-new-beacons-word",
                    "recovery-by-words-for-another-place",
                    "recovery-by-words-of-another-organization",
                    "recovery-and-the-policy-after-it-too-soon",
                    "recovery-where-there-is-none",
                    "recovery-in-force",
                ]),
                How::Real(&[(
                    "countersign-witness",
                    "recovery::while_it_waits_its_log_is_cosigned_with_that_policy_in_it_and_nothing_else",
                )]),
            ],
        },
        Attack {
            name: "recovery-kept-from-a-machine",
            says: "All keys and beacons are replaced by the recovery set while a machine is off; then its server keeps everything from it.",
            promise: Promise::Timely,
            how: vec![
                How::Virtual(after_all_is_lost),
                How::Vectors(&[
                    "recovery-with-other-beacons",
                    "recovery-long-ago",
                    "recovery-then-a-halt-and-a-resume",
                    "recovery-in-force-by-one-note",
                    "recovery-that-the-quorum-signs-too",
                ]),
            ],
        },
    ]
}

fn with_a_safe(policy: &mut Policy) {
    let keys = ["safe 1", "safe 2"].map(|name| ssh_key(name).public_key().clone()).into();
    policy.recovery = Recovery { need: 2, keys };
}

fn founded() -> World {
    World::found(Setup { machines: 2, beacons: 8, policy: with_a_safe, ..Setup::default() })
}

/// A policy of the safe's: new keys for everybody, and what else.
fn safes(world: &mut World, edit: impl FnOnce(&mut Policy)) -> News {
    let mut next = world.next_policy();
    next.people = ["anna", "bo", "cia"].map(|name| (word(name), person(&[&format!("{name} new")]))).into();
    edit(&mut next);
    let policy = News::Policy(world.logged(sign(&next, &[&["safe 1", "safe 2"], &NEW_KEYS[..]].concat())));
    world.story.call(policy.hash(), "the safe's policy");
    policy
}

fn wait(world: &mut World, seconds: u64) {
    let ticks = std::mem::replace(&mut world.tick_ms, 600_000);
    world.pass(seconds);
    world.tick_ms = ticks;
    world.pass(600);
}

/// The words that the old beacons show who holds the first policy.
fn words(world: &World) -> Vec<News> {
    let mut words = BTreeMap::new();
    for beacon in OLD {
        let text = world.beacons[beacon].news(world.org, 1, world.now_ms);
        let news = read_sequence(&text).unwrap().into_iter().map(|item| News::from_text(item).unwrap());
        words.extend(news.filter(|news| matches!(news, News::Recovered(_))).map(|news| (news.hash(), news)));
    }
    words.into_values().collect()
}

fn number(world: &World, machine: usize) -> u64 {
    world.machines[machine].device().ledger().chain().unwrap().policy().body.number
}

fn objected() -> Story {
    let mut world = founded();
    world.steal_server();
    let policy = safes(&mut world, |_| ());
    world.tell(
        "a thief",
        "has the keys of the safe and the server, and hands beacons and machines a policy of his own",
    );
    world.tell_beacons(&policy, &OLD);
    world.push_news(0, std::slice::from_ref(&policy));
    wait(&mut world, RECOVERY_WAIT_S - 7_200);
    assert_eq!(words(&world).len(), 0, "{}", world.story);
    let objection = world.decide(|policy| {
        policy.recovery = Recovery { need: 1, keys: [ssh_key("safe 3").public_key().clone()].into() }
    });
    world.tell(
        "Anna and Bo",
        "are warned by the beacons, and sign another policy 2, with other keys in the safe",
    );
    world.tell_beacons(&objection, &OLD);
    wait(&mut world, 3 * 86_400);
    assert_eq!(words(&world).len(), 0, "{}", world.story);
    let job = bent(&mut world, |_| ());
    let signed = sign(&job, &NEW_KEYS);
    world.story.call(signed.hash(), EVIL);
    let delivery = world.forged(signed.clone(), 0);
    world.bring(0, &delivery);
    refused(&world, 0, &signed.hash(), "no signature");
    twin_runs(&mut world);
    world.story
}

fn after_all_is_lost() -> Story {
    let mut world = founded();
    world.switch_off(1);
    let policy = safes(&mut world, |policy| {
        policy.beacons.keys =
            NEW.iter().map(|at| note_key(&format!("beacon-{}", at + 1)).verifier().clone()).collect();
        policy.recovery = Recovery { need: 0, keys: std::collections::BTreeSet::new() };
    });
    world.tell("Anna, Bo and Cia", "have lost their keys; the safe's name new ones, and four other beacons");
    world.tell_beacons(&policy, &OLD);
    wait(&mut world, RECOVERY_WAIT_S - 7_200);
    assert_eq!(number(&world, 0), 1);
    wait(&mut world, 7_200);
    assert_eq!(number(&world, 0), 2, "it has asked beacons itself:\n{}", world.story);
    let words = words(&world);
    assert_eq!(words.len(), OLD.len());
    let all: Vec<News> =
        [News::Policy(world.genesis.clone()), policy.clone()].into_iter().chain(words).collect();
    for news in all.iter().skip(1) {
        news.offer(&mut world.chain).unwrap();
    }
    world.tell("an operator", "brings the new beacons all this, and what the old ones hand over");
    begin(&mut world, &all);
    let next = world.decide_by(&NEW_KEYS, |policy| policy.limits.life = 86_400 * 3);
    world.tell("Anna and Bo", "go on: policy 3, by the new keys");
    world.tell_beacons(&next, &[OLD, NEW].concat());
    world.pass(1);
    runs(&mut world, 0, &next);
    world.steal_server();
    world.tell("a thief", "has the server, which says nothing to the other machine");
    world.mailman.silent = true;
    world.switch_on(1);
    world.pass(10);
    assert_eq!(number(&world, 1), 3, "the old beacons told it:\n{}", world.story);
    runs(&mut world, 1, &next);
    world.story
}

/// The new beacons know what the old ones know.
fn begin(world: &mut World, all: &[News]) {
    let (org, now_ms) = (world.org, world.now_ms);
    let handed: Vec<_> = OLD.iter().filter_map(|old| world.beacons[*old].for_handover(org, now_ms)).collect();
    for new in NEW {
        world.beacons[new].take(org, &write_sequence(all), now_ms);
        handed.iter().for_each(|note| drop(world.beacons[new].hand_over(org, note)));
        let answers = world.beacons[new].clear(org, &Sha256([5; 32]), now_ms).is_some();
        assert!(answers, "{}:\n{}", world.beacons[new].silence, world.story);
    }
}

/// A job by the new keys runs on this machine.
fn runs(world: &mut World, machine: usize, policy: &News) {
    assert_eq!(world.chain.policy().hash, policy.hash());
    let job = world.job(&[0, 1]);
    let signed = sign(&job, &NEW_KEYS);
    let hash = signed.hash();
    world.story.call(hash, "a job by the new keys");
    let logged = world.logged(signed);
    let mut delivery = world.good_delivery(logged, Some(&job), machine);
    delivery.news = Vec::new();
    delivery.clears = world.clears_for(machine, &NEW);
    world.bring(machine, &delivery);
    world.pass(5);
    ran_once(world, machine, &hash);
}
