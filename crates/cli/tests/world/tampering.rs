//! A server in the wrong hands: what it changes in its own database is noticed.

use std::sync::atomic::Ordering;

use countersign_agent::disk::Folder;
use countersign_agent::enroll::enroll;
use countersign_trust::checkpoint::Proof;
use countersign_trust::envelope::leaf;
use countersign_trust::ids::Sha256;
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
    let listed = world.anna(&["device", "list", "--json"]);
    assert!(listed.err.contains("ALARM: 1 enrollment or join stands in the log"), "{}", listed.err);
    assert_eq!(listed.json()["devices"].as_array().unwrap().len(), 1);
    world.anna(&["run", "--all", "--why", "x", "--", "/bin/true"]).fails(5);
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
fn a_log_that_witnesses_have_seen_more_of_is_replaced_by_those_who_are_alarmed() {
    let mut world = World::of_two();
    let token = world.token(2);
    world.join(&token, 2);
    world.stop_server();
    world.copy("server", "before");
    world.start_server();
    // Whoever has the log's key may log anything: to the server that was restored this is no other.
    world.token(1);
    world.stop_server();
    world.copy("before", "server");
    world.start_server();
    world.anna(&["status"]).fails(5);
    world.anna(&["run", "--all", "--why", "x", "--detach", "--", "/bin/true"]).fails(5);
    world.anna(&["policy", "propose", "--new-log", "--old-size", "99"]).fails(2);

    let proposed = world.anna(&["policy", "propose", "--new-log"]);
    assert!(proposed.err.contains("ALARM:") && proposed.err.contains("has seen"), "{}", proposed.err);
    assert!(
        proposed.err.contains("1 leaf that witnesses have seen and it does not show"),
        "{}",
        proposed.err
    );
    assert!(proposed.err.contains("the log's key"), "{}", proposed.err);
    proposed.well();
    let waiting = world.waiting("bo");
    let approved = world.bo(&["approve", &waiting]);
    assert!(approved.err.contains("ALARM:"), "{}", approved.err);
    approved.well();
    world.until("the policy is in force", |world| {
        let said = world.anna(&["status", "--json"]);
        said.json()["policy_number"] == 2
    });
    for person in ["anna", "bo"] {
        let person: &dyn Fn(&[&str]) -> _ =
            if person == "anna" { &|words| world.anna(words) } else { &|words| world.bo(words) };
        person(&["status"]).well();
        let verified = person(&["log", "verify"]).well();
        assert!(
            verified.contains("log 1 to its end at 4 leaves") && verified.contains("verified"),
            "{verified}"
        );
    }
    // Machines that joined in the log before go on, without a visit.
    let job = world.job(&["/bin/true"]);
    let shown = world.anna(&["job", "show", &job]).well();
    assert_eq!(shown.matches("ended").count(), 2, "{shown}");
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
    world.tamper("DELETE FROM offered WHERE hash IN (SELECT hash FROM statement WHERE kind = 'halt')");
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

/// Logs what `entry` makes of all that is logged, as whoever owns the stopped server can; the new leaf's index.
fn log_entry(world: &World, entry: impl Fn(&[String]) -> String) -> i64 {
    let url = format!("sqlite://{}", world.path("server/countersign.db"));
    world.runtime.block_on(async {
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        let entries = entries(&pool).await;
        let (entry, new) = (entry(&entries), i64::try_from(entries.len()).unwrap());
        // The database holds no entry twice by its hash: the new one gets a name that is none.
        sqlx::query("INSERT INTO leaf SELECT org, log, ?, 'leaf ' || ?, ? FROM leaf WHERE place = 0")
            .bind(new)
            .bind(new)
            .bind(&entry)
            .execute(&pool)
            .await
            .unwrap();
        sqlx::query("UPDATE tile SET hashes = CAST(hashes || ? AS BLOB) WHERE level = 0")
            .bind(leaf_hash(entry.as_bytes()).0.to_vec())
            .execute(&pool)
            .await
            .unwrap();
        pool.close().await;
        new
    })
}

/// Logs the first join again; the new leaf's index.
fn log_join_again(world: &World) -> i64 {
    log_entry(world, |entries| entries.iter().find(|entry| entry.contains("\njoin\n")).unwrap().clone())
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
        let alarm = world.anna(words).err;
        assert!(alarm.contains(&format!("the join of leaf 2 is shown at leaf {leaf}")), "{alarm}");
    }
    assert!(devices(&world).as_array().unwrap().is_empty());
}

