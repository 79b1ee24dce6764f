//! `countersign device move`: another site or other labels for a device that is enrolled.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use countersign_trust::ids::{Name, StatementId};
use countersign_trust::join::{self, Labels};
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
    let after = with_site(&wish.labels, &wish.site)?;
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

/// An enrollment's labels, the site among them.
///
/// # Errors
/// One is called `site`: nobody could tell the two apart, and what everybody refuses is not shown as if it were good.
pub fn with_site(labels: &Labels, site: &Name) -> Result<Labels, Stop> {
    join::with_site(labels.clone(), site.clone()).map_err(|error| {
        let found = labels.iter().find(|(key, _)| key.as_str() == "site");
        let found = found.map_or_else(String::new, |(_, value)| format!(", `{value}`, beside the site `{site}`"));
        Stop::Refused(format!("{error}{found}: no device and no reader of the log takes such an enrollment, so nobody should sign it"))
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_site_does_not_win_over_a_label_called_site() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        let mut labels = Labels::from([(name("class"), name("till"))]);
        let after = with_site(&labels, &name("ystad")).unwrap();
        assert_eq!(after.get(&name("site")), Some(&name("ystad")));
        labels.insert(name("site"), name("berlin"));
        let refused = with_site(&labels, &name("ystad")).unwrap_err();
        assert_eq!(refused.code(), 3);
        let said =
            "a label is called `site`, `berlin`, beside the site `ystad`: no device and no reader of the log";
        assert!(refused.to_string().starts_with(said), "{refused}");
    }
}
