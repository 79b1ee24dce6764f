//! Beacons whose clocks are all wrong, for a while.

use countersign_trust::device::Input;
use countersign_trust::receipt::Verdict;
use countersign_trust::time::{Reading, Time};

use crate::life::{Life, noon_and};

const YEAR_S: u64 = 365 * 86_400;
const DOUBT: &str = "0 of 3 Clears; together: it would be";

/// Clears as all beacons sign them now.
fn hear_clears(life: &mut Life) {
    let clears = life.clears();
    life.hear(Input::Clears(clears));
}

/// Whether a new job runs that is brought now, with fresh Clears; its times are by the true time.
fn runs(life: &mut Life, now: Time) -> bool {
    let mut job = life.org.job();
    (job.not_before, job.not_after) = (Time(now.0 - 60), now.plus(3_600));
    let before = life.ran.len();
    life.bring(&job);
    let ran = life.ran.len() > before;
    if ran {
        life.end(life.ran[before], true);
    }
    ran
}

fn runs_now(life: &mut Life) -> bool {
    let now = life.org.time;
    runs(life, now)
}

/// Every beacon's clock leaps a year, for a minute.
fn a_bad_minute(life: &mut Life) {
    let right = life.org.time;
    life.org.time = right.plus(YEAR_S);
    hear_clears(life);
    life.pass(60);
    hear_clears(life);
    life.org.time = right.plus(60);
}

#[test]
fn after_a_minute_in_which_all_beacons_were_a_year_ahead_a_new_job_runs() {
    let mut life = Life::new();
    assert!(runs(&mut life, noon_and(0)));
    a_bad_minute(&mut life);
    assert!(life.device.ledger().floor() < noon_and(120));
    assert!(runs(&mut life, noon_and(60)));
    life.restart();
    assert!(runs(&mut life, noon_and(60)));
}

#[test]
fn also_where_the_wall_clock_of_the_machine_itself_was_ahead_with_them() {
    let mut life = Life::new();
    assert!(runs(&mut life, noon_and(0)));
    life.now.wall_ms += YEAR_S * 1_000;
    a_bad_minute(&mut life);
    life.now.wall_ms -= YEAR_S * 1_000;
    // The challenge that was drawn in that minute looks older than it is; the next one does not.
    life.pass(120);
    assert!(runs(&mut life, noon_and(180)));
}

#[test]
fn what_waited_through_the_bad_minute_is_refused_with_both_times() {
    let mut life = Life::new();
    assert!(runs(&mut life, noon_and(0)));
    life.org.time = life.org.time.plus(YEAR_S);
    let mut job = life.org.job();
    (job.not_before, job.not_after) = (noon_and(YEAR_S), noon_and(YEAR_S + 3_600));
    // What is held is fresh still, so the time is wrong for the job at once.
    life.bring(&job);
    assert!(life.last().1.starts_with("not before"), "{:?}", life.last());
    // With nothing fresh it waits for Clears that are believed.
    let right = life.org.time;
    life.now = Reading { boot_ms: life.now.boot_ms + 180_000, wall_ms: life.now.wall_ms + 180_000 };
    life.hear(Input::Tick);
    life.org.time = right.plus(180);
    hear_clears(&mut life);
    life.bring(&job);
    life.pass(180);
    let (verdict, because) = life.last();
    let both = format!("{DOUBT} {}, and by all that is known here it is", noon_and(YEAR_S + 180));
    assert!(verdict == Verdict::Refused && because.starts_with(&both), "{because}");
    assert!(because.contains(&noon_and(180).to_string()[..8]), "{because}");
}

#[test]
fn a_machine_with_a_dead_clock_that_was_off_for_a_month_works_after_an_hour() {
    let mut life = Life::new();
    assert!(runs(&mut life, noon_and(0)));
    life.org.time = noon_and(30 * 86_400);
    life.now.wall_ms = 0;
    life.restart();
    for _ in 0..59 {
        assert!(!runs_now(&mut life));
        life.pass(60);
        // A server that holds an answer back, and brings it when it is 70 s old, begins no hour anew.
        let right = life.org.time;
        life.org.time = Time(right.0 - 70);
        hear_clears(&mut life);
        life.org.time = right;
    }
    life.pass(59);
    assert!(!runs_now(&mut life));
    life.pass(1);
    assert!(runs_now(&mut life));
    assert!(life.device.ledger().floor() >= noon_and(30 * 86_400 + 3_600));
}

#[test]
fn an_hour_counts_only_if_the_same_was_said_all_the_time() {
    let mut life = Life::new();
    assert!(runs(&mut life, noon_and(0)));
    let right = life.org.time;
    for (minutes, ahead) in
        [(0, YEAR_S), (30, YEAR_S), (50, 0), (61, YEAR_S), (90, 2 * YEAR_S), (122, YEAR_S)]
    {
        let since = life.org.time.0 - right.0;
        life.pass(minutes * 60 - since);
        life.org.time = right.plus(minutes * 60 + ahead);
        hear_clears(&mut life);
        life.org.time = right.plus(minutes * 60);
        assert!(life.device.ledger().floor() < noon_and(86_400), "after {minutes} minutes");
    }
    life.pass(59 * 60);
    life.org.time = right.plus(181 * 60 + YEAR_S);
    hear_clears(&mut life);
    assert!(life.device.ledger().floor() < noon_and(86_400));
    life.pass(60);
    hear_clears(&mut life);
    assert!(
        life.device.ledger().floor() >= noon_and(YEAR_S),
        "what all beacons say for an hour is what time it is"
    );
}

#[test]
fn a_machine_that_slept_for_a_month_works_at_once() {
    let mut life = Life::new();
    assert!(runs(&mut life, noon_and(0)));
    let asleep = 30 * 86_400;
    life.now =
        Reading { boot_ms: life.now.boot_ms + asleep * 1_000, wall_ms: life.now.wall_ms + asleep * 1_000 };
    life.org.time = noon_and(asleep);
    life.hear(Input::Tick);
    assert!(runs(&mut life, noon_and(asleep)));
}