#[test]
fn leaves_that_nobody_explains_are_an_alarm_and_take_the_tool_from_nobody() {
    let mut world = World::of_two();
    let token = world.token(1);
    world.join(&token, 1);
    let org = world.anna(&["status", "--json"]).json()["org"].as_str().unwrap().parse().unwrap();
    world.stop_server();
    let made_up = |kind| move |_: &[String]| leaf(&org, kind, &Sha256([7; 32]), &Sha256([8; 32]));
    let first = log_entry(&world, made_up("enroll"));
    log_entry(&world, made_up("join"));
    log_entry(&world, |_| "of nobody\n".to_owned());
    world.start_server();
    let said = format!("the enroll of leaf {first}, ");
    world.until("they are witnessed", |world| world.anna(&["policy", "show"]).err.contains(&said));

    // Whoever asks whether all is well is told no, and told all the rest.
    let status = world.anna(&["status"]);
    assert!(status.out.contains("1 devices: verified") && status.out.contains(&said), "{}", status.out);
    status.fails(5);
    let verify = world.anna(&["log", "verify"]);
    assert!(verify.out.contains("NOT WHOLE"), "{}\n{}", verify.out, verify.err);
    assert!(verify.fails(5).contains("3 leaves cannot be explained"));
    let listed = world.anna(&["device", "list", "--json"]).json();
    assert_eq!(listed["devices"].as_array().unwrap().len(), 1, "{listed}");
    let kinds: Vec<_> = listed["unexplained"].as_array().unwrap().iter().map(|leaf| &leaf["kind"]).collect();
    assert_eq!(kinds, [&"enroll".into(), &"join".into(), &serde_json::Value::Null]);

    // People can do what mends it.
    world.make_key("cy");
    world.anna(&["person", "add", "cy=cy.pub", "--role", "operator"]).well();
    world.bo(&["approve", &world.waiting("bo")]).well();
    assert!(world.anna(&["policy", "show"]).well().contains("\"number\": 2"));
    world.anna(&["halt", "--reason", "the log's key is stolen"]).well();
    world.anna(&["resume", "--why", "another key"]).well();
    world.bo(&["approve", &world.waiting("bo")]).well();

    // What aims at devices is signed only by an explicit yes, by each who signs.
    let run = ["run", "--all", "--why", "look", "--detach", "--json"];
    let program = ["--", "/bin/true"];
    let refused = world.anna(&[&run[..], &program].concat()).fails(5);
    assert!(refused.contains("--despite-unexplained-leaves") && refused.contains(&said), "{refused}");
    let despite = "--despite-unexplained-leaves";
    let job =
        world.anna(&[&run[..], &[despite], &program].concat()).json()["job"].as_str().unwrap().to_owned();
    world.bo(&["approve", &job]).fails(5);
    world.bo(&["approve", &job, despite]).well();
}

#[test]
fn a_join_that_was_witnessed_too_late_is_explained_and_counts_for_nothing() {
    let world = World::of_two();
    let token = world.token(1);
    world.ahead.store(2 * 86_400, Ordering::SeqCst);
    let folder = Folder::open(&world.folder.path().join("late")).unwrap();
    let refused = world.runtime.block_on(enroll(&folder, &token.parse().unwrap())).unwrap_err();
    assert!(refused.to_string().contains("the token was good until"), "{refused}");
    let listed = world.anna(&["device", "list", "--json"]);
    let warning = "1 enrollment or join counts for nothing; the first, at leaf 2: dev-";
    assert!(listed.err.contains(warning) && listed.err.contains("joined too late"), "{}", listed.err);
    assert!(!listed.err.contains("ALARM"), "{}", listed.err);
    assert_eq!(listed.json()["devices"], serde_json::json!([]));
    world.anna(&["log", "verify"]).well();
}

#[test]
fn a_device_that_was_seen_in_time_is_not_hidden_by_a_proof_of_a_later_day() {
    let mut world = World::of_two();
    let token = world.token(1);
    world.join(&token, 1);
    world.ahead.store(2 * 86_400, Ordering::SeqCst);
    world.token(1);
    world.stop_server();
    show_joined_at(&world, 2);
    world.start_server();
    let said = world.anna(&["device", "list"]);
    let fault = "the join of leaf 2 is shown as witnessed at";
    assert!(said.err.contains("ALARM") && said.err.contains(fault), "{}", said.err);
}

#[test]
fn an_enrollment_that_too_few_signed_is_explained_and_counts_for_nothing() {
    let mut world = World::of_two();
    world.anna(&["enroll", "token", "--site", "lund"]).well();
    world.stop_server();
    // As if a policy that asks for more had come between.
    world.tamper("UPDATE statement SET missing = '' WHERE kind = 'enroll'");
    world.start_server();
    let warning = "1 enrollment or join counts for nothing; the first, at leaf 1: the enrollment ";
    world.until("it is logged", |world| {
        let said = world.anna(&["device", "list"]).err;
        said.contains(warning) && said.contains("1 of 2 signatures") && !said.contains("ALARM")
    });
    world.anna(&["log", "verify"]).well();
    assert_eq!(world.anna(&["enroll", "list", "--json"]).json()["batches"], serde_json::json!([]));
}

/// A signature of bo's under something else stands under what anna asks for: whoever has a token can put it there.
#[test]
fn nobody_is_told_that_they_have_signed_what_they_have_not() {
    let mut world = World::of_two();
    let token = world.token(1);
    world.join(&token, 1);
    let approved = world.job(&["/bin/true"]);
    world.until("the job stands in the log", |world| {
        world.anna(&["job", "show", &approved, "--json"]).json()["logged"].is_u64()
    });
    let start = ["run", "--all", "--why", "look", "--detach", "--yes", "--", "/bin/false"];
    let asked = world.command("anna").args(start).output().unwrap();
    let asked = String::from_utf8(asked.stdout).unwrap().trim().to_owned();
    world.stop_server();
    // The signature that is not anna's of the job that both signed, in its place by the hash of its key.
    world.tamper(
        "WITH one AS (SELECT envelope AS e, instr(envelope, '-----BEGIN') AS b, instr(envelope, '-----END SSH') + 28 AS n \
         FROM statement WHERE kind = 'job' AND missing = '') \
         UPDATE statement SET envelope = (SELECT CASE \
         WHEN substr(one.e, one.b, 95) = substr(envelope, instr(envelope, '-----BEGIN'), 95) \
         THEN envelope || substr(one.e, one.n) \
         ELSE substr(envelope, 1, instr(envelope, '-----BEGIN') - 1) || substr(one.e, one.b, one.n - one.b) || \
         substr(envelope, instr(envelope, '-----BEGIN')) END FROM one) \
         WHERE kind = 'job' AND missing <> ''",
    );
    world.start_server();
    let said = world.bo(&["approve", &asked, "--yes"]);
    println!("{}\n{}", said.out, said.err);
    assert!(!said.err.contains("You have signed this already"), "{}\n{}", said.out, said.err);
}
