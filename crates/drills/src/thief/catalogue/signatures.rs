//! Who signed, and under what.

use countersign_trust::envelope::Signed;
use countersign_trust::ids::Sha256;
use countersign_trust::key::{Algorithm, PublicKey};
use countersign_trust::sshsig::{SshSig, SshSigner};
use countersign_trust::sshwire::Writer;
use countersign_trust::statement::Kind;
use countersign_trust::statement::job::{OnHalt, TargetList, Targets};
use countersign_trust::time::Time;

use super::{Bench, Mutation, NOTHING, OPERATOR, On, SIGNED, good, lines, nobody, row, script, untouched};
use crate::organization::{sign, sign_text, ssh_key, word};

const NOBODY: (&str, &str) = ("unknown_signers", "no signature by a key of a policy");
const NONE_OF_ONE: (&str, &str) = ("approvals", "0 of 1 approvals");

pub fn mutations() -> Vec<Mutation> {
    [people(), under_the_signatures(), machines()].into_iter().flatten().collect()
}

fn with_key(bench: &mut Bench<'_>, key: &SshSigner, keys: &[&str]) -> Signed {
    let text = bench.text();
    let own = key.sign(&Kind::Job.namespace(), text.as_bytes()).unwrap();
    let theirs = keys.iter().map(|name| ssh_key(name).sign(&Kind::Job.namespace(), text.as_bytes()).unwrap());
    Signed::new(text.clone(), theirs.chain([own])).unwrap()
}

fn made_up(bench: &mut Bench<'_>) -> SshSigner {
    SshSigner::from_seed(&bench.chance.bytes()).unwrap()
}

/// A signature with one bit of its numbers turned over.
fn broken(bench: &mut Bench<'_>, signature: &SshSig) -> SshSig {
    let mut blob = signature.blob().to_vec();
    let at = blob.len() - 1 - bench.chance.index(60);
    blob[at] ^= 1 << bench.chance.index(8);
    SshSig::from_blob(&blob).unwrap()
}

