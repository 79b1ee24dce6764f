//! A beacon: answers challenges with Clears ("nobody has said stop") and takes halts.
//!
//! A clock, a policy chain, halts and resumes; nothing else. It believes nobody: policies and resumes prove themselves
//! by signatures, log and witnesses, halts by a signature. What it has acknowledged it never forgets.
//!
//! | file | what it answers |
//! | --- | --- |
//! | [`answer`] | what may be said about an organization: every rule |
//! | [`clock`] | the time that is signed |
//! | [`beacon`] | what is remembered, and in which order things become true |
//! | [`serve`] | how it is asked |
//! | [`door`], [`room`] | how much strangers may bring, hold and wait for |
//! | [`follow`], [`ask`] | a vendor's feed, if the configuration names one |
//! | [`config`], [`disk`] | the configuration file, the key, the data folder |

pub mod answer;
pub mod ask;
pub mod beacon;
pub mod clock;
pub mod config;
pub mod disk;
pub mod door;
pub mod follow;
pub mod room;
pub mod serve;
