//! What the organization decided: policies, good and bad.

use std::num::NonZeroU8;

use countersign_trust::chain::ChainError;
use countersign_trust::checkpoint::LogError;
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::note::KeyKind;
use countersign_trust::statement::policy::{Canary, Hours, PolicyError, Property, Then, Tripwire, Watched};
use countersign_trust::text::Nothing;
use countersign_trust::verify::Refusal;

use crate::bundle::Bundle;
use crate::organization::{names, note_key, person, sign, ssh_key, witness_key, word};
use crate::scene::{Case, Expected, Scene, accepted, refused};

pub const ANNA_AND_BO: [&str; 2] = ["anna", "bo"];

/// Logs a statement and adds it to what the server brings, whatever honest parties make of it.
pub fn brought(scene: &mut Scene, signed: Signed) -> Bundle {
    let logged: Logged = scene.org.log(signed);
    let mut bundle = scene.bundle();
    bundle.chain.push(logged.to_string());
    bundle
}

/// A policy that follows the newest with one change, signed by these.
fn policy(
    scene: &mut Scene,
    keys: &[&str],
    edit: impl FnOnce(&mut countersign_trust::statement::policy::Policy),
) -> Bundle {
    let mut next = scene.org.next_policy();
    edit(&mut next);
    brought(scene, sign(&next, keys))
}

pub fn quorum(got: usize, policy: u64) -> ChainError {
    ChainError::Quorum { got, need: 2, role: word("owner"), policy }
}

fn not_taken(error: ChainError) -> Expected {
    accepted().without(1, error)
}

fn unusable(error: PolicyError) -> Expected {
    not_taken(ChainError::Policy(error))
}

fn refusals(count: u64, within: u64) -> Tripwire {
    Tripwire { what: Watched::Refusals(Nothing {}), count, within, then: Then::Tell }
}

fn canaries(numbers: std::ops::Range<u8>) -> Tripwire {
    let paths = numbers.map(|number| word(&format!("/srv/canary-{number}"))).collect();
    Tripwire { what: Watched::Canary(Canary { paths }), count: 1, within: 60, then: Then::Halt }
}

pub fn cases() -> Vec<Case> {
    [policies(), bad_policies()].into_iter().flatten().collect()
}

