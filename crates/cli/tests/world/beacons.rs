//! Beacons hear of policies and resumes from people's tools too, and new ones take over what the old ones knew.

use std::fs;

use crate::world::World;

/// What the beacon at this place says of itself.
fn state(world: &World, org: &str, beacon: usize) -> serde_json::Value {
    serde_json::from_str(&world.beacon_state(beacon, org)).unwrap()
}

fn org(world: &World) -> String {
    world.anna(&["status", "--json"]).json()["org"].as_str().unwrap().to_owned()
}

/// Cy comes by policy 2, which is logged while no beacon can be reached.
fn a_policy_that_no_beacon_heard_of() -> (World, String) {
    let mut world = World::of_two();
    let org = org(&world);
    world.make_key("cy");
    world.stop_beacons(4);
    world.anna(&["person", "add", "cy=cy.pub", "--role", "operator"]).well();
    let approved = world.bo(&["approve", &world.waiting("bo")]);
    assert!(approved.err.contains("policy 2 CAN BE KEPT FROM DEVICES"), "{}", approved.err);
    approved.well();
    (world, org)
}

#[test]
fn a_policy_that_too_few_beacons_hold_is_an_alarm_until_they_have_it() {
    let (mut world, org) = a_policy_that_no_beacon_heard_of();
    let alarm = world.anna(&["status"]).fails(5);
    assert!(alarm.contains("ALARM") && alarm.contains("0 of 4 beacons of policy 1 have it"), "{alarm}");
    assert!(
        alarm.contains("the beacon beacon1 has not shown that it holds policy 2: cannot reach"),
        "{alarm}"
    );
    world.start_beacons();
    let status = world.anna(&["status", "--json"]);
    let reached = status.json()["reached"].clone();
    assert_eq!(
        reached[0],
        serde_json::json!({"policy": 2, "acknowledged": 4, "needed": 3, "of": 4, "missing": []})
    );
    for beacon in 0..4 {
        assert_eq!(state(&world, &org, beacon)["policy"]["number"], 2);
    }
}

/// A server in the wrong hands logs the policy, shows it to people, tells no beacon, and then says nothing to anybody.
#[test]
fn what_the_server_keeps_from_beacons_is_brought_to_them_without_it() {
    let (mut world, org) = a_policy_that_no_beacon_heard_of();
    world.stop_server();
    world.start_beacons();
    for beacon in 0..4 {
        assert_eq!(state(&world, &org, beacon)["policy"]["number"], 1);
    }
    let said = world.bo(&["status"]).fails(4);
    assert!(said.contains("Brought up to policy 2 from here: beacon1, beacon2, beacon3, beacon4"), "{said}");
    for beacon in 0..4 {
        assert_eq!(state(&world, &org, beacon)["policy"]["number"], 2);
    }
}

/// The line of the policy that holds `what`.
fn line(text: &str, what: &str) -> String {
    text.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {text}")).to_owned()
}

/// A policy in which a new beacon stands in the place of `gone`: its name and key come last, as names ascend.
fn replace_beacon(world: &mut World, gone: &str, last: &str, new: &str) -> String {
    let (key, url) = world.another_beacon(new);
    let text = world.anna(&["policy", "show"]).well();
    let [last_key, last_url] = [format!("\"{last}+"), format!("\"{last}\": ")].map(|what| line(&text, &what));
    let [gone_key, gone_url] = [format!("\"{gone}+"), format!("\"{gone}\": ")].map(|what| line(&text, &what));
    let text = text.replace(&format!("{gone_key}\n"), "").replace(&format!("{gone_url}\n"), "");
    let text = text.replace(&last_key, &format!("{last_key},\n      \"{key}\""));
    let text = text.replace(&last_url, &format!("{last_url},\n      \"{new}\": \"{url}\""));
    let file = world.path("policy.txt");
    fs::write(&file, &text).unwrap();
    let proposed = world.anna(&["policy", "propose", &file, "--json"]);
    let shown = proposed.err.clone();
    proposed.well();
    world.bo(&["approve", &world.waiting("bo")]).well();
    shown
}

#[test]
fn beacons_that_take_the_places_of_others_answer_and_jobs_run_by_them() {
    let mut world = World::of_two();
    let token = world.token(1);
    world.join(&token, 1);
    let org = org(&world);
    world.stop_beacons(1);
    let shown = replace_beacon(&mut world, "beacon1", "beacon4", "beacon5");
    let words =
        "1 beacon is new: beacon5. A new beacon answers no device until 3 of the 4 beacons of policy 1";
    assert!(shown.contains(words), "{shown}");
    world.until("beacon5 answers", |world| state(world, &org, 4)["silent"].is_null());
    world.stop_beacons(1);
    replace_beacon(&mut world, "beacon2", "beacon5", "beacon6");
    world.until("beacon6 answers", |world| state(world, &org, 5)["silent"].is_null());
    // Of the four that the policy names one more goes: both new ones must answer now.
    world.stop_beacons(1);
    let job = world.job(&["/bin/true"]);
    let watched = world.anna(&["job", "watch", &job, "--for", "30s"]).well();
    assert!(watched.contains("1 ended well"), "{watched}");
}
