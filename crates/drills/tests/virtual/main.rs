//! The attacks of the catalogue, each played in a world without sockets, and laws that hold in every such world.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a drill that meets the unexpected should stop there"
)]

mod attacks;
mod laws;
mod thief;
mod world;
