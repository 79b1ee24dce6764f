//! The program's other commands.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Output;

use countersign_agent::disk::leave_letter;
use countersign_trust::delivery::write_sequence;
use countersign_trust::ids::Sha256;
use countersign_trust::receipt::Verdict;
use countersign_trust::statement::halt::Scope;
use countersign_trust::statement::resume::{Cuts, Lifts};
use countersign_trust::text::Nothing;
use countersign_wire::message::from_agent;

use crate::organization::{everything, sign, word};
use crate::world::{World, until};

#[tokio::test]
async fn a_halt_from_a_file_reaches_the_agent_without_any_network() {
    let world = World::new().await;
    let agent = world.start();
    let mut server = world.server.accept().await;
    let marker = world.path("runs");
    let job = world.job(&[&format!("touch {}", marker.display()), "sleep 600"]);
    let challenge = server.challenge().await;
    server.deliver(&world.delivery(&job, challenge)).await;
    until("the script runs", || marker.exists().then_some(())).await;

    let halt = world.organization(|org| org.halt(everything(), "cia"));
    let file = world.path("halt");
    std::fs::write(&file, halt.to_string()).unwrap();
    // The agent lives in this thread, and is waited for.
    let mut program = world.program(&["halt", file.to_str().unwrap()]);
    let output = tokio::task::spawn_blocking(move || program.output()).await.unwrap().unwrap();
    let said = format!("in force {}: stops the whole organization, by cia\n", halt.hash());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), said);
    let told = |what: &from_agent::What| match what {
        from_agent::What::Halted(halted) => Some(halted.hashes().unwrap()),
        _ => None,
    };
    assert_eq!(server.first(told).await, [halt.hash()].into());

    assert_eq!(server.receipt().await.verdict, Verdict::Accepted);
    let ended = server.receipt().await;
    assert_eq!(ended.verdict, Verdict::Ended);
    assert!(ended.because.as_str().starts_with("halted"), "{}", ended.because);
    let output = world.program(&["halt", file.to_str().unwrap()]).output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("known {}: stops the whole organization, by cia\n", halt.hash())
    );
    let output = world.program(&["status"]).output().unwrap();
    let status = String::from_utf8(output.stdout).unwrap();
    let words = [
        "HALTED        the whole organization\n",
        &format!("  halt        {}\n", halt.hash()),
        "  since       20",
    ];
    let more = [
        "  by          cia, key SHA256:",
        "; one signature is enough\n",
        "  because     > Something is wrong.\n",
    ];
    assert!([&words[..], &more].concat().iter().all(|words| status.contains(words)), "{status}");
    agent.stop().await;
}

