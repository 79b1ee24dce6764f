//! A vendor's feed, as this server follows it: what is held of it, what each feed said last, and whether a halt means this very program.
//!
//! Source: docs/spec/8-interfaces.md, "A vendor's feed".

mod follow;
mod offer;
mod report;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use countersign_trust::chain::{Chain, HeldHalt};
use countersign_trust::envelope::Signed;
use countersign_trust::feed::Held;
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::statement::halt::Scope;
use countersign_trust::verify::stops_component;

use crate::config::Vendor;
use crate::disk::{DiskError, Folder};

pub use follow::start;

/// This program's name, by which a halt of a component may mean it.
const COMPONENT: &str = "countersign-server";
/// And its version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What feeds have come to.
#[derive(Debug, Default)]
pub struct Followed {
    held: Mutex<Held>,
    heard: Mutex<BTreeMap<String, Heard>>,
    /// Why an organization does not take a halt, as it was said last.
    refusals: Mutex<BTreeMap<(OrgId, Sha256), String>>,
    /// Held while halts are offered: of two feeds only one does.
    offering: tokio::sync::Mutex<()>,
    /// Told when there is something to report.
    changed: tokio::sync::Notify,
}

/// What one feed said last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The number of its index; 0 before the first.
    pub sequence: u64,
    /// When it last answered as it should, in seconds since 1970; 0 before the first.
    pub at: u64,
    /// What is wrong with it, if anything.
    pub trouble: String,
}

impl Followed {
    /// What was kept of the feeds that the configuration names.
    ///
    /// # Errors
    /// The disk.
    pub fn load(folder: &Folder, vendor: Option<&Vendor>) -> Result<Self, DiskError> {
        let Some(vendor) = vendor else { return Ok(Self::default()) };
        let kept = folder.vendor_feed()?.unwrap_or_default();
        let held = Held::from_text(&kept, &vendor.keys).unwrap_or_else(|error| {
            tracing::error!(%error, "what was kept of the vendor's feed is not read; it is fetched again");
            Held::default()
        });
        Ok(Self { held: Mutex::new(held), ..Self::default() })
    }

    /// The halts that feeds name.
    pub fn halts(&self) -> Vec<Signed> {
        locked(&self.held).halts().cloned().collect()
    }

    /// What each feed said last, by its address.
    pub fn heard(&self) -> BTreeMap<String, Heard> {
        locked(&self.heard).clone()
    }

    /// Why an organization has not taken a halt, as it was found last.
    pub fn refusal(&self, org: &OrgId, halt: &Sha256) -> Option<String> {
        locked(&self.refusals).get(&(*org, *halt)).cloned()
    }
}

/// The halt by which this very program brings nothing to the organization's devices.
pub fn stops_this_server(chain: &Chain) -> Option<&HeldHalt> {
    chain.active_halts().find(|halt| match &halt.body.scope {
        Scope::Component(component) => stops_component(component, COMPONENT, VERSION),
        _ => false,
    })
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
