//! A bundle as a folder: `crates/trust/vectors/README.md` says what stands in which file.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use countersign_trust::clear::AnsweredClear;
use countersign_trust::delivery::TargetProof;
use countersign_trust::ids::Sha256;
use countersign_trust::join::EnrollError;
use countersign_trust::ledger::StepState;
use countersign_trust::time::{Reading, Time};

use crate::bundle::{Bundle, Now, Outcome, variant};
use crate::organization::word;

/// The files of a folder, by their path in it.
pub type Files = BTreeMap<String, String>;

/// The bundle as files, with what comes of it.
pub fn to_files(bundle: &Bundle, outcome: &Outcome) -> Files {
    let mut files = Files::new();
    let mut put = |path: String, text: String| files.insert(path, text);
    put("org".into(), format!("{}\n", bundle.org));
    for (number, text) in bundle.chain.iter().enumerate() {
        put(format!("chain/{number:03}.txt"), text.clone());
    }
    if let Some([enroll, join, proof]) = &bundle.enrolled {
        put("enroll.txt".into(), enroll.clone());
        put("join.note".into(), join.clone());
        put("join.tlog-proof".into(), proof.clone());
    }
    put("job.txt".into(), bundle.job.clone());
    for (number, answer) in (1..).zip(&bundle.clears) {
        let AnsweredClear { clear, index, size, path } = answer;
        put(format!("clears/{number}.clear"), clear.to_string());
        put(format!("clears/{number}.path"), format!("index {index}\nsize {size}\n{}", hashes(path)));
    }
    if let Some(challenge) = bundle.challenge {
        put("challenge".into(), format!("{}\n", Sha256(challenge)));
    }
    if let Some(TargetProof { index, path }) = &bundle.target {
        put("target".into(), format!("index {index}\n{}", hashes(path)));
    }
    for (number, text) in (1..).zip(&bundle.advances) {
        put(format!("advances/{number}.txt"), text.clone());
    }
    for (number, text) in (1..).zip(&bundle.anew) {
        put(format!("anew/{number}.txt"), text.clone());
    }
    if !bundle.anew.is_empty() {
        put("anew/expected".into(), anew_text(outcome));
    }
    put("now".into(), now_text(&bundle.now));
    put("expected".into(), expected_text(outcome));
    put("chain/expected".into(), chain_text(outcome));
    files
}

fn hashes(path: &[Sha256]) -> String {
    path.iter().map(|hash| format!("{}\n", STANDARD.encode(hash.0))).collect()
}

fn now_text(now: &Now) -> String {
    let mut lines = String::new();
    let mut line = |key: &str, value: &dyn Display| lines += &format!("{key} {value}\n");
    for (moment, reading) in [("drawn", now.drawn), ("arrived", now.arrived), ("now", now.now)] {
        line(&format!("{moment}_boot_ms"), &reading.boot_ms);
        line(&format!("{moment}_wall_ms"), &reading.wall_ms);
    }
    line("floor", &now.floor);
    line("version", &now.version);
    line("running", &now.running);
    line("receipts", &now.receipts);
    line("disk", &if now.disk_full { "full" } else { "room" });
    for (occurrence, step, state) in &now.steps {
        line("step", &format!("{occurrence} {step} {}", state_word(*state)));
    }
    lines
}

const STATES: [(StepState, &str); 3] =
    [(StepState::Started, "started"), (StepState::EndedWell, "ended-well"), (StepState::Failed, "failed")];

fn state_word(state: StepState) -> &'static str {
    STATES.iter().find(|(known, _)| *known == state).unwrap().1
}

fn expected_text(outcome: &Outcome) -> String {
    match &outcome.job {
        Ok(()) => "accepted\n".to_owned(),
        Err(refused) => format!("refused\n{}\n{}\n", refused.sentence(), refused.code()),
    }
}

fn chain_text(outcome: &Outcome) -> String {
    let line = |taken: &Result<_, _>| match taken {
        Ok(taken) => variant(taken).to_lowercase().replace("new", "taken"),
        Err(error) => format!("refused {} {error}", variant(error)),
    };
    outcome.chain.iter().enumerate().map(|(number, taken)| format!("{number:03} {}\n", line(taken))).collect()
}

