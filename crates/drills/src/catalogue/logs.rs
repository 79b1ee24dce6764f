//! Attacks by the log and its witnesses.

use countersign_trust::checkpoint::Checkpoint;
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::Sha256;
use countersign_trust::time::Time;

use super::play::{EVIL, bent, ran_once, refused, stolen, twin_runs};
use super::{Attack, How, Promise};
use crate::organization::{sign, witness_key};
use crate::rehearsal::World;
use crate::rehearsal::log::Log;
use crate::rehearsal::mailman::Mailman;
use crate::rehearsal::story::Story;

/// Proofs and cosignatures.
pub fn first() -> Vec<Attack> {
    vec![
        Attack {
            name: "proof-for-n-1",
            says: "The thief shows a path that was good for a smaller tree under a checkpoint of a larger one.",
            promise: Promise::Logged,
            how: vec![
                How::Virtual(smaller_tree),
                How::Vectors(&[
                    "log-path-of-a-smaller-tree",
                    "log-index-beyond-the-checkpoint",
                    "log-not-in-it",
                ]),
            ],
        },
        Attack {
            name: "cosignature-for-another-origin",
            says: "The thief takes witnesses' cosignatures under a log of its own for cosignatures under this one.",
            promise: Promise::Logged,
            how: vec![
                How::Virtual(another_origin),
                How::Vectors(&[
                    "log-of-another-origin",
                    "log-cosigned-elsewhere",
                    "log-not-signed-by-its-key",
                ]),
            ],
        },
        Attack {
            name: "a-witness-too-few",
            says: "Two witnesses see what the thief logs, and the policy asks for three.",
            promise: Promise::Logged,
            how: vec![
                How::Virtual(too_few),
                How::Vectors(&[
                    "log-one-witness-too-few",
                    "log-unknown-witness",
                    "log-witness-signs-as-a-log",
                ]),
            ],
        },
        Attack {
            name: "the-same-twice",
            says: "One of two witnesses cosigns twice, to look like three.",
            promise: Promise::Logged,
            how: vec![
                How::Virtual(same_twice),
                How::Vectors(&["log-one-witness-twice", "log-with-lines-of-strangers"]),
            ],
        },
        Attack {
            name: "two-faced-log-with-one-lying-witness",
            says: "The thief shows two witnesses one history and the third another; the fourth witness lies and cosigns both.",
            promise: Promise::Logged,
            how: vec![How::Virtual(two_faced)],
        },
    ]
}

/// The end of a log.
pub fn second() -> Vec<Attack> {
    vec![
        Attack {
            name: "log-truncated",
            says: "The thief sets the log back to an earlier size and goes on from there.",
            promise: Promise::Logged,
            how: vec![
                How::Virtual(truncated),
                How::Real(&[(
                    "countersign-cli",
                    "tampering::a_log_set_back_is_an_alarm_even_to_whoever_never_saw_more_of_it",
                )]),
            ],
        },
        Attack {
            name: "log-burnt",
            says: "The thief has the log's key and writes on after people have taken the log from it by a policy.",
            promise: Promise::Logged,
            how: vec![
                How::Virtual(burnt),
                How::Vectors(&[
                    "log-moved",
                    "log-moved-and-enrolled-after",
                    "log-moved-and-enrolled-before",
                    "log-moved-and-a-resume-is-in-the-old-one",
                    "log-moved-and-the-job-is-in-the-old-one",
                ]),
            ],
        },
        Attack {
            name: "database-wiped",
            says: "The thief wipes the server's memory, log and all.",
            promise: Promise::Once,
            how: vec![
                How::Virtual(wiped),
                How::Real(&[
                    (
                        "countersign-drills",
                        "wiped_database::a_wiped_database_stops_new_work_and_nothing_runs_that_should_not_or_runs_twice",
                    ),
                    (
                        "countersign-drills",
                        "server_wiped::what_happened_is_proved_without_the_server_and_what_nobody_can_show_is_named",
                    ),
                ]),
            ],
        },
    ]
}

/// Brings a job with this place in a log, with three honest Clears.
fn bring_with(world: &mut World, signed: &Signed, log: &Log, index: u64) -> Sha256 {
    world.story.call(signed.hash(), EVIL);
    let logged = Logged { signed: signed.clone(), proof: log.proof(index) };
    let body = countersign_trust::statement::read(signed.statement()).ok();
    let delivery = world.good_delivery(logged, body.as_ref(), 0);
    world.bring(0, &delivery);
    signed.hash()
}

