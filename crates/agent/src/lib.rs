//! The agent: runs what it has verified, within limits, and reports what came of it.

pub mod os;
pub mod run;
