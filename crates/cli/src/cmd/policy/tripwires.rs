//! `countersign policy propose --tripwire`, `--no-tripwire`: what the server watches for, without an editor.

use std::collections::BTreeSet;

use countersign_trust::statement::policy::{Policy, Tripwire};

use crate::args::tripwire;
use crate::output::Stop;

/// Which come, and which go.
#[derive(Debug, Default, clap::Args)]
pub struct TripwireArgs {
    /// Add a tripwire: what, how often within which time, and whether the server is to `tell` or to `halt` the organization, such as
    /// `refusals:50/5m:halt`, `silence:3/10m:tell`, `canary:/srv/tills/AAA-invoices.xlsx:2/60s:halt`.
    #[arg(id = "tripwires", long = "tripwire", value_name = "WHAT:COUNT/SPAN:THEN", value_parser = tripwire)]
    pub add: Vec<Tripwire>,
    /// Take this one away, by its number in `countersign tripwire list`.
    #[arg(id = "no_tripwires", long = "no-tripwire", value_name = "NUMBER")]
    pub remove: Vec<usize>,
}

impl TripwireArgs {
    /// Changes a policy so.
    pub fn put_into(self, changed: &mut Policy) -> anyhow::Result<()> {
        let there = changed.tripwires.len();
        if let Some(none) = self.remove.iter().find(|number| !(1..=there).contains(*number)) {
            return Err(Stop::Usage(format!("--no-tripwire {none}: the policy has {there}")).into());
        }
        let gone: BTreeSet<usize> = self.remove.into_iter().collect();
        let numbered = (1..).zip(std::mem::take(&mut changed.tripwires));
        changed.tripwires =
            numbered.filter(|(number, _)| !gone.contains(number)).map(|(_, kept)| kept).collect();
        changed.tripwires.extend(self.add);
        Ok(())
    }
}
