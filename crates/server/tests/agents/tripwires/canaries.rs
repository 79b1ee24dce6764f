//! Canaries: what a device tells is kept, acknowledged and counted once; what it did not sign, or nobody asked it for, is not.

use countersign_trust::canary::{CanaryNote, Sight};
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::note::Note;
use countersign_trust::statement::policy::{Canary, Then, Watched};
use countersign_wire::http::{DeviceView, Page};
use countersign_wire::message::{self, from_agent};

use super::{halt_of, touched, touches, tripwire};
use crate::agent::{Agent, frame, seed};
use crate::organization::{device_signer, everything, word};
use crate::wire::Wire;
use crate::world::{World, now, until};

const PATH: &str = "/srv/tills/AAA invoices.xlsx";

async fn world() -> World {
    World::with(|policy| {
        let watched = Watched::Canary(Canary { paths: [word(PATH)].into() });
        policy.tripwires = vec![tripwire(watched, 2, 60, Then::Halt)];
    })
    .await
}

fn file(size: u64) -> Sight {
    Sight::File { size, begins: Sha256([9; 32]) }
}

fn told(agent: &Agent, number: u64, was: Sight, is: Sight) -> CanaryNote {
    let mind = agent.mind();
    let chain = mind.device.ledger().chain().unwrap();
    CanaryNote {
        org: chain.org(),
        device: agent.id(),
        number,
        path: word(PATH),
        was,
        is,
        policy: chain.policy().hash,
        time: now(),
    }
}

fn signed(agent: &Agent, note: &CanaryNote) -> Note {
    device_signer(&agent.name).note(note.to_string()).unwrap()
}

fn canary_frame(note: &Note) -> Vec<u8> {
    frame(from_agent::What::Canary(message::Canary { note: note.to_string() }))
}

fn hash(note: &Note) -> Vec<u8> {
    Sha256::of(note.text().as_bytes()).0.to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_devices_whose_canary_is_gone_halt_everything_with_what_they_signed() {
    let world = world().await;
    let tills = world.tills(["till-1", "till-2", "till-3"]).await;
    let missing = tills.each_ref().map(|till| signed(till, &told(till, 1, Sight::None, Sight::Absent)));
    let came = signed(&tills[0], &told(&tills[0], 2, Sight::Absent, file(7)));
    let gone = signed(&tills[0], &told(&tills[0], 3, file(7), Sight::Absent));
    for (till, note) in tills.iter().zip(&missing) {
        till.send(canary_frame(note));
    }
    // The same again, a change after another on one device: it is one device.
    for note in [&came, &gone, &gone, &signed(&tills[0], &told(&tills[0], 4, file(7), file(8)))] {
        tills[0].send(canary_frame(note));
    }
    until("all are kept", async || tills[0].mind().kept.len() == 5).await;
    assert!(tills[0].mind().kept.contains(&hash(&gone)));
    assert_eq!(touches(&world).await, []);
    let changed = signed(&tills[1], &told(&tills[1], 2, file(7), file(9_999)));
    tills[1].send(canary_frame(&changed));
    let touch = touched(&world, 1).await;
    assert_eq!(touch.count, 2);
    assert!(
        touch
            .words
            .starts_with("a canary has changed or is gone on 2 devices of 1 site (Smygehamn 12): dev-"),
        "{}",
        touch.words
    );
    let halt = halt_of(&world, &touch).await;
    assert_eq!(halt.scope, everything());
    for note in [&gone, &changed] {
        assert!(touch.evidence.contains(&note.to_string()));
        assert!(
            halt.reason.as_str().contains(&Sha256::of(note.text().as_bytes()).to_string()),
            "{}",
            halt.reason
        );
    }
    // A third while it is halted belongs to the same touch.
    tills[2].send(canary_frame(&signed(&tills[2], &told(&tills[2], 2, file(7), Sight::Link))));
    until("it is counted", async || touches(&world).await[0].count == 3).await;
    assert_eq!((touches(&world).await.len(), world.view().await.halts.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_device_did_not_say_is_refused_noted_and_hinders_no_other() {
    let world = world().await;
    let [till, mut thief] = world.tills(["till-1", "thief"]).await;
    thief.disconnect().await;
    let good = told(&till, 1, file(7), Sight::Absent);
    let honest = signed(&till, &good);
    let own = told(&thief, 1, file(7), Sight::Absent);
    let by_thief = |note: CanaryNote| signed(&thief, &note);
    let long = Note::new(format!("{own}{}\n", "x".repeat(5_000)), honest.signatures()[0].clone()).unwrap();
    let receipt = crate::receipts::said_of(&thief, 1, None, "no canary");
    let cases = [
        (honest.clone(), "is not signed by"),
        (by_thief(good), "note is of dev-"),
        (by_thief(CanaryNote { org: OrgId([3; 32]), ..own.clone() }), "note is of org-"),
        (by_thief(CanaryNote { path: word("/etc/shadow"), ..own.clone() }), "names no canary `/etc/shadow`"),
        (by_thief(CanaryNote { is: file(7), ..own.clone() }), "tells of no change"),
        (long, "at most 4096 are read"),
        (receipt, "expected `countersign-canary/v1`"),
    ];
    for (note, expected) in cases {
        let mut wire = Wire::connect(world.server.address, &seed("thief")).await;
        wire.send(from_agent::What::Hello(thief.hello())).await;
        wire.send_bytes(&canary_frame(&note)).await;
        let why = wire.sorry().await;
        assert!(why.contains(expected), "{expected}: {why}");
    }
    let page: Page<DeviceView> = world.get("devices").await;
    let facts = |agent: &Agent| {
        let view = page.items.iter().find(|view| view.device == agent.id().to_string()).unwrap();
        view.facts.iter().map(|fact| (fact.kind.clone(), fact.times)).collect::<Vec<_>>()
    };
    assert_eq!(facts(&thief), [("frames".to_owned(), 7)]);
    assert_eq!(facts(&till), []);
    till.send(canary_frame(&honest));
    until("the good one is kept", async || till.mind().kept == [hash(&honest)]).await;
    assert_eq!(touches(&world).await, [], "nothing forged has counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_cries_wolf_all_day_fills_no_records_and_goes_on() {
    let world = world().await;
    let [till] = world.tills(["till-1"]).await;
    for number in 1..=300 {
        till.send(canary_frame(&signed(&till, &told(&till, number, file(number), file(number + 1)))));
    }
    until("it is noted", async || {
        let page: Page<DeviceView> = world.get("devices").await;
        page.items[0].facts.iter().any(|fact| fact.kind == "canaries" && fact.times == 1)
    })
    .await;
    let job = world.order(&world.job(&[till.id()]), &[till.id()]).await;
    until("it ended", async || world.on(&job, &till.id()).await.verdict == "ended").await;
    assert_eq!(till.mind().kept.len(), 256);
    assert_eq!(touches(&world).await, []);
}
