//! Incidents, a file each. What is believed is what devices signed and what stands on the disk.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a drill that meets the unexpected should stop there"
)]

mod a_job_two_people_signed;
mod beacons_under_fire;
mod bent_jobs;
mod clocks_two_days_off;
mod five_commands;
mod full_disk;
mod halt_key_stolen;
mod halted;
mod july;
mod restarted_agent;
mod server_frozen;
mod server_wiped;
mod silent_beacon;
mod stolen_database;
mod stolen_log_key;
mod stolen_server;
mod systemd;
mod tripwires;
mod vendor;
mod wiped_database;
