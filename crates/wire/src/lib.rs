//! What travels between the programs: agent frames, HTTP bodies and paths, and the enrollment token.
//!
//! Nothing here is signed and nothing here decides: it carries what `trust` reads. So it may change between versions
//! while the signed texts stay.

#[cfg(feature = "http")]
pub mod beacon;
pub mod frame;
#[cfg(feature = "http")]
pub mod http;
pub mod message;
pub mod token;
