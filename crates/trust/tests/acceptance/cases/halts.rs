//! Somebody said stop.

use countersign_trust::chain::ChainError;
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::statement::halt::{Component, Scope};
use countersign_trust::statement::policy::VendorHalts;
use countersign_trust::statement::resume::{Cuts, Lifts};
use countersign_trust::text::Nothing;
use countersign_trust::verify::Refusal;

use crate::bundle::Bundle;
use crate::organization::{BEACONS, CHALLENGE, everything, names, script_hash, sign, ssh_key, word};
use crate::scene::{Case, Expected, Scene, accepted, nothing, refused};

fn halted(halt: Sha256, scope: &str, by: &str) -> Expected {
    let (scope, by, reason) = (scope.to_owned(), by.to_owned(), "Something is wrong.".to_owned());
    refused(Refusal::Halted { halt, scope, by, reason })
}

fn agent_below(below: &str) -> Scope {
    Scope::Component(Component { name: word("countersign-agent"), below: word(below) })
}

/// Adds a halt as it is to what the server brings, whatever honest parties make of it.
fn brought(scene: &mut Scene, halt: &countersign_trust::envelope::Signed) -> Bundle {
    let mut bundle = scene.bundle();
    bundle.chain.push(halt.to_string());
    bundle
}

pub fn cases() -> Vec<Case> {
    [covering(), not_taken(), lifted()].into_iter().flatten().collect()
}

