//! The server: mailman, memory and eyes. It carries what people signed, keeps the log, and decides nothing.
//!
//! | file | what happens there |
//! | --- | --- |
//! | [`serve`], [`tls`], [`guests`] | one port: agents and HTTP are told apart; nobody may fill it |
//! | [`api`], [`auth`], [`turnstile`], [`problem`] | every route, who may use it and how much at once, every error |
//! | [`intake`], [`decide`], [`settle`], [`held`] | a signed statement comes in, is enough, is logged, is told; the chain |
//! | [`log`], [`logs`] | entries, tiles, checkpoints, witnesses; another log takes the place of the one before |
//! | [`peers`], [`learn`] | what is asked of witnesses and beacons, and what is learned from them |
//! | [`vendor`], [`feed`] | a vendor's feed of halts: as it is followed, and as one is served |
//! | [`gate`], [`dispatch`], [`receipts`], [`events`] | agents: connections, jobs, receipts, who watches |
//! | [`tripwires`] | what it watches for, and its own halt |
//! | [`facts`] | what devices do that no agent does; a clone is stopped |
//! | [`orgs`], [`store`], [`disk`], [`config`] | what is kept |
//!
//! **Invariant:** this crate holds no key that can sign a job. What it believes wrongly makes a page wrong, never a
//! machine act.

pub mod api;
pub mod app;
pub mod auth;
pub mod config;
pub mod disk;
pub mod dispatch;
pub mod events;
pub mod facts;
pub mod feed;
pub mod gate;
pub mod guests;
pub mod held;
pub mod learn;
pub mod log;
pub mod logs;
pub mod orgs;
pub mod peers;
pub mod problem;
mod queue;
pub mod quiet;
pub mod reach;
pub mod receipts;
pub mod serve;
pub mod statements;
pub mod store;
pub mod tls;
pub mod tripwires;
pub mod turnstile;
pub mod vendor;

pub use serve::{Running, StartError, start};
