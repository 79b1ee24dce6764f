//! Whether it is certain that nobody has said stop.

use countersign_trust::clear::{ClearFault, NotFresh};
use countersign_trust::delivery::News;
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::lines::LinesError;
use countersign_trust::statement::resume::{Cuts, Lifts};
use countersign_trust::text::Nothing;
use countersign_trust::time::Time;
use countersign_trust::verify::Refusal;

use crate::organization::{BEACONS, CHALLENGE, NOON, answer, at, note_key, sign, ssh_key};
use crate::scene::{Case, Expected, accepted, refused};

/// Two good Clears, and why the third is none.
fn third(fault: ClearFault) -> Expected {
    not_fresh(2, [("beacon-3", fault)])
}

fn not_fresh<const N: usize>(got: usize, faults: [(&str, ClearFault); N]) -> Expected {
    let faults = faults.map(|(name, fault)| (name.to_owned(), fault)).into();
    refused(Refusal::NotFresh(NotFresh { got, need: 3, faults }))
}

pub fn cases() -> Vec<Case> {
    [faults(), liars(), leaps()].into_iter().flatten().collect()
}

fn faults() -> Vec<Case> {
    vec![
        Case {
            name: "clears-none",
            says: "the server brings no Clear",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.clears = Vec::new();
                bundle
            },
            expected: |_| not_fresh(0, []),
        },
        Case {
            name: "clears-one-too-few",
            says: "two Clears where three are needed",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.clears.truncate(2);
                bundle
            },
            expected: |_| not_fresh(2, []),
        },
        Case {
            name: "clears-one-beacon-twice",
            says: "the third Clear is by the second beacon again, a second later",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.clears[2] = scene.clear("beacon-2", |clear| clear.time = Time(NOON + 1));
                bundle
            },
            expected: |_| not_fresh(2, [("beacon-2", ClearFault::SameBeacon)]),
        },
        Case {
            name: "clears-unknown-beacon",
            says: "the third is by a beacon of no policy",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.clears[2] = scene.clear("beacon-5", |_| ());
                bundle
            },
            expected: |_| not_fresh(2, [("beacon-5", ClearFault::UnknownBeacon)]),
        },
        Case {
            name: "clears-by-a-witness-key",
            says: "the third is a checkpoint's signer's: a key of the policy, but no beacon's",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.clears[2] = scene.clear(crate::organization::LOG, |_| ());
                bundle
            },
            expected: |_| not_fresh(2, [(crate::organization::LOG, ClearFault::UnknownBeacon)]),
        },
        Case {
            name: "clears-no-clear",
            says: "the third beacon signed something else",
            bend: |scene| {
                let mut bundle = scene.bundle();
                let text = bundle.clears[2].clear.text().replace("clear/v1", "clear/v2");
                bundle.clears[2].clear = note_key("beacon-3").note(text).unwrap();
                bundle
            },
            expected: |_| {
                let [expected, found] =
                    ["`countersign-clear/v1`", "countersign-clear/v2"].map(ToOwned::to_owned);
                third(ClearFault::Text(LinesError { line: 1, expected, found }))
            },
        },
        Case {
            name: "clears-with-a-halt-twice",
            says: "the third beacon names a halt twice: its list has one print",
            bend: |scene| {
                let halt = scene.halt(countersign_trust::statement::halt::Scope::Job(Sha256([9; 32])), "cia");
                let mut bundle = scene.bundle();
                let text = format!("{}halt {halt}\n", bundle.clears[2].clear.text());
                bundle.clears[2].clear = note_key("beacon-3").note(text).unwrap();
                bundle
            },
            expected: |scene| {
                let (expected, found) =
                    ("`halt …` above the one before it".to_owned(), format!("halt {}", scene.newest()));
                third(ClearFault::Text(LinesError { line: 8, expected, found }))
            },
        },
        Case {
            name: "clears-of-another-organization",
            says: "the third speaks of another organization",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.clears[2] = scene.clear("beacon-3", |clear| clear.org = OrgId([9; 32]));
                bundle
            },
            expected: |_| third(ClearFault::Organization(OrgId([9; 32]))),
        },
        Case {
            name: "clears-for-anothers-challenge",
            says: "all three answer another device's challenge",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.clears = scene.org.three_clears([8; 32]);
                bundle
            },
            expected: |_| {
                let fault = |name| (name, ClearFault::NotMyChallenge);
                not_fresh(0, ["beacon-1", "beacon-2", "beacon-3"].map(fault))
            },
        },
        Case {
            name: "clears-path-of-a-neighbour",
            says: "the third Clear's tree holds my challenge, but the path shown is my neighbour's",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.clears[2].index = 0;
                bundle
            },
            expected: |_| third(ClearFault::NotMyChallenge),
        },
        Case {
            name: "clears-from-before-the-restart",
            says: "the device started again since it drew the challenge, and has none",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.challenge = None;
                bundle
            },
            expected: |_| {
                let fault = |name| (name, ClearFault::NotMyChallenge);
                not_fresh(0, ["beacon-1", "beacon-2", "beacon-3"].map(fault))
            },
        },
        Case {
            name: "clears-stale-on-arrival",
            says: "the challenge is as old as the lifetime when they arrive",
            bend: |scene| {
                let mut bundle = scene.bundle();
                (bundle.now.arrived, bundle.now.now) = (at(180_000), at(180_000));
                bundle
            },
            expected: |_| {
                let stale = ClearFault::Stale { age_ms: 180_000, lifetime_ms: 180_000 };
                let fault = |name| (name, stale.clone());
                not_fresh(0, ["beacon-1", "beacon-2", "beacon-3"].map(fault))
            },
        },
        Case {
            name: "clears-aged-since",
            says: "they arrived in time, and the step comes when the challenge is as old as the lifetime",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.now.now = at(180_000);
                bundle
            },
            expected: |_| refused(Refusal::Aged(ClearFault::Stale { age_ms: 180_000, lifetime_ms: 180_000 })),
        },
        Case {
            name: "clears-good-to-the-last-millisecond",
            says: "a millisecond before that",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.now.now = at(179_999);
                bundle
            },
            expected: |_| accepted(),
        },
        Case {
            name: "clears-wall-clock-ages-the-challenge",
            says: "the wall clock was pushed three minutes forward: it may refuse",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.now.now.wall_ms += 180_000;
                bundle
            },
            expected: |_| refused(Refusal::Aged(ClearFault::Stale { age_ms: 183_000, lifetime_ms: 180_000 })),
        },
        Case {
            name: "clears-wall-clock-cannot-freshen",
            says: "the wall clock was set back, and the challenge is as old as the boot clock says",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.now.now = at(180_000);
                bundle.now.now.wall_ms = 0;
                bundle
            },
            expected: |_| refused(Refusal::Aged(ClearFault::Stale { age_ms: 180_000, lifetime_ms: 180_000 })),
        },
    ]
}

