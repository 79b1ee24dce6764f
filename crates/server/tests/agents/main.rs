//! Agents and the server: real connections, real witnesses, real beacons; the agent's mind is `trust`'s device.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets the unexpected should stop there"
)]

mod agent;
mod deliveries;
mod frames;
mod http;
mod joins;
#[path = "../../../trust/tests/acceptance/organization.rs"]
mod organization;
mod receipts;
mod wire;
mod world;
