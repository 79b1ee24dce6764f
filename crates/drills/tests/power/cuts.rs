//! Where the power goes, and what is left.

use countersign_drills::forgetful::Survives;

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
