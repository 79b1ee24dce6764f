//! A swarm against real servers, beacons and witnesses: what is believed is what its machines signed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets the unexpected should stop there"
)]

mod machines;
mod program;
