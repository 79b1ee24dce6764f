//! Signatures held against the real `ssh-keygen`: what it signs we take, what we take it takes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test that meets the unexpected should stop there"
)]

mod assertions;
mod authenticator;
mod edge_points;
mod keygen;
mod second_opinion;
mod security_keys;
mod software_keys;
mod token;
mod wrapping;

/// The namespace of the signatures in these tests.
const NAMESPACE: &str = "job.v1@countersign";
/// What is signed in these tests.
const MESSAGE: &[u8] = b"{\n  \"why\": \"restart the tills\"\n}\n";
