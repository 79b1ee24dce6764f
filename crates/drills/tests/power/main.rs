//! Power cuts: each program on a disk that forgets what was not synced, cut at each operation that changes or syncs
//! something; and `kill -9` by the hundred, which keeps what was written.
//!
//! Every story is told once without a cut, to count its operations. Then it is told again for each place at which the power
//! can go: up to there, on a dead disk to its end (nothing that is promised from there on may be believed), `kill -9`, the
//! power is back, the program starts again, and what it had promised is held against what it knows. Here stands a sample;
//! all places, each with several ways in which a disk may forget, are in the modules `long`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions,
    reason = "a drill that meets the unexpected should stop there"
)]

mod agent;
mod beacon;
mod cuts;
mod disk;
mod first_start;
mod ledger;
mod program;
mod server;
mod told;
mod witness;