fn policies() -> Vec<Case> {
    vec![
        Case {
            name: "policy-newer-than-the-job",
            says: "a policy was decided after the job was signed, and the signatures are enough under both",
            bend: |scene| {
                scene.org.decide(|policy| policy.limits.life = 3 * 86_400);
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "policy-drops-the-approver",
            says: "the newest policy has Bo no more",
            bend: |scene| {
                let mut next = scene.org.next_policy();
                next.people.remove(&word("bo"));
                next.roles = ["operator", "owner"].map(|role| (word(role), names(&["anna", "cia"]))).into();
                let logged = scene.org.log(sign(&next, &["anna", "bo", "cia"]));
                scene.org.take(countersign_trust::delivery::News::Policy(logged));
                scene.bundle()
            },
            expected: |_| refused(Refusal::Approvals { got: 0, need: 1, roles: vec![word("operator")] }),
        },
        Case {
            name: "policy-drops-the-approvers-key",
            says: "the newest policy has another key for Bo",
            bend: |scene| {
                scene.org.decide(|policy| {
                    policy.people.insert(word("cia"), person(&["cia new"]));
                });
                scene.keys = vec!["anna", "cia"];
                scene.bundle()
            },
            expected: |_| refused(Refusal::Approvals { got: 0, need: 1, roles: vec![word("operator")] }),
        },
        Case {
            name: "policy-gives-a-signer-too-late",
            says: "Dan came with the newest policy: for a job made under the one before he does not count",
            bend: |scene| {
                scene.org.decide(|policy| {
                    policy.people.insert(word("dan"), person(&["dan"]));
                    let roles =
                        ["operator", "owner"].map(|role| (word(role), names(&["anna", "bo", "cia", "dan"])));
                    policy.roles = roles.into();
                });
                scene.keys = vec!["anna", "dan"];
                scene.bundle()
            },
            expected: |_| refused(Refusal::Approvals { got: 0, need: 1, roles: vec![word("operator")] }),
        },
        Case {
            name: "policy-asks-for-more-since",
            says: "the newest policy asks for two approvals",
            bend: |scene| {
                scene.org.decide(|policy| policy.rules[0].approvals = 2);
                scene.bundle()
            },
            expected: |_| refused(Refusal::Approvals { got: 1, need: 2, roles: vec![word("operator")] }),
        },
        Case {
            name: "policy-asked-for-more-before",
            says: "the policy the job names asks for two approvals, the newest for one",
            bend: |scene| {
                scene.found(|policy| policy.rules[0].approvals = 2);
                scene.org.decide(|policy| policy.rules[0].approvals = 1);
                scene.bundle()
            },
            expected: |_| refused(Refusal::Approvals { got: 1, need: 2, roles: vec![word("operator")] }),
        },
        Case {
            name: "policy-that-nobody-decided",
            says: "the job names a policy that the device does not hold",
            bend: |scene| {
                scene.job.policy = Sha256([9; 32]);
                scene.bundle()
            },
            expected: |_| refused(Refusal::UnknownPolicy(Sha256([9; 32]))),
        },
    ]
}

fn bad_policies() -> Vec<Case> {
    vec![
        Case {
            name: "policy-of-another-organization",
            says: "signed by the same people for another organization",
            bend: |scene| policy(scene, &ANNA_AND_BO, |policy| policy.org = Some(OrgId([9; 32]))),
            expected: |scene| {
                let found = OrgId([9; 32]).to_string();
                not_taken(ChainError::Organization { expected: scene.org.org, found })
            },
        },
        Case {
            name: "policy-by-strangers",
            says: "nobody known signed it",
            bend: |scene| policy(scene, &["mallory", "trudy"], |_| ()),
            expected: |_| not_taken(ChainError::UnknownSigners),
        },
        Case {
            name: "policy-by-one-whom-only-an-older-policy-knew",
            says: "Cia was dropped by the policy in force: she is nobody to the next one",
            bend: |scene| {
                scene.org.decide(|policy| {
                    policy.people.remove(&word("cia"));
                    policy.roles.values_mut().for_each(|people| *people = names(&["anna", "bo"]));
                });
                policy(scene, &["cia"], |_| ())
            },
            expected: |_| accepted().without(2, ChainError::UnknownSigners),
        },
        Case {
            name: "policy-by-too-few-of-the-old",
            says: "the old policy has Anna of the two who signed",
            bend: |scene| {
                policy(scene, &["anna", "dan"], |policy| {
                    policy.people.insert(word("dan"), person(&["dan"]));
                    policy.roles.insert(word("owner"), names(&["anna", "dan"]));
                })
            },
            expected: |_| not_taken(quorum(1, 1)),
        },
        Case {
            name: "policy-by-too-few-of-the-new",
            says: "the new policy has Anna of the two who signed",
            bend: |scene| {
                policy(scene, &ANNA_AND_BO, |policy| {
                    policy.roles.insert(word("owner"), names(&["anna", "cia"]));
                })
            },
            expected: |_| not_taken(quorum(1, 2)),
        },
        Case {
            name: "policy-one-person-two-keys",
            says: "Anna signed with both of her keys",
            bend: |scene| {
                scene.found(|policy| {
                    policy.people.insert(word("anna"), person(&["anna", "anna spare"]));
                });
                policy(scene, &["anna", "anna spare"], |_| ())
            },
            expected: |_| not_taken(quorum(1, 1)),
        },
        Case {
            name: "policy-number-skipped",
            says: "number 3 after number 1",
            bend: |scene| policy(scene, &ANNA_AND_BO, |policy| policy.number = 3),
            expected: |_| not_taken(ChainError::Number { expected: 2, found: 3 }),
        },
        Case {
            name: "policy-follows-nothing-held",
            says: "it names a policy before it that nobody has",
            bend: |scene| policy(scene, &ANNA_AND_BO, |policy| policy.previous = [Sha256([9; 32])].into()),
            expected: |scene| {
                let expected = scene.org.chain.policy().hash.to_string();
                not_taken(ChainError::NotNext { expected, found: vec![Sha256([9; 32])] })
            },
        },
        Case {
            name: "policy-rolled-back",
            says: "the server brings the genesis policy once more: it is known, and nothing is left",
            bend: |scene| {
                scene.org.decide(|policy| policy.rules[0].approvals = 2);
                let mut bundle = scene.bundle();
                bundle.chain.push(bundle.chain[0].clone());
                bundle
            },
            expected: |_| refused(Refusal::Approvals { got: 1, need: 2, roles: vec![word("operator")] }),
        },
        Case {
            name: "policy-rival",
            says: "another number 2, after one was taken: the first is never left",
            bend: |scene| {
                let mut rival = scene.org.next_policy();
                rival.limits.life = 86_400;
                scene.org.decide(|policy| policy.limits.life = 3 * 86_400);
                brought(scene, sign(&rival, &ANNA_AND_BO))
            },
            expected: |scene| {
                let [genesis, second] = [0, 1].map(|at| scene.org.chain.policies()[at].hash);
                let error = ChainError::NotNext { expected: second.to_string(), found: vec![genesis] };
                accepted().without(2, error)
            },
        },
        Case {
            name: "policy-seen-by-its-own-witnesses-only",
            says: "it names other witnesses, and stands in the log before them alone: those of the policy before must have seen it",
            bend: |scene| {
                let own = ["witness-5", "witness-6", "witness-7", "witness-8"];
                let mut next = scene.org.next_policy();
                next.witnesses.keys = own.iter().map(|name| witness_key(name).verifier().clone()).collect();
                let signed = sign(&next, &ANNA_AND_BO);
                let index = scene.org.log.append(&signed.leaf(&scene.org.org).unwrap());
                let proof = scene.org.log.proof(index, &own);
                let mut bundle = scene.bundle();
                bundle.chain.push(Logged { signed, proof }.to_string());
                bundle
            },
            expected: |_| {
                let few = LogError::Witnesses { found: 0, known: 4, need: 3.try_into().unwrap() };
                not_taken(ChainError::Log(few))
            },
        },
        Case {
            name: "policy-heals-rivals",
            says: "a number 3 names both numbers 2",
            bend: |scene| {
                let mut rival = scene.org.next_policy();
                rival.limits.life = 86_400;
                let rival = sign(&rival, &ANNA_AND_BO).hash();
                scene.org.decide(|policy| policy.limits.life = 3 * 86_400);
                scene.org.decide(|policy| {
                    policy.previous.insert(rival);
                });
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "policy-key-twice",
            says: "Bo's key also stands under Cia",
            bend: |scene| {
                policy(scene, &ANNA_AND_BO, |policy| {
                    policy.people.insert(word("cia"), person(&["bo"]));
                })
            },
            expected: |_| unusable(PolicyError::KeyTwice { key: ssh_key("bo").public_key().fingerprint() }),
        },
        Case {
            name: "policy-key-of-person-and-machine",
            says: "Bo's key is also the server's halt key",
            bend: |scene| {
                policy(scene, &ANNA_AND_BO, |policy| {
                    let key = ssh_key("bo").public_key().clone();
                    policy.halt.machines.insert(word("server"), key);
                })
            },
            expected: |_| unusable(PolicyError::KeyTwice { key: ssh_key("bo").public_key().fingerprint() }),
        },
        Case {
            name: "policy-quorum-that-cannot-be-met",
            says: "four of three owners",
            bend: |scene| {
                policy(scene, &ANNA_AND_BO, |policy| policy.quorums.policy.need = NonZeroU8::new(4).unwrap())
            },
            expected: |_| unusable(PolicyError::TooFew { place: "quorums.policy".into(), need: 4, there: 3 }),
        },
        Case {
            name: "policy-rule-that-cannot-be-met",
            says: "three people other than the requester, of three",
            bend: |scene| policy(scene, &ANNA_AND_BO, |policy| policy.rules[0].approvals = 3),
            expected: |_| {
                unusable(PolicyError::TooFew { place: "rule 1, approvers".into(), need: 3, there: 2 })
            },
        },
        Case {
            name: "policy-quorum-of-the-servers-own-pages",
            says: "Bo and Cia have only keys that the server's own pages can ask for, and two owners are needed",
            bend: |scene| {
                policy(scene, &ANNA_AND_BO, |policy| {
                    for name in ["bo", "cia"] {
                        policy.people.get_mut(&word(name)).unwrap().keys[0].same_origin = true;
                    }
                })
            },
            expected: |_| unusable(PolicyError::TooFew { place: "quorums.policy".into(), need: 2, there: 1 }),
        },
        Case {
            name: "policy-rule-that-no-key-can-meet",
            says: "verification is asked, and nobody has a security key",
            bend: |scene| {
                policy(scene, &ANNA_AND_BO, |policy| {
                    policy.rules[0].properties = [Property::Verification].into()
                })
            },
            expected: |_| {
                unusable(PolicyError::TooFew { place: "rule 1, requesters".into(), need: 1, there: 0 })
            },
        },
        Case {
            name: "policy-rule-for-the-servers-own-pages-alone",
            says: "nobody need approve, and the one who may ask has only a key that the server's own pages can ask for",
            bend: |scene| {
                policy(scene, &ANNA_AND_BO, |policy| {
                    policy.people.get_mut(&word("cia")).unwrap().keys[0].same_origin = true;
                    policy.roles.insert(word("clerk"), names(&["cia"]));
                    policy.rules[0].requesters = names(&["clerk"]);
                    policy.rules[0].approvals = 0;
                })
            },
            expected: |_| {
                unusable(PolicyError::TooFew { place: "rule 1, requesters".into(), need: 1, there: 0 })
            },
        },
        Case {
            name: "policy-witness-that-cannot-cosign",
            says: "the fourth witness's key is one that signs notes",
            bend: |scene| {
                policy(scene, &ANNA_AND_BO, |policy| {
                    policy.witnesses.keys.remove(witness_key("witness-4").verifier());
                    policy.witnesses.keys.insert(note_key("witness-4").verifier().clone());
                })
            },
            expected: |_| {
                let (place, key) = ("witnesses", "witness-4".into());
                let (found, needed) = (KeyKind::Ed25519, KeyKind::CosignatureV1);
                unusable(PolicyError::NoteKey { place, key, found, needed })
            },
        },
        Case {
            name: "policy-log-that-poses-as-a-clear",
            says: "the log's origin is the first line of a Clear",
            bend: |scene| {
                policy(scene, &ANNA_AND_BO, |policy| {
                    policy.log.key = note_key("countersign-clear/v1").verifier().clone();
                })
            },
            expected: |_| unusable(PolicyError::Origin("countersign-clear/v1".into())),
        },
        Case {
            name: "policy-person-without-keys",
            says: "Dan has no key",
            bend: |scene| {
                policy(scene, &ANNA_AND_BO, |policy| {
                    policy.people.insert(word("dan"), person(&[]));
                })
            },
            expected: |_| unusable(PolicyError::NoKey { person: word("dan") }),
        },
        Case {
            name: "policy-role-of-nobody",
            says: "a rule names a role that does not exist",
            bend: |scene| policy(scene, &ANNA_AND_BO, |policy| policy.rules[0].approvers = names(&["boss"])),
            expected: |_| unusable(PolicyError::NoSuchRole { place: "rule 1".into(), role: word("boss") }),
        },
        Case {
            name: "policy-lifetime-out-of-range",
            says: "challenges good for a day",
            bend: |scene| policy(scene, &ANNA_AND_BO, |policy| policy.beacons.lifetime = 86_400),
            expected: |_| {
                let place = "beacons.lifetime";
                unusable(PolicyError::Range { place, value: 86_400, least: 60, most: 3_600 })
            },
        },
        Case {
            name: "policy-hours-without-a-minute",
            says: "hours that end where they begin",
            bend: |scene| {
                policy(scene, &ANNA_AND_BO, |policy| {
                    policy.rules[0].hours = vec![Hours { from: 60, until: 60 }]
                })
            },
            expected: |_| unusable(PolicyError::Range { place: "hours.from", value: 60, least: 0, most: 59 }),
        },
        Case {
            name: "policy-tripwire-that-never-counts",
            says: "a tripwire that is touched by nothing at all",
            bend: |scene| policy(scene, &ANNA_AND_BO, |policy| policy.tripwires = vec![refusals(0, 60)]),
            expected: |_| {
                let place = "tripwires.count";
                unusable(PolicyError::Range { place, value: 0, least: 1, most: u32::MAX.into() })
            },
        },
        Case {
            name: "policy-tripwire-over-days",
            says: "a tripwire that looks at more than a day",
            bend: |scene| policy(scene, &ANNA_AND_BO, |policy| policy.tripwires = vec![refusals(1, 86_401)]),
            expected: |_| {
                let place = "tripwires.within";
                unusable(PolicyError::Range { place, value: 86_401, least: 1, most: 86_400 })
            },
        },
        Case {
            name: "policy-seventeen-tripwires",
            says: "more tripwires than anybody reads",
            bend: |scene| policy(scene, &ANNA_AND_BO, |policy| policy.tripwires = vec![refusals(9, 60); 17]),
            expected: |_| unusable(PolicyError::TooMany { place: "tripwires", there: 17, most: 16 }),
        },
        Case {
            name: "policy-sixty-five-canaries",
            says: "two tripwires that together look at more files than a device does",
            bend: |scene| {
                policy(scene, &ANNA_AND_BO, |policy| {
                    policy.tripwires = vec![canaries(0..40), canaries(25..65)]
                })
            },
            expected: |_| unusable(PolicyError::TooMany { place: "canaries", there: 65, most: 64 }),
        },
        Case {
            name: "policy-sixty-four-canaries",
            says: "two tripwires that share files: each counts once",
            bend: |scene| {
                scene.found(|policy| policy.tripwires = vec![canaries(0..40), canaries(24..64)]);
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "policy-not-canonical",
            says: "a good policy with a key that no version knows",
            bend: |scene| {
                let text = countersign_trust::statement::write(&scene.org.next_policy()).0;
                let text = text.replacen("  \"number\": 2,\n", "  \"number\": 2,\n  \"urgent\": true,\n", 1);
                let signed = crate::organization::sign_text(
                    text,
                    countersign_trust::statement::Kind::Policy,
                    &ANNA_AND_BO,
                );
                brought(scene, signed)
            },
            expected: |_| not_taken(not_canonical_policy()),
        },
        Case {
            name: "policy-key-of-small-order",
            says: "a good policy with a person whose key is a point of order 8, by which anybody could sign",
            bend: |scene| {
                let signed = crate::organization::sign_text(
                    weak_policy(scene),
                    countersign_trust::statement::Kind::Policy,
                    &ANNA_AND_BO,
                );
                brought(scene, signed)
            },
            expected: |scene| not_taken(weak_key(&weak_policy(scene))),
        },
    ]
}

fn not_canonical_policy() -> ChainError {
    use countersign_trust::statement::{Kind, StatementError};
    let hash = Scene::good().org.genesis.signed.hash().to_string();
    let found: String = format!("\"urgent\": true,\n  \"previous\": [\n    \"{hash}")
        .chars()
        .take(40)
        .flat_map(char::escape_debug)
        .collect();
    let error =
        countersign_trust::text::TextError { line: 4, expected: "`\\\"previous\\\": `".into(), found };
    ChainError::Statement(StatementError::Text { kind: Kind::Policy, error })
}

/// `c7176a70…`, a point of order 8, as the key of a person.
const WEAK_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMcXanA9TdhPujwLdg0QZw8qIFP6LDnMxk7H/XeSrAN6";

fn weak_policy(scene: &Scene) -> String {
    let cia = ssh_key("cia").public_key().to_string();
    countersign_trust::statement::write(&scene.org.next_policy()).0.replacen(&cia, WEAK_KEY, 1)
}

fn weak_key(policy: &str) -> ChainError {
    use countersign_trust::statement::{Kind, StatementError};
    let line = policy.lines().position(|line| line.contains(WEAK_KEY)).unwrap() + 1;
    let found = format!("\"{WEAK_KEY}").chars().take(40).flat_map(char::escape_debug).collect();
    let expected = countersign_trust::key::KeyError::SmallOrder.to_string();
    let error = countersign_trust::text::TextError { line, expected, found };
    ChainError::Statement(StatementError::Text { kind: Kind::Policy, error })
}
