//! An agent's life: with a real disk, over real TLS, judged by what it says and what it leaves on disk.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions,
    reason = "a test that meets the unexpected should stop there"
)]

mod beacons;
mod canaries;
mod command;
mod disk;
mod enroll;
mod link;
#[path = "../../../trust/tests/acceptance/organization.rs"]
mod organization;
mod restart;
mod server;
mod weight;
mod world;
