//! What a policy does not protect against, said plainly.

use std::collections::BTreeMap;

use countersign_trust::ids::Name;
use countersign_trust::statement::policy::{Policy, Then, VendorHalts};
use countersign_trust::statement::service::is_guard;

use crate::client::host_of;
use crate::output::count;

/// A sentence for each weakness of a policy: what is weak, and what is lost by it.
pub fn weaknesses(policy: &Policy) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(beacons(policy));
    found.extend(witnesses(policy));
    found.extend(hosts(policy));
    found.extend(people(policy));
    found.extend(guards(policy));
    found.extend(vendor(policy));
    found.extend(tripwires(policy));
    found
}

/// Whoever makes this program cannot stop it: worth a word where somebody has chosen so.
fn vendor(policy: &Policy) -> Option<String> {
    (policy.vendor.halts == VendorHalts::Off).then(|| {
        "the vendor's halts are off: what the vendor warns of goes on here, and nobody is asked".to_owned()
    })
}

fn tripwires(policy: &Policy) -> Option<String> {
    let halts = policy.tripwires.iter().any(|tripwire| tripwire.then == Then::Halt);
    (halts && policy.halt.machines.is_empty()).then(|| {
        "tripwires are to halt, and no machine may: name the server's key in halt.machines, else it only tells"
            .to_owned()
    })
}

fn guards(policy: &Policy) -> Option<String> {
    let unknown: Vec<&str> = policy.guarded.iter().map(Name::as_str).filter(|word| !is_guard(word)).collect();
    (!unknown.is_empty()).then(|| {
        format!(
            "guarded: {} is no class that this version knows and no unit: it guards no service",
            unknown.join(", ")
        )
    })
}

fn beacons(policy: &Policy) -> Vec<String> {
    let (need, there) = (usize::from(policy.beacons.need.get()), policy.beacons.keys.len());
    let mut found = Vec::new();
    if need == 1 {
        found.push(format!(
            "1 of {there} beacons is enough: one beacon that lies can hide a halt from the devices"
        ));
    }
    if need == there {
        found.push(format!("{need} of {there} beacons must answer: when one is down nothing new starts"));
    }
    found
}

fn witnesses(policy: &Policy) -> Vec<String> {
    let (need, there) = (usize::from(policy.witnesses.need.get()), policy.witnesses.keys.len());
    let mut found = Vec::new();
    if 2 * need < there + 2 {
        found.push(format!(
            "{need} of {there} witnesses is enough: one witness that lies together with the server can hide what was run"
        ));
    }
    if need == there {
        found
            .push(format!("{need} of {there} witnesses must cosign: when one is down nothing new is logged"));
    }
    found
}

/// Programs that stand on one host fall together.
fn hosts(policy: &Policy) -> Vec<String> {
    let mut on: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for server in policy.addresses.servers.keys() {
        on.entry(host_of(server.as_str())).or_default().push("the server".to_owned());
    }
    for (name, url) in &policy.addresses.beacons {
        on.entry(host_of(url.as_str())).or_default().push(format!("the beacon {name}"));
    }
    for (name, url) in &policy.addresses.witnesses {
        on.entry(host_of(url.as_str())).or_default().push(format!("the witness {name}"));
    }
    let mut found = Vec::new();
    for (host, programs) in on {
        let with_server = programs.iter().any(|program| program == "the server");
        // A beacon and a witness of one operator may well share a host; two of a kind, or one with the server, may not.
        let beacons = programs.iter().filter(|program| program.starts_with("the beacon")).count();
        let witnesses = programs.iter().filter(|program| program.starts_with("the witness")).count();
        if with_server && programs.len() > 1 || beacons > 1 || witnesses > 1 {
            let server = if with_server { "the server, " } else { "" };
            found.push(format!(
                "same host {host}: {server}{}, {}; whoever takes that host takes all of them",
                count(beacons, "beacon", "beacons"),
                count(witnesses, "witness", "witnesses")
            ));
        }
    }
    found
}

fn people(policy: &Policy) -> Vec<String> {
    let mut found = Vec::new();
    let free: Vec<String> = (1..)
        .zip(&policy.rules)
        .filter(|(_, rule)| rule.approvals == 0)
        .map(|(number, _)| number.to_string())
        .collect();
    if !free.is_empty() {
        found.push(format!(
            "rule {} asks for no approval: one stolen key is enough to run something",
            free.join(", ")
        ));
    }
    if policy.quorums.policy.need.get() == 1 {
        found.push(
            "1 signature changes the policy: one stolen key is enough to take the organization over"
                .to_owned(),
        );
    }
    let single: Vec<&str> = policy
        .people
        .iter()
        .filter(|(_, person)| person.keys.len() == 1)
        .map(|(name, _)| name.as_str())
        .collect();
    if policy.recovery.need == 0 && !single.is_empty() {
        found.push(format!(
            "no recovery keys, and only one key each for {}: if too many keys are lost the policy can never be changed",
            single.join(", ")
        ));
    }
    found
}
