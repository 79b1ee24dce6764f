//! The thief, as often as one likes: `--count N --seed S`. Everything is a process of its own. Prints what was tried and refused.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a drill that meets the unexpected should stop there")]

use countersign_drills::part::{Stage, act};
use countersign_drills::thief::play;

fn main() {
    act();
    let words: Vec<String> = std::env::args().collect();
    let value = |name: &str, usual: u64| {
        let at = words.iter().position(|word| word == name);
        at.map_or(usual, |at| words.get(at + 1).unwrap().parse().unwrap())
    };
    let (count, seed) = (value("--count", 10_000), value("--seed", 1));
    println!("{}", play(Stage::Processes, usize::try_from(count).unwrap(), seed));
}
