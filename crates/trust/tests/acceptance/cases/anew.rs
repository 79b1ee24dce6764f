//! Enrolled anew: other labels, the end, and what an older enrollment is worth.

use countersign_trust::chain::ChainError;
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::join::EnrollError;
use countersign_trust::statement::enroll::{Device, Enroll, Retire, What};
use countersign_trust::statement::halt::Scope;
use countersign_trust::statement::job::{TargetLabels, Targets};
use countersign_trust::statement::policy::Policy;
use countersign_trust::verify::Refusal;

use crate::bundle::Bundle;
use crate::organization::{TILLS, device_id, device_signer, labels, names, sign, word};
use crate::scene::{Case, Expected, Scene, accepted, refused};

/// The next enrollment of the device in question: in the north, where everything else is as it was.
fn north(scene: &Scene) -> Device {
    Device {
        key: device_signer(TILLS[0]).verifier().clone(),
        host_key: word(""),
        site: word("Smygehamn 12"),
        labels: labels(&[("class", "till"), ("region", "north")]),
        seq: 1,
        previous: Some(scene.enrolled.enroll.signed.hash()),
    }
}

fn logged(scene: &mut Scene, what: What, keys: &[&str]) -> String {
    let enroll = Enroll { org: scene.org.org, id: scene.org.id(), what };
    scene.org.log(sign(&enroll, keys)).to_string()
}

/// The bundle with one more enrollment, changed so and signed by these.
fn anew(scene: &mut Scene, keys: &[&str], edit: impl FnOnce(&mut Device)) -> Bundle {
    let mut device = north(scene);
    edit(&mut device);
    let text = logged(scene, What::Device(device), keys);
    let mut bundle = scene.bundle();
    bundle.anew.push(text);
    bundle
}

/// Scripts in the south take an approval, in the north none.
fn only_south_approves(policy: &mut Policy) {
    let mut north = policy.rules[0].clone();
    policy.rules[0].labels = labels(&[("region", "south")]);
    north.labels = labels(&[("region", "north")]);
    north.approvals = 0;
    policy.rules.push(north);
}

fn hash_of(envelope: &str) -> Sha256 {
    countersign_trust::envelope::Logged::from_text(envelope).unwrap().signed.hash()
}

fn held(scene: &Scene) -> Sha256 {
    scene.enrolled.enroll.signed.hash()
}

fn not_next(seq: u64, previous: Option<Sha256>, scene: &Scene) -> Expected {
    accepted().enrolling(0, EnrollError::NotNext { seq, previous, held_seq: 0, held: held(scene) })
}

pub fn cases() -> Vec<Case> {
    [good(), bent()].into_iter().flatten().collect()
}

