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
mod decisions;
mod deliveries;
mod frames;
mod halts;
mod history;
mod hostile;
mod http;
mod intake;
mod interface;
mod joins;
mod later;
mod log;
mod moves;
#[path = "../../../trust/tests/acceptance/organization.rs"]
mod organization;
#[path = "../../src/store/testing/server.rs"]
mod postgres;
mod receipts;
mod records;
mod recovery;
mod signatures;
#[path = "../../../drills/src/static_files.rs"]
mod static_files;
mod tripwires;
mod vendor;
mod wire;
mod world;
