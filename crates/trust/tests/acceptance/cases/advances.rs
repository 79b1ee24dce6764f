//! When the next wave starts: by share, by label, and once people have looked.

use std::num::NonZeroU8;

use countersign_trust::chain::ChainError;
use countersign_trust::checkpoint::LogError;
use countersign_trust::envelope::Logged;
use countersign_trust::ids::Sha256;
use countersign_trust::merkle::Tree;
use countersign_trust::statement::advance::Advance;
use countersign_trust::statement::halt::Scope;
use countersign_trust::statement::job::{JobError, TargetLabels, Targets, Wave, Who};
use countersign_trust::statement::policy::{Policy, Quorum};
use countersign_trust::statement::resume::{Cuts, Lifts};
use countersign_trust::text::Nothing;
use countersign_trust::time::Time;
use countersign_trust::verify::{AdvanceFault, Refusal};

use crate::bundle::Bundle;
use crate::cases::time::in_wave;
use crate::organization::{NOON, Organization, labels, person, sign, word};
use crate::scene::{Case, Expected, Scene, accepted, refused};

/// What Bo signs once the first wave has ended well, for the job with this hash.
fn advance_of(org: &mut Organization, job: Sha256) -> Advance {
    Advance {
        org: org.org,
        id: org.id(),
        policy: org.chain.policy().hash,
        resume: org.chain.resume(),
        job,
        wave: 2,
        root: Tree::default().root(),
        well: 0,
        failed: 0,
        missing: 1,
        why: word("The first tills print the right date."),
    }
}

/// The second wave is due, and people must say so: more targets than time alone sets free.
fn waits(scene: &mut Scene) {
    scene.found(many);
    in_wave(scene, 1, [0, 60]);
}

/// Two targets are many, and one operator sets a wave free.
fn many(policy: &mut Policy) {
    policy.limits.auto_waves_max = 2;
    policy.quorums.promote = Quorum { role: word("operator"), need: NonZeroU8::MIN };
}

/// The bundle with an advance signed by these and logged.
fn advanced(scene: &mut Scene, keys: &[&str], edit: impl FnOnce(&mut Advance)) -> Bundle {
    let hash = scene.hash();
    let mut advance = advance_of(&mut scene.org, hash);
    edit(&mut advance);
    let logged = scene.org.log(sign(&advance, keys));
    let mut bundle = scene.bundle();
    bundle.advances.push(logged.to_string());
    bundle
}

fn fault(fault: AdvanceFault) -> Expected {
    refused(Refusal::Advance { wave: 2, fault })
}

pub fn cases() -> Vec<Case> {
    [labelled(), good(), bent()].into_iter().flatten().collect()
}

fn by_label(wanted: &[(&str, &str)], soak: u64) -> Vec<Wave> {
    let first = Wave { who: Who::Labels(labels(wanted)), soak: 0 };
    vec![first, Wave { who: Who::Share(10_000), soak }]
}