fn good() -> Vec<Case> {
    vec![
        Case {
            name: "anew-with-another-label",
            says: "moved to the north, and the rule asks nothing of northern tills",
            bend: |scene| {
                scene.found(|policy| policy.rules[0].labels = labels(&[("class", "till")]));
                anew(scene, &["anna", "bo"], |_| ())
            },
            expected: |_| accepted(),
        },
        Case {
            name: "anew-under-another-rule",
            says: "moved to where no rule fits",
            bend: |scene| {
                scene.found(|policy| policy.rules[0].labels = labels(&[("region", "south")]));
                anew(scene, &["anna", "bo"], |_| ())
            },
            expected: |_| refused(Refusal::NoRule { policy: 1, kind: "script" }),
        },
        Case {
            name: "anew-retired",
            says: "the device has left, for ever",
            bend: |scene| {
                let text =
                    logged(scene, What::Retire(Retire { device: device_id(TILLS[0]) }), &["anna", "bo"]);
                let mut bundle = scene.bundle();
                bundle.anew.push(text);
                bundle
            },
            expected: |scene| {
                let mut again = Scene::good();
                let text =
                    logged(&mut again, What::Retire(Retire { device: device_id(TILLS[0]) }), &["anna", "bo"]);
                let _ = scene;
                let hash = countersign_trust::envelope::Logged::from_text(&text).unwrap().signed.hash();
                refused(Refusal::Retired(hash))
            },
        },
        Case {
            name: "anew-after-the-end",
            says: "who has left takes no other enrollment, whoever signed it",
            bend: |scene| {
                let gone = What::Retire(Retire { device: device_id(TILLS[0]) });
                let back = What::Device(north(scene));
                let texts = [gone, back].map(|what| logged(scene, what, &["anna", "bo"]));
                let mut bundle = scene.bundle();
                bundle.anew.extend(texts);
                bundle
            },
            expected: |_| {
                let mut again = Scene::good();
                let gone = What::Retire(Retire { device: device_id(TILLS[0]) });
                let hash = hash_of(&logged(&mut again, gone, &["anna", "bo"]));
                refused(Refusal::Retired(hash)).enrolling(1, EnrollError::Retired(hash))
            },
        },
        Case {
            name: "anew-retired-while-one-who-signed-is-halted",
            says: "Bo is halted, and signed the device's end: a stop counts, whoever is stopped",
            bend: |scene| {
                let gone = What::Retire(Retire { device: device_id(TILLS[0]) });
                let text = logged(scene, gone, &["anna", "bo"]);
                scene.halt(Scope::Person(word("bo")), "cia");
                let mut bundle = scene.bundle();
                bundle.anew.push(text);
                bundle
            },
            expected: |_| {
                let mut again = Scene::good();
                let gone = What::Retire(Retire { device: device_id(TILLS[0]) });
                refused(Refusal::Retired(hash_of(&logged(&mut again, gone, &["anna", "bo"]))))
            },
        },
        Case {
            name: "anew-then-later-than-the-job-knew",
            says: "standing work for those enrolled before its author looked: the leaf that counts is that of the newest enrollment",
            bend: |scene| {
                let as_of = scene.org.log.tree.size();
                let till = labels(&[("class", "till")]);
                scene.job.targets = Targets::Labels(TargetLabels { labels: till, as_of, joins: false });
                anew(scene, &["anna", "bo"], |_| ())
            },
            expected: |_| refused(Refusal::EnrolledLater { mine: 3, as_of: 3 }),
        },
        Case {
            name: "anew-relabelled-by-enough-for-both-rules",
            says: "the label decides whether an approval is asked: signed by one who may ask and one who may approve",
            bend: |scene| {
                scene.found(only_south_approves);
                anew(scene, &["anna", "bo"], |_| ())
            },
            expected: |_| accepted(),
        },
        Case {
            name: "anew-relabelled-past-a-rule",
            says: "a rule reads the label that changes, and fits neither where it stood nor where it stands: its approvers have no say",
            bend: |scene| {
                scene.found(|policy| {
                    let mut west = policy.rules[0].clone();
                    west.labels = labels(&[("region", "west")]);
                    policy.roles.insert(word("chief"), names(&["cia"]));
                    west.approvers = names(&["chief"]);
                    policy.rules.push(west);
                });
                anew(scene, &["anna", "bo"], |_| ())
            },
            expected: |_| accepted(),
        },
    ]
}

