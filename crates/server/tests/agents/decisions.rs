//! The server's opinion is that of whoever judges: it has no rule of its own beside trust's.

use std::num::NonZeroU8;

use countersign_server::statements::decide::{Advanced, Decision, Device, Known, Unfit, decide};
use countersign_trust::delivery::News;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::Sha256;
use countersign_trust::join::Labels;
use countersign_trust::merkle::EMPTY_ROOT;
use countersign_trust::statement::Kind;
use countersign_trust::statement::advance::Advance;
use countersign_trust::statement::halt::Scope;
use countersign_trust::statement::job::{TargetLabels, Targets};
use countersign_trust::statement::resume::{Cuts, Lifts};
use countersign_trust::text::Nothing;

use crate::organization::{Organization, device_id, everything, labels, sign, word};

fn judged(
    org: &Organization,
    devices: &[Device],
    signed: &Signed,
    of: Option<&Advanced>,
) -> Result<Decision, Unfit> {
    let now = org.time;
    decide(Known { chain: &org.chain, devices, now }, signed.kind().unwrap(), signed, &[], of)
}

#[test]
fn a_resume_is_enough_for_the_server_exactly_if_everybody_takes_it_once_it_is_logged() {
    let mut org = Organization::found();
    for round in 0..2 {
        let News::Halt(halt) = org.halt(everything(), "cia") else { panic!("a halt") };
        for previous in [vec![], org.chain.resume().into_iter().collect(), vec![Sha256([7; 32])]] {
            for keys in [&["anna", "bo"][..], &["anna"]] {
                let lifts = Lifts::Halts([halt.hash()].into());
                let mut resume = org.next_resume(lifts, Cuts::None(Nothing));
                resume.previous = previous.iter().copied().collect();
                let signed = sign(&resume, keys);
                let decision = judged(&org, &[], &signed, None);
                let logged = News::Resume(org.log(signed));
                let taken = logged.offer(&mut org.chain.clone()).is_ok();
                let enough = matches!(decision, Ok(Decision::Enough));
                assert_eq!(enough, taken, "{round}: {previous:?} {keys:?}: {decision:?}");
            }
        }
        org.resume(Lifts::Halts([halt.hash()].into()), Cuts::None(Nothing), |_| ());
    }
}

/// A device with these labels.
fn device(name: &str, site: &str) -> Device {
    let (labels, id): (Labels, _) = (labels(&[("class", site)]), device_id(name));
    Device {
        id,
        labels,
        place: countersign_trust::chain::Place { log: 0, index: 0 },
        enroll: Sha256([1; 32]),
        seq: 0,
    }
}

#[test]
fn who_asked_may_advance_alone_where_the_rules_of_the_jobs_own_devices_ask_for_no_approval() {
    let org = Organization::found_with(|policy| {
        policy.quorums.promote.need = NonZeroU8::MIN;
        let mut of_lab = policy.rules[0].clone();
        policy.rules[0].labels = labels(&[("class", "till")]);
        (of_lab.labels, of_lab.approvals) = (labels(&[("class", "lab")]), 0);
        policy.rules.push(of_lab);
    });
    let mut org = org;
    let devices = [device("till-1", "till"), device("lab-1", "lab")];
    for (class, expected) in [("lab", Decision::Enough), ("till", Decision::Waiting(String::new()))] {
        let mut job = org.job();
        let (joins, as_of) = (false, 100);
        job.targets = Targets::Labels(TargetLabels { labels: labels(&[("class", class)]), as_of, joins });
        let advance = Advance {
            org: org.org,
            id: org.id(),
            policy: org.chain.policy().hash,
            resume: None,
            job: Sha256([3; 32]),
            wave: 2,
            root: EMPTY_ROOT,
            well: 1,
            failed: 0,
            missing: 0,
            why: word("The first wave looks well."),
        };
        let of = Advanced { job, targets: Vec::new() };
        let decision = judged(&org, &devices, &sign(&advance, &["anna"]), Some(&of)).unwrap();
        match (&decision, &expected) {
            (Decision::Waiting(why), Decision::Waiting(_)) => {
                assert_eq!(why, "signed by anna alone, who asked for the job");
            }
            _ => assert_eq!(decision, expected, "{class}"),
        }
    }
}

#[test]
fn a_resume_that_cuts_off_what_somebody_signed_cuts_it_off_though_he_is_halted() {
    let mut org = Organization::found();
    let signed = sign(&org.job(), &["anna", "bo"]);
    assert_eq!(signed.kind().unwrap(), Kind::Job);
    let News::Halt(all) = org.halt(everything(), "cia") else { panic!("a halt") };
    org.halt(Scope::Person(word("bo")), "cia");
    org.resume(Lifts::Halts([all.hash()].into()), Cuts::People([word("bo")].into()), |_| ());
    let decision = judged(&org, &[device("till-1", "till")], &signed, None);
    assert!(matches!(decision, Err(Unfit::Cut(_))), "{decision:?}");
}
