//! Attacks by which device is whose, and which labels it carries.

use countersign_trust::ids::Sha256;
use countersign_trust::statement::enroll::{Batch, Enroll, What};
use countersign_trust::statement::job::{TargetLabels, Targets};
use countersign_trust::statement::policy::Policy;
use countersign_wire::message::{NewsTexts, from_server};

use super::play::{EVIL, bent, bring_raw, ran_once, refused, stolen, twin_runs};
use super::{Attack, How, Promise};
use crate::organization::{labels, note_key, sign, word};
use crate::rehearsal::machine::Machine;
use crate::rehearsal::story::Story;
use crate::rehearsal::{Setup, World};

/// In the order of the list.
pub fn attacks() -> Vec<Attack> {
    vec![
        Attack {
            name: "labels-changed-by-the-server",
            says: "The thief enrolls a till anew as a test machine, with the server's key, to escape the rule for tills.",
            promise: Promise::Signed,
            how: vec![
                How::Virtual(labels_changed),
                How::Vectors(&["target-another-label", "signatures-no-rule-for-the-device"]),
            ],
        },
        Attack {
            name: "older-enroll-replayed",
            says: "The thief shows a machine an enrollment that a newer one has replaced, to give it its old labels back.",
            promise: Promise::Forward,
            how: vec![
                How::Virtual(older),
                How::Vectors(&[
                    "anew-older",
                    "anew-not-higher",
                    "anew-another-device",
                    "anew-by-too-few",
                    "anew-retired",
                ]),
            ],
        },
        Attack {
            name: "token-used-too-often",
            says: "Somebody who found a token lets a machine of his own join with it, beyond the number that people signed.",
            promise: Promise::Signed,
            how: vec![
                How::Virtual(token_again),
                How::Real(&[
                    ("countersign-server", "joins::a_token_is_good_for_as_many_devices_as_it_says"),
                    ("countersign-cli", "a_device_takes_one_place_of_a_batch"),
                ]),
            ],
        },
        Attack {
            name: "late-enrollment-joining",
            says: "The thief lets a machine join after a job for all tills was signed, and brings it that job.",
            promise: Promise::Signed,
            how: vec![
                How::Virtual(late),
                How::Vectors(&[
                    "target-enrolled-later",
                    "target-enrolled-just-before",
                    "accepted-enrolled-later-where-joins",
                ]),
            ],
        },
        Attack {
            name: "target-outside-the-root",
            says: "The thief brings a job to a machine that is not on its list, with a neighbour's place.",
            promise: Promise::Signed,
            how: vec![
                How::Virtual(outside),
                How::Vectors(&[
                    "target-of-one-stranger",
                    "target-place-of-another",
                    "target-count-of-another-list",
                    "target-without-proof",
                ]),
            ],
        },
    ]
}

fn labels_changed() -> Story {
    let stricter = |policy: &mut Policy| {
        let mut rule = policy.rules[0].clone();
        (rule.labels, rule.approvals) = (labels(&[("class", "till")]), 2);
        policy.rules.push(rule);
    };
    let mut world = World::found(Setup { machines: 1, policy: stricter, ..Setup::default() });
    world.steal_server();
    let before = world.machines[0].device().ledger().enrolled().unwrap().clone();
    let batch = Batch {
        token: note_key("token").verifier().clone(),
        site: word("Smygehamn"),
        labels: labels(&[("class", "test")]),
        count: 10,
        until: world.now().plus(3_600),
    };
    let enroll = Enroll { org: world.org, id: world.id(), what: What::Batch(batch) };
    let forged = world.logged(sign(&enroll, &["server"]));
    world.tell("a thief", "enrolls the till as a test machine, signed with the server's key");
    bring_raw(&mut world, 0, from_server::What::News(NewsTexts { envelopes: vec![forged.to_string()] }));
    let job = bent(&mut world, |_| ());
    let hash = world.try_job(&job, &["anna", "bo"], 0);
    world.story.call(hash, EVIL);
    refused(&world, 0, &hash, "1 of 2 approvals");
    assert_eq!(world.machines[0].device().ledger().enrolled(), Some(&before), "its labels have changed");
    let job = bent(&mut world, |_| ());
    let hash = world.try_job(&job, &["anna", "bo", "cia"], 0);
    ran_once(&world, 0, &hash);
    world.story
}

