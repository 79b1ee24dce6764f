//! What a device says: chained, never lost, let go of only when the log has it.

use countersign_trust::device::Input;
use countersign_trust::ids::Sha256;
use countersign_trust::receipt::Verdict;
use countersign_trust::statement::job::{TargetList, Targets};
use countersign_trust::verify::MAX_SPOOL;

use crate::life::Life;
use crate::organization::{TILLS, WITNESSES, device_id, everything};

/// Brings a job that is for nobody, so that it is refused.
fn refuse(life: &mut Life) {
    let mut job = life.org.job();
    job.targets = Targets::List(TargetList { count: 0, root: Sha256::of(b"") });
    life.bring(&job);
}

#[test]
fn receipts_are_numbered_and_each_names_the_one_before() {
    let mut life = Life::new();
    let key = life.run(|_| ());
    life.end(key, true);
    refuse(&mut life);
    life.restart();
    refuse(&mut life);
    let (mut number, mut previous) = (0, None);
    let texts: Vec<String> = life.receipts().iter().map(ToString::to_string).collect();
    for (receipt, text) in life.receipts().iter().zip(texts) {
        assert_eq!((receipt.number, receipt.previous), (number + 1, previous));
        assert_eq!(receipt.device, device_id(TILLS[0]));
        assert_eq!(receipt.policy, life.org.chain.policy().hash);
        assert_eq!(receipt.enroll, life.enrolled.enroll.signed.hash());
        (number, previous) = (receipt.number, Some(Sha256::of(text.as_bytes())));
    }
    let verdicts: Vec<Verdict> = life.receipts().iter().map(|receipt| receipt.verdict).collect();
    assert_eq!(verdicts, [Verdict::Accepted, Verdict::Ended, Verdict::Refused, Verdict::Refused]);
}

#[test]
fn the_chain_goes_on_after_all_was_acknowledged_and_the_ledger_rewritten() {
    let mut life = Life::new();
    refuse(&mut life);
    life.acknowledge_all();
    assert_eq!(life.device.ledger().spooled(), 0);
    life.rewrite();
    life.restart();
    refuse(&mut life);
    let receipts = life.receipts();
    assert_eq!(receipts.len(), 2);
    assert_eq!(receipts[1].previous, Some(Sha256::of(receipts[0].to_string().as_bytes())));
}

#[test]
fn what_waits_is_sent_again_at_each_connection() {
    let mut life = Life::new();
    refuse(&mut life);
    let sent = life.sent.len();
    life.hear(Input::Disconnected);
    life.hear(Input::Connected);
    assert_eq!(life.sent.len(), sent + 1);
}

#[test]
fn only_cosigned_inclusion_acknowledges() {
    let mut life = Life::new();
    refuse(&mut life);
    let seen_by_two = life.acknowledge(1, &WITNESSES[..2]);
    life.hear(Input::Acknowledged(Box::new(seen_by_two)));
    assert_eq!(life.device.ledger().spooled(), 1, "two witnesses of three");

    let mut another_batch = life.acknowledge(1, &WITNESSES);
    another_batch.root = Sha256([9; 32]);
    life.hear(Input::Acknowledged(Box::new(another_batch)));
    assert_eq!(life.device.ledger().spooled(), 1, "a root that the log does not hold");

    let mut another_leaf = life.acknowledge(1, &WITNESSES);
    another_leaf.proof = life.org.log.proof(0, &WITNESSES);
    life.hear(Input::Acknowledged(Box::new(another_leaf)));
    assert_eq!(life.device.ledger().spooled(), 1, "a leaf that is no batch");

    let mut unknown = life.acknowledge(1, &WITNESSES);
    unknown.number = 2;
    life.hear(Input::Acknowledged(Box::new(unknown)));
    assert_eq!(life.device.ledger().spooled(), 1, "a receipt that was never made");

    let good = life.acknowledge(1, &WITNESSES);
    life.hear(Input::Acknowledged(Box::new(good)));
    assert_eq!(life.device.ledger().spooled(), 0);
}

#[test]
fn the_oldest_goes_first() {
    let mut life = Life::new();
    refuse(&mut life);
    refuse(&mut life);
    let second = life.acknowledge(2, &WITNESSES);
    life.hear(Input::Acknowledged(Box::new(second)));
    assert_eq!(life.device.ledger().spooled(), 2);
    let first = life.acknowledge(1, &WITNESSES);
    life.hear(Input::Acknowledged(Box::new(first)));
    assert_eq!(life.device.ledger().spooled(), 1);
}

#[test]
fn a_flood_of_refusals_becomes_thirty_and_one_that_counts_the_rest() {
    let mut life = Life::new();
    (0..50).for_each(|_| refuse(&mut life));
    assert_eq!(life.receipts().len(), 30);
    life.pass(60);
    let receipts = life.receipts();
    assert_eq!(receipts.len(), 31);
    assert_eq!((receipts[30].verdict, receipts[30].count), (Verdict::Refused, 20));
    refuse(&mut life);
    assert_eq!(life.receipts().len(), 32);
}

