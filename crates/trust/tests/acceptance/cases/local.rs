//! What this device has done, whether it is meant, and whether it can.

use std::collections::BTreeMap;

use countersign_trust::ids::Sha256;
use countersign_trust::ledger::StepState;
use countersign_trust::merkle::leaf_hash;
use countersign_trust::statement::job::{TargetLabels, TargetList, Targets};
use countersign_trust::verify::{MAX_SPOOL, Refusal};

use crate::organization::{TILLS, device_id, labels, script, target_proof};
use crate::scene::{Case, Expected, accepted, refused};

fn not_a_target(count: u64) -> Expected {
    refused(Refusal::NotATarget { device: device_id(TILLS[0]), count })
}

pub fn cases() -> Vec<Case> {
    [once(), targets(), budget()].into_iter().flatten().collect()
}

fn once() -> Vec<Case> {
    vec![
        Case {
            name: "once-replayed",
            says: "the job ended well before",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.now.steps = vec![(0, 0, StepState::EndedWell)];
                bundle
            },
            expected: |_| refused(Refusal::Again { step: 1 }),
        },
        Case {
            name: "once-replayed-while-it-runs",
            says: "the step was accepted and has not ended",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.now.steps = vec![(0, 0, StepState::Started)];
                bundle
            },
            expected: |_| refused(Refusal::Again { step: 1 }),
        },
        Case {
            name: "once-replayed-with-more-signatures",
            says: "the same statement, a new leaf with one signature more: the same entry of the ledger",
            bend: |scene| {
                scene.keys = vec!["anna", "bo", "cia"];
                let mut bundle = scene.bundle();
                bundle.now.steps = vec![(0, 0, StepState::EndedWell)];
                bundle
            },
            expected: |_| refused(Refusal::Again { step: 1 }),
        },
        Case {
            name: "once-second-step-after-a-failed-first",
            says: "the first of two steps did not end well",
            bend: |scene| {
                scene.job.steps.push(script(&["echo done"]));
                let mut bundle = scene.bundle();
                bundle.now.steps = vec![(0, 0, StepState::Failed)];
                bundle
            },
            expected: |_| refused(Refusal::EarlierFailed { step: 1 }),
        },
        Case {
            name: "once-second-step-while-the-first-runs",
            says: "the first of two steps has no end yet",
            bend: |scene| {
                scene.job.steps.push(script(&["echo done"]));
                let mut bundle = scene.bundle();
                bundle.now.steps = vec![(0, 0, StepState::Started)];
                bundle
            },
            expected: |_| refused(Refusal::Again { step: 1 }),
        },
        Case {
            name: "once-second-step-twice",
            says: "both steps ended well",
            bend: |scene| {
                scene.job.steps.push(script(&["echo done"]));
                let mut bundle = scene.bundle();
                bundle.now.steps = vec![(0, 0, StepState::EndedWell), (0, 1, StepState::EndedWell)];
                bundle
            },
            expected: |_| refused(Refusal::Again { step: 2 }),
        },
    ]
}

fn targets() -> Vec<Case> {
    vec![
        Case {
            name: "target-not-enrolled",
            says: "the device is in no enrollment",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.enrolled = None;
                bundle
            },
            expected: |_| refused(Refusal::NotEnrolled),
        },
        Case {
            name: "target-without-proof",
            says: "the server shows no place in the list",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.target = None;
                bundle
            },
            expected: |_| not_a_target(3),
        },
        Case {
            name: "target-place-of-another",
            says: "the place shown is another device's",
            bend: |scene| {
                let mut bundle = scene.bundle();
                let other = TILLS
                    .iter()
                    .map(|till| target_proof(till))
                    .find(|place| Some(place) != bundle.target.as_ref());
                bundle.target = other;
                bundle
            },
            expected: |_| not_a_target(3),
        },
        Case {
            name: "target-of-one-stranger",
            says: "the list is one other device",
            bend: |scene| {
                let root = leaf_hash(&device_id("stranger").0);
                scene.job.targets = Targets::List(TargetList { count: 1, root });
                let mut bundle = scene.bundle();
                bundle.target = Some(countersign_trust::delivery::TargetProof { index: 0, path: Vec::new() });
                bundle
            },
            expected: |_| not_a_target(1),
        },
        Case {
            name: "target-count-of-another-list",
            says: "the right root with another count: the place does not fit",
            bend: |scene| {
                let root = crate::organization::targets().root();
                scene.job.targets = Targets::List(TargetList { count: 9, root });
                scene.bundle()
            },
            expected: |_| not_a_target(9),
        },
        Case {
            name: "target-no-list-at-all",
            says: "a list of no devices",
            bend: |scene| {
                scene.job.targets = Targets::List(TargetList { count: 0, root: Sha256::of(b"") });
                scene.bundle()
            },
            expected: |_| not_a_target(0),
        },
        Case {
            name: "target-another-label",
            says: "the device is in the south, the job is for the north",
            bend: |scene| {
                let as_of = scene.org.log.tree.size();
                let labels = labels(&[("class", "till"), ("region", "north")]);
                scene.job.targets = Targets::Labels(TargetLabels { labels, as_of, joins: false });
                scene.bundle()
            },
            expected: |_| refused(Refusal::NotLabelled("region=north".to_owned())),
        },
        Case {
            name: "target-enrolled-later",
            says: "the device joined at the leaf at which the author looked",
            bend: |scene| {
                let targets = TargetLabels { labels: BTreeMap::new(), as_of: 2, joins: false };
                scene.job.targets = Targets::Labels(targets);
                scene.bundle()
            },
            expected: |_| refused(Refusal::EnrolledLater { mine: 2, as_of: 2 }),
        },
        Case {
            name: "target-enrolled-just-before",
            says: "the author looked one leaf later",
            bend: |scene| {
                let targets = TargetLabels { labels: BTreeMap::new(), as_of: 3, joins: false };
                scene.job.targets = Targets::Labels(targets);
                scene.bundle()
            },
            expected: |_| accepted(),
        },
    ]
}

fn budget() -> Vec<Case> {
    vec![
        Case {
            name: "budget-busy",
            says: "two steps are running, as many as the policy allows",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.now.running = 2;
                bundle
            },
            expected: |_| refused(Refusal::Busy { running: 2, most: 2 }),
        },
        Case {
            name: "budget-spool-full",
            says: "4,096 receipts wait for acknowledgement",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.now.receipts = 4_096;
                bundle
            },
            expected: |_| refused(Refusal::SpoolFull { spooled: MAX_SPOOL }),
        },
        Case {
            name: "budget-disk-full",
            says: "the disk has no room for a receipt and the output",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.now.disk_full = true;
                bundle
            },
            expected: |_| refused(Refusal::DiskFull),
        },
    ]
}
