//! What was decided, halted, cut or done before.

use std::num::NonZeroU8;

use countersign_trust::chain::Held;
use countersign_trust::delivery::News;
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::Sha256;
use countersign_trust::statement::halt::{Component, Halt, Scope};
use countersign_trust::statement::policy::Policy;

use super::{Bench, Mutation, NOTHING, OPERATOR, On, Parcel, SIGNED, another, lines, nobody, row, untouched};
use crate::organization::{person, sign, ssh_key, word};

pub fn mutations() -> Vec<Mutation> {
    [policies(), halts(), again()].into_iter().flatten().collect()
}

fn genesis(bench: &Bench<'_>) -> Sha256 {
    Sha256(bench.found.chain.org().0)
}

fn policies() -> Vec<Mutation> {
    vec![
        row(
            ("an old policy, and one who was in it", SIGNED),
            On::Till,
            ("approvals", "0 of 1 approvals"),
            |b| {
                let old = genesis(b);
                b.past(&["anna", "dan"], |job, _| job.policy = old)
            },
            untouched,
        ),
        row(
            ("approved by one who was dropped", SIGNED),
            On::Till,
            ("approvals", "0 of 1 approvals"),
            |b| b.past(&["anna", "dan"], |_, _| ()),
            untouched,
        ),
        row(
            ("asked by one who was dropped", SIGNED),
            On::Till,
            ("not_a_requester", "dan is not of role"),
            |b| {
                let old = genesis(b);
                b.past(&["bo", "dan"], |job, _| {
                    job.policy = old;
                    job.requester = word("dan");
                })
            },
            untouched,
        ),
        row(
            ("a rival policy by one key", OPERATOR),
            On::Till,
            ("unknown_policy", "it names policy"),
            |b| {
                let rival = rival(b).hash();
                b.past(&["bo", "mallory"], |job, _| {
                    job.policy = rival;
                    job.requester = word("bo");
                })
            },
            |b, parcel| {
                let (signed, proof) = (rival(b), parcel.job.proof.clone());
                parcel.news.push(News::Policy(Logged { signed, proof }));
            },
        ),
        row(
            ("a policy that nobody has", SIGNED),
            On::Till,
            ("unknown_policy", "it names policy"),
            |b| b.past(&["anna", "bo"], |job, chance| job.policy = nobody(chance)),
            untouched,
        ),
        row(
            ("a resume that nobody has", SIGNED),
            On::Till,
            ("unknown_resume", "it names the resume"),
            |b| b.past(&["anna", "bo"], |job, chance| job.resume = Some(nobody(chance))),
            untouched,
        ),
        row(
            ("signed before the resume that cuts it", SIGNED),
            On::Till,
            ("cut", "which cuts it off"),
            |b| {
                b.past(&["fay", "bo"], |job, _| {
                    job.requester = word("fay");
                    job.resume = None;
                })
            },
            untouched,
        ),
        row(
            ("approved before the resume that cuts it", SIGNED),
            On::Till,
            ("cut", "which cuts it off"),
            |b| b.past(&["anna", "fay"], |job, _| job.resume = None),
            untouched,
        ),
    ]
}

/// The next policy as an operator with one key would have it.
fn rival(bench: &Bench<'_>) -> Signed {
    let Held { body, hash, .. } = bench.found.chain.policy();
    let mut rival: Policy = body.clone();
    (rival.number, rival.previous) = (body.number + 1, [*hash].into());
    rival.people.insert(word("mallory"), person(&["mallory"]));
    rival.roles.values_mut().for_each(|people| assert!(people.insert(word("mallory"))));
    rival.quorums.policy.need = NonZeroU8::MIN;
    sign(&rival, &["bo", "mallory"])
}

fn halts() -> Vec<Mutation> {
    const HALTED: &str = "halted";
    vec![
        row(
            ("asked by one who was halted", SIGNED),
            On::Till,
            (HALTED, "what eve asks for"),
            |b| b.past(&["eve", "bo"], |job, _| job.requester = word("eve")),
            untouched,
        ),
        row(
            ("approved by one who was halted", SIGNED),
            On::Till,
            ("approvals", "0 of 1 approvals"),
            |b| b.past(&["anna", "eve"], |_, _| ()),
            untouched,
        ),
        row(
            ("a halted script in another job", SIGNED),
            On::Till,
            (HALTED, "this script"),
            |b| {
                let line = b.found.halted_line.clone();
                b.past(&["anna", "bo"], |job, _| lines(job).lines = vec![word(&line)])
            },
            untouched,
        ),
        row(
            ("a halted job, logged again", SIGNED),
            On::Till,
            (HALTED, "this job"),
            |b| {
                let more = [
                    vec!["anna", "bo"],
                    vec!["anna", "bo", "cia"],
                    vec!["anna", "cia"],
                    vec!["anna", "bo", "bo spare"],
                ];
                sign(&b.found.halted, &more[b.chance.index(more.len())])
            },
            untouched,
        ),
        row(
            ("on a version that was halted", NOTHING),
            On::Stopped,
            (HALTED, "countersign-agent below"),
            another,
            halt_version,
        ),
    ]
}

/// The server's own key halts every version: the one thing that it may.
fn halt_version(bench: &mut Bench<'_>, parcel: &mut Parcel) {
    let chain = &bench.found.chain;
    let halt = Halt {
        org: Some(chain.org()),
        id: countersign_trust::ids::StatementId([77; 16]),
        policy: Some(chain.policy().hash),
        scope: Scope::Component(Component { name: word("countersign-agent"), below: word("999.0") }),
        made: bench.found.now,
        reason: word("Too old."),
        advisory: word(""),
    };
    let text = countersign_trust::statement::write(&halt).0;
    let namespace = countersign_trust::statement::Kind::Halt.namespace();
    let signature = bench.found.server.sign(&namespace, text.as_bytes()).unwrap();
    parcel.news.push(News::Halt(Signed::new(text, [signature]).unwrap()));
}

fn again() -> Vec<Mutation> {
    const AGAIN: (&str, &str) = ("again", "was accepted before");
    vec![
        row(("a job that ran, once more", NOTHING), On::Till, AGAIN, |b| b.ran.clone(), untouched),
        row(
            ("a job that ran, with more signatures", SIGNED),
            On::Till,
            AGAIN,
            |b| {
                let more = ["cia", "bo spare", "anna spare", "eve"];
                let key = ssh_key(more[b.chance.index(more.len())]);
                let text = b.ran.statement().to_owned();
                let namespace = countersign_trust::statement::Kind::Job.namespace();
                let signature = key.sign(&namespace, text.as_bytes()).unwrap();
                b.ran.join(&Signed::new(text, [signature]).unwrap()).unwrap()
            },
            untouched,
        ),
        row(
            ("a job that ran, by another approval", SIGNED),
            On::Till,
            AGAIN,
            |b| {
                let text = b.ran.statement().to_owned();
                crate::organization::sign_text(
                    text,
                    countersign_trust::statement::Kind::Job,
                    &["anna", "cia"],
                )
            },
            untouched,
        ),
    ]
}
