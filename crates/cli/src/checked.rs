//! What this tool has checked itself. Targets, counts, sites and labels come from here, never from the server's word.
//!
//! The server and at least one beacon are asked for policies, resumes and halts; the log's newest checkpoint must be
//! witnessed and must continue the one seen last; and every enrollment and join that stands in the log should be explained
//! by evidence that holds. So a server that adds, hides or renames devices is noticed: what is not explained is an alarm.

pub mod chain;
pub mod devices;
pub mod log;
pub mod reach;
pub mod unexplained;
pub mod vendor;
pub mod witnesses;

use std::thread;
use std::time::Duration;

use countersign_trust::chain::Chain;
use countersign_wire::http::paths;

use crate::client::{Client, filled};
use crate::home::Profile;
use crate::output::{Stop, Ui};

pub use devices::{BatchUse, Device, Devices};
pub use log::SeenLog;
use reach::Reached;
use witnesses::Witnessed;

/// An organization as far as this tool has checked it.
pub struct Checked {
    /// Its policies, resumes and halts.
    pub chain: Chain,
    /// Its log.
    pub log: SeenLog,
    /// Its devices and batches.
    pub devices: Devices,
    /// How far its newest policy and resume came with beacons.
    pub reached: Reached,
    /// What a person should know: who was silent, who hides something.
    pub warnings: Vec<String>,
    /// Why the server's log is not all of the log, if it is not: it was set back, or a thief has the log's key.
    pub set_back: Option<Stop>,
}

impl Checked {
    /// Asks server and beacons, checks everything, and remembers how far it came.
    pub fn fetch(profile: &Profile, server: &Client) -> anyhow::Result<Self> {
        let known = chain::known(profile)?;
        // Witnesses are asked before the server shows its checkpoint: what they have seen by then, it must show.
        let (renewed, early) = thread::scope(|scope| {
            let early = known.clone().map(|known| scope.spawn(move || witnesses::ask(&known)));
            let renewed = chain::renew(profile, server, known);
            (renewed, early.and_then(|early| early.join().ok()))
        });
        let (chain, mut warnings) = renewed.map_err(|error| without_server(profile, error))?;
        let seen_by = early.unwrap_or_else(|| witnesses::ask(&chain));
        chain::keep(profile, &chain)?;
        let reached = reach::reach(profile, &chain)?;
        warnings.extend(reached.warnings(&chain));
        let (log, set_back) = read_log(profile, server, &chain, &seen_by)?;
        warnings.extend(seen_by.silence());
        let devices = devices::fetch(profile, server, &chain, &log)?;
        if set_back.is_none() {
            log.keep(profile)?;
        }
        warnings.extend(devices.warnings.iter().cloned());
        Ok(Self { chain, log, devices, reached, warnings, set_back })
    }

    /// What can be known while the server says nothing: what is kept here, with what beacons know besides; how far it came with them;
    /// and what a person should know. None if nothing was ever kept.
    pub fn without_server(profile: &Profile) -> anyhow::Result<Option<(Chain, Reached, Vec<String>)>> {
        let Some(known) = chain::known(profile)? else { return Ok(None) };
        let (chain, mut warnings) = chain::renew_by_beacons(profile, known);
        chain::keep(profile, &chain)?;
        let reached = reach::reach(profile, &chain)?;
        warnings.extend(reached.warnings(&chain));
        warnings.extend(reached.alarm(&chain));
        Ok(Some((chain, reached, warnings)))
    }

    /// Brings beacons a policy or resume that was logged a moment ago, and says how far it came.
    pub fn hand_on(profile: &Profile, server: &Client, ui: &Ui) -> anyhow::Result<()> {
        let (chain, _) = chain::renew(profile, server, chain::known(profile)?)?;
        chain::keep(profile, &chain)?;
        let reached = reach::reach(profile, &chain)?;
        reached.notes(&chain).iter().for_each(|note| ui.note(note));
        reached.warnings(&chain).iter().for_each(|warning| ui.warn(warning));
        reached.alarm(&chain).iter().for_each(|alarm| ui.alarm(alarm));
        Ok(())
    }

    /// Says what a person should know.
    pub fn warn(&self, ui: &Ui) {
        self.reached.notes(&self.chain).iter().for_each(|note| ui.note(note));
        self.warnings.iter().for_each(|warning| ui.warn(warning));
        self.reached.alarm(&self.chain).iter().for_each(|alarm| ui.alarm(alarm));
        self.devices.unexplained.alarm().iter().for_each(|alarm| ui.alarm(alarm));
    }
}

/// A server that says nothing keeps nothing from beacons that is known here.
fn without_server(profile: &Profile, error: anyhow::Error) -> anyhow::Error {
    let Ok(Some(chain)) = chain::known(profile) else { return error };
    let Ok(reached) = reach::reach(profile, &chain) else { return error };
    let said: Vec<String> = [reached.notes(&chain), reached.alarm(&chain).into_iter().collect()].concat();
    if said.is_empty() { error } else { error.context(said.join("; ")) }
}

/// How often the server is asked again for what a witness has seen already: it may be a moment behind.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(250);

/// Reads the log on; it must show all that witnesses have seen, and continue what was seen here. If it does not, what it shows is read
/// all the same, and nothing of it is kept: whoever is to sign the policy that replaces the log needs it.
fn read_log(
    profile: &Profile,
    server: &Client,
    chain: &Chain,
    seen_by: &Witnessed,
) -> anyhow::Result<(SeenLog, Option<Stop>)> {
    let mut log = SeenLog::kept(profile)?;
    let path = filled(paths::LOG, &[("org", &profile.org.to_string())]);
    for _ in 1..ATTEMPTS {
        log = match log.advance(chain, server, &path) {
            Ok(log) => log,
            Err(error) => {
                let alarm = error.downcast::<Stop>()?;
                return Ok((SeenLog::default().advance(chain, server, &path)?, Some(alarm)));
            }
        };
        if seen_by.compare(&log).is_ok() {
            return Ok((log, None));
        }
        thread::sleep(PAUSE);
    }
    log = log.advance(chain, server, &path)?;
    let set_back = seen_by.compare(&log).err();
    Ok((log, set_back))
}
