//! Attacks by who signed.

use super::play::{bent, refused, stolen, tries, twin_runs};
use super::{Attack, How, Promise};
use crate::organization::{person, sign, ssh_key, word};
use crate::rehearsal::story::Story;
use crate::rehearsal::{Setup, World};

/// In the order of the list.
pub fn attacks() -> Vec<Attack> {
    vec![
        Attack {
            name: "one-person-with-two-keys",
            says: "Anna alone signs with both of her keys, as if she were two people.",
            promise: Promise::Signed,
            how: vec![
                How::Virtual(two_keys),
                How::Vectors(&[
                    "signatures-one-person-two-keys",
                    "policy-one-person-two-keys",
                    "accepted-spare-key",
                ]),
            ],
        },
        Attack {
            name: "requester-as-approver",
            says: "Anna asks for a job and is also the one who approves it.",
            promise: Promise::Signed,
            how: vec![
                How::Virtual(own_approver),
                How::Vectors(&["signatures-requester-as-approver", "signatures-requester-alone"]),
            ],
        },
        Attack {
            name: "a-key-under-two-types",
            says: "A policy lists one key as a person's and as a machine's, so that one signature speaks for two.",
            promise: Promise::Signed,
            how: vec![
                How::Virtual(two_types),
                How::Vectors(&[
                    "policy-key-of-person-and-machine",
                    "policy-key-twice",
                    "clears-by-a-witness-key",
                ]),
            ],
        },
        Attack {
            name: "no-presence",
            says: "Malware on Bo's computer has his security key sign while nobody touches it.",
            promise: Promise::Signed,
            how: vec![How::Vectors(&[
                "signatures-untouched",
                "signatures-without-presence",
                "signatures-without-verification",
                "signatures-property-lent-by-another-key",
                "accepted-touched-and-verified",
            ])],
        },
        Attack {
            name: "foreign-origin",
            says: "A page of the thief's asks Bo's passkey for a signature.",
            promise: Promise::Signed,
            how: vec![How::Real(&[
                ("countersign-trust", "security_keys::a_passkeys_flags_page_and_numbers_must_fit"),
                ("countersign-trust", "security_keys::a_passkey_of_another_relying_party_is_refused"),
            ])],
        },
        Attack {
            name: "cross-origin",
            says: "A page of the thief's holds the right page in a frame and asks through it.",
            promise: Promise::Signed,
            how: vec![How::Real(&[("countersign-trust", "security_keys::client_data_has_one_beginning")])],
        },
        Attack {
            name: "same-origin",
            says: "A stolen server asks for a login and gets an approval from a passkey of its own pages.",
            promise: Promise::Signed,
            how: vec![How::Vectors(&[
                "signatures-of-the-same-origin",
                "signatures-alone-of-the-same-origin",
                "signatures-one-of-the-same-origin",
                "policy-quorum-of-the-servers-own-pages",
            ])],
        },
    ]
}

fn two_keys() -> Story {
    let policy = |policy: &mut countersign_trust::statement::policy::Policy| {
        policy.people.insert(word("anna"), person(&["anna", "anna spare"]));
    };
    let mut world = World::found(Setup { machines: 1, policy, ..Setup::default() });
    world.steal_server();
    let job = bent(&mut world, |_| ());
    let hash = tries(&mut world, sign(&job, &["anna", "anna spare"]), "signed with both keys of Anna's");
    refused(&world, 0, &hash, "0 of 1 approvals");
    twin_runs(&mut world);
    world.story
}

fn own_approver() -> Story {
    let mut world = stolen(1);
    let job = bent(&mut world, |_| ());
    let hash = tries(&mut world, sign(&job, &["anna"]), "that Anna asked for and nobody else signed");
    refused(&world, 0, &hash, "0 of 1 approvals");
    let job = bent(&mut world, |job| job.requester = word("bo"));
    let hash = tries(&mut world, sign(&job, &["anna", "cia"]), "in Bo's name, which he has not signed");
    refused(&world, 0, &hash, "not signed by its requester bo");
    twin_runs(&mut world);
    world.story
}

fn two_types() -> Story {
    let mut world = World::new(1);
    let mut next = world.next_policy();
    next.halt.machines.insert(word("server"), ssh_key("anna").public_key().clone());
    world.tell("Anna and Bo", "sign a policy by which the server's halt key is Anna's own key");
    let logged = world.logged(sign(&next, &["anna", "bo"]));
    let news = countersign_trust::delivery::News::Policy(logged);
    let refusal = news.offer(&mut world.chain.clone()).unwrap_err().to_string();
    world.tell("everybody", format!("refuses it: {refusal}"));
    world.tell_all(&news);
    world.pass(5);
    assert!(refusal.contains("stands twice"), "{refusal}");
    let held = world.machines[0].device().ledger().chain().unwrap().policy().body.number;
    assert_eq!(held, 1, "the machine took it");
    let job = world.ordinary(&[0], "an honest job");
    world.pass(5);
    super::play::ran_once(&world, 0, &job);
    world.story
}
