//! A server in the wrong hands: what it changes in its own database is noticed.

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