#[test]
fn a_flood_of_one_reason_hides_no_other() {
    let mut life = Life::new();
    let ran = run_once(&mut life);
    (0..40).for_each(|_| refuse(&mut life));
    life.bring(&ran);
    (0..3).for_each(|_| refuse(&mut life));
    life.bring(&ran);
    life.pass(60);
    let counted: Vec<(u64, String)> = life.receipts().split_off(32).into_iter().map(told).collect();
    let counts: Vec<u64> = counted.iter().map(|(count, _)| *count).collect();
    assert_eq!(counts, [2, 13], "{counted:?}");
    assert!(counted[0].1.contains("step 1 was accepted before"), "{counted:?}");
    assert!(counted[1].1.contains("is not among its 0 targets"), "{counted:?}");
}

#[test]
fn what_cannot_be_read_is_refused_by_a_receipt_that_names_no_job() {
    let mut life = Life::new();
    life.hear(Input::Unreadable("the job: 0 signatures".to_owned(), Vec::new()));
    let receipt = life.receipts().pop().unwrap();
    assert_eq!((receipt.verdict, receipt.job), (Verdict::Refused, None));
    assert_eq!(receipt.because.as_str(), "what came cannot be read: the job: 0 signatures");
}

#[test]
fn what_does_not_fit_into_the_spool_is_told_when_it_does() {
    let mut life = Life::new();
    let job = life.org.job();
    life.fill_spool(MAX_SPOOL);
    life.restart();
    (0..7).for_each(|_| refuse(&mut life));
    (0..5).for_each(|_| drop(life.bring(&job)));
    for expected in [7, 5] {
        let oldest = life.device.ledger().spool().next().unwrap().text().to_owned();
        let number = oldest.parse::<countersign_trust::receipt::Receipt>().unwrap().number;
        let oldest = life.acknowledge(number, &WITNESSES);
        life.hear(Input::Acknowledged(Box::new(oldest)));
        life.pass(60);
        assert_eq!(life.receipts().last().unwrap().count, expected);
    }
}

/// A job that ran.
fn run_once(life: &mut Life) -> countersign_trust::statement::job::Job {
    let job = life.org.job();
    life.bring(&job);
    let key = life.ran[0];
    life.end(key, true);
    job
}

fn told(receipt: countersign_trust::receipt::Receipt) -> (u64, String) {
    (receipt.count, receipt.because.as_str().to_owned())
}

#[test]
fn in_a_flood_what_is_accepted_and_ended_is_still_told() {
    let mut life = Life::new();
    (0..50).for_each(|_| refuse(&mut life));
    let key = life.run(|_| ());
    life.end(key, true);
    assert_eq!(life.receipts().len(), 32);
}

#[test]
fn with_a_full_spool_nothing_starts_and_refusals_wait_until_there_is_room() {
    let mut life = Life::new();
    life.fill_spool(MAX_SPOOL);
    life.restart();
    (0..100).for_each(|_| refuse(&mut life));
    let job = life.org.job();
    life.bring(&job);
    assert_eq!((life.ran.len(), life.device.ledger().spooled()), (0, MAX_SPOOL), "refused, and counted");
    for (number, because) in [(1, "is not among its 0 targets"), (2, "4096 receipts wait")] {
        let oldest = life.acknowledge(number, &WITNESSES);
        life.hear(Input::Acknowledged(Box::new(oldest)));
        life.pass(60);
        assert_eq!(life.device.ledger().spooled(), MAX_SPOOL);
        assert!(life.last().1.contains(because), "{:?}", life.last());
    }
}

#[test]
fn a_device_that_is_not_enrolled_says_nothing_and_stands() {
    let mut life = Life::new();
    life.disk.pop();
    life.restart();
    let job = life.org.job();
    let delivery = life.org.deliver(&job, &["anna", "bo"], TILLS[0]);
    life.hear(Input::Delivered(Box::new(delivery)));
    life.pass(200);
    assert_eq!((life.ran.len(), life.sent.len()), (0, 0));
}

#[test]
fn anothers_enrollment_makes_nobody_of_this_device() {
    let mut org = crate::organization::Organization::found();
    let other = org.enroll(TILLS[1]);
    let mut life = Life::of(org, other);
    let job = life.org.job();
    let delivery = life.org.deliver(&job, &["anna", "bo"], TILLS[1]);
    let clears = life.clears();
    life.hear(Input::Clears(clears));
    life.hear(Input::Delivered(Box::new(delivery)));
    assert_eq!((life.ran.len(), life.sent.len()), (0, 0));
}

#[test]
fn a_halt_is_on_disk_before_anything_else_is_done_about_it() {
    let mut life = Life::new();
    life.run(|_| ());
    let halt = life.org.halt(everything(), "cia");
    let outputs = life.tell(halt);
    let kinds: Vec<String> = outputs.iter().map(crate::bundle::variant).collect();
    assert_eq!(kinds, ["Persist", "Kill"]);
}
