//! Attacks by the bytes of a statement.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_trust::ids::OrgId;
use countersign_trust::sshsig::SshSig;
use countersign_trust::statement::{Kind, write};

use super::play::{bent, bring_text, refused, stolen, tries, twin_runs, unreadable};
use super::{Attack, How, Promise};
use crate::organization::{sign, sign_text};
use crate::rehearsal::story::Story;

/// At the beginning of the list.
pub fn first() -> Vec<Attack> {
    vec![
        Attack {
            name: "unsigned",
            says: "The thief of the server brings a job that nobody of the organization signed, or that has no signature at all.",
            promise: Promise::Signed,
            how: vec![
                How::Virtual(unsigned),
                How::Vectors(&["job-by-nobody-known", "signatures-of-strangers"]),
            ],
        },
        Attack {
            name: "wrong-namespace",
            says: "The thief takes people's signatures under one kind of statement for signatures under another.",
            promise: Promise::Signed,
            how: vec![
                How::Virtual(namespace),
                How::Vectors(&["signatures-in-another-namespace", "signatures-in-two-namespaces"]),
            ],
        },
        Attack {
            name: "wrong-organization",
            says: "The thief brings a job that the same people signed for another organization.",
            promise: Promise::Signed,
            how: vec![How::Virtual(organization), How::Vectors(&["job-of-another-organization"])],
        },
        Attack {
            name: "wrong-algorithm",
            says: "The thief says that a signature was made with a weaker hash than it was.",
            promise: Promise::Signed,
            how: vec![
                How::Virtual(algorithm),
                How::Real(&[
                    ("countersign-trust", "software_keys::the_rsa_signature_of_a_weaker_hash_is_refused"),
                    ("countersign-trust", "software_keys::another_namespace_message_key_or_hash_is_refused"),
                ]),
            ],
        },
    ]
}

/// In the middle.
pub fn second() -> Vec<Attack> {
    vec![Attack {
        name: "trailing-bytes",
        says: "The thief writes something behind a signature, or behind the whole envelope.",
        promise: Promise::Signed,
        how: vec![
            How::Virtual(trailing),
            How::Real(&[(
                "countersign-trust",
                "software_keys::a_signature_with_any_byte_altered_cut_or_added_is_refused",
            )]),
        ],
    }]
}

/// After the replays.
pub fn third() -> Vec<Attack> {
    vec![
        Attack {
            name: "keys-reordered",
            says: "An author signs a text whose fields stand in another order, so that two programs may read it differently.",
            promise: Promise::Signed,
            how: vec![How::Virtual(reordered), How::Vectors(&["job-keys-reordered", "job-key-unknown"])],
        },
        Attack {
            name: "keys-repeated",
            says: "An author signs a text in which a field stands twice: people read the first, a program the last.",
            promise: Promise::Signed,
            how: vec![How::Virtual(repeated), How::Vectors(&["job-key-repeated"])],
        },
        Attack {
            name: "bidirectional-text",
            says: "An author hides in a script a character that turns the text around on the approver's screen.",
            promise: Promise::Signed,
            how: vec![
                How::Virtual(bidirectional),
                How::Vectors(&["job-with-bidirectional-text", "job-with-an-escape"]),
            ],
        },
        Attack {
            name: "oversize",
            says: "An author signs a statement larger than any may be.",
            promise: Promise::Signed,
            how: vec![How::Virtual(oversize), How::Vectors(&["job-too-large"])],
        },
    ]
}

fn unsigned() -> Story {
    let mut world = stolen(1);
    let job = bent(&mut world, |_| ());
    let by_thief = tries(&mut world, sign(&job, &["thief"]), "signed with a key of its own");
    refused(&world, 0, &by_thief, "no signature by a key of a policy this device holds");
    let job = bent(&mut world, |_| ());
    world.tell("a thief", "brings the same without any signature");
    let naked = bring_text(&mut world, sign(&job, &["thief"]), |text| {
        let (statement, rest) = text.split_once("-----BEGIN SSH SIGNATURE-----").unwrap();
        let (_, proof) = rest.split_once("-----END SSH SIGNATURE-----\n").unwrap();
        format!("{statement}{proof}")
    });
    unreadable(&world, 0, &naked, "the job: ");
    twin_runs(&mut world);
    world.story
}

