//! When a job may run: a clock may refuse, never admit.

use countersign_trust::statement::job::{TargetList, Targets, Wave, Who};
use countersign_trust::statement::policy::Hours;
use countersign_trust::time::Time;
use countersign_trust::verify::Refusal;

use crate::organization::{NOON, NOON_MINUTE, TILLS, at, device_id, word};
use crate::scene::{Case, Scene, accepted, refused};

/// The lower bound of the time in a good bundle.
const LO: Time = Time(NOON + 1);
/// The upper bound.
const HI: Time = Time(NOON + 3);

/// Two waves, and a job whose hash puts this device into the wave asked for.
pub fn in_wave(scene: &mut Scene, wave: usize, soak: [u64; 2]) {
    scene.job.waves =
        vec![Wave { who: Who::Share(5_000), soak: soak[0] }, Wave { who: Who::Share(10_000), soak: soak[1] }];
    let me = device_id(TILLS[0]);
    for number in 0.. {
        scene.job.why = word(&format!("Try {number}."));
        if scene.job.wave_of(&scene.hash(), &me, &scene.labels()) == wave {
            return;
        }
    }
}

pub fn cases() -> Vec<Case> {
    [lives(), waves()].into_iter().flatten().collect()
}

fn lives() -> Vec<Case> {
    vec![
        Case {
            name: "time-not-yet",
            says: "it begins a second after the lower bound",
            bend: |scene| {
                scene.job.not_before = Time(LO.0 + 1);
                scene.bundle()
            },
            expected: |_| refused(Refusal::NotYet { not_before: Time(LO.0 + 1), lo: LO }),
        },
        Case {
            name: "time-just-begun",
            says: "it begins at the lower bound",
            bend: |scene| {
                scene.job.not_before = LO;
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "time-not-yet-whatever-the-wall-clock-says",
            says: "the wall clock is a minute ahead, and the job begins in half a minute",
            bend: |scene| {
                scene.job.not_before = Time(NOON + 30);
                let mut bundle = scene.bundle();
                bundle.now.now.wall_ms += 60_000;
                bundle
            },
            expected: |_| refused(Refusal::NotYet { not_before: Time(NOON + 30), lo: LO }),
        },
        Case {
            name: "time-wall-clock-set-back-after-arrival",
            says: "the wall clock was set back, so that nothing says that time has passed since the Clears came",
            bend: |scene| {
                scene.job.not_before = LO;
                let mut bundle = scene.bundle();
                bundle.now.now.wall_ms -= 86_400_000;
                bundle
            },
            expected: |_| refused(Refusal::NotYet { not_before: LO, lo: Time(NOON) }),
        },
        Case {
            name: "time-expired-this-second",
            says: "it ends at the upper bound",
            bend: |scene| {
                scene.job.not_after = HI;
                scene.bundle()
            },
            expected: |_| refused(Refusal::Expired { not_after: HI, hi: HI }),
        },
        Case {
            name: "time-about-to-expire",
            says: "it ends a second after the upper bound",
            bend: |scene| {
                scene.job.not_after = Time(HI.0 + 1);
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "time-expired-by-the-wall-clock",
            says: "the wall clock was pushed forward past the end: it may refuse",
            bend: |scene| {
                scene.job.not_after = Time(NOON + 60);
                let mut bundle = scene.bundle();
                bundle.now.now.wall_ms += 60_000;
                bundle
            },
            expected: |_| refused(Refusal::Expired { not_after: Time(NOON + 60), hi: Time(NOON + 63) }),
        },
        Case {
            name: "time-expired-though-the-wall-clock-was-set-back",
            says: "the wall clock says yesterday, and the boot clock says that it is over",
            bend: |scene| {
                scene.job.not_after = Time(NOON + 60);
                let mut bundle = scene.bundle();
                bundle.now.now = at(60_000);
                bundle.now.now.wall_ms -= 86_400_000;
                bundle
            },
            expected: |_| refused(Refusal::Expired { not_after: Time(NOON + 60), hi: Time(NOON + 60) }),
        },
        Case {
            name: "time-expired-before-the-floor",
            says: "the beacons' clocks say noon, and the device remembers that it was later",
            bend: |scene| {
                scene.job.not_after = Time(NOON + 60);
                let mut bundle = scene.bundle();
                bundle.now.floor = Time(NOON + 60);
                bundle
            },
            expected: |_| refused(Refusal::Expired { not_after: Time(NOON + 60), hi: Time(NOON + 60) }),
        },
        Case {
            name: "time-before-hours",
            says: "the rule allows from a minute past noon",
            bend: |scene| {
                scene.found(|policy| {
                    policy.rules[0].hours = vec![Hours { from: NOON_MINUTE + 1, until: NOON_MINUTE + 60 }];
                });
                scene.bundle()
            },
            expected: |_| refused(Refusal::OutsideHours { rule: 1, lo: NOON_MINUTE, hi: NOON_MINUTE }),
        },
        Case {
            name: "time-perhaps-after-hours",
            says: "the rule allows until noon; the device knows no more than that it is around noon",
            bend: |scene| {
                scene.found(|policy| {
                    policy.rules[0].hours = vec![Hours { from: 0, until: NOON_MINUTE }];
                });
                scene.org.time = Time(NOON - 2);
                scene.bundle()
            },
            expected: |_| refused(Refusal::OutsideHours { rule: 1, lo: NOON_MINUTE - 1, hi: NOON_MINUTE }),
        },
        Case {
            name: "time-between-two-hours",
            says: "the rule allows until noon and from noon on; no one of both holds all that the time may be",
            bend: |scene| {
                scene.found(|policy| {
                    let afternoon = Hours { from: NOON_MINUTE, until: NOON_MINUTE + 60 };
                    policy.rules[0].hours = vec![Hours { from: 0, until: NOON_MINUTE }, afternoon];
                });
                scene.org.time = Time(NOON - 2);
                scene.bundle()
            },
            expected: |_| refused(Refusal::OutsideHours { rule: 1, lo: NOON_MINUTE - 1, hi: NOON_MINUTE }),
        },
    ]
}

fn waves() -> Vec<Case> {
    vec![
        Case {
            name: "wave-early",
            says: "the device is in the second wave, which starts a while after the job, a second too early",
            bend: |scene| {
                scene.job.not_before = Time(NOON - 300);
                in_wave(scene, 1, [0, 302]);
                scene.bundle()
            },
            expected: |_| refused(Refusal::WaveNotYet { wave: 2, starts: Time(NOON + 2), lo: LO }),
        },
        Case {
            name: "wave-early-by-the-log",
            says: "the job could have begun long ago, but enough witnesses saw it only ten minutes ago",
            bend: |scene| {
                in_wave(scene, 1, [0, 600]);
                scene.bundle()
            },
            expected: |_| refused(Refusal::WaveNotYet { wave: 2, starts: Time(NOON + 2), lo: LO }),
        },
        Case {
            name: "wave-one-witness-was-early",
            says: "one witness's clock is a day behind: two others must have seen it too",
            bend: |scene| {
                in_wave(scene, 1, [0, 600]);
                let mut bundle = scene.bundle();
                let signed = crate::organization::sign(&scene.job, &scene.keys);
                let index = scene.org.log.append(&signed.leaf(&scene.org.org).unwrap());
                let mut proof = scene.org.log.proof(index, &["witness-2", "witness-3", "witness-4"]);
                let early = crate::organization::witness_key("witness-1");
                proof
                    .checkpoint
                    .add(early.cosign(proof.checkpoint.text(), Time(NOON - 86_400)).unwrap())
                    .unwrap();
                bundle.job = countersign_trust::envelope::Logged { signed, proof }.to_string();
                bundle
            },
            // The second of the three that agree, at NOON - 599, is the third of all four.
            expected: |_| accepted(),
        },
        Case {
            name: "wave-due",
            says: "the same a second later",
            bend: |scene| {
                in_wave(scene, 1, [0, 599]);
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "wave-waits-for-a-person",
            says: "more targets than the policy lets time alone set free",
            bend: |scene| {
                scene.found(|policy| policy.limits.auto_waves_max = 2);
                in_wave(scene, 1, [0, 60]);
                let Targets::List(TargetList { count, .. }) = scene.job.targets else { unreachable!() };
                assert_eq!(count, 3);
                scene.bundle()
            },
            expected: |_| refused(Refusal::WaveNeedsAdvance { wave: 2 }),
        },
    ]
}
