//! The evidence of a span: what the server shows, judged by a program that knows nothing of this one.

use std::process::Command;

use crate::world::{Said, World};

/// What the auditor says of a folder.
fn auditor(world: &World, folder: &str) -> Said {
    audited(world, "span", folder)
}

fn audited(world: &World, command: &str, folder: &str) -> Said {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let audit = Command::new(format!("{root}/target/venv/bin/python3"))
        .current_dir(&world.folder)
        .args([&format!("{root}/audit/audit.py"), command, folder])
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: audit.status.code().unwrap(), out: text(audit.stdout), err: text(audit.stderr) }
}

/// Two machines, a job that both ran, a halt by which a second one was refused, and a resume.
fn an_afternoon() -> (World, String) {
    let mut world = World::of_two();
    let token = world.token(2);
    world.join(&token, 2);
    let job = world.job(&["/bin/echo", "hello"]);
    world.anna(&["job", "watch", &job, "--for", "30s"]).well();
    world.bo(&["halt", "--reason", "what is\nthis"]).well();
    let stopped = world.job(&["/bin/true"]);
    world.anna(&["job", "watch", &stopped, "--for", "30s"]).fails(3);
    world.anna(&["resume", "--why", "it was nothing", "--cut-all"]).well();
    let waiting = world.waiting("bo");
    world.bo(&["approve", &waiting]).well();
    world.until("all receipts are in the log", nothing_is_missing);
    (world, job)
}

/// Whether the server shows all of the last hour, which is then in the folder `try`.
fn nothing_is_missing(world: &World) -> bool {
    let _absent = std::fs::remove_dir_all(world.folder.path().join("try"));
    let written =
        world.anna(&["evidence", "--from", "1h", "--until", "9999-01-01", "--to", "try", "--json"]).json();
    written["missing"] == serde_json::json!([])
}

#[test]
fn a_span_proves_who_asked_approved_stopped_and_ran() {
    let (world, job) = an_afternoon();
    let page = std::fs::read_to_string(world.folder.path().join("try/timeline.txt")).unwrap();
    let said = auditor(&world, "try");
    for told in [
        &format!("job {}, signed by anna, bo, asked for by anna: a test", &job[..12]),
        ", called by bo, stops the organization, made ",
        ": what is this",
        ", lifts 1 halts, cuts all, keeps 0: it was nothing",
        "ended job",
        "halted: the whole organization by bo",
    ] {
        assert!(page.contains(told), "{told}\n{page}");
    }
    assert!(said.well().contains("holds, nothing is missing"));
}

