//! What changed between two statements: line by line, and for policies in words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use countersign_trust::statement::policy::{Person, Policy, Quorum, Rule};
use similar::{ChangeTag, TextDiff};

use crate::output::plain;

/// The lines that differ, each after `-` or `+`; empty if none do.
pub fn lines(old: &str, new: &str) -> String {
    let diff = TextDiff::from_lines(old, new);
    let mut text = String::new();
    for change in diff.iter_all_changes() {
        let mark = match change.tag() {
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
            ChangeTag::Equal => continue,
        };
        text.push_str(&format!("{mark} {}\n", plain(change.value().trim_end_matches('\n'))));
    }
    text
}

/// What policy `new` changes, a sentence each.
pub fn policies(old: &Policy, new: &Policy) -> Vec<String> {
    let mut found = Vec::new();
    if old.name != new.name {
        found.push(format!(
            "the organization is called `{}` instead of `{}`",
            plain(new.name.as_str()),
            plain(old.name.as_str())
        ));
    }
    people(&old.people, &new.people, &mut found);
    for role in old.roles.keys().chain(new.roles.keys()).collect::<BTreeSet<_>>() {
        let none = BTreeSet::new();
        let (before, after) = (old.roles.get(role).unwrap_or(&none), new.roles.get(role).unwrap_or(&none));
        sets(&format!("role {role}"), before, after, &mut found);
    }
    rules(&old.rules, &new.rules, &mut found);
    let quorums = [
        ("a policy", &old.quorums.policy, &new.quorums.policy),
        ("an enrollment", &old.quorums.enroll, &new.quorums.enroll),
        ("a resume", &old.quorums.resume, &new.quorums.resume),
        ("the next wave", &old.quorums.promote, &new.quorums.promote),
    ];
    for (what, before, after) in quorums {
        changed(&format!("signatures for {what}"), &quorum(before), &quorum(after), &mut found);
    }
    sets("roles that may halt", &old.halt.roles, &new.halt.roles, &mut found);
    keyed("machine that may halt", &old.halt.machines, &new.halt.machines, &mut found);
    changed("the log's key", &old.log.key, &new.log.key, &mut found);
    changed("witnesses needed", &old.witnesses.need, &new.witnesses.need, &mut found);
    sets("witnesses", &old.witnesses.keys, &new.witnesses.keys, &mut found);
    changed("beacons needed", &old.beacons.need, &new.beacons.need, &mut found);
    changed(
        "seconds for which a challenge is good",
        &old.beacons.lifetime,
        &new.beacons.lifetime,
        &mut found,
    );
    sets("beacons", &old.beacons.keys, &new.beacons.keys, &mut found);
    changed("the vendor's signatures needed", &old.vendor.need, &new.vendor.need, &mut found);
    sets("the vendor's keys", &old.vendor.keys, &new.vendor.keys, &mut found);
    sets("origins of passkeys", &old.passkeys.origins, &new.passkeys.origins, &mut found);
    let party =
        |policy: &Policy| policy.passkeys.rp_id.as_ref().map_or("none".to_owned(), ToString::to_string);
    changed("the passkeys' relying party", &party(old), &party(new), &mut found);
    let limits = [
        ("the longest life of a job in seconds", old.limits.life, new.limits.life),
        (
            "steps at once on a device",
            u64::from(old.limits.concurrent.get()),
            u64::from(new.limits.concurrent.get()),
        ),
        ("bytes of output kept", old.limits.output, new.limits.output),
        ("targets above which waves wait for a person", old.limits.auto_waves_max, new.limits.auto_waves_max),
    ];
    limits.iter().for_each(|(what, before, after)| changed(what, before, after, &mut found));
    sets("guarded classes", &old.guarded, &new.guarded, &mut found);
    keyed("address of the beacon", &old.addresses.beacons, &new.addresses.beacons, &mut found);
    keyed("address of the witness", &old.addresses.witnesses, &new.addresses.witnesses, &mut found);
    let pins = |policy: &Policy| -> BTreeMap<String, String> {
        let word = |pin: &Option<_>| pin.as_ref().map_or("no pin".to_owned(), ToString::to_string);
        policy.addresses.servers.iter().map(|(address, pin)| (address.to_string(), word(pin))).collect()
    };
    keyed("server", &pins(old), &pins(new), &mut found);
    changed("recovery signatures needed", &old.recovery.need, &new.recovery.need, &mut found);
    sets("recovery keys", &old.recovery.keys, &new.recovery.keys, &mut found);
    found.iter().map(|line| plain(line)).collect()
}