fn people() -> Vec<Mutation> {
    vec![
        row(
            ("signed by keys of his own", NOTHING),
            On::Till,
            NOBODY,
            |b| {
                let (one, other) = (made_up(b), made_up(b));
                let first = with_key(b, &one, &[]);
                first.join(&with_key(b, &other, &[])).unwrap()
            },
            untouched,
        ),
        row(
            ("Anna's signature and one of his own", SIGNED),
            On::Till,
            NONE_OF_ONE,
            |b| {
                let own = made_up(b);
                with_key(b, &own, &["anna"])
            },
            untouched,
        ),
        row(
            ("an operator's key alone, asking", OPERATOR),
            On::Till,
            NONE_OF_ONE,
            |b| b.past(&["bo"], |job, _| job.requester = word("bo")),
            untouched,
        ),
        row(
            ("an operator's key and one of his own", OPERATOR),
            On::Till,
            NONE_OF_ONE,
            |b| {
                let (own, mut job) = (made_up(b), b.fresh());
                job.requester = word("bo");
                let text = countersign_trust::statement::write(&job).0;
                let own = own.sign(&Kind::Job.namespace(), text.as_bytes()).unwrap();
                sign(&job, &["bo"]).join(&Signed::new(text, [own]).unwrap()).unwrap()
            },
            untouched,
        ),
        row(
            ("an operator's key, in Anna's name", OPERATOR),
            On::Till,
            ("not_signed_by_requester", "not signed by its requester anna"),
            |b| b.past(&["bo"], |_, _| ()),
            untouched,
        ),
        row(
            ("one person's two keys as two people", OPERATOR),
            On::Vault,
            ("approvals", "1 of 2 approvals"),
            |b| b.past(&["anna", "bo", "bo spare"], |_, _| ()),
            untouched,
        ),
        row(
            ("the requester approves with a second key", SIGNED),
            On::Till,
            NONE_OF_ONE,
            |b| b.past(&["anna", "anna spare"], |_, _| ()),
            untouched,
        ),
        row(
            ("signed on the server's own pages only", SIGNED),
            On::Till,
            ("same_origin", "of the server's own origin"),
            |b| b.past(&["anna pages", "bo pages"], |_, _| ()),
            untouched,
        ),
        row(
            ("nobody touched a security key", SIGNED),
            On::Guarded,
            ("not_signed_by_requester", "not signed by its requester anna"),
            good,
            untouched,
        ),
        row(
            ("asked by one who may not", SIGNED),
            On::Board,
            ("not_a_requester", "is not of role board"),
            good,
            untouched,
        ),
        row(
            ("for a machine that no rule speaks of", SIGNED),
            On::Lonely,
            ("no_rule", "fits kind script"),
            good,
            untouched,
        ),
        row(
            ("in another namespace", SIGNED),
            On::Till,
            NOBODY,
            |b| {
                let kinds = [Kind::Halt, Kind::Policy, Kind::Resume, Kind::Enroll];
                let kind = kinds[b.chance.index(kinds.len())];
                sign_text(b.text(), kind, &["anna", "bo"])
            },
            untouched,
        ),
        row(
            ("one bit of every signature turned over", SIGNED),
            On::Till,
            NOBODY,
            |b| {
                let signed = b.good_signed();
                let bent: Vec<SshSig> =
                    signed.signatures().iter().map(|signature| broken(b, signature)).collect();
                Signed::new(signed.statement().to_owned(), bent).unwrap()
            },
            untouched,
        ),
        row(
            ("one bit of the approval turned over", SIGNED),
            On::Till,
            NONE_OF_ONE,
            |b| {
                let approval = sign(b.good, &["bo"]);
                let bent = broken(b, &approval.signatures()[0]);
                sign(b.good, &["anna"]).join(&Signed::new(b.text(), [bent]).unwrap()).unwrap()
            },
            untouched,
        ),
        row(
            ("a security key that is no policy's, with a plain key's numbers", SIGNED),
            On::Till,
            NOBODY,
            |b| {
                let mut blob = Writer::new();
                blob.string(b"sk-ssh-ed25519@openssh.com").string(ssh_key("anna").public_key().numbers());
                let key = PublicKey::from_blob(Algorithm::SkEd25519, &blob.string(b"ssh:").take()).unwrap();
                let mut signature = Writer::new();
                let numbers: Vec<u8> = [b.chance.bytes(), b.chance.bytes()].concat();
                signature.string(b"sk-ssh-ed25519@openssh.com").string(&numbers).byte(1).u32(9);
                let signature =
                    SshSig::from_signature(&key, &Kind::Job.namespace(), &signature.take()).unwrap();
                Signed::new(b.text(), [signature]).unwrap()
            },
            untouched,
        ),
    ]
}

fn machines() -> Vec<Mutation> {
    vec![
        row(
            ("the server's halt key signs", NOTHING),
            On::Till,
            NOBODY,
            |b| {
                let found = b.found;
                with_key(b, &found.server, &[])
            },
            untouched,
        ),
        row(
            ("the server's halt key approves", SIGNED),
            On::Till,
            NONE_OF_ONE,
            |b| {
                let found = b.found;
                with_key(b, &found.server, &["anna"])
            },
            untouched,
        ),
        row(
            ("the server's halt key approves what an operator asks", OPERATOR),
            On::Till,
            NONE_OF_ONE,
            |b| {
                let mut job = b.fresh();
                job.requester = word("bo");
                let text = countersign_trust::statement::write(&job).0;
                let own = b.found.server.sign(&Kind::Job.namespace(), text.as_bytes()).unwrap();
                sign(&job, &["bo"]).join(&Signed::new(text, [own]).unwrap()).unwrap()
            },
            untouched,
        ),
    ]
}

