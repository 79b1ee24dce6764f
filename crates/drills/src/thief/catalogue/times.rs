//! When a job may run, in which form, and in whose turn.

use countersign_trust::statement::job::{ALL, Wave, Who};
use countersign_trust::time::Time;

use super::{Mutation, On, SIGNED, good, row, script, untouched};

const TWO: [&str; 2] = ["anna", "bo"];

pub fn mutations() -> Vec<Mutation> {
    [times(), forms()].into_iter().flatten().collect()
}

fn times() -> Vec<Mutation> {
    vec![
        row(
            ("a job whose end has come", SIGNED),
            On::Till,
            ("expired", "it ended at"),
            |b| {
                let now = b.found.now;
                b.past(&TWO, |job, chance| job.not_after = Time(now.0 - 1 - chance.below(50)))
            },
            untouched,
        ),
        row(
            ("a job before its begin", SIGNED),
            On::Till,
            ("not_yet", "not before"),
            |b| {
                let now = b.found.now;
                b.past(&TWO, |job, chance| job.not_before = now.plus(2_000 + chance.below(999)))
            },
            untouched,
        ),
        row(
            ("outside the hours", SIGNED),
            On::Night,
            ("outside_hours", "outside the hours of rule"),
            good,
            untouched,
        ),
        row(
            ("in too few waves", SIGNED),
            On::Waved,
            ("too_few_waves", "asks for at least 2"),
            good,
            untouched,
        ),
        row(
            ("before the wave has soaked", SIGNED),
            On::Till,
            ("wave_not_yet", "starts at"),
            |b| {
                b.past(&TWO, |job, chance| {
                    job.waves = vec![Wave { who: Who::Share(ALL), soak: 3_600 + chance.below(9_999) }];
                })
            },
            untouched,
        ),
        row(
            ("a later wave that no advance set free", SIGNED),
            On::Till,
            ("wave_needs_advance", "waits for"),
            |b| {
                let (me, labels) = (b.me, crate::organization::labels(&[("class", "till")]));
                loop {
                    let mut job = b.fresh();
                    let share = 1 + b.chance.below(500);
                    job.waves = vec![
                        Wave { who: Who::Share(share), soak: 0 },
                        Wave { who: Who::Share(ALL), soak: 0 },
                    ];
                    let signed = crate::organization::sign(&job, &TWO);
                    if job.wave_of(&signed.hash(), &me, &labels) == 1 {
                        return signed;
                    }
                }
            },
            untouched,
        ),
    ]
}

fn forms() -> Vec<Mutation> {
    vec![
        row(
            ("a life too long", SIGNED),
            On::Till,
            ("job", "the policy allows"),
            |b| {
                b.past(&TWO, |job, chance| {
                    job.not_after = job.not_before.plus(7 * 86_400 + 1 + chance.below(999))
                })
            },
            untouched,
        ),
        row(
            ("an end before the begin", SIGNED),
            On::Till,
            ("job", "before it begins"),
            |b| b.past(&TWO, |job, chance| job.not_after = Time(job.not_before.0 - chance.below(999))),
            untouched,
        ),
        row(
            ("no step", SIGNED),
            On::Till,
            ("job", "0 steps"),
            |b| b.past(&TWO, |job, _| job.steps.clear()),
            untouched,
        ),
        row(
            ("too many steps", SIGNED),
            On::Till,
            ("job", "steps, 1 to 16"),
            |b| {
                b.past(&TWO, |job, chance| {
                    let step = job.steps[0].clone();
                    (0..16 + chance.index(9)).for_each(|_| job.steps.push(step.clone()));
                })
            },
            untouched,
        ),
        row(
            ("no timeout", SIGNED),
            On::Till,
            ("job", "has no timeout"),
            |b| b.past(&TWO, |job, _| script(job).timeout = 0),
            untouched,
        ),
        row(
            ("waves that fall back", SIGNED),
            On::Till,
            ("job", "does not follow the ones before"),
            |b| {
                b.past(&TWO, |job, chance| {
                    let soak = 1 + chance.below(999);
                    job.waves = vec![
                        Wave { who: Who::Share(1 + chance.below(9_999)), soak },
                        Wave { who: Who::Share(ALL), soak: soak - 1 },
                    ];
                })
            },
            untouched,
        ),
        row(
            ("repeated too often", SIGNED),
            On::Till,
            ("job", "is the least"),
            |b| b.past(&TWO, |job, chance| job.repeat = 1 + chance.below(9)),
            untouched,
        ),
    ]
}
