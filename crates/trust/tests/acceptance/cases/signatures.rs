//! Who signed, and what under.

use countersign_trust::envelope::{EnvelopeError, Signed};
use countersign_trust::sshsig::{SigError, SshSig};
use countersign_trust::sshwire::WireError;
use countersign_trust::statement::policy::Property;
use countersign_trust::verify::Refusal;

use crate::bundle::Bundle;
use crate::keys;
use crate::organization::{labels, names, person, sign, ssh_key, word};
use crate::scene::{Case, Expected, Scene, accepted, refused, unreadable};

fn approvals(got: usize, need: usize) -> Refusal {
    Refusal::Approvals { got, need, roles: vec![word("operator")] }
}

fn not_signed_by(requester: &str) -> Refusal {
    Refusal::NotSignedByRequester { requester: word(requester), policy: 1 }
}

/// Gives Anna and Bo security keys and asks for a property of them.
fn with_tokens(scene: &mut Scene, property: Property, same_origin: bool) {
    scene.found(|policy| {
        keys::give(policy, "anna", keys::token_key("anna token"), same_origin);
        keys::give(policy, "bo", keys::token_key("bo token"), same_origin);
        policy.rules[0].properties = [property].into();
    });
}

/// The good job, and one more signature that holds this.
fn beside(scene: &mut Scene, key: &[u8], inside: &[u8]) -> Bundle {
    let string = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    let parts: [&[u8]; 5] = [key, b"job.v1@countersign", b"", b"sha512", inside];
    let rest: Vec<u8> = parts.iter().flat_map(|part| string(part)).collect();
    let blob = [&b"SSHSIG\0\0\0\x01"[..], &rest].concat();
    let bundle = scene.bundle();
    let signed = keys::sign_also(&scene.job, &["anna", "bo"], [SshSig::from_blob(&blob).unwrap()]);
    scene.with_job(bundle, signed)
}

fn malformed(number: usize, error: SigError) -> Expected {
    unreadable(EnvelopeError::Signature { number, error })
}

