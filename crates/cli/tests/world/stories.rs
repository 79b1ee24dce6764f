//! What people do all day, from the first policy to the auditor.

use crate::world::World;

#[test]
fn two_people_begin_run_and_prove_it() {
    let mut world = World::of_two();
    let token = world.token(3);
    world.join(&token, 3);
    let job = world.job(&["/bin/echo", "hello"]);
    let watched = world.anna(&["job", "watch", &job, "--for", "30s"]).well();
    assert!(watched.contains("3 devices: 3 ended well, 0 failed, 0 refused, 0 open"), "{watched}");
    let shown = world.bo(&["job", "show", &job[..8], "--json"]).json();
    assert_eq!(shown["signed_by"], serde_json::json!(["anna", "bo"]));
    for device in shown["devices"].as_array().unwrap() {
        assert_eq!(
            (&device["verified"], device["because"].as_str()),
            (&true.into(), Some("exit 0")),
            "{device}"
        );
        let id = device["device"].as_str().unwrap();
        let output = world.anna(&["job", "output", &job, id, "--json"]).json();
        assert_eq!(output["output"], "hello\n");
        assert!(output["word"].as_str().unwrap().starts_with("verified"), "{output}");
    }
    world.until("the receipts are in the log", |world| {
        let evidence = world.anna(&["audit", &job, "--out", "evidence", "--json"]).json();
        let judged =
            evidence["devices"].as_array().unwrap().iter().all(|device| device["judged_again"] == "accepted");
        assert!(judged, "{evidence}");
        let proofs = std::fs::read_dir(world.folder.path().join("evidence").join(&job[..12])).unwrap();
        proofs.flatten().all(|folder| folder.path().join("receipts/000002.tlog-proof").is_file())
    });
    let log = world.anna(&["log", "verify", "--json"]).json();
    assert_eq!((&log["missing"], &log["leaves"]["join"]), (&serde_json::json!([]), &3.into()));
}

#[test]
fn one_person_needs_nobody_else() {
    let mut world = World::new();
    world.make_key("mia");
    let begun = world.init("mia", "Home", &["--person", "mia"]);
    assert!(
        begun.err.contains("asks for no approval") && begun.err.contains("1 signature changes the policy")
    );
    begun.well();
    let token = world.types("mia", &["enroll", "token", "--site", "home", "--json"]).json();
    assert_eq!(token["state"], "logged");
    let agent = world.types("mia", &["status", "--json"]).json();
    assert_eq!(agent["log_size"], 2);
    world.types("mia", &["halt", "--reason", "try it"]).well();
    assert_eq!(world.types("mia", &["status", "--json"]).json()["halts"].as_array().unwrap().len(), 1);
    world.types("mia", &["resume", "--why", "it works"]).well();
    assert_eq!(world.types("mia", &["status", "--json"]).json()["halts"].as_array().unwrap().len(), 0);
    world.stop_server();
    world.types("mia", &["status"]).fails(4);
}

#[test]
fn a_halt_needs_no_server_and_says_when_it_is_not_set() {
    let mut world = World::of_two();
    let token = world.token(1);
    world.join(&token, 1);
    world.stop_server();
    let set = world.bo(&["halt", "--reason", "server in the wrong hands", "--json"]).json();
    assert_eq!((&set["set"], &set["acknowledged"], &set["server"]), (&true.into(), &4.into(), &false.into()));
    world.stop_beacons(2);
    let not = world.anna(&["halt", "--reason", "again", "--json"]);
    assert_eq!(not.code, 1);
    assert!(not.out.contains("\"acknowledged\":2") && not.out.contains("\"needed\":3"), "{}", not.out);
    // The server comes back and never heard of a halt; anna's tool hears of bo's from the beacons that are left.
    world.start_server();
    let status = world.anna(&["status", "--json"]).json();
    assert_eq!(status["halts"].as_array().unwrap().len(), 2, "{status}");
}