fn liars() -> Vec<Case> {
    vec![
        Case {
            name: "clears-of-another-policy",
            says: "the third beacon names a policy that the device does not hold",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.clears[2] = scene.clear("beacon-3", |clear| clear.policy = Sha256([9; 32]));
                bundle
            },
            expected: |scene| {
                third(ClearFault::Policy { named: Sha256([9; 32]), held: scene.org.chain.policy().hash })
            },
        },
        Case {
            name: "clears-of-a-newer-policy-withheld",
            says: "all beacons name a policy that the server did not bring",
            bend: |scene| {
                scene.org.decide(|policy| policy.limits.life = 86_400);
                let mut bundle = scene.bundle();
                bundle.chain.truncate(1);
                bundle
            },
            expected: |scene| {
                let [held, named] = [0, 1].map(|at| scene.org.chain.policies()[at].hash);
                let fault = |name| (name, ClearFault::Policy { named, held });
                not_fresh(0, ["beacon-1", "beacon-2", "beacon-3"].map(fault))
            },
        },
        Case {
            name: "clears-of-another-resume",
            says: "the third beacon names a resume that the device does not hold",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.clears[2] = scene.clear("beacon-3", |clear| clear.resume = Some(Sha256([9; 32])));
                bundle
            },
            expected: |_| {
                let named = Sha256([9; 32]).to_string();
                third(ClearFault::Resume { named, held: "none".to_owned() })
            },
        },
        Case {
            name: "clears-of-a-secret-halt",
            says: "the third beacon names a halt whose text nobody brought",
            bend: |scene| {
                let mut bundle = scene.bundle();
                let secret = |clear: &mut countersign_trust::clear::Clear| {
                    clear.halts.insert(Sha256([9; 32]));
                };
                bundle.clears[2] = scene.clear("beacon-3", secret);
                bundle
            },
            expected: |_| third(ClearFault::UnknownHalt(Sha256([9; 32]))),
        },
        Case {
            name: "clears-of-a-halt-that-is-lifted-only-here",
            says: "Cia's halt was brought with a thief's signature alone, and lifted by the thief's key; all beacons have hers",
            bend: |scene| {
                let halt = scene.org.halt_of(crate::organization::everything());
                scene.org.take(News::Halt(sign(&halt, &["server"])));
                let keys = [ssh_key("server").public_key().clone()].into();
                scene.org.resume(Lifts::Keys(keys), Cuts::All(Nothing), |_| ());
                scene.job.resume = scene.org.chain.resume();
                let mut bundle = scene.bundle();
                let hash = sign(&halt, &["cia"]).hash();
                for (at, beacon) in BEACONS[..3].iter().enumerate() {
                    bundle.clears[at] = scene.clear(beacon, |clear| {
                        clear.halts.insert(hash);
                    });
                }
                bundle
            },
            expected: |scene| {
                let fault = |name| (name, ClearFault::UnknownHalt(scene.org.news[0].hash()));
                not_fresh(0, ["beacon-1", "beacon-2", "beacon-3"].map(fault))
            },
        },
        Case {
            name: "clears-of-a-halt-withheld",
            says: "all beacons name a halt that the server did not bring",
            bend: |scene| {
                scene.halt(crate::organization::everything(), "cia");
                let mut bundle = scene.bundle();
                bundle.chain.truncate(1);
                bundle
            },
            expected: |scene| {
                let fault = |name| (name, ClearFault::UnknownHalt(scene.newest()));
                not_fresh(0, ["beacon-1", "beacon-2", "beacon-3"].map(fault))
            },
        },
        Case {
            name: "clears-times-too-far-apart",
            says: "the third beacon's time is 61 s ahead of the others'",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.clears[2] = scene.clear("beacon-3", |clear| clear.time = Time(NOON + 61));
                bundle
            },
            expected: |_| third(ClearFault::Time(Time(NOON + 61))),
        },
        Case {
            name: "clears-times-just-together",
            says: "the third beacon's time is 60 s ahead of the others'",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.clears[2] = scene.clear("beacon-3", |clear| clear.time = Time(NOON + 60));
                bundle
            },
            expected: |_| accepted(),
        },
        Case {
            name: "clears-one-liar-of-four-about-time",
            says: "four Clears, of which one is an hour behind: the other three are enough",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.clears = scene.org.clears(CHALLENGE, &BEACONS);
                bundle.clears[0] = scene.clear("beacon-1", |clear| clear.time = Time(NOON - 3_600));
                bundle
            },
            expected: |_| accepted(),
        },
        Case {
            name: "clears-one-liar-of-four-about-halts",
            says: "four Clears, of which one names a halt that nobody called: the other three are enough",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.clears = scene.org.clears(CHALLENGE, &BEACONS);
                bundle.clears[0] = answer("beacon-1", CHALLENGE, |root| {
                    let mut clear = scene.org.clear(root);
                    clear.halts.insert(Sha256([9; 32]));
                    clear
                });
                bundle
            },
            expected: |_| accepted(),
        },
    ]
}

