//! The evidence of a span of time: a folder that an auditor judges offline, without this program and without the server.
//!
//! It is made in two steps that know nothing of each other. First somebody *brings* files into the folder: the server, asked by
//! [`collect`], or, where there is no server any more, machines, beacons and witnesses by [`rebuild`]. Then [`account`] reads the
//! folder, and nothing else, and writes what follows from it: the timeline, and what is missing. So the account says only what the
//! files say, and whoever has the files comes to the same.
//!
//! Source: docs/spec/8-interfaces.md, "Evidence of a span".

pub mod account;
pub mod collect;
pub mod folder;
pub mod leaves;
pub mod marks;
mod missing;
pub mod read;
pub mod rebuild;
pub mod span;
mod timeline;

pub use folder::Folder;
pub use span::{Source, Span};
