//! Attacks by challenges and beacons.

use countersign_trust::clear::Clear;
use countersign_trust::delivery::write_sequence;
use countersign_trust::ids::Sha256;

use super::play::{EVIL, bent, keep_beacons_from, ran_once, refused, stolen, twin_runs};
use super::policies::without_bo;
use super::{Attack, How, Promise};
use crate::organization::{everything, note_key, sign};
use crate::rehearsal::story::Story;
use crate::rehearsal::{Setup, World};

/// Challenges.
pub fn first() -> Vec<Attack> {
    vec![
        Attack {
            name: "clear-for-anothers-challenge",
            says: "The thief brings Clears that answer another machine's challenge.",
            promise: Promise::Halted,
            how: vec![
                How::Virtual(anothers),
                How::Vectors(&[
                    "clears-for-anothers-challenge",
                    "clears-path-of-a-neighbour",
                    "clears-from-before-the-restart",
                ]),
            ],
        },
        Attack {
            name: "stale-challenge",
            says: "The thief keeps Clears for a lifetime, until somebody has halted, and brings them then.",
            promise: Promise::Halted,
            how: vec![
                How::Virtual(stale),
                How::Vectors(&[
                    "clears-stale-on-arrival",
                    "clears-aged-since",
                    "clears-good-to-the-last-millisecond",
                ]),
            ],
        },
    ]
}

/// Beacons.
pub fn second() -> Vec<Attack> {
    vec![
        Attack {
            name: "one-beacon-twice",
            says: "Two beacons answer, and the thief shows one of them twice.",
            promise: Promise::Halted,
            how: vec![How::Virtual(twice), How::Vectors(&["clears-one-beacon-twice", "clears-one-too-few"])],
        },
        Attack {
            name: "lying-beacon-about-time",
            says: "One beacon lies about the time, to make a later job due.",
            promise: Promise::Timely,
            how: vec![
                How::Virtual(lies_about_time),
                How::Vectors(&[
                    "clears-times-too-far-apart",
                    "clears-times-just-together",
                    "clears-one-liar-of-four-about-time",
                ]),
            ],
        },
        Attack {
            name: "lying-beacon-about-policy",
            says: "One beacon goes on naming the policy under which a dismissed person still counted.",
            promise: Promise::Forward,
            how: vec![
                How::Virtual(lies_about_policy),
                How::Vectors(&["clears-of-another-policy", "clears-of-another-resume"]),
            ],
        },
        Attack {
            name: "lying-beacon-about-halts",
            says: "One beacon acknowledges a halt and leaves it out of its Clears.",
            promise: Promise::Halted,
            how: vec![How::Virtual(lies_about_halts), How::Vectors(&["clears-one-liar-of-four-about-halts"])],
        },
        Attack {
            name: "lying-beacon-by-silence",
            says: "One beacon answers nobody, to stop the fleet.",
            promise: Promise::Halted,
            how: vec![
                How::Virtual(silent),
                How::Real(&[(
                    "countersign-drills",
                    "silent_beacon::one_silent_beacon_holds_up_nobody_and_two_stop_everything_until_one_is_back",
                )]),
            ],
        },
        Attack {
            name: "beacon-swapped-by-a-policy",
            says: "A policy replaces a beacon while a halt is active; the new one has never heard of it.",
            promise: Promise::Halted,
            how: vec![How::Virtual(swapped)],
        },
        Attack {
            name: "beacon-restored",
            says: "A beacon is restored from a backup and has forgotten a halt that it acknowledged.",
            promise: Promise::Halted,
            how: vec![How::Virtual(restored)],
        },
    ]
}

/// A stolen world in which the first machine hears of beacons only what the thief brings, and its own Clears have aged.
fn deaf(machines: usize) -> World {
    let mut world = stolen(machines);
    keep_beacons_from(&mut world, 0);
    world.pass(200);
    world
}

/// Brings a good job with these Clears; its hash.
fn bring_with(world: &mut World, clears: Vec<countersign_trust::clear::AnsweredClear>) -> Sha256 {
    let job = bent(world, |_| ());
    let signed = sign(&job, &["anna", "bo"]);
    let hash = signed.hash();
    world.story.call(hash, "a job");
    let mut delivery = world.forged(signed, 0);
    delivery.clears = clears;
    world.bring(0, &delivery);
    hash
}