fn bent() -> Vec<Case> {
    vec![
        Case {
            name: "anew-relabelled-to-where-nobody-approves",
            says: "those who enroll would move it to where no approval is asked: they may not approve there where it stands",
            bend: |scene| {
                scene.found(|policy| {
                    only_south_approves(policy);
                    policy.roles.insert(word("clerk"), names(&["anna", "bo"]));
                    policy.quorums.enroll.role = word("clerk");
                    policy.roles.insert(word("chief"), names(&["cia"]));
                    policy.rules[0].approvers = names(&["chief"]);
                });
                scene.keys = vec!["anna", "cia"];
                anew(scene, &["anna", "bo"], |_| ())
            },
            expected: |_| {
                let relabels = EnrollError::Relabels { label: word("region"), rule: 1, policy: 1 };
                accepted().enrolling(0, relabels)
            },
        },
        Case {
            name: "anew-relabelled-and-a-later-policy-asks-for-more",
            says: "enough people signed for the rules in force at its leaf; a later policy has another rule that reads the label",
            bend: |scene| {
                let what = What::Device(north(scene));
                let text = logged(scene, what, &["anna", "bo"]);
                scene.org.decide(|policy| {
                    let mut south = policy.rules[0].clone();
                    south.labels = labels(&[("region", "south")]);
                    policy.roles.insert(word("chief"), names(&["cia"]));
                    south.approvers = names(&["chief"]);
                    policy.rules.push(south);
                });
                scene.keys = vec!["anna", "cia"];
                let mut bundle = scene.bundle();
                bundle.anew.push(text);
                bundle
            },
            expected: |_| accepted(),
        },
        Case {
            name: "anew-by-one-who-is-halted-since",
            says: "Bo is halted, and had signed it: whoever reads it later cannot tell that the halt came first",
            bend: |scene| {
                let what = What::Device(north(scene));
                let text = logged(scene, what, &["anna", "bo"]);
                scene.halt(Scope::Person(word("bo")), "cia");
                scene.keys = vec!["anna", "cia"];
                let mut bundle = scene.bundle();
                bundle.anew.push(text);
                bundle
            },
            expected: |_| accepted(),
        },
        Case {
            name: "anew-a-batch",
            says: "the device is brought its own batch once more: that enrolls nobody anew",
            bend: |scene| {
                let batch = scene.enrolled.enroll.to_string();
                let mut bundle = scene.bundle();
                bundle.anew.push(batch);
                bundle
            },
            expected: |_| accepted().enrolling(0, EnrollError::NotThat("one device")),
        },
        Case {
            name: "anew-older",
            says: "an enrollment that names nothing held: the server shows it an older one",
            bend: |scene| anew(scene, &["anna", "bo"], |device| device.previous = None),
            expected: |scene| not_next(1, None, scene),
        },
        Case {
            name: "anew-not-higher",
            says: "its number is that of the one held",
            bend: |scene| anew(scene, &["anna", "bo"], |device| device.seq = 0),
            expected: |scene| not_next(0, Some(held(scene)), scene),
        },
        Case {
            name: "anew-twice",
            says: "the second follows the first, and then the first is brought again",
            bend: |scene| {
                let first = north(scene);
                let text = logged(scene, What::Device(first), &["anna", "bo"]);
                let mut bundle = scene.bundle();
                bundle.anew = vec![text.clone(), text];
                bundle
            },
            expected: |scene| {
                let mut again = Scene::good();
                let first = north(&again);
                let text = logged(&mut again, What::Device(first), &["anna", "bo"]);
                let hash = countersign_trust::envelope::Logged::from_text(&text).unwrap().signed.hash();
                let previous = Some(held(scene));
                let error = EnrollError::NotNext { seq: 1, previous, held_seq: 1, held: hash };
                accepted().enrolling(1, error)
            },
        },
        Case {
            name: "anew-another-device",
            says: "another till's enrollment",
            bend: |scene| {
                anew(scene, &["anna", "bo"], |device| device.key = device_signer(TILLS[1]).verifier().clone())
            },
            expected: |_| {
                let other = |name| -> DeviceId { device_id(name) };
                let error = EnrollError::OtherDevice { mine: other(TILLS[0]), found: other(TILLS[1]) };
                accepted().enrolling(0, error)
            },
        },
        Case {
            name: "anew-the-end-of-another-device",
            says: "another till has left: this one stays",
            bend: |scene| {
                let gone = What::Retire(Retire { device: device_id(TILLS[1]) });
                let text = logged(scene, gone, &["anna", "bo"]);
                let mut bundle = scene.bundle();
                bundle.anew.push(text);
                bundle
            },
            expected: |_| {
                let error =
                    EnrollError::OtherDevice { mine: device_id(TILLS[0]), found: device_id(TILLS[1]) };
                accepted().enrolling(0, error)
            },
        },
        Case {
            name: "anew-by-too-few",
            says: "signed by one of the two it takes to enroll",
            bend: |scene| anew(scene, &["anna"], |_| ()),
            expected: |_| {
                let error = ChainError::Quorum { got: 1, need: 2, role: word("owner"), policy: 1 };
                accepted().enrolling(0, EnrollError::Chain(error))
            },
        },
    ]
}