#[test]
fn a_halt_stops_and_a_quorum_starts_again_without_what_was_cut() {
    let mut world = World::of_two();
    let token = world.token(2);
    world.join(&token, 2);
    world.anna(&["halt", "--reason", "wrong"]).well();
    let stopped = world.job(&["/bin/true"]);
    let refused = world.anna(&["job", "watch", &stopped, "--for", "30s"]);
    assert_eq!(refused.code, 3, "{}", refused.out);
    assert!(refused.out.contains("halted: the whole organization by anna"), "{}", refused.out);
    assert!(refused.err.contains("2 of them refused it for a reason that passes"), "{}", refused.err);
    // A resume would let it run: the same again beside it would run twice.
    let again = world.anna(&["job", "rerun", &stopped, "--failed", "--preview"]);
    assert!(again.err.contains("it may still run") && again.err.contains("job cancel"), "{}", again.err);
    again.fails(2);
    world.anna(&["resume", "--why", "it was nothing", "--cut-all"]).well();
    let waiting = world.waiting("bo");
    world.bo(&["approve", &waiting]).well();
    let fresh = world.job(&["/bin/false"]);
    let failed = world.anna(&["job", "watch", &fresh, "--for", "30s"]);
    assert_eq!(failed.code, 1, "{}", failed.out);
    assert!(failed.out.contains("exit 1"), "{}", failed.out);
    world.until("the old job is cut off", |world| {
        let shown = world.anna(&["job", "show", &stopped, "--json"]).json();
        let devices = shown["devices"].as_array().unwrap();
        devices.iter().all(|device| device["because"].as_str().unwrap().contains("which cuts it off"))
    });
}

#[test]
fn whoever_cancels_again_and_again_is_warned_before_halts_run_out() {
    let world = World::of_two();
    let job = |number: u8| format!("{number:064x}");
    for number in 1..=8 {
        let said = world.anna(&["halt", "--job", &job(number), "--reason", "wrong script"]);
        assert!(!said.err.contains("of one key"), "{}", said.err);
        said.well();
    }
    let said = world.anna(&["halt", "--job", &job(9), "--reason", "wrong script"]);
    assert!(said.err.contains("8 halts of anna are active"), "{}", said.err);
    let status = world.bo(&["status"]);
    assert!(
        status.err.contains("9 halts of anna are active") && status.err.contains("resume --over"),
        "{}",
        status.err
    );
    // None of these jobs is shown, so nothing says that they are over.
    world.anna(&["resume", "--over", "--why", "these jobs are over"]).fails(2);
}

#[test]
fn the_second_wave_waits_for_a_person_who_has_seen_the_first() {
    let mut world = World::of_two();
    let (lund, ystad) = (world.token_at("lund", 1), world.token_at("ystad", 2));
    world.join(&lund, 1);
    world.join(&ystad, 2);
    let user = world.user();
    let words = ["run", "--on", "kind=register", "--by-label", "--wave", "site=lund:0s", "--wave", "100%:0s"];
    let more = ["--why", "a test", "--detach", "--json", "--user", &user, "--", "/bin/echo", "hello"];
    let asked = world.anna(&[&words[..], &more].concat()).json();
    let job = asked["job"].as_str().unwrap().to_owned();
    let shown = world.bo(&["approve", &job]);
    assert!(shown.err.contains("wave 1 (of those left, site=lund)"), "{}", shown.err);
    shown.well();
    let done = |world: &World, count: usize| {
        let shown = world.anna(&["job", "show", &job, "--json"]).json();
        let devices = shown["devices"].as_array().unwrap().clone();
        devices.iter().filter(|device| device["because"] == "exit 0").count() == count
    };
    world.until("the first wave has ended", |world| done(world, 1));
    let alone = world.anna(&["job", "advance", &job, "--why", "it works", "--json"]).json();
    assert_eq!(alone["missing"], "1 of 2 signatures by people of role owner under policy 1");
    let looked = world.bo(&["approve", alone["advance"].as_str().unwrap()]);
    assert!(looked.err.contains("1 ended well, 0 failed, 0 not heard of"), "{}", looked.err);
    looked.well();
    world.until("the second wave has ended", |world| done(world, 3));
    world.anna(&["job", "advance", &job, "--why", "again"]).fails(2);
    world.until("the advance is in the evidence", |world| {
        let evidence = world.anna(&["audit", &job, "--out", "evidence", "--json"]).json();
        evidence["devices"].as_array().unwrap().iter().all(|device| device["judged_again"] == "accepted")
    });
}