fn people<N: Ord + Display>(old: &BTreeMap<N, Person>, new: &BTreeMap<N, Person>, found: &mut Vec<String>) {
    for (name, person) in new {
        let keys =
            |person: &Person| person.keys.iter().map(|held| held.key.fingerprint()).collect::<BTreeSet<_>>();
        match old.get(name) {
            None => found.push(format!("{name} is new, with {}", join(&keys(person)))),
            Some(before) => sets(&format!("keys of {name}"), &keys(before), &keys(person), found),
        }
    }
    let gone = old.keys().filter(|name| !new.contains_key(name));
    found.extend(gone.map(|name| format!("{name} is REMOVED: what only {name} signed ends")));
}

fn rules(old: &[Rule], new: &[Rule], found: &mut Vec<String>) {
    for number in 0..old.len().max(new.len()) {
        match (old.get(number), new.get(number)) {
            (Some(before), Some(after)) if before != after => {
                found.push(format!("rule {} becomes: {} (was: {})", number + 1, rule(after), rule(before)));
            }
            (Some(before), None) => found.push(format!("rule {} is REMOVED: {}", number + 1, rule(before))),
            (None, Some(after)) => found.push(format!("rule {} is new: {}", number + 1, rule(after))),
            _ => {}
        }
    }
}

/// A rule in words.
pub fn rule(rule: &Rule) -> String {
    let labels = rule.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<BTreeSet<_>>();
    let place =
        if labels.is_empty() { "every device".to_owned() } else { format!("devices with {}", join(&labels)) };
    let approvals = match rule.approvals {
        0 => "no approval".to_owned(),
        number => format!("{number} other of {} approve", join(&rule.approvers)),
    };
    let mut text = format!("{} on {place}: {} ask, {approvals}", join(&rule.kinds), join(&rule.requesters));
    if !rule.properties.is_empty() {
        text.push_str(&format!(", each signature shows {}", join(&rule.properties)));
    }
    let hours: Vec<String> =
        rule.hours.iter().map(|hours| format!("{}-{}", minute(hours.from), minute(hours.until))).collect();
    if !hours.is_empty() {
        text.push_str(&format!(", only {} UTC", hours.join(", ")));
    }
    if rule.waves > 0 {
        text.push_str(&format!(", at least {} waves", rule.waves));
    }
    text
}

fn minute(of_week: u64) -> String {
    let day = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let name = usize::try_from(of_week / 1_440).ok().and_then(|at| day.get(at)).unwrap_or(&"end of Sun");
    format!("{name} {:02}:{:02}", of_week % 1_440 / 60, of_week % 60)
}

fn quorum(quorum: &Quorum) -> String {
    format!("{} of role {}", quorum.need, quorum.role)
}

fn join<T: Display>(set: &BTreeSet<T>) -> String {
    if set.is_empty() {
        "nobody".to_owned()
    } else {
        set.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

fn changed<T: PartialEq + Display>(what: &str, old: &T, new: &T, found: &mut Vec<String>) {
    if old != new {
        found.push(format!("{what}: {new} instead of {old}"));
    }
}

fn sets<T: Ord + Display + Clone>(what: &str, old: &BTreeSet<T>, new: &BTreeSet<T>, found: &mut Vec<String>) {
    let added: BTreeSet<T> = new.difference(old).cloned().collect();
    let gone: BTreeSet<T> = old.difference(new).cloned().collect();
    if !added.is_empty() {
        found.push(format!("{what}: added {}", join(&added)));
    }
    if !gone.is_empty() {
        found.push(format!("{what}: REMOVED {}", join(&gone)));
    }
}

fn keyed<K: Ord + Display, V: PartialEq + Display>(
    what: &str,
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
    found: &mut Vec<String>,
) {
    for (key, value) in new {
        match old.get(key) {
            None => found.push(format!("{what} {key} is new: {value}")),
            Some(before) => changed(&format!("{what} {key}"), before, value, found),
        }
    }
    found.extend(
        old.keys().filter(|key| !new.contains_key(key)).map(|key| format!("{what} {key} is REMOVED")),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_differ_are_shown_and_nothing_hides_in_them() {
        assert_eq!(lines("a\nb\nc\n", "a\nx\u{202e}\nc\n"), "- b\n+ x\\u{202e}\n");
        assert_eq!(lines("a\n", "a\n"), "");
    }

    #[test]
    fn minutes_of_the_week_have_a_day() {
        assert_eq!(minute(0), "Mon 00:00");
        assert_eq!(minute(1_440 + 61), "Tue 01:01");
        assert_eq!(minute(10_080), "end of Sun 00:00");
    }
}