/// On a machine whose wall clock is dead, and which remembers how late it was.
fn off_for(scene: &mut crate::scene::Scene, seconds: u64) -> crate::bundle::Bundle {
    let mut bundle = scene.bundle();
    bundle.now.drawn.wall_ms = 0;
    bundle.now.arrived.wall_ms = 2_000;
    bundle.now.now.wall_ms = 3_000;
    bundle.now.floor = Time(NOON - seconds);
    bundle
}

fn leaps() -> Vec<Case> {
    vec![
        Case {
            name: "clears-leap",
            says: "the machine's clock is dead, and the Clears say that it is a day and a second later than it remembers",
            bend: |scene| off_for(scene, 86_401),
            expected: |_| {
                let (said, known) = (Time(NOON), Time(NOON - 86_401));
                not_fresh(0, [("together", ClearFault::Leap { said, known, wait_s: 3_600 })])
            },
        },
        Case {
            name: "clears-no-leap",
            says: "the machine's clock is dead, and the Clears say that it is a day later than it remembers",
            bend: |scene| off_for(scene, 86_400),
            expected: |_| accepted(),
        },
        Case {
            name: "clears-no-leap-by-the-wall-clock",
            says: "the machine was off for a year, and its clock says so too",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.now.floor = Time(NOON - 365 * 86_400);
                bundle
            },
            expected: |_| accepted(),
        },
        Case {
            name: "clears-leap-beyond-the-wall-clock",
            says: "the machine's clock is a day and a second behind the Clears",
            bend: |scene| {
                let mut bundle = scene.bundle();
                for reading in [&mut bundle.now.drawn, &mut bundle.now.arrived, &mut bundle.now.now] {
                    reading.wall_ms -= 86_403_000;
                }
                bundle
            },
            expected: |_| {
                let (said, known) = (Time(NOON), Time(NOON - 86_401));
                not_fresh(0, [("together", ClearFault::Leap { said, known, wait_s: 3_600 })])
            },
        },
    ]
}