pub fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "signatures-and-one-by-no-key",
            says: "anybody can add a signature by a key of no algorithm that counts: then there is nothing to read",
            bend: |scene| beside(scene, b"\0\0\0\x07ssh-dss", b"\0\0\0\x07ssh-dss\0\0\0\x01x"),
            expected: |_| malformed(1, SigError::NoAlgorithm { found: "ssh-dss".to_owned() }),
        },
        Case {
            name: "signatures-and-one-with-something-after-it",
            says: "the same by a known key, whose signature has four bytes after it",
            bend: |scene| {
                let inside = [&b"\0\0\0\x0bssh-ed25519\0\0\0\x40"[..], &[7; 64], b"more"].concat();
                beside(scene, ssh_key("cia").public_key().blob(), &inside)
            },
            expected: |_| malformed(1, SigError::Wire(WireError::Trailing { count: 4 })),
        },
        Case {
            name: "signatures-of-strangers",
            says: "two good signatures, by keys of no policy",
            bend: |scene| {
                scene.keys = vec!["mallory", "trudy"];
                scene.bundle()
            },
            expected: |_| refused(Refusal::UnknownSigners),
        },
        Case {
            name: "signatures-in-another-namespace",
            says: "Anna and Bo signed this text as a halt",
            bend: |scene| {
                let bundle = scene.bundle();
                let signed = keys::as_halt(&scene.text(), &["anna", "bo"]);
                scene.with_job(bundle, signed)
            },
            expected: |_| refused(Refusal::UnknownSigners),
        },
        Case {
            name: "signatures-in-two-namespaces",
            says: "one signature as a job, one as a halt",
            bend: |scene| {
                let mut bundle = scene.bundle();
                let text = scene.text();
                let halt = keys::as_halt(&text, &["bo"]).to_string();
                let job = sign(&scene.job, &["anna"]).to_string();
                let tail = bundle.job.split_once("c2sp.org").unwrap().1;
                let [one, other] = [&job, &halt].map(|signed| signed.strip_prefix(&text).unwrap());
                let halt_first = order(&["anna", "bo"])[0] == "bo";
                let both = if halt_first { [other, one] } else { [one, other] }.concat();
                bundle.job = format!("{text}{both}c2sp.org{tail}");
                bundle
            },
            expected: |_| {
                let second = if order(&["anna", "bo"])[0] == "bo" { "halt" } else { "job" };
                unreadable(EnvelopeError::Namespace(format!("{second}.v1@countersign")))
            },
        },
        Case {
            name: "signatures-out-of-order",
            says: "the same signatures, the later key first",
            bend: |scene| {
                let mut bundle = scene.bundle();
                let [first, last] = order(&["anna", "bo"]).map(|key| armored(scene, key));
                bundle.job = bundle.job.replacen(&format!("{first}{last}"), &format!("{last}{first}"), 1);
                bundle
            },
            expected: |_| unreadable(EnvelopeError::Order(2)),
        },
        Case {
            name: "signatures-twice-by-one-key",
            says: "Anna's signature stands twice",
            bend: |scene| {
                let mut bundle = scene.bundle();
                let anna = armored(scene, "anna");
                bundle.job = bundle.job.replacen(&anna, &format!("{anna}{anna}"), 1);
                bundle
            },
            expected: |_| {
                let second = if order(&["anna", "bo"])[0] == "anna" { 2 } else { 3 };
                unreadable(EnvelopeError::Order(second))
            },
        },
        Case {
            name: "signatures-of-another-text",
            says: "both signatures are good, under a text that differs in one letter",
            bend: |scene| {
                let bundle = scene.bundle();
                let signed = sign(&scene.job, &scene.keys);
                let text = scene.text().replacen("restart", "disable", 1);
                let signed = Signed::new(text, signed.signatures().to_vec()).unwrap();
                scene.with_job(bundle, signed)
            },
            expected: |_| refused(Refusal::UnknownSigners),
        },
        Case {
            name: "signatures-requester-alone",
            says: "nobody approved",
            bend: |scene| {
                scene.keys = vec!["anna"];
                scene.bundle()
            },
            expected: |_| refused(approvals(0, 1)),
        },
        Case {
            name: "signatures-one-approval-of-two",
            says: "the rule asks for two approvals",
            bend: |scene| {
                scene.found(|policy| policy.rules[0].approvals = 2);
                scene.bundle()
            },
            expected: |_| refused(approvals(1, 2)),
        },
        Case {
            name: "signatures-one-person-two-keys",
            says: "two approvals are asked, and Bo signed with both of his keys",
            bend: |scene| {
                scene.found(|policy| {
                    policy.people.insert(word("bo"), person(&["bo", "bo spare"]));
                    policy.rules[0].approvals = 2;
                });
                scene.keys = vec!["anna", "bo", "bo spare"];
                scene.bundle()
            },
            expected: |_| refused(approvals(1, 2)),
        },
        Case {
            name: "signatures-requester-as-approver",
            says: "Anna asked with one key and approved with her other",
            bend: |scene| {
                scene.found(|policy| {
                    policy.people.insert(word("anna"), person(&["anna", "anna spare"]));
                });
                scene.keys = vec!["anna", "anna spare"];
                scene.bundle()
            },
            expected: |_| refused(approvals(0, 1)),
        },
        Case {
            name: "signatures-not-by-the-requester",
            says: "Bo and Cia signed what Anna is said to ask for",
            bend: |scene| {
                scene.keys = vec!["bo", "cia"];
                scene.bundle()
            },
            expected: |_| refused(not_signed_by("anna")),
        },
        Case {
            name: "signatures-requester-of-another-role",
            says: "Anna is no operator",
            bend: |scene| {
                scene.found(|policy| {
                    policy.roles.insert(word("operator"), names(&["bo", "cia"]));
                });
                scene.bundle()
            },
            expected: |_| {
                let roles = vec![word("operator")];
                refused(Refusal::NotARequester { requester: word("anna"), roles, rule: 1, policy: 1 })
            },
        },
        Case {
            name: "signatures-approver-of-another-role",
            says: "two rows fit, and no owner approved as the second asks",
            bend: |scene| {
                scene.found(|policy| {
                    policy.roles.insert(word("boss"), names(&["cia"]));
                    let mut second = policy.rules[0].clone();
                    second.labels = labels(&[("region", "south")]);
                    second.approvers = names(&["boss"]);
                    policy.rules.push(second);
                });
                scene.bundle()
            },
            expected: |_| refused(Refusal::Approvals { got: 0, need: 1, roles: vec![word("boss")] }),
        },
        Case {
            name: "signatures-no-rule-for-the-kind",
            says: "the policy has a rule for files only",
            bend: |scene| {
                scene.found(|policy| policy.rules[0].kinds = names(&["file"]));
                scene.bundle()
            },
            expected: |_| refused(Refusal::NoRule { policy: 1, kind: "script" }),
        },
        Case {
            name: "signatures-no-rule-for-the-device",
            says: "the policy has a rule for the north only",
            bend: |scene| {
                scene.found(|policy| policy.rules[0].labels = labels(&[("region", "north")]));
                scene.bundle()
            },
            expected: |_| refused(Refusal::NoRule { policy: 1, kind: "script" }),
        },
        Case {
            name: "signatures-too-few-waves",
            says: "the rule asks for two waves, the job has none",
            bend: |scene| {
                scene.found(|policy| policy.rules[0].waves = 2);
                scene.bundle()
            },
            expected: |_| refused(Refusal::TooFewWaves { got: 1, need: 2, rule: 1 }),
        },
        Case {
            name: "signatures-without-verification",
            says: "the rule asks for verification; Bo's security key was touched, and asked for no PIN",
            bend: |scene| {
                with_tokens(scene, Property::Verification, false);
                let (bundle, text) = (scene.bundle(), scene.text());
                let tokens = [("anna token", 5), ("bo token", 1)];
                let signatures = tokens.map(|(key, flags)| keys::token_signature(key, &text, flags));
                let signed = keys::sign_also(&scene.job, &[], signatures);
                scene.with_job(bundle, signed)
            },
            expected: |_| refused(approvals(0, 1)),
        },
        Case {
            name: "signatures-without-presence",
            says: "the rule asks for presence, and Bo signed with a key in a file",
            bend: |scene| {
                with_tokens(scene, Property::Presence, false);
                let (bundle, text) = (scene.bundle(), scene.text());
                let anna = keys::token_signature("anna token", &text, 1);
                let signed = keys::sign_also(&scene.job, &["bo"], [anna]);
                scene.with_job(bundle, signed)
            },
            expected: |_| refused(approvals(0, 1)),
        },
        Case {
            name: "signatures-untouched",
            says: "nobody touched Bo's security key",
            bend: |scene| {
                scene.found(|policy| keys::give(policy, "bo", keys::token_key("bo token"), false));
                let (bundle, text) = (scene.bundle(), scene.text());
                let bo = keys::token_signature("bo token", &text, 0);
                let signed = keys::sign_also(&scene.job, &["anna"], [bo]);
                scene.with_job(bundle, signed)
            },
            expected: |_| refused(approvals(0, 1)),
        },
        Case {
            name: "signatures-of-the-same-origin",
            says: "both signed with keys that the server's own pages can ask for",
            bend: |scene| {
                with_tokens(scene, Property::Presence, true);
                let (bundle, text) = (scene.bundle(), scene.text());
                let signatures = ["anna token", "bo token"].map(|key| keys::token_signature(key, &text, 5));
                let signed = keys::sign_also(&scene.job, &[], signatures);
                scene.with_job(bundle, signed)
            },
            expected: |_| refused(Refusal::SameOrigin),
        },
        Case {
            name: "signatures-one-of-the-same-origin",
            says: "Anna signed with a key that the server's own pages can ask for, Bo with another",
            bend: |scene| {
                scene.found(|policy| keys::give(policy, "anna", keys::token_key("anna token"), true));
                let (bundle, text) = (scene.bundle(), scene.text());
                let anna = keys::token_signature("anna token", &text, 5);
                let signed = keys::sign_also(&scene.job, &["bo"], [anna]);
                scene.with_job(bundle, signed)
            },
            expected: |_| accepted(),
        },
        Case {
            name: "signatures-alone-of-the-same-origin",
            says: "no approval is asked, and Anna's key is one that the server's own pages can ask for",
            bend: |scene| {
                scene.found(|policy| {
                    keys::give(policy, "anna", keys::token_key("anna token"), true);
                    policy.rules[0].approvals = 0;
                });
                let (bundle, text) = (scene.bundle(), scene.text());
                let anna = keys::token_signature("anna token", &text, 5);
                let signed = keys::sign_also(&scene.job, &[], [anna]);
                scene.with_job(bundle, signed)
            },
            expected: |_| refused(not_signed_by("anna")),
        },
        Case {
            name: "signatures-property-lent-by-another-key",
            says: "one key of Anna's shows verification but is of the server's origin, her other one shows nothing",
            bend: |scene| {
                scene.found(|policy| {
                    keys::give(policy, "anna", keys::token_key("anna token"), true);
                    keys::give(policy, "bo", keys::token_key("bo token"), false);
                    policy.rules[0].approvals = 0;
                    policy.rules[0].properties = [Property::Verification].into();
                });
                let (bundle, text) = (scene.bundle(), scene.text());
                let token = keys::token_signature("anna token", &text, 5);
                let signed = keys::sign_also(&scene.job, &["anna"], [token]);
                scene.with_job(bundle, signed)
            },
            expected: |_| refused(not_signed_by("anna")),
        },
    ]
}

/// The keys as an envelope orders them.
fn order<const N: usize>(keys: &[&'static str; N]) -> [&'static str; N] {
    let mut keys = *keys;
    keys.sort_by_key(|key| countersign_trust::ids::Sha256::of(ssh_key(key).public_key().blob()));
    keys
}

/// One signature under the scene's job, as it stands in the envelope.
fn armored(scene: &Scene, key: &str) -> String {
    sign(&scene.job, &[key]).signatures()[0].to_armor()
}
