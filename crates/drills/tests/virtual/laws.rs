//! Laws that hold whatever a hostile server, one lying beacon, one lying witness, lost letters, reboots and pushed clocks do.
//!
//! A case is a seed. The thief draws its moves by chance from all that it ever saw; people go on ordering, halting, resuming and
//! deciding; and after every move the laws are held against what the machines did. `CS_SEED=n` plays one case and prints its story.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::thief::{Case, Liars};

const ONE: Liars = Liars { count: 1, about_time: true };

/// What was seen in many cases, so that nobody takes an empty world for a safe one.
#[derive(Debug, Default)]
struct Seen {
    cases: AtomicU64,
    starts: AtomicU64,
    refusals: AtomicU64,
    kills: AtomicU64,
    halts_set: AtomicU64,
    reboots: AtomicU64,
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Plays the cases of these seeds; the first that breaks a law, with its story.
fn play(seeds: std::ops::Range<u64>, liars: Liars, seen: &Seen) -> Option<(u64, String)> {
    for seed in seeds {
        let mut case = Case::new(seed, liars);
        let outcome = case.play();
        if number("CS_SEED").is_some() {
            println!("{}", case.world.story);
        }
        if let Err(broken) = outcome {
            return Some((seed, format!("{broken}\n{}", case.world.story)));
        }
        seen.cases.fetch_add(1, Ordering::Relaxed);
        let add =
            |to: &AtomicU64, count: usize| to.fetch_add(u64::try_from(count).unwrap(), Ordering::Relaxed);
        add(&seen.starts, case.world.starts.len());
        add(&seen.refusals, case.refusals());
        add(&seen.kills, case.world.kills.len());
        add(&seen.halts_set, case.halts_set());
        add(&seen.reboots, case.reboots);
    }
    None
}

#[test]
fn with_one_liar_no_law_is_broken() {
    let seen = Seen::default();
    let seeds = number("CS_SEED").map_or(0..120, |seed| seed..seed + 1);
    if let Some((seed, story)) = play(seeds, ONE, &seen) {
        panic!("CS_SEED={seed}: {story}");
    }
    println!("{seen:?}");
    if number("CS_SEED").is_none() {
        assert!(seen.starts.load(Ordering::Relaxed) > 100, "next to nothing ever ran: {seen:?}");
        assert!(seen.halts_set.load(Ordering::Relaxed) > 20, "next to nothing was ever halted: {seen:?}");
    }
}

/// What the first case says in which four liars of four break a law: nothing else shows that the laws can tell.
fn first_broken(seeds: std::ops::Range<u64>, about_time: bool) -> String {
    let seen = Seen::default();
    let broken = play(seeds, Liars { count: 4, about_time }, &seen);
    let (seed, story) =
        broken.unwrap_or_else(|| panic!("four lying beacons of four broke nothing in {seen:?}"));
    println!("CS_SEED={seed}: {story}");
    story.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn with_four_who_lie_about_the_time_a_job_begins_outside_its_time_and_a_law_says_so() {
    let broken = first_broken(0..300, true);
    assert!(broken.contains(" began outside "), "{broken}");
}

#[test]
fn with_four_who_hide_halts_a_job_begins_after_one_is_set_and_a_law_says_so() {
    let broken = first_broken(250..2_000, false);
    assert!(broken.contains(" after it was set"), "{broken}");
}

mod long {
    use super::*;

    #[test]
    fn in_a_hundred_thousand_worlds_no_law_is_broken() {
        let cases = number("CS_CASES").unwrap_or(100_000);
        let first = number("CS_FIRST").unwrap_or(1_000);
        let threads = number("CS_THREADS").unwrap_or(2);
        let seen = Seen::default();
        let broken = std::thread::scope(|scope| {
            let share = cases.div_ceil(threads);
            let seen = &seen;
            let begun: Vec<_> = (0..threads)
                .map(|thread| {
                    let from = first + thread * share;
                    scope.spawn(move || play(from..from + share, ONE, seen))
                })
                .collect();
            begun.into_iter().filter_map(|thread| thread.join().unwrap()).next()
        });
        println!("{seen:?}");
        if let Some((seed, story)) = broken {
            panic!("CS_SEED={seed}: {story}");
        }
    }
}
