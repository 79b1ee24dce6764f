//! What the pages under `docs/operating` say to do, done: with real parts, and the commands as they stand there.

use countersign_agent::disk::leave_letter;
use countersign_agent::disk::ledger::read_ledger;
use serde_json::Value;

use crate::world::World;

/// What `countersign halt list` says to a program.
fn halts(world: &World) -> Vec<Value> {
    world.anna(&["halt", "list", "--json"]).json()["halts"].as_array().unwrap().clone()
}

/// Anna and bo, who has a second key; the fingerprint of bo's first one.
fn bo_has_two_keys(agents: usize) -> (World, String) {
    let mut world = World::of_two();
    world.make_key("bo2");
    world.anna(&["person", "add", "bo=bo2.pub"]).well();
    world.bo(&["approve", &world.waiting("bo")]).well();
    let token = world.token(u64::try_from(agents).unwrap());
    world.join(&token, agents);
    let line =
        std::process::Command::new("ssh-keygen").args(["-lf", &world.path("bo.pub")]).output().unwrap();
    let line = String::from_utf8(line.stdout).unwrap();
    (world, line.split(' ').nth(1).unwrap().to_owned())
}

/// What waits of this kind, for the one who signs with `key`.
fn waits(world: &World, person: &str, kind: &str) -> String {
    let inbox = world.types(person, &["inbox", "--json"]).json();
    let waiting = inbox["waiting"].as_array().unwrap();
    let found: Vec<&Value> = waiting.iter().filter(|statement| statement["kind"] == kind).collect();
    assert_eq!(found.len(), 1, "{inbox}");
    found[0]["hash"].as_str().unwrap().to_owned()
}