/// What `countersign-agent halt` says of a file with these bytes.
fn brings(world: &World, bytes: &[u8]) -> (bool, String, String) {
    let file = world.path("stick.txt");
    let _absent = std::fs::remove_file(&file);
    std::fs::write(&file, bytes).unwrap();
    // A stick that cannot be written.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).unwrap();
    let Output { status, stdout, stderr } =
        world.program(&["halt", file.to_str().unwrap()]).output().unwrap();
    (status.success(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// The active halts that the ledger holds.
fn halts(world: &World) -> BTreeSet<Sha256> {
    world.ledger().chain().unwrap().active_halts().map(|halt| halt.hash).collect()
}

/// As an editor on another system saves it: with a mark before it and other line ends.
fn spoilt(text: &str) -> Vec<u8> {
    format!("\u{feff}{}", text.replace('\n', "\r\n")).into_bytes()
}

#[tokio::test]
async fn what_an_editor_did_to_a_file_and_what_is_cut_off_in_it_keeps_no_good_halt_away() {
    let world = World::new().await;
    let [first, second, third] =
        ["anna", "bo", "cia"].map(|key| world.organization(|org| org.halt(everything(), key)));
    let whole = write_sequence(&[&first, &second, &third].map(ToString::to_string));
    let cut = &whole[..whole.len() - 200];
    // Nobody works here: they are left for whoever will.
    let (well, out, err) = brings(&world, &spoilt(cut));
    assert!(!well, "{out}");
    let lines: Vec<&str> = out.lines().collect();
    let left = |hash: Sha256| {
        format!("left for the agent, which does not run, and obeys it from its start on: {hash}: stops ")
    };
    assert_eq!(lines.len(), 2, "{out}");
    assert!(lines[0].starts_with(&left(first.hash())) && lines[1].starts_with(&left(second.hash())), "{out}");
    assert!(
        err.contains("no whole halt, policy or resume: the file was cut off")
            && err.contains("write it again"),
        "{err}"
    );
    assert!(err.contains("what was good in the file was taken"), "{err}");

    let mut program = world.start_program();
    let mut server = world.server.accept().await;
    let told = |what: &from_agent::What| match what {
        from_agent::What::Halted(halted) => Some(halted.hashes().unwrap()),
        _ => None,
    };
    assert_eq!(server.first(told).await, [first.hash(), second.hash()].into(), "told by the program itself");
    // The program runs, and takes the third within a second or so.
    let (well, out, err) = brings(&world, &spoilt(&third.to_string()));
    assert!(
        well && out.starts_with(&format!("in force {}: stops the whole organization, by cia", third.hash())),
        "{out}{err}"
    );
    assert_eq!(halts(&world), [first.hash(), second.hash(), third.hash()].into());
    assert!(program.0.try_wait().unwrap().is_none(), "it goes on");
}

#[tokio::test]
async fn a_file_that_is_none_says_so_and_nothing_is_left_behind() {
    let world = World::new().await;
    let good = world.organization(|org| org.halt(everything(), "cia")).to_string();
    let cases: [(&str, &[u8], &str); 5] = [
        ("empty", b"", "there is nothing in it"),
        ("a picture", &[0xff, 0xd8, 0xff, 0xe0], "this is no text"),
        ("a letter", b"Dear all,\nplease stop everything.\n", "no whole halt"),
        ("half of one", &good.as_bytes()[..good.len() / 2], "no whole halt"),
        ("too long", &vec![b'x'; (1 << 20) + 1], "more than 1048576 bytes"),
    ];
    for (name, bytes, expected) in cases {
        let (well, out, err) = brings(&world, bytes);
        assert!(!well && out.is_empty() && err.contains(expected), "{name}: {out}{err}");
    }
    assert_eq!(std::fs::read_dir(world.data.join("inbox")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_halt_that_a_resume_has_lifted_is_said_to_stop_nothing() {
    let world = World::new().await;
    let halt = world.organization(|org| org.halt(everything(), "cia"));
    let resume = world.organization(|org| {
        org.take(halt.clone());
        org.resume(Lifts::Halts([halt.hash()].into()), Cuts::None(Nothing), |_| ())
    });
    let (well, out, err) = brings(&world, write_sequence(&[resume.to_string(), halt.to_string()]).as_bytes());
    assert!(well, "{err}");
    let lifted = format!("lifted {}: a resume has lifted this halt, it stops nothing\n", halt.hash());
    assert!(out.contains(&lifted), "{out}");
}

#[tokio::test]
async fn whoever_may_not_look_into_the_folder_is_told_what_to_put_before_the_command() {
    let world = World::new().await;
    let halt = world.organization(|org| org.halt(everything(), "cia"));
    let file = world.path("halt");
    std::fs::write(&file, halt.to_string()).unwrap();
    std::fs::set_permissions(world.path(""), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&world.data, std::fs::Permissions::from_mode(0o000)).unwrap();
    for arguments in [&["halt", file.to_str().unwrap()][..], &["status"]] {
        let mut program = world.program(arguments);
        // Root may look everywhere; nobody may not.
        if is_root() {
            program.uid(65_534);
        }
        let Ok(output) = program.output() else {
            // Where nobody else may start what stands in this checkout, nothing can be seen of it.
            continue;
        };
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains("put `sudo` before it"), "{said}");
    }
    std::fs::set_permissions(&world.data, std::fs::Permissions::from_mode(0o700)).unwrap();
}

fn is_root() -> bool {
    std::process::Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

#[tokio::test]
async fn a_halt_by_nobody_who_may_is_not_taken() {
    let world = World::new().await;
    let halt = world.organization(|org| org.halt_of(Scope::Person(word("anna"))));
    let file = world.path("halt");
    std::fs::write(&file, sign(&halt, &["mallory"]).to_string()).unwrap();
    let output = world.program(&["halt", file.to_str().unwrap()]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("signed by nobody who may halt"), "{output:?}");
}

#[tokio::test]
async fn what_is_malformed_in_a_file_or_letter_is_named_and_the_halts_beside_it_are_taken() {
    let world = World::new().await;
    let agent = world.start();
    let [by_file, by_letter, alone] = [1, 2, 3].map(|number| {
        let scope = Scope::Job(Sha256([number; 32]));
        world.organization(|org| sign(&org.halt_of(scope), &["bo"]))
    });
    let altered = alone.to_string().replace("wrong", "right");
    let file = world.path("halts");
    let items = ["no envelope".to_owned(), altered, by_file.to_string()];
    std::fs::write(&file, write_sequence(&items)).unwrap();
    let output = world.program(&["halt", file.to_str().unwrap()]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains(&by_file.hash().to_string()), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for words in ["no whole halt", "signed by nobody who may halt", "what was good in the file was taken"] {
        assert!(said.contains(words), "{said}");
    }
    leave_letter(&world.data, &write_sequence(&["nothing".to_owned(), by_letter.to_string()])).unwrap();
    leave_letter(&world.data, "no letter at all").unwrap();
    leave_letter(&world.data, &alone.to_string()).unwrap();
    for halt in [by_file, by_letter, alone] {
        until("the halt is on disk", || world.ledger().chain().unwrap().halt(&halt.hash()).map(|_| ())).await;
    }
    agent.stop().await;
}

#[tokio::test]
async fn a_machine_that_is_not_enrolled_says_what_to_do() {
    let mut world = World::new().await;
    world.data = world.path("nothing");
    for command in ["run", "status"] {
        let output = world.program(&[command]).output().unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("run `countersign-agent enroll -`"), "{said}");
    }
}
