//! A storm of refusals halts the organization; one device alone makes none, and what a halt makes refused is none.

use countersign_trust::ids::Sha256;
use countersign_trust::note::Note;
use countersign_trust::receipt::Receipt;
use countersign_trust::statement::policy::{Then, Watched};
use countersign_trust::text::Nothing;

use super::{halt_of, knows_a_halt, obeys, resume, touched, touches, tripwire};
use crate::agent::{Agent, receipt_frame};
use crate::organization::{device_signer, everything};
use crate::receipts::said_of;
use crate::world::{World, until};

const STORM: (u64, u64) = (6, 60);

async fn world(then: Then) -> World {
    World::with(|policy| {
        policy.tripwires = vec![tripwire(Watched::Refusals(Nothing), STORM.0, STORM.1, then)];
    })
    .await
}

/// Refusals of this code by the device's own key, as many as wanted from its first on, each standing for `count`.
fn refusals(agent: &Agent, code: &str, wanted: u64, count: u64) -> Vec<Note> {
    let mut notes: Vec<Note> = Vec::new();
    for number in 1..=wanted {
        let previous = notes.last().map(|note| Sha256::of(note.text().as_bytes()));
        let said = said_of(agent, number, previous, "bent");
        let mut receipt: Receipt = said.text().parse().unwrap();
        (receipt.code, receipt.count) = (Some(code.parse().unwrap()), count);
        notes.push(device_signer(&agent.name).note(receipt.to_string()).unwrap());
    }
    notes
}

fn say(agent: &Agent, notes: &[Note]) {
    notes.iter().for_each(|note| agent.send(receipt_frame(note)));
}

async fn until_kept(world: &World, count: usize) {
    until("the receipts are kept", async || {
        let page: countersign_wire::http::Page<countersign_wire::http::ReceiptView> =
            world.get("receipts").await;
        page.items.len() == count
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_on_two_devices_halts_once_and_not_again_after_the_resume() {
    let world = world(Then::Halt).await;
    let tills = world.tills(["till-1", "till-2", "till-3"]).await;
    // What passes, what was brought twice and what a halt makes refused counts for nothing.
    let other = ["busy", "again", "halted"].map(|code| refusals(&tills[2], code, 1, 100).remove(0));
    say(&tills[2], &other[..1]);
    say(&tills[0], &refusals(&tills[0], "unknown_signers", 4, 1_000));
    until_kept(&world, 5).await;
    assert_eq!(touches(&world).await, [], "one machine alone can claim what it likes");
    say(&tills[1], &refusals(&tills[1], "log", 3, 1));
    let touch = touched(&world, 1).await;
    assert_eq!(touch.tripwire, "refusals:6/60s:halt");
    assert_eq!(touch.words, "6 refusals of 2 devices: log 3, unknown_signers 4000");
    let halt = halt_of(&world, &touch).await;
    assert_eq!(halt.scope, everything());
    let hash: Sha256 = touch.halt.as_ref().unwrap().parse().unwrap();
    for note in &touch.evidence {
        let receipt: Receipt = note.parse::<Note>().unwrap().text().parse().unwrap();
        assert!(["log", "unknown_signers"].contains(&receipt.code.unwrap().as_str()));
    }
    until("all obey", async || tills.iter().all(|till| obeys(till, &everything()))).await;

    // A start in the middle of it changes nothing.
    let world = world.restart().await;
    assert_eq!(touches(&world).await, std::slice::from_ref(&touch));
    assert_eq!(world.view().await.halts, [hash.to_string()]);
    resume(&world, &[hash]).await;
    until("it is over", async || touches(&world).await[0].over.is_some()).await;
    assert_eq!(touches(&world).await.len(), 1, "what touched it once touches it no second time");
    assert_eq!(world.view().await.halts, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_that_a_halt_makes_touch_nothing() {
    let world = World::with(|policy| {
        policy.tripwires = vec![tripwire(Watched::Refusals(Nothing), 2, 60, Then::Halt)];
    })
    .await;
    let tills = world.tills(["till-1", "till-2"]).await;
    let ids = tills.each_ref().map(Agent::id);
    let halt = world.halt(everything()).await;
    for _ in 0..2 {
        let job = world.order(&world.job(&ids), &ids).await;
        for id in &ids {
            until("it refused", async || world.on(&job, id).await.verdict == "refused").await;
        }
    }
    assert_eq!(touches(&world).await, []);
    assert_eq!(world.view().await.halts, [halt.to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_only_tells_halts_nothing() {
    let world = world(Then::Tell).await;
    let tills = world.tills(["till-1", "till-2"]).await;
    for till in &tills {
        say(till, &refusals(till, "approvals", 3, 1));
    }
    let touch = touched(&world, 1).await;
    assert_eq!((touch.halt, touch.unhalted.as_str()), (None, ""));
    assert_eq!(world.view().await.halts, Vec::<String>::new());
    assert!(!tills.iter().any(knows_a_halt));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_not_halt_says_so_and_halts_once_a_policy_lets_it() {
    let world = World::with(|policy| {
        policy.tripwires = vec![tripwire(Watched::Refusals(Nothing), STORM.0, STORM.1, Then::Halt)];
        policy.halt.machines.clear();
    })
    .await;
    let tills = world.tills(["till-1", "till-2"]).await;
    for till in &tills {
        say(till, &refusals(till, "approvals", 3, 1));
    }
    let touch = touched(&world, 1).await;
    assert_eq!(touch.halt, None);
    assert!(touch.unhalted.starts_with("policy 1 does not let this server's key halt"), "{}", touch.unhalted);
    let key = touch.unhalted.split_once('(').unwrap().1.split_once(')').unwrap().0.to_owned();
    world
        .decide(|policy| {
            drop(policy.halt.machines.insert(crate::organization::word("server"), key.parse().unwrap()))
        })
        .await;
    until("it halts", async || touches(&world).await[0].halt.is_some()).await;
    halt_of(&world, &touches(&world).await[0]).await;
}