fn by_two(world: &mut World) -> (Signed, String) {
    let job = bent(world, |_| ());
    let signed = sign(&job, &["anna", "bo"]);
    let leaf = signed.leaf(&world.org).unwrap();
    (signed, leaf)
}

fn smaller_tree() -> Story {
    let mut world = stolen(1);
    let (signed, leaf) = by_two(&mut world);
    let index = world.log_entry(&leaf);
    let small = world.mailman.log.proof(index);
    for number in 0..3 {
        world.log_entry(&format!("something else {number}\n"));
    }
    let mut proof = world.mailman.log.proof(index);
    proof.inclusion = small.inclusion;
    world.story.call(signed.hash(), EVIL);
    world.tell("a thief", "shows the path of a smaller tree under the newest checkpoint");
    let delivery = world.good_delivery(Logged { signed: signed.clone(), proof }, None, 0);
    world.bring(0, &delivery);
    refused(&world, 0, &signed.hash(), "the proof has");
    twin_runs(&mut world);
    world.story
}

fn another_origin() -> Story {
    let mut world = stolen(1);
    let (signed, leaf) = by_two(&mut world);
    let mut hidden = world.mailman.log.copy();
    let index = hidden.append(&leaf);
    let text = Checkpoint {
        origin: "log.example/thief".to_owned(),
        size: hidden.tree.size(),
        root: hidden.tree.root(),
    };
    for witness in ["witness-1", "witness-2", "witness-3"] {
        let line = witness_key(witness).cosign(&text.to_string(), world.now()).unwrap();
        hidden.checkpoint.add(line).unwrap();
    }
    world.tell("a thief", "has the same tree cosigned as a log of its own, and shows those lines");
    let hash = bring_with(&mut world, &signed, &hidden, index);
    refused(&world, 0, &hash, "cosigned by 0 of 4 witnesses");
    twin_runs(&mut world);
    world.story
}

fn too_few() -> Story {
    let mut world = stolen(1);
    let (signed, leaf) = by_two(&mut world);
    world.witnesses[2].up = false;
    world.witnesses[3].up = false;
    world.tell("a thief", "logs a job that only two witnesses see");
    let index = world.log_entry(&leaf);
    let log = world.mailman.log.copy();
    let hash = bring_with(&mut world, &signed, &log, index);
    refused(&world, 0, &hash, "cosigned by 2 of 4 witnesses, needed are 3");
    world.witnesses[2].up = true;
    world.tell("witness-3", "is back");
    twin_runs(&mut world);
    world.story
}

fn same_twice() -> Story {
    let mut world = stolen(1);
    let (signed, leaf) = by_two(&mut world);
    world.witnesses[2].up = false;
    world.witnesses[3].up = false;
    let index = world.log_entry(&leaf);
    let mut log = world.mailman.log.copy();
    let later = world.now().plus(5);
    log.cosigned_by_liar("witness-2", later);
    world.tell("a thief", "shows three cosignatures, two of them by one witness");
    let hash = bring_with(&mut world, &signed, &log, index);
    refused(&world, 0, &hash, "cosigned by 2 of 4 witnesses, needed are 3");
    world.witnesses[2].up = true;
    twin_runs(&mut world);
    world.story
}

fn two_faced() -> Story {
    let mut world = stolen(1);
    let (shown, leaf) = by_two(&mut world);
    let (hidden, hidden_leaf) = by_two(&mut world);
    let mut second_face = world.mailman.log.copy();
    world.tell(
        "a thief",
        "shows witness-1 and witness-2 one history and witness-3 another; witness-4 lies to both",
    );
    let at = world.mailman.log.append(&leaf);
    let now_ms = world.now_ms;
    world.mailman.log.cosign(&mut world.witnesses[..2], now_ms);
    world.mailman.log.cosigned_by_liar("witness-4", Time(now_ms / 1_000));
    let hidden_at = second_face.append(&hidden_leaf);
    second_face.cosign(&mut world.witnesses[..3], now_ms);
    second_face.cosigned_by_liar("witness-4", Time(now_ms / 1_000));
    assert_ne!(world.witnesses[0].refusal, "", "witness-1 cosigned both");
    let hash = bring_with(&mut world, &hidden, &second_face, hidden_at);
    refused(&world, 0, &hash, "cosigned by 2 of 4 witnesses, needed are 3");
    let first_face = world.mailman.log.copy();
    let hash = bring_with(&mut world, &shown, &first_face, at);
    world.story.call(hash, "the job in the other history");
    world.pass(5);
    ran_once(&world, 0, &hash);
    world.story
}