fn covering() -> Vec<Case> {
    vec![
        Case {
            name: "halt-organization",
            says: "one operator halted everything",
            bend: |scene| {
                scene.halt(everything(), "cia");
                scene.bundle()
            },
            expected: |scene| halted(scene.newest(), "the whole organization", "cia"),
        },
        Case {
            name: "halt-organization-by-the-server",
            says: "the server's own key halted everything",
            bend: |scene| {
                scene.halt(everything(), "server");
                scene.bundle()
            },
            expected: |scene| halted(scene.newest(), "the whole organization", "the machine server"),
        },
        Case {
            name: "halt-job",
            says: "this job is halted",
            bend: |scene| {
                scene.halt(Scope::Job(scene.hash()), "cia");
                scene.bundle()
            },
            expected: |scene| halted(scene.newest(), "this job", "cia"),
        },
        Case {
            name: "halt-script",
            says: "the script of the second step is halted",
            bend: |scene| {
                scene.job.steps.push(crate::organization::script(&["reboot"]));
                scene.halt(Scope::Script(script_hash(&scene.job.steps[1])), "cia");
                scene.bundle()
            },
            expected: |scene| halted(scene.newest(), "this script", "cia"),
        },
        Case {
            name: "halt-person-who-asks",
            says: "Anna is halted",
            bend: |scene| {
                scene.halt(Scope::Person(word("anna")), "cia");
                scene.bundle()
            },
            expected: |scene| halted(scene.newest(), "what anna asks for", "cia"),
        },
        Case {
            name: "halt-person-who-approved",
            says: "Bo is halted: his approval counts for nothing",
            bend: |scene| {
                scene.halt(Scope::Person(word("bo")), "cia");
                scene.bundle()
            },
            expected: |_| refused(Refusal::Approvals { got: 0, need: 1, roles: vec![word("operator")] }),
        },
        Case {
            name: "halt-person-who-signed-to-spare",
            says: "Cia is halted, and Bo's approval is enough",
            bend: |scene| {
                scene.keys = vec!["anna", "bo", "cia"];
                scene.halt(Scope::Person(word("cia")), "bo");
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "halt-agents-version",
            says: "the vendor halted agents below a version above this one",
            bend: |scene| {
                let mut halt = scene.org.halt_of(agent_below("0.1.1"));
                (halt.org, halt.policy) = (None, None);
                scene.org.take(countersign_trust::delivery::News::Halt(sign(&halt, &["vendor"])));
                scene.bundle()
            },
            expected: |scene| halted(scene.newest(), "countersign-agent below 0.1.1", "the vendor"),
        },
        Case {
            name: "halt-agents-version-by-number",
            says: "0.10 comes after 0.9, as versions go",
            bend: |scene| {
                scene.halt(agent_below("0.10.0"), "cia");
                let mut bundle = scene.bundle();
                bundle.now.version = "0.9.9".to_owned();
                bundle
            },
            expected: |scene| halted(scene.newest(), "countersign-agent below 0.10.0", "cia"),
        },
        Case {
            name: "halt-another-job",
            says: "another job, another script, another component and older agents are halted",
            bend: |scene| {
                scene.halt(Scope::Job(Sha256([9; 32])), "cia");
                scene.halt(Scope::Script(Sha256([9; 32])), "cia");
                scene.halt(agent_below("0.1.0"), "cia");
                let other = Component { name: word("countersign-server"), below: word("9.9.9") };
                scene.halt(Scope::Component(other), "cia");
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "halt-policy-not-held",
            says: "the halt was made under a policy that the device lacks; its key may halt under the one it holds",
            bend: |scene| {
                let mut halt = scene.org.halt_of(everything());
                halt.policy = Some(Sha256([9; 32]));
                scene.org.take(countersign_trust::delivery::News::Halt(sign(&halt, &["cia"])));
                scene.bundle()
            },
            expected: |scene| halted(scene.newest(), "the whole organization", "cia"),
        },
        Case {
            name: "halt-by-one-dropped-since",
            says: "Cia could halt under the policy the halt names, and is in the newest no more",
            bend: |scene| {
                let halt = scene.org.halt_of(everything());
                scene.org.decide(|policy| {
                    policy.people.remove(&word("cia"));
                    policy.roles.values_mut().for_each(|people| *people = names(&["anna", "bo"]));
                });
                scene.org.take(countersign_trust::delivery::News::Halt(sign(&halt, &["cia"])));
                scene.bundle()
            },
            expected: |scene| halted(scene.newest(), "the whole organization", "cia"),
        },
        Case {
            name: "halt-the-sixteenth",
            says: "the sixteenth active halt of a key stops this job",
            bend: |scene| {
                flood(scene, 15);
                scene.halt(Scope::Job(scene.hash()), "cia");
                scene.bundle()
            },
            expected: |scene| halted(scene.newest(), "this job", "cia"),
        },
        Case {
            name: "halt-the-seventeenth",
            says: "the seventeenth active halt of a key is known and stops nothing",
            bend: |scene| {
                flood(scene, 16);
                scene.halt(Scope::Job(scene.hash()), "cia");
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "halt-the-seventeenth-and-one-is-lifted",
            says: "the seventeenth of a key stops nothing either once a resume has lifted another",
            bend: |scene| {
                flood(scene, 16);
                let first = scene.org.news[0].hash();
                scene.halt(Scope::Script(script_hash(&scene.job.steps[0])), "cia");
                scene.lift([first], nothing());
                scene.job.resume = scene.org.chain.resume();
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "halt-the-seventeenth-of-everything",
            says: "the seventeenth of a key halts the organization: that is always taken",
            bend: |scene| {
                flood(scene, 16);
                scene.halt(everything(), "cia");
                scene.bundle()
            },
            expected: |scene| halted(scene.newest(), "the whole organization", "cia"),
        },
        Case {
            name: "halt-the-seventeenth-that-beacons-name",
            says: "the beacons took others of the key's halts first, so that for them it is active: mine and theirs together",
            bend: |scene| {
                flood(scene, 16);
                let halt = scene.halt(Scope::Job(scene.hash()), "cia");
                let mut bundle = scene.bundle();
                bundle.clears[2] = scene.clear("beacon-3", |clear| {
                    clear.halts.insert(halt);
                });
                bundle
            },
            expected: |scene| halted(scene.newest(), "this job", "cia"),
        },
        Case {
            name: "halt-the-seventeenth-of-an-approver-that-beacons-name",
            says: "the same, and it halts the person who approved",
            bend: |scene| {
                flood(scene, 16);
                let halt = scene.halt(Scope::Person(word("bo")), "cia");
                let mut bundle = scene.bundle();
                bundle.clears[2] = scene.clear("beacon-3", |clear| {
                    clear.halts.insert(halt);
                });
                bundle
            },
            expected: |_| refused(Refusal::Approvals { got: 0, need: 1, roles: vec![word("operator")] }),
        },
    ]
}

/// So many active halts by Cia of jobs that nobody has heard of.
fn flood(scene: &mut Scene, count: u8) {
    for number in 0..count {
        scene.halt(Scope::Job(Sha256([number; 32])), "cia");
    }
}

fn not_taken() -> Vec<Case> {
    vec![
        Case {
            name: "halt-the-eighty-first",
            says: "80 halts of one key that no resume has lifted are kept, and no more but of the organization",
            bend: |scene| {
                flood(scene, 80);
                let halt = scene.org.halt_of(Scope::Job(Sha256([80; 32])));
                brought(scene, &sign(&halt, &["cia"]))
            },
            expected: |_| accepted().without(81, ChainError::TooManyHalts { kept: 80, most: 80 }),
        },
        Case {
            name: "halt-by-a-stranger",
            says: "halted by a key of no policy",
            bend: |scene| {
                let halt = scene.org.halt_of(everything());
                brought(scene, &sign(&halt, &["mallory"]))
            },
            expected: |_| accepted().without(1, ChainError::NotAHalter),
        },
        Case {
            name: "halt-by-one-who-may-not",
            says: "Anna is known, but of no role that may halt",
            bend: |scene| {
                scene.found(|policy| policy.halt.roles.clear());
                let halt = scene.org.halt_of(everything());
                brought(scene, &sign(&halt, &["anna"]))
            },
            expected: |_| accepted().without(1, ChainError::NotAHalter),
        },
        Case {
            name: "halt-by-the-vendor-of-everything",
            says: "the vendor may halt components only",
            bend: |scene| {
                let mut halt = scene.org.halt_of(everything());
                (halt.org, halt.policy) = (None, None);
                brought(scene, &sign(&halt, &["vendor"]))
            },
            expected: |_| accepted().without(1, ChainError::VendorScope),
        },
        Case {
            name: "halt-by-the-vendor-of-one-organization",
            says: "a vendor's halt names no organization",
            bend: |scene| {
                let halt = scene.org.halt_of(agent_below("9.9.9"));
                brought(scene, &sign(&halt, &["vendor"]))
            },
            expected: |_| accepted().without(1, ChainError::VendorScope),
        },
        Case {
            name: "halt-by-the-vendor-where-people-are-asked",
            says: "the policy has a vendor's halts on `ask`",
            bend: |scene| not_obeyed(scene, VendorHalts::Ask),
            expected: |_| accepted().without(1, ChainError::VendorHalts(VendorHalts::Ask)),
        },
        Case {
            name: "halt-by-the-vendor-where-nobody-obeys",
            says: "the policy has a vendor's halts on `off`",
            bend: |scene| not_obeyed(scene, VendorHalts::Off),
            expected: |_| accepted().without(1, ChainError::VendorHalts(VendorHalts::Off)),
        },
        Case {
            name: "halt-of-another-organization",
            says: "Cia halted another organization of hers",
            bend: |scene| {
                let mut halt = scene.org.halt_of(everything());
                halt.org = Some(OrgId([9; 32]));
                brought(scene, &sign(&halt, &["cia"]))
            },
            expected: |scene| {
                let found = OrgId([9; 32]).to_string();
                accepted().without(1, ChainError::Organization { expected: scene.org.org, found })
            },
        },
    ]
}

fn lifted() -> Vec<Case> {
    vec![
        Case {
            name: "halt-lifted-by-hash",
            says: "a resume names the halt, and cuts nothing",
            bend: |scene| {
                let halt = scene.halt(everything(), "cia");
                scene.lift([halt], nothing());
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "halt-lifted-another",
            says: "a resume names one of two halts",
            bend: |scene| {
                let first = scene.halt(everything(), "cia");
                scene.halt(everything(), "bo");
                scene.lift([first], nothing());
                scene.bundle()
            },
            expected: |scene| halted(scene.org.news[1].hash(), "the whole organization", "bo"),
        },
        Case {
            name: "halt-lifted-by-key",
            says: "a resume lifts all that a key halted; the job was signed after it",
            bend: |scene| {
                scene.halt(everything(), "cia");
                scene.halt(everything(), "cia");
                let keys = [ssh_key("cia").public_key().clone()];
                scene.org.resume(Lifts::Keys(keys.into()), Cuts::All(Nothing), |_| ());
                scene.job.resume = scene.org.chain.resume();
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "halt-by-the-vendor-not-lifted-by-key",
            says: "a resume lifts all that the vendor's key halted: a vendor's halt is made under no policy, and lifted by its hash only",
            bend: |scene| {
                let mut halt = scene.org.halt_of(agent_below("0.1.1"));
                (halt.org, halt.policy) = (None, None);
                scene.org.take(countersign_trust::delivery::News::Halt(sign(&halt, &["vendor"])));
                let keys = [ssh_key("vendor").public_key().clone()];
                scene.org.resume(Lifts::Keys(keys.into()), Cuts::All(Nothing), |_| ());
                scene.job.resume = scene.org.chain.resume();
                scene.bundle()
            },
            expected: |scene| halted(scene.org.news[0].hash(), "countersign-agent below 0.1.1", "the vendor"),
        },
        Case {
            name: "halt-that-two-called-lifted-by-one-of-their-keys",
            says: "a thief signs Cia's halt too, and people resume by the thief's key: hers stops everything as before",
            bend: |scene| {
                let halt = scene.org.halt_of(everything());
                scene.org.take(countersign_trust::delivery::News::Halt(sign(&halt, &["cia", "server"])));
                resumed_by(scene, &["server"]);
                scene.bundle()
            },
            expected: |scene| {
                halted(scene.org.news[0].hash(), "the whole organization", "cia, the machine server")
            },
        },
        Case {
            name: "halt-that-two-called-lifted-by-both-keys",
            says: "by a resume that names both",
            bend: |scene| {
                let halt = scene.org.halt_of(everything());
                scene.org.take(countersign_trust::delivery::News::Halt(sign(&halt, &["cia", "server"])));
                resumed_by(scene, &["cia", "server"]);
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "halt-brought-by-a-thief-who-signed-it-too",
            says: "the thief's copy of Cia's halt comes first, with his signature alone, then hers, then a resume by his key",
            bend: |scene| {
                let halt = scene.org.halt_of(everything());
                for key in ["server", "cia"] {
                    scene.org.take(countersign_trust::delivery::News::Halt(sign(&halt, &[key])));
                }
                resumed_by(scene, &["server"]);
                scene.bundle()
            },
            expected: |scene| {
                halted(scene.org.news[0].hash(), "the whole organization", "cia, the machine server")
            },
        },
        Case {
            name: "halt-signed-by-somebody-else-after-it-was-lifted",
            says: "people resume by the thief's key; then Cia's signature under the same halt comes",
            bend: |scene| {
                let halt = scene.org.halt_of(everything());
                scene.org.take(countersign_trust::delivery::News::Halt(sign(&halt, &["server"])));
                resumed_by(scene, &["server"]);
                brought(scene, &sign(&halt, &["cia"]))
            },
            expected: |scene| {
                halted(scene.org.news[0].hash(), "the whole organization", "cia, the machine server")
            },
        },
        Case {
            name: "halt-by-a-key-lifted-before-it-was-seen",
            says: "a halt of that key that was kept back until after the resume",
            bend: |scene| {
                let keys = [ssh_key("cia").public_key().clone()];
                let secret = scene.org.halt_of(everything());
                scene.org.resume(Lifts::Keys(keys.into()), Cuts::All(Nothing), |_| ());
                scene.job.resume = scene.org.chain.resume();
                brought(scene, &sign(&secret, &["cia"]))
            },
            expected: |_| accepted(),
        },
        Case {
            name: "halt-by-a-key-lifted-that-names-no-policy-held",
            says: "the thief of a key halts under an invented policy, and the key is lifted under the one held",
            bend: |scene| {
                let mut halt = scene.org.halt_of(everything());
                halt.policy = Some(Sha256([9; 32]));
                scene.org.take(countersign_trust::delivery::News::Halt(sign(&halt, &["cia"])));
                let keys = [ssh_key("cia").public_key().clone()];
                scene.org.resume(Lifts::Keys(keys.into()), Cuts::All(Nothing), |_| ());
                scene.job.resume = scene.org.chain.resume();
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "halt-by-a-key-again-under-a-later-policy",
            says: "a key that was lifted may halt again under a later policy",
            bend: |scene| {
                let keys = [ssh_key("cia").public_key().clone()];
                scene.org.resume(Lifts::Keys(keys.into()), Cuts::All(Nothing), |_| ());
                scene.org.decide(|_| ());
                scene.job = scene.org.job();
                scene.halt(everything(), "cia");
                scene.bundle()
            },
            expected: |scene| halted(scene.newest(), "the whole organization", "cia"),
        },
        Case {
            name: "halt-sent-again-after-the-resume",
            says: "the server brings the halt once more",
            bend: |scene| {
                let halt = scene.halt(everything(), "cia");
                scene.lift([halt], nothing());
                let again = scene.org.news[0].to_string();
                let mut bundle = scene.bundle();
                bundle.chain.push(again);
                bundle
            },
            expected: |_| accepted(),
        },
        Case {
            name: "halt-lifted-that-one-beacon-still-names",
            says: "one lying beacon of four names a halt that was lifted",
            bend: |scene| {
                let halt = scene.halt(everything(), "cia");
                scene.lift([halt], nothing());
                let mut bundle = scene.bundle();
                bundle.clears = scene.org.clears(CHALLENGE, &BEACONS);
                bundle.clears[0] = scene.clear("beacon-1", |clear| {
                    clear.halts.insert(halt);
                });
                bundle
            },
            expected: |_| accepted(),
        },
    ]
}

/// The vendor halts this agent, in an organization that has such halts on another word than `auto`.
fn not_obeyed(scene: &mut Scene, halts: VendorHalts) -> Bundle {
    scene.found(|policy| policy.vendor.halts = halts);
    let mut halt = scene.org.halt_of(agent_below("9.9.9"));
    (halt.org, halt.policy) = (None, None);
    brought(scene, &sign(&halt, &["vendor"]))
}

/// A resume lifts all that these keys halted, and the job was signed after it.
fn resumed_by(scene: &mut Scene, keys: &[&str]) {
    let keys = keys.iter().map(|key| ssh_key(key).public_key().clone()).collect();
    scene.org.resume(Lifts::Keys(keys), Cuts::All(Nothing), |_| ());
    scene.job.resume = scene.org.chain.resume();
}
