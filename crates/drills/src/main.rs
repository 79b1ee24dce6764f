//! Plays one attack of the catalogue, or the second of July as a whole, and tells what happens; or lists them all.
#![allow(clippy::panic, reason = "a drill that meets the unexpected should stop there")]

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use countersign_drills::catalogue::incidents::JULY;
use countersign_drills::catalogue::{Attack, How, all, vectors};
use countersign_drills::july::{self, Plan};
use countersign_drills::part;
use countersign_drills::unrehearsed::NOT_REHEARSED;

fn main() -> ExitCode {
    part::act();
    let Some(name) = std::env::args().nth(1) else {
        eprintln!("countersign-drill: name an attack, or say --list");
        return ExitCode::FAILURE;
    };
    let attacks = all();
    if name == JULY {
        return july_2(&std::env::args().skip(2).collect::<Vec<_>>());
    }
    if name == "--list" {
        attacks.iter().for_each(|attack| println!("{}", row(attack)));
        println!("{}", count(&attacks));
        return ExitCode::SUCCESS;
    }
    match attacks.iter().find(|attack| attack.name == name) {
        Some(attack) => play(attack),
        None => {
            eprintln!("countersign-drill: no attack is called {name}; --list names them");
            ExitCode::FAILURE
        }
    }
}

/// Plays the second of July, as large as one likes.
fn july_2(words: &[String]) -> ExitCode {
    match sizes(words) {
        Ok((plan, folder)) => {
            july::play(&plan, &folder);
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("countersign-drill: {why}");
            ExitCode::FAILURE
        }
    }
}

/// What stands behind its name: how large, and where what is told is written.
fn sizes(words: &[String]) -> Result<(Plan, PathBuf), String> {
    let mut plan = Plan { stores: 800, registers: 6_000, agents: 4 };
    let mut folder = PathBuf::from("target/drills");
    for pair in words.chunks(2) {
        let [name, value] = pair else { return Err(format!("{} wants a value", pair.concat())) };
        let number = || value.parse().map_err(|error| format!("{name} {value}: {error}"));
        match name.as_str() {
            "--stores" => plan.stores = number()?,
            "--registers" => plan.registers = number()?,
            "--to" => folder = PathBuf::from(value),
            _ => {
                return Err(format!(
                    "{JULY} takes --stores NUMBER, --registers NUMBER and --to FOLDER, not {name}"
                ));
            }
        }
    }
    if plan.stores < 20 || plan.registers < plan.stores * 3 {
        return Err(format!(
            "{JULY} needs 20 stores and three registers in each, not {} and {} in all: with fewer some acts have nobody",
            plan.stores, plan.registers
        ));
    }
    Ok((plan, folder))
}

fn ways(attack: &Attack) -> String {
    attack.how.iter().map(How::word).collect::<Vec<_>>().join(", ")
}

fn row(attack: &Attack) -> String {
    format!("{:50} {:24} {}: {}", attack.name, ways(attack), attack.promise, attack.says)
}

fn count(attacks: &[Attack]) -> String {
    let with =
        |word: &str| attacks.iter().filter(|attack| attack.how.iter().any(|how| how.word() == word)).count();
    format!(
        "{} attacks: {} played in a virtual world, {} by vectors, {} with real parts, {} missing",
        attacks.len(),
        with("virtual"),
        with("vectors"),
        with("real"),
        with("missing")
    )
}

fn play(attack: &Attack) -> ExitCode {
    println!("{}\n\n{}\nAttacked: {}.\n", attack.name, attack.says, attack.promise);
    let mut held = true;
    for how in &attack.how {
        held &= match how {
            How::Virtual(play) => {
                println!("{}", play());
                true
            }
            // Every one is shown, also after one that did not hold.
            How::Vectors(names) => names.iter().filter(|name| !vector(name)).count() == 0,
            How::Real(tests) => tests.iter().filter(|(package, test)| !real(package, test)).count() == 0,
            How::Missing(why) => {
                println!("Not rehearsed: {why}.");
                false
            }
        };
    }
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn vector(name: &str) -> bool {
    let judged = vectors::judge(name);
    let said: Vec<&str> = judged.outcome.lines().collect();
    println!("vector {name}: {}\n    {}", judged.about, said.join(": "));
    let holds = judged.outcome == judged.expected;
    if !holds {
        println!("    expected: {}", judged.expected.trim_end());
    }
    holds
}

/// Runs a test with real parts by name. One that could do nothing on this machine shows nothing.
fn real(package: &str, test: &str) -> bool {
    println!("with real parts: {package} {test}");
    let said = std::env::temp_dir().join(format!("countersign-not-rehearsed-{}", std::process::id()));
    let filter = format!("test(/{test}$/)");
    // Also one that takes minutes, since it was named.
    let arguments = [
        "nextest",
        "run",
        "--locked",
        "--ignore-default-filter",
        "--package",
        package,
        "--filterset",
        &filter,
    ];
    let ended = Command::new("cargo").args(arguments).env(NOT_REHEARSED, &said).status();
    let unrehearsed = std::fs::read_to_string(&said).unwrap_or_default();
    unrehearsed.lines().for_each(|line| println!("Not rehearsed here: {line}."));
    // It may not be there.
    let _ = std::fs::remove_file(&said);
    match ended {
        Ok(status) => status.success() && unrehearsed.is_empty(),
        Err(error) => {
            println!("    cargo nextest cannot be started: {error}");
            false
        }
    }
}
