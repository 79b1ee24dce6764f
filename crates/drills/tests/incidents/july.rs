//! The second of July as the program tells it, in its small form: what is told is what was asserted.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Kinds of lines that there are.
const KINDS: [&str; 7] = ["preface", "act", "then", "happened", "holds", "measured", "not_played"];

/// Plays it and reads both files.
fn play(arguments: &[&str]) -> (String, Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign-drill"));
    let place = |name: &str| folder.path().join(name);
    // Files, and no pipes: what the drill's parts still hold at their end keeps nobody waiting.
    let [out, err] = ["out", "err"].map(|name| std::fs::File::create(place(name)).unwrap());
    let ended =
        command.arg("july-2").args(arguments).arg("--to").arg(folder.path()).stdout(out).stderr(err).status();
    let printed = std::fs::read_to_string(place("out")).unwrap();
    assert!(ended.unwrap().success(), "{printed}\n{}", std::fs::read_to_string(place("err")).unwrap());
    let read = |name: &str| std::fs::read_to_string(Path::new(folder.path()).join(name)).unwrap();
    let (text, lines) = (read("july-2.txt"), read("july-2.jsonl"));
    assert!(printed.starts_with(&text), "the file is what was printed");
    (text, lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn of_kind<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a str> {
    lines
        .iter()
        .filter(|line| line["kind"] == kind)
        .map(|line| line["here"].as_str().unwrap_or_default())
        .collect()
}

/// What every form of it must have told.
fn told(text: &str, lines: &[Value]) {
    assert!(lines.iter().all(|line| KINDS.iter().any(|kind| line["kind"] == *kind)), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours outside a terminal");
    let holds = of_kind(lines, "holds").join("\n");
    // One for each row of the attack's table, by the words that stand beside the assertion.
    let rows = [
        "routes of the OpenAPI",
        "octet-stream with nosniff",
        "unknown_signers",
        "the vendor's key alone",
        "wave_not_yet",
        "outside_hours",
        "kill the first step",
        "without any server: anna and bo signed that job",
        "The vendor's one signed halt",
        "None starts it: what he gathered is older than the lifetime",
        "No beacon of four takes it",
        "a policy that names another log",
        "the vendor's halt still stands",
        "Wave 3",
    ];
    rows.iter().for_each(|row| assert!(holds.contains(row), "nothing held about: {row}\n{text}"));
    assert!(of_kind(lines, "measured").len() >= 15, "{text}");
    for line in lines.iter().filter(|line| line["kind"] == "measured") {
        assert!(line["ms"].is_u64(), "{line}");
    }
    let (then, never) = (text.matches("2 Jul").count(), ["XSS", "SQL injection", "2FA", "million"]);
    assert!(then >= 8, "{text}");
    never.iter().for_each(|claim| assert!(!text.contains(claim), "{claim} is not known to have been so"));
}

#[test]
fn twenty_stores_live_through_the_second_of_july() {
    let (text, lines) = play(&["--stores", "20", "--registers", "60"]);
    told(&text, &lines);
    assert!(text.contains("64 registers in 20 stores"), "{text}");
}

#[test]
fn a_size_that_shows_nothing_is_refused() {
    for arguments in [&["--stores", "3"][..], &["--registers", "5"], &["--stores"], &["--shops", "30"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign-drill"));
        let output = command.arg("july-2").args(arguments).output().unwrap();
        assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}");
    }
}

mod long {
    #[test]
    fn eight_hundred_stores_live_through_the_second_of_july() {
        let (text, lines) = super::play(&[]);
        super::told(&text, &lines);
        assert!(text.contains("6,004 registers in 800 stores of 21 counties"), "{text}");
    }
}