fn anew_text(outcome: &Outcome) -> String {
    let line = |taken: &Result<(), _>| match taken {
        Ok(()) => "taken".to_owned(),
        Err(EnrollError::Chain(error)) => format!("refused {} {error}", variant(error)),
        Err(error) => format!("refused {} {error}", variant(error)),
    };
    (1..).zip(&outcome.anew).map(|(number, taken)| format!("{number} {}\n", line(taken))).collect()
}

/// Reads a folder into memory.
pub fn read(folder: &Path) -> Files {
    let mut files = Files::new();
    for part in ["", "chain", "clears", "advances", "anew"] {
        let Ok(entries) = std::fs::read_dir(folder.join(part)) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().replace('\\', "/");
            files.insert(name, std::fs::read_to_string(path).unwrap());
        }
    }
    files
}

/// Writes a folder anew.
pub fn write(folder: &Path, files: &Files) {
    let _absent = std::fs::remove_dir_all(folder);
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// The bundle that the files hold.
pub fn from_files(files: &Files) -> Bundle {
    let file = |name: &str| files.get(name).cloned();
    let line = |name: &str| file(name).map(|text| text.strip_suffix('\n').unwrap().to_owned());
    let count =
        |pattern: &dyn Fn(usize) -> String| (0..).take_while(|n| files.contains_key(&pattern(*n))).count();
    let links = count(&|number| format!("chain/{number:03}.txt"));
    let clears = count(&|number| format!("clears/{}.clear", number + 1));
    Bundle {
        org: word(&line("org").unwrap()),
        chain: (0..links).map(|number| file(&format!("chain/{number:03}.txt")).unwrap()).collect(),
        enrolled: file("enroll.txt")
            .map(|enroll| [enroll, file("join.note").unwrap(), file("join.tlog-proof").unwrap()]),
        job: file("job.txt").unwrap(),
        clears: (1..=clears)
            .map(|number| {
                let [note, place] =
                    ["clear", "path"].map(|end| file(&format!("clears/{number}.{end}")).unwrap());
                answered(&note, &place)
            })
            .collect(),
        advances: numbered(files, "advances"),
        anew: numbered(files, "anew"),
        challenge: line("challenge").map(|hex| word::<Sha256>(&hex).0),
        target: file("target").map(|text| {
            let (index, path) = text.strip_prefix("index ").unwrap().split_once('\n').unwrap();
            TargetProof { index: word(index), path: read_hashes(path) }
        }),
        now: read_now(&file("now").unwrap()),
    }
}

fn numbered(files: &Files, folder: &str) -> Vec<String> {
    (1..).map_while(|number| files.get(&format!("{folder}/{number}.txt")).cloned()).collect()
}

fn answered(note: &str, place: &str) -> AnsweredClear {
    let (index, rest) = place.strip_prefix("index ").unwrap().split_once('\n').unwrap();
    let (size, path) = rest.strip_prefix("size ").unwrap().split_once('\n').unwrap();
    AnsweredClear {
        clear: note.parse().unwrap(),
        index: word(index),
        size: word(size),
        path: read_hashes(path),
    }
}

fn read_hashes(lines: &str) -> Vec<Sha256> {
    lines.lines().map(|line| Sha256(STANDARD.decode(line).unwrap().try_into().unwrap())).collect()
}

fn read_now(text: &str) -> Now {
    let values: Vec<(&str, &str)> = text.lines().map(|line| line.split_once(' ').unwrap()).collect();
    let value = |key: &str| values.iter().find(|(name, _)| *name == key).unwrap().1;
    let reading = |moment: &str| Reading {
        boot_ms: word(value(&format!("{moment}_boot_ms"))),
        wall_ms: word(value(&format!("{moment}_wall_ms"))),
    };
    let steps = values.iter().filter(|(key, _)| *key == "step").map(|(_, value)| {
        let [occurrence, step, state] = value.splitn(3, ' ').collect::<Vec<_>>().try_into().unwrap();
        (word(occurrence), word(step), STATES.iter().find(|(_, name)| *name == state).unwrap().0)
    });
    Now {
        drawn: reading("drawn"),
        arrived: reading("arrived"),
        now: reading("now"),
        floor: Time(word(value("floor"))),
        version: value("version").to_owned(),
        running: word(value("running")),
        receipts: word(value("receipts")),
        disk_full: value("disk") == "full",
        steps: steps.collect(),
    }
}
