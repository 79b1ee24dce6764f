//! `countersign policy propose --vendor-key`: whose halts of components count, and what they are worth.

use countersign_trust::statement::policy::{Policy, VendorHalts};

use crate::context::Context;
use crate::output::Stop;
use crate::signer::key_or_file;

/// Whose halts of components count, and what they are worth.
#[derive(Debug, Default, clap::Args)]
pub struct VendorArgs {
    /// A key of the vendor, as `countersign vendor key` prints it, or its file; it is added to those there.
    #[arg(long = "vendor-key", value_name = "KEY")]
    pub keys: Vec<String>,
    /// A key of the vendor that counts no more.
    #[arg(long = "drop-vendor-key", value_name = "KEY")]
    pub drop: Vec<String>,
    /// How many of the vendor's keys must sign a release [default: 1 once there is a key, else as it was].
    #[arg(long = "vendor-need", value_name = "NUMBER")]
    pub need: Option<u8>,
    /// What the vendor's halts are worth: auto (obeyed on sight), ask (people are asked), off (nobody obeys, nobody is asked).
    #[arg(long = "vendor-halts", value_name = "auto|ask|off", value_parser = halts)]
    pub halts: Option<VendorHalts>,
}

fn halts(text: &str) -> Result<VendorHalts, String> {
    text.parse().map_err(|_| format!("`{text}` is none of auto, ask, off"))
}

impl VendorArgs {
    /// Whether anything of it was said.
    pub fn is_some(&self) -> bool {
        !self.keys.is_empty() || !self.drop.is_empty() || self.need.is_some() || self.halts.is_some()
    }
}

/// Puts it into `changed`, and says what it costs.
pub fn put(context: &Context, args: &VendorArgs, changed: &mut Policy) -> anyhow::Result<()> {
    let vendor = &mut changed.vendor;
    for wish in &args.keys {
        vendor.keys.insert(key_or_file(wish)?);
    }
    for wish in &args.drop {
        if !vendor.keys.remove(&key_or_file(wish)?) {
            return Err(Stop::Usage(format!("--drop-vendor-key: `{wish}` is no key of the vendor")).into());
        }
    }
    vendor.need = match args.need {
        Some(need) => need,
        None if vendor.keys.is_empty() => 0,
        None => vendor.need.max(1),
    };
    vendor.halts = args.halts.unwrap_or(vendor.halts);
    if !vendor.keys.is_empty() {
        context.ui.note(cost(vendor.halts));
    }
    Ok(())
}

/// What each costs.
fn cost(halts: VendorHalts) -> &'static str {
    match halts {
        VendorHalts::Auto => {
            "auto: you stop within seconds of the vendor's word, at night too; whoever steals the vendor's key can stop you, and start nothing. \
             You start again by your own resume quorum."
        }
        VendorHalts::Ask => {
            "ask: nobody stops you but you. Until one of your people has seen it and halted, what the vendor warns of goes on."
        }
        VendorHalts::Off => {
            "off: you hear of the vendor's halts by other ways or not at all; what the vendor warns of goes on. \
             `countersign status` and auditors are shown this."
        }
    }
}
