//! Resumes, and what they cut.

use countersign_trust::chain::ChainError;
use countersign_trust::ids::Sha256;
use countersign_trust::statement::resume::{Cuts, Lifts};
use countersign_trust::text::Nothing;
use countersign_trust::verify::Refusal;

use super::policies::{ANNA_AND_BO, brought, quorum};
use crate::organization::{names, person, sign, ssh_key, word};
use crate::scene::{Case, Expected, Scene, accepted, nothing, refused};

pub fn cases() -> Vec<Case> {
    [cuts(), resumes()].into_iter().flatten().collect()
}

/// Halts everything, and lifts that with these cuts and spares.
fn lifted(scene: &mut Scene, cuts: Cuts, keeps: &[Sha256]) {
    let halts = [scene.halt(crate::organization::everything(), "cia")].into();
    scene.org.resume(Lifts::Halts(halts), cuts, |resume| resume.keeps = keeps.iter().copied().collect());
}

fn cut(scene: &Scene) -> Expected {
    refused(Refusal::Cut(scene.org.chain.resume().unwrap()))
}

fn cuts() -> Vec<Case> {
    vec![
        Case {
            name: "cut-all",
            says: "the resume cuts all that was signed before it",
            bend: |scene| {
                lifted(scene, Cuts::All(Nothing), &[]);
                scene.bundle()
            },
            expected: cut,
        },
        Case {
            name: "cut-all-but-this",
            says: "the resume cuts all, and keeps this job",
            bend: |scene| {
                let keeps = [scene.hash()];
                lifted(scene, Cuts::All(Nothing), &keeps);
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "cut-all-signed-after",
            says: "the job names the resume",
            bend: |scene| {
                lifted(scene, Cuts::All(Nothing), &[]);
                scene.job.resume = scene.org.chain.resume();
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "cut-the-approver",
            says: "the resume cuts what Bo signed",
            bend: |scene| {
                lifted(scene, Cuts::People(names(&["bo"])), &[]);
                scene.bundle()
            },
            expected: cut,
        },
        Case {
            name: "cut-another-person",
            says: "the resume cuts what Cia signed",
            bend: |scene| {
                lifted(scene, Cuts::People(names(&["cia"])), &[]);
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "cut-a-signer-to-spare",
            says: "the resume cuts what Cia signed, and she signed to spare",
            bend: |scene| {
                scene.keys = vec!["anna", "bo", "cia"];
                lifted(scene, Cuts::People(names(&["cia"])), &[]);
                scene.bundle()
            },
            expected: cut,
        },
        Case {
            name: "cut-a-signer-who-is-halted-too",
            says: "the resume cuts what Cia signed, and she is still halted as a person",
            bend: |scene| {
                scene.keys = vec!["anna", "bo", "cia"];
                scene.halt(countersign_trust::statement::halt::Scope::Person(word("cia")), "bo");
                lifted(scene, Cuts::People(names(&["cia"])), &[]);
                scene.bundle()
            },
            expected: cut,
        },
        Case {
            name: "cut-a-signer-whom-only-the-newest-policy-knows",
            says: "the resume cuts what Dan signed; he came with a policy later than the one the job names",
            bend: |scene| {
                scene.keys = vec!["anna", "bo", "dan"];
                scene.org.decide(|policy| {
                    policy.people.insert(word("dan"), person(&["dan"]));
                });
                lifted(scene, Cuts::People(names(&["dan"])), &[]);
                scene.bundle()
            },
            expected: cut,
        },
        Case {
            name: "cut-by-key",
            says: "a resume that lifts by key cuts all, whatever it says",
            bend: |scene| {
                scene.halt(crate::organization::everything(), "cia");
                let keys = [ssh_key("cia").public_key().clone()].into();
                scene.org.resume(Lifts::Keys(keys), nothing(), |_| ());
                scene.bundle()
            },
            expected: cut,
        },
        Case {
            name: "cut-by-key-that-says-people",
            says: "a resume that lifts by key cuts all, though it says to cut what Cia signed",
            bend: |scene| {
                let keys = [ssh_key("cia").public_key().clone()].into();
                scene.org.resume(Lifts::Keys(keys), Cuts::People(names(&["cia"])), |_| ());
                scene.bundle()
            },
            expected: cut,
        },
        Case {
            name: "cut-by-an-earlier-resume",
            says: "two resumes, of which the first cuts all; the job names the second's predecessor, none",
            bend: |scene| {
                lifted(scene, Cuts::All(Nothing), &[]);
                lifted(scene, nothing(), &[]);
                scene.bundle()
            },
            expected: |scene| refused(Refusal::Cut(scene.org.chain.resumes()[0].hash)),
        },
        Case {
            name: "cut-names-a-resume-not-held",
            says: "the job names a resume that the device does not hold",
            bend: |scene| {
                scene.job.resume = Some(Sha256([9; 32]));
                scene.bundle()
            },
            expected: |_| refused(Refusal::UnknownResume(Sha256([9; 32]))),
        },
    ]
}

fn resumes() -> Vec<Case> {
    vec![
        Case {
            name: "resume-by-too-few",
            says: "Anna alone lifts a halt",
            bend: |scene| {
                let halts = [scene.halt(crate::organization::everything(), "cia")].into();
                let resume = scene.org.next_resume(Lifts::Halts(halts), nothing());
                brought(scene, sign(&resume, &["anna"]))
            },
            expected: |scene| still_halted(scene).without(2, quorum(1, 1)),
        },
        Case {
            name: "resume-by-strangers",
            says: "nobody known lifts a halt",
            bend: |scene| {
                let halts = [scene.halt(crate::organization::everything(), "cia")].into();
                let resume = scene.org.next_resume(Lifts::Halts(halts), nothing());
                brought(scene, sign(&resume, &["mallory", "trudy"]))
            },
            expected: |scene| still_halted(scene).without(2, ChainError::UnknownSigners),
        },
        Case {
            name: "resume-that-follows-nothing-held",
            says: "it names a resume before it that nobody has",
            bend: |scene| {
                let halts = [scene.halt(crate::organization::everything(), "cia")].into();
                let mut resume = scene.org.next_resume(Lifts::Halts(halts), nothing());
                resume.previous = [Sha256([9; 32])].into();
                brought(scene, sign(&resume, &ANNA_AND_BO))
            },
            expected: |scene| {
                let error = ChainError::NotNext { expected: "none".into(), found: vec![Sha256([9; 32])] };
                still_halted(scene).without(2, error)
            },
        },
        Case {
            name: "resume-under-a-policy-not-held",
            says: "it was made under a policy that nobody has",
            bend: |scene| {
                let halts = [scene.halt(crate::organization::everything(), "cia")].into();
                let mut resume = scene.org.next_resume(Lifts::Halts(halts), nothing());
                resume.policy = Sha256([9; 32]);
                brought(scene, sign(&resume, &ANNA_AND_BO))
            },
            expected: |scene| still_halted(scene).without(2, ChainError::UnknownPolicy(Sha256([9; 32]))),
        },
        Case {
            name: "resume-by-people-dropped-before",
            says: "Cia is dropped, and then signs a resume under the policy before: the one without her does not name it",
            bend: |scene| {
                let halts = [scene.halt(crate::organization::everything(), "cia")].into();
                let resume = scene.org.next_resume(Lifts::Halts(halts), nothing());
                scene.org.decide(|policy| {
                    policy.people.remove(&word("cia"));
                    policy.roles.values_mut().for_each(|people| *people = names(&["anna", "bo"]));
                });
                brought(scene, sign(&resume, &["anna", "cia"]))
            },
            expected: |scene| {
                let halt = scene.org.news[0].hash();
                refused(halted_everything(halt)).without(3, ChainError::NotNamed { policy: 2 })
            },
        },
        Case {
            name: "resume-by-people-dropped-before-under-the-policy-without-them",
            says: "Cia is dropped, and signs a resume under the policy that did it",
            bend: |scene| {
                let halts = [scene.halt(crate::organization::everything(), "cia")].into();
                scene.org.decide(|policy| {
                    policy.people.remove(&word("cia"));
                    policy.roles.values_mut().for_each(|people| *people = names(&["anna", "bo"]));
                });
                let resume = scene.org.next_resume(Lifts::Halts(halts), nothing());
                brought(scene, sign(&resume, &["anna", "cia"]))
            },
            expected: |scene| {
                let halt = scene.org.news[0].hash();
                let quorum = ChainError::Quorum { got: 1, need: 2, role: word("owner"), policy: 2 };
                refused(halted_everything(halt)).without(3, quorum)
            },
        },
        Case {
            name: "resume-signed-as-a-policy",
            says: "a resume's text under signatures for a policy",
            bend: |scene| {
                let halts = [scene.halt(crate::organization::everything(), "cia")].into();
                let resume = scene.org.next_resume(Lifts::Halts(halts), nothing());
                let text = countersign_trust::statement::write(&resume).0;
                let kind = countersign_trust::statement::Kind::Policy;
                brought(scene, crate::organization::sign_text(text, kind, &ANNA_AND_BO))
            },
            expected: |scene| {
                use countersign_trust::statement::{Kind, StatementError};
                let found: String = format!("\"policy\": \"{}", scene.org.chain.policy().hash)
                    .chars()
                    .take(40)
                    .flat_map(char::escape_debug)
                    .collect();
                let error = countersign_trust::text::TextError {
                    line: 3,
                    expected: "`\\\"number\\\": `".into(),
                    found,
                };
                let error = StatementError::Text { kind: Kind::Policy, error };
                still_halted(scene).without(2, ChainError::Statement(error))
            },
        },
    ]
}

fn halted_everything(halt: Sha256) -> Refusal {
    let (scope, by, reason) = ("the whole organization".into(), "cia".into(), "Something is wrong.".into());
    Refusal::Halted { halt, scope, by, reason }
}

fn still_halted(scene: &Scene) -> Expected {
    refused(halted_everything(scene.newest()))
}