#[test]
fn a_job_that_repeats_runs_again_by_itself() {
    let mut world = World::of_two();
    let token = world.token(1);
    world.join(&token, 1);
    let (user, marks) = (world.user(), world.path("marks"));
    let script = world.path("mark.sh");
    std::fs::write(&script, format!("date +%s%N | tee -a {marks}\n")).unwrap();
    let words = ["run", "--all", "--every", "10s", "--why", "a test", "--detach", "--json", "--user", &user];
    let asked = world.anna(&[&words[..], &["--script", &script]].concat()).json();
    world.bo(&["approve", asked["job"].as_str().unwrap()]).well();
    let count = || std::fs::read_to_string(&marks).unwrap_or_default().lines().count();
    world.until("it ran twice", |_| count() >= 2);
    let job = asked["job"].as_str().unwrap();
    world.until("the output of the last time is shown, verified", |world| {
        let marked = std::fs::read_to_string(&marks).unwrap();
        let shown = world.anna(&["job", "output", job, "--json"]).json();
        shown["output"].as_str() == marked.lines().last().map(|line| format!("{line}\n")).as_deref()
            && shown["word"].as_str().is_some_and(|word| word.starts_with("verified"))
    });
    let device = &world.anna(&["device", "list", "--json"]).json()["devices"][0];
    assert_eq!(device["the_server_says"]["connected"], true, "{device}");
}

#[test]
fn on_the_day_the_keys_are_lost_the_safe_and_72_hours_bring_new_ones() {
    let mut world = World::of_two();
    let token = world.token(1);
    world.join(&token, 1);
    for key in ["safe1", "safe2", "anna-new", "bo-new"] {
        world.make_key(key);
    }
    let public = |name: &str| {
        let text = std::fs::read_to_string(world.path(&format!("{name}.pub"))).unwrap();
        text.split(' ').take(2).collect::<Vec<_>>().join(" ")
    };
    let propose = |text: &str, key: &str| {
        let file = world.path("policy.txt");
        std::fs::write(&file, text).unwrap();
        world.anna(&["policy", "propose", &file, "--key", key, "--json"]).json()
    };
    let mut safe = [public("safe1"), public("safe2")];
    safe.sort();
    let none = "\"recovery\": {\n    \"need\": 0,\n    \"keys\": []\n  }";
    let two = format!(
        "\"recovery\": {{\n    \"need\": 2,\n    \"keys\": [\n      \"{}\",\n      \"{}\"\n    ]\n  }}",
        safe[0], safe[1]
    );
    let text = world.anna(&["policy", "show"]).well();
    assert!(text.contains(none), "{text}");
    propose(&text.replace(none, &two), "anna");
    world.bo(&["approve", &world.waiting("bo")]).well();

    // Both have lost their keys.
    let text = world.anna(&["policy", "show"]).well();
    let text = ["anna", "bo"]
        .into_iter()
        .fold(text, |text, person| text.replace(&public(person), &public(&format!("{person}-new"))));
    let recovery = propose(&text, "safe1")["policy"].as_str().unwrap().to_owned();
    for key in ["safe2", "anna-new", "bo-new"] {
        world.anna(&["approve", &recovery, "--key", key]).well();
    }
    world.until("the policy waits at the beacons", |world| {
        let warned = world.anna(&["status", "--json"]).json()["warnings"].to_string();
        warned.contains("A POLICY OF THE RECOVERY SET WAITS") && warned.contains("a beacon will take it at")
    });
    assert_eq!(world.anna(&["status", "--json"]).json()["policy_number"], 2);
    world.pass_off(72 * 3_600 + 60);
    assert_eq!(world.anna(&["status", "--json"]).json()["policy_number"], 3);

    let words = ["run", "--all", "--why", "a test", "--detach", "--json", "--key", "anna-new", "--user"];
    let user = world.user();
    let asked = world.anna(&[&words[..], &[&user, "--", "/bin/echo", "hello"]].concat()).json();
    let job = asked["job"].as_str().unwrap();
    world.bo(&["approve", job, "--key", "bo-new"]).well();
    world.until("the machine goes by the new keys", |world| {
        world.anna(&["job", "show", job, "--json"]).json()["devices"][0]["because"] == "exit 0"
    });
    // The beacons' words travel with the policy: last year's job is judged again without asking anybody.
    let evidence = world.anna(&["audit", job, "--out", "evidence", "--json"]).json();
    assert_eq!(evidence["devices"][0]["judged_again"], "accepted", "{evidence}");
}

