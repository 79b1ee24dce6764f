//! What a tree may use.

use std::path::PathBuf;

use countersign_agent::os::Limits;
use countersign_agent::run::How;

use crate::world::{Way, World, me};

crate::in_every_way! {
    memory_is_limited
    processes_are_limited
    the_processor_is_limited
    a_fork_bomb_ends_with_its_run
    a_run_is_not_spared_when_memory_is_short
}

async fn memory_is_limited(way: Way) {
    let world = World::new(way);
    let mut script = world.script(&["head -c 100000000 /dev/zero | tail >/dev/null"]);
    script.limits = Limits { memory_mib: 32, ..Limits::default() };
    let how = world.run(&script).await.ending.how;
    assert!(matches!(how, How::Exit(1 | 137) | How::Signal(9)), "{how:?}");
    script.limits.memory_mib = 500;
    assert_eq!(world.run(&script).await.ending.how, How::Exit(0));
}

async fn processes_are_limited(way: Way) {
    let world = World::new(way);
    let mut script = world.script(&["for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 2 & done", "wait"]);
    script.limits = Limits { processes: 10, ..Limits::default() };
    let how = world.run(&script).await.ending.how;
    // A shell that cannot fork, or a tree that was found too large while it grew.
    let over = (11..=13).map(|count| How::Killed(format!("it ran {count} processes, its limit is 10")));
    assert!([How::Exit(2)].into_iter().chain(over).any(|expected| how == expected), "{how:?}");
    script.limits.processes = 20;
    assert_eq!(world.run(&script).await.ending.how, How::Exit(0));
}

async fn the_processor_is_limited(way: Way) {
    let world = World::new(way);
    let mut script = world.script(&["nice; timeout 1 sh -c 'while :; do :; done'; times"]);
    script.limits = Limits { cpu_percent: 20, ..Limits::default() };
    let said = String::from_utf8(world.run(&script).await.stdout).unwrap();
    // The lowest priority, or less than half a second in one: `times` says 0m0.2s 0m0.0s of the children last.
    let used = said.lines().last().unwrap().split(['m', 's']).nth(1).unwrap();
    assert!(said.starts_with("19\n") || used.parse::<f64>().unwrap() < 0.5, "{said}");
}

async fn a_fork_bomb_ends_with_its_run(way: Way) {
    let world = World::new(way);
    let mut script =
        world.script(&["bomb() { while :; do (bomb) & done; }", "sleep 60 &", "bomb 2>/dev/null &", "wait"]);
    script.limits = Limits { processes: 30, ..Limits::default() };
    script.timeout_s = 1;
    if me() == "root" {
        script.user = "nobody".to_owned();
    }
    let ending = world.run(&script).await.ending;
    assert_eq!(ending.how, How::TimedOut);
    assert!(ending.duration_ms < 2000, "{ending:?}");
    assert_eq!(world.alive(), Vec::<PathBuf>::new());
}

async fn a_run_is_not_spared_when_memory_is_short(way: Way) {
    let world = World::new(way);
    let score = "/proc/self/oom_score_adj";
    // As the unit file has it for the agent; only root may.
    let spared = std::fs::write(score, "-500").is_ok();
    let own = std::fs::read_to_string(score).unwrap();
    assert_eq!(spared, own == "-500\n", "{own}");
    let said = world.run(&world.script(&[&format!("cat {score}")])).await.stdout;
    assert_eq!(String::from_utf8(said).unwrap(), if spared { "0\n" } else { &own });
}
