//! What a device runs.

use std::collections::BTreeMap;

use countersign_trust::ledger::StepState;
use countersign_trust::statement::job::{Program, Run, Script, Step, TargetLabels, Targets, Wave, Who};
use countersign_trust::statement::policy::{Hours, Property};

use crate::keys;
use crate::organization::{NOON_MINUTE, device_id, labels, names, script, word};
use crate::scene::{Case, accepted};

pub fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "accepted-good",
            says: "Anna asks, Bo approves, it is logged and witnessed, and three beacons know of no halt",
            bend: |scene| scene.bundle(),
            expected: |_| accepted(),
        },
        Case {
            name: "accepted-program",
            says: "a program with its arguments instead of a script",
            bend: |scene| {
                let Step::Script(step) = script(&[]) else { panic!("no script") };
                let program = Program { path: word("/usr/bin/systemctl"), arguments: vec![word("restart")] };
                scene.job.steps = vec![Step::Script(Script { run: Run::Program(program), ..step })];
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "accepted-spare-key",
            says: "an approver signs with the second of two keys",
            bend: |scene| {
                scene.found(|policy| {
                    policy.people.insert(word("bo"), crate::organization::person(&["bo", "bo spare"]));
                });
                scene.keys = vec!["anna", "bo spare"];
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "accepted-rsa-key",
            says: "an approver signs with an RSA key of 3072 bits",
            bend: |scene| {
                scene.found(|policy| keys::give(policy, "cia", keys::rsa_key(), false));
                let bundle = scene.bundle();
                let signed = keys::sign_also(&scene.job, &["anna"], [keys::rsa_signature(&scene.text())]);
                scene.with_job(bundle, signed)
            },
            expected: |_| accepted(),
        },
        Case {
            name: "accepted-touched-and-verified",
            says: "the rule asks for verification, and both people's security keys checked a PIN",
            bend: |scene| {
                scene.found(|policy| {
                    keys::give(policy, "anna", keys::token_key("anna token"), false);
                    keys::give(policy, "bo", keys::token_key("bo token"), false);
                    policy.rules[0].properties = [Property::Presence, Property::Verification].into();
                });
                let bundle = scene.bundle();
                let text = scene.text();
                let signatures = ["anna token", "bo token"].map(|key| keys::token_signature(key, &text, 5));
                let signed = keys::sign_also(&scene.job, &[], signatures);
                scene.with_job(bundle, signed)
            },
            expected: |_| accepted(),
        },
        Case {
            name: "accepted-bad-signature-beside-good-ones",
            says: "a third signature is not of this text: it counts for nothing and does no harm",
            bend: |scene| {
                let bundle = scene.bundle();
                let other = crate::organization::ssh_key("cia").sign("job.v1@countersign", b"other").unwrap();
                let signed = keys::sign_also(&scene.job, &["anna", "bo"], [other]);
                scene.with_job(bundle, signed)
            },
            expected: |_| accepted(),
        },
        Case {
            name: "accepted-bad-line-under-a-clear",
            says: "a Clear bears a second line by the same beacon that does not verify",
            bend: |scene| {
                let mut bundle = scene.bundle();
                let other = crate::organization::note_key("beacon-1").sign("other\n").unwrap();
                let good = bundle.clears[0].clear.signatures()[0].clone();
                let text = bundle.clears[0].clear.text().to_owned();
                bundle.clears[0].clear = countersign_trust::note::Note::new(text, other).unwrap();
                bundle.clears[0].clear.add(good).unwrap();
                bundle
            },
            expected: |_| accepted(),
        },
        Case {
            name: "accepted-by-labels",
            says: "targets by label, all of which the device carries, the site among them",
            bend: |scene| {
                let wanted = labels(&[("class", "till"), ("site", "Smygehamn 12")]);
                let as_of = scene.org.log.tree.size();
                scene.job.targets = Targets::Labels(TargetLabels { labels: wanted, as_of, joins: false });
                let mut bundle = scene.bundle();
                bundle.target = None;
                bundle
            },
            expected: |_| accepted(),
        },
        Case {
            name: "accepted-enrolled-later-where-joins",
            says: "targets by label, enrolled after the author looked, and the job takes those who join",
            bend: |scene| {
                let targets = TargetLabels { labels: BTreeMap::new(), as_of: 1, joins: true };
                scene.job.targets = Targets::Labels(targets);
                let mut bundle = scene.bundle();
                bundle.target = None;
                bundle
            },
            expected: |_| accepted(),
        },
        Case {
            name: "accepted-second-step",
            says: "the first of two steps has ended well",
            bend: |scene| {
                scene.job.steps.push(script(&["echo done"]));
                let mut bundle = scene.bundle();
                bundle.now.steps = vec![(0, 0, StepState::EndedWell)];
                bundle
            },
            expected: |_| accepted(),
        },
        Case {
            name: "accepted-within-hours",
            says: "the rule allows Wednesday from noon to one",
            bend: |scene| {
                scene.found(|policy| {
                    policy.rules[0].hours = vec![Hours { from: NOON_MINUTE, until: NOON_MINUTE + 60 }];
                });
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "accepted-every-row",
            says: "two rows fit this device, one of them asks for a boss besides, and both are met",
            bend: |scene| {
                scene.found(|policy| {
                    policy.roles.insert(word("boss"), names(&["bo", "cia"]));
                    let mut second = policy.rules[0].clone();
                    second.labels = labels(&[("region", "south")]);
                    second.approvers = names(&["boss"]);
                    policy.rules.push(second);
                });
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "accepted-first-wave",
            says: "the device is in the first of two waves, which has begun",
            bend: |scene| {
                scene.job.waves = vec![
                    Wave { who: Who::Share(9_999), soak: 0 },
                    Wave { who: Who::Share(10_000), soak: 600 },
                ];
                let me = device_id(crate::organization::TILLS[0]);
                let wave = scene.job.wave_of(&scene.hash(), &me, &scene.labels());
                assert_eq!(wave, 0);
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "accepted-just-enough-waves",
            says: "the rule asks for one wave; a job that names none has one",
            bend: |scene| {
                scene.found(|policy| policy.rules[0].waves = 1);
                scene.bundle()
            },
            expected: |_| accepted(),
        },
    ]
}
