//! The fuzzer: libFuzzer looks for bytes that break the law named by the variable `COUNTERSIGN_LAW`.
//!
//! `cargo xtask fuzz` builds and runs it. With `COUNTERSIGN_SEEDS=<vectors>:<folder>` it writes what each law begins with
//! instead.
#![no_main]

#[path = "../laws/trust.rs"]
mod trust;
#[path = "../laws/wire.rs"]
mod wire;

mod seeds;

use std::alloc::System;
use std::path::Path;
use std::sync::LazyLock;

use cap::Cap;
use libfuzzer_sys::fuzz_target;

/// Counts what is allocated, and can refuse more.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// How much memory a byte of input may cost a law: it holds what was read, what is printed of it, and a reading by others.
const MEMORY_FACTOR: usize = 24;
/// What it may hold whatever the input is, and what one whose matter is a whole organization, or lists of empty elements, may.
const MEMORY_BASE: [usize; 2] = [128 * 1024, 4 * 1024 * 1024];

static LAW: LazyLock<(fn(&[u8]), usize)> = LazyLock::new(|| {
    let name = std::env::var("COUNTERSIGN_LAW").unwrap_or_default();
    let mut laws = trust::LAWS.into_iter().chain(wire::LAWS);
    let law = laws.find(|(known, _)| *known == name);
    let (_, law) = law.unwrap_or_else(|| panic!("COUNTERSIGN_LAW is `{name}`, which is no law"));
    let whole = ["ledger", "frame", "from-agent", "from-server"].contains(&name.as_str()) || name.starts_with("bent-");
    // What reports a broken law may hold what it needs.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let _unlimited = MEMORY.set_limit(usize::MAX);
        report(panic);
    }));
    // Once without a limit: what is made at the first call stays.
    law(&[]);
    law(&[0; 8]);
    (law, MEMORY_BASE[usize::from(whole)])
});

fuzz_target!(
    init: {
        if let Ok(places) = std::env::var("COUNTERSIGN_SEEDS") {
            let (vectors, folder) = places.split_once(':').expect("two folders");
            seeds::write(Path::new(vectors), Path::new(folder));
            std::process::exit(0);
        }
    },
    |data: &[u8]| {
        let (law, base) = *LAW;
        let most = MEMORY.allocated() + base + MEMORY_FACTOR * data.len();
        MEMORY.set_limit(most).expect("the limit is above what is held");
        law(data);
        MEMORY.set_limit(usize::MAX).expect("no limit is above what is held");
    }
);
