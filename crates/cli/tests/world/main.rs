//! The command line against real servers, beacons, witnesses and agents, with keys that ssh-keygen made.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets the unexpected should stop there"
)]

mod beacons;
mod clones;
mod evidence;
mod fooled;
mod operating;
mod people;
mod stories;
mod tampering;
mod vendor;
mod world;