fn under_the_signatures() -> Vec<Mutation> {
    type Sign = fn(&mut Bench<'_>) -> Signed;
    let swaps: [(&'static str, Sign); 22] = [
        ("another script under the signatures", |b| {
            b.swapped(|job, chance, found| {
                lines(job).lines = vec![word(&format!("{} # {}", found.mark, chance.number()))];
            })
        }),
        ("a line more in the script", |b| {
            b.swapped(|job, chance, found| {
                let at = chance.index(lines(job).lines.len() + 1);
                lines(job).lines.insert(at, word(&found.mark));
            })
        }),
        ("another environment", |b| {
            b.swapped(|job, chance, _| {
                script(job)
                    .environment
                    .insert(word("LD_PRELOAD"), word(&format!("/tmp/{}.so", chance.number())));
            })
        }),
        ("another user", |b| {
            b.swapped(|job, chance, _| script(job).user = word(&format!("u{}", chance.below(9999))))
        }),
        ("another interpreter", |b| {
            b.swapped(|job, chance, _| {
                lines(job).interpreter = word(&format!("/bin/sh{}", chance.below(9999)));
            })
        }),
        ("arguments for the interpreter", |b| {
            b.swapped(|job, chance, _| {
                lines(job).arguments.push(word(&format!("-{}", chance.below(9999))));
            })
        }),
        ("another folder", |b| {
            b.swapped(|job, chance, _| script(job).folder = word(&format!("/tmp/{}", chance.number())))
        }),
        ("another timeout", |b| b.swapped(|job, chance, _| script(job).timeout += 1 + chance.below(9999))),
        ("more output kept", |b| b.swapped(|job, chance, _| script(job).output += 1 + chance.below(9999))),
        ("other limits", |b| {
            b.swapped(|job, chance, _| {
                let (more, script) = (1 + chance.below(9999), script(job));
                *[&mut script.memory, &mut script.processes, &mut script.processor][chance.index(3)] += more;
            })
        }),
        ("a step more", |b| {
            b.swapped(|job, chance, _| {
                let step = job.steps[0].clone();
                (0..=chance.index(5)).for_each(|_| job.steps.push(step.clone()));
            })
        }),
        ("on_halt flipped", |b| b.swapped(|job, _, _| job.on_halt = OnHalt::Finish)),
        ("repeated", |b| b.swapped(|job, chance, _| job.repeat = 10 + chance.below(9999))),
        ("another reason why", |b| {
            b.swapped(|job, chance, _| job.why = word(&format!("Another {}.", chance.number())))
        }),
        ("other targets", |b| {
            b.swapped(|job, chance, _| {
                let Targets::List(list) = &job.targets else { panic!() };
                job.targets = Targets::List(TargetList { count: list.count, root: nobody(chance) });
            })
        }),
        ("another count of targets", |b| {
            b.swapped(|job, chance, _| {
                let Targets::List(list) = &job.targets else { panic!() };
                job.targets =
                    Targets::List(TargetList { count: list.count + 1 + chance.below(999), root: list.root });
            })
        }),
        ("another requester", |b| {
            b.swapped(|job, chance, _| job.requester = word(["bo", "cia", "eve"][chance.index(3)]))
        }),
        ("another id", |b| b.swapped(|job, chance, _| job.id.0.copy_from_slice(&chance.bytes()[..16]))),
        ("a later end", |b| {
            b.swapped(|job, chance, _| job.not_after = job.not_after.plus(1 + chance.below(9999)))
        }),
        ("an earlier begin", |b| {
            b.swapped(|job, chance, _| job.not_before = Time(job.not_before.0 - 1 - chance.below(9999)))
        }),
        ("another policy", |b| b.swapped(|job, _, found| job.policy = Sha256(found.chain.org().0))),
        ("another resume", |b| b.swapped(|job, _, _| job.resume = None)),
    ];
    swaps.map(|(name, sign)| row((name, SIGNED), On::Till, NOBODY, sign, untouched)).into()
}
