//! `countersign device move`: another site or other labels for a device that is enrolled.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use countersign_trust::ids::{Name, StatementId};
use countersign_trust::join::Labels;
use countersign_trust::statement::enroll::{self, Enroll, What};
use countersign_trust::statement::policy::Policy;

use crate::args::{label, name};
use crate::checked::Device;
use crate::context::{Context, Session, random};
use crate::difference;
use crate::output::{Stop, plain, short};
use crate::resemble;

/// Where a device goes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
A device takes its new labels while it runs. Where a rule of the policy reads a label that changes, people who could run
something under that rule must be among those who sign, for the place it leaves and the place it goes to.

Examples:
  countersign device move 7c31 --site ystad
  countersign device move 7c31 --label kind=kiosk --without region")]
pub struct MoveArgs {
    /// Its id, or the beginning of it.
    device: String,
    /// Where it will stand.
    #[arg(long, value_parser = name)]
    site: Option<Name>,
    /// A label that it will carry; another value of one that it carries takes its place.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(Name, Name)>,
    /// A label that it will not carry any more.
    #[arg(long, value_name = "KEY", value_parser = name)]
    without: Vec<Name>,
}

/// Runs it.
pub fn run(context: &Context, session: &Session, args: &MoveArgs) -> anyhow::Result<()> {
    let device = session.checked.devices.named(&args.device)?;
    let wish = wish(session, device, args)?;
    let after = with_site(&wish);
    let lines = changes(&device.labels, &after);
    if lines.is_empty() {
        return Err(
            Stop::Usage(format!("{} stands there and carries that already", short(&device.device))).into()
        );
    }
    context.ui.note(&format!("{} moves:", device.device));
    lines.iter().for_each(|line| context.ui.note(&format!("  {line}")));
    rules(&session.checked.chain.policy().body, &device.labels, &after)
        .iter()
        .for_each(|line| context.ui.note(line));
    let others = session.checked.devices.enrolled.values().filter(|other| other.device != device.device);
    let known: Vec<&str> = others.flat_map(|other| other.labels.values()).map(Name::as_str).collect();
    let new = after.iter().filter(|(key, value)| device.labels.get(*key) != Some(*value));
    let new: Vec<&str> = new.map(|(_, value)| value.as_str()).collect();
    resemble::warnings("label", new, known).iter().for_each(|warning| context.ui.warn(warning));
    let enroll = Enroll { org: session.profile.org, id: StatementId(random()?), what: What::Device(wish) };
    super::sign(context, session, &enroll, "Sign this?", &format!("{} moves", short(&device.device)))
}

/// The device's next enrollment: what is not said stays as it is.
fn wish(session: &Session, device: &Device, args: &MoveArgs) -> anyhow::Result<enroll::Device> {
    let usage = |text: &str| Err(Stop::Usage(text.to_owned()).into());
    if args.labels.iter().any(|(key, _)| key.as_str() == "site")
        || args.without.iter().any(|key| key.as_str() == "site")
    {
        return usage("say the site with --site; no label is called `site`");
    }
    if let Some((key, _)) = args.labels.iter().find(|(key, _)| args.without.contains(key)) {
        return usage(&format!("the label {key} is asked for and asked away"));
    }
    if let Some(key) = args.without.iter().find(|key| !device.labels.contains_key(*key)) {
        return usage(&format!("{} carries no label {key}", short(&device.device)));
    }
    let mut labels = device.labels.clone();
    let before = labels
        .iter()
        .find(|(key, _)| key.as_str() == "site")
        .map(|(key, value)| (key.clone(), value.clone()));
    let Some((site, stands)) = before else { return usage("this device stands nowhere") };
    labels.remove(&site);
    labels.extend(args.labels.iter().cloned());
    args.without.iter().for_each(|key| drop(labels.remove(key)));
    Ok(enroll::Device {
        key: device.key.clone(),
        host_key: session.checked.devices.host_key(&device.device),
        site: args.site.clone().unwrap_or(stands),
        labels,
        seq: device.seq.saturating_add(1),
        previous: Some(device.enroll),
    })
}

/// A wish's labels, the site among them.
pub fn with_site(wish: &enroll::Device) -> Labels {
    let site = "site".parse().ok().map(|site| (site, wish.site.clone()));
    wish.labels.iter().map(|(key, value)| (key.clone(), value.clone())).chain(site).collect()
}

/// What changes, a line each.
pub fn changes(before: &Labels, after: &Labels) -> Vec<String> {
    let keys: BTreeSet<&Name> = before.keys().chain(after.keys()).collect();
    let none = || "nothing".to_owned();
    let differs = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
    let value =
        |labels: &BTreeMap<Name, Name>, key: &Name| labels.get(key).map_or_else(none, Name::to_string);
    differs.map(|key| format!("{key}: {} -> {}", value(before, key), value(after, key))).collect()
}

/// Which rules begin and cease to apply, in words.
pub fn rules(policy: &Policy, before: &Labels, after: &Labels) -> Vec<String> {
    let fits = |labels: &Labels, wanted: &BTreeMap<Name, Name>| {
        wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    let mut found = Vec::new();
    for (number, rule) in (1..).zip(&policy.rules) {
        let word = match (fits(before, &rule.labels), fits(after, &rule.labels)) {
            (true, false) => "no longer applies",
            (false, true) => "applies from then on",
            _ => continue,
        };
        found.push(format!("rule {number} {word}: {}", plain(&difference::rule(rule))));
    }
    found
}
