//! Somebody writes to the server's database: what people signed is changed in it, and the server started again.

use std::path::Path;

use countersign_drills::organization::{sign, sign_text};
use countersign_drills::world::{Nonce, World};
use countersign_trust::envelope::Signed;
use countersign_trust::ids::Sha256;
use countersign_trust::receipt::Verdict;
use countersign_trust::statement::Kind;

const SCRIPT: &str = "UPDATE statement SET envelope = replace(envelope, 'nonce-', $2) WHERE hash = $1";
const TARGETS: &str = "UPDATE statement SET targets = $2 WHERE hash = $1";
const ROW: &str = "INSERT INTO job_device (org, job, device, verdict, because)
                   SELECT org, job, $2, 'waiting', '' FROM job_device WHERE job = $1";

/// Changes the stopped server's database.
fn bend(world: &World, statement: &'static str, job: &Sha256, value: &str) {
    let url = format!("sqlite://{}", world.server.folder.join("countersign.db").display());
    let changed = world.block_on(async {
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        let query = sqlx::query(statement).bind(job.to_string()).bind(value);
        let changed = query.execute(&pool).await.unwrap().rows_affected();
        pool.close().await;
        changed
    });
    assert_eq!(changed, 1, "{statement}");
}

/// What the bent script would write.
fn evil(nonce: &Nonce) -> String {
    nonce.path().to_string_lossy().replace("nonce-", "evil-")
}

#[test]
fn a_script_changed_while_it_waits_for_its_approval_can_be_approved_by_nobody() {
    let mut world = World::new(2);
    let devices = world.all();
    let (twin, bent) = (world.nonce(), world.nonce());
    let (untouched, job) = (world.job(&devices, &[&twin.line()]), world.job(&devices, &[&bent.line()]));
    world.post(&sign(&untouched, &["anna"]), &devices).unwrap();
    let asked = sign(&job, &["anna"]);
    world.post(&asked, &devices).unwrap();

    world.server.stop();
    bend(&world, SCRIPT, &asked.hash(), "evil-");
    world.server.start();
    world.until_connected(2);

    // Bo's tool sees that it is shown another text than the one it asked for.
    let shown = Signed::from_text(&world.statement(&asked.hash()).envelope).unwrap();
    assert!(shown.statement().contains(&evil(&bent)), "{}", shown.statement());
    assert_ne!(shown.hash(), asked.hash());
    // A tool that did not look would let Bo sign it: Bo has then, and Anna has not.
    let careless = sign_text(shown.statement().to_owned(), Kind::Job, &["bo"]);
    let answer = world.post(&careless, &devices).unwrap();
    assert_eq!(answer.missing, "not signed by its requester anna as policy 1 asks");
    // What Anna wrote, by whoever has it still, is what her signature says, and is approved as ever.
    let own = world.log(&sign(&job, &["bo"]), &devices);
    assert_eq!(own, asked.hash());

    let twin_hash = world.log(&sign(&untouched, &["bo"]), &devices);
    for machine in &world.machines {
        world.says(Verdict::Ended, &twin_hash, machine);
        world.says(Verdict::Ended, &own, machine);
    }
    assert_eq!((twin.lines().len(), bent.lines().len()), (2, 2));
    assert!(!Path::new(&evil(&bent)).exists());
}

#[test]
fn jobs_changed_after_their_approval_run_nowhere_and_their_untouched_twin_runs() {
    let mut world = World::new(2);
    let (both, first) = (world.all(), [world.machines[0].id]);
    let (twin, script, targets) = (world.nonce(), world.nonce(), world.nonce());
    world.machines.iter_mut().for_each(|machine| machine.agent.stop());
    world.until_connected(0);
    let untouched = world.order(&world.job(&both, &[&twin.line()]), &both);
    let bent_script = world.order(&world.job(&both, &[&script.line()]), &both);
    let bent_targets = world.order(&world.job(&first, &[&targets.line()]), &first);

    world.server.stop();
    bend(&world, SCRIPT, &bent_script, "evil-");
    let more = serde_json::to_string(
        &countersign_drills::world::sorted(&both).iter().map(ToString::to_string).collect::<Vec<_>>(),
    );
    bend(&world, TARGETS, &bent_targets, &more.unwrap());
    bend(&world, ROW, &bent_targets, &world.machines[1].id.to_string());
    world.server.start();
    world.machines.iter_mut().for_each(|machine| machine.agent.start());
    world.until_connected(2);

    for machine in &world.machines {
        world.says(Verdict::Ended, &untouched, machine);
        let refused = world.says(Verdict::Refused, &bent_targets, machine);
        assert!(refused.because.as_str().contains("target"), "{}", refused.because.as_str());
        let unsent = world.on(&bent_script, &machine.id);
        assert_eq!(unsent.verdict, "waiting", "what the log does not show cannot be sent");
    }
    assert_eq!((twin.lines().len(), script.lines().len(), targets.lines().len()), (2, 0, 0));
    assert!(!Path::new(&evil(&script)).exists());
}
