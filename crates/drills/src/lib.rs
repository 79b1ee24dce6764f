//! Whole incidents, rehearsed. Here is the world they happen in; what happens stands in `tests/`, a file an incident.
//!
//! Everything is real: beacons, witnesses, the server and agents run as they do in life, each with a runtime, a data
//! folder and a port of its own, and scripts are run by this machine's shell.
//!
//! | file | what it has |
//! | --- | --- |
//! | [`world`] | an organization with its parts, and what people do in it |
//! | [`part`] | one part: in a thread, or as a process of its own |
//! | [`catalogue`] | every attack by name, and how it is rehearsed |
//! | [`forgetful`] | a disk that forgets what was not synced, for power cuts |
//! | [`followers`], [`static_files`] | a vendor, and many servers that follow its feed |
//! | [`http`] | requests to servers and beacons |
//! | [`july`] | the second of July, whole, told beside what happened in 2021 |
//! | [`keys`] | keys that are no plain Ed25519 ones |
//! | [`organization`] | people and their keys, from fixed seeds |
//! | [`thief`] | a good job bent in a hundred ways by the thief of a server, against real agents |
//! | [`unrehearsed`] | what could not be done on this machine, said where people look |
//! | [`rehearsal`] | the same without sockets and without waiting: a virtual clock, and a hand on every wire |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a drill that meets the unexpected should stop there"
)]

#[allow(
    dead_code,
    missing_docs,
    clippy::as_conversions,
    reason = "shared with the tests that make the vectors"
)]
#[path = "../../trust/tests/acceptance/bundle.rs"]
mod bundle;
pub mod catalogue;
#[allow(
    dead_code,
    missing_docs,
    clippy::as_conversions,
    reason = "shared with the tests that make the vectors"
)]
#[path = "../../trust/tests/acceptance/folder.rs"]
mod folder;
pub mod followers;
pub mod forgetful;
pub mod http;
pub mod july;
#[path = "../../trust/tests/acceptance/keys.rs"]
pub mod keys;
#[path = "../../trust/tests/acceptance/organization.rs"]
pub mod organization;
pub mod part;
pub mod rehearsal;
pub mod static_files;
pub mod thief;
pub mod unrehearsed;
pub mod world;