fn anothers() -> Story {
    let mut world = deaf(2);
    world.tell("a thief", "brings till-01 Clears that answer till-02");
    let clears = world.clears_for(1, &[0, 1, 2]);
    let hash = bring_with(&mut world, clears);
    world.pass(180);
    refused(&world, 0, &hash, "0 of 3 Clears; beacon-1: it answers none of my challenges");
    twin_runs(&mut world);
    world.story
}

fn stale() -> Story {
    let mut world = deaf(1);
    let clears = world.clears_for(0, &[0, 1, 2]);
    let halt = world.halt(everything(), "cia");
    world.story.call(halt.hash(), "Cia's halt");
    world.tell("Cia", "halts everything");
    world.halt_at(&halt, &[0, 1, 2, 3]);
    world.tell("a thief", "keeps the halt to itself, and Clears from before it for three minutes");
    world.pass(181);
    let hash = bring_with(&mut world, clears);
    world.pass(180);
    refused(&world, 0, &hash, "0 of 3 Clears; beacon-1: the challenge is");
    world.story
}

fn twice() -> Story {
    let mut world = deaf(1);
    let mut clears = world.clears_for(0, &[0, 1]);
    world.pass(2);
    clears.extend(world.clears_for(0, &[0]));
    world.tell("a thief", "brings two Clears of beacon-1 and one of beacon-2");
    let hash = bring_with(&mut world, clears);
    world.pass(180);
    refused(&world, 0, &hash, "2 of 3 Clears; beacon-1: the beacon has spoken already");
    twin_runs(&mut world);
    world.story
}

fn lies_about_time() -> Story {
    let mut world = deaf(1);
    let mut clears = world.clears_for(0, &[0, 1]);
    clears.push(world.lie_for(0, 3, |clear| clear.time = clear.time.plus(86_400)));
    world.tell("beacon-4", "lies: it is tomorrow");
    let hash = bring_with(&mut world, clears);
    world.pass(180);
    refused(&world, 0, &hash, "lies more than 60 s from the others'");
    let (begin, end) = (world.now().plus(40), world.now().plus(4_000));
    let job = bent(&mut world, |job| (job.not_before, job.not_after) = (begin, end));
    let signed = sign(&job, &["anna", "bo"]);
    world.story.call(signed.hash(), "a job that begins in 40 s");
    let mut delivery = world.forged(signed.clone(), 0);
    delivery.clears = world.clears_for(0, &[0, 1]);
    delivery.clears.push(world.lie_for(0, 3, |clear| clear.time = clear.time.plus(55)));
    world.tell("beacon-4", "lies by so little that it still counts");
    world.bring(0, &delivery);
    refused(&world, 0, &signed.hash(), "not before");
    twin_runs(&mut world);
    world.story
}

fn lies_about_policy() -> Story {
    let mut world = deaf(1);
    let old = world.chain.policy().hash;
    let job = bent(&mut world, |_| ());
    let signed = sign(&job, &["anna", "bo"]);
    let policy = world.decide_by(&["anna", "cia"], without_bo);
    world.tell("Anna and Cia", "dismiss Bo by policy 2, which all honest beacons take");
    world.tell_beacons(&policy, &[0, 1, 2]);
    world.pass(1);
    let mut delivery = world.forged(signed.clone(), 0);
    delivery.clears = world.clears_for(0, &[0, 1]);
    delivery.clears.push(world.lie_for(0, 3, |clear| clear.policy = old));
    world.story.call(signed.hash(), EVIL);
    world.tell("beacon-4", "lies: policy 1 is the newest");
    world.bring(0, &delivery);
    world.pass(180);
    refused(&world, 0, &signed.hash(), "1 of 3 Clears; beacon-1: it names policy");
    world.story
}

fn lies_about_halts() -> Story {
    let mut world = deaf(1);
    let halt = world.halt(everything(), "cia");
    world.story.call(halt.hash(), "Cia's halt");
    world.tell("Cia", "halts everything, and hears it from beacon-2, beacon-3 and beacon-4: it is set");
    world.halt_at(&halt, &[1, 2, 3]);
    world.pass(1);
    assert!(world.set_at_ms(&halt.hash()).is_some());
    let mut clears = world.clears_for(0, &[0, 1, 2]);
    clears.push(world.lie_for(0, 3, |clear: &mut Clear| clear.halts.clear()));
    world.tell("beacon-4", "lies: nobody has halted; and beacon-1 has never heard of it");
    let hash = bring_with(&mut world, clears);
    world.pass(180);
    refused(&world, 0, &hash, "2 of 3 Clears; beacon-2: it names the halt");
    world.story
}

