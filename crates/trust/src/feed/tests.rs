//! Indexes and what is held of them, each bent in one place.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};

use super::*;
use crate::ids::StatementId;
use crate::sshsig::SshSigner;
use crate::statement::halt::{Component, Halt, Scope};

fn signer(seed: u8) -> SshSigner {
    SshSigner::from_seed(&[seed; 32]).unwrap()
}

fn keys(seeds: &[u8]) -> BTreeSet<PublicKey> {
    seeds.iter().map(|seed| signer(*seed).public_key().clone()).collect()
}

fn halt(number: u8) -> Signed {
    let halt = Halt {
        org: None,
        id: StatementId([number; 16]),
        policy: None,
        scope: Scope::Component(Component {
            name: "countersign-agent".parse().unwrap(),
            below: "9".parse().unwrap(),
        }),
        made: Time(5),
        reason: "A hole.".parse().unwrap(),
        advisory: "".parse().unwrap(),
    };
    let text = crate::statement::write(&halt).0;
    let signature = signer(1).sign(&Kind::Halt.namespace(), text.as_bytes()).unwrap();
    Signed::new(text, [signature]).unwrap()
}

fn index(sequence: u64, previous: Option<Sha256>, halts: &[&Signed]) -> Index {
    let halts = halts.iter().map(|halt| halt.hash()).collect();
    Index { sequence, previous, made: Time(5), halts, advisories: BTreeMap::new() }
}

fn printed(index: &Index, seed: u8) -> String {
    let text = index.text();
    let armor = signer(seed).sign(NAMESPACE, text.as_bytes()).unwrap().to_armor();
    text + &armor
}

fn read(index: &Index) -> Feed {
    Feed::read(&printed(index, 1), &keys(&[1])).unwrap()
}

#[test]
fn an_index_is_what_a_key_that_is_followed_signed_byte_for_byte() {
    let good = printed(&index(1, None, &[&halt(1)]), 1);
    assert_eq!(Feed::read(&good, &keys(&[1, 2])).unwrap().to_string(), good);
    assert_eq!((sequence_of(&good), sequence_of("{\n}\n")), (Some(1), None));
    let stranger = Feed::read(&good, &keys(&[2])).unwrap_err();
    assert!(matches!(stranger, FeedError::Stranger(_)), "{stranger}");
    let other = good.replace("\"sequence\": 1", "\"sequence\": 2");
    assert!(matches!(Feed::read(&other, &keys(&[1])), Err(FeedError::Signature(_))));
    let elsewhere = index(1, None, &[]).text();
    let armor = signer(1).sign("halt.v1@countersign", elsewhere.as_bytes()).unwrap().to_armor();
    assert!(matches!(Feed::read(&(elsewhere + &armor), &keys(&[1])), Err(FeedError::Signature(_))));
    let loose = index(1, None, &[]).text().replace("  \"made\"", "   \"made\"");
    let armor = signer(1).sign(NAMESPACE, loose.as_bytes()).unwrap().to_armor();
    assert!(matches!(Feed::read(&(loose + &armor), &keys(&[1])), Err(FeedError::Text(_))));
    for bad in ["", "{\n}\n", "<html>not here</html>", &format!("{good}{good}"), &format!("{good}\n")] {
        assert!(Feed::read(bad, &keys(&[1])).is_err(), "{bad}");
    }
    let endless = "x".repeat(MAX_INDEX_BYTES + 1);
    assert!(matches!(Feed::read(&endless, &keys(&[1])), Err(FeedError::TooLarge { .. })));
    let zero = Feed::read(&printed(&index(0, None, &[]), 1), &keys(&[1]));
    assert_eq!(zero, Err(FeedError::Number));
    let many = Index { halts: (0..=64).map(|n| Sha256([n; 32])).collect(), ..index(1, None, &[]) };
    let many = Feed::read(&printed(&many, 1), &keys(&[1]));
    assert_eq!(many, Err(FeedError::TooMany { what: "halts", there: 65, most: 64 }));
}

#[test]
fn nobody_goes_back_and_a_fork_is_noticed() {
    let first = read(&index(1, None, &[]));
    let second = read(&index(2, Some(first.hash), &[&halt(1)]));
    let mut held = Held::default();
    assert_eq!(held.take(first.clone()), Ok(Step::Newer));
    assert_eq!(held.take(second.clone()), Ok(Step::Newer));
    assert_eq!(held.take(second.clone()), Ok(Step::Same));
    assert_eq!(held.take(first), Err(FeedError::RolledBack { found: 1, held: 2 }));
    let rival = read(&index(2, None, &[]));
    assert!(matches!(held.take(rival), Err(FeedError::Forked { found: 2, held: 2, .. })));
    let astray = read(&index(3, Some(Sha256([9; 32])), &[]));
    assert!(matches!(held.take(astray), Err(FeedError::Forked { found: 3, held: 2, .. })));
    assert_eq!(held.take(read(&index(7, Some(Sha256([9; 32])), &[]))), Ok(Step::Newer), "some were missed");
    // Another key has numbers of its own.
    let other = Feed::read(&printed(&index(1, None, &[]), 2), &keys(&[1, 2])).unwrap();
    assert_eq!(held.take(other), Ok(Step::Newer));
    assert_eq!(held.feeds().count(), 2);
}

#[test]
fn only_the_halts_that_are_named_are_held_and_a_file_must_be_the_one_named() {
    let (one, two) = (halt(1), halt(2));
    let first = read(&index(1, None, &[&one, &two]));
    let mut held = Held::default();
    held.take(first.clone()).unwrap();
    assert_eq!(held.missing().len(), 2);
    let wrong = held.take_halt(&two.to_string(), &one.hash());
    assert!(matches!(wrong, Err(FeedError::OtherHalt { .. })), "{wrong:?}");
    assert!(matches!(held.take_halt("no halt", &one.hash()), Err(FeedError::Envelope { .. })));
    held.take_halt(&two.to_string(), &two.hash()).unwrap();
    assert_eq!(held.missing(), [one.hash()], "the good one beside the bad one is there");
    held.take_halt(&one.to_string(), &one.hash()).unwrap();
    let kept = Held::from_text(&held.to_text(), &keys(&[1])).unwrap();
    assert_eq!((kept.halts().count(), kept.missing().len(), kept.feeds().count()), (2, 0, 1));
    assert_eq!(kept.feeds().next(), Some(&first));
    // A key that is not followed any more takes its halts along.
    let forgotten = Held::from_text(&held.to_text(), &keys(&[2])).unwrap();
    assert_eq!((forgotten.halts().count(), forgotten.feeds().count()), (0, 0));
    assert!(matches!(Held::from_text("damaged", &keys(&[1])), Err(FeedError::Kept)));
    held.take(read(&index(2, Some(first.hash), &[&one]))).unwrap();
    assert_eq!(held.halts().map(Signed::hash).collect::<BTreeSet<_>>(), [one.hash()].into());
}
