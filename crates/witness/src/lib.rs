//! A witness: cosigns each organization's log, so that the log cannot show two faces.
//!
//! It believes nobody: an organization's policy chain says which log and which key, the log's signature and a proof of
//! consistency say that the log only grew. What it has seen it never forgets, and it never goes back.
//!
//! | file | what it answers |
//! | --- | --- |
//! | [`cosign`] | when a checkpoint is cosigned: every rule |
//! | [`clock`] | which time it cosigns at |
//! | [`policies`] | which logs, by whose word |
//! | [`witness`] | what is remembered, and in which order things become true |
//! | [`serve`] | how it is asked |
//! | [`door`], [`room`] | how much strangers may bring, hold and wait for |
//! | [`config`], [`disk`] | the configuration file, the key, the data folder |

pub mod clock;
pub mod config;
pub mod cosign;
pub mod disk;
pub mod door;
pub mod policies;
pub mod room;
pub mod serve;
pub mod witness;
