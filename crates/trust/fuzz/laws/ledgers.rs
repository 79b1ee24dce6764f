//! What a device finds on its disk.

use std::sync::LazyLock;

use countersign_trust::ledger::{Ledger, Record};
use countersign_trust::sshwire::Reader;

use super::organization::{Organization, TILLS};

/// A record is written in one way, but for a halt that was logged: the proof is not kept.
pub fn record(data: &[u8]) {
    match Record::decode(data) {
        Ok(record) => {
            let bytes = record.encode();
            let is_news = matches!(record, Record::News(_));
            assert!(bytes == data || is_news && bytes.len() < data.len(), "two forms of one record");
            assert_eq!(Record::decode(&bytes).map(|again| again.encode()), Ok(bytes));
        }
        Err(error) => super::says_little(&error),
    }
}

/// What every ledger here begins with: an organization, and a device in it.
static BEGINNING: LazyLock<Ledger> = LazyLock::new(|| {
    let mut org = Organization::found();
    let enrolled = org.enroll(TILLS[0]);
    super::organization::ledger(&org.records(&enrolled))
});

/// Whatever records follow, each after its length, a rewritten ledger is the same ledger.
pub fn ledger(data: &[u8]) {
    let (mut ledger, mut reader) = (BEGINNING.clone(), Reader::new(data));
    while let Ok(bytes) = reader.string() {
        let Ok(record) = Record::decode(bytes) else { return };
        if let Err(error) = ledger.apply(&record) {
            super::says_little(&error);
            // The program stops here: the disk holds what it never wrote.
            return;
        }
    }
    let mut again = Ledger::default();
    for record in ledger.rewritten() {
        again.apply(&Record::decode(&record.encode()).unwrap()).unwrap();
    }
    assert_eq!(remembered(&again), remembered(&ledger), "a rewrite forgot or invented something");
    let (chain, before) = (again.chain().unwrap(), ledger.chain().unwrap());
    assert_eq!((chain.policy().hash, chain.resume()), (before.policy().hash, before.resume()));
    let halts = |chain: &countersign_trust::chain::Chain| -> Vec<_> {
        chain.active_halts().map(|halt| halt.hash).collect()
    };
    assert_eq!((halts(chain), again.enrolled()), (halts(before), ledger.enrolled()));
}

fn remembered(ledger: &Ledger) -> impl PartialEq + std::fmt::Debug {
    let spool: Vec<String> = ledger.spool().map(ToString::to_string).collect();
    (ledger.floor(), ledger.next_receipt(), ledger.started(), spool)
}
