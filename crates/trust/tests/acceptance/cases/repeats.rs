//! Jobs that repeat: each occurrence once, missed ones never.

use countersign_trust::ledger::StepState;
use countersign_trust::time::Time;
use countersign_trust::verify::Refusal;

use crate::bundle::Bundle;
use crate::organization::{NOON, script};
use crate::scene::{Case, Scene, accepted, refused};

/// Every quarter of an hour since eleven: at noon occurrence 4 begins.
fn every_quarter(scene: &mut Scene, steps: &[(u64, u64, StepState)]) -> Bundle {
    scene.job.repeat = 900;
    let mut bundle = scene.bundle();
    bundle.now.steps = steps.to_vec();
    bundle
}

pub fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "repeat-first-time",
            says: "taken up late: what was missed is skipped",
            bend: |scene| every_quarter(scene, &[]),
            expected: |_| accepted(),
        },
        Case {
            name: "repeat-next-occurrence",
            says: "the last one ended well",
            bend: |scene| every_quarter(scene, &[(3, 0, StepState::EndedWell)]),
            expected: |_| accepted(),
        },
        Case {
            name: "repeat-after-one-that-failed",
            says: "the last one did not end well; this one has a chance of its own",
            bend: |scene| every_quarter(scene, &[(3, 0, StepState::Failed)]),
            expected: |_| accepted(),
        },
        Case {
            name: "repeat-same-occurrence-again",
            says: "it ended well in this quarter of an hour",
            bend: |scene| every_quarter(scene, &[(4, 0, StepState::EndedWell)]),
            expected: |_| refused(Refusal::Again { step: 1 }),
        },
        Case {
            name: "repeat-second-step-of-an-occurrence",
            says: "the first of two steps has ended well in this quarter of an hour",
            bend: |scene| {
                scene.job.steps.push(script(&["echo done"]));
                every_quarter(scene, &[(4, 0, StepState::EndedWell)])
            },
            expected: |_| accepted(),
        },
        Case {
            name: "repeat-while-an-earlier-one-runs",
            says: "the last occurrence has not ended",
            bend: |scene| every_quarter(scene, &[(3, 0, StepState::Started)]),
            expected: |_| refused(Refusal::EarlierRuns { occurrence: 4, last: 3 }),
        },
        Case {
            name: "repeat-goes-on-with-an-earlier-one",
            says: "the first of two steps outlasted its quarter of an hour and ended well: the second comes before anything else",
            bend: |scene| {
                scene.job.steps.push(script(&["echo done"]));
                every_quarter(scene, &[(3, 0, StepState::EndedWell)])
            },
            expected: |_| accepted(),
        },
        Case {
            name: "repeat-while-the-second-step-of-an-earlier-one-runs",
            says: "the first of two steps outlasted its quarter of an hour, the second runs",
            bend: |scene| {
                scene.job.steps.push(script(&["echo done"]));
                every_quarter(scene, &[(3, 0, StepState::EndedWell), (3, 1, StepState::Started)])
            },
            expected: |_| refused(Refusal::EarlierRuns { occurrence: 4, last: 3 }),
        },
        Case {
            name: "repeat-after-an-earlier-one-that-went-on",
            says: "both steps of the last one ended well, and this one begins with the first",
            bend: |scene| {
                scene.job.steps.push(script(&["echo done"]));
                every_quarter(scene, &[(3, 0, StepState::EndedWell), (3, 1, StepState::EndedWell)])
            },
            expected: |_| accepted(),
        },
        Case {
            name: "repeat-with-clocks-set-back",
            says: "beacons whose clocks went back an hour, to a device that has done later occurrences",
            bend: |scene| every_quarter(scene, &[(8, 0, StepState::EndedWell)]),
            expected: |_| refused(Refusal::Passed { occurrence: 4, last: 8 }),
        },
        Case {
            name: "repeat-is-over",
            says: "its life ended, whatever its interval",
            bend: |scene| {
                scene.job.not_after = Time(NOON + 1);
                every_quarter(scene, &[(3, 0, StepState::EndedWell)])
            },
            expected: |_| refused(Refusal::Expired { not_after: Time(NOON + 1), hi: Time(NOON + 3) }),
        },
    ]
}
