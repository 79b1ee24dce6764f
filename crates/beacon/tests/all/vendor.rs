//! A beacon that follows a vendor's feed takes its halts for those whose policy obeys them, and for nobody else.

use std::collections::BTreeMap;

use countersign_trust::envelope::Signed;
use countersign_trust::feed::{Index, NAMESPACE};
use countersign_trust::ids::{Sha256, StatementId};
use countersign_trust::statement::halt::{Component, Halt, Scope};
use countersign_trust::statement::policy::{Vendor, VendorHalts};
use countersign_trust::statement::write;
use countersign_trust::time::Time;

use crate::organization::{beacon_key, beacons, genesis, org_of, sign, ssh, witness_key, witnesses};
use crate::static_files::StaticFiles;
use crate::{Known, ORIGIN, Test, TestLog};

const VENDOR: u8 = 77;

fn vendor_halt(number: u8) -> Signed {
    let halt = Halt {
        org: None,
        id: StatementId([number; 16]),
        policy: None,
        scope: Scope::Component(Component {
            name: "countersign-agent".parse().unwrap(),
            below: "9".parse().unwrap(),
        }),
        made: Time(1),
        reason: "A hole.".parse().unwrap(),
        advisory: "".parse().unwrap(),
    };
    sign(&halt, &[VENDOR])
}

fn publish(web: &StaticFiles, sequence: u64, previous: Option<Sha256>, halts: &[&Signed]) -> Sha256 {
    halts.iter().for_each(|halt| web.file(&format!("/halts/{}", halt.hash()), halt));
    let halts = halts.iter().map(|halt| halt.hash()).collect();
    let text = Index { sequence, previous, made: Time(1), halts, advisories: BTreeMap::new() }.text();
    let armor = ssh(VENDOR).sign(NAMESPACE, text.as_bytes()).unwrap().to_armor();
    web.file("/index", text.clone() + &armor);
    Sha256::of(text.as_bytes())
}

/// An organization with this vendor, known to the beacon.
async fn known(test: &Test, origin: &str, halts: VendorHalts) -> Known {
    let log = TestLog::new(origin, vec![witness_key(1)]);
    let cosigning = witnesses(&[witness_key(1).verifier()]);
    let (me, one, two) = (test.key(), beacon_key(1), beacon_key(2));
    let keys = [&me, one.verifier(), two.verifier()];
    let mut policy = genesis(log.signer.verifier(), cosigning, beacons(2, &keys));
    policy.vendor = Vendor { need: 1, keys: [ssh(VENDOR).public_key().clone()].into(), halts };
    let mut known = Known { org: org_of(&policy), policy, log };
    let genesis = known.genesis();
    assert_eq!(test.tell(known.org, &[genesis]).await.status, 200);
    known
}

async fn halts(test: &Test, known: &Known) -> Vec<Sha256> {
    test.clear(known.org).await.halts.into_iter().collect()
}

#[tokio::test]
async fn a_beacon_takes_a_vendors_halt_for_those_who_obey_it_and_keeps_it_whatever_the_feed_says_later() {
    let pem = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let web = StaticFiles::start(&(pem.signing_key.serialize_pem() + &pem.cert.pem())).await;
    let first = publish(&web, 1, None, &[]);
    let mut test = Test::new().await;
    test.stop().await;
    let key = ssh(VENDOR).public_key().to_string();
    let lines = format!("[vendor]\nkeys = [{key:?}]\nfeeds = [{:?}]\ninterval = 1\n", web.url());
    let file = test.folder.path().join("beacon.toml");
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + &lines).unwrap();
    test.config = countersign_beacon::config::Config::read(&file).unwrap();
    test.start().await;
    let obeys = known(&test, ORIGIN, VendorHalts::Auto).await;
    let asks = known(&test, "log.example/two", VendorHalts::Ask).await;
    let halt = vendor_halt(1);
    let second = publish(&web, 2, Some(first), &[&halt]);
    while halts(&test, &obeys).await.is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(halts(&test, &obeys).await, [halt.hash()]);
    assert_eq!(halts(&test, &asks).await, []);
    // The vendor takes it out of the feed, and somebody sets the feed back.
    publish(&web, 3, Some(second), &[]);
    let asked = web.asked("/index");
    while web.asked("/index") < asked + 2 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    publish(&web, 1, None, &[]);
    test.restart().await;
    assert_eq!(halts(&test, &obeys).await, [halt.hash()]);
    assert_ne!(write(&obeys.policy).1, write(&asks.policy).1);
}