#[test]
fn what_the_server_hides_is_named_and_the_auditor_comes_to_the_same() {
    let (mut world, job) = an_afternoon();
    world.stop_server();
    for hidden in [
        "DELETE FROM output WHERE job IN (SELECT job FROM receipt WHERE number = 1)",
        "DELETE FROM job_device WHERE job IN (SELECT job FROM receipt WHERE number = 1)",
        "DELETE FROM statement WHERE hash IN (SELECT job FROM receipt WHERE number = 1)",
    ] {
        world.tamper(hidden);
    }
    world.tamper("DELETE FROM receipt WHERE number = 2 AND device = (SELECT min(device) FROM receipt)");
    world.start_server();
    let written = world.anna(&["evidence", "--from", "1h", "--to", "gaps", "--json"]).json();
    let missing: Vec<&str> =
        written["missing"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    let begins = |what: &str| missing.iter().any(|line| line.starts_with(what));
    let [leaf, named] = [format!("job 0:4 {job}"), format!("job - {job}")];
    for what in [leaf.as_str(), &named, "batch 0:", "receipts dev-"] {
        assert!(begins(what), "{what}: {missing:?}");
    }
    let said = auditor(&world, "gaps");
    assert_eq!(said.code, 3, "{}{}", said.out, said.err);
    for line in missing {
        assert!(said.out.contains(&format!("MISSING: {line}: ")), "{line}\n{}", said.out);
    }
}

#[test]
fn a_span_has_what_may_be_of_its_time_and_goes_on_where_it_broke_off() {
    let (mut world, first) = an_afternoon();
    world.pass_off(7_200);
    let second = world.job(&["/bin/echo", "later"]);
    world.anna(&["job", "watch", &second, "--for", "30s"]).well();
    world.until("all receipts are in the log", nothing_is_missing);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let noon =
        Command::new("date").args(["-u", "-d", &format!("@{}", now + 3_600), "+%F %T"]).output().unwrap();
    let noon = String::from_utf8(noon.stdout).unwrap().trim().to_owned();
    let page =
        |name: &str| std::fs::read_to_string(world.folder.path().join(name).join("timeline.txt")).unwrap();
    let (asked, later) = (format!("job {}, signed", &first[..12]), format!("job {}, signed", &second[..12]));

    let before =
        world.anna(&["evidence", "--from", "2h", "--until", &noon, "--to", "before", "--json"]).json();
    // The first leaf after the span may be of it: no witness says that it was not there yet. What followed is not.
    for line in before["missing"].as_array().unwrap() {
        assert!(line.as_str().unwrap().starts_with(&format!("silent {second} ")), "{before}");
    }
    assert!(page("before").contains(&asked), "{}", page("before"));
    assert!(!page("before").contains(&format!("ended job {}", &second[..12])), "{}", page("before"));
    assert_eq!(auditor(&world, "before").code, 3);

    let until = ["--until", "9999-01-01"];
    let after =
        world.anna(&[&["evidence", "--from", &noon, "--to", "after", "--json"][..], &until].concat()).json();
    assert!(page("after").contains(&later) && !page("after").contains(&asked), "{}", page("after"));
    auditor(&world, "after").well();

    // What broke off: the last files, and one in the middle.
    for lost in ["MANIFEST", "timeline.txt", &format!("statements/{second}.txt")] {
        std::fs::remove_file(world.folder.path().join("after").join(lost)).unwrap();
    }
    let receipts = world.folder.path().join("after/receipts");
    let last = std::fs::read_dir(&receipts).unwrap().flatten().map(|entry| entry.path()).max().unwrap();
    std::fs::remove_file(last).unwrap();
    let again = world.anna(&["evidence", "--to", "after", "--json"]).json();
    assert_eq!(again, after);
    let other = world.anna(&["evidence", "--from", "1970-01-01", "--to", "after"]).fails(2);
    assert!(other.contains("holds the evidence of"), "{other}");
    let nothing = world.anna(&["evidence", "--to", "new"]).fails(2);
    assert!(nothing.contains("say from when on"), "{nothing}");
}

#[test]
fn what_machines_kept_is_judged_again_and_stands_in_for_a_server_that_is_gone() {
    let (mut world, job) = an_afternoon();
    let stick = world.folder.path().join("stick");
    world.until("each machine was shown its receipts in the log", |world| {
        let _absent = std::fs::remove_dir_all(&stick);
        (0..2).all(|number| {
            let data = world.folder.path().join(format!("agent{number}"));
            let written = countersign_agent::evidence::write(&data, &stick).unwrap();
            let receipts = stick.join(written.device.to_string()).join("device/receipts");
            let names: Vec<_> =
                std::fs::read_dir(receipts).unwrap().flatten().map(|entry| entry.path()).collect();
            let logged = |path: &std::path::PathBuf| path.with_extension("place").exists();
            written.jobs == 2 && names.iter().all(logged)
        })
    });
    let said = audited(&world, "bundle", "stick");
    assert!(said.well().contains("4 of 4 bundles hold"));

    world.stop_server();
    std::fs::remove_dir_all(world.folder.path().join("server")).unwrap();
    let rebuilt = world.bo(&["evidence", "rebuild", "--agents", "stick", "--to", "rebuilt", "--json"]);
    let rebuilt = rebuilt.json();
    let page = std::fs::read_to_string(world.folder.path().join("rebuilt/timeline.txt")).unwrap();
    let said = auditor(&world, "rebuilt");
    assert_eq!(said.code, 3);
    assert!(
        page.contains(&format!("job {}, signed by anna, bo, asked for by anna: a test", &job[..12])),
        "{page}"
    );
    assert!(page.contains("ended job") && page.contains("called by bo, stops the organization"), "{page}");
    for line in rebuilt["missing"].as_array().unwrap() {
        assert!(said.out.contains(&format!("MISSING: {}: ", line.as_str().unwrap())), "{line}");
    }
}