#[test]
fn people_come_and_go_by_policy() {
    let world = World::of_two();
    world.make_key("cy");
    let added = world.anna(&["person", "add", "cy=cy.pub", "--role", "operator"]);
    assert!(
        added.err.contains("cy is new") && added.err.contains("role operator: added cy"),
        "{}",
        added.err
    );
    added.well();
    world.bo(&["approve", &world.waiting("bo")]).well();
    let people = world.anna(&["person", "list", "--json"]).json();
    assert_eq!((&people["policy"], people["people"].as_array().unwrap().len()), (&2.into(), 3));
    let stranger = world.anna(&["person", "remove", "dora"]).fails(2);
    assert!(stranger.contains("names no dora"), "{stranger}");
}

#[test]
fn a_device_that_was_let_go_is_no_target_any_more() {
    let mut world = World::of_two();
    let token = world.token(2);
    world.join(&token, 2);
    let list = world.anna(&["device", "list", "--json"]).json();
    let first = list["devices"][0]["device"].as_str().unwrap().to_owned();
    world.anna(&["device", "retire", &first]).well();
    world.bo(&["approve", &world.waiting("bo")]).well();
    let list = world.anna(&["device", "list", "--json"]).json();
    assert_eq!(list["devices"].as_array().unwrap().len(), 1);
    world.anna(&["device", "show", &first]).fails(2);
    assert_eq!(world.anna(&["log", "verify", "--json"]).json()["missing"], serde_json::json!([]));
}

/// What the second implementation says of all bundles below `evidence`.
fn auditor(world: &World) -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let mut python = std::process::Command::new(format!("{root}/target/venv/bin/python3"));
    let said = python
        .arg(format!("{root}/audit/audit.py"))
        .args(["bundle", &world.path("evidence")])
        .output()
        .unwrap();
    let told = String::from_utf8(said.stdout).unwrap();
    assert!(said.status.success(), "{told}\n{}", String::from_utf8_lossy(&said.stderr));
    told
}

