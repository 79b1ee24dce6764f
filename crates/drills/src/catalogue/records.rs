//! Attacks on receipts, and by agents.

use countersign_trust::device::Acknowledged;
use countersign_trust::envelope::leaf;
use countersign_trust::ids::Sha256;
use countersign_trust::merkle::leaf_hash;
use countersign_trust::note::Note;
use countersign_trust::receipt::Verdict;
use countersign_wire::message::{self, from_agent, from_server};

use super::play::{EVIL, bent, bring_raw, ran_once, stolen};
use super::{Attack, How, Promise};
use crate::organization::{device_signer, sign};
use crate::rehearsal::World;
use crate::rehearsal::story::Story;
use crate::rehearsal::wire::{Letter, Parcel, Who};

/// Receipts.
pub fn first() -> Vec<Attack> {
    vec![
        Attack {
            name: "receipts-hidden",
            says: "The thief swallows a machine's receipts and pretends that they stand in the log.",
            promise: Promise::Told,
            how: vec![
                How::Virtual(hidden),
                How::Vectors(&["budget-spool-full"]),
                How::Real(&[(
                    "countersign-server",
                    "receipts::without_enough_witnesses_a_device_keeps_its_receipts",
                )]),
            ],
        },
        Attack {
            name: "receipts-flooded",
            says: "The thief brings a bad job five hundred times a minute, to bury what happened and to fill the disk.",
            promise: Promise::Told,
            how: vec![How::Virtual(flooded)],
        },
    ]
}

/// Agents that attack.
pub fn second() -> Vec<Attack> {
    vec![
        Attack {
            name: "hostile-agent-huge-frames",
            says: "A machine in the wrong hands sends its server a frame without end.",
            promise: Promise::Told,
            how: vec![
                How::Virtual(huge),
                How::Real(&[
                    ("countersign-server", "frames::what_is_no_frame_ends_the_connection_with_a_sentence"),
                    (
                        "countersign-server",
                        "frames::an_agent_that_does_not_read_is_cut_off_and_the_others_are_not",
                    ),
                ]),
            ],
        },
        Attack {
            name: "hostile-agent-forged-receipts",
            says: "A machine in the wrong hands sends a receipt in another machine's name.",
            promise: Promise::Told,
            how: vec![
                How::Virtual(forged),
                How::Real(&[
                    (
                        "countersign-server",
                        "receipts::a_receipt_that_the_device_has_not_made_ends_the_connection_and_is_not_kept",
                    ),
                    (
                        "countersign-server",
                        "clones::two_receipts_of_one_number_stop_the_device_and_both_are_kept_as_evidence",
                    ),
                ]),
            ],
        },
        Attack {
            name: "hostile-agent-others-ids",
            says: "A machine in the wrong hands says that it is another one.",
            promise: Promise::Told,
            how: vec![How::Real(&[
                ("countersign-server", "frames::a_stranger_is_told_why_it_is_turned_away"),
                ("countersign-server", "frames::a_device_has_one_connection_the_newest"),
                ("countersign-server", "joins::a_join_is_refused_with_the_reason"),
            ])],
        },
    ]
}

