//! Beacons are told what they lack and no more, in pieces, and a new one at once what names it.

use countersign_trust::chain::Chain;
use countersign_trust::clear::Clear;
use countersign_trust::delivery::{News, read_sequence};
use countersign_trust::ids::Sha256;
use countersign_trust::statement::resume::{Cuts, Lifts};
use countersign_trust::text::Nothing;
use countersign_trust::told::{Holds, MOST_AT_ONCE, lacking, opening, pieces};

use crate::organization::{Organization, everything, note_key};

fn hashes(news: &[News]) -> Vec<Sha256> {
    news.iter().map(News::hash).collect()
}

fn holds(org: &Organization, by: &Chain) -> Holds {
    let halts = by.active_halts().map(|halt| halt.hash).collect();
    let root = Sha256([0; 32]);
    let clear =
        Clear { org: org.org, time: org.time, root, policy: by.policy().hash, resume: by.resume(), halts };
    Holds::by(&org.chain, &clear)
}

#[test]
fn a_beacon_is_told_what_it_lacks_and_nothing_that_was_lifted() {
    let mut org = Organization::found();
    let before = org.chain.clone();
    let lifted = org.halt(everything(), "cia");
    let resume = org.resume(Lifts::Halts([lifted.hash()].into()), Cuts::None(Nothing), |_| ());
    let between = org.chain.clone();
    let policy = org.decide(|policy| policy.limits.life = 86_400);
    let halt = org.halt(everything(), "cia");
    let told = |by: &Chain| hashes(&lacking(&org.chain, &holds(&org, by)));
    let mut all = told(&before);
    let mut expected = vec![resume.hash(), policy.hash(), halt.hash()];
    all.sort();
    expected.sort();
    assert_eq!(all, expected);
    assert_eq!(told(&between), [policy.hash(), halt.hash()]);
    assert!(told(&org.chain).is_empty());
    // Whoever tells brings the other as far as he is himself.
    let mut behind = before.clone();
    for news in lacking(&org.chain, &holds(&org, &before)) {
        news.offer(&mut behind).unwrap();
    }
    assert_eq!(holds(&org, &behind), holds(&org, &org.chain));
}

#[test]
fn a_history_of_any_size_goes_in_pieces_and_all_of_it_arrives() {
    let mut org = Organization::found();
    for number in 0..24_u8 {
        let halt = org.halt(everything(), "cia");
        org.resume(Lifts::Halts([halt.hash()].into()), Cuts::None(Nothing), |resume| {
            resume.keeps = (0..800_u16)
                .map(|job| Sha256::of(&[number, job.to_be_bytes()[0], job.to_be_bytes()[1]]))
                .collect();
        });
    }
    let news = lacking(&org.chain, &Holds::default());
    let pieces = pieces(&news, 1);
    assert!(pieces.len() > 1, "one piece of {} bytes", pieces[0].len());
    assert!(pieces.iter().all(|piece| piece.len() <= MOST_AT_ONCE));
    let items: Vec<&str> = pieces.iter().flat_map(|piece| read_sequence(piece).unwrap()).collect();
    assert_eq!(items.len(), news.len());
    assert!(items.iter().zip(&news).all(|(item, news)| *item == news.to_string()));
}

#[test]
fn a_beacon_that_knows_nothing_is_told_at_once_all_up_to_the_policy_that_names_it() {
    let mut org = Organization::found();
    let new = note_key("beacon-9");
    org.decide(|policy| policy.limits.life = 86_400);
    org.decide(|policy| {
        policy.beacons.keys.remove(note_key("beacon-4").verifier());
        policy.beacons.keys.insert(new.verifier().clone());
    });
    org.decide(|policy| policy.limits.life = 2 * 86_400);
    let news = lacking(&org.chain, &Holds::default());
    assert_eq!(opening(&org.chain, &news, new.verifier()), 3);
    assert_eq!(opening(&org.chain, &news, note_key("beacon-1").verifier()), 1);
    let tenure = org.chain.tenure(new.verifier()).unwrap();
    assert_eq!(tenure.before.unwrap().body.number, 2);
    assert!(org.chain.tenure(note_key("beacon-1").verifier()).unwrap().before.is_none());
    let gone = org.chain.tenure(note_key("beacon-4").verifier()).unwrap();
    assert!(org.chain.is_since(&tenure, &org.chain.policy().hash) && gone.first == 0);
}
