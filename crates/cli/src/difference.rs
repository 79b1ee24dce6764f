//! What changed between two statements: line by line, and for policies in words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use countersign_trust::statement::policy::{
    Person, PersonKey, Policy, Quorum, Rule, Then, Tripwire, Watched,
};
use similar::{ChangeTag, TextDiff};

use crate::output::{plain, span};
use crate::prose::behind;

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
        text.push_str(&behind(&format!("{mark} "), change.value().trim_end_matches('\n')));
        text.push('\n');
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
        match (old.roles.contains_key(role), new.roles.contains_key(role)) {
            (false, _) => found.push(format!("role {role} is new: {}", join(after))),
            (_, false) => found.push(format!("role {role} is REMOVED, it was {}", join(before))),
            _ => sets(&format!("role {role}"), before, after, &mut found),
        }
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
    changed("leaves that count of the log it replaced", &old.log.old_size, &new.log.old_size, &mut found);
    let root = |policy: &Policy| policy.log.old_root.map_or("none".to_owned(), |root| root.to_string());
    changed("root of the log it replaced", &root(old), &root(new), &mut found);
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
    changed("what a halt by the vendor is worth", &old.vendor.halts, &new.vendor.halts, &mut found);
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
    let tripwires = |policy: &Policy| policy.tripwires.iter().map(tripwire).collect::<BTreeSet<_>>();
    sets("tripwires", &tripwires(old), &tripwires(new), &mut found);
    if old.tripwires != new.tripwires && tripwires(old) == tripwires(new) {
        found.push("tripwires: the same, in another order or number".to_owned());
    }
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
        let keys = |person: &Person| person.keys.iter().map(key).collect::<BTreeSet<_>>();
        match old.get(name) {
            None => found.push(format!("{name} is new, with {}", join(&keys(person)))),
            Some(before) if before != person && keys(before) == keys(person) => {
                found.push(format!("keys of {name}: the same, in another order or number"));
            }
            Some(before) => sets(&format!("keys of {name}"), &keys(before), &keys(person), found),
        }
    }
    let gone = old.keys().filter(|name| !new.contains_key(name));
    found.extend(gone.map(|name| format!("{name} is REMOVED: what only {name} signed ends")));
}

/// A tripwire in words.
pub fn tripwire(tripwire: &Tripwire) -> String {
    let what = match &tripwire.what {
        Watched::Canary(canary) => format!("devices where one of {} is touched", join(&canary.paths)),
        Watched::Refusals(_) => "refusals".to_owned(),
        Watched::Silence(_) => "sites that fall silent".to_owned(),
    };
    let then = match tripwire.then {
        Then::Tell => "the server says so",
        Then::Halt => "the server HALTS the organization",
    };
    format!("{} {what} within {}: {then}", tripwire.count, span(tripwire.within))
}

