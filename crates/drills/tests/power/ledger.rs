//! The power goes while an agent's ledger is rewritten: the one moment at which all that a device remembers is in one
//! file that takes the place of another.

use std::fs;
use std::path::Path;

use countersign_agent::disk::Folder;
use countersign_agent::disk::ledger::read_ledger;
use countersign_drills::forgetful::Disk;
use countersign_drills::organization::{NOON, TILLS, device_id, device_signer};
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::ledger::{Ledger, Record};
use countersign_trust::note::Note;
use countersign_trust::receipt::{Reason, Receipt, Verdict};
use countersign_trust::time::Time;

use crate::cuts::{self, Cut};

/// So many receipts are long enough together that the file is rewritten once they are acknowledged.
const RECEIPTS: u64 = 7_000;
/// Those after this one are not acknowledged.
const ACKNOWLEDGED: u64 = RECEIPTS - 20;

/// A file as long as this, mostly past, is rewritten.
const WORTH_IT: u64 = 4 << 20;

fn receipt(number: u64, previous: Option<Sha256>) -> Note {
    let receipt = Receipt {
        org: OrgId([1; 32]),
        device: device_id(TILLS[0]),
        number,
        previous,
        job: Some(Sha256([2; 32])),
        occurrence: 0,
        step: 0,
        verdict: Verdict::Refused,
        count: 1,
        code: Some("again".parse().unwrap()),
        because: Reason::new("it is rewritten"),
        output: None,
        kept: 0,
        dropped: 0,
        policy: Sha256([3; 32]),
        enroll: Sha256([4; 32]),
        time: Time(NOON + number),
    };
    device_signer(TILLS[0]).note(receipt.to_string()).unwrap()
}

/// A folder with a ledger that is due for a rewrite.
fn due(data: &Path) {
    let mut previous = None;
    let mut records: Vec<Record> = (1..=RECEIPTS)
        .map(|number| {
            let note = receipt(number, previous);
            previous = Some(Sha256::of(note.text().as_bytes()));
            Record::Receipt(note)
        })
        .collect();
    records.push(Record::Acknowledged(ACKNOWLEDGED));
    Folder::open(data).unwrap().begin_ledger(&records).unwrap();
}

/// Opens the ledger, rewrites it and adds a receipt; returns the number of the last one that is certainly there.
fn rewrite(data: &Path) -> u64 {
    let Ok(folder) = Folder::open(data) else { return RECEIPTS };
    let Ok((mut file, mut ledger)) = folder.open_ledger() else { return RECEIPTS };
    if file.rewrite_if_worth_it(&ledger).is_err() {
        return RECEIPTS;
    }
    let (number, previous) = ledger.next_receipt();
    let record = [Record::Receipt(receipt(number, previous))];
    if file.append(&record).is_err() {
        return RECEIPTS;
    }
    ledger.apply(&record[0]).unwrap();
    assert_eq!(ledger.next_receipt(), read_ledger(data).unwrap().next_receipt());
    number
}

fn holds(ledger: &Ledger, promised: u64) {
    let next = ledger.next_receipt().0;
    assert!(next > promised, "receipt {promised} was written down, {next} is next");
    assert!(ledger.floor() >= Time(NOON + promised), "{}", ledger.floor());
    let spool: Vec<&Note> = ledger.spool().collect();
    assert_eq!(spool.len() as u64, next - 1 - ACKNOWLEDGED, "what nobody has acknowledged is there");
    let first: Receipt = spool[0].text().parse().unwrap();
    assert_eq!(first.number, ACKNOWLEDGED + 1);
}

/// Rewrites the ledger in `data` with the power going at `cut`; returns how many operations there were.
fn tell(data: &Path, cut: Option<Cut>) -> u64 {
    let mut disk = Disk::over(data);
    if let Some(cut) = cut {
        disk.cut_at(cut.at);
    }
    let promised = rewrite(data);
    let operations = disk.operations();
    if let Some(cut) = cut {
        println!("{cut:?}: receipt {promised} is promised");
        disk.power_returns(cut.survives);
    }
    holds(&read_ledger(data).unwrap(), promised);
    assert!(rewrite(data) > promised, "and it goes on");
    let long = fs::metadata(data.join("ledger")).unwrap().len();
    assert!(long < WORTH_IT, "{long} bytes were not rewritten");
    operations
}

#[test]
fn a_ledger_is_the_old_one_or_the_new_one_wherever_the_power_goes() {
    let folder = tempfile::tempdir().unwrap();
    due(folder.path());
    cuts::tell_all(cuts::all, |cut| tell(folder.path(), cut));
}
