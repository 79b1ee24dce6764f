//! Scripts run for real, in each way of confinement: control groups of version 1, of version 2, and none.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

/// Makes each test one of every way.
macro_rules! in_every_way {
    ($($test:ident)*) => {
        mod version_1 { $(#[tokio::test] async fn $test() { super::$test(crate::world::Way::Version1).await })* }
        mod version_2 { $(#[tokio::test] async fn $test() { super::$test(crate::world::Way::Version2).await })* }
        mod keeper { $(#[tokio::test] async fn $test() { super::$test(crate::world::Way::Keeper).await })* }
    };
}
use in_every_way;

mod limits;
mod output;
mod service;
mod start;
mod stubborn;
mod tree;
mod world;