/// A person's key in words: its kind and origin too, for they decide what counts as its signature.
fn key(held: &PersonKey) -> String {
    let origin = if held.same_origin { ", a passkey of the server's own origin" } else { "" };
    format!("{} ({}{origin})", held.key.fingerprint(), held.key.algorithm())
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
    use std::fmt::Debug;
    use std::num::NonZeroU8;
    use std::str::FromStr;

    use countersign_trust::ids::Sha256;
    use countersign_trust::key::{Algorithm, PublicKey};
    use countersign_trust::note::{KeyKind, NoteSigner, VerifierKey};
    use countersign_trust::sshsig::SshSigner;
    use countersign_trust::statement::policy::{
        Addresses, Beacons, Halters, Hours, Limits, Log, Passkeys, Property, Quorums, Recovery, Vendor,
        VendorHalts, Witnesses,
    };
    use countersign_trust::text::Nothing;

    use super::*;

    #[test]
    fn only_lines_that_differ_are_shown_and_nothing_hides_in_them() {
        assert_eq!(lines("a\nb\nc\n", "a\nx\u{202e}\nc\n"), "- b\n+ x\\u{202e}\n");
        assert_eq!(lines("a\n", "a\n"), "");
    }

    fn public(seed: u8) -> PublicKey {
        SshSigner::from_seed(&[seed; 32]).unwrap().public_key().clone()
    }

    fn verifier(seed: u8) -> VerifierKey {
        NoteSigner::new("log.example", KeyKind::Ed25519, &[seed; 32]).unwrap().verifier().clone()
    }

    fn set<T: FromStr<Err: Debug> + Ord>(word: &str) -> BTreeSet<T> {
        [word.parse().unwrap()].into()
    }

    fn need(number: u8) -> NonZeroU8 {
        NonZeroU8::new(number).unwrap()
    }

    fn policy() -> Policy {
        let quorum = || Quorum { role: "owner".parse().unwrap(), need: need(2) };
        let held = PersonKey { key: public(1), same_origin: false };
        let rule = Rule {
            kinds: set("script"),
            labels: BTreeMap::new(),
            requesters: set("owner"),
            approvers: set("owner"),
            approvals: 1,
            properties: BTreeSet::new(),
            hours: Vec::new(),
            waves: 0,
        };
        Policy {
            org: None,
            number: 1,
            previous: BTreeSet::new(),
            resumes: BTreeSet::new(),
            name: "Stores".parse().unwrap(),
            people: [("anna".parse().unwrap(), Person { keys: vec![held] })].into(),
            roles: [("owner".parse().unwrap(), set("anna"))].into(),
            rules: vec![rule],
            quorums: Quorums { policy: quorum(), enroll: quorum(), resume: quorum(), promote: quorum() },
            halt: Halters { roles: set("owner"), machines: [("server".parse().unwrap(), public(2))].into() },
            log: Log { key: verifier(1), old_size: 0, old_root: None },
            witnesses: Witnesses { need: need(2), keys: [verifier(2)].into() },
            beacons: Beacons { need: need(2), lifetime: 180, keys: [verifier(3)].into() },
            vendor: Vendor { need: 0, keys: BTreeSet::new(), halts: VendorHalts::Auto },
            passkeys: Passkeys { rp_id: None, origins: BTreeSet::new() },
            limits: Limits { life: 60, concurrent: need(2), output: 1, auto_waves_max: 1 },
            tripwires: Vec::new(),
            guarded: BTreeSet::new(),
            addresses: Addresses {
                servers: [("a.example:1".parse().unwrap(), None)].into(),
                beacons: BTreeMap::new(),
                witnesses: BTreeMap::new(),
            },
            recovery: Recovery { need: 0, keys: BTreeSet::new() },
        }
    }

    fn refusals() -> Tripwire {
        Tripwire { what: Watched::Refusals(Nothing {}), count: 9, within: 60, then: Then::Tell }
    }

    /// `org`, `number` and `previous` differ between any two policies and are shown apart.
    #[test]
    fn whatever_a_policy_changes_has_a_line() {
        type Case = (&'static str, fn(&mut Policy));
        fn held(policy: &mut Policy) -> &mut Vec<PersonKey> {
            &mut policy.people.values_mut().next().unwrap().keys
        }
        let cases: [Case; 55] = [
            ("name", |p| p.name = "Other".parse().unwrap()),
            ("people: one more", |p| {
                p.people.insert("bo".parse().unwrap(), Person { keys: Vec::new() });
            }),
            ("people: one gone", |p| p.people.clear()),
            ("people: another key", |p| held(p)[0].key = public(9)),
            ("people: the same key twice", |p| {
                let twice = held(p)[0].clone();
                held(p).push(twice);
            }),
            ("people: same_origin", |p| held(p)[0].same_origin = true),
            ("roles: an empty one", |p| {
                p.roles.insert("idle".parse().unwrap(), BTreeSet::new());
            }),
            ("roles: nobody in it", |p| drop(p.roles.insert("owner".parse().unwrap(), BTreeSet::new()))),
            ("roles: gone", |p| p.roles.clear()),
            ("rules: none", |p| p.rules.clear()),
            ("rules: kinds", |p| p.rules[0].kinds.clear()),
            ("rules: labels", |p| drop(p.rules[0].labels.insert("a".parse().unwrap(), "b".parse().unwrap()))),
            ("rules: requesters", |p| p.rules[0].requesters.clear()),
            ("rules: approvers", |p| p.rules[0].approvers.clear()),
            ("rules: approvals", |p| p.rules[0].approvals = 0),
            ("rules: properties", |p| p.rules[0].properties = [Property::Presence].into()),
            ("rules: hours", |p| p.rules[0].hours.push(Hours { from: 0, until: 1 })),
            ("rules: waves", |p| p.rules[0].waves = 1),
            ("quorums.policy.role", |p| p.quorums.policy.role = "idle".parse().unwrap()),
            ("quorums.policy.need", |p| p.quorums.policy.need = need(1)),
            ("quorums.enroll.role", |p| p.quorums.enroll.role = "idle".parse().unwrap()),
            ("quorums.enroll.need", |p| p.quorums.enroll.need = need(1)),
            ("quorums.resume.role", |p| p.quorums.resume.role = "idle".parse().unwrap()),
            ("quorums.resume.need", |p| p.quorums.resume.need = need(1)),
            ("quorums.promote.role", |p| p.quorums.promote.role = "idle".parse().unwrap()),
            ("quorums.promote.need", |p| p.quorums.promote.need = need(1)),
            ("halt.roles", |p| p.halt.roles.clear()),
            ("halt.machines: gone", |p| p.halt.machines.clear()),
            ("halt.machines: another key", |p| {
                p.halt.machines.values_mut().for_each(|key| *key = public(9));
            }),
            ("log.key", |p| p.log.key = verifier(9)),
            ("log.old_size", |p| p.log.old_size = 5),
            ("log.old_root", |p| p.log.old_root = Some(Sha256([1; 32]))),
            ("witnesses.need", |p| p.witnesses.need = need(1)),
            ("witnesses.keys", |p| p.witnesses.keys.clear()),
            ("beacons.need", |p| p.beacons.need = need(1)),
            ("beacons.lifetime", |p| p.beacons.lifetime = 3_600),
            ("beacons.keys", |p| p.beacons.keys.clear()),
            ("vendor.need", |p| p.vendor.need = 1),
            ("vendor.keys", |p| p.vendor.keys = [public(9)].into()),
            ("vendor.halts", |p| p.vendor.halts = VendorHalts::Off),
            ("tripwires", |p| p.tripwires = vec![refusals()]),
            ("tripwires: the same once more", |p| p.tripwires = vec![refusals(); 2]),
            ("passkeys.rp_id", |p| p.passkeys.rp_id = Some("a.example".parse().unwrap())),
            ("passkeys.origins", |p| p.passkeys.origins = set("https://a.example")),
            ("limits.life", |p| p.limits.life = 61),
            ("limits.concurrent", |p| p.limits.concurrent = need(3)),
            ("limits.output", |p| p.limits.output = 2),
            ("limits.auto_waves_max", |p| p.limits.auto_waves_max = 2),
            ("guarded", |p| p.guarded = set("antivirus")),
            ("addresses.servers: gone", |p| p.addresses.servers.clear()),
            ("addresses.servers: pin", |p| {
                p.addresses.servers.values_mut().for_each(|pin| *pin = Some(Sha256([1; 32])));
            }),
            ("addresses.beacons", |p| {
                p.addresses.beacons.insert("b1".parse().unwrap(), "https://b.example".parse().unwrap());
            }),
            ("addresses.witnesses", |p| {
                p.addresses.witnesses.insert("w1".parse().unwrap(), "https://w.example".parse().unwrap());
            }),
            ("recovery.need", |p| p.recovery.need = 1),
            ("recovery.keys", |p| p.recovery.keys = [public(9)].into()),
        ];
        assert_eq!(policies(&policy(), &policy()), Vec::<String>::new());
        for (what, bend) in cases {
            let mut bent = policy();
            bend(&mut bent);
            assert_ne!(bent, policy(), "{what}: bends nothing");
            assert!(!policies(&policy(), &bent).is_empty(), "{what}: no line");
        }
    }

    #[test]
    fn the_same_numbers_as_another_kind_of_key_have_a_line() {
        let mut point = [4; 65];
        // Source: SEC 2, "Recommended Elliptic Curve Domain Parameters", 2.4.2: the base point of P-256.
        point.copy_from_slice(&hex("046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
             4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"));
        let passkey = PublicKey::passkey(&point, "a.example").unwrap();
        let token = PublicKey::from_blob(Algorithm::SkEcdsaP256, passkey.blob()).unwrap();
        let with = |key: PublicKey| {
            let keys = vec![PersonKey { key, same_origin: false }];
            Policy { people: [("anna".parse().unwrap(), Person { keys })].into(), ..policy() }
        };
        let said = policies(&with(token), &with(passkey)).join("\n");
        assert!(said.contains("keys of anna: added") && said.contains("keys of anna: REMOVED"), "{said}");
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn minutes_of_the_week_have_a_day() {
        assert_eq!(minute(0), "Mon 00:00");
        assert_eq!(minute(1_440 + 61), "Tue 01:01");
        assert_eq!(minute(10_080), "end of Sun 00:00");
    }
}
