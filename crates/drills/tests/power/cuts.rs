//! Where the power goes, and what is left.

use std::time::Duration;

use countersign_drills::forgetful::{Disk, Survives};

/// What a program says at all on a dead disk, it says within this time; after it, it only waits.
const LAST_WORDS: Duration = Duration::from_millis(200);
const GLANCE: Duration = Duration::from_millis(5);

/// The power goes at this operation of a story, and this is left.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Counted from 1.
    pub at: u64,
    /// What a disk keeps of what was not synced.
    pub survives: Survives,
}

/// So many, spread over a story of so many operations.
pub fn some(count: u64, operations: u64) -> impl Iterator<Item = Cut> {
    (0..count).map(move |number| Cut {
        at: 1 + (2 * number + 1) * operations / (2 * count),
        survives: if number % 3 == 0 { Survives::Nothing } else { Survives::Some(number) },
    })
}

/// Every operation, with nothing left and with this and that left.
pub fn all(operations: u64) -> impl Iterator<Item = Cut> {
    let ways = |at| [Survives::Nothing, Survives::Some(at), Survives::Some(at + 1), Survives::Some(at + 2)];
    (1..=operations).flat_map(move |at| ways(at).map(|survives| Cut { at, survives }))
}

/// Every operation, with nothing left and with something: for stories that take long.
pub fn each(operations: u64) -> impl Iterator<Item = Cut> {
    let ways = |at| [Survives::Nothing, Survives::Some(at)];
    (1..=operations).flat_map(move |at| ways(at).map(|survives| Cut { at, survives }))
}

/// `kill -9` at so many operations: everything that was written is there.
pub fn kills(count: u64, operations: u64) -> impl Iterator<Item = Cut> {
    some(count, operations).map(|cut| Cut { survives: Survives::Everything, ..cut })
}

/// Tells a story without a cut, which says how many operations it has, and then with each that is `of` so many.
pub fn tell_all<C: Iterator<Item = Cut>>(of: impl Fn(u64) -> C, mut tell: impl FnMut(Option<Cut>) -> u64) {
    let operations = tell(None);
    println!("{operations} operations");
    for cut in of(operations) {
        println!("{cut:?}");
        tell(Some(cut));
    }
}

/// What comes of it, unless the power goes and nothing comes soon after.
pub async fn while_there_is_power<T>(disk: &Disk, what: impl Future<Output = T>) -> Option<T> {
    let dead = async {
        while !disk.is_dead() {
            tokio::time::sleep(GLANCE).await;
        }
        tokio::time::sleep(LAST_WORDS).await;
    };
    tokio::select! {
        done = what => Some(done),
        () = dead => None,
    }
}