fn labelled() -> Vec<Case> {
    vec![
        Case {
            name: "wave-first-by-label",
            says: "the first wave is of the region that the device is in",
            bend: |scene| {
                scene.job.waves = by_label(&[("region", "south"), ("class", "till")], 3_600);
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "wave-first-of-a-job-by-label",
            says: "the job's targets are labels, and waves after the first wait for people: the first does not",
            bend: |scene| {
                let as_of = scene.org.log.tree.size();
                let till = labels(&[("class", "till")]);
                scene.job.targets = Targets::Labels(TargetLabels { labels: till, as_of, joins: false });
                scene.job.waves = by_label(&[("region", "south")], 3_600);
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "wave-of-as-many-as-time-sets-free",
            says: "the second wave is due, and there are exactly as many targets as need no people",
            bend: |scene| {
                scene.found(|policy| policy.limits.auto_waves_max = 3);
                in_wave(scene, 1, [0, 60]);
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "wave-first-by-another-label",
            says: "the first wave is of another region: the device's turn comes with the rest",
            bend: |scene| {
                scene.job.waves = by_label(&[("region", "north"), ("class", "till")], 3_600);
                scene.bundle()
            },
            expected: |_| {
                let starts = Time(NOON - 598 + 3_600);
                refused(Refusal::WaveNotYet { wave: 2, starts, lo: Time(NOON + 1) })
            },
        },
        Case {
            name: "wave-too-early-and-without-an-advance",
            says: "its soak has not passed and nobody has set it free: time is asked first",
            bend: |scene| {
                scene.found(many);
                in_wave(scene, 1, [0, 3_600]);
                scene.bundle()
            },
            expected: |_| {
                let starts = Time(NOON - 598 + 3_600);
                refused(Refusal::WaveNotYet { wave: 2, starts, lo: Time(NOON + 1) })
            },
        },
        Case {
            name: "wave-of-nobody-in-particular",
            says: "a wave by label that names none",
            bend: |scene| {
                scene.job.waves = by_label(&[], 3_600);
                scene.bundle()
            },
            expected: |_| refused(Refusal::Job(JobError::Waves(1))),
        },
        Case {
            name: "wave-by-label-comes-last",
            says: "who is in no wave would never have a turn",
            bend: |scene| {
                scene.job.waves = by_label(&[("region", "south")], 0);
                scene.job.waves.reverse();
                scene.bundle()
            },
            expected: |_| refused(Refusal::Job(JobError::Waves(1))),
        },
    ]
}

fn good() -> Vec<Case> {
    vec![
        Case {
            name: "advance-good",
            says: "Bo has looked at the first wave and sets the second one free",
            bend: |scene| {
                waits(scene);
                advanced(scene, &["bo"], |_| ())
            },
            expected: |_| accepted(),
        },
        Case {
            name: "advance-of-another-wave-beside-it",
            says: "two advances, the first for the third wave",
            bend: |scene| {
                waits(scene);
                let other = advanced(scene, &["bo"], |advance| advance.wave = 3);
                let mut bundle = advanced(scene, &["bo"], |_| ());
                bundle.advances.insert(0, other.advances[0].clone());
                bundle
            },
            expected: |_| accepted(),
        },
        Case {
            name: "advance-by-the-requester-where-nobody-approves",
            says: "one person decides alone: no approvals are asked, so the requester may look too",
            bend: |scene| {
                scene.found(|policy| {
                    many(policy);
                    policy.rules[0].approvals = 0;
                });
                in_wave(scene, 1, [0, 60]);
                advanced(scene, &["anna"], |_| ())
            },
            expected: |_| accepted(),
        },
        Case {
            name: "advance-does-not-replace-the-soak",
            says: "signed at once, and the second wave's soak time is not over",
            bend: |scene| {
                scene.found(many);
                in_wave(scene, 1, [0, 601]);
                advanced(scene, &["bo"], |_| ())
            },
            expected: |_| {
                let (starts, lo) = (Time(NOON + 3), Time(NOON + 1));
                refused(Refusal::WaveNotYet { wave: 2, starts, lo })
            },
        },
        Case {
            name: "advance-for-targets-by-label",
            says: "targets by label always wait for a person, and Bo has said so",
            bend: |scene| {
                scene.found(many);
                let wanted = TargetLabels { labels: labels(&[("class", "till")]), as_of: 100, joins: false };
                scene.job.targets = Targets::Labels(wanted);
                in_wave(scene, 1, [0, 60]);
                advanced(scene, &["bo"], |_| ())
            },
            expected: |_| accepted(),
        },
    ]
}

fn bent() -> Vec<Case> {
    vec![
        Case {
            name: "advance-of-another-wave",
            says: "for the third wave only",
            bend: |scene| {
                waits(scene);
                advanced(scene, &["bo"], |advance| advance.wave = 3)
            },
            expected: |_| refused(Refusal::WaveNeedsAdvance { wave: 2 }),
        },
        Case {
            name: "advance-of-another-job",
            says: "for another job",
            bend: |scene| {
                waits(scene);
                advanced(scene, &["bo"], |advance| advance.job = Sha256([9; 32]))
            },
            expected: |_| refused(Refusal::WaveNeedsAdvance { wave: 2 }),
        },
        Case {
            name: "advance-of-another-organization",
            says: "for another organization",
            bend: |scene| {
                waits(scene);
                let other = countersign_trust::ids::OrgId([3; 32]);
                advanced(scene, &["bo"], |advance| advance.org = other)
            },
            expected: |scene| {
                let found = countersign_trust::ids::OrgId([3; 32]).to_string();
                fault(ChainError::Organization { expected: scene.org.org, found }.into())
            },
        },
        Case {
            name: "advance-by-the-requester-alone",
            says: "Anna asked for the job, and nobody else has looked",
            bend: |scene| {
                waits(scene);
                advanced(scene, &["anna"], |_| ())
            },
            expected: |_| fault(AdvanceFault::RequesterAlone(word("anna"))),
        },
        Case {
            name: "advance-by-strangers",
            says: "signed by nobody of any policy held",
            bend: |scene| {
                waits(scene);
                advanced(scene, &["mallory"], |_| ())
            },
            expected: |_| fault(ChainError::UnknownSigners.into()),
        },
        Case {
            name: "advance-by-one-who-may-not",
            says: "Dan is of no role that may set waves free",
            bend: |scene| {
                scene.found(|policy| {
                    many(policy);
                    policy.people.insert(word("dan"), person(&["dan"]));
                });
                in_wave(scene, 1, [0, 60]);
                advanced(scene, &["dan"], |_| ())
            },
            expected: |_| {
                fault(ChainError::Quorum { got: 0, need: 1, role: word("operator"), policy: 1 }.into())
            },
        },
        Case {
            name: "advance-by-one-dropped-since",
            says: "Cia has left by the newest policy",
            bend: |scene| {
                waits(scene);
                let mut bundle = advanced(scene, &["cia"], |_| ());
                scene.org.decide(|policy| {
                    policy.people.remove(&word("cia"));
                    policy
                        .roles
                        .values_mut()
                        .for_each(|people| people.retain(|person| *person != word("cia")));
                });
                let after = scene.bundle();
                bundle.chain = after.chain;
                bundle.clears = after.clears;
                bundle.job = after.job;
                bundle
            },
            expected: |_| {
                fault(ChainError::Quorum { got: 0, need: 1, role: word("operator"), policy: 2 }.into())
            },
        },
        Case {
            name: "advance-by-a-halted-person",
            says: "Bo, who set it free, was halted: Bo's signature counts for nothing",
            bend: |scene| {
                scene.found(many);
                scene.keys = vec!["anna", "cia"];
                in_wave(scene, 1, [0, 60]);
                scene.halt(Scope::Person(word("bo")), "cia");
                advanced(scene, &["bo"], |_| ())
            },
            expected: |_| {
                fault(ChainError::Quorum { got: 0, need: 1, role: word("operator"), policy: 1 }.into())
            },
        },
        Case {
            name: "advance-cut-by-a-resume",
            says: "a resume kept the job and cut all that was signed before it, the advance too",
            bend: |scene| {
                waits(scene);
                let hash = scene.hash();
                let old = advanced(scene, &["bo"], |_| ());
                scene.org.resume(Lifts::Halts([].into()), Cuts::All(Nothing), |resume| {
                    resume.keeps = [hash].into()
                });
                let mut bundle = scene.bundle();
                bundle.advances = old.advances;
                bundle
            },
            expected: |scene| fault(AdvanceFault::Cut(scene.newest())),
        },
        Case {
            name: "advance-names-a-resume-not-held",
            says: "nobody can say whether it is cut",
            bend: |scene| {
                waits(scene);
                advanced(scene, &["bo"], |advance| advance.resume = Some(Sha256([5; 32])))
            },
            expected: |_| fault(AdvanceFault::UnknownResume(Sha256([5; 32]))),
        },
        Case {
            name: "advance-names-a-policy-not-held",
            says: "nobody can say under what it was signed",
            bend: |scene| {
                waits(scene);
                advanced(scene, &["bo"], |advance| advance.policy = Sha256([5; 32]))
            },
            expected: |_| fault(AdvanceFault::UnknownPolicy(Sha256([5; 32]))),
        },
        Case {
            name: "advance-not-cosigned",
            says: "two of three witnesses have seen it",
            bend: |scene| {
                waits(scene);
                let hash = scene.hash();
                let signed = sign(&advance_of(&mut scene.org, hash), &["bo"]);
                let index = scene.org.log.append(&signed.leaf(&scene.org.org).unwrap());
                let proof = scene.org.log.proof(index, &["witness-1", "witness-2"]);
                let mut bundle = scene.bundle();
                bundle.advances.push(Logged { signed, proof }.to_string());
                bundle
            },
            expected: |_| {
                let need = NonZeroU8::new(3).unwrap();
                fault(ChainError::Log(LogError::Witnesses { found: 2, known: 4, need }).into())
            },
        },
        Case {
            name: "advance-signed-in-the-namespace-of-a-job",
            says: "an advance's text under a signature for a job: nobody has signed it as an advance",
            bend: |scene| {
                waits(scene);
                let hash = scene.hash();
                let text = countersign_trust::statement::write(&advance_of(&mut scene.org, hash)).0;
                let kind = countersign_trust::statement::Kind::Job;
                let signed = crate::organization::sign_text(text, kind, &["bo"]);
                let logged = scene.org.log(signed);
                let mut bundle = scene.bundle();
                bundle.advances.push(logged.to_string());
                bundle
            },
            expected: |_| fault(ChainError::UnknownSigners.into()),
        },
        Case {
            name: "advance-signed-as-a-job",
            says: "a job's text is no advance, whoever signed it for one",
            bend: |scene| {
                waits(scene);
                let text = scene.text();
                let kind = countersign_trust::statement::Kind::Advance;
                let signed = crate::organization::sign_text(text, kind, &["bo"]);
                let logged = scene.org.log(signed);
                let mut bundle = scene.bundle();
                bundle.advances.push(logged.to_string());
                bundle
            },
            expected: |scene| {
                let text = scene.text();
                let error = countersign_trust::statement::read::<Advance>(&text).unwrap_err();
                fault(ChainError::Statement(error).into())
            },
        },
    ]
}
