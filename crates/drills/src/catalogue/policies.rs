//! Attacks by what the organization has decided, or has decided twice.

use countersign_trust::delivery::News;
use countersign_trust::statement::policy::Policy;
use countersign_trust::statement::resume::{Cuts, Lifts};
use countersign_trust::text::Nothing;

use super::play::{EVIL, bent, keep_beacons_from, ran_once, refused, stolen, twin_runs};
use super::{Attack, How, Promise};
use crate::organization::{everything, person, sign, word};
use crate::rehearsal::story::Story;

/// In the order of the list.
pub fn attacks() -> Vec<Attack> {
    vec![
        Attack {
            name: "policy-rolled-back",
            says: "The thief shows machines the old policy again, which asked for fewer people.",
            promise: Promise::Forward,
            how: vec![
                How::Virtual(rolled_back),
                How::Vectors(&["policy-rolled-back", "policy-asks-for-more-since"]),
            ],
        },
        Attack {
            name: "rival-policies",
            says: "Bo signs two different policies number 2, one with Anna and one with Cia, and each half of the world is shown another.",
            promise: Promise::Forward,
            how: vec![How::Virtual(rival_policies), How::Vectors(&["policy-rival", "policy-heals-rivals"])],
        },
        Attack {
            name: "rival-resumes",
            says: "Bo signs two different first resumes, and each half of the world is shown another.",
            promise: Promise::Forward,
            how: vec![How::Virtual(rival_resumes), How::Vectors(&["resume-that-follows-nothing-held"])],
        },
        Attack {
            name: "removed-signer",
            says: "Bo was dismissed; the thief keeps the policy that says so from a machine and brings a job that Bo approved.",
            promise: Promise::Forward,
            how: vec![
                How::Virtual(removed_signer),
                How::Vectors(&[
                    "policy-drops-the-approver",
                    "policy-drops-the-approvers-key",
                    "policy-gives-a-signer-too-late",
                    "clears-of-a-newer-policy-withheld",
                ]),
            ],
        },
        Attack {
            name: "policy-kept-from-beacons",
            says: "Anna and Bo were dismissed; the thief logs the policy that says so, shows it to people, and tells neither beacons nor machines.",
            promise: Promise::Forward,
            how: vec![
                How::Virtual(kept_from_beacons),
                How::Real(&[
                    ("countersign-cli", "what_the_server_keeps_from_beacons_is_brought_to_them_without_it"),
                    ("countersign-cli", "a_policy_that_too_few_beacons_hold_is_an_alarm_until_they_have_it"),
                ]),
            ],
        },
    ]
}

/// Bo is no longer there.
pub fn without_bo(policy: &mut Policy) {
    policy.people.remove(&word("bo"));
    for people in policy.roles.values_mut() {
        people.remove(&word("bo"));
    }
}

fn rolled_back() -> Story {
    let mut world = stolen(1);
    let job = bent(&mut world, |_| ());
    let old = sign(&job, &["anna", "bo"]);
    let policy = world.decide(|policy| policy.rules[0].approvals = 2);
    world.tell("Anna and Bo", "decide policy 2: from here on two others must approve");
    world.tell_all(&policy);
    world.push_news(0, std::slice::from_ref(&policy));
    world.pass(1);
    world.tell("a thief", "shows policy 1 again, and a job with one approval that names it");
    world.push_news(0, &[News::Policy(world.genesis.clone())]);
    world.story.call(old.hash(), EVIL);
    let delivery = world.forged(old.clone(), 0);
    world.bring(0, &delivery);
    refused(&world, 0, &old.hash(), "1 of 2 approvals");
    let job = bent(&mut world, |_| ());
    let hash = world.try_job(&job, &["anna", "bo", "cia"], 0);
    world.pass(5);
    ran_once(&world, 0, &hash);
    world.story
}

fn rival_policies() -> Story {
    let mut world = stolen(2);
    let mut rival = world.next_policy();
    rival.limits.life = 86_400 * 2;
    let rival = sign(&rival, &["bo", "cia"]);
    let rival_hash = rival.hash();
    let rival = News::Policy(world.logged(rival));
    let first = world.decide(|policy| policy.limits.life = 86_400 * 3);
    world.tell("Bo", "signs two policies number 2");
    world.tell_beacons(&first, &[0, 1]);
    world.tell_beacons(&rival, &[2, 3]);
    world.push_news(0, std::slice::from_ref(&first));
    world.push_news(1, std::slice::from_ref(&rival));
    world.pass(200);
    let job = bent(&mut world, |_| ());
    let signed = sign(&job, &["anna", "bo"]);
    world.story.call(signed.hash(), "a job");
    let logged = world.logged(signed.clone());
    for machine in [0, 1] {
        let mut delivery = world.good_delivery(logged.clone(), Some(&job), machine);
        delivery.clears = world.clears_for(machine, &[0, 1, 2, 3]);
        world.bring(machine, &delivery);
    }
    world.pass(200);
    for machine in [0, 1] {
        refused(&world, machine, &signed.hash(), "2 of 3 Clears");
    }
    world.tell("Anna and Bo", "heal it: a policy number 3 that names both");
    let healed = world.decide(|policy| {
        policy.previous.insert(rival_hash);
    });
    world.tell_all(&healed);
    world.push_news(0, std::slice::from_ref(&healed));
    world.push_news(1, std::slice::from_ref(&healed));
    world.pass(1);
    for machine in [0, 1] {
        let job = bent(&mut world, |_| ());
        let signed = sign(&job, &["anna", "bo"]);
        world.story.call(signed.hash(), "the next job");
        let delivery = world.forged(signed.clone(), machine);
        world.bring(machine, &delivery);
        world.pass(5);
        ran_once(&world, machine, &signed.hash());
    }
    world.story
}

