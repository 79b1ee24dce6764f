//! Whether it is certain that nobody has said stop: three beacons of four must say so, and one lies.

use countersign_trust::clear::{AnsweredClear, Clear};
use countersign_trust::ids::OrgId;
use countersign_trust::note::{KeyKind, NoteSigner};
use countersign_trust::time::Time;

use super::{BEACON, Bench, Mutation, NOTHING, On, Parcel, another, nobody, row};
use crate::rehearsal::chance::Chance;

const NOT_FRESH: &str = "not_fresh";

pub fn mutations() -> Vec<Mutation> {
    [honest(), lying()].into_iter().flatten().collect()
}

/// Two of the three honest beacons.
fn two(bench: &mut Bench<'_>, parcel: &mut Parcel) {
    parcel.clears = bench.clears[..3].to_vec();
    parcel.clears.remove(bench.chance.index(3));
}

/// Two honest Clears, and a third by this key, as it is worded here.
fn third(
    bench: &mut Bench<'_>,
    parcel: &mut Parcel,
    key: &NoteSigner,
    word: impl FnOnce(&mut Clear, &mut Chance),
) {
    two(bench, parcel);
    let answer = &bench.clears[3];
    let mut clear: Clear = answer.clear.text().parse().unwrap();
    word(&mut clear, bench.chance);
    parcel.clears.push(AnsweredClear { clear: key.note(clear.to_string()).unwrap(), ..answer.clone() });
}

fn lie(bench: &mut Bench<'_>, parcel: &mut Parcel, word: impl FnOnce(&mut Clear, &mut Chance)) {
    let found = bench.found;
    third(bench, parcel, &found.beacon, word);
}

fn honest() -> Vec<Mutation> {
    vec![
        row(("no Clears", NOTHING), On::Deaf, (NOT_FRESH, "0 of 3 Clears"), another, |_, parcel| {
            parcel.clears.clear()
        }),
        row(("too few Clears", NOTHING), On::Deaf, (NOT_FRESH, "2 of 3 Clears"), another, two),
        row(("one beacon twice", NOTHING), On::Deaf, (NOT_FRESH, "2 of 3 Clears"), another, |b, parcel| {
            two(b, parcel);
            let again = parcel.clears[b.chance.index(2)].clone();
            parcel.clears.push(again);
        }),
        row(
            ("Clears for a challenge that is not the machine's", NOTHING),
            On::Deaf,
            (NOT_FRESH, "answers none of my challenges"),
            another,
            |b, parcel| {
                parcel.clears = b.others_clears[..3].to_vec();
            },
        ),
        row(
            ("one Clear for another's challenge", NOTHING),
            On::Deaf,
            (NOT_FRESH, "answers none of my challenges"),
            another,
            |b, parcel| {
                two(b, parcel);
                let named: Vec<String> =
                    parcel.clears.iter().map(|held| held.clear.signatures()[0].name().to_owned()).collect();
                let other = b
                    .others_clears
                    .iter()
                    .find(|other| !named.contains(&other.clear.signatures()[0].name().to_owned()));
                parcel.clears.push(other.unwrap().clone());
            },
        ),
        row(
            ("Clears from before the machine was started again", NOTHING),
            On::Deaf,
            (NOT_FRESH, "answers none of my challenges"),
            another,
            |b, parcel| {
                parcel.clears = b.stale_clears.to_vec();
                parcel.clears.remove(b.chance.index(4));
            },
        ),
        row(
            ("a Clear with the path of a neighbour", NOTHING),
            On::Deaf,
            (NOT_FRESH, "answers none of my challenges"),
            another,
            |b, parcel| {
                parcel.clears = b.clears[..3].to_vec();
                let bent = &mut parcel.clears[b.chance.index(3)];
                bent.index = (bent.index + 1 + b.chance.below(bent.size - 1)) % bent.size;
            },
        ),
        row(
            ("a Clear with its path bent", NOTHING),
            On::Deaf,
            (NOT_FRESH, "answers none of my challenges"),
            another,
            |b, parcel| {
                parcel.clears = b.clears[..3].to_vec();
                let bent = &mut parcel.clears[b.chance.index(3)];
                let at = b.chance.index(bent.path.len());
                bent.path[at] = nobody(b.chance);
            },
        ),
        row(
            ("a Clear of a beacon of his own", NOTHING),
            On::Deaf,
            (NOT_FRESH, "signed by no beacon"),
            another,
            |b, parcel| {
                let own = NoteSigner::new("beacon-5", KeyKind::Ed25519, &b.chance.bytes()).unwrap();
                third(b, parcel, &own, |_, _| ());
            },
        ),
        row(
            ("a Clear by the log's key", NOTHING),
            On::Deaf,
            (NOT_FRESH, "signed by no beacon"),
            another,
            |b, parcel| {
                let log = b.log;
                third(b, parcel, log.key(), |_, _| ());
            },
        ),
    ]
}

fn lying() -> Vec<Mutation> {
    vec![
        row(
            ("a beacon lies about the time, ahead", BEACON),
            On::Deaf,
            (NOT_FRESH, "more than 60 s"),
            another,
            |b, parcel| {
                lie(b, parcel, |clear, chance| clear.time = clear.time.plus(90 + chance.below(9_999)));
            },
        ),
        row(
            ("a beacon lies about the time, behind", BEACON),
            On::Deaf,
            (NOT_FRESH, "more than 60 s"),
            another,
            |b, parcel| {
                lie(b, parcel, |clear, chance| clear.time = Time(clear.time.0 - 90 - chance.below(9_999)));
            },
        ),
        row(
            ("a beacon lies about the policy", BEACON),
            On::Deaf,
            (NOT_FRESH, "it names policy"),
            another,
            |b, parcel| {
                lie(b, parcel, |clear, chance| clear.policy = nobody(chance));
            },
        ),
        row(
            ("a beacon lies about the resume", BEACON),
            On::Deaf,
            (NOT_FRESH, "it names resume"),
            another,
            |b, parcel| {
                lie(b, parcel, |clear, chance| {
                    clear.resume = Some(nobody(chance)).filter(|_| chance.percent(50))
                });
            },
        ),
        row(
            ("a beacon names a halt that nobody has", BEACON),
            On::Deaf,
            (NOT_FRESH, "it names the halt"),
            another,
            |b, parcel| {
                lie(b, parcel, |clear, chance| assert!(clear.halts.insert(nobody(chance))));
            },
        ),
        row(
            ("a beacon speaks of another organization", BEACON),
            On::Deaf,
            (NOT_FRESH, "of organization"),
            another,
            |b, parcel| {
                lie(b, parcel, |clear, chance| clear.org = OrgId(chance.bytes()));
            },
        ),
    ]
}