fn silent() -> Story {
    let mut world = World::new(2);
    world.beacons[3].up = false;
    world.tell("beacon-4", "falls silent");
    world.pass(200);
    let hash = world.ordinary(&[0, 1], "a job");
    world.pass(10);
    ran_once(&world, 0, &hash);
    ran_once(&world, 1, &hash);
    world.beacons[2].up = false;
    world.tell("beacon-3", "falls silent too");
    world.pass(200);
    let hash = world.ordinary(&[0, 1], "the next job");
    world.pass(200);
    refused(&world, 0, &hash, "2 of 3 Clears");
    world.story
}

fn swapped() -> Story {
    let mut world = World::found(Setup { machines: 1, beacons: 5, ..Setup::default() });
    world.steal_server();
    let halt = world.halt(everything(), "cia");
    world.story.call(halt.hash(), "Cia's halt");
    world.tell("Cia", "halts everything at the four beacons");
    world.halt_at(&halt, &[0, 1, 2, 3]);
    world.pass(1);
    let policy = world.decide(|policy| {
        policy.beacons.keys.remove(note_key("beacon-4").verifier());
        policy.beacons.keys.insert(note_key("beacon-5").verifier().clone());
    });
    world.tell("Anna and Bo", "put beacon-5 in the place of beacon-4 by policy 2");
    world.tell_beacons(&policy, &[0, 1, 2, 3]);
    let beginning = countersign_trust::delivery::News::Policy(world.genesis.clone());
    world.beacons[4].take(world.org, &write_sequence(&[beginning, policy]), world.now_ms);
    world.pass(1);
    let (org, now_ms) = (world.org, world.now_ms);
    let root = Sha256([5; 32]);
    assert!(world.beacons[4].clear(org, &root, now_ms).is_none(), "it answers though it knows nothing");
    let silence = world.beacons[4].silence.clone();
    assert!(silence.starts_with("handover incomplete: 0 of 3"), "{silence}");
    world.story.add(now_ms, "beacon-5", format!("signs nothing: {silence}"));
    let told: Vec<_> =
        [0, 1, 2].iter().filter_map(|old| world.beacons[*old].for_handover(org, now_ms)).collect();
    let refusal = world.beacons[4].hand_over(org, &told[0]).unwrap_err();
    assert!(refusal.contains("it names the halt"), "{refusal}");
    world.story.add(now_ms, "beacon-5", format!("does not count what beacon-1 hands over: {refusal}"));
    world.reach();
    let note = world.beacons[4].clear(org, &root, now_ms).unwrap();
    let clear: Clear = note.text().parse().unwrap();
    assert!(clear.halts.contains(&halt.hash()), "{clear}");
    world.story.add(now_ms, "beacon-5", "answers, and names Cia's halt".to_owned());
    world.story
}

fn restored() -> Story {
    let mut world = deaf(1);
    let kept = tempfile::tempdir().unwrap();
    world.beacons[0].back_up(kept.path());
    let halt = world.halt(everything(), "cia");
    world.story.call(halt.hash(), "Cia's halt");
    world.tell("Cia", "halts everything, and hears it from beacon-1, beacon-2 and beacon-3: it is set");
    world.halt_at(&halt, &[0, 1, 2]);
    world.pass(1);
    world.beacons[0].restore(kept.path());
    world.tell(
        "beacon-1",
        "is restored from before the halt, under its old key, against the rule; nothing in it can notice",
    );
    world.pass(10);
    let clears = world.clears_for(0, &[0, 1, 2, 3]);
    let forgot: Clear = clears[0].clear.text().parse().unwrap();
    assert!(forgot.halts.is_empty(), "it has not forgotten");
    let hash = bring_with(&mut world, clears);
    world.pass(180);
    refused(&world, 0, &hash, "2 of 3 Clears; beacon-2: it names the halt");
    world.story
}
