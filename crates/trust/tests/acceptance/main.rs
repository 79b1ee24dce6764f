//! When a device obeys: a good delivery, bent in one place, and the exact refusal.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions,
    reason = "a test that meets the unexpected should stop there"
)]

mod again;
#[path = "../sshsig/authenticator.rs"]
mod authenticator;
mod bundle;
mod called_twice;
mod cases;
mod enrollment;
mod folder;
mod founding;
mod judged;
mod kept;
mod keys;
mod killing;
mod leaps;
mod life;
mod organization;
mod passkeys;
mod properties;
mod put_out;
mod receipts;
mod recovering;
mod refusals;
mod remembering;
mod running;
mod scene;
mod standing;
mod told;
mod vectors;