#[test]
fn a_device_is_moved_by_two_people_while_it_runs_and_an_auditor_can_follow() {
    let mut world = World::of_two();
    let token = world.token(1);
    world.join(&token, 1);
    let carries = |world: &World| {
        let device = world.anna(&["device", "list", "--json"]).json()["devices"][0].clone();
        (device["device"].as_str().unwrap().to_owned(), device["labels"]["kind"].as_str().unwrap().to_owned())
    };
    let (device, _) = carries(&world);
    let before = world.job(&["/bin/echo", "a register"]);
    world.anna(&["job", "watch", &before, "--for", "30s"]).well();

    let words = ["device", "move", &device[..12], "--site", "ystad", "--label", "kind=kiosk", "--json"];
    let asked = world.anna(&words);
    assert!(
        asked.err.contains("kind: register -> kiosk") && asked.err.contains("site: lund -> ystad"),
        "{}",
        asked.err
    );
    let asked = asked.json();
    assert_eq!(asked["missing"], "1 of 2 signatures by people of role owner under policy 1");
    assert_eq!(carries(&world).1, "register", "one signature moves nothing");
    let approved = world.bo(&["approve", asked["enroll"].as_str().unwrap()]);
    assert!(
        approved.err.contains("kind: register -> kiosk") && approved.err.contains(&format!("moves {device}")),
        "{}",
        approved.err
    );
    approved.well();
    assert_eq!(carries(&world), (device.clone(), "kiosk".to_owned()));

    let user = world.user();
    let run = |label: &str| {
        let words =
            ["run", "--on", label, "--by-label", "--why", "a test", "--detach", "--json", "--user", &user];
        world.anna(&[&words[..], &["--", "/bin/echo", "a kiosk"]].concat())
    };
    run("kind=register").fails(2);
    let after = run("kind=kiosk").json()["job"].as_str().unwrap().to_owned();
    world.bo(&["approve", &after]).well();
    world.anna(&["job", "watch", &after, "--for", "30s"]).well();

    let bundle = |job: &str| world.folder.path().join("evidence").join(&job[..12]).join(&device);
    world.until("the receipts are in the log", |world| {
        for job in [&before, &after] {
            let told = world.anna(&["audit", job, "--out", "evidence", "--json"]).json();
            assert_eq!(told["devices"][0]["judged_again"], "accepted", "{told}");
        }
        bundle(&after).join("receipts/000004.tlog-proof").is_file()
    });
    assert!(bundle(&before).join("join.note").is_file() && !bundle(&before).join("anew").exists());
    assert!(bundle(&after).join("join.note").is_file() && bundle(&after).join("anew/1.txt").is_file());
    let told = auditor(&world);
    assert!(told.contains("2 of 2 bundles hold") && told.contains(&format!("{device} ystad")), "{told}");
}

#[test]
fn a_service_is_asked_for_and_approved_in_words() {
    let mut world = World::of_two();
    let token = world.token(1);
    world.join(&token, 1);
    let wish = ["--all", "--why", "the tills hang", "--detach", "--json"];
    let asked = world.anna(&[&["service", "stop", "till-display", "--timeout", "30s"][..], &wish].concat());
    let words = "STOPS till-display.service\n  through the device's service manager; waits at most 30 s";
    assert!(asked.err.contains(words), "{}", asked.err);
    let job = asked.json()["job"].as_str().unwrap().to_owned();
    let approved = world.bo(&["approve", &job]);
    assert!(
        approved.err.contains(words) && approved.err.contains("There is no earlier job"),
        "{}",
        approved.err
    );
    approved.well();
    // No machine that tests this has such a service, whoever manages its services.
    let failed = world.anna(&["job", "watch", &job, "--for", "30s"]);
    assert_eq!(failed.code, 1, "{}\n{}", failed.out, failed.err);
    assert!(failed.out.contains("till-display.service: this machine "), "{}", failed.out);

    let other = world.anna(&[&["service", "start", "till-display"][..], &wish].concat()).json();
    let approved = world.bo(&["approve", other["job"].as_str().unwrap()]);
    let lines: Vec<(char, &str)> = approved
        .err
        .lines()
        .filter_map(|line| {
            let line = line.trim_start();
            Some((line.chars().next()?, line.get(1..)?.trim()))
        })
        .collect();
    let changed = [('-', "\"action\": \"stop\","), ('+', "\"action\": \"start\",")];
    assert!(changed.iter().all(|line| lines.contains(line)), "{}", approved.err);

    // `init` guards the agent.
    let refused = world.anna(&[&["service", "stop", "countersign-agent"][..], &wish].concat()).fails(3);
    let expected = "stop of countersign-agent.service: policy 1 guards `agent`; every device would refuse it";
    assert!(refused.contains(expected), "{refused}");
}
