//! Whether it stands in a log that enough witnesses have seen.

use std::collections::BTreeMap;

use countersign_trust::chain::ChainError;
use countersign_trust::checkpoint::{LogError, Proof};
use countersign_trust::envelope::Logged;
use countersign_trust::merkle::{MerkleError, leaf_hash};
use countersign_trust::note::{KeyKind, Note, NoteSigner, VerifierKey};
use countersign_trust::statement::job::{TargetLabels, Targets};
use countersign_trust::time::Time;
use countersign_trust::verify::Refusal;

use crate::bundle::Bundle;
use crate::organization::{
    LOG, Log, NOON, TILLS, WITNESSES, everything, names, note_key, sign, witness_key, word,
};
use crate::scene::{Case, Expected, Scene, accepted, nothing, refused};

/// The bundle with the job logged, and its proof bent.
fn proved(scene: &mut Scene, bend: impl FnOnce(&mut Log, u64) -> Proof) -> Bundle {
    let bundle = scene.bundle();
    let signed = sign(&scene.job, &scene.keys);
    let index = scene.org.log.append(&signed.leaf(&scene.org.org).unwrap());
    let proof = bend(&mut scene.org.log, index);
    Bundle { job: Logged { signed, proof }.to_string(), ..bundle }
}

/// The same checkpoint with other signature lines: the log's, and those of `lines`.
fn cosigned(log: &Log, index: u64, lines: &[(&str, u64)]) -> Proof {
    let mut proof = log.proof(index, &[]);
    for (witness, time) in lines {
        let line = witness_key(witness).cosign(proof.checkpoint.text(), Time(*time)).unwrap();
        proof.checkpoint.add(line).unwrap();
    }
    proof
}

fn not_logged(error: LogError) -> Expected {
    refused(Refusal::Log(ChainError::Log(error)))
}

fn too_few(found: usize) -> Expected {
    not_logged(LogError::Witnesses { found, known: 4, need: 3.try_into().unwrap() })
}

fn log_key() -> VerifierKey {
    note_key(LOG).verifier().clone()
}

const NEW_LOG: &str = "log.example/new";

pub fn cases() -> Vec<Case> {
    [proofs(), moves()].into_iter().flatten().collect()
}

