//! What a device keeps as evidence: everything by which it judged, and its receipts once they stand in the log.

use countersign_trust::device::{Judged, Keep};
use countersign_trust::ids::Sha256;
use countersign_trust::receipt::{Receipt, Verdict};
use countersign_trust::statement::job::{TargetList, Targets};

use crate::life::Life;

fn judged(life: &Life) -> Vec<&Judged> {
    let kept = life.kept.iter();
    kept.filter_map(|keep| match keep {
        Keep::Judged(judged) => Some(&**judged),
        Keep::Logged(..) => None,
    })
    .collect()
}

#[test]
fn what_is_accepted_is_kept_with_the_clears_and_clocks_by_which_it_was_judged() {
    let mut life = Life::new();
    let key = life.run(|_| ());
    let kept = judged(&life);
    assert_eq!(kept.len(), 1, "{kept:?}");
    let one = kept[0];
    assert!(one.accepted && one.delivery.job.signed.hash() == key.job);
    assert_eq!((one.number, one.now, one.policy), (1, life.now, life.org.chain.policy().hash));
    let clears = one.clears.as_ref().unwrap();
    assert_eq!(Some(clears.challenge), life.device.challenge());
    let need = usize::from(life.org.chain.policy().body.beacons.need.get());
    assert!(clears.answers.len() >= need, "{} Clears", clears.answers.len());
    assert!(one.steps.is_empty(), "what was there before, not what became of it");
}

#[test]
fn what_has_no_receipt_of_its_own_is_not_kept_so_a_flood_fills_no_disk() {
    let mut life = Life::new();
    let mut bent = life.org.job();
    bent.targets = Targets::List(TargetList { count: 0, root: Sha256::of(b"") });
    for _ in 0..60 {
        life.bring(&bent);
    }
    let refused = life.receipts().iter().filter(|receipt| receipt.verdict == Verdict::Refused).count();
    assert_eq!((judged(&life).len(), refused), (30, 30));
    assert!(judged(&life).iter().all(|one| !one.accepted));
}

#[test]
fn a_receipt_is_kept_with_its_place_once_the_log_has_it() {
    let mut life = Life::new();
    let key = life.run(|_| ());
    life.end(key, true);
    life.acknowledge_all();
    let logged: Vec<u64> = life
        .kept
        .iter()
        .filter_map(|keep| match keep {
            Keep::Logged(note, shown) => {
                let receipt: Receipt = note.text().parse().unwrap();
                assert_eq!(receipt.number, shown.number);
                Some(shown.number)
            }
            Keep::Judged(_) => None,
        })
        .collect();
    assert_eq!(logged, [1, 2]);
}
