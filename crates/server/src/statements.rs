//! The road of a statement that people signed, from whoever brings it to whoever must know.
//!
//! | step | what happens there |
//! | --- | --- |
//! | [`intake`] | it comes in, and is put together with the signatures that are there |
//! | [`decide`] | whether enough people have signed for the log to have it: the server's own opinion, on which nothing depends |
//! | [`settle`] | it is logged, and whoever must know is told; each of this may happen twice |
//! | [`anew`] | of an enrollment besides: whether it follows the one that is held, and bringing it to its device |
//!
//! **Invariant:** it goes one way; a start goes on with what was decided and is not settled.

pub mod anew;
pub mod decide;
pub mod intake;
pub mod settle;
