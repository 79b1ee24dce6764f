//! A server in the wrong hands that answers with what was never asked for, signed or approved: nobody is fooled.

use crate::world::World;

/// A job that anna asks for and nobody approves; its hash.
fn asked(world: &World, program: &[&str]) -> String {
    let start = ["run", "--all", "--why", "look", "--detach", "--yes", "--"];
    let asked = world.command("anna").args(start).args(program).output().unwrap();
    String::from_utf8(asked.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_short_hash_is_not_made_longer_by_the_server_alone() {
    let mut world = World::of_two();
    let token = world.token(1);
    world.join(&token, 1);
    let job = asked(&world, &["/bin/true"]);
    let cancel = ["job", "cancel", &job[..12], "--reason", "wrong script"];
    let said = world.anna(&cancel);
    assert!(said.err.contains(&format!("The job is {job}")), "{}", said.err);
    assert!(said.well().contains("is SET"));
    world.tamper("UPDATE statement SET hash = substr(hash, 1, 12) || printf('%052d', 0) WHERE kind = 'job'");
    let said = world.anna(&cancel);
    assert!(!said.out.contains("SET") && !said.err.contains("Halting"), "{}\n{}", said.out, said.err);
    let alarm = said.fails(5);
    assert!(alarm.contains("ALARM") && alarm.contains(&job), "{alarm}");
}

#[test]
fn the_job_to_compare_with_is_one_that_was_approved() {
    let mut world = World::of_two();
    let token = world.token(1);
    world.join(&token, 1);
    let approved = world.job(&["/bin/true"]);
    world.until("the job stands in the log", |world| {
        world.anna(&["job", "show", &approved, "--json"]).json()["logged"].is_u64()
    });
    let forged = asked(&world, &["/bin/false", "encrypt"]);
    world.stop_server();
    world.tamper(
        "UPDATE statement SET missing = '', leaf = 99, proof = (SELECT proof FROM statement WHERE kind = 'enroll') WHERE kind = 'job' AND missing <> ''",
    );
    world.start_server();
    let list = world.anna(&["job", "list", "--json"]).json();
    let shown = list["the_server_says"].as_array().unwrap();
    assert!(shown.iter().any(|job| job["hash"] == forged.as_str() && job["state"] == "logged"), "{list}");
    let next = asked(&world, &["/bin/false", "encrypt"]);
    let said = world.bo(&["approve", &next, "--look"]);
    let compared = format!("Difference to the last job that verifies, {}", &approved[..12]);
    assert!(said.err.contains(&compared), "{}\n{}", said.out, said.err);
}

#[test]
fn a_later_job_that_the_server_hides_from_an_approver_is_counted() {
    let mut world = World::of_two();
    let token = world.token(1);
    world.join(&token, 1);
    let [first, second] = [["/bin/true", "1"], ["/bin/true", "2"]].map(|program| {
        let job = world.job(&program);
        world.until("the job stands in the log", |world| {
            world.anna(&["job", "show", &job, "--json"]).json()["logged"].is_u64()
        });
        job
    });
    let next = asked(&world, &["/bin/false"]);
    let said = world.bo(&["approve", &next, "--look"]);
    assert!(said.err.contains(&format!("that verifies, {}", &second[..12])), "{}", said.err);
    assert!(!said.err.contains("not shown by the server"), "{}", said.err);
    world.stop_server();
    // A server that shows something else under its name shows it no more than one that is silent.
    world.tamper(
        "UPDATE statement SET envelope = replace(envelope, '/bin/true', '/bin/evil') WHERE leaf = (SELECT max(leaf) FROM statement WHERE kind = 'job')",
    );
    world.start_server();
    let said = world.bo(&["approve", &next, "--look"]);
    assert!(said.err.contains("1 later job was not shown by the server"), "{}", said.err);
    assert!(said.err.contains(&format!("that verifies, {}", &first[..12])), "{}", said.err);
}
