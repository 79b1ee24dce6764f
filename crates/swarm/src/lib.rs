//! Load: many agents in few processes, against a real server.
//!
//! Each simulated machine has a device key, a TLS connection and a [`countersign_trust::device::Device`] of its own, and says and
//! checks everything an agent says and checks. What is simulated is the running of a step, which comes to its end after a while
//! and leaves some output, and the disk: ledgers are kept in memory, so a swarm that ends forgets what it ran.
//!
//! | file | what it has |
//! | --- | --- |
//! | [`cast`] | who the machines are, drawn from a seed |
//! | [`place`] | how many fit into a process, and where their connections begin |
//! | [`agent`] | one machine's device and what it does |
//! | [`join`] | how a machine becomes a device |
//! | [`swarm`] | all of them |
//! | `link` | one machine's connection, kept up |

pub mod agent;
pub mod cast;
pub mod join;
mod link;
pub mod place;
pub mod swarm;
