//! Somebody wipes the server's database while machines are connected and work; then a copy from before is put in its place.

use std::fs;
use std::path::{Path, PathBuf};

use countersign_agent::disk::ledger::read_ledger;
use countersign_drills::organization::sign;
use countersign_drills::part::{Stage, until};
use countersign_drills::world::{Machine, World};
use countersign_trust::ids::Sha256;
use countersign_trust::receipt::{Receipt, Verdict};

/// Lets the server bring again what a machine has told the end of.
const FORGET: &str = "UPDATE job_device SET verdict = 'waiting', receipt = NULL WHERE job = $1";

/// The files of the server's database.
fn database(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.file_name().unwrap().to_string_lossy().starts_with("countersign.db")).collect()
}

/// What the machine itself has written down of a job and could tell nobody.
fn spooled(machine: &Machine, job: &Sha256) -> Vec<Verdict> {
    let ledger = read_ledger(&machine.agent.folder).unwrap();
    let receipts = ledger.spool().map(|note| note.text().parse::<Receipt>().unwrap());
    receipts.filter(|receipt| receipt.job == Some(*job)).map(|receipt| receipt.verdict).collect()
}

#[test]
fn a_wiped_database_stops_new_work_and_nothing_runs_that_should_not_or_runs_twice() {
    let mut world = World::set_up(Stage::Threads, |server| server.stage = Stage::Programs);
    world.join(2);
    let (devices, folder) = (world.all(), world.server.folder.clone());
    let (done, works, waits, later) = (world.nonce(), world.nonce(), world.nonce(), world.nonce());
    let finished = world.order(&world.job(&devices, &[&done.line()]), &devices);
    for machine in &world.machines {
        world.says(Verdict::Ended, &finished, machine);
    }
    let copy = world.folder.path().join("copy");
    fs::create_dir(&copy).unwrap();
    world.server.kill();
    for file in database(&folder) {
        fs::copy(&file, copy.join(file.file_name().unwrap())).unwrap();
    }
    world.server.start();
    world.until_connected(2);

    // One job runs, and one waits for its approval.
    let go_on = world.folder.path().join("go-on");
    let wait = format!("until test -e {}; do sleep 0.05; done", go_on.display());
    let running = world.order(&world.job(&devices, &[&works.line(), &wait]), &devices);
    until("it runs on both", || (works.lines().len() == 2).then_some(()));
    let asked = sign(&world.job(&devices, &[&waits.line()]), &["anna"]);
    world.post(&asked, &devices).unwrap();

    world.server.kill();
    database(&folder).iter().for_each(|file| fs::remove_file(file).unwrap());
    world.server.start();
    // Lost: the organization, its log's key, who may ask, and what waited. The server says that it knows nobody.
    let (status, said) = world.block_on(world.http.ask("GET", &world.path("devices"), String::new()));
    assert_eq!(status, 401, "{said}");
    // Kept: what runs goes on to its end, and each machine has written that down.
    fs::write(&go_on, "").unwrap();
    for machine in &world.machines {
        until("its end is written down", || {
            spooled(machine, &running).contains(&Verdict::Ended).then_some(())
        });
    }

    // A copy from before: it lacks the job that ran, and brings the one before it once more.
    world.server.kill();
    database(&folder).iter().for_each(|file| fs::remove_file(file).unwrap());
    for file in database(&copy) {
        fs::copy(&file, folder.join(file.file_name().unwrap())).unwrap();
    }
    forget(&world, &finished);
    world.server.start();
    world.until_connected(2);
    for machine in &world.machines {
        // Its own ledger says so: a server that lacks the receipts before this one cannot show it.
        until("it refuses what it has run", || {
            spooled(machine, &finished).contains(&Verdict::Refused).then_some(())
        });
    }
    let (status, said) =
        world.block_on(world.http.ask("GET", &world.path(&format!("jobs/{running}")), String::new()));
    assert_eq!(status, 404, "{said}");
    // The witnesses have seen more of its log than the copy has: nothing new is logged, and nobody is told that it was.
    let next = sign(&world.job(&devices, &[&later.line()]), &["anna", "bo"]);
    let view = world.post(&next, &devices).unwrap();
    assert_eq!((view.state.as_str(), view.missing.contains("witnesses")), ("waiting", true), "{view:?}");
    assert_eq!(
        (done.lines().len(), works.lines().len(), waits.lines().len(), later.lines().len()),
        (2, 2, 0, 0)
    );
    for machine in &world.machines {
        assert!(spooled(machine, &running).contains(&Verdict::Ended), "no server has said that it keeps it");
    }
}

/// Changes the stopped server's database.
fn forget(world: &World, job: &Sha256) {
    let url = format!("sqlite://{}", world.server.folder.join("countersign.db").display());
    world.block_on(async {
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        let changed = sqlx::query(FORGET).bind(job.to_string()).execute(&pool).await.unwrap();
        pool.close().await;
        assert_eq!(changed.rows_affected(), 2);
    });
}