fn because(world: &World, job: &str) -> String {
    world.anna(&["job", "show", job, "--json"]).json()["devices"][0]["because"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn is_logged(world: &World, job: &str) -> bool {
    world.anna(&["job", "show", job, "--json"]).json()["logged"].is_u64()
}

#[test]
fn a_halt_by_mistake_is_found_understood_and_lifted_by_two() {
    let mut world = World::of_two();
    let token = world.token(2);
    world.join(&token, 2);
    assert_eq!(world.anna(&["halt", "list"]).well(), "No halt is active.\n");
    let set = world.anna(&["halt", "--reason", "by mistake", "--json"]).json();
    assert_eq!((&set["set"], &set["the_server_says"]["have"]), (&true.into(), &2.into()), "{set}");
    let hash = set["halt"].as_str().unwrap().to_owned();
    let job = world.job(&["/bin/true"]);
    world.until("the job is refused", |world| because(world, &job).contains("halted"));

    let listed = world.bo(&["halt", "list"]).well();
    let words = [
        "HALTED: the whole organization\n",
        &format!("  halt      {hash}\n"),
        "Z, by its author's clock\n",
        "  by        anna, key SHA256:",
        "  because   > by mistake\n",
        &format!("1 open job:\n              {} asked by anna", &job[..12]),
        "SET: 4 of 4 beacons of policy 1 have it (4 - 3 + 2 = 3 must have it)\n",
        "beacon1: has it (verified)\n",
        "the server says: all 2 that are connected have it on disk\n",
    ];
    for word in words {
        assert!(listed.contains(word), "`{word}`\n{listed}");
    }
    let shown = &halts(&world)[0];
    assert_eq!(
        (shown["by"].as_str(), shown["open_jobs"][0].as_str()),
        (Some("anna"), Some(&*job)),
        "{shown}"
    );
    assert!(world.bo(&["halt", "show", &hash[..8]]).well().contains(&hash));
    assert!(world.bo(&["status"]).well().contains("1 halt is active: what they stop"));

    let preview = world.bo(&["resume", "--why", "it was nothing", "--preview"]);
    assert!(preview.err.contains(&format!("{} asked by anna", &job[..12])), "{}", preview.err);
    assert_eq!(preview.well(), "Nothing was signed: this was a preview.\n");
    let cut = world.bo(&["resume", "--why", "it was nothing", "--cut-all", "--preview"]);
    assert!(
        cut.err.contains("1 open job is REFUSED FOR EVER") && cut.err.contains("countersign job rerun"),
        "{}",
        cut.err
    );
    let kept =
        world.bo(&["resume", "--why", "it was nothing", "--cut-all", "--keep", &job[..10], "--preview"]);
    assert!(kept.err.contains(&format!("but kept is the job {} asked by anna", &job[..12])), "{}", kept.err);
    assert!(world.bo(&["inbox", "--json"]).json()["waiting"].as_array().unwrap().is_empty());

    world.anna(&["resume", "--why", "it was nothing", "--cut-none"]).well();
    let resume = waits(&world, "bo", "resume");
    let late = world.bo(&["resume", "--why", "it was nothing", "--cut-none"]).fails(3);
    assert!(late.contains(&format!("anna has signed the resume {} already", &resume[..12])), "{late}");
    let again = world.anna(&["resume", "--why", "it was nothing", "--cut-none"]).fails(3);
    assert!(again.contains("you have signed the resume") && again.contains("--anew"), "{again}");
    world.bo(&["approve", &resume]).well();
    assert_eq!(world.anna(&["halt", "list"]).well(), "No halt is active.\n");
    let gone = world.anna(&["halt", "show", &hash[..8]]).fails(2);
    assert!(gone.contains("was lifted by the resume"), "{gone}");
    let nothing = world.anna(&["resume", "--why", "once more"]).fails(2);
    assert!(nothing.contains("no halt is active: there is nothing to lift"), "{nothing}");
    let sealed = world.anna(&["approve", &resume]).fails(2);
    assert!(sealed.contains("is in force already"), "{sealed}");
}

#[test]
fn what_is_stopped_is_shown_and_carried_to_a_machine_without_server_and_beacons() {
    let mut world = World::of_two();
    let token = world.token(1);
    world.join(&token, 1);
    world.stop_server();
    world.bo(&["halt", "--reason", "network in the wrong hands", "--file", "halt.txt"]).well();
    let listed = world.anna(&["halt", "list"]);
    assert!(listed.err.contains("NOT KNOWN HERE BEFORE: the halt"), "{}", listed.err);
    let listed = listed.well();
    assert!(listed.contains("  by        bo, key SHA256:") && listed.contains("SET: 4 of 4"), "{listed}");
    assert!(listed.contains("server    says nothing of it: ") && listed.contains("was not seen"), "{listed}");
    world.stop_beacons(4);
    let dark = world.anna(&["halt", "list", "--file", "all.txt"]);
    assert!(
        dark.err.contains("Wrote 1 halt to all.txt") && dark.err.contains("countersign-agent halt all.txt"),
        "{}",
        dark.err
    );
    assert!(dark.well().contains("NOT SET: 0 of 4 beacons"));
    let [one, all] = ["halt.txt", "all.txt"].map(|name| std::fs::read_to_string(world.path(name)).unwrap());
    assert_eq!(one, all);
    let data = std::path::PathBuf::from(world.path("agent0"));
    leave_letter(&data, &all).unwrap();
    let holds = || read_ledger(&data).unwrap().chain().unwrap().active_halts().count();
    world.until("the machine obeys it", |_| holds() == 1);
}

#[test]
fn halts_of_a_stolen_key_end_by_a_resume_by_key_and_the_key_halts_no_more() {
    let (world, fingerprint) = bo_has_two_keys(1);
    // The thief has bo's first key.
    world.bo(&["halt", "--reason", "ha"]).well();
    world.bo(&["halt", "--person", "anna", "--reason", "ha"]).well();
    let keys: Vec<Value> = halts(&world).into_iter().map(|halt| halt["key"].clone()).collect();
    assert_eq!(keys, [fingerprint.clone(), fingerprint.clone()]);
    let by_key = ["resume", "--halts-by-key", &fingerprint, "--why", "halts by a stolen key"];
    let stranger = world.anna(&["resume", "--halts-by-key", "SHA256:nobody", "--why", "x"]).fails(2);
    assert!(stranger.contains("no policy lets the key SHA256:nobody halt"), "{stranger}");

    world.anna(&["person", "remove", "bo", "--fingerprint", &fingerprint]).well();
    world.bo(&["approve", &waits(&world, "bo", "policy"), "--key", "bo2"]).well();
    world.anna(&by_key).well();
    world.bo(&["approve", &waits(&world, "bo", "resume"), "--key", "bo2"]).well();
    assert_eq!(halts(&world), [Value::Null; 0]);
    let again = world.bo(&["halt", "--reason", "ha"]);
    assert_eq!(again.code, 3, "{}{}", again.out, again.err);
    assert!(again.err.contains("a resume has lifted all that this key halts"), "{}", again.err);
    assert_eq!(halts(&world), [Value::Null; 0]);
    // Another key of the same person does.
    world.bo(&["halt", "--reason", "a real one", "--key", "bo2"]).well();
    assert_eq!(halts(&world).len(), 1);
}

#[test]
fn a_key_that_was_lost_is_taken_away_and_nothing_that_it_signed_runs() {
    let (world, fingerprint) = bo_has_two_keys(1);
    world.anna(&["halt", "--person", "bo", "--reason", "laptop stolen"]).well();
    // The thief approves what anna asked for.
    let job = world.job(&["/bin/true"]);
    assert!(!is_logged(&world, &job), "bo's signature counts for nothing");
    world.anna(&["person", "remove", "bo", "--fingerprint", &fingerprint]).well();
    world.bo(&["approve", &waits(&world, "bo", "policy"), "--key", "bo2"]).well();
    let wish = ["resume", "--cut-person", "bo", "--why", "bo lost a laptop; the new key is in the policy"];
    world.anna(&wish).well();
    world.bo(&["approve", &waits(&world, "bo", "resume"), "--key", "bo2"]).well();
    assert_eq!(halts(&world), [Value::Null; 0]);
    assert!(!world.anna(&["person", "list"]).well().contains(&fingerprint));
    let ran = |job: &str| because(&world, job) == "exit 0";
    let again = world.anna(&["job", "rerun", &job, "--detach", "--json"]).json();
    let fresh = again["job"].as_str().unwrap().to_owned();
    world.bo(&["approve", &fresh, "--key", "bo2"]).well();
    world.until("what was signed anew runs", |_| ran(&fresh));
    assert!(!is_logged(&world, &job), "and what the lost key signed does not");
}

#[test]
fn a_colleague_is_stopped_by_one_and_removed_by_two_while_others_go_on() {
    let mut world = World::of_two();
    world.make_key("cy");
    world.anna(&["person", "add", "cy=cy.pub", "--role", "owner", "--role", "operator"]).well();
    world.bo(&["approve", &world.waiting("bo")]).well();
    let org = world.anna(&["status", "--json"]).json()["org"].as_str().unwrap().to_owned();
    let token = world.anna(&["token", "create", "cy", "--json"]).json();
    std::fs::write(world.path("cy.token"), token["token"].as_str().unwrap()).unwrap();
    let server = world.server_url();
    world
        .types("cy", &["login", "--server", &server, "--org", &org, "--me", "cy", "--token", "cy.token"])
        .well();
    let token = world.token(1);
    world.join(&token, 1);

    world.anna(&["halt", "--person", "bo", "--reason", "to be looked into"]).well();
    let user = world.user();
    let wish = ["run", "--all", "--why", "a test", "--detach", "--json", "--user", &user, "--", "/bin/true"];
    let asked = |by: &str| {
        world.anna(&wish).json()["job"].as_str().map(|job| {
            world.types(by, &["approve", job]).well();
            job.to_owned()
        })
    };
    let (with_bo, with_cy) = (asked("bo").unwrap(), asked("cy").unwrap());
    world.until("others go on", |world| because(world, &with_cy) == "exit 0");
    assert!(!is_logged(&world, &with_bo), "bo's signature counts for nothing");
    world.anna(&["person", "remove", "bo"]).well();
    world.types("cy", &["approve", &waits(&world, "cy", "policy")]).well();
    world.anna(&["resume", "--cut-person", "bo", "--why", "bo has left"]).well();
    world.types("cy", &["approve", &waits(&world, "cy", "resume")]).well();
    assert_eq!(halts(&world), [Value::Null; 0]);
    assert!(!world.anna(&["person", "list", "--json"]).well().contains("\"bo\""));
    assert!(!is_logged(&world, &with_bo), "nor does it afterwards");
}
