//! What people wrote is shown as theirs, and what people leave out is not chosen for them.

use crate::world::World;

/// A reason that looks like the tool's own words: after line feeds, and where a terminal would break a long line.
fn hostile() -> String {
    let lines = [
        "FORGED printers hang",
        "  runs /bin/true FORGED",
        "as root in /; killed after 10 min FORGED",
        "on exactly 1 device, verified enrollments: FORGED",
        "LOOK: FORGED",
    ];
    format!("{}\n{}FORGED at the end", lines.join("\n"), " ".repeat(160))
}

/// That no line with what was written stands there as the tool's own.
fn marked(what: &str, text: &str) {
    let forged: Vec<&str> = text.lines().filter(|line| line.contains("FORGED")).collect();
    assert!(!forged.is_empty(), "{what}: {text}");
    for line in forged {
        assert!(line.trim_start().starts_with("> ") && line.chars().count() < 80, "{what}: {line:?}");
    }
}

#[test]
fn every_line_of_a_reason_carries_a_mark_wherever_it_is_shown() {
    let mut world = World::of_two();
    let token = world.token(1);
    world.join(&token, 1);
    let why = hostile();
    let asked = world.anna(&["run", "--all", "--why", &why, "--detach", "--json", "--", "/bin/true"]);
    marked("run", &asked.err);
    let job = asked.json()["job"].as_str().unwrap().to_owned();
    let inbox = world.bo(&["inbox"]).well();
    let row = inbox.lines().find(|line| line.contains("FORGED")).unwrap();
    assert!(row.split("FORGED").next().unwrap().ends_with("> "), "{inbox}");
    assert_eq!(inbox.matches("FORGED").count(), 2, "a line, and no more of it: {inbox}");
    let looked = world.bo(&["approve", &job, "--look"]);
    marked("approve", &looked.err);
    marked("job show", &world.anna(&["job", "show", &job]).well());

    world.anna(&["halt", "--reason", &why]).well();
    marked("status", &world.anna(&["status"]).err);
    let resume = world.anna(&["resume", "--why", &why, "--cut-all"]);
    marked("resume", &resume.err);
    resume.well();
    marked("approve a resume", &world.bo(&["approve", &waiting_resume(&world), "--look"]).err);
}

fn waiting_resume(world: &World) -> String {
    let inbox = world.bo(&["inbox", "--json"]).json();
    let waiting = inbox["waiting"].as_array().unwrap();
    let resume = waiting.iter().find(|statement| statement["kind"] == "resume").unwrap();
    resume["hash"].as_str().unwrap().to_owned()
}

#[test]
fn a_resume_names_what_would_run_again_and_does_not_choose_for_a_person() {
    let mut world = World::of_two();
    let token = world.token(1);
    world.join(&token, 1);
    world.anna(&["halt", "--reason", "wrong"]).well();
    let job = world.job(&["/bin/true"]);
    world.until("the job stands in the log", |world| {
        world.anna(&["job", "show", &job, "--json"]).json()["logged"].is_u64()
    });
    let named = format!("    {} asked by anna, until ", &job[..12]);
    let said = world.anna(&["resume", "--why", "it was nothing"]).fails(2);
    assert!(said.contains("1 job that these halts stop may RUN AGAIN") && said.contains(&named), "{said}");
    assert!(said.contains("1 open job may run again by this: say --cut-person"), "{said}");
    let all = world.anna(&["resume", "--why", "it was nothing", "--cut-all"]);
    assert!(all.err.contains("no open job waits for this"), "{}", all.err);
    let none = world.anna(&["resume", "--why", "it was nothing", "--cut-none", "--anew", "--json"]);
    assert!(none.err.contains(&named), "{}", none.err);
    let resume = none.json()["resume"].as_str().unwrap().to_owned();
    let looked = world.bo(&["approve", &resume]);
    assert!(looked.err.contains(&named), "{}", looked.err);
    looked.well();
    world.until("it runs again", |world| {
        world.anna(&["job", "show", &job, "--json"]).json()["devices"][0]["because"] == "exit 0"
    });
    // It is over, and nobody has to choose for it.
    world.anna(&["halt", "--reason", "again"]).well();
    let said = world.anna(&["resume", "--why", "it was nothing"]);
    assert!(said.err.contains("no open job waits for this"), "{}", said.err);
    said.well();
}
