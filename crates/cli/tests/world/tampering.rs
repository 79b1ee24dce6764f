//! A server in the wrong hands: what it changes in its own database is noticed.

use countersign_trust::checkpoint::Proof;
use countersign_trust::merkle::{Tree, leaf_hash};
use sqlx::Row as _;

use crate::world::World;

#[test]
fn a_hidden_device_is_an_alarm() {
    let mut world = World::of_two();
    let token = world.token(2);
    world.join(&token, 2);
    world.stop_server();
    world.tamper("DELETE FROM device WHERE id = (SELECT min(id) FROM device)");
    world.start_server();
    let alarm = world.anna(&["device", "list"]).fails(5);
    assert!(alarm.contains("ALARM") && alarm.contains("1 enrollment or join stands in the log"), "{alarm}");
}

#[test]
fn a_log_set_back_is_an_alarm_even_to_whoever_never_saw_more_of_it() {
    let mut world = World::of_two();
    world.stop_server();
    world.copy("server", "before");
    world.start_server();
    world.token(1);
    world.anna(&["status"]).well();
    world.stop_server();
    world.copy("before", "server");
    world.start_server();
    let alarm = world.anna(&["status"]).fails(5);
    assert!(alarm.contains("the log had 2 leaves before, the server shows a checkpoint of 1"), "{alarm}");
    let alarm = world.bo(&["status"]).fails(5);
    assert!(alarm.contains("has seen 2 leaves of the log, the server shows 1"), "{alarm}");
}

#[test]
fn targets_that_were_swapped_are_not_signed() {
    let mut world = World::of_two();
    let token = world.token(2);
    world.join(&token, 2);
    let asked = world
        .command("anna")
        .args(["run", "--all", "--why", "look", "--detach", "--yes", "--", "/bin/true"])
        .output()
        .unwrap();
    let job = String::from_utf8(asked.stdout).unwrap();
    world.stop_server();
    world.tamper("UPDATE statement SET targets = '[' || json_quote(json_extract(targets, '$[0]')) || ']' WHERE kind = 'job'");
    world.start_server();
    let alarm = world.bo(&["approve", job.trim()]).fails(5);
    assert!(alarm.contains("the server shows 1 targets") && alarm.contains("signed are 2"), "{alarm}");
}

#[test]
fn a_script_that_was_changed_in_the_database_is_named_by_job_show_and_not_signed() {
    let mut world = World::of_two();
    let token = world.token(1);
    world.join(&token, 1);
    let words = ["run", "--all", "--why", "look", "--detach", "--yes", "--", "/bin/true"];
    let asked = world.command("anna").args(words).output().unwrap();
    let job = String::from_utf8(asked.stdout).unwrap().trim().to_owned();
    world.stop_server();
    world.tamper(
        "UPDATE statement SET envelope = replace(envelope, '/bin/true', '/bin/evil') WHERE kind = 'job'",
    );
    world.start_server();
    for words in [&["job", "show", &job][..], &["approve", &job]] {
        let alarm = world.bo(words).fails(5);
        assert!(
            alarm.contains("the server shows") && alarm.contains(&format!("under the name {job}")),
            "{alarm}"
        );
    }
}

#[test]
fn a_halt_that_the_server_hides_is_heard_from_the_beacons() {
    let mut world = World::of_two();
    world.bo(&["halt", "--reason", "stop"]).well();
    world.stop_server();
    world.tamper("DELETE FROM statement WHERE kind = 'halt'");
    world.start_server();
    let said = world.anna(&["status"]);
    assert!(said.err.contains("THE SERVER DOES NOT SHOW the halt"), "{}", said.err);
    assert!(said.err.contains("HALTED: the whole organization by bo"), "{}", said.err);
}

/// All that the stopped server has logged.
async fn entries(pool: &sqlx::SqlitePool) -> Vec<String> {
    let rows = sqlx::query("SELECT entry FROM leaf ORDER BY place").fetch_all(pool).await.unwrap();
    rows.iter().map(|row| row.get("entry")).collect()
}

/// Logs the first join again, as whoever owns the stopped server can; the new leaf's index.
fn log_join_again(world: &World) -> i64 {
    let url = format!("sqlite://{}", world.path("server/countersign.db"));
    world.runtime.block_on(async {
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        let entries = entries(&pool).await;
        let place = entries.iter().position(|entry| entry.contains("\njoin\n")).unwrap();
        let new = i64::try_from(entries.len()).unwrap();
        // The database holds no entry twice by its hash: the copy gets another name.
        sqlx::query("INSERT INTO leaf SELECT org, ?, upper(hash) || ' ', entry FROM leaf WHERE place = ?")
            .bind(new)
            .bind(i64::try_from(place).unwrap())
            .execute(&pool)
            .await
            .unwrap();
        sqlx::query("UPDATE tile SET hashes = CAST(hashes || ? AS BLOB) WHERE level = 0")
            .bind(leaf_hash(entries[place].as_bytes()).0.to_vec())
            .execute(&pool)
            .await
            .unwrap();
        pool.close().await;
        new
    })
}

/// Shows the retired device as one that joined at `leaf`, with a proof that holds.
fn show_joined_at(world: &World, leaf: i64) {
    let url = format!("sqlite://{}", world.path("server/countersign.db"));
    world.runtime.block_on(async {
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        let tree: Tree = entries(&pool).await.iter().map(|entry| leaf_hash(entry.as_bytes())).collect();
        let newest = "SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1";
        let note: String = sqlx::query(newest).fetch_one(&pool).await.unwrap().get("note");
        let index = u64::try_from(leaf).unwrap();
        let inclusion = tree.inclusion(index, tree.size()).unwrap();
        let proof = Proof { extra: None, index, inclusion, checkpoint: note.parse().unwrap() };
        sqlx::query("UPDATE device SET join_proof = ?, retired = 0")
            .bind(proof.to_string())
            .execute(&pool)
            .await
            .unwrap();
        pool.close().await;
    });
}

#[test]
fn a_retired_device_does_not_come_back_by_a_join_that_is_logged_again() {
    let mut world = World::of_two();
    let token = world.token(1);
    world.join(&token, 1);
    let devices = |world: &World| world.anna(&["device", "list", "--json"]).json()["devices"].clone();
    let id = devices(&world)[0]["device"].as_str().unwrap().to_owned();
    world.anna(&["device", "retire", &id]).well();
    world.bo(&["approve", &world.waiting("bo")]).well();
    world.until("it is retired", |world| devices(world).as_array().unwrap().is_empty());
    world.stop_server();
    let leaf = log_join_again(&world);
    world.start_server();
    let warning = format!(
        "1 enrollment or join stands in the log again and counts for nothing; the first is the join of leaf 2 at leaf {leaf}"
    );
    world.until("the leaf is witnessed", |world| world.anna(&["device", "list"]).err.contains(&warning));
    assert!(devices(&world).as_array().unwrap().is_empty());
    world.stop_server();
    show_joined_at(&world, leaf);
    world.start_server();
    for words in [&["device", "list"][..], &["run", "--all", "--why", "x", "--preview", "--", "/bin/true"]] {
        let alarm = world.anna(words).fails(5);
        assert!(alarm.contains(&format!("the join of leaf 2 is shown at leaf {leaf}")), "{alarm}");
    }
}