fn older() -> Story {
    let mut world = stolen(1);
    let labels_of = |world: &World| world.machines[0].device().ledger().enrolled().unwrap().labels.clone();
    let first = world.enroll_anew(0, &[("class", "till"), ("region", "north")], &["anna", "bo"]);
    world.tell("Anna and Bo", "move the till to the north");
    world.push_news(0, std::slice::from_ref(&first));
    world.pass(1);
    let second = world.enroll_anew(0, &[("class", "till"), ("region", "west")], &["anna", "bo"]);
    world.tell("Anna and Bo", "move it to the west");
    world.push_news(0, std::slice::from_ref(&second));
    world.pass(1);
    let west = labels_of(&world);
    assert_eq!(west.get(&word("region")), Some(&word("west")), "it does not take a newer enrollment");
    world.tell("a thief", "shows the enrollment in the north again, also after a reboot");
    world.push_news(0, std::slice::from_ref(&first));
    world.pass(1);
    world.switch_off(0);
    world.switch_on(0);
    world.push_news(0, &[first]);
    world.pass(1);
    assert_eq!(labels_of(&world), west, "it has its old labels back");
    let north = TargetLabels {
        labels: labels(&[("region", "north")]),
        as_of: world.mailman.log.tree.size(),
        joins: false,
    };
    let job = bent(&mut world, |job| job.targets = Targets::Labels(north));
    let hash = world.try_job(&job, &["anna", "bo"], 0);
    world.story.call(hash, "a job for the north");
    refused(&world, 0, &hash, "does not carry the label region=north");
    twin_runs(&mut world);
    world.story
}

fn token_again() -> Story {
    let mut world = World::new(2);
    let everybody = [0, 1];
    let job = world.job(&everybody);
    let again = world.batch_of(1);
    let records = [world.join(&again, "till-03"), world.join(&again, "stowaway")];
    for (name, records) in ["till-03", "stowaway"].iter().zip(records) {
        world.machines.push(Machine::new(name, &records));
        world.switch_on(world.machines.len() - 1);
    }
    world.tell("somebody", "joins with a token for one machine that till-03 has used already");
    world.pass(1);
    let hash = world.post(&job, &["anna", "bo"], &everybody);
    world.story.call(hash, "a job for the first two tills");
    world.mailman.jobs.get_mut(&hash).unwrap().machines = vec![0, 1, 2, 3];
    world.bring_open(None);
    world.pass(5);
    ran_once(&world, 0, &hash);
    ran_once(&world, 1, &hash);
    refused(&world, 3, &hash, "is not among its 2 targets");
    world.tell("countersign", "counts the joins in the log: the second is no device of the organization");
    world.story
}

fn late() -> Story {
    let mut world = World::new(1);
    let as_of = world.mailman.log.tree.size();
    let all_tills = TargetLabels { labels: labels(&[("class", "till")]), as_of, joins: false };
    let job = bent(&mut world, |job| job.targets = Targets::Labels(all_tills));
    world.enroll(1);
    world.tell("a thief", "lets a machine join after the job was signed");
    let hash = world.order(&job, &[0, 1]);
    world.story.call(hash, "a job for all tills");
    world.pass(5);
    ran_once(&world, 0, &hash);
    refused(&world, 1, &hash, "was enrolled at leaf");
    world.story
}

fn outside() -> Story {
    let mut world = stolen(3);
    let job = world.job(&[1, 2]);
    let signed = sign(&job, &["anna", "bo"]);
    let hash = signed.hash();
    world.story.call(hash, "a job for till-02 and till-03");
    let ids = world.ids(&[1, 2]);
    let logged = world.logged(signed);
    for neighbour in [1, 2] {
        let mut delivery = world.good_delivery(logged.clone(), Some(&job), 0);
        delivery.target = crate::rehearsal::mailman::target(&ids, &world.machines[neighbour].id);
        world.tell("a thief", format!("brings it to till-01 with the place of till-0{}", neighbour + 1));
        world.bring(0, &delivery);
        refused(&world, 0, &hash, "is not among its 2 targets");
    }
    let mut delivery = world.good_delivery(logged, Some(&job), 0);
    if let Some(target) = &mut delivery.target {
        target.path = vec![Sha256([1; 32]); 2];
    }
    world.bring(0, &delivery);
    refused(&world, 0, &hash, "is not among its 2 targets");
    twin_runs(&mut world);
    world.story
}
