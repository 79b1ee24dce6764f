//! The vendor's commands: a key, a halt, a feed; and what a customer types to be stopped by it, or not.

use std::fs;

use countersign_trust::feed::{Feed, read_halt};
use countersign_trust::key::PublicKey;

use crate::world::World;

#[test]
fn a_vendor_halts_a_component_and_publishes_it_and_a_folder_that_was_set_back_forks_nothing() {
    let world = World::new();
    world.make_key("vendor");
    let vendor = |words: &[&str]| world.types("vendor", &[&["vendor"], words].concat());
    let key = vendor(&["key", "--key", "vendor"]);
    assert!(key.err.contains("policy propose --vendor-key 'ssh-ed25519 "), "{}", key.err);
    let key: PublicKey = key.well().trim().parse().unwrap();
    vendor(&["key", "--create", "vendor"]).fails(3);

    let reason = ["--reason", "anybody can run code as the agent", "--advisory", "CS-2026-01"];
    let halt = [&["halt", "feed", "--component", "countersign-agent", "--below", "1.2.3"], &reason[..]];
    let signed = vendor(&halt.concat());
    assert!(
        signed.err.contains("wherever a policy lists the key") && signed.err.contains("cannot be taken back")
    );
    assert!(signed.well().contains("Nothing has stopped yet"));
    let odd = ["halt", "feed", "--component", "countersign-agnet", "--below", "1.x", "--reason", "typo"];
    let odd = vendor(&odd);
    assert!(odd.err.contains("no program looks for a halt of `countersign-agnet`"), "{}", odd.err);
    assert!(odd.err.contains("every version counts as below it"), "{}", odd.err);

    let feed = world.folder.path().join("feed");
    fs::write(feed.join("advisories/cs-2026-01.json"), "{}").unwrap();
    assert!(vendor(&["publish", "feed"]).well().contains("Published index 1: 2 halts, 1 advisory."));
    let read =
        || Feed::read(&fs::read_to_string(feed.join("index")).unwrap(), &[key.clone()].into()).unwrap();
    let first = read();
    assert_eq!((first.index.sequence, first.index.previous), (1, None));
    for halt in &first.index.halts {
        let text = fs::read_to_string(feed.join("halts").join(halt.to_string())).unwrap();
        read_halt(&text, halt).unwrap();
    }
    assert!(vendor(&["publish", "feed"]).well().contains("Nothing has changed since index 1"));

    let kept = fs::read_to_string(feed.join("index")).unwrap();
    let taken_out = *first.index.halts.first().unwrap();
    fs::remove_file(feed.join("halts").join(taken_out.to_string())).unwrap();
    let withdrawn = vendor(&["publish", "feed"]);
    assert!(withdrawn.err.contains("whoever has it keeps it until a resume"), "{}", withdrawn.err);
    withdrawn.well();
    let second = read();
    assert_eq!((second.index.sequence, second.index.previous), (2, Some(first.hash)));
    // The folder comes back from a backup: the next index follows the one signed last all the same.
    fs::write(feed.join("index"), kept).unwrap();
    let after = vendor(&["publish", "feed"]);
    assert!(after.err.contains("the folder was set back: index 2 was signed last"), "{}", after.err);
    after.well();
    assert_eq!((read().index.sequence, read().index.previous), (3, Some(second.hash)));
    // A file that is not what its name says is not published.
    fs::write(feed.join("halts").join(taken_out.to_string()), "no halt").unwrap();
    let damaged = vendor(&["publish", "feed"]).fails(2);
    assert!(damaged.contains("no line `}` ends a statement"), "{damaged}");
}

#[test]
fn a_customer_says_in_the_policy_what_a_vendors_halt_is_worth() {
    let world = World::of_two();
    world.make_key("vendor");
    let propose = |words: &[&str]| world.anna(&[&["policy", "propose"], words].concat());
    let asked = propose(&["--vendor-key", "vendor.pub", "--vendor-halts", "ask", "--json"]);
    assert!(asked.err.contains("ask: nobody stops you but you"), "{}", asked.err);
    let asked = asked.json();
    world.bo(&["approve", asked["policy"].as_str().unwrap()]).well();
    let status = world.anna(&["status"]).well();
    assert!(!status.contains("the vendor's halts are off"), "{status}");
    let off = propose(&["--vendor-halts", "off", "--json"]);
    assert!(off.err.contains("NEWLY weak: the vendor's halts are off"), "{}", off.err);
    let off = off.json();
    let approved = world.bo(&["approve", off["policy"].as_str().unwrap()]);
    assert!(approved.err.contains("the vendor's halts are off"), "{}", approved.err);
    approved.well();
    let status = world.anna(&["status"]).well();
    assert!(status.contains("weak: the vendor's halts are off"), "{status}");
    let shown = world.anna(&["policy", "show"]);
    assert!(shown.err.contains("the vendor's halts are off"), "{}", shown.err);
    shown.well();
    propose(&["--vendor-halts", "perhaps"]).fails(2);
    propose(&["--drop-vendor-key", "bo.pub"]).fails(2);
}

#[test]
fn who_is_asked_sees_the_vendors_halt_until_somebody_answers() {
    let mut world = World::of_two();
    world.make_key("vendor");
    let vendor = |world: &World, words: &[&str]| world.types("vendor", &[&["vendor"], words].concat()).well();
    let reason = ["--reason", "anybody can run code as the agent", "--advisory", "CS-2026-01"];
    let halt = ["halt", "feed", "--component", "countersign-agent", "--below", "9.0.0"];
    vendor(&world, &[&halt, &reason[..]].concat());
    vendor(&world, &["publish", "feed"]);
    world.follow(&fs::read_to_string(world.path("vendor.pub")).unwrap());
    let words = ["policy", "propose", "--vendor-key", "vendor.pub", "--vendor-halts", "ask", "--json"];
    let policy = world.anna(&words).json();
    world.bo(&["approve", policy["policy"].as_str().unwrap()]).well();
    let asks = |world: &World| world.anna(&["status", "--json"]).json()["vendor"]["asks"].clone();
    world.until("anna is asked", |world| asks(world).as_array().is_some_and(|asks| asks.len() == 1));
    let command = asks(&world)[0]["command"].as_str().unwrap().to_owned();
    assert_eq!(
        command,
        "countersign halt --component countersign-agent=9.0.0 --advisory CS-2026-01 --reason '…'"
    );
    let inbox = world.bo(&["inbox"]);
    assert!(inbox.err.contains("THE VENDOR ASKS YOU TO HALT countersign-agent below 9.0.0"), "{}", inbox.err);
    assert!(inbox.err.contains(&command) && inbox.err.contains("anybody can run code"), "{}", inbox.err);
    let status = world.anna(&["status"]).well();
    assert!(status.contains("the vendor's halts: ask; the server says it follows https://"), "{status}");
    assert_eq!(world.anna(&["status", "--json"]).json()["halts"], serde_json::json!([]));
    let typed: Vec<&str> = command.split(' ').skip(1).take(5).collect();
    world.bo(&[&typed[..], &["--reason", "CS-2026-01 means us"]].concat()).well();
    assert_eq!(asks(&world), serde_json::json!([]));
    let halts = world.anna(&["status", "--json"]).json()["halts"].clone();
    assert_eq!((halts[0]["by"].as_str(), halts.as_array().unwrap().len()), (Some("bo"), 1));
}
