//! The table of all bundles: each is a row here, a test in `refusals.rs` and a folder of vectors.

mod accepted;
mod advances;
mod again;
mod anew;
mod clears;
mod halts;
mod jobs;
mod local;
mod logs;
mod policies;
mod recovery;
mod repeats;
mod resumes;
mod service;
mod signatures;
mod time;

use crate::scene::Case;

/// Every row.
pub fn all() -> Vec<Case> {
    [
        accepted::cases(),
        signatures::cases(),
        jobs::cases(),
        clears::cases(),
        time::cases(),
        advances::cases(),
        repeats::cases(),
        recovery::cases(),
        anew::cases(),
        halts::cases(),
        again::cases(),
        policies::cases(),
        resumes::cases(),
        logs::cases(),
        local::cases(),
        service::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