fn truncated() -> Story {
    let mut world = stolen(1);
    let mut old = world.mailman.log.copy();
    twin_runs(&mut world);
    let (signed, leaf) = by_two(&mut world);
    world.tell("a thief", "sets the log back to before that job, and logs another");
    let index = old.append(&leaf);
    let now_ms = world.now_ms;
    old.cosign(&mut world.witnesses, now_ms);
    for witness in world.witnesses.iter().map(|witness| (witness.name.clone(), witness.refusal.clone())) {
        world.story.add(
            now_ms,
            &witness.0,
            format!("does not cosign: it has seen {} leaves", witness.1.trim_end()),
        );
    }
    let hash = bring_with(&mut world, &signed, &old, index);
    refused(&world, 0, &hash, "cosigned by 0 of 4 witnesses");
    world.story
}

fn burnt() -> Story {
    let mut world = stolen(1);
    world.tell("Anna and Bo", "take the log from the thief: policy 2 names a new one");
    let (mut old, policy) = world.move_log("log.example/tills-2");
    world.tell_all(&policy);
    world.push_news(0, &[policy]);
    world.pass(1);
    let (signed, leaf) = by_two(&mut world);
    let index = old.append(&leaf);
    let now_ms = world.now_ms;
    old.cosign(&mut world.witnesses, now_ms);
    let refusal = world.witnesses[0].refusal.clone();
    assert!(refusal.contains("ended this log"), "{refusal}");
    world.story.add(now_ms, "witness-1", format!("does not cosign: {refusal}"));
    for name in ["witness-1", "witness-2", "witness-3"] {
        old.cosigned_by_liar(name, Time(now_ms / 1_000));
    }
    world.tell("a thief", "logs a job in the old log, and even three witnesses lie for it");
    let hash = bring_with(&mut world, &signed, &old, index);
    refused(&world, 0, &hash, "log.example/tills");
    twin_runs(&mut world);
    world.story
}

fn wiped() -> Story {
    let mut world = stolen(1);
    let (signed, leaf) = by_two(&mut world);
    let index = world.log_entry(&leaf);
    let log = world.mailman.log.copy();
    let first = bring_with(&mut world, &signed, &log, index);
    world.story.call(first, "a job");
    world.pass(5);
    ran_once(&world, 0, &first);
    let (size, root) = (world.mailman.log.tree.size(), world.mailman.log.tree.root());
    world.tell("a thief", "wipes the server: its records and its log");
    let challenge = world.mailman.challenges[&0];
    world.mailman = Mailman::new(Log::empty("log.example/tills"));
    world.mailman.silent = true;
    world.mailman.challenges.insert(0, challenge);
    let (next, leaf) = by_two(&mut world);
    let index = world.log_entry(&leaf);
    let log = world.mailman.log.copy();
    let hash = bring_with(&mut world, &next, &log, index);
    refused(&world, 0, &hash, "cosigned by 0 of 4 witnesses");
    world
        .tell("Anna and Bo", "go on in a new log, by policy 2; what they kept says how far the old one went");
    let (_, policy) = world.move_log_from("log.example/tills-2", size, Some(root));
    world.tell_all(&policy);
    world.push_news(0, &[policy]);
    world.pass(1);
    let index = world.log_entry(&signed.leaf(&world.org).unwrap());
    let log = world.mailman.log.copy();
    bring_with(&mut world, &signed, &log, index);
    world.story.call(first, "the job that ran before");
    ran_once(&world, 0, &first);
    let said = world.said(0, &first).unwrap().1;
    assert_eq!(said, "step 1 was accepted before");
    assert!(
        world.machines[0].device().ledger().spooled() >= 3,
        "its receipts are still there for whoever wants them"
    );
    twin_runs(&mut world);
    world.story
}
