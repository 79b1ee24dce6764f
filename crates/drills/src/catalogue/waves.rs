//! Attacks by when a device's turn comes.

use countersign_trust::envelope::Logged;
use countersign_trust::ids::Sha256;
use countersign_trust::statement::job::{Job, Wave, Who};
use countersign_trust::statement::policy::Policy;
use countersign_trust::time::Time;

use super::play::{bent, ran_once, refused};
use super::{Attack, How, Promise};
use crate::organization::sign;
use crate::rehearsal::story::Story;
use crate::rehearsal::{Setup, World};

/// In the order of the list.
pub fn attacks() -> Vec<Attack> {
    vec![
        Attack {
            name: "wave-early",
            says: "The thief brings a machine of the second wave its job with the first; one witness and one beacon lie about the time.",
            promise: Promise::Timely,
            how: vec![
                How::Virtual(early),
                How::Vectors(&[
                    "wave-early",
                    "wave-early-by-the-log",
                    "wave-one-witness-was-early",
                    "wave-due",
                ]),
            ],
        },
        Attack {
            name: "wave-withheld-until-due",
            says: "The thief keeps the first wave back, so that nobody can look at it, until the second is due by the clock.",
            promise: Promise::Timely,
            how: vec![
                How::Virtual(withheld),
                How::Vectors(&[
                    "wave-waits-for-a-person",
                    "advance-good",
                    "advance-by-the-requester-alone",
                    "advance-by-strangers",
                    "advance-does-not-replace-the-soak",
                    "advance-of-another-job",
                    "advance-not-cosigned",
                ]),
            ],
        },
    ]
}

/// Half of the machines at once, the others an hour later.
fn halves(job: &mut Job) {
    job.waves =
        [(5_000, 0), (10_000, 3_600)].map(|(share, soak)| Wave { who: Who::Share(share), soak }).into();
}

/// In which wave a machine's turn comes, counted from 0.
fn wave_of(world: &World, job: &Job, hash: &Sha256, machine: usize) -> usize {
    let me = world.machines[machine].device().ledger().enrolled().unwrap();
    job.wave_of(hash, &me.device, &me.labels)
}

/// A job in two waves for six machines, one machine of each wave.
fn two_waves(world: &mut World) -> (Job, usize, usize) {
    loop {
        let job = bent(world, halves);
        let hash = countersign_trust::statement::write(&job).1;
        let wave = |machine: usize| wave_of(world, &job, &hash, machine);
        let of = |wanted: usize| (0..world.machines.len()).find(|machine| wave(*machine) == wanted);
        if let (Some(first), Some(second)) = (of(0), of(1)) {
            return (job, first, second);
        }
    }
}

fn early() -> Story {
    let mut world = World::new(6);
    world.steal_server();
    let (job, first, second) = two_waves(&mut world);
    let signed = sign(&job, &["anna", "bo"]);
    let hash = signed.hash();
    world.story.call(hash, "a job in two waves");
    world.witnesses[3].up = false;
    let index = world.log_entry(&signed.leaf(&world.org).unwrap());
    world.mailman.log.cosigned_by_liar("witness-4", Time(0));
    let logged = Logged { signed, proof: world.mailman.log.proof(index) };
    world.tell("witness-4", "lies: it has seen the job in 1970");
    let delivery = world.good_delivery(logged.clone(), Some(&job), first);
    world.bring(first, &delivery);
    world.pass(5);
    ran_once(&world, first, &hash);
    world.tell("a thief", "brings it to a machine of the second wave at once; beacon-4 lies by 55 s");
    let mut delivery = world.good_delivery(logged.clone(), Some(&job), second);
    delivery.clears = world.clears_for(second, &[0, 1]);
    delivery.clears.push(world.lie_for(second, 3, |clear| clear.time = clear.time.plus(55)));
    world.bring(second, &delivery);
    refused(&world, second, &hash, "wave 2 starts at");
    world.pass(3_590);
    let mut delivery = world.good_delivery(logged.clone(), Some(&job), second);
    delivery.clears = world.clears_for(second, &[0, 1]);
    delivery.clears.push(world.lie_for(second, 3, |clear| clear.time = clear.time.plus(55)));
    world.bring(second, &delivery);
    refused(&world, second, &hash, "wave 2 starts at");
    world.pass(10);
    world.tell("the hour", "is over");
    let delivery = world.good_delivery(logged, Some(&job), second);
    world.bring(second, &delivery);
    world.pass(5);
    ran_once(&world, second, &hash);
    world.story
}

fn withheld() -> Story {
    let few = |policy: &mut Policy| policy.limits.auto_waves_max = 3;
    let mut world = World::found(Setup { machines: 6, policy: few, ..Setup::default() });
    world.steal_server();
    let (job, first, second) = two_waves(&mut world);
    let signed = sign(&job, &["anna", "bo"]);
    let hash = signed.hash();
    world.story.call(hash, "a job in two waves");
    let logged = world.logged(signed);
    world.tell("a thief", "keeps the first wave back for an hour");
    world.pass(3_700);
    let delivery = world.good_delivery(logged.clone(), Some(&job), second);
    world.bring(second, &delivery);
    refused(&world, second, &hash, "wave 2 waits for a person to start it");
    world.tell("Anna", "advances it by herself, who has asked for it, and so does the server");
    world.advance(hash, 2, &["anna"]);
    world.advance(hash, 2, &["server"]);
    let delivery = world.good_delivery(logged.clone(), Some(&job), second);
    world.bring(second, &delivery);
    refused(&world, second, &hash, "wave 2 waits for an advance that holds");
    let delivery = world.good_delivery(logged.clone(), Some(&job), first);
    world.bring(first, &delivery);
    world.pass(5);
    ran_once(&world, first, &hash);
    world.tell("Bo and Cia", "have looked at the first wave, and advance the job");
    world.advance(hash, 2, &["bo", "cia"]);
    let delivery = world.good_delivery(logged, Some(&job), second);
    world.bring(second, &delivery);
    world.pass(5);
    ran_once(&world, second, &hash);
    world.story
}
