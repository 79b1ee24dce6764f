//! Every row of the table, and that the table leaves no refusal out.

use std::collections::BTreeSet;

use countersign_trust::chain::Taken;

use crate::bundle::Refused;
use crate::cases;
use crate::scene::Scene;

#[test]
fn a_good_delivery_bent_in_one_place_gives_exactly_this() {
    let mut wrong = Vec::new();
    for case in cases::all() {
        let mut scene = Scene::good();
        let bundle = (case.bend)(&mut scene);
        let (outcome, expected) = (bundle.judge(), (case.expected)(&scene));
        if outcome.job != expected.job {
            wrong.push(format!(
                "{} ({}):\n  {:?}\n  expected {:?}",
                case.name, case.says, outcome.job, expected.job
            ));
        }
        for (index, taken) in outcome.chain.iter().enumerate() {
            if taken.as_ref().err() != expected.chain.get(&index) {
                let expected = expected.chain.get(&index);
                wrong.push(format!("{}, chain {index}:\n  {taken:?}\n  expected {expected:?}", case.name));
            }
        }
        for (index, taken) in outcome.anew.iter().enumerate() {
            if taken.as_ref().err() != expected.anew.get(&index) {
                let expected = expected.anew.get(&index);
                wrong.push(format!("{}, anew {index}:\n  {taken:?}\n  expected {expected:?}", case.name));
            }
        }
        assert!(
            outcome.chain.iter().all(|taken| *taken != Ok(Taken::Known))
                || case.name.contains("again")
                || case.name.contains("rolled")
                || case.name.contains("twice")
        );
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_row_has_its_own_name() {
    let names: BTreeSet<&str> = cases::all().iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases::all().len());
}

#[test]
fn every_refusal_has_a_row() {
    let refusals = [
        "UnknownSigners",
        "Statement",
        "OtherOrganization",
        "NotEnrolled",
        "NotFresh",
        "Aged",
        "Halted",
        "Job",
        "NotYet",
        "Expired",
        "OutsideHours",
        "Cut",
        "UnknownResume",
        "UnknownPolicy",
        "Guarded",
        "NoRule",
        "NotSignedByRequester",
        "NotARequester",
        "Approvals",
        "SameOrigin",
        "TooFewWaves",
        "Log",
        "Again",
        "EarlierFailed",
        "NotATarget",
        "NotLabelled",
        "EnrolledLater",
        "WaveNotYet",
        "WaveNeedsAdvance",
        "Advance",
        "Passed",
        "EarlierRuns",
        "Retired",
        "Busy",
        "SpoolFull",
        "DiskFull",
    ];
    let seen: BTreeSet<String> = cases::all()
        .iter()
        .map(|case| {
            let mut scene = Scene::good();
            (case.bend)(&mut scene);
            (case.expected)(&scene)
        })
        .filter_map(|expected| expected.job.as_ref().err().map(Refused::code))
        .collect();
    for refusal in refusals {
        assert!(seen.contains(refusal), "no row expects {refusal}");
    }
}
