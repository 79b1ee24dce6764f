//! Linux: trees in control groups of either version, or under a keeper alone.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

mod cgroup;
mod child;
mod disk;
mod facts;
mod keeper;
mod net;
mod proc;
mod service;
mod start;
mod text;
mod tree;
mod user;
mod watched;

pub use cgroup::{Controller, Roots};
pub use disk::{free_bytes, hold_room};
pub use facts::{boot_id, boot_reading, hostname, os_facts};
pub use net::notice_death;
pub use service::{ServicePlaces, Services};
pub use start::launch;
pub use tree::Tree;
pub use watched::find;

use cgroup::Realm;

/// Between two blows at programs that are still alive.
const BETWEEN_BLOWS: Duration = Duration::from_millis(5);
/// How many blows before giving up: ten seconds.
const BLOWS: u32 = 2000;

/// How runs are confined on this machine, and under which realm: runs of two realms never touch.
#[derive(Clone, Debug)]
pub struct OsConfig {
    realm: String,
    groups: Option<Realm>,
}

impl OsConfig {
    /// Uses what this machine has, under the realm `countersign`.
    pub fn detect() -> Self {
        Self::detect_for("countersign")
    }

    /// Uses what this machine has, under a realm of another name.
    pub fn detect_for(realm: &str) -> Self {
        Self::at(realm, &Roots::detect())
    }

    /// Uses the control groups under `roots` that can be written; with none, keepers alone.
    pub fn at(realm: &str, roots: &Roots) -> Self {
        let groups = Realm::open(realm, roots);
        tracing::debug!(os.realm = realm, os.groups = ?groups, "how runs are confined");
        Self { realm: realm.to_owned(), groups }
    }
}

/// Kills whatever runs of this realm are still alive, and gives their ids, sorted. For an agent's first moment:
/// it blocks until they are dead, which takes milliseconds, and at most ten seconds.
///
/// Where there are control groups, a run whose programs died with their agent is found too; elsewhere not.
pub fn sweep(config: &OsConfig) -> Vec<String> {
    let mut found = BTreeSet::new();
    if let Some(realm) = &config.groups {
        found = realm.runs();
        found.iter().for_each(|run| fell(|| realm.group(run).fell()));
    } else {
        fell(|| {
            let left = proc::marked(&config.realm);
            proc::kill_all(&left.iter().map(|(pid, _)| *pid).collect::<Vec<_>>());
            let none = left.is_empty();
            found.extend(left.into_iter().map(|(_, run)| run));
            none
        });
    }
    Vec::from_iter(found)
}

/// Repeats `blow` until it says that nothing is left.
fn fell(mut blow: impl FnMut() -> bool) {
    for _ in 0..BLOWS {
        if blow() {
            return;
        }
        thread::sleep(BETWEEN_BLOWS);
    }
    tracing::error!("programs of a run do not die");
}
