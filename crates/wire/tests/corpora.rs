//! The fuzzer's laws, held over every input that it kept: what once broke a law, and what leads somewhere new.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets the unexpected should stop there"
)]

#[path = "../../trust/fuzz/laws/wire.rs"]
mod laws;

#[test]
fn every_input_that_the_fuzzer_kept_keeps_its_law() {
    for (law, holds) in laws::LAWS {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../trust/fuzz/corpus").join(law);
        let inputs: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!inputs.is_empty(), "{}", folder.display());
        for input in inputs {
            // Shown if the law is broken.
            println!("{}", input.display());
            holds(&std::fs::read(&input).unwrap());
        }
    }
}