fn rival_resumes() -> Story {
    let mut world = stolen(1);
    let halt = world.halt(everything(), "cia");
    world.tell_all(&halt);
    world.push_news(0, std::slice::from_ref(&halt));
    world.pass(1);
    let lifts = || Lifts::Halts([halt.hash()].into());
    let rival = sign(&world.next_resume(lifts(), Cuts::All(Nothing)), &["bo", "cia"]);
    let rival_hash = rival.hash();
    let rival = News::Resume(world.logged(rival));
    let first = world.resume(lifts(), Cuts::None(Nothing));
    world.tell("Bo", "signs two first resumes");
    world.tell_beacons(&first, &[0, 1]);
    world.tell_beacons(&rival, &[2, 3]);
    world.push_news(0, std::slice::from_ref(&first));
    world.pass(200);
    let job = bent(&mut world, |_| ());
    let signed = sign(&job, &["anna", "bo"]);
    world.story.call(signed.hash(), "a job");
    let logged = world.logged(signed.clone());
    let mut delivery = world.good_delivery(logged, Some(&job), 0);
    delivery.clears = world.clears_for(0, &[0, 1, 2, 3]);
    world.bring(0, &delivery);
    world.pass(200);
    refused(&world, 0, &signed.hash(), "2 of 3 Clears");
    world.tell("Anna and Bo", "heal it: a resume that names both");
    let mut healing = world.next_resume(lifts(), Cuts::None(Nothing));
    healing.previous.insert(rival_hash);
    let healing = News::Resume(world.logged(sign(&healing, &["anna", "bo"])));
    healing.offer(&mut world.chain).unwrap();
    world.tell_all(&healing);
    world.push_news(0, std::slice::from_ref(&healing));
    world.pass(1);
    twin_runs(&mut world);
    world.story
}

fn removed_signer() -> Story {
    let mut world = stolen(1);
    let job = bent(&mut world, |_| ());
    let signed = sign(&job, &["anna", "bo"]);
    world.story.call(signed.hash(), EVIL);
    let policy = world.decide_by(&["anna", "cia"], without_bo);
    world.tell("Anna and Cia", "dismiss Bo by policy 2");
    world.tell_beacons(&policy, &[0, 1, 2, 3]);
    keep_beacons_from(&mut world, 0);
    world.pass(200);
    world.tell("a thief", "keeps policy 2 from the machine and brings a job that Bo approved");
    let delivery = world.forged(signed.clone(), 0);
    world.bring(0, &delivery);
    world.pass(200);
    refused(&world, 0, &signed.hash(), "it names policy");
    world.tell("a thief", "gives up and lets policy 2 through");
    world.push_news(0, &[policy]);
    world.pass(1);
    let delivery = world.forged(signed.clone(), 0);
    world.bring(0, &delivery);
    refused(&world, 0, &signed.hash(), "0 of 1 approvals");
    world.story
}

/// Until somebody looks, what Anna and Bo sign goes on running: that is the delay that SECURITY.md tells of.
fn kept_from_beacons() -> Story {
    let mut world = stolen(1);
    let first = world.decide(|policy| {
        policy.people.insert(word("dan"), person(&["dan"]));
        for people in policy.roles.values_mut() {
            people.insert(word("dan"));
        }
    });
    world.tell("Anna and Bo", "take Dan in by policy 2");
    world.tell_all(&first);
    world.push_news(0, std::slice::from_ref(&first));
    world.pass(1);
    let jobs = [(); 2].map(|()| sign(&bent(&mut world, |_| ()), &["anna", "bo"]));
    world.decide_by(&["cia", "dan"], |policy| {
        for name in ["anna", "bo"] {
            policy.people.remove(&word(name));
            for people in policy.roles.values_mut() {
                people.remove(&word(name));
            }
        }
    });
    world.tell(
        "Cia and Dan",
        "dismiss Anna and Bo by policy 3, which the thief logs, shows to people, and tells to nobody else",
    );
    keep_beacons_from(&mut world, 0);
    let [before, after] = jobs;
    world.story.call(before.hash(), "a job of the dismissed before anybody looked");
    let delivery = world.forged(before.clone(), 0);
    world.bring(0, &delivery);
    world.pass(5);
    ran_once(&world, 0, &before.hash());
    world.reach();
    let org = world.org;
    assert!(world.beacons.iter().all(|beacon| beacon.policy_number(org) == 3), "{}", world.story);
    world.pass(200);
    world.story.call(after.hash(), EVIL);
    world.tell("a thief", "brings another job of Anna and Bo");
    let delivery = world.forged(after.clone(), 0);
    world.bring(0, &delivery);
    world.pass(200);
    refused(&world, 0, &after.hash(), "it names policy");
    world.story
}

/// The policy changes while a job runs that a dismissed person approved.
pub fn in_mid_job() -> Story {
    let mut world = crate::rehearsal::World::new(1);
    let job = world.job(&[0]);
    let hash = world.order(&job, &[0]);
    world.story.call(hash, "a long job");
    world.durations.insert(hash, 600_000);
    world.pass(30);
    ran_once(&world, 0, &hash);
    let policy = world.decide_by(&["anna", "cia"], without_bo);
    world.tell("Anna and Cia", "dismiss Bo, who approved it");
    world.tell_all(&policy);
    world.pass(5);
    assert_eq!(world.kills.len(), 1, "{}", world.story);
    assert!(world.kills[0].2.contains("0 of 1 approvals"), "{}", world.kills[0].2);
    world.story
}