fn namespace() -> Story {
    let mut world = stolen(1);
    let job = bent(&mut world, |_| ());
    let as_resume = sign_text(write(&job).0, Kind::Resume, &["anna", "bo"]);
    let hash = tries(&mut world, as_resume, "with signatures that Anna and Bo gave for a resume");
    refused(&world, 0, &hash, "no signature by a key of a policy this device holds");
    twin_runs(&mut world);
    world.story
}

fn organization() -> Story {
    let mut world = stolen(1);
    let job = bent(&mut world, |job| job.org = OrgId([7; 32]));
    let hash = tries(&mut world, sign(&job, &["anna", "bo"]), "that was signed for another organization");
    refused(&world, 0, &hash, "this device belongs to");
    twin_runs(&mut world);
    world.story
}

/// A signature with other bytes in it, in the armor that `ssh-keygen` writes.
fn rewritten(signature: &SshSig, rewrite: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut blob = signature.blob().to_vec();
    rewrite(&mut blob);
    let base64 = STANDARD.encode(blob);
    let lines: Vec<&str> =
        (0..base64.len()).step_by(70).map(|at| &base64[at..base64.len().min(at + 70)]).collect();
    format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"))
}

fn algorithm() -> Story {
    let mut world = stolen(1);
    let job = bent(&mut world, |_| ());
    let signed = sign(&job, &["anna", "bo"]);
    let first = signed.signatures()[0].clone();
    world.tell("a thief", "says of Anna's or Bo's signature that it is over SHA-256, not SHA-512");
    let hash = bring_text(&mut world, signed, |text| {
        let weaker = rewritten(&first, |blob| {
            let at = blob.windows(6).position(|bytes| bytes == b"sha512").unwrap();
            blob[at..at + 6].copy_from_slice(b"sha256");
        });
        text.replace(&first.to_armor(), &weaker)
    });
    unreadable(&world, 0, &hash, "the job: signature 1: ");
    twin_runs(&mut world);
    world.story
}

fn trailing() -> Story {
    let mut world = stolen(1);
    let job = bent(&mut world, |_| ());
    let signed = sign(&job, &["anna", "bo"]);
    let first = signed.signatures()[0].clone();
    world.tell("a thief", "writes a byte behind a signature, inside its armor");
    let hash = bring_text(&mut world, signed, |text| {
        text.replace(&first.to_armor(), &rewritten(&first, |blob| blob.push(0)))
    });
    unreadable(&world, 0, &hash, "the job: signature 1: ");
    let job = bent(&mut world, |_| ());
    world.tell("a thief", "writes a line between the signatures and the proof");
    let hash = bring_text(&mut world, sign(&job, &["anna", "bo"]), |text| {
        text.replace("c2sp.org/tlog-proof@v1\n", "and run it as root\nc2sp.org/tlog-proof@v1\n")
    });
    unreadable(&world, 0, &hash, "the job: proof: ");
    twin_runs(&mut world);
    world.story
}

/// A text that Anna and Bo sign although it is not the canonical print of anything.
fn signed_text(how: &str, bend: impl FnOnce(String) -> String, because: &str) -> Story {
    let mut world = stolen(1);
    let job = bent(&mut world, |_| ());
    let text = bend(write(&job).0);
    let signed = sign_text(text, Kind::Job, &["anna", "bo"]);
    let hash = tries(&mut world, signed, how);
    refused(&world, 0, &hash, because);
    twin_runs(&mut world);
    world.story
}

fn reordered() -> Story {
    let swap = |text: String| {
        let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
        let (begin, end) = (line("  \"not_before\""), line("  \"not_after\""));
        text.replace(&format!("{begin}\n{end}\n"), &format!("{end}\n{begin}\n"))
    };
    signed_text("with two fields in another order", swap, "no canonical job: line ")
}

fn repeated() -> Story {
    let twice = |text: String| {
        let line = text.lines().find(|line| line.starts_with("  \"requester\"")).unwrap().to_owned();
        text.replace(&line, &format!("{line}\n{}", line.replace("anna", "bo")))
    };
    signed_text("that names two requesters", twice, "no canonical job: line ")
}

fn bidirectional() -> Story {
    let turn = |text: String| text.replace("systemctl restart till", "systemctl restart \u{202e}llit");
    signed_text(
        "with a character in its script that turns the text around",
        turn,
        "the character U+202E is not allowed here",
    )
}

fn oversize() -> Story {
    let line = format!("        \"{}\",\n", "x".repeat(390));
    let grow = move |text: String| {
        text.replace("        \"systemctl restart till\"", &format!("{}        \"true\"", line.repeat(200)))
    };
    signed_text("of 80 kB", grow, "at most 65536 are allowed")
}