fn hidden() -> Story {
    let mut world = stolen(1);
    let job = bent(&mut world, |_| ());
    let hash = world.try_job(&job, &["anna", "bo"], 0);
    world.story.call(hash, "a job");
    world.pass(60);
    ran_once(&world, 0, &hash);
    let spool: Vec<Note> = world.machines[0].device().ledger().spool().cloned().collect();
    assert_eq!(spool.len(), 2);
    let mut own = world.mailman.log.copy();
    let root = leaf_hash(spool[0].text().as_bytes());
    let place = own.append(&leaf(&world.org, "receipts", &root, &Sha256::of(b"")));
    own.cosigned_by_liar("witness-4", world.now());
    let shown =
        Acknowledged { number: 1, index: 0, size: 1, path: Vec::new(), root, proof: own.proof(place) };
    world.tell("a thief", "shows the first receipt in a log that only witness-4, who lies, has cosigned");
    bring_raw(&mut world, 0, from_server::What::Acknowledged(message::Acknowledged::from(&shown)));
    assert_eq!(world.machines[0].device().ledger().spooled(), 2, "it let go of a receipt");
    world.switch_off(0);
    world.switch_on(0);
    world.pass(2);
    assert_eq!(world.machines[0].device().ledger().spooled(), 2);
    world.tell("Anna and Bo", "have a server of their own again; both receipts come, and stand in the log");
    world.mailman.silent = false;
    world.mailman.receipts.clear();
    world.cut_off(0, "the old server is gone");
    world.pass(30);
    assert_eq!(world.machines[0].device().ledger().spooled(), 0);
    assert_eq!(world.mailman.receipts.len(), 2, "{}", world.story);
    world.story
}

fn flooded() -> Story {
    let mut world = stolen(1);
    let bad = bent(&mut world, |_| ());
    let signed = sign(&bad, &["anna"]);
    let hash = signed.hash();
    world.story.call(hash, EVIL);
    let delivery = world.forged(signed, 0);
    world.tell("a thief", "brings a job without approvals 500 times");
    for _ in 0..500 {
        world.bring(0, &delivery);
    }
    world.pass(61);
    let receipts = &world.machines[0].sent;
    let told: u64 =
        receipts.iter().filter(|said| said.verdict == Verdict::Refused).map(|said| said.count).sum();
    assert_eq!((receipts.len(), told), (31, 500), "{}", world.story);
    let job = bent(&mut world, |_| ());
    let hash = world.try_job(&job, &["anna", "bo"], 0);
    world.story.call(hash, "an honest job");
    ran_once(&world, 0, &hash);
    assert_eq!(world.said(0, &hash).map(|said| said.0), Some(Verdict::Accepted), "what it did is told");
    world.story
}

fn from_machine(world: &mut World, parcel: Parcel) {
    let letter = Letter { from: Who::Machine(0), to: Who::Server, parcel };
    world.put(world.now_ms, letter);
    world.pass_ms(1);
}

fn told(world: &World, what: &str) -> bool {
    world.story.lines.iter().any(|line| line.who == "the server" && line.what.contains(what))
}

fn huge() -> Story {
    let mut world = World::new(2);
    world.tell("till-01", "is in the wrong hands and announces a frame of 4 GB");
    from_machine(&mut world, Parcel::Frame(vec![255; 1_000]));
    assert!(told(&world, "closes the connection: a frame of 4294967295 bytes"), "{}", world.story);
    let job = world.ordinary(&[1], "a job on till-02");
    world.pass(5);
    ran_once(&world, 1, &job);
    world.story
}

fn forged() -> Story {
    let mut world = World::new(2);
    let job = world.ordinary(&[1], "a job on till-02");
    world.tell("till-01", "is in the wrong hands and says in till-02's name that it has run");
    let receipt = format!("countersign-receipt/v1\n{}\n{}\nnumber 1\n", world.org, world.machines[1].id);
    let note = device_signer("till-01").note(receipt).unwrap().to_string();
    from_machine(
        &mut world,
        Parcel::of_agent(from_agent::What::Receipt(message::Receipt { note: note.clone() })),
    );
    let letter = Letter {
        from: Who::Machine(1),
        to: Who::Server,
        parcel: Parcel::of_agent(from_agent::What::Receipt(message::Receipt { note })),
    };
    world.put(world.now_ms, letter);
    world.pass(5);
    assert!(told(&world, "keeps no receipt that its machine has not signed"), "{}", world.story);
    let kept = world.mailman.receipts.iter().filter(|(machine, _)| *machine == 1);
    assert!(kept.clone().all(|(_, note)| note.signed_by(&world.machines[1].key)));
    ran_once(&world, 1, &job);
    world.story
}