fn proofs() -> Vec<Case> {
    vec![
        Case {
            name: "log-of-another-origin",
            says: "it stands in another log, seen by the same witnesses",
            bend: |scene| {
                scene.org.log = Log::new("log.example/other");
                scene.bundle()
            },
            expected: |_| {
                let (expected, found) = (LOG.to_owned(), "log.example/other".to_owned());
                not_logged(LogError::Origin { expected, found })
            },
        },
        Case {
            name: "log-not-signed-by-its-key",
            says: "the checkpoint is cosigned, but signed by another key of the log's name",
            bend: |scene| {
                proved(scene, |log, index| {
                    log.signer = NoteSigner::new(LOG, KeyKind::Ed25519, &[5; 32]).unwrap();
                    log.proof(index, &WITNESSES)
                })
            },
            expected: |_| not_logged(LogError::Unsigned { log: log_key(), lines: 5 }),
        },
        Case {
            name: "log-not-in-it",
            says: "the proof is that of another leaf",
            bend: |scene| proved(scene, |log, _| log.proof(0, &WITNESSES)),
            expected: |scene| {
                let leaf = sign(&scene.job, &scene.keys).leaf(&scene.org.org).unwrap();
                not_logged(LogError::Inclusion(astray(scene, &leaf, 0)))
            },
        },
        Case {
            name: "log-entry-with-other-signatures",
            says: "the log holds the job with Anna's signature alone; Bo's was added to the envelope",
            bend: |scene| {
                let bundle = scene.bundle();
                let alone = scene.org.log(sign(&scene.job, &["anna"]));
                let signed = sign(&scene.job, &scene.keys);
                Bundle { job: Logged { signed, proof: alone.proof }.to_string(), ..bundle }
            },
            expected: |scene| {
                let leaf = sign(&scene.job, &scene.keys).leaf(&scene.org.org).unwrap();
                not_logged(LogError::Inclusion(astray(scene, &leaf, scene.org.log.tree.size() - 1)))
            },
        },
        Case {
            name: "log-path-of-a-smaller-tree",
            says: "the path is that of the tree before the last leaf came; the size is the checkpoint's",
            bend: |scene| {
                proved(scene, |log, _| {
                    log.append("a stranger's");
                    let path = log.tree.inclusion(3, 5).unwrap();
                    assert_eq!(log.tree.inclusion(3, 6).unwrap().len(), path.len());
                    Proof { inclusion: path, ..log.proof(3, &WITNESSES) }
                })
            },
            expected: |scene| {
                let leaf = sign(&scene.job, &scene.keys).leaf(&scene.org.org).unwrap();
                let path = scene.org.log.tree.inclusion(3, 5).unwrap();
                not_logged(LogError::Inclusion(leads_to(scene, &leaf, 3, &path)))
            },
        },
        Case {
            name: "log-index-beyond-the-checkpoint",
            says: "the leaf is said to be one that the checkpoint does not cover yet",
            bend: |scene| {
                proved(scene, |log, index| {
                    let size = log.tree.size();
                    Proof { index: size, ..log.proof(index, &WITNESSES) }
                })
            },
            expected: |scene| {
                let size = scene.org.log.tree.size();
                not_logged(LogError::Inclusion(MerkleError::Index { index: size, size }))
            },
        },
        Case {
            name: "log-one-witness-too-few",
            says: "two of four witnesses saw it, three are needed",
            bend: |scene| proved(scene, |log, index| log.proof(index, &WITNESSES[..2])),
            expected: |_| too_few(2),
        },
        Case {
            name: "log-one-witness-twice",
            says: "the second witness saw it twice",
            bend: |scene| {
                proved(scene, |log, index| {
                    let lines = [("witness-1", NOON - 9), ("witness-2", NOON - 8), ("witness-2", NOON - 7)];
                    cosigned(log, index, &lines)
                })
            },
            expected: |_| too_few(2),
        },
        Case {
            name: "log-unknown-witness",
            says: "the third who saw it is a witness of no policy",
            bend: |scene| {
                proved(scene, |log, index| log.proof(index, &["witness-1", "witness-2", "witness-5"]))
            },
            expected: |_| too_few(2),
        },
        Case {
            name: "log-cosigned-elsewhere",
            says: "the cosignatures are those of the checkpoint before",
            bend: |scene| {
                let before = scene.org.log.checkpoint(&WITNESSES);
                proved(scene, |log, index| {
                    let mut proof = log.proof(index, &[]);
                    let lines = before.signatures().iter().skip(1).cloned();
                    lines.for_each(|line| proof.checkpoint.add(line).unwrap());
                    proof
                })
            },
            expected: |_| too_few(0),
        },
        Case {
            name: "log-witness-signs-as-a-log",
            says: "the third witness's key signed the checkpoint as a note, not as a cosignature",
            bend: |scene| {
                proved(scene, |log, index| {
                    let mut proof = log.proof(index, &WITNESSES[..2]);
                    let seed = countersign_trust::ids::Sha256::of(b"witness-3").0;
                    let as_log = NoteSigner::new("witness-3", KeyKind::Ed25519, &seed).unwrap();
                    let line = as_log.sign(proof.checkpoint.text()).unwrap();
                    proof.checkpoint.add(line).unwrap();
                    proof
                })
            },
            expected: |_| too_few(2),
        },
        Case {
            name: "log-with-lines-of-strangers",
            says: "thirty lines by nobody known stand under the checkpoint: they deny nothing",
            bend: |scene| {
                proved(scene, |log, index| {
                    let good = log.proof(index, &WITNESSES);
                    let text = good.checkpoint.text().to_owned();
                    let stranger = |number: u8| format!("stranger-{number}");
                    let first = note_key(&stranger(0)).sign(&text).unwrap();
                    let mut checkpoint = Note::new(text.clone(), first).unwrap();
                    (1..30)
                        .for_each(|n| checkpoint.add(note_key(&stranger(n)).sign(&text).unwrap()).unwrap());
                    good.checkpoint
                        .signatures()
                        .iter()
                        .for_each(|line| checkpoint.add(line.clone()).unwrap());
                    Proof { checkpoint, ..good }
                })
            },
            expected: |_| accepted(),
        },
        Case {
            name: "log-without-proof",
            says: "the envelope ends after the signatures",
            bend: |scene| {
                let mut bundle = scene.bundle();
                bundle.job = sign(&scene.job, &scene.keys).to_string();
                bundle
            },
            expected: |_| {
                let expected = "a proof";
                crate::scene::unreadable(countersign_trust::envelope::EnvelopeError::Tail { expected })
            },
        },
    ]
}

