//! What this tool has checked itself. Targets, counts, sites and labels come from here, never from the server's word.
//!
//! The server and at least one beacon are asked for policies, resumes and halts; the log's newest checkpoint must be
//! witnessed and must continue the one seen last; and every enrollment and join that stands in the log must be explained
//! by evidence that holds. So a server that adds, hides or renames devices is noticed.

pub mod chain;
pub mod devices;
pub mod log;

use countersign_trust::chain::Chain;
use countersign_wire::http::paths;

use crate::client::{Client, filled};
use crate::home::Profile;
use crate::output::Ui;

pub use devices::{BatchUse, Device, Devices};
pub use log::SeenLog;

/// An organization as far as this tool has checked it.
pub struct Checked {
    /// Its policies, resumes and halts.
    pub chain: Chain,
    /// Its log.
    pub log: SeenLog,
    /// Its devices and batches.
    pub devices: Devices,
    /// What a person should know: who was silent, who hides something.
    pub warnings: Vec<String>,
}

impl Checked {
    /// Asks server and beacons, checks everything, and remembers how far it came.
    pub fn fetch(profile: &Profile, server: &Client) -> anyhow::Result<Self> {
        let known = chain::known(profile)?;
        let (chain, mut warnings) = chain::renew(profile, server, known)?;
        chain::keep(profile, &chain)?;
        let seen = SeenLog::kept(profile)?;
        let log = seen.advance(&chain, server, &filled(paths::LOG, &[("org", &profile.org.to_string())]))?;
        let devices = devices::fetch(profile, server, &chain, &log)?;
        log.keep(profile)?;
        warnings.extend(devices.warnings.iter().cloned());
        Ok(Self { chain, log, devices, warnings })
    }

    /// Says what a person should know.
    pub fn warn(&self, ui: &Ui) {
        self.warnings.iter().for_each(|warning| ui.warn(warning));
    }
}
