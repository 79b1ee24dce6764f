//! The thief of the server bends good jobs in every way of the catalogue. Nothing bent runs, and every twin runs once.

use countersign_drills::part::Stage;
use countersign_drills::thief::play;

fn bent_in_every_way(count: usize) {
    let account = play(Stage::Threads, count, 20_260_701);
    println!("{account}");
    assert!(account.rows.len() >= 40, "{} kinds", account.rows.len());
    assert!(account.rows.iter().all(|(_, _, tried, _)| *tried > 0));
    assert_eq!(account.ran, 0);
}

#[test]
fn nothing_bent_runs_and_each_is_refused_by_its_rule() {
    bent_in_every_way(240);
}

mod long {
    #[test]
    fn nothing_bent_runs_ten_thousand_times_and_receipts_account_for_all() {
        super::bent_in_every_way(10_000);
    }
}
