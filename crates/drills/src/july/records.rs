//! What registers signed while the thief was there comes back by itself: they keep it until a log has it.

use std::time::{Duration, Instant};

use countersign_trust::ids::Sha256;
use countersign_trust::receipt::{Receipt, Verdict};
use countersign_wire::http::{Page, ReceiptView};

use super::jobs::checked;
use super::stores::Field;
use super::story::{Story, thousands};
use crate::part::until_within;

/// Waits until the server has in its log what every register signed of each of these jobs.
pub fn come_back(field: &Field, tried: &[Sha256], story: &mut Story) {
    let (wanted, began) = (u64::try_from(tried.len() * field.registers.len()).unwrap(), Instant::now());
    let took =
        until_within(Duration::from_secs(180), Duration::from_secs(1), "the refusals are logged", || {
            let count = logged(field, tried);
            eprintln!("   … {count} of {wanted} refusals are in the log again");
            (count == wanted).then(|| began.elapsed())
        });
    story.holds(format!(
        "Nobody told the server what the thief tried: {} refusals of {} orders come from the registers themselves, each checked by the key of its register, and stand in the new log.",
        thousands(wanted),
        tried.len()
    ));
    story.measured("until the last of them stood there", took);
}

/// How many refusals of these jobs the server shows with a place in its log.
fn logged(field: &Field, tried: &[Sha256]) -> u64 {
    let (mut count, mut rest) = (0, "receipts?limit=1000".to_owned());
    loop {
        let page: Page<ReceiptView> = field.world.block_on(field.world.http.get(&field.world.path(&rest)));
        for row in page.items.iter().filter(|row| row.place.is_some()) {
            let register = &field.registers[&row.device.parse().unwrap()];
            let receipt: Receipt = checked(register, &row.note.parse().unwrap());
            let of_them = receipt.job.is_some_and(|job| tried.contains(&job));
            count += if of_them && receipt.verdict == Verdict::Refused { receipt.count } else { 0 };
        }
        let Some(next) = page.next else { return count };
        rest = format!("receipts?limit=1000&after={}", next.replace(' ', "%20"));
    }
}