/// To which root the proof of leaf `index` leads when it is shown for `leaf`.
fn astray(scene: &Scene, leaf: &str, index: u64) -> MerkleError {
    let path = scene.org.log.tree.inclusion(index, scene.org.log.tree.size()).unwrap();
    leads_to(scene, leaf, index, &path)
}

fn leads_to(scene: &Scene, leaf: &str, index: u64, path: &[countersign_trust::ids::Sha256]) -> MerkleError {
    let tree = &scene.org.log.tree;
    let verdict = countersign_trust::merkle::verify_inclusion(
        leaf_hash(leaf.as_bytes()),
        index,
        tree.size(),
        path,
        tree.root(),
    );
    verdict.unwrap_err()
}

fn moves() -> Vec<Case> {
    vec![
        Case {
            name: "log-moved",
            says: "the organization goes on in a new log; the device was enrolled in the old one",
            bend: |scene| {
                scene.org.move_log(NEW_LOG);
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "log-moved-and-the-job-is-in-the-old-one",
            says: "the old log's thief goes on with it, and the witnesses cosign what extends it",
            bend: |scene| {
                let old = scene.org.move_log(NEW_LOG);
                let new = std::mem::replace(&mut scene.org.log, old);
                let bundle = scene.bundle();
                scene.org.log = new;
                bundle
            },
            expected: |_| {
                let (expected, found) = (NEW_LOG.to_owned(), LOG.to_owned());
                not_logged(LogError::Origin { expected, found })
            },
        },
        Case {
            name: "log-moved-and-a-resume-is-in-the-old-one",
            says: "Cia was dropped with the old log, in which her resume was put later",
            bend: |scene| {
                scene.halt(everything(), "bo");
                let halts = [scene.newest()].into();
                let lifts = countersign_trust::statement::resume::Lifts::Halts(halts);
                let old = scene.org.move_log(NEW_LOG);
                let resume = sign(&scene.org.next_resume(lifts, nothing()), &["anna", "cia"]);
                scene.org.decide(|policy| {
                    policy.people.remove(&word("cia"));
                    policy.roles.values_mut().for_each(|people| *people = names(&["anna", "bo"]));
                    // Else the policy itself would say no.
                    policy.resumes = [resume.hash()].into();
                });
                let new = std::mem::replace(&mut scene.org.log, old);
                let late = scene.org.log(resume);
                scene.org.log = new;
                let mut bundle = scene.bundle();
                bundle.chain.push(late.to_string());
                bundle
            },
            expected: |scene| {
                let halt = scene.org.news[0].hash();
                let (scope, by) = ("the whole organization".into(), "bo".into());
                let halted = Refusal::Halted { halt, scope, by, reason: "Something is wrong.".into() };
                refused(halted).without(4, ChainError::ReplacedLog { index: 3, size: 3 })
            },
        },
        Case {
            name: "log-witness-replaced",
            says: "the newest policy has another witness for the fourth; three of the old ones saw the job, one of them gone",
            bend: |scene| {
                scene.org.decide(|policy| {
                    policy.witnesses.keys.remove(witness_key("witness-3").verifier());
                    policy.witnesses.keys.insert(witness_key("witness-5").verifier().clone());
                });
                proved(scene, |log, index| log.proof(index, &WITNESSES[..3]))
            },
            expected: |_| too_few(2),
        },
        Case {
            name: "log-moved-and-enrolled-before",
            says: "targets by label as of the new log's size; the device was enrolled in the old log, at a higher index",
            bend: |scene| {
                scene.org.move_log(NEW_LOG);
                scene.job = scene.org.job();
                scene.job.targets =
                    Targets::Labels(TargetLabels { labels: BTreeMap::new(), as_of: 1, joins: false });
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "log-moved-and-enrolled-after",
            says: "targets by label as of the old log's size; the device was enrolled in the new log, at a lower index",
            bend: |scene| {
                (0..9).for_each(|number| {
                    scene.org.log.append(&format!("a stranger's {number}"));
                });
                let as_of = scene.org.log.tree.size();
                scene.job.targets =
                    Targets::Labels(TargetLabels { labels: BTreeMap::new(), as_of, joins: false });
                scene.org.move_log(NEW_LOG);
                scene.enrolled = scene.org.enroll(TILLS[0]);
                scene.bundle()
            },
            expected: |_| refused(Refusal::EnrolledLater { mine: 2, as_of: 12 }),
        },
    ]
}
