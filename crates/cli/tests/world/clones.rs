//! A machine that was copied: what people see of it, with an honest server and without one.

use countersign_agent::disk::Folder;
use countersign_agent::enroll::device_signer;
use countersign_trust::ids::Sha256;
use countersign_trust::note::Note;
use countersign_trust::receipt::{Reason, Receipt};
use sqlx::Row as _;

use crate::world::World;

#[test]
fn a_copied_machine_is_named_to_whoever_looks_and_runs_nothing_until_it_is_enrolled_anew() {
    let mut world = World::of_two();
    let token = world.token(2);
    world.join(&token, 2);
    world.copy_first_machine();
    let stopped = |world: &World| {
        let list = world.anna(&["device", "list", "--json"]).json();
        let devices = list["devices"].as_array().unwrap().clone();
        devices.into_iter().find(|device| device["the_server_says"]["stopped"] == true)
    };
    world.until("the clone is stopped", |world| stopped(world).is_some());
    let id = stopped(&world).unwrap()["device"].as_str().unwrap().to_owned();
    let listed = world.anna(&["device", "list"]);
    assert!(listed.out.contains("CLONE, gets nothing"), "{}", listed.out);
    let said = format!("ALARM: {} at lund is a CLONE, the server says", &id[..16]);
    assert!(listed.err.contains(&said) && listed.err.contains("device retire"), "{}", listed.err);
    let shown = world.anna(&["device", "show", &id]);
    assert!(shown.out.contains("noted against it: clone: "), "{}", shown.out);
    let asked = world.anna(&["run", "--all", "--why", "look", "--preview", "--", "/bin/true"]);
    assert!(asked.err.contains(&said), "{}", asked.err);

    let job = world.job(&["/bin/true"]);
    world.until("the other machine ended", |world| {
        world
            .anna(&["job", "watch", &job, "--for", "1s"])
            .out
            .contains("1 ended well, 0 failed, 0 refused, 1 open")
    });
    world.anna(&["device", "retire", &id]).well();
    world.bo(&["approve", &world.waiting("bo")]).well();
    world.until("it is gone", |world| stopped(world).is_none());
}

/// Gives the stopped server's database another second receipt of the first device, by its own key; its id.
fn forge_a_fork(world: &World, hide: bool) -> String {
    let url = format!("sqlite://{}", world.path("server/countersign.db"));
    let signer =
        device_signer(&Folder::open(&world.folder.path().join("agent0")).unwrap().seed().unwrap()).unwrap();
    world.runtime.block_on(async {
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        let rows = sqlx::query("SELECT note FROM receipt WHERE number = 2").fetch_all(&pool).await.unwrap();
        let notes: Vec<Note> = rows.iter().map(|row| row.get::<String, _>("note").parse().unwrap()).collect();
        let note = notes.iter().find(|note| note.signed_by(signer.verifier())).unwrap();
        let mut receipt: Receipt = note.text().parse().unwrap();
        let device = receipt.device.to_string();
        receipt.because = Reason::new("the copy tells another story");
        let other = signer.note(receipt.to_string()).unwrap();
        if hide {
            // The copy's story instead of the other: what comes after it does not fit.
            receipt.number = 3;
            receipt.previous = Some(Sha256::of(other.text().as_bytes()));
            let third = signer.note(receipt.to_string()).unwrap();
            sqlx::query("INSERT INTO receipt (org, device, number, hash, job, note, received_ms) SELECT org, device, 3, 'x', job, ?, 0 FROM receipt WHERE device = ? AND number = 2")
                .bind(third.to_string()).bind(&device).execute(&pool).await.unwrap();
        } else {
            let evidence = serde_json::to_string(&[note.to_string(), other.to_string()]).unwrap();
            sqlx::query("INSERT INTO fact (org, device, kind, words, evidence, times, first_ms, last_ms) SELECT org, id, 'clone', 'w', ?, 1, 0, 0 FROM device WHERE id = ?")
                .bind(evidence).bind(&device).execute(&pool).await.unwrap();
        }
        pool.close().await;
        device
    })
}

/// One machine that ran a job and told its end.
fn told() -> World {
    let mut world = World::of_two();
    let token = world.token(2);
    world.join(&token, 2);
    let job = world.job(&["/bin/true"]);
    world.anna(&["job", "watch", &job, "--for", "30s"]).well();
    world.stop_agents();
    world.stop_server();
    world
}

#[test]
fn a_fork_that_the_device_signed_is_proved_and_leaves_it_out_of_new_jobs() {
    let mut world = told();
    let id = forge_a_fork(&world, false);
    world.start_server();
    let asked = world.anna(&["run", "--all", "--why", "look", "--preview", "--json", "--", "/bin/true"]);
    let proved = format!(
        "ALARM: {} at lund is a CLONE (verified): it signed receipts that contradict each other, at number 2",
        &id[..16]
    );
    assert!(asked.err.contains(&proved) && asked.err.contains("It is left out"), "{}", asked.err);
    let targets = asked.json()["targets"].clone();
    assert_eq!(targets.as_array().unwrap().len(), 1);
    assert!(targets[0] != id.as_str());
    let only = world.anna(&["run", "--device", &id, "--why", "look", "--preview", "--", "/bin/true"]);
    assert!(only.fails(3).contains("no device left that is not a clone"));
    let shown = world.anna(&["device", "show", &id]).well();
    assert!(shown.contains("verified: a CLONE by its own signatures"), "{shown}");
}

#[test]
fn a_fork_that_the_server_does_not_speak_of_is_seen_in_the_receipts_it_shows() {
    let mut world = told();
    let id = forge_a_fork(&world, true);
    world.start_server();
    let said = world.anna(&["log", "verify"]);
    let proved = format!("ALARM: {} at lund is a CLONE (verified)", &id[..16]);
    assert!(said.err.contains(&proved), "{}", said.err);
    assert!(world.anna(&["log", "verify", "--json"]).json()["clones"] == serde_json::json!([id]));
}
